#include "check.h"

#include <stdarg.h>
#include <stdio.h>

json_t *assay_check_pass(size_t tested) {
    if (tested == 0)
        return assay_check_skip("nothing could be tested");
    return json_pack("{ss sI}", "verdict", "pass", "elements", (json_int_t)tested);
}

json_t *assay_check_skip(const char *reason) {
    return json_pack("{ss ss}", "verdict", "skip", "problem", reason);
}

json_t *assay_check_fail(const char *fmt, ...) {
    char text[400];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return json_pack("{ss ss}", "verdict", "fail", "problem", text);
}

/* The child runs one check at a time, and a context costs threads and scratch: keep the last. */
static struct assay_ctx *context_of(const struct assay_runner *r, struct assay_error *err) {
    static struct assay_ctx *ctx;
    static struct assay_runner kept;

    if (ctx != NULL && kept.backend == r->backend && kept.variant == r->variant &&
        kept.isa == r->isa && kept.threads == r->threads)
        return ctx;
    assay_ctx_free(ctx);
    ctx = NULL;
    if (assay_ctx_create(&(struct assay_ctx_params){r->backend, r->isa, r->threads, r->variant},
                         &ctx, err) != ASSAY_OK)
        return NULL;
    kept = *r;
    return ctx;
}

bool assay_check_multiply(const struct assay_check_env *env, const uint8_t *w, size_t n, size_t k,
                          const float *x, size_t m, float *y, size_t ldy, struct assay_arith *arith,
                          struct assay_error *err) {
    struct assay_ctx *ctx = context_of(env->runner, err);
    struct assay_store *store = NULL;
    size_t row_bytes = 0;
    bool ok;

    if (ctx == NULL)
        return false;
    if (!assay_row_bytes(env->type, k, &row_bytes)) {
        *err = (struct assay_error){ASSAY_EINVAL, "k is no multiple of the block length"};
        return false;
    }
    ok = assay_store_create(ctx, (uint32_t)env->type->type, w, n * row_bytes, n, k, &store, err) ==
             ASSAY_OK &&
         assay_ctx_arith(ctx, env->type, m, arith, err) == ASSAY_OK &&
         gemm_quant(ctx, store, x, m, y, ldy, err) == ASSAY_OK;
    assay_store_free(store);
    return ok;
}
