#include "backend.h"
#include "size.h"

/* The row size, with each way in which a shape can be wrong told apart. */
static enum assay_status check_row(const struct assay_type_traits *t, size_t in, size_t *row_bytes,
                                   struct assay_error *err) {
    if (in == 0)
        return assay_fail(err, ASSAY_EINVAL, "%s matrix with rows of 0 weights", t->name);
    if (in % t->block_len)
        return assay_fail(err, ASSAY_EINVAL,
                          "%s row of %zu weights is no multiple of the block length %u", t->name,
                          in, (unsigned)t->block_len);
    if (!assay_row_bytes(t, in, row_bytes))
        return assay_fail(err, ASSAY_EOVERFLOW, "%s row of %zu weights overflows a size", t->name,
                          in);
    return ASSAY_OK;
}

enum assay_status assay_store_create(struct assay_ctx *ctx, uint32_t type, const void *bytes,
                                     size_t nbytes, size_t rows, size_t in,
                                     struct assay_store **out, struct assay_error *err) {
    if (!ctx || !out)
        return assay_fail(err, ASSAY_EINVAL, "store: %s is NULL", !ctx ? "context" : "out");
    const struct assay_type_traits *t = assay_type_traits(type);
    if (!t)
        return assay_fail(err, ASSAY_EUNSUPPORTED, "unknown GGUF type number %u", (unsigned)type);
    if (!assay_backend_supports(ctx->backend, t))
        return assay_fail(err, ASSAY_EUNSUPPORTED, "backend %s does not support %s",
                          ctx->backend->name, t->name);

    size_t row_bytes, total;
    enum assay_status status = check_row(t, in, &row_bytes, err);
    if (status)
        return status;
    if (__builtin_mul_overflow(rows, row_bytes, &total))
        return assay_fail(err, ASSAY_EOVERFLOW, "%s matrix of %zu x %zu weights overflows a size",
                          t->name, rows, in);
    if (nbytes != total)
        return assay_fail(err, ASSAY_EINVAL,
                          "%s matrix of %zu x %zu weights has %zu bytes, but %zu were given",
                          t->name, rows, in, total, nbytes);
    if (!bytes && nbytes)
        return assay_fail(err, ASSAY_EINVAL, "store: bytes is NULL");

    struct assay_store head = {.ctx = ctx,
                               .type = t,
                               .bytes = bytes,
                               .rows = rows,
                               .in = in,
                               .row_bytes = row_bytes,
                               .resident = total};
    struct assay_store *s;
    status = ctx->backend->store_create(ctx, &head, &s, err);
    if (status)
        return status;
    *out = s;
    return ASSAY_OK;
}

void assay_store_free(struct assay_store *s) {
    if (s)
        s->ctx->backend->store_free(s);
}

bool assay_store_owns_weights(const struct assay_store *s) { return s->owns_weights; }

size_t assay_store_bytes(const struct assay_store *s) { return s->resident; }

enum assay_status gemm_quant(struct assay_ctx *ctx, const struct assay_store *w, const float *x,
                             size_t m, float *y, size_t ldy, struct assay_error *err) {
    if (!ctx || !w)
        return assay_fail(err, ASSAY_EINVAL, "gemm_quant: %s is NULL", !ctx ? "context" : "store");
    if (w->ctx != ctx)
        return assay_fail(err, ASSAY_EINVAL, "gemm_quant: the store belongs to another context");
    if (m == 0 || w->rows == 0)
        return ASSAY_OK;
    if (!x || !y)
        return assay_fail(err, ASSAY_EINVAL, "gemm_quant: %s is NULL", !x ? "x" : "y");
    if (ldy < w->rows)
        return assay_fail(err, ASSAY_EINVAL, "gemm_quant: ldy %zu is less than the %zu rows of W",
                          ldy, w->rows);
    if (!assay_floats_fit(m, w->in) || !assay_floats_fit(m, ldy))
        return assay_fail(err, ASSAY_EOVERFLOW, "gemm_quant: %zu rows of %s overflow a size", m,
                          assay_floats_fit(m, w->in) ? "y" : "x");
    return ctx->backend->gemm(ctx, w, x, m, y, ldy, err);
}
