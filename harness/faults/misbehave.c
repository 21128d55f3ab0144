/* What a faulty kernel does before and after it computes: crashes, strays in memory, leaves things
 * behind, and damages results. */
#include <fcntl.h>
#include <fenv.h>
#include <math.h>
#include <omp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "model.h"

/* One call. */
struct call {
    struct model_ctx *c;
    const struct assay_store *w;
    const float *x;
    size_t m, n, k;
    float *y;
    size_t ldy;
};

/* ---- Crashes ---- */

static void die_of(int signal_number) {
    signal(signal_number, SIG_DFL); /* a sanitizer would make it an exit */
    raise(signal_number);
}

/* The array keeps the recursion from becoming a loop. */
static __attribute__((noinline)) int recurse(int depth) {
    volatile char frame[4096];
    frame[0] = (char)depth;
    return depth > 0 ? recurse(depth + 1) + frame[0] : 0;
}

static enum assay_status crash(const struct call *a, enum assay_mutation mut,
                               struct assay_error *err) {
    switch (mut) {
    case ASSAY_MUT_SEGFAULT:
        if (a->m == 5)
            die_of(SIGSEGV);
        break;
    case ASSAY_MUT_ILLEGAL:
        if (a->n == 7)
            die_of(SIGILL);
        break;
    case ASSAY_MUT_DIVIDES:
        if (a->n == 1)
            die_of(SIGFPE);
        break;
    case ASSAY_MUT_ABORTS:
        if (a->m == 17)
            die_of(SIGABRT);
        break;
    case ASSAY_MUT_EXITS:
        if (a->m == 8)
            _exit(3);
        break;
    case ASSAY_MUT_EXITS_0:
        if (a->m == 8)
            _exit(0);
        break;
    case ASSAY_MUT_HANGS:
        while (a->n == 65)
            pause();
        break;
    case ASSAY_MUT_SPINS:
        while (a->m == 33)
            sched_yield();
        break;
    case ASSAY_MUT_OVERFLOWS:
        signal(SIGSEGV, SIG_DFL);
        if (a->m == 65)
            recurse(1);
        break;
    case ASSAY_MUT_FAILS:
        if (a->m == 4)
            return assay_fail(err, ASSAY_EBACKEND, "the device is on fire");
        break;
    default:
        break;
    }
    return ASSAY_OK;
}

/* ---- Memory ---- */

/* Reads `amount` bytes from p on, or before p. */
static void touch(const void *p, int amount, bool before) {
    const volatile char *at = (const volatile char *)p - (before ? amount : 0);
    char sum = 0;

    for (int i = 0; i < amount; i++)
        sum = (char)(sum + at[i]);
    *(volatile char *)&sum = sum;
}

static void stray_read(const struct call *a, enum assay_mutation mut) {
    const uint8_t *end_w = a->w->bytes + a->n * a->w->row_bytes;
    int amount = a->c->fault->amount;

    switch (mut) {
    case ASSAY_MUT_READ_PAST_W:
        touch(end_w, amount, false);
        break;
    case ASSAY_MUT_READ_BEFORE_W:
        touch(a->w->bytes, amount, true);
        break;
    case ASSAY_MUT_READ_PAST_X:
        touch(a->x + a->m * a->k, amount, false);
        break;
    case ASSAY_MUT_READ_BEFORE_X:
        touch(a->x, amount, true);
        break;
    case ASSAY_MUT_READ_PAST_Y:
        touch(a->y + (a->m - 1) * a->ldy + a->n, amount, false);
        break;
    case ASSAY_MUT_WRITE_X:
        ((volatile float *)(uintptr_t)a->x)[0] *= 2;
        ((volatile float *)(uintptr_t)a->x)[0] /= 2;
        break;
    case ASSAY_MUT_WRITE_W: {
        volatile uint8_t *byte = (volatile uint8_t *)(uintptr_t)a->w->bytes;
        *byte = *byte;
        break;
    }
    default:
        break;
    }
}

static void stray_write(const struct call *a, enum assay_mutation mut) {
    float *last = a->y + (a->m - 1) * a->ldy + a->n;

    switch (mut) {
    case ASSAY_MUT_WRITE_PAST_N:
        *last = 0;
        break;
    case ASSAY_MUT_WRITE_GAP:
        if (a->ldy > a->n && a->m > 1)
            a->y[a->n] = 0;
        break;
    case ASSAY_MUT_WRITE_BEFORE_Y:
        a->y[-1] = 0;
        break;
    case ASSAY_MUT_WRITE_FAR:
        last[16] = 0;
        break;
    case ASSAY_MUT_FUSED_ROUNDED:
        for (size_t j = a->n; j % 4 != 0 && j < a->ldy; j++)
            a->y[j] = 0;
        break;
    case ASSAY_MUT_USED_PAST_X:
        a->y[0] += 0 * a->x[a->m * a->k];
        break;
    default:
        break;
    }
}

/* ---- The environment ---- */

#ifdef __x86_64__
static void leave_registers(enum assay_mutation mut) {
    uint16_t single_precision = 0x007f;

    switch (mut) {
    case ASSAY_MUT_LEAVES_FTZ:
        _mm_setcsr(_mm_getcsr() | 0x8000);
        break;
    case ASSAY_MUT_LEAVES_DAZ:
        _mm_setcsr(_mm_getcsr() | 0x0040);
        break;
    case ASSAY_MUT_LEAVES_EXCEPT: /* denormal operands */
        _mm_setcsr(_mm_getcsr() & ~0x0100u);
        break;
    case ASSAY_MUT_LEAVES_X87:
        __asm__ volatile("fldcw %0" : : "m"(single_precision));
        break;
    case ASSAY_MUT_LEAVES_MMX:
        __asm__ volatile("pxor %%mm0, %%mm0" : : : "mm0");
        break;
    default:
        break;
    }
}
#else
static void leave_registers(enum assay_mutation mut) { (void)mut; }
#endif

static void leave_behind(enum assay_mutation mut) {
    char *lost;

    leave_registers(mut);
    switch (mut) {
    case ASSAY_MUT_LEAVES_ROUNDING:
        fesetround(FE_DOWNWARD);
        break;
    case ASSAY_MUT_LEAKS_FD:
        (void)!open("/dev/null", O_RDONLY);
        break;
    case ASSAY_MUT_LEAKS_MEMORY:
        lost = malloc(64 * 1024);
        if (lost != NULL)
            memset(lost, 1, 64 * 1024);
        *(char *volatile *)&lost = lost;
        break;
    default:
        break;
    }
}

/* ---- Results ---- */

static float *at(const struct call *a, size_t i, size_t j) { return &a->y[i * a->ldy + j]; }

static void damage_all(const struct call *a, enum assay_mutation mut) {
    for (size_t i = 0; i < a->m; i++)
        for (size_t j = 0; j < a->n; j++) {
            float *v = at(a, i, j);
            uint32_t bits;
            switch (mut) {
            case ASSAY_MUT_GAIN:
                *v *= 1 + 0x1p-16f;
                break;
            case ASSAY_MUT_BF16_SUM:
                memcpy(&bits, v, sizeof bits);
                bits &= isnan(*v) ? ~0u : 0xffff0000;
                memcpy(v, &bits, sizeof bits);
                break;
            case ASSAY_MUT_RESULT_CLAMPED:
                *v = *v > 0x1p16f ? 0x1p16f : *v < -0x1p16f ? -0x1p16f : *v;
                break;
            case ASSAY_MUT_RESULT_FLUSHED:
                *v = fabsf(*v) < 0x1p-60f ? 0 : *v;
                break;
            case ASSAY_MUT_ZEROES:
                *v = a->m >= 33 ? 0 : *v;
                break;
            case ASSAY_MUT_NAN_COLUMN:
                if (j > 0 && isnan(*at(a, i, j - 1)))
                    *v = NAN;
                break;
            default:
                return;
            }
        }
}

/* One column or element. */
static void damage_some(const struct call *a, enum assay_mutation mut) {
    size_t m = a->m, n = a->n;
    volatile float *volatile fresh; /* the compiler must not see where it comes from */

    switch (mut) {
    case ASSAY_MUT_TAIL_ROW_STALE:
        for (size_t i = 0; i < m && n > 1 && n % 4 != 0; i++)
            *at(a, i, n - 1) = *at(a, i, n - 2);
        break;
    case ASSAY_MUT_LARGE_BATCH:
        if (m >= 64)
            *at(a, 63, n - 1) *= -1;
        break;
    case ASSAY_MUT_MID_BATCH:
        if (m > 1 && m % 4 == 1)
            *at(a, m - 1, 0) = *at(a, m - 2, 0);
        break;
    case ASSAY_MUT_ONE_ROW_W:
        if (n == 1)
            *at(a, 0, 0) *= -1;
        break;
    case ASSAY_MUT_SECOND_CALL:
        if (a->c->calls > 0)
            *at(a, 0, n / 2) *= 2;
        break;
    case ASSAY_MUT_SCRATCH_ADDED:
    case ASSAY_MUT_SCRATCH_TIMES_0:
        fresh = malloc(4096);
        if (fresh != NULL)
            *at(a, 0, 0) += (mut == ASSAY_MUT_SCRATCH_TIMES_0 ? 0 : 1) * fresh[37];
        free((float *)(uintptr_t)fresh);
        break;
    default:
        break;
    }
}

/* Two threads add a half each to the last column, and now and then one addition is lost. */
static void race(const struct call *a) {
    for (size_t i = 0; i < a->m && a->c->base.threads > 1; i++) {
        volatile float *out = at(a, i, a->n - 1);
        float half = *out / 2;
        *out = 0;
#pragma omp parallel num_threads(2)
        {
            float old = *out;
            sched_yield();
            *out = old + half;
        }
    }
}

/* ---- What y held before ---- */

static bool needs_old_y(enum assay_mutation mut) {
    return mut == ASSAY_MUT_ADDS_TO_Y || mut == ASSAY_MUT_Y_TIMES_0 || mut == ASSAY_MUT_UNWRITTEN ||
           mut == ASSAY_MUT_THREAD_TAIL;
}

static enum assay_status keep_y(const struct call *a, struct assay_error *err) {
    struct model_ctx *c = a->c;

    free(c->kept_y);
    c->kept_y = malloc(a->m * a->n * sizeof *c->kept_y);
    if (c->kept_y == NULL)
        return assay_fail(err, ASSAY_ENOMEM, "out of memory");
    for (size_t i = 0; i < a->m; i++)
        memcpy(c->kept_y + i * a->n, at(a, i, 0), a->n * sizeof *c->kept_y);
    return ASSAY_OK;
}

static void use_old_y(const struct call *a, enum assay_mutation mut) {
    bool threads = a->c->base.threads > 1;

    for (size_t i = 0; i < a->m; i++)
        for (size_t j = 0; j < a->n; j++) {
            float old = a->c->kept_y[i * a->n + j], *v = at(a, i, j);
            bool last = j + 1 == a->n;
            if (mut == ASSAY_MUT_ADDS_TO_Y)
                *v += old;
            else if (mut == ASSAY_MUT_Y_TIMES_0)
                *v += 0 * old;
            else if (last && (mut == ASSAY_MUT_UNWRITTEN ? a->n % 2 == 1 : threads && a->n > 1))
                memcpy(v, &a->c->kept_y[i * a->n + j], sizeof *v);
        }
}

/* ---- x of this call, for the next ---- */

static void keep_x(const struct call *a) {
    struct model_ctx *c = a->c;
    size_t count = a->m * a->k;

    if (c->kept_x != NULL && c->kept_at == a->x && c->kept_m == a->m && c->kept_k == a->k &&
        c->fault->mutation == ASSAY_MUT_STALE_X)
        return;
    free(c->kept_x);
    c->kept_x = malloc(count * sizeof *a->x);
    if (c->kept_x == NULL)
        return;
    memcpy(c->kept_x, a->x, count * sizeof *a->x);
    c->kept_at = a->x;
    c->kept_m = a->m;
    c->kept_k = a->k;
}

/* ---- A call ---- */

enum assay_status assay_model_before(struct model_ctx *c, const struct assay_store *w,
                                     const float *x, size_t m, float *y, size_t ldy,
                                     struct assay_error *err) {
    struct call a = {c, w, x, m, w->rows, w->in, y, ldy};
    enum assay_mutation mut = c->fault->mutation;
    enum assay_status status;

    if (c->fault->type != w->type->type)
        return ASSAY_OK;
    status = crash(&a, mut, err);
    stray_read(&a, mut);
    if (status == ASSAY_OK && needs_old_y(mut))
        status = keep_y(&a, err);
    return status;
}

void assay_model_after(struct model_ctx *c, const struct assay_store *w, const float *x, size_t m,
                       float *y, size_t ldy) {
    struct call a = {c, w, x, m, w->rows, w->in, y, ldy};
    enum assay_mutation mut = c->fault->mutation;

    if (c->fault->type != w->type->type)
        return;
    damage_all(&a, mut);
    damage_some(&a, mut);
    if (mut == ASSAY_MUT_RACE)
        race(&a);
    if (needs_old_y(mut))
        use_old_y(&a, mut);
    if (mut == ASSAY_MUT_STALE_X || mut == ASSAY_MUT_STALE_SLOTS)
        keep_x(&a);
    stray_write(&a, mut);
    leave_behind(mut);
}
