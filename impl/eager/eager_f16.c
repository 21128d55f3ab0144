/* Backend "eager-f16": the whole matrix is dequantised to fp16 at load. */
#include <stdlib.h>
#include <string.h>

#include "impl/backend.h"
#include "impl/blas.h"
#include "impl/f16_gemm.h"
#include "impl/half.h"

struct store {
    struct assay_store head;
    uint16_t *w; /* rows × in */
};

static enum assay_status store_create(struct assay_ctx *ctx, const struct assay_store *head,
                                      struct assay_store **out, struct assay_error *err) {
    size_t bytes;
    if (!assay_blas_fits(1, head->rows, head->in, 1) ||
        __builtin_mul_overflow(head->rows * head->in, sizeof(uint16_t), &bytes))
        return assay_fail(err, ASSAY_EOVERFLOW,
                          "eager-f16: %zu x %zu weights are beyond OpenBLAS's integers", head->rows,
                          head->in);
    struct store *s = malloc(sizeof *s);
    uint16_t *w = malloc(bytes ? bytes : 1);
    if (!s || !w) {
        free(s);
        free(w);
        return assay_fail(err, ASSAY_ENOMEM, "eager-f16: out of memory for %zu bytes of weights",
                          bytes);
    }
    assay_f16_decode(head, ctx->threads, w);
    s->head = *head;
    s->head.bytes = NULL;
    s->head.resident = bytes;
    s->head.owns_weights = true;
    s->w = w;
    *out = &s->head;
    return ASSAY_OK;
}

static void store_free(struct assay_store *head) {
    struct store *s = (struct store *)head;
    free(s->w);
    free(s);
}

static enum assay_status gemm(struct assay_ctx *ctx, const struct assay_store *head, const float *x,
                              size_t m, float *y, size_t ldy, struct assay_error *err) {
    const struct store *s = (const struct store *)head;
    if (!assay_blas_fits(m, head->rows, head->in, ldy))
        return assay_fail(err, ASSAY_EOVERFLOW,
                          "eager-f16: m %zu or ldy %zu is beyond OpenBLAS's integers", m, ldy);
    float *scratch = assay_f16_gemm_scratch(head, ctx->threads);
    if (!scratch)
        return assay_fail(err, ASSAY_ENOMEM, "eager-f16: out of memory for tiles of weights");
    assay_f16_gemm(head, s->w, ctx->threads, scratch, x, m, y, ldy);
    free(scratch);
    return ASSAY_OK;
}

static enum assay_status rows(struct assay_ctx *ctx, const struct assay_store *head,
                              const int64_t *ids, size_t count, float *y, struct assay_error *err) {
    (void)ctx;
    (void)err;
    const struct store *s = (const struct store *)head;
    for (size_t i = 0; i < count; i++)
        assay_f16_to_f32_n(s->w + (size_t)ids[i] * head->in, y + i * head->in, head->in);
    return ASSAY_OK;
}

static const char *kernel(const struct assay_ctx *ctx, const struct assay_type_traits *t,
                          size_t m) {
    (void)ctx;
    (void)t;
    return m == 1 ? "gemv_f16_f32__openblas" : "gemm_f16_f32__openblas";
}

const struct assay_backend assay_backend_eager_f16 = {
    .name = "eager-f16",
    .summary = "dequantise to fp16 at load, convert tiles to fp32 for OpenBLAS",
    .claims = ASSAY_CLAIM_REPEATABLE | ASSAY_CLAIM_THREAD_INVARIANT,
    .available = assay_blas_available,
    .supports = assay_plain_supports,
    .ctx_create = assay_plain_ctx_create,
    .ctx_free = assay_plain_ctx_free,
    .arith = assay_f16_arith,
    .kernel = kernel,
    .store_create = store_create,
    .store_free = store_free,
    .gemm = gemm,
    .rows = rows,
};
