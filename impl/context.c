#include "backend.h"

static enum assay_isa best_isa(void) {
    enum assay_isa isa = ASSAY_ISA_COUNT - 1;
    while (!assay_isa_runs_here(isa))
        isa--;
    return isa;
}

static enum assay_status resolve_isa(const struct assay_backend *b, enum assay_isa *isa,
                                     struct assay_error *err) {
    if (!b->uses_isa) {
        *isa = ASSAY_ISA_SCALAR;
        return ASSAY_OK;
    }
    if ((unsigned)*isa >= ASSAY_ISA_COUNT)
        return assay_fail(err, ASSAY_EINVAL, "unknown instruction set number %d", (int)*isa);
    if (!assay_isa_runs_here(*isa))
        return assay_fail(err, ASSAY_EUNSUPPORTED, "this machine does not run %s code",
                          assay_isa_name(*isa));
    if (*isa == ASSAY_ISA_AUTO)
        *isa = best_isa();
    return ASSAY_OK;
}

enum assay_status assay_ctx_create(const struct assay_ctx_params *p, struct assay_ctx **out,
                                   struct assay_error *err) {
    if (!p || !out)
        return assay_fail(err, ASSAY_EINVAL, "context: %s is NULL", !p ? "params" : "out");
    if (!p->backend)
        return assay_fail(err, ASSAY_EINVAL, "context: backend is NULL");
    if (p->threads < 0)
        return assay_fail(err, ASSAY_EINVAL, "context: %d threads", p->threads);

    struct assay_ctx_params resolved = *p;
    resolved.threads = p->threads ? p->threads : 1;
    resolved.variant = p->variant ? p->variant : "";
    char why[160];
    if (!assay_backend_available(p->backend, why, sizeof why))
        return assay_fail(err, ASSAY_EUNSUPPORTED, "backend %s is not available: %s",
                          p->backend->name, why);
    enum assay_status status = resolve_isa(p->backend, &resolved.isa, err);
    if (status)
        return status;

    struct assay_ctx *ctx;
    status = p->backend->ctx_create(&resolved, &ctx, err);
    if (status)
        return status;
    ctx->backend = p->backend;
    ctx->isa = resolved.isa;
    ctx->threads = resolved.threads;
    *out = ctx;
    return ASSAY_OK;
}

void assay_ctx_free(struct assay_ctx *ctx) {
    if (ctx)
        ctx->backend->ctx_free(ctx);
}

void assay_ctx_rest(struct assay_ctx *ctx) {
    if (ctx->backend->rest)
        ctx->backend->rest(ctx);
}

enum assay_isa assay_ctx_isa(const struct assay_ctx *ctx) { return ctx->isa; }

enum assay_status assay_ctx_arith(const struct assay_ctx *ctx, const struct assay_type_traits *t,
                                  size_t m, struct assay_arith *out, struct assay_error *err) {
    if (!ctx || !t || !out)
        return assay_fail(err, ASSAY_EINVAL, "arithmetic class: %s is NULL",
                          !ctx ? "context"
                          : !t ? "type"
                               : "out");
    if (!assay_backend_supports(ctx->backend, t))
        return assay_fail(err, ASSAY_EUNSUPPORTED, "backend %s does not support %s",
                          ctx->backend->name, t->name);
    ctx->backend->arith(ctx, t, m, out);
    return ASSAY_OK;
}

bool assay_ctx_device_use(const struct assay_ctx *ctx, struct assay_device_use *use) {
    if (ctx->backend->device_use == NULL)
        return false;
    ctx->backend->device_use(ctx, use);
    return true;
}

const char *assay_ctx_kernel(const struct assay_ctx *ctx, const struct assay_type_traits *t,
                             size_t m) {
    return ctx->backend->kernel(ctx, t, m);
}
