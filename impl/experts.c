/* Stacked experts, and the indexed product for backends that have none of their own. */
#include <stdlib.h>

#include "backend.h"
#include "size.h"

struct assay_experts {
    struct assay_ctx *ctx;
    size_t rows, in, count;
    struct assay_store *stores[];
};

enum assay_status assay_experts_create(struct assay_ctx *ctx, uint32_t type, const void *bytes,
                                       size_t nbytes, size_t count, size_t rows, size_t in,
                                       struct assay_experts **out, struct assay_error *err) {
    if (!ctx || !out)
        return assay_fail(err, ASSAY_EINVAL, "experts: %s is NULL", !ctx ? "context" : "out");
    if (count == 0)
        return assay_fail(err, ASSAY_EINVAL, "experts: a stack of none");
    if (nbytes % count)
        return assay_fail(err, ASSAY_EINVAL, "experts: %zu bytes are no stack of %zu", nbytes,
                          count);
    struct assay_experts *e;
    size_t size;
    if (__builtin_mul_overflow(count, sizeof e->stores[0], &size) ||
        __builtin_add_overflow(size, sizeof *e, &size) || !(e = malloc(size)))
        return assay_fail(err, ASSAY_ENOMEM, "out of memory for %zu experts", count);
    *e = (struct assay_experts){.ctx = ctx, .rows = rows, .in = in};
    size_t each = nbytes / count;
    for (; e->count < count; e->count++) {
        const uint8_t *part = bytes ? (const uint8_t *)bytes + e->count * each : NULL;
        struct assay_error why;
        enum assay_status status =
            assay_store_create(ctx, type, part, each, rows, in, &e->stores[e->count], &why);
        if (status) {
            status = assay_fail(err, status, "expert %zu: %.200s", e->count, why.message);
            assay_experts_free(e);
            return status;
        }
    }
    *out = e;
    return ASSAY_OK;
}

void assay_experts_free(struct assay_experts *e) {
    if (!e)
        return;
    for (size_t i = 0; i < e->count; i++)
        assay_store_free(e->stores[i]);
    free(e);
}

size_t assay_experts_bytes(const struct assay_experts *e) {
    size_t bytes = 0;
    for (size_t i = 0; i < e->count; i++)
        bytes += e->stores[i]->resident;
    return bytes;
}

bool assay_experts_own_weights(const struct assay_experts *e) { return e->stores[0]->owns_weights; }

/* One product for each expert in use. Any may fail, so y waits until all are done. */
enum assay_status assay_gemm_id_grouped(struct assay_ctx *ctx,
                                        const struct assay_store *const *experts, size_t count,
                                        const struct assay_routing *r, const float *x, float *y,
                                        size_t ldy, struct assay_error *err) {
    const size_t rows = experts[0]->rows, in = experts[0]->in;
    struct assay_route_groups g;
    float *staged = malloc(r->m * rows * sizeof *staged);
    float *gathered = malloc(r->m * in * sizeof *gathered);
    enum assay_status status = ASSAY_OK;
    if (!assay_route_groups_new(&g, r, count) || !staged || !gathered)
        status = assay_fail(err, ASSAY_ENOMEM, "out of memory for %zu routed rows", r->m);
    for (size_t i = 0; i < g.n && !status; i++) {
        const struct assay_route_group *group = &g.groups[i];
        assay_route_gather(&g, r, x, in, group->first, group->m, gathered);
        status = ctx->backend->gemm(ctx, experts[group->expert], gathered, group->m,
                                    staged + group->first * rows, rows, err);
    }
    if (!status)
        assay_route_scatter(&g, staged, rows, 0, r->m, y, ldy);
    assay_route_groups_free(&g);
    free(gathered);
    free(staged);
    return status;
}

enum assay_status gemm_quant_id(struct assay_ctx *ctx, const struct assay_experts *e,
                                const int64_t *ids, size_t m, const float *x, size_t share,
                                float *y, size_t ldy, struct assay_error *err) {
    if (!ctx || !e)
        return assay_fail(err, ASSAY_EINVAL, "gemm_quant_id: %s is NULL",
                          !ctx ? "context" : "experts");
    if (e->ctx != ctx)
        return assay_fail(err, ASSAY_EINVAL,
                          "gemm_quant_id: the experts belong to another context");
    if (share == 0)
        return assay_fail(err, ASSAY_EINVAL, "gemm_quant_id: share is 0");
    if (m == 0 || e->rows == 0)
        return ASSAY_OK;
    if (!ids || !x || !y)
        return assay_fail(err, ASSAY_EINVAL, "gemm_quant_id: %s is NULL",
                          !ids ? "ids"
                          : !x ? "x"
                               : "y");
    if (ldy < e->rows)
        return assay_fail(err, ASSAY_EINVAL,
                          "gemm_quant_id: ldy %zu is less than the %zu rows of an expert", ldy,
                          e->rows);
    if (!assay_floats_fit(m, e->in) || !assay_floats_fit(m, ldy))
        return assay_fail(err, ASSAY_EOVERFLOW, "gemm_quant_id: %zu rows of %s overflow a size", m,
                          assay_floats_fit(m, e->in) ? "y" : "x");
    for (size_t i = 0; i < m; i++)
        if ((uint64_t)ids[i] >= e->count) /* negative ones are huge */
            return assay_fail(err, ASSAY_EINVAL,
                              "gemm_quant_id: id %lld at position %zu is not below %zu",
                              (long long)ids[i], i, e->count);
    struct assay_routing r = {.ids = ids, .m = m, .share = share};
    return (ctx->backend->gemm_id ? ctx->backend->gemm_id : assay_gemm_id_grouped)(
        ctx, (const struct assay_store *const *)e->stores, e->count, &r, x, y, ldy, err);
}
