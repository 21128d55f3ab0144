/* Backend "scalar": portable C, straight from the blocks, any shape. Slow, and the first backend to
 * ask when two others disagree. */
#include "impl/backend.h"
#include "impl/decode.h"

/* Weights decoded at a time: a multiple of every block length. LANES partial sums let a compiler
 * vectorise without reordering any. */
enum { TILE = 4 * ASSAY_MAX_BLOCK_LEN, LANES = 16 };

/* Σ w_k·x_k added to the partial sums; every lane takes every LANES-th product. */
static void dot_accumulate(const float *restrict w, const float *restrict x, size_t n,
                           float sum[restrict LANES]) {
    size_t k = 0;
    for (; k + LANES <= n; k += LANES)
        for (size_t l = 0; l < LANES; l++)
            sum[l] += w[k + l] * x[k + l];
    for (size_t l = 0; k + l < n; l++)
        sum[l] += w[k + l] * x[k + l];
}

static float total(const float sum[LANES]) {
    float s = 0.0f;
    for (int l = 0; l < LANES; l++)
        s += sum[l];
    return s;
}

/* One output column. Each tile of the row is decoded once and meets all rows of x, whose running
 * sums stand in y. */
static void column(const struct assay_store *w, size_t row, const float *x, size_t m, float *y,
                   size_t ldy) {
    const struct assay_type_traits *t = w->type;
    assay_decode_fn decode = assay_decoder(t);
    const uint8_t *blocks = assay_store_row(w, row);
    float tile[TILE];
    for (size_t k = 0; k < w->in; k += TILE) {
        size_t len = w->in - k < TILE ? w->in - k : TILE;
        decode(blocks + k / t->block_len * t->block_bytes, len / t->block_len, tile);
        for (size_t i = 0; i < m; i++) {
            float sum[LANES] = {0};
            dot_accumulate(tile, x + i * w->in + k, len, sum);
            float *out = &y[i * ldy + row];
            *out = k ? *out + total(sum) : total(sum);
        }
    }
}

static enum assay_status gemm(struct assay_ctx *ctx, const struct assay_store *w, const float *x,
                              size_t m, float *y, size_t ldy, struct assay_error *err) {
    (void)err;
#pragma omp parallel for num_threads(ctx->threads) schedule(static)
    for (size_t row = 0; row < w->rows; row++)
        column(w, row, x, m, y, ldy);
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
    (void)m;
    return "gemm_any_f32__scalar";
}

const struct assay_backend assay_backend_scalar = {
    .name = "scalar",
    .summary = "portable C straight from the blocks",
    .claims = ASSAY_CLAIM_REPEATABLE | ASSAY_CLAIM_THREAD_INVARIANT | ASSAY_CLAIM_BATCH_INVARIANT |
              ASSAY_CLAIM_SLICE_INVARIANT | ASSAY_CLAIM_IEEE_SPECIALS,
    .supports = assay_plain_supports,
    .ctx_create = assay_plain_ctx_create,
    .ctx_free = assay_plain_ctx_free,
    .arith = arith,
    .kernel = kernel,
    .store_create = assay_plain_store_create,
    .store_free = assay_plain_store_free,
    .gemm = gemm,
    .rows = assay_plain_rows,
};
