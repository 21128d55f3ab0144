/* Backend "eager-f32": the whole matrix is dequantised to fp32 at load and OpenBLAS multiplies. The
 * baseline of every comparison. */
#include <stdlib.h>
#include <string.h>

#include "impl/backend.h"
#include "impl/blas.h"
#include "impl/decode.h"

struct store {
    struct assay_store head;
    float *w; /* rows × in */
};

static enum assay_status store_create(struct assay_ctx *ctx, const struct assay_store *head,
                                      struct assay_store **out, struct assay_error *err) {
    size_t bytes;
    if (!assay_blas_fits(1, head->rows, head->in, 1) ||
        __builtin_mul_overflow(head->rows * head->in, sizeof(float), &bytes))
        return assay_fail(err, ASSAY_EOVERFLOW,
                          "eager-f32: %zu x %zu weights are beyond OpenBLAS's integers", head->rows,
                          head->in);
    struct store *s = malloc(sizeof *s);
    float *w = malloc(bytes ? bytes : 1);
    if (!s || !w) {
        free(s);
        free(w);
        return assay_fail(err, ASSAY_ENOMEM, "eager-f32: out of memory for %zu bytes of weights",
                          bytes);
    }

    assay_decode_fn decode = assay_decoder(head->type);
    size_t blocks = head->in / head->type->block_len;
#pragma omp parallel for num_threads(ctx->threads) schedule(static)
    for (size_t row = 0; row < head->rows; row++)
        decode(assay_store_row(head, row), blocks, w + row * head->in);

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
                          "eager-f32: m %zu or ldy %zu is beyond OpenBLAS's integers", m, ldy);
    int before = assay_blas_set_threads(ctx->threads);
    assay_blas_gemm(x, m, s->w, head->rows, head->in, y, ldy);
    assay_blas_set_threads(before);
    return ASSAY_OK;
}

static enum assay_status rows(struct assay_ctx *ctx, const struct assay_store *head,
                              const int64_t *ids, size_t count, float *y, struct assay_error *err) {
    (void)ctx;
    (void)err;
    const struct store *s = (const struct store *)head;
    for (size_t i = 0; i < count; i++)
        memcpy(y + i * head->in, s->w + (size_t)ids[i] * head->in, head->in * sizeof *y);
    return ASSAY_OK;
}

static void arith(const struct assay_ctx *ctx, const struct assay_type_traits *t, size_t m,
                  struct assay_arith *out) {
    (void)ctx;
    (void)t;
    (void)m;
    *out = (struct assay_arith){
        .weight = ASSAY_WEIGHT_F32, .act = ASSAY_ACT_F32, .act_block = 0, .exact_run = 1};
}

static const char *kernel(const struct assay_ctx *ctx, const struct assay_type_traits *t,
                          size_t m) {
    (void)ctx;
    (void)t;
    return m == 1 ? "gemv_f32_f32__openblas" : "gemm_f32_f32__openblas";
}

const struct assay_backend assay_backend_eager_f32 = {
    .name = "eager-f32",
    .summary = "dequantise to fp32 at load, multiply with OpenBLAS: the baseline",
    .claims = ASSAY_CLAIM_REPEATABLE,
    .available = assay_blas_available,
    .supports = assay_plain_supports,
    .ctx_create = assay_plain_ctx_create,
    .ctx_free = assay_plain_ctx_free,
    .arith = arith,
    .kernel = kernel,
    .store_create = store_create,
    .store_free = store_free,
    .gemm = gemm,
    .rows = rows,
};
