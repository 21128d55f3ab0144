#include "planted_backend.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <fenv.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum planted_fault planted_fault;
size_t planted_distance;

static enum assay_status scalar(struct assay_ctx *ctx, const struct assay_store *w, const float *x,
                                size_t m, float *y, size_t ldy) {
    return assay_backend_scalar.gemm(ctx, w, x, m, y, ldy, NULL);
}

/* One unit in the last place, away from zero. */
static void nudge(float *v) {
    if (*v != 0 && isfinite(*v))
        *v = nextafterf(*v, copysignf(INFINITY, *v));
}

/* ---- Changed inputs ---- */

static enum assay_status with_x(struct assay_ctx *ctx, const struct assay_store *w, const float *x,
                                size_t m, float *y, size_t ldy) {
    size_t count = m * w->in;
    float *changed = malloc(count * sizeof *changed);
    enum assay_status status;

    for (size_t i = 0; i < count; i++)
        changed[i] = planted_fault == PLANTED_SWALLOWS_NAN ? (isnan(x[i]) ? 0 : x[i])
                                                           : fmaxf(-8, fminf(8, x[i]));
    status = scalar(ctx, w, changed, m, y, ldy);
    free(changed);
    return status;
}

/* Q4_0: a binary16 scale at the start of each block. */
static enum assay_status without_subnormals(struct assay_ctx *ctx, const struct assay_store *w,
                                            const float *x, size_t m, float *y, size_t ldy) {
    size_t size = w->rows * w->row_bytes;
    uint8_t *changed = malloc(size);
    struct assay_store copy = *w;
    enum assay_status status;

    memcpy(changed, w->bytes, size);
    for (size_t at = 0; at < size; at += w->type->block_bytes)
        if ((changed[at + 1] & 0x7c) == 0)
            changed[at] = changed[at + 1] = 0;
    copy.bytes = changed;
    status = scalar(ctx, &copy, x, m, y, ldy);
    free(changed);
    return status;
}

/* ---- Changed outputs ---- */

static void spoil_neighbours(size_t m, size_t n, float *y, size_t ldy) {
    size_t rows = planted_fault == PLANTED_SPREADS_TO_ROW, cols = !rows;

    for (size_t i = m; i-- > rows;)
        for (size_t j = n; j-- > cols;)
            if (!isfinite(y[(i - rows) * ldy + j - cols]))
                y[i * ldy + j] = NAN;
}

static void change_all(size_t m, size_t n, float *y, size_t ldy) {
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            float *v = &y[i * ldy + j];
            if (planted_fault == PLANTED_SWALLOWS_INF)
                *v = isinf(*v) ? copysignf(3e38f, *v) : *v;
            else if (planted_fault == PLANTED_DIVIDES_BY_ZERO)
                *v = *v == 0 ? NAN : *v;
            else if (planted_fault == PLANTED_MAGNITUDE)
                *v = fabsf(*v);
            else if (planted_fault == PLANTED_ADDS)
                *v += 0.01f;
            else if (j % 2)
                nudge(v);
        }
}

/* What sanitizers would stop before a check could find it. */
#define STRAYS __attribute__((no_sanitize("address", "undefined")))

/* Whether what moves one output by one unit applies to this call. */
STRAYS static bool nudges(const struct assay_store *w, const float *x, size_t m, size_t ldy) {
    static int calls;
    static size_t largest;
    bool other = false, stale = m < largest;
    volatile unsigned char *fresh;

    switch (planted_fault) {
    case PLANTED_STALE_WORKSPACE:
        largest = m > largest ? m : largest;
        return stale;
    case PLANTED_UNINITIALISED:
        fresh = malloc(1000);
        other = fresh[500] & 1;
        free((void *)(uintptr_t)fresh);
        return other;
    case PLANTED_EVERY_OTHER_CALL:
        return calls++ % 2;
    case PLANTED_BATCH_ORDER:
        return m >= 5;
    case PLANTED_OTHER_ROWS:
        for (size_t k = 0; k < w->in; k++)
            other = other || fabsf(x[k]) > 100;
        return other && m > 1;
    case PLANTED_SLICE:
        return w->rows < 8;
    case PLANTED_ALIGNMENT:
        return (uintptr_t)w->bytes % 4 == 3;
    case PLANTED_STRIDE:
        return ldy != w->rows;
    case PLANTED_USES_SLACK: {
        const volatile uint8_t *end = w->bytes + w->rows * w->row_bytes;
        return (uintptr_t)end % 4096 != 0 && *end == 0xff;
    }
    default:
        return false;
    }
}

/* ---- Stray accesses ---- */

STRAYS static void touch(const struct assay_store *w, const float *x, size_t m, float *y,
                         size_t ldy) {
    size_t d = planted_distance;
    const volatile char *w_at = (const volatile char *)w->bytes;
    const volatile char *x_end = (const volatile char *)(x + m * w->in);
    volatile float *y_at = y;
    static int *volatile nowhere;

    switch (planted_fault) {
    case PLANTED_READS_PAST_W:
        (void)w_at[w->rows * w->row_bytes + d - 1];
        break;
    case PLANTED_READS_BEFORE_W:
        (void)w_at[-(ptrdiff_t)d];
        break;
    case PLANTED_READS_PAST_X:
        (void)x_end[d - 1];
        break;
    case PLANTED_WRITES_PAST_Y:
        y_at[(m - 1) * ldy + w->rows + (d - 1) / 4] = 0;
        break;
    case PLANTED_WRITES_GAP:
        if (ldy > w->rows && m > 1)
            y_at[w->rows] = 0;
        break;
    case PLANTED_WRITES_X:
        *(volatile float *)(uintptr_t)x = *x;
        break;
    case PLANTED_CRASHES_AT_15:
        if (m == 15)
            *nowhere = 0;
        break;
    default:
        break;
    }
}

/* ---- What is left behind ---- */

static void *sleeper(void *arg) {
    for (;;)
        pause();
    return arg;
}

static void on_signal(int sig) { (void)sig; }

#ifdef __x86_64__
static void leave_x86_state(void) {
    unsigned mxcsr = 0x9f80;

    switch (planted_fault) {
    case PLANTED_FTZ:
        __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
        break;
    case PLANTED_X87:
        __asm__ volatile("fld1");
        break;
    case PLANTED_DIRECTION:
        __asm__ volatile("std");
        break;
    case PLANTED_UPPER:
        __asm__ volatile("vpcmpeqd %%xmm0, %%xmm0, %%xmm0\n\t"
                         "vinsertf128 $1, %%xmm0, %%ymm0, %%ymm0" ::
                             : "xmm0");
        break;
    default:
        break;
    }
}
#endif

static void leave_behind(void) {
    sigset_t set;
    pthread_t thread;
    void *volatile lost = NULL;

    switch (planted_fault) {
    case PLANTED_ROUNDS_UP:
        fesetround(FE_UPWARD);
        break;
    case PLANTED_TRAPS:
#ifdef __GLIBC__
        feenableexcept(FE_DIVBYZERO);
#endif
        break;
    case PLANTED_LEAKS_FD:
        cr_assert_geq(open("/dev/null", O_RDONLY), 0);
        break;
    case PLANTED_LEAKS_64K:
        lost = malloc(64 * 1024);
        break;
    case PLANTED_LEAKS_8:
        lost = malloc(8);
        break;
    case PLANTED_LEAKS_PAGE:
        lost = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        break;
    case PLANTED_LEAKS_THREAD:
        cr_assert_eq(pthread_create(&thread, NULL, sleeper, NULL), 0);
        break;
    case PLANTED_CWD:
        cr_assert_eq(chdir("/"), 0);
        break;
    case PLANTED_UMASK:
        umask(0777);
        break;
    case PLANTED_SIGNAL_MASK:
        sigemptyset(&set);
        sigaddset(&set, SIGUSR2);
        sigprocmask(SIG_BLOCK, &set, NULL);
        break;
    case PLANTED_HANDLER:
        signal(SIGUSR1, on_signal);
        break;
    case PLANTED_ENVIRONMENT:
        setenv("PLANTED", "1", 1);
        break;
    default:
#ifdef __x86_64__
        leave_x86_state();
#endif
        break;
    }
    (void)lost;
}

/* ---- The backend ---- */

enum assay_status planted_gemm(struct assay_ctx *ctx, const struct assay_store *w, const float *x,
                               size_t m, float *y, size_t ldy, struct assay_error *err) {
    enum planted_fault f = planted_fault;
    enum assay_status status;
    float kept = y[20 < w->rows ? 20 : 0];

    (void)err;
    touch(w, x, m, y, ldy);
    status = f == PLANTED_SWALLOWS_NAN || f == PLANTED_CLIPS ? with_x(ctx, w, x, m, y, ldy)
             : f == PLANTED_FLUSHES_SCALES ? without_subnormals(ctx, w, x, m, y, ldy)
                                           : scalar(ctx, w, x, m, y, ldy);
    if (f == PLANTED_SPREADS_TO_COLUMN || f == PLANTED_SPREADS_TO_ROW)
        spoil_neighbours(m, w->rows, y, ldy);
    if (f == PLANTED_SWALLOWS_INF || f == PLANTED_DIVIDES_BY_ZERO || f == PLANTED_MAGNITUDE ||
        f == PLANTED_ADDS || f == PLANTED_ROW_NUMBER)
        change_all(m, w->rows, y, ldy);
    if (nudges(w, x, m, ldy))
        nudge(&y[(m - 1) * ldy]);
    if (f == PLANTED_DROPS_ROW_AT_TWO && ctx->threads == 2 && w->rows > 20)
        y[20] = kept;
#ifdef __x86_64__
    if (f ==
        PLANTED_CALLERS_STACK) /* above the saved frame pointer, the return address, two args */
        ((volatile uint64_t *)__builtin_frame_address(0))[4] = 0;
#endif
    leave_behind();
    return status;
}

static enum assay_status ctx_create(const struct assay_ctx_params *p, struct assay_ctx **out,
                                    struct assay_error *err) {
    if (planted_fault == PLANTED_LEAKS_CONTEXT) {
        void *volatile lost = malloc(100);
        (void)lost;
    }
    return assay_plain_ctx_create(p, out, err);
}

static void arith(const struct assay_ctx *ctx, const struct assay_type_traits *t, size_t m,
                  struct assay_arith *out) {
    assay_backend_scalar.arith(ctx, t, m, out);
}

static const char *kernel(const struct assay_ctx *ctx, const struct assay_type_traits *t,
                          size_t m) {
    (void)ctx;
    (void)t;
    return m < 8 ? "planted" : "planted_batch";
}

const struct assay_backend planted_backend = {
    .name = "planted",
    .summary = "the scalar backend with a planted fault",
    .claims = ASSAY_CLAIM_REPEATABLE | ASSAY_CLAIM_THREAD_INVARIANT | ASSAY_CLAIM_BATCH_INVARIANT |
              ASSAY_CLAIM_SLICE_INVARIANT | ASSAY_CLAIM_IEEE_SPECIALS,
    .supports = assay_plain_supports,
    .ctx_create = ctx_create,
    .ctx_free = assay_plain_ctx_free,
    .arith = arith,
    .kernel = kernel,
    .store_create = assay_plain_store_create,
    .store_free = assay_plain_store_free,
    .gemm = planted_gemm,
    .rows = assay_plain_rows,
};

/* ---- Running a check ---- */

json_t *planted_check(const struct assay_check *check, const struct assay_backend *backend,
                      enum assay_isa isa, const char *type) {
    struct assay_runner runner = {backend, "", isa, 1};
    struct assay_check_env env = {&runner, assay_type_by_name(type), 20, false};
    json_t *j = check->run(&env);

    cr_assert_not_null(j);
    return j;
}

static const char *member(const json_t *j, const char *key) {
    const char *s = json_string_value(json_object_get(j, key));
    return s != NULL ? s : "";
}

void planted_assert_found(const struct assay_check *check, enum planted_fault fault,
                          const char *type, const char *words) {
    json_t *j;

    planted_fault = fault;
    j = planted_check(check, &planted_backend, ASSAY_ISA_AUTO, type);
    planted_fault = PLANTED_NONE;
    cr_assert_str_eq(member(j, "verdict"), "fail", "%s/%s: fault %d", check->name, type,
                     (int)fault);
    cr_assert_not_null(strstr(member(j, "problem"), words), "%s/%s: '%s' does not say '%s'",
                       check->name, type, member(j, "problem"), words);
    json_decref(j);
}

static void assert_passes(const struct assay_check *check, const struct assay_backend *backend,
                          enum assay_isa isa, const char *type) {
    json_t *j = planted_check(check, backend, isa, type);

    cr_assert_str_neq(member(j, "verdict"), "fail", "%s/%s/%s/%s: %s", check->name, type,
                      assay_backend_name(backend), assay_isa_name(isa), member(j, "problem"));
    json_decref(j);
}

void planted_assert_no_alarm(const struct assay_check *check) {
    static const char *const types[] = {"f32",  "bf16", "q4_0",  "q5_1",  "q4_k",
                                        "q6_k", "q8_k", "iq1_m", "mxfp4", "nvfp4"};

    planted_fault = PLANTED_NONE;
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        assert_passes(check, &planted_backend, ASSAY_ISA_AUTO, types[t]);
        for (size_t i = 0; i < assay_backend_count(); i++) {
            const struct assay_backend *b = assay_backend_at(i);
            bool uses_isa = assay_backend_uses_isa(b);
            char why[100];
            if (assay_backend_is_peer(b) || !assay_backend_available(b, why, sizeof why))
                continue;
            for (int isa = uses_isa; isa < (uses_isa ? ASSAY_ISA_COUNT : 1); isa++)
                if (assay_isa_runs_here((enum assay_isa)isa))
                    assert_passes(check, b, (enum assay_isa)isa, types[t]);
        }
    }
}
