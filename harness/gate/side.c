#include "side.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "harness/timer.h"

static void refuse(struct assay_gate_side *s, enum bench_status status, const char *why) {
    s->entry.status = status;
    snprintf(s->entry.reason, sizeof s->entry.reason, "%s", why);
}

void assay_gate_drop(struct assay_gate_side *s) {
    if (s->entry.n_stores > 0)
        assay_store_free(s->entry.stores[0]);
    s->entry.n_stores = 0;
    assay_ctx_free(s->entry.ctx);
    s->entry.ctx = NULL;
}

bool assay_gate_prepare(struct assay_gate_race *r, struct assay_gate_side *s) {
    const struct assay_ctx_params params = {.backend = s->version->backend,
                                            .threads = r->params->threads};
    struct assay_error e = {0};

    if (assay_ctx_create(&params, &s->entry.ctx, &e) == ASSAY_OK &&
        assay_ctx_arith(s->entry.ctx, r->c->type, r->c->m, &s->entry.arith, &e) == ASSAY_OK &&
        assay_store_create(s->entry.ctx, r->c->type->type, r->run.weights, r->run.weight_bytes,
                           r->c->n, r->c->k, &s->entry.stores[0], &e) == ASSAY_OK) {
        s->entry.n_stores = 1;
        s->entry.resident = assay_store_bytes(s->entry.stores[0]);
        return true;
    }
    refuse(s, e.status == ASSAY_EUNSUPPORTED ? BENCH_SKIPPED : BENCH_FAILED, e.message);
    return false;
}

bool assay_gate_multiply(struct assay_gate_race *r, struct assay_gate_side *s) {
    struct assay_error e = {0};

    if (gemm_quant(s->entry.ctx, s->entry.stores[0], r->run.x, r->c->m, r->run.y, r->c->n, &e) ==
        ASSAY_OK)
        return true;
    refuse(s, BENCH_FAILED, e.message);
    return false;
}

double assay_gate_time(struct assay_gate_race *r, struct assay_gate_side *s, size_t calls) {
    const bool wall = r->params->wall || r->params->threads > 1;
    const uint64_t start = wall ? assay_now_ns() : assay_cpu_ns();

    for (size_t i = 0; i < calls; i++)
        if (!assay_gate_multiply(r, s))
            return NAN;
    return (double)((wall ? assay_now_ns() : assay_cpu_ns()) - start);
}

bool assay_gate_race_begin(struct assay_gate_race *r, const struct assay_gate_params *p, size_t i) {
    const struct assay_gate_case *c = &p->cases[i];

    *r = (struct assay_gate_race){.params = p, .index = i, .c = c};
    r->matrix = (struct assay_bench_matrix){.type = c->type, .n = c->n, .k = c->k};
    r->bench_case = (struct assay_bench_case){.m = c->m, .threads = p->threads};
    r->run = (struct bench_run){
        .c = &r->bench_case,
        .rows = c->m,
        .x_rows = c->m,
        .matrix = &r->matrix,
        .weights = c->weights,
        .weight_bytes = c->weight_bytes,
        .x = c->x,
        .y = bench_output_new(c->m, c->n),
    };
    for (int v = 0; v < 2; v++)
        r->side[v].version = &p->versions[v];
    return r->run.y != NULL;
}

void assay_gate_race_end(struct assay_gate_race *r) {
    for (int v = 0; v < 2; v++)
        assay_gate_drop(&r->side[v]);
    bench_verify_end(&r->run);
    bench_output_free(r->run.y);
}
