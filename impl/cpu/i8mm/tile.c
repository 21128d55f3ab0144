/* Tile products by SMMLA: a vector holds eight k of two rows, and the 2 × 2 sums of a vector of
 * activations with one of W are [x0·w0, x0·w1, x1·w0, x1·w1]. */
#include <arm_neon.h>

enum { TILE_STEP = 8, TILE_W = 4, TILE_X = 2 };

#include "impl/cpu/neon/tile.h"

ASSAY_INLINE int tile_vectors(int mr) { return (mr + 1) / 2; }

ASSAY_INLINE void tile_step(struct tile_sums *s, const uint8_t *w, int tw, const uint8_t *x, int tx,
                            int nx) {
    int8x16_t c[TILE_W];
    ASSAY_UNROLL
    for (int p = 0; p < TILE_W; p++)
        c[p] = vreinterpretq_s8_u8(vld1q_u8(w + (TILE_W * tw + p) * 16));
    ASSAY_UNROLL
    for (int i = 0; i < nx; i++) {
        int8x16_t a = vreinterpretq_s8_u8(vld1q_u8(x + (TILE_X * tx + i) * 16));
        ASSAY_UNROLL
        for (int p = 0; p < TILE_W; p++)
            s->v[i][p] = vmmlaq_s32(s->v[i][p], a, c[p]);
    }
}

/* Eight bytes to both halves: one instruction, where compilers make a load and a copy. */
ASSAY_INLINE int64x2_t load_twice(const void *at) {
    const struct { char bytes[8]; } *eight = at;
    int64x2_t v;
    __asm__("ld1r {%0.2d}, %1" : "=w"(v) : "Q"(*eight));
    return v;
}

ASSAY_INLINE int32x4_t tile_w_s32(const int32_t *at, int p) {
    return vreinterpretq_s32_s64(load_twice(at + 2 * p));
}

ASSAY_INLINE float32x4_t tile_w_f32(const float *at, int p) {
    return vreinterpretq_f32_s64(load_twice(at + 2 * p));
}

ASSAY_INLINE float32x4_t tile_x_f32(const float *at, int i) { return vld1q_f32(at + 4 * i); }

ASSAY_INLINE void tile_load(const float *acc, float32x4_t v[TILE_X][TILE_W], int nx) {
    TILE_EACH(i, p, nx)
    v[i][p] = vcombine_f32(vld1_f32(acc + 2 * i * PANEL_ROWS + 2 * p),
                           vld1_f32(acc + (2 * i + 1) * PANEL_ROWS + 2 * p));
}

ASSAY_INLINE void tile_store(float *acc, float32x4_t v[TILE_X][TILE_W], int nx) {
    TILE_EACH(i, p, nx) {
        vst1_f32(acc + 2 * i * PANEL_ROWS + 2 * p, vget_low_f32(v[i][p]));
        vst1_f32(acc + (2 * i + 1) * PANEL_ROWS + 2 * p, vget_high_f32(v[i][p]));
    }
}

#define TILE(name, ...)                                                                            \
    void assay_i8mm_tile_##name(const struct panel_tile *t, size_t mr) { tile_any(&name, t, mr); }
ASSAY_PANEL_FORMS(TILE)
