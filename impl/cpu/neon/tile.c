/* Tile products by SDOT: a vector of codes holds four k of four rows of W, and one of activations
 * 16 k of one row, of which the instruction picks four. 8 × 4 sums are eight independent chains. */
#include <arm_neon.h>

enum { TILE_STEP = 4, TILE_W = 2, TILE_X = 4 };

#include "tile.h"

ASSAY_INLINE int tile_vectors(int mr) { return mr; }

ASSAY_INLINE int32x4_t dot_lane(int32x4_t s, int8x16_t w, int8x16_t x, int lane) {
    switch (lane) {
    case 0:
        return vdotq_laneq_s32(s, w, x, 0);
    case 1:
        return vdotq_laneq_s32(s, w, x, 1);
    case 2:
        return vdotq_laneq_s32(s, w, x, 2);
    default:
        return vdotq_laneq_s32(s, w, x, 3);
    }
}

ASSAY_INLINE void tile_step(struct tile_sums *s, const uint8_t *w, int tw, const uint8_t *x, int tx,
                            int nx) {
    int8x16_t c[TILE_W];
    ASSAY_UNROLL
    for (int p = 0; p < TILE_W; p++)
        c[p] = vreinterpretq_s8_u8(vld1q_u8(w + (TILE_W * tw + p) * 16));
    ASSAY_UNROLL
    for (int i = 0; i < nx; i++) {
        int8x16_t a = vreinterpretq_s8_u8(vld1q_u8(x + (tx / 4 * PANEL_MR + i) * 16));
        ASSAY_UNROLL
        for (int p = 0; p < TILE_W; p++)
            s->v[i][p] = dot_lane(s->v[i][p], c[p], a, tx % 4);
    }
}

ASSAY_INLINE int32x4_t tile_w_s32(const int32_t *at, int p) { return vld1q_s32(at + 4 * p); }
ASSAY_INLINE float32x4_t tile_w_f32(const float *at, int p) { return vld1q_f32(at + 4 * p); }
ASSAY_INLINE float32x4_t tile_x_f32(const float *at, int i) { return vld1q_dup_f32(at + 2 * i); }

ASSAY_INLINE void tile_load(const float *acc, float32x4_t v[TILE_X][TILE_W], int nx) {
    TILE_EACH(i, p, nx)
    v[i][p] = vld1q_f32(acc + i * PANEL_ROWS + 4 * p);
}

ASSAY_INLINE void tile_store(float *acc, float32x4_t v[TILE_X][TILE_W], int nx) {
    TILE_EACH(i, p, nx)
    vst1q_f32(acc + i * PANEL_ROWS + 4 * p, v[i][p]);
}

#define TILE(name, ...)                                                                            \
    void assay_neon_tile_##name(const struct panel_tile *t, size_t mr) { tile_any(&name, t, mr); }
ASSAY_PANEL_FORMS(TILE)
