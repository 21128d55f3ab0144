/* Template of the tile products. The including file defines, for its instruction:
 *
 *   TILE_STEP, TILE_W, TILE_X    consecutive k in a step, vectors of a step of eight rows of W, and
 *                                of four rows of activations
 *   tile_vectors(mr)             how many of TILE_X vectors mr rows need
 *   tile_step(s, w, tw, x, tx, nx)   s += step tw of the bytes at w × step tx of those at x
 *   tile_w_s32, tile_w_f32(at, p)    one number per row of W as the lanes of s->v[·][p] want them
 *   tile_x_f32(at, i)                one number per row of activations, each twice in memory
 *   tile_load, tile_store(acc, v, nx)    acc[4][8] from and to memory */
#ifndef ASSAY_IMPL_CPU_NEON_TILE_H
#define ASSAY_IMPL_CPU_NEON_TILE_H

#include "panel.h"
#include "simd.h"

/* Integer sums: vector i of activations with vector p of W. */
struct tile_sums {
    int32x4_t v[TILE_X][TILE_W];
};

ASSAY_INLINE int tile_vectors(int mr);
ASSAY_INLINE void tile_step(struct tile_sums *s, const uint8_t *w, int tw, const uint8_t *x, int tx,
                            int nx);
ASSAY_INLINE int32x4_t tile_w_s32(const int32_t *at, int p);
ASSAY_INLINE float32x4_t tile_w_f32(const float *at, int p);
ASSAY_INLINE float32x4_t tile_x_f32(const float *at, int i);
ASSAY_INLINE void tile_load(const float *acc, float32x4_t v[TILE_X][TILE_W], int nx);
ASSAY_INLINE void tile_store(float *acc, float32x4_t v[TILE_X][TILE_W], int nx);

/* Runs the statement for the vectors in use. */
#define TILE_EACH(i, p, nx)                                                                        \
    ASSAY_UNROLL                                                                                   \
    for (int i = 0; i < (nx); i++)                                                                 \
        ASSAY_UNROLL                                                                               \
    for (int p = 0; p < TILE_W; p++)

/* Holds a full tile's sums at this point of the program, so that the compiler keeps eight chains
 * side by side: gcc would put them one after the other, which leaves the overlap to the reorder
 * buffer. */
ASSAY_INLINE void tile_pin(struct tile_sums *s, const int nx) {
    int32x4_t *v = &s->v[0][0];
    if (nx == TILE_X)
        __asm__(""
                : "+w"(v[0]), "+w"(v[1]), "+w"(v[2]), "+w"(v[3]), "+w"(v[4]), "+w"(v[5]),
                  "+w"(v[6]), "+w"(v[7]));
}

/* Σ over the groups of a unit of scale·(Σ of the group). */
ASSAY_INLINE struct tile_sums tile_products(const struct panel_form *f, const uint8_t *w,
                                            const uint8_t *x, const int nx) {
    const int groups = (int)f->unit_k / f->group, steps = f->group / TILE_STEP;
    const int32_t *scales = (const int32_t *)(const void *)(w + unit_scales_at(f));
    struct tile_sums sum = {0};
    ASSAY_NO_UNROLL
    for (int g = 0; g < groups; g++) {
        struct tile_sums dot = {0};
        ASSAY_UNROLL
        for (int t = 0; t < steps; t++) {
            tile_step(&dot, w, t, x, t, nx);
            if (t % 2)
                tile_pin(&dot, nx);
        }
        if (groups == 1)
            return dot;
        TILE_EACH(i, p, nx)
        sum.v[i][p] = f->scales ? vmlaq_s32(sum.v[i][p], dot.v[i][p], tile_w_s32(scales, p))
                                : vaddq_s32(sum.v[i][p], dot.v[i][p]);
        w += f->group * PANEL_ROWS;
        x += f->group * PANEL_MR;
        scales += PANEL_ROWS;
    }
    return sum;
}

/* Σ min·sum of a unit, the sums in two halves. */
ASSAY_INLINE struct tile_sums tile_mins(const struct panel_form *f, const uint8_t *w,
                                        const uint8_t *x, const int nx) {
    const int steps = f->mins / TILE_STEP;
    struct tile_sums s = {0};
    ASSAY_UNROLL
    for (int t = 0; t < steps; t++)
        tile_step(&s, w, t, x, t, nx);
    TILE_EACH(i, p, nx)
    s.v[i][p] = vshlq_n_s32(s.v[i][p], 7);
    ASSAY_UNROLL
    for (int t = 0; t < steps; t++)
        tile_step(&s, w, t, x, steps + t, nx);
    return s;
}

ASSAY_INLINE void tile_product(const struct panel_form *f, const struct panel_tile *t,
                               const int mr) {
    const int nx = tile_vectors(mr);
    const uint8_t *w = t->w, *x = t->x;
    float32x4_t acc[TILE_X][TILE_W];
    tile_load(t->acc, acc, nx);
    for (size_t u = 0; u < t->units; u++) {
        struct tile_sums sum = tile_products(f, w, x, nx);
        const float *d = (const float *)(const void *)(w + unit_d_at(f));
        const float *da = (const float *)(const void *)(x + act_d_at(f));
        float32x4_t v[TILE_X][TILE_W];
        TILE_EACH(i, p, nx)
        v[i][p] = vmulq_f32(vcvtq_f32_s32(sum.v[i][p]), tile_w_f32(d, p));
        if (f->mins) {
            struct tile_sums min = tile_mins(f, w + unit_mins_at(f), x + act_halves_at(f), nx);
            TILE_EACH(i, p, nx)
            v[i][p] = vfmsq_f32(v[i][p], vcvtq_f32_s32(min.v[i][p]), tile_w_f32(d + PANEL_ROWS, p));
        }
        if (f->float_mins) {
            const float *sums = (const float *)(const void *)(x + act_sums_at(f));
            TILE_EACH(i, p, nx)
            v[i][p] = vfmaq_f32(v[i][p], tile_x_f32(sums, i), tile_w_f32(d + PANEL_ROWS, p));
        }
        TILE_EACH(i, p, nx)
        acc[i][p] = vfmaq_f32(acc[i][p], v[i][p], tile_x_f32(da, i));
        w += unit_bytes(f);
        x += act_bytes(f);
    }
    tile_store(t->acc, acc, nx);
}

ASSAY_INLINE void tile_any(const struct panel_form *f, const struct panel_tile *t, size_t mr) {
    switch (mr) {
    case 1:
        tile_product(f, t, 1);
        break;
    case 2:
        tile_product(f, t, 2);
        break;
    case 3:
        tile_product(f, t, 3);
        break;
    default:
        tile_product(f, t, 4);
        break;
    }
}

#endif
