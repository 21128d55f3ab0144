/* Verify before timing: an unverified kernel gets no number. */
#include <fenv.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_internal.h"
#include "timer.h"

/* Fence of struct assay_output, in floats: a multiple of 16 keeps y on a cache line. */
#define FENCE 64

/* The sample: RANGES ranges of neighbouring columns, evenly spread, the first and the last columns
 * among them; fewer columns a range the more rows there are, so that the reference stays cheap. */
#define RANGES 8

size_t bench_range_length(const struct bench_run *run) {
    size_t n = run->matrix->n, wanted = 256 / (run->rows < 256 ? run->rows : 256);

    wanted = wanted > 8 ? 8 : wanted < 1 ? 1 : wanted;
    return n < RANGES * wanted ? 1 : wanted;
}

size_t bench_range_count(const struct bench_run *run) {
    return run->matrix->n < RANGES ? run->matrix->n : RANGES;
}

size_t bench_range_start(const struct bench_run *run, size_t i) {
    size_t count = bench_range_count(run), last = run->matrix->n - bench_range_length(run);
    return count == 1 ? 0 : last * i / (count - 1);
}

float *bench_output_new(size_t m, size_t n) {
    size_t floats = (m * n + 2 * FENCE + 15) / 16 * 16;
    float *base = aligned_alloc(64, floats * sizeof *base);
    return base != NULL ? base + FENCE : NULL;
}

void bench_output_free(float *y) {
    if (y != NULL)
        free(y - FENCE);
}

/* Reference of all ranges, one after the other, for this class. Classes are few, and contenders of
 * one class mostly follow each other. */
static bool make_reference(struct bench_run *run, const struct assay_arith *arith) {
    const struct assay_bench_matrix *m = run->matrix;
    const size_t row_bytes = run->weight_bytes / assay_bench_rows(m),
                 length = bench_range_length(run);
    const size_t per_range = run->rows * length;

    if (run->reference != NULL && memcmp(arith, &run->reference_arith, sizeof *arith) == 0)
        return true;
    if (run->reference == NULL)
        run->reference = malloc(bench_range_count(run) * per_range * sizeof *run->reference);
    if (run->reference == NULL)
        return false;
    run->reference_arith = *arith;
    for (size_t i = 0; i < bench_range_count(run); i++)
        if (assay_ref_gemm(m->type, run->weights + bench_range_start(run, i) * row_bytes, row_bytes,
                           length, m->k, run->x, run->rows, arith,
                           run->reference + i * per_range) != 0)
            return false;
    return true;
}

static bool compare(struct bench_run *run, struct bench_entry *e, const struct assay_output *out) {
    const struct assay_bench_matrix *m = run->matrix;
    const size_t length = bench_range_length(run), per_range = run->rows * length;

    if (!make_reference(run, &e->arith))
        return false;
    for (size_t i = 0; i < bench_range_count(run); i++)
        assay_compare_columns(&e->comparison, out, bench_range_start(run, i), length,
                              run->reference + i * per_range, &e->arith, m->type, m->k);
    return true;
}

static void describe(const struct assay_comparison *c, char *text, size_t size) {
    if (c->found == ASSAY_FOUND_WRONG || c->found == ASSAY_FOUND_UNWRITTEN)
        snprintf(text, size, "%s: y[%zu,%zu] = %.9g, expected %.9g ± %.3g (%.3g × the bound)",
                 assay_problem_kind_text(c->found), c->worst.row, c->worst.col,
                 (double)c->worst.got, c->worst.expected, c->worst.bound, c->worst.ratio);
    else
        snprintf(text, size, "%s", assay_problem_kind_text(c->found));
}

/* Elements that the sample leaves out are held to one thing: where every element of the sample is
 * finite, the weights and activations are, so that no NaN, poison among them, can be right. */
static bool find_nan(const struct bench_run *run, const struct assay_comparison *c, char *text,
                     size_t size) {
    const size_t m = run->rows, n = run->matrix->n;

    if (c->bounded != c->elements)
        return false;
    for (size_t i = 0; i < m * n; i++)
        if (isnan(run->y[i])) {
            snprintf(text, size, "y[%zu,%zu] is NaN or was not written", i / n, i % n);
            return true;
        }
    return false;
}

void bench_verify(struct bench_run *run, struct bench_entry *e) {
    const struct assay_bench_matrix *m = run->matrix;
    struct assay_output out = {
        .y = run->y,
        .m = run->rows,
        .n = m->n,
        .ldy = m->n,
        .base = run->y - FENCE,
        .base_len = run->rows * m->n + 2 * FENCE,
    };
    struct assay_error err = {0};
    enum assay_status status;
    uint64_t start;
    fenv_t environment;

    assay_output_poison(&out);
    assay_comparison_init(&e->comparison);
    /* A kernel that changes the rounding mode must not move the reference. */
    fegetenv(&environment);
    start = assay_now_ns();
    status = e->experts != NULL
                 ? bench_multiply_experts(run, e, 0, &err)
                 : gemm_quant(e->ctx, e->stores[0], run->x, run->rows, run->y, m->n, &err);
    e->verify_ns = (double)(assay_now_ns() - start);
    fesetenv(&environment);
    if (status != ASSAY_OK) {
        e->status = BENCH_FAILED;
        snprintf(e->reason, sizeof e->reason, "%s", err.message);
        return;
    }
    if (!(e->experts != NULL ? bench_compare_experts(run, e, &out) : compare(run, e, &out))) {
        e->status = BENCH_FAILED;
        snprintf(e->reason, sizeof e->reason, "no memory for the reference");
        return;
    }
    assay_comparison_finish(&e->comparison, &out);
    e->verified = true;
    if (e->comparison.found != ASSAY_FOUND_NOTHING) {
        e->status = BENCH_WRONG;
        describe(&e->comparison, e->reason, sizeof e->reason);
    } else if (find_nan(run, &e->comparison, e->reason, sizeof e->reason)) {
        e->status = BENCH_WRONG;
    }
}

void bench_verify_end(struct bench_run *run) {
    free(run->reference);
    run->reference = NULL;
}
