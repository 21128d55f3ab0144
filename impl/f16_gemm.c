#include "f16_gemm.h"

#include <stdlib.h>

#include "blas.h"
#include "decode.h"
#include "half.h"
#include "threads.h"

/* fp32 bytes of a tile: small enough to stay in a core's second-level cache between the conversion
 * and the product that reads it, large enough to pay for repacking x. */
enum { TILE_BYTES = 512 * 1024, MIN_TILE_ROWS = 8 };

static size_t tile_rows(const struct assay_store *s) {
    size_t rows = TILE_BYTES / sizeof(float) / s->in;
    if (rows < MIN_TILE_ROWS)
        rows = MIN_TILE_ROWS;
    return rows < s->rows ? rows : s->rows;
}

void assay_f16_decode(const struct assay_store *head, int threads, uint16_t *out) {
    enum { CHUNK = 4 * ASSAY_MAX_BLOCK_LEN };
    const struct assay_type_traits *t = head->type;
    assay_decode_fn decode = assay_decoder(t);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (size_t row = 0; row < head->rows; row++) {
        const uint8_t *block = assay_store_row(head, row);
        uint16_t *dst = out + row * head->in;
        float chunk[CHUNK];
        for (size_t k = 0; k < head->in; k += CHUNK) {
            size_t len = head->in - k < CHUNK ? head->in - k : CHUNK;
            decode(block + k / t->block_len * t->block_bytes, len / t->block_len, chunk);
            assay_f32_to_f16_n(chunk, dst + k, len);
        }
    }
}

float *assay_f16_gemm_scratch(const struct assay_store *s, int threads) {
    size_t bytes;
    if (__builtin_mul_overflow(tile_rows(s) * sizeof(float), s->in, &bytes) ||
        __builtin_mul_overflow(bytes, (size_t)threads, &bytes))
        return NULL;
    return malloc(bytes);
}

/* Each thread converts and multiplies tiles of its own with a single-threaded sgemm: the tiles do
 * not depend on the thread count, so neither does the result. */
void assay_f16_gemm(const struct assay_store *s, const uint16_t *w, int threads, float *scratch,
                    const float *x, size_t m, float *y, size_t ldy) {
    size_t step = tile_rows(s), tiles = (s->rows + step - 1) / step;
    int before = assay_blas_set_threads(1);
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (size_t i = 0; i < tiles; i++) {
        float *tile = scratch + (size_t)omp_get_thread_num() * step * s->in;
        size_t row = i * step, n = s->rows - row < step ? s->rows - row : step;
        assay_f16_to_f32_n(w + row * s->in, tile, n * s->in);
        assay_blas_gemm(x, m, tile, n, s->in, y + row, ldy);
    }
    assay_blas_set_threads(before);
}

void assay_f16_arith(const struct assay_ctx *ctx, const struct assay_type_traits *t, size_t m,
                     struct assay_arith *out) {
    (void)ctx;
    (void)t;
    (void)m;
    *out = (struct assay_arith){
        .weight = ASSAY_WEIGHT_F16, .act = ASSAY_ACT_F32, .act_block = 0, .exact_run = 1};
}
