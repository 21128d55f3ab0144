/* Indexed products over a stack of experts, as a case of bench. */
#include <stdlib.h>

#include "bench_internal.h"
#include "datasets/rng.h"

/* Experts among `n` ids. */
static size_t count_distinct(const int64_t *ids, size_t n, size_t experts, bool *seen) {
    size_t distinct = 0;

    for (size_t i = 0; i < experts; i++)
        seen[i] = false;
    for (size_t i = 0; i < n; i++) {
        distinct += !seen[ids[i]];
        seen[ids[i]] = true;
    }
    return distinct;
}

/* A token's experts differ: the front of a shuffle. */
static void draw_token(struct assay_rng *rng, uint32_t *order, size_t experts, size_t used,
                       int64_t *ids) {
    for (size_t i = 0; i < used; i++) {
        size_t j = i + assay_rng_below(rng, (uint32_t)(experts - i));
        uint32_t t = order[i];
        order[i] = order[j];
        order[j] = t;
        ids[i] = order[i];
    }
}

bool bench_route(struct bench_run *run) {
    const struct assay_bench_matrix *m = run->matrix;
    const size_t all = BENCH_ROUTINGS * run->rows;
    struct bench_routing *r = &run->routing;
    uint32_t *order = malloc(m->experts * sizeof *order);
    bool *seen = malloc(m->experts * sizeof *seen);
    struct assay_rng rng;
    bool ok;

    r->share = m->own_rows ? 1 : m->used;
    r->ids = calloc(all, sizeof *r->ids);
    ok = order != NULL && seen != NULL && r->ids != NULL;
    if (ok) {
        for (size_t i = 0; i < m->experts; i++)
            order[i] = (uint32_t)i;
        assay_rng_seed(&rng, assay_bench_seed(run->plan, m));
        for (size_t i = 0; i < all; i += m->used)
            draw_token(&rng, order, m->experts, m->used, r->ids + i);
        for (size_t i = 0; i < all; i += run->rows)
            r->used +=
                (double)count_distinct(r->ids + i, run->rows, m->experts, seen) / BENCH_ROUTINGS;
        r->touched = count_distinct(r->ids, all, m->experts, seen);
    }
    free(order);
    free(seen);
    return ok;
}

enum assay_status bench_multiply_experts(const struct bench_run *run, struct bench_entry *e,
                                         size_t turn, struct assay_error *err) {
    const struct bench_routing *r = &run->routing;

    return gemm_quant_id(e->ctx, e->experts, r->ids + turn % BENCH_ROUTINGS * run->rows, run->rows,
                         run->x, r->share, run->y, run->matrix->n, err);
}

static size_t rows_of(const struct bench_run *run, int64_t id) {
    size_t rows = 0;

    for (size_t i = 0; i < run->rows; i++)
        rows += run->routing.ids[i] == id;
    return rows;
}

bool bench_compare_experts(const struct bench_run *run, struct bench_entry *e,
                           const struct assay_output *out) {
    const struct assay_bench_matrix *m = run->matrix;
    const size_t row_bytes = run->weight_bytes / assay_bench_rows(m);
    const size_t length = bench_range_length(run);
    struct assay_ref_elem *reference = malloc(length * sizeof *reference);
    bool ok = reference != NULL;

    for (size_t i = 0; i < run->rows && ok; i++) {
        const int64_t id = run->routing.ids[i];
        struct assay_arith arith;

        ok = assay_ctx_arith(e->ctx, m->type, rows_of(run, id), &arith, NULL) == ASSAY_OK;
        for (size_t range = 0; range < bench_range_count(run) && ok; range++) {
            const size_t first = bench_range_start(run, range);

            ok = assay_ref_gemm(m->type, run->weights + ((size_t)id * m->n + first) * row_bytes,
                                row_bytes, length, m->k, run->x + i / run->routing.share * m->k, 1,
                                &arith, reference) == 0;
            if (ok)
                assay_compare_row(&e->comparison, out, i, first, length, reference, &arith, m->type,
                                  m->k);
        }
    }
    free(reference);
    return ok;
}
