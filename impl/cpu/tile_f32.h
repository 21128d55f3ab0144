/* Inline template of the tile kernel; each ISA folder instantiates it with its own flags. */
#ifndef ASSAY_IMPL_CPU_TILE_F32_H
#define ASSAY_IMPL_CPU_TILE_F32_H

#include "impl/decode.h"
#include "kernel.h"

/* A tile is TILE_ROWS × TILE_K weights (16 KiB in fp32: half of a common L1). TILE_K is a multiple
 * of every block length. LANES independent sums a row let the compiler use vectors. */
enum { ASSAY_TILE_ROWS = 8, ASSAY_TILE_K = 512, ASSAY_TILE_LANES = 16 };

/* dot[r] = Σ w[r][j]·x[j] for the 8 rows of a tile, n a multiple of nothing. `fused` picks fmaf,
 * which is a single instruction only where the folder's flags have FMA. */
static inline __attribute__((always_inline)) void
assay_tile_dot(const float *w, const float *x, size_t n, float dot[ASSAY_TILE_ROWS], int fused) {
    float acc[ASSAY_TILE_ROWS][ASSAY_TILE_LANES] = {{0}};
    size_t j = 0;
    for (; j + ASSAY_TILE_LANES <= n; j += ASSAY_TILE_LANES)
        for (size_t r = 0; r < ASSAY_TILE_ROWS; r++)
            for (size_t l = 0; l < ASSAY_TILE_LANES; l++) {
                float a = w[r * ASSAY_TILE_K + j + l], b = x[j + l];
                acc[r][l] = fused ? __builtin_fmaf(a, b, acc[r][l]) : acc[r][l] + a * b;
            }
    for (size_t r = 0; r < ASSAY_TILE_ROWS; r++) {
        for (size_t l = 0; j + l < n; l++)
            acc[r][l] += w[r * ASSAY_TILE_K + j + l] * x[j + l];
        for (size_t half = ASSAY_TILE_LANES / 2; half > 0; half /= 2)
            for (size_t l = 0; l < half; l++)
                acc[r][l] += acc[r][l + half];
        dot[r] = acc[r][0];
    }
}

static inline __attribute__((always_inline)) void assay_tile_f32_run(const struct assay_cpu_args *a,
                                                                     int fused) {
    const struct assay_type_traits *t = a->type;
    assay_decode_fn decode = assay_decoder(t);
    float *tile = a->scratch;
    for (size_t n0 = 0; n0 < a->n; n0 += ASSAY_TILE_ROWS) {
        size_t rows = a->n - n0 < ASSAY_TILE_ROWS ? a->n - n0 : ASSAY_TILE_ROWS;
        for (size_t k0 = 0; k0 < a->k; k0 += ASSAY_TILE_K) {
            size_t kn = a->k - k0 < ASSAY_TILE_K ? a->k - k0 : ASSAY_TILE_K;
            for (size_t r = 0; r < rows; r++)
                decode(a->w + (n0 + r) * a->row_bytes + k0 / t->block_len * t->block_bytes,
                       kn / t->block_len, tile + r * ASSAY_TILE_K);
            for (size_t i = 0; i < a->act->m; i++) {
                float dot[ASSAY_TILE_ROWS];
                assay_tile_dot(tile, a->act->x + i * a->k + k0, kn, dot, fused);
                float *y = a->y + i * a->ldy + n0;
                for (size_t r = 0; r < rows; r++)
                    y[r] = k0 == 0 ? dot[r] : y[r] + dot[r];
            }
        }
    }
}

#endif
