/* Shared by the parts of a bench case: bench_case.c (stores, timing), bench_verify.c,
 * bench_result.c (roofline look-ups, statistics, JSON). */
#ifndef ASSAY_HARNESS_BENCH_INTERNAL_H
#define ASSAY_HARNESS_BENCH_INTERNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "bench_plan.h"
#include "compare.h"
#include "roofline.h"

#define BENCH_MAX_COPIES 256

enum bench_status {
    BENCH_MEASURED = 0,
    BENCH_SKIPPED, /* unavailable, or a type or shape that it does not take */
    BENCH_WRONG,
    BENCH_FAILED,
};

/* A contender in a case. */
struct bench_entry {
    const struct assay_bench_contender *contender;
    enum bench_status status;
    char reason[240];
    struct assay_ctx *ctx;
    struct assay_arith arith;
    struct assay_store *stores[BENCH_MAX_COPIES];
    uint8_t *copies[BENCH_MAX_COPIES]; /* bytes that stores[i] borrows; NULL: not of its own */
    size_t n_stores, next_store;
    struct assay_experts *experts; /* instead of stores[], of a stack */
    size_t resident;               /* bytes of one store, or of the stack */
    char kernel[64];
    enum assay_isa isa; /* of the roofline */

    bool verified;
    double verify_ns; /* of the call that was judged */
    struct assay_comparison comparison;

    double *ns; /* per call, one a round */
    size_t rounds, repeats;

    enum assay_peak peak_kind;
    double bandwidth, peak, roof_ns;
    const char *from;
};

/* Random choices of experts, one a call in turn, so that a stack comes from where a model's would:
 * not from the cache that the last call filled. */
#define BENCH_ROUTINGS 32
struct bench_routing {
    int64_t *ids; /* BENCH_ROUTINGS × rows; NULL: no stack */
    size_t share;
    double used;    /* distinct experts of a call, on average */
    size_t touched; /* distinct experts of all calls */
};

struct bench_run {
    const struct assay_bench_plan *plan;
    const struct assay_bench_case *c;
    const struct assay_bench_matrix *matrix;
    const uint8_t *weights;
    size_t weight_bytes;
    double ops;
    size_t x_rows, rows; /* of x and of y: m, or as many as experts are used */
    float *x, *y;
    size_t x_bytes;
    struct bench_routing routing; /* of a stack of experts */
    struct bench_entry *entries;
    size_t n_entries;
    volatile int *stage;

    /* The sample of verification: its reference, for the arithmetic class that it was made for. */
    struct assay_ref_elem *reference;
    struct assay_arith reference_arith;
};

/* m × n outputs, 64-byte aligned, with a fence around them. */
float *bench_output_new(size_t m, size_t n);
void bench_output_free(float *y);

/* Draws the routings of a run over a stack of experts; false if memory ran out. */
bool bench_route(struct bench_run *run);
/* One call with routing `turn` (modulo BENCH_ROUTINGS). */
enum assay_status bench_multiply_experts(const struct bench_run *run, struct bench_entry *e,
                                         size_t turn, struct assay_error *err);
/* Judges a sample of the columns of every row of y after the call of routing 0. False if memory ran
 * out. */
bool bench_compare_experts(const struct bench_run *run, struct bench_entry *e,
                           const struct assay_output *out);

/* The sample of columns that verification looks at: ranges, evenly spread. */
size_t bench_range_count(const struct bench_run *run);
size_t bench_range_length(const struct bench_run *run);
size_t bench_range_start(const struct bench_run *run, size_t i);

/* Operands: whole pages, read-only from lock to unlock, so that a kernel that writes to them
 * crashes in its own name instead of spoiling its neighbours'. Freed with free() after unlock;
 * NULL: no memory. */
void *bench_input_new(size_t size);
void bench_input_lock(void *input, size_t size);
void bench_input_unlock(void *input, size_t size);

/* Multiplies once and judges a sample of the output's columns against the reference; sets e->status
 * if it is wrong. */
void bench_verify(struct bench_run *run, struct bench_entry *e);
void bench_verify_end(struct bench_run *run);

/* The roofline's figures: kept from the first call on, or measured again and the better one kept.
 */
double bench_bandwidth(size_t bytes, int threads, enum assay_isa isa, bool again);
double bench_peak(enum assay_peak kind, int threads, enum assay_isa isa, bool again);

/* Completes *identity (stolen) with every entry's figures. */
json_t *bench_result_json(const struct bench_run *run, json_t *identity);

#endif
