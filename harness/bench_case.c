#include "bench_case.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_internal.h"
#include "bench_measure.h"
#include "datasets/generate.h"
#include "env.h"
#include "stats.h"

/* Where the size of the last-level cache is unknown. */
#define ASSUMED_CACHE_BYTES (32u << 20)

static size_t last_level_bytes(void) {
    const struct assay_env *e = assay_env_get();
    uint64_t bytes = e->l3_bytes != 0 ? e->l3_bytes : e->l2_bytes;
    return bytes != 0 ? (size_t)bytes : ASSUMED_CACHE_BYTES;
}

/* The cache that a working set, read over and over by `threads` threads, comes from. */
static const char *level_of(size_t bytes, int threads) {
    const struct assay_env *e = assay_env_get();

    if (bytes / (size_t)threads <= e->l2_bytes)
        return "L2";
    return bytes <= e->l3_bytes ? "L3" : "DRAM";
}

/* Weights of the matrix of the last case: cases of one matrix follow each other. */
static const uint8_t *weights_of(const struct assay_bench_plan *p, size_t matrix) {
    static size_t kept = SIZE_MAX;
    static size_t kept_bytes;
    static uint8_t *owned;
    static const uint8_t *bytes;

    if (kept != matrix) {
        if (owned != NULL)
            bench_input_unlock(owned, kept_bytes);
        free(owned);
        bytes = assay_bench_weights(p, matrix, &owned);
        kept_bytes = assay_bench_weight_bytes(p, matrix);
        if (owned != NULL)
            bench_input_lock(owned, kept_bytes);
        kept = bytes != NULL ? matrix : SIZE_MAX;
    }
    return bytes;
}

/* ---- A contender's stores -------------------------------------------------------------------- */

static void set_status(struct bench_entry *e, enum bench_status status, const char *reason) {
    e->status = status;
    snprintf(e->reason, sizeof e->reason, "%s", reason);
}

/* Not taking a type, or not being there, is no fault; everything else is. */
static void set_error(struct bench_entry *e, const struct assay_error *err) {
    set_status(e, err->status == ASSAY_EUNSUPPORTED ? BENCH_SKIPPED : BENCH_FAILED, err->message);
}

static bool add_store(struct bench_run *run, struct bench_entry *e) {
    const struct assay_bench_matrix *m = run->matrix;
    struct assay_error err = {0};
    uint8_t *copy = NULL;
    const uint8_t *bytes = run->weights;

    /* Stores that borrow need bytes of their own to be apart in memory; the first takes the given
     * ones. */
    if (e->n_stores > 0 && !assay_store_owns_weights(e->stores[0])) {
        bytes = copy = aligned_alloc(64, (run->weight_bytes + 63) / 64 * 64);
        if (copy == NULL) {
            set_status(e, BENCH_FAILED, "no memory for copies of the weights");
            return false;
        }
        memcpy(copy, run->weights, run->weight_bytes);
    }
    if (assay_store_create(e->ctx, m->type->type, bytes, run->weight_bytes, m->n, m->k,
                           &e->stores[e->n_stores], &err) != ASSAY_OK) {
        free(copy);
        set_error(e, &err);
        return false;
    }
    e->copies[e->n_stores++] = copy;
    return true;
}

static bool add_experts(const struct bench_run *run, struct bench_entry *e) {
    const struct assay_bench_matrix *m = run->matrix;
    struct assay_error err = {0};

    if (assay_experts_create(e->ctx, m->type->type, run->weights, run->weight_bytes, m->experts,
                             m->n, m->k, &e->experts, &err) != ASSAY_OK) {
        set_error(e, &err);
        return false;
    }
    e->n_stores = 1;
    e->resident = assay_experts_bytes(e->experts);
    return true;
}

static bool add_stores(struct bench_run *run, struct bench_entry *e) {
    size_t wanted = 1;

    if (!add_store(run, e))
        return false;
    e->resident = assay_store_bytes(e->stores[0]);
    if (run->plan->cold && e->resident > 0)
        wanted = (2 * last_level_bytes() + e->resident - 1) / e->resident;
    while (e->n_stores < wanted && e->n_stores < BENCH_MAX_COPIES)
        if (!add_store(run, e))
            return false;
    return true;
}

/* Rows of x that a kernel gets in one product. */
static size_t kernel_rows(const struct bench_run *run) {
    return run->matrix->experts > 0 ? (size_t)((double)run->rows / run->routing.used + 0.5)
                                    : run->rows;
}

static void prepare(struct bench_run *run, struct bench_entry *e) {
    const struct assay_runner *r = &e->contender->runner;
    const struct assay_type_traits *t = run->matrix->type;
    struct assay_ctx_params params = {r->backend, r->isa, run->c->threads, r->variant};
    struct assay_error err = {0};

    if (!assay_backend_available(r->backend, err.message, sizeof err.message)) {
        set_status(e, BENCH_SKIPPED, err.message);
        return;
    }
    if (!assay_backend_supports(r->backend, t)) {
        snprintf(err.message, sizeof err.message, "%s does not take %s",
                 assay_backend_name(r->backend), t->name);
        set_status(e, BENCH_SKIPPED, err.message);
        return;
    }
    if (assay_ctx_create(&params, &e->ctx, &err) != ASSAY_OK ||
        assay_ctx_arith(e->ctx, t, kernel_rows(run), &e->arith, &err) != ASSAY_OK) {
        set_error(e, &err);
        return;
    }
    if (!(run->matrix->experts > 0 ? add_experts(run, e) : add_stores(run, e)))
        return;
    snprintf(e->kernel, sizeof e->kernel, "%s", assay_ctx_kernel(e->ctx, t, kernel_rows(run)));
    /* A backend without a choice runs whatever its library likes best. */
    e->isa = assay_backend_uses_isa(r->backend) ? assay_ctx_isa(e->ctx) : ASSAY_ISA_AUTO;
}

static void entry_free(struct bench_entry *e) {
    assay_experts_free(e->experts);
    for (size_t i = 0; i < e->n_stores; i++) {
        assay_store_free(e->stores[i]);
        free(e->copies[i]);
    }
    assay_ctx_free(e->ctx);
    free(e->ns);
}

/* ---- Timing ---------------------------------------------------------------------------------- */

struct turn {
    struct bench_run *run;
    size_t entry;
};

static bool multiply(void *user) {
    const struct turn *t = user;
    struct bench_run *run = t->run;
    struct bench_entry *e = &run->entries[t->entry];
    const size_t turn = e->next_store++;
    struct assay_error err = {0};

    *run->stage = (int)t->entry;
    if ((e->experts != NULL ? bench_multiply_experts(run, e, turn, &err)
                            : gemm_quant(e->ctx, e->stores[turn % e->n_stores], run->x, run->rows,
                                         run->y, run->matrix->n, &err)) != ASSAY_OK)
        set_status(e, BENCH_FAILED, err.message);
    *run->stage = -1;
    return e->status == BENCH_MEASURED;
}

static void rest(void *user) {
    const struct turn *t = user;

    assay_ctx_rest(t->run->entries[t->entry].ctx);
}

static void measure(struct bench_run *run) {
    const struct assay_bench_plan *p = run->plan;
    const struct assay_measure_params params = {
        .samples = p->samples,
        .min_s = p->min_s,
        .max_s = p->max_s,
        .sample_s = 1e-3,
        .seed = p->seed ^ run->c->m,
    };
    struct assay_contestant contestants[ASSAY_BENCH_MAX_CONTENDERS];
    struct turn turns[ASSAY_BENCH_MAX_CONTENDERS];
    size_t n = 0, failed, rounds;

    for (size_t i = 0; i < run->n_entries; i++) {
        if (run->entries[i].status != BENCH_MEASURED)
            continue;
        turns[n] = (struct turn){run, i};
        contestants[n] = (struct assay_contestant){.call = multiply,
                                                   .rest = rest,
                                                   .user = &turns[n],
                                                   .known_ns = run->entries[i].verify_ns};
        n++;
    }
    rounds = n > 0 ? assay_measure(&params, contestants, n, &failed) : 0;
    for (size_t i = 0; i < n; i++) {
        struct bench_entry *e = &run->entries[turns[i].entry];
        e->ns = contestants[i].ns;
        e->rounds = rounds;
        e->repeats = contestants[i].repeats;
        if (rounds == 0 && e->status == BENCH_MEASURED)
            set_status(e, BENCH_FAILED, "not measured: another backend failed in its round");
    }
}

/* Times that a roof is measured: one that a product went through was taken in a bad moment. */
#define ROOF_ATTEMPTS 4

/* The least time that this product could take here: its operands read once at the speed of the
 * memory they lie in, or its operations at the peak of its arithmetic, whichever is longer. */
static void put_under_roof(struct bench_run *run, struct bench_entry *e) {
    const size_t n = run->matrix->n, k = run->matrix->k, experts = run->matrix->experts;
    const struct bench_routing *r = &run->routing;
    const size_t io = 4 * (run->x_rows * k + run->rows * n);
    /* Of a stack, only what is routed to is read. */
    const double weights =
        experts > 0 ? (double)e->resident * r->used / (double)experts : (double)e->resident;
    const size_t all_weights =
        experts > 0 ? e->resident / experts * r->touched : e->resident * e->n_stores;
    const double traffic = weights + (double)io;
    const size_t set = all_weights + io;
    const double median = assay_median(e->ns, e->rounds);
    const int threads = run->c->threads;

    e->peak_kind = e->arith.act == ASSAY_ACT_F32 ? ASSAY_PEAK_FP32 : ASSAY_PEAK_INT8;
    e->from = level_of(all_weights, threads);
    for (int i = 0; i == 0 || (i < ROOF_ATTEMPTS && e->roof_ns > median); i++) {
        e->bandwidth = bench_bandwidth(set, threads, e->isa, i > 0);
        e->peak = bench_peak(e->peak_kind, threads, e->isa, i > 0);
        e->roof_ns = 1e9 * fmax(traffic / e->bandwidth, run->ops / e->peak);
    }
}

/* ---- The case -------------------------------------------------------------------------------- */

static bool run_begin(struct bench_run *run) {
    const struct assay_bench_matrix *m = run->matrix;
    size_t row_bytes;

    if (!assay_row_bytes(m->type, m->k, &row_bytes))
        return false;
    run->rows = run->c->m * (m->experts > 0 ? m->used : 1);
    run->x_rows = m->own_rows ? run->rows : run->c->m;
    run->weight_bytes = row_bytes * assay_bench_rows(m);
    run->ops = 2.0 * (double)run->rows * (double)m->n * (double)m->k;
    run->weights = weights_of(run->plan, run->c->matrix);
    run->x_bytes = run->x_rows * m->k * sizeof *run->x;
    run->x = bench_input_new(run->x_bytes);
    run->y = bench_output_new(run->rows, m->n);
    if (run->weights == NULL || run->x == NULL || run->y == NULL ||
        (m->experts > 0 && !bench_route(run)))
        return false;
    assay_generate_acts(ASSAY_AGEN_NORMAL, assay_bench_seed(run->plan, m) + run->c->m, run->x_rows,
                        m->k, run->x);
    bench_input_lock(run->x, run->x_bytes);
    return true;
}

json_t *assay_bench_run_case(const struct assay_bench_plan *p, size_t i, volatile int *stage,
                             const char *const *crashed) {
    struct bench_entry *entries = calloc(p->n_contenders, sizeof *entries);
    struct bench_run run = {
        .plan = p,
        .c = &p->cases[i],
        .matrix = &p->matrices[p->cases[i].matrix],
        .entries = entries,
        .n_entries = p->n_contenders,
        .stage = stage,
    };
    json_t *result = NULL;

    *stage = -1;
    if (entries != NULL && run_begin(&run)) {
        for (size_t e = 0; e < run.n_entries; e++) {
            entries[e].contender = &p->contenders[e];
            if (crashed != NULL && crashed[e] != NULL) {
                snprintf(entries[e].reason, sizeof entries[e].reason, "crashed: %s", crashed[e]);
                entries[e].status = BENCH_FAILED;
                continue;
            }
            *stage = (int)e;
            prepare(&run, &entries[e]);
            if (p->verify && entries[e].status == BENCH_MEASURED)
                bench_verify(&run, &entries[e]);
            *stage = -1;
        }
        measure(&run);
        for (size_t e = 0; e < run.n_entries; e++)
            if (entries[e].status == BENCH_MEASURED)
                put_under_roof(&run, &entries[e]);
        result = bench_result_json(&run, assay_bench_describe(p, i));
    }
    for (size_t e = 0; entries != NULL && e < run.n_entries; e++)
        entry_free(&entries[e]);
    bench_verify_end(&run);
    free(entries);
    if (run.x != NULL)
        bench_input_unlock(run.x, run.x_bytes);
    free(run.routing.ids);
    free(run.x);
    bench_output_free(run.y);
    return result;
}
