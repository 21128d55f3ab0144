#include "roofline.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "no_memory.h"
#include "timer.h"

/* The best of several short trials: whatever disturbs one makes it slower, never faster. */
#define TRIALS 7
#define TRIAL_NS 4000000u

static const struct assay_roofline_loops *loops_of(enum assay_isa isa) {
#if defined(__x86_64__)
    if (isa == ASSAY_ISA_AUTO)
        isa = assay_isa_runs_here(ASSAY_ISA_AVX512) ? ASSAY_ISA_AVX512
              : assay_isa_runs_here(ASSAY_ISA_AVX2) ? ASSAY_ISA_AVX2
                                                    : ASSAY_ISA_SCALAR;
    if (isa == ASSAY_ISA_AVX512)
        return &assay_roofline_avx512;
    if (isa == ASSAY_ISA_AVX2)
        return &assay_roofline_avx2;
#elif defined(__aarch64__)
    if (isa == ASSAY_ISA_AUTO)
        isa = assay_isa_runs_here(ASSAY_ISA_I8MM)   ? ASSAY_ISA_I8MM
              : assay_isa_runs_here(ASSAY_ISA_NEON) ? ASSAY_ISA_NEON
                                                    : ASSAY_ISA_SCALAR;
    if (isa == ASSAY_ISA_I8MM)
        return &assay_roofline_i8mm;
    if (isa == ASSAY_ISA_NEON)
        return &assay_roofline_neon;
#else
    (void)isa;
#endif
    return &assay_roofline_scalar;
}

/* One thread's part of a trial. */
struct share {
    const struct assay_roofline_loops *loops;
    const char *buffer; /* NULL: arithmetic */
    size_t bytes;
    enum assay_peak kind;
    uint32_t sink;
};

static void run_share(struct share *s, size_t repeats) {
    if (s->buffer != NULL) {
        for (size_t r = 0; r < repeats; r++)
            s->sink += s->loops->read(s->buffer, s->bytes);
    } else {
        s->sink += s->loops->work[s->kind](repeats);
    }
}

struct lap {
    double wall_ns; /* from the moment that all threads are there to the end of the last */
    double cpu_ns;  /* of the first thread's own share */
};

static struct lap run_shares(struct share *shares, int threads, size_t repeats) {
    uint64_t start = 0, end = 0, cpu = 0;

#pragma omp parallel num_threads(threads)
    {
        struct share *mine = &shares[omp_get_thread_num()];
#pragma omp barrier
#pragma omp master
        {
            start = assay_now_ns();
            cpu = assay_thread_cpu_ns();
        }
        run_share(mine, repeats);
#pragma omp master
        cpu = assay_thread_cpu_ns() - cpu;
#pragma omp barrier
#pragma omp master
        end = assay_now_ns();
    }
    return (struct lap){(double)(end - start), (double)cpu};
}

/* Best nanoseconds per repeat. */
static double best_time(struct share *shares, int threads) {
    size_t repeats = 1;
    double best = INFINITY;
    struct lap lap;

    /* By CPU time: on a busy machine a thread may wait longer than a trial takes. */
    while ((lap = run_shares(shares, threads, repeats)).cpu_ns < TRIAL_NS && repeats < SIZE_MAX / 4)
        repeats *= lap.cpu_ns < TRIAL_NS / 4 ? 4 : 2;
    for (int i = 0; i < TRIALS; i++) {
        lap = run_shares(shares, threads, repeats);
        best = fmin(best, lap.wall_ns / (double)repeats);
    }
    return best;
}

static struct share *new_shares(int threads, enum assay_isa isa) {
    struct share *shares = calloc((size_t)threads, sizeof *shares);

    if (shares == NULL)
        assay_no_memory_note();
    for (int i = 0; shares != NULL && i < threads; i++)
        shares[i].loops = loops_of(isa);
    return shares;
}

double assay_roofline_bandwidth(size_t bytes, int threads, enum assay_isa isa) {
    const size_t unit = 512;
    size_t each = bytes / (size_t)threads / unit * unit;
    struct share *shares = new_shares(threads, isa);
    char *buffer;
    double ns = NAN;

    each = each > 0 ? each : unit;
    buffer = aligned_alloc(64, each * (size_t)threads);
    if (buffer != NULL && shares != NULL) {
        memset(buffer, 1, each * (size_t)threads);
        for (int i = 0; i < threads; i++) {
            shares[i].buffer = buffer + (size_t)i * each;
            shares[i].bytes = each;
        }
        ns = best_time(shares, threads);
    } else {
        assay_no_memory_note();
    }
    free(buffer);
    free(shares);
    return (double)each * threads / (ns * 1e-9);
}

double assay_roofline_peak(enum assay_peak kind, int threads, enum assay_isa isa) {
    struct share *shares = new_shares(threads, isa);
    double ns = NAN;

    if (shares != NULL) {
        for (int i = 0; i < threads; i++)
            shares[i].kind = kind;
        ns = best_time(shares, threads);
    }
    free(shares);
    return loops_of(isa)->ops_per_round[kind] * threads / (ns * 1e-9);
}
