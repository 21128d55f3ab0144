/* A plugin made of one commit's kernels: its backend "cpu" behind the plugin interface. Compiled in
 * that commit's work tree, so what it takes from there is the public interface alone
 * (impl/gemm_quant.h); plugin.h is the gate's. Everything but the two exported objects is hidden,
 * so that two such plugins live in one process. */
#include <stdio.h>
#include <stdlib.h>

#include "impl/gemm_quant.h"
#include "plugin.h"

#ifndef GATE_BACKEND
#define GATE_BACKEND "cpu"
#endif

struct matrix {
    struct assay_ctx *ctx;
    struct assay_store *store;
};

static int fail(const struct assay_error *e, char *err, size_t err_size) {
    snprintf(err, err_size, "%s", e->message);
    return e->status != ASSAY_OK ? (int)e->status : ASSAY_PLUGIN_EFAILED;
}

static int make_ctx(int threads, struct assay_ctx **ctx, struct assay_error *e) {
    struct assay_ctx_params p = {.backend = assay_backend_by_name(GATE_BACKEND),
                                 .threads = threads};
    return p.backend != NULL && assay_ctx_create(&p, ctx, e) == ASSAY_OK;
}

static int create(uint32_t type, const void *bytes, size_t nbytes, size_t rows, size_t in,
                  int threads, void **store, char *err, size_t err_size) {
    struct matrix *w = calloc(1, sizeof *w);
    struct assay_error e = {0};

    if (w == NULL)
        return ASSAY_PLUGIN_ENOMEM;
    if (make_ctx(threads, &w->ctx, &e) &&
        assay_store_create(w->ctx, type, bytes, nbytes, rows, in, &w->store, &e) == ASSAY_OK) {
        *store = w;
        return ASSAY_PLUGIN_OK;
    }
    assay_ctx_free(w->ctx);
    free(w);
    return fail(&e, err, err_size);
}

static int forward(void *store, const float *x, size_t m, float *y, size_t ldy, char *err,
                   size_t err_size) {
    const struct matrix *w = store;
    struct assay_error e = {0};

    return gemm_quant(w->ctx, w->store, x, m, y, ldy, &e) == ASSAY_OK ? ASSAY_PLUGIN_OK
                                                                      : fail(&e, err, err_size);
}

static void destroy(void *store) {
    struct matrix *w = store;

    assay_store_free(w->store);
    assay_ctx_free(w->ctx);
    free(w);
}

static size_t store_bytes(const void *store) {
    const struct matrix *w = store;
    return assay_store_owns_weights(w->store) ? assay_store_bytes(w->store) : 0;
}

static struct assay_plugin_class classes[256];

ASSAY_PLUGIN_EXPORT struct assay_plugin assay_plugin_v1 = {
    .magic = ASSAY_PLUGIN_MAGIC,
    .abi = ASSAY_PLUGIN_ABI,
    .size = sizeof assay_plugin_v1,
    .name = "gate-kernels",
    .description = "the kernels of one commit",
    .classes = classes,
    .create = create,
    .forward = forward,
    .destroy = destroy,
    .store_bytes = store_bytes,
};

/* The kernel that a product of this type and batch runs, for the gate's report. */
ASSAY_PLUGIN_EXPORT const char *assay_gate_kernel(uint32_t type, size_t m);

const char *assay_gate_kernel(uint32_t type, size_t m) {
    static struct assay_ctx *ctx;
    struct assay_error e = {0};

    if (assay_type_traits(type) == NULL || (ctx == NULL && !make_ctx(1, &ctx, &e)))
        return "";
    return assay_ctx_kernel(ctx, assay_type_traits(type), m);
}

/* The rows of one type: a new one wherever the arithmetic changes with m. */
static void add_type(struct assay_ctx *ctx, const struct assay_type_traits *t) {
    static const uint32_t steps[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 17, 24, 32, 33, 64, 128};
    struct assay_plugin_class last = {0};
    struct assay_error e = {0};

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct assay_plugin_class *c = &classes[assay_plugin_v1.n_classes];
        struct assay_arith a;

        if (assay_plugin_v1.n_classes == 256 ||
            assay_ctx_arith(ctx, t, steps[i] > 0 ? steps[i] : 1, &a, &e) != ASSAY_OK)
            return;
        *c = (struct assay_plugin_class){.type = (uint32_t)t->type,
                                         .min_m = steps[i],
                                         .weight = (uint32_t)a.weight,
                                         .act = (uint32_t)a.act,
                                         .act_block = a.act_block,
                                         .exact_run = a.exact_run};
        if (i > 0 && c->weight == last.weight && c->act == last.act &&
            c->act_block == last.act_block && c->exact_run == last.exact_run)
            continue;
        last = *c;
        assay_plugin_v1.n_classes++;
    }
}

__attribute__((constructor)) static void fill_classes(void) {
    struct assay_ctx *ctx = NULL;
    struct assay_error e = {0};

    if (!make_ctx(1, &ctx, &e))
        return;
    for (size_t i = 0; i < assay_type_count(); i++) {
        const struct assay_type_traits *t = assay_type_at(i);
        if (assay_backend_supports(assay_backend_by_name(GATE_BACKEND), t))
            add_type(ctx, t);
    }
    assay_ctx_free(ctx);
}
