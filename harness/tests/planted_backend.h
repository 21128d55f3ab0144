/* The scalar backend with one planted fault at a time in what it does beside multiplying: what the
 * checks of behaviour must find. It claims every property. */
#ifndef ASSAY_HARNESS_TESTS_PLANTED_BACKEND_H
#define ASSAY_HARNESS_TESTS_PLANTED_BACKEND_H

#include "harness/check.h"
#include "impl/backend.h"

enum planted_fault {
    PLANTED_NONE,
    /* special values */
    PLANTED_SWALLOWS_NAN,      /* NaN activations count as zero */
    PLANTED_SWALLOWS_INF,      /* infinite results become the largest number */
    PLANTED_SPREADS_TO_COLUMN, /* a non-finite output also spoils the next column */
    PLANTED_SPREADS_TO_ROW,    /* and the next row */
    PLANTED_FLUSHES_SCALES,    /* subnormal binary16 scales count as zero (Q4_0) */
    PLANTED_DIVIDES_BY_ZERO,   /* an output that is exactly zero becomes NaN */
    /* invariance: most move the first output of the last row by one unit in the last place */
    PLANTED_STALE_WORKSPACE, /* after a larger batch */
    PLANTED_UNINITIALISED,   /* depends on what malloc returns */
    PLANTED_EVERY_OTHER_CALL,
    PLANTED_DROPS_ROW_AT_TWO, /* row 20 of W is not written with two threads */
    PLANTED_BATCH_ORDER,      /* from m = 5 on */
    PLANTED_OTHER_ROWS,       /* where the first row of x has an element beyond 100 */
    PLANTED_SLICE,            /* where n is below 8 */
    PLANTED_ALIGNMENT,        /* where W is at address 3 modulo 4 */
    /* metamorphic */
    PLANTED_CLIPS,      /* activations beyond ±8 */
    PLANTED_MAGNITUDE,  /* |y| */
    PLANTED_ROW_NUMBER, /* odd columns, by one unit in the last place */
    PLANTED_ADDS,       /* 0.01 to every output */
    PLANTED_STRIDE,     /* where ldy is not n, by one unit in the last place */
    /* memory; planted_distance bytes beyond the operand are touched */
    PLANTED_READS_PAST_W,
    PLANTED_READS_PAST_X,
    PLANTED_READS_BEFORE_W,
    PLANTED_WRITES_PAST_Y,
    PLANTED_WRITES_GAP,
    PLANTED_WRITES_X,
    PLANTED_USES_SLACK,    /* bytes past W that are not on another page decide */
    PLANTED_CRASHES_AT_15, /* m = 15 */
    /* hygiene */
    PLANTED_FTZ,
    PLANTED_ROUNDS_UP,
    PLANTED_X87,
    PLANTED_DIRECTION,
    PLANTED_UPPER,
    PLANTED_CALLERS_STACK,
    PLANTED_TRAPS,
    PLANTED_LEAKS_FD,
    PLANTED_LEAKS_64K,
    PLANTED_LEAKS_8,
    PLANTED_LEAKS_PAGE,
    PLANTED_LEAKS_THREAD,
    PLANTED_LEAKS_CONTEXT,
    PLANTED_CWD,
    PLANTED_UMASK,
    PLANTED_SIGNAL_MASK,
    PLANTED_HANDLER,
    PLANTED_ENVIRONMENT,
};

extern enum planted_fault planted_fault;
extern size_t planted_distance;
extern const struct assay_backend planted_backend;

enum assay_status planted_gemm(struct assay_ctx *ctx, const struct assay_store *w, const float *x,
                               size_t m, float *y, size_t ldy, struct assay_error *err);

/* Runs a check on a backend with one thread. */
json_t *planted_check(const struct assay_check *check, const struct assay_backend *backend,
                      enum assay_isa isa, const char *type);

/* Asserts that the check finds the fault at the type, and that the finding's sentence holds
 * `words`. */
void planted_assert_found(const struct assay_check *check, enum planted_fault fault,
                          const char *type, const char *words);
/* Asserts that the check passes the backend without fault, and every registered one of this build
 * but ggml, at a type of each kind. */
void planted_assert_no_alarm(const struct assay_check *check);

#endif
