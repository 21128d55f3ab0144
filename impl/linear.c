#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "size.h"

struct assay_linear {
    struct assay_ctx *ctx;
    size_t in, out;
    size_t largest; /* part that is multiplied straight into y */
    size_t nparts;
    struct {
        struct assay_store *store;
        size_t first; /* output column of its row 0 */
    } parts[];
};

static struct assay_linear *linear_new(struct assay_ctx *ctx, size_t nparts, size_t in) {
    struct assay_linear *lin;
    size_t bytes;
    if (__builtin_mul_overflow(nparts, sizeof lin->parts[0], &bytes) ||
        __builtin_add_overflow(bytes, sizeof *lin, &bytes))
        return NULL;
    lin = calloc(1, bytes);
    if (lin) {
        lin->ctx = ctx;
        lin->in = in;
    }
    return lin;
}

/* Appends a store, which the linear then owns. The caller has checked that `out` does not overflow.
 */
static void linear_add(struct assay_linear *lin, struct assay_store *store) {
    size_t i = lin->nparts++;
    lin->parts[i].store = store;
    lin->parts[i].first = lin->out;
    lin->out += store->rows;
    if (store->rows > lin->parts[lin->largest].store->rows)
        lin->largest = i;
}

enum assay_status assay_linear_create_fused(struct assay_ctx *ctx, const struct assay_part *parts,
                                            size_t nparts, size_t in, struct assay_linear **out,
                                            struct assay_error *err) {
    if (!ctx || !out || !parts)
        return assay_fail(err, ASSAY_EINVAL, "linear: %s is NULL",
                          !ctx   ? "context"
                          : !out ? "out"
                                 : "parts");
    if (nparts == 0)
        return assay_fail(err, ASSAY_EINVAL, "linear: no parts");
    size_t rows = 0;
    for (size_t i = 0; i < nparts; i++)
        if (__builtin_add_overflow(rows, parts[i].rows, &rows))
            return assay_fail(err, ASSAY_EOVERFLOW, "linear: the rows of %zu parts overflow a size",
                              nparts);

    struct assay_linear *lin = linear_new(ctx, nparts, in);
    if (!lin)
        return assay_fail(err, ASSAY_ENOMEM, "out of memory for a linear of %zu parts", nparts);
    for (size_t i = 0; i < nparts; i++) {
        const struct assay_part *p = &parts[i];
        struct assay_store *store;
        struct assay_error why;
        enum assay_status status =
            assay_store_create(ctx, p->type, p->bytes, p->nbytes, p->rows, in, &store, &why);
        if (status) {
            assay_linear_free(lin);
            return nparts == 1 ? assay_fail(err, status, "%s", why.message)
                               : assay_fail(err, status, "part %zu: %.200s", i, why.message);
        }
        linear_add(lin, store);
    }
    *out = lin;
    return ASSAY_OK;
}

enum assay_status assay_linear_create(struct assay_ctx *ctx, uint32_t type, const void *bytes,
                                      size_t nbytes, size_t out, size_t in,
                                      struct assay_linear **lin, struct assay_error *err) {
    struct assay_part part = {.type = type, .bytes = bytes, .nbytes = nbytes, .rows = out};
    return assay_linear_create_fused(ctx, &part, 1, in, lin, err);
}

enum assay_status assay_linear_from_store(struct assay_ctx *ctx, struct assay_store *store,
                                          struct assay_linear **out, struct assay_error *err) {
    if (!ctx || !store || !out)
        return assay_fail(err, ASSAY_EINVAL, "linear: %s is NULL",
                          !ctx     ? "context"
                          : !store ? "store"
                                   : "out");
    if (store->ctx != ctx)
        return assay_fail(err, ASSAY_EINVAL, "linear: the store belongs to another context");
    struct assay_linear *lin = linear_new(ctx, 1, store->in);
    if (!lin)
        return assay_fail(err, ASSAY_ENOMEM, "out of memory for a linear");
    linear_add(lin, store);
    *out = lin;
    return ASSAY_OK;
}

void assay_linear_free(struct assay_linear *lin) {
    if (!lin)
        return;
    for (size_t i = 0; i < lin->nparts; i++)
        assay_store_free(lin->parts[i].store);
    free(lin);
}

size_t assay_linear_in(const struct assay_linear *lin) { return lin->in; }

size_t assay_linear_out(const struct assay_linear *lin) { return lin->out; }

size_t assay_linear_bytes(const struct assay_linear *lin) {
    size_t bytes = 0;
    for (size_t i = 0; i < lin->nparts; i++)
        bytes += lin->parts[i].store->resident;
    return bytes;
}

static enum assay_status check_ctx(const struct assay_ctx *ctx, const struct assay_linear *lin,
                                   struct assay_error *err) {
    if (!ctx || !lin)
        return assay_fail(err, ASSAY_EINVAL, "linear: %s is NULL", !ctx ? "context" : "linear");
    if (lin->ctx != ctx)
        return assay_fail(err, ASSAY_EINVAL, "linear: it belongs to another context");
    return ASSAY_OK;
}

static void copy_columns(float *dst, size_t ldd, const float *src, size_t lds, size_t rows,
                         size_t cols) {
    for (size_t i = 0; i < rows; i++)
        memcpy(dst + i * ldd, src + i * lds, cols * sizeof *dst);
}

/* For backends that take several parts in one call. Parts without rows are left out. */
static enum assay_status forward_at_once(struct assay_ctx *ctx, const struct assay_linear *lin,
                                         const float *x, float *y, size_t m,
                                         struct assay_error *err) {
    struct assay_part_product *parts = malloc(lin->nparts * sizeof *parts);
    size_t n = 0;
    if (!parts)
        return assay_fail(err, ASSAY_ENOMEM, "out of memory for %zu parts", lin->nparts);
    for (size_t i = 0; i < lin->nparts; i++)
        if (lin->parts[i].store->rows > 0)
            parts[n++] = (struct assay_part_product){lin->parts[i].store, lin->parts[i].first};
    enum assay_status status = ctx->backend->gemm_parts(ctx, parts, n, x, m, y, lin->out, err);
    free(parts);
    return status;
}

enum assay_status assay_linear_forward(struct assay_ctx *ctx, const struct assay_linear *lin,
                                       const float *x, float *y, size_t m,
                                       struct assay_error *err) {
    enum assay_status status = check_ctx(ctx, lin, err);
    if (status || m == 0 || lin->out == 0)
        return status;
    if (!x || !y)
        return assay_fail(err, ASSAY_EINVAL, "linear: %s is NULL", !x ? "x" : "y");
    if (!assay_floats_fit(m, lin->in) || !assay_floats_fit(m, lin->out))
        return assay_fail(err, ASSAY_EOVERFLOW, "linear: %zu rows of %s overflow a size", m,
                          assay_floats_fit(m, lin->in) ? "y" : "x");

    if (ctx->backend->gemm_parts && lin->nparts > 1)
        return forward_at_once(ctx, lin, x, y, m, err);

    /* Any part's product may fail, and y must then be as before. So the largest part, which goes
     * straight to its columns of y, comes last, and the others wait in scratch until it is done. */
    const struct assay_store *largest = lin->parts[lin->largest].store;
    size_t staged = lin->out - largest->rows;
    float *scratch = NULL;
    if (staged) {
        scratch = malloc(m * staged * sizeof *scratch);
        if (!scratch)
            return assay_fail(err, ASSAY_ENOMEM, "out of memory for %zu x %zu partial outputs", m,
                              staged);
    }
    size_t column = 0;
    for (size_t i = 0; i < lin->nparts && !status; i++)
        if (i != lin->largest) {
            const struct assay_store *s = lin->parts[i].store;
            status = gemm_quant(ctx, s, x, m, scratch + column, staged, err);
            column += s->rows;
        }
    if (!status)
        status = gemm_quant(ctx, largest, x, m, y + lin->parts[lin->largest].first, lin->out, err);
    column = 0;
    for (size_t i = 0; i < lin->nparts && !status; i++)
        if (i != lin->largest) {
            size_t rows = lin->parts[i].store->rows;
            copy_columns(y + lin->parts[i].first, lin->out, scratch + column, staged, m, rows);
            column += rows;
        }
    free(scratch);
    return status;
}

/* The part that holds output row `row`. Zero-row parts hold none. */
static size_t part_of(const struct assay_linear *lin, size_t row) {
    size_t i = 0;
    while (row - lin->parts[i].first >= lin->parts[i].store->rows)
        i++;
    return i;
}

/* Looks rows up one run of ids in the same part after the other. */
static enum assay_status fused_rows(struct assay_ctx *ctx, const struct assay_linear *lin,
                                    const int64_t *ids, size_t count, float *y, int64_t *local,
                                    struct assay_error *err) {
    for (size_t i = 0, end; i < count; i = end) {
        size_t part = part_of(lin, (size_t)ids[i]);
        for (end = i; end < count && part_of(lin, (size_t)ids[end]) == part; end++)
            local[end - i] = ids[end] - (int64_t)lin->parts[part].first;
        enum assay_status status =
            ctx->backend->rows(ctx, lin->parts[part].store, local, end - i, y + i * lin->in, err);
        if (status)
            return status;
    }
    return ASSAY_OK;
}

enum assay_status assay_linear_rows(struct assay_ctx *ctx, const struct assay_linear *lin,
                                    const int64_t *ids, size_t count, float *y,
                                    struct assay_error *err) {
    enum assay_status status = check_ctx(ctx, lin, err);
    if (status || count == 0)
        return status;
    if (!ctx->backend->rows)
        return assay_fail(err, ASSAY_EUNSUPPORTED, "backend %s has no row lookup",
                          ctx->backend->name);
    if (!ids || !y)
        return assay_fail(err, ASSAY_EINVAL, "row lookup: %s is NULL", !ids ? "ids" : "y");
    if (!assay_floats_fit(count, lin->in))
        return assay_fail(err, ASSAY_EOVERFLOW, "row lookup: %zu rows of %zu overflow a size",
                          count, lin->in);
    for (size_t i = 0; i < count; i++)
        if ((uint64_t)ids[i] >= lin->out) /* negative ones are huge */
            return assay_fail(err, ASSAY_EINVAL,
                              "row lookup: id %lld at position %zu is not below %zu",
                              (long long)ids[i], i, lin->out);
    if (lin->nparts == 1)
        return ctx->backend->rows(ctx, lin->parts[0].store, ids, count, y, err);

    /* As in forward: a later part may fail, so the rows are gathered apart. */
    size_t bytes = count * lin->in * sizeof *y;
    float *rows = malloc(bytes);
    int64_t *local = malloc(count * sizeof *local);
    if (!rows || !local)
        status = assay_fail(err, ASSAY_ENOMEM, "out of memory for %zu rows of %zu", count, lin->in);
    else
        status = fused_rows(ctx, lin, ids, count, rows, local, err);
    if (!status)
        memcpy(y, rows, bytes);
    free(local);
    free(rows);
    return status;
}
