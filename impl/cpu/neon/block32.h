/* Kernel templates of the types with blocks of 32 and int8 activations in blocks of 32.
 *
 * A type is a constant struct block32_type; the functions below are inlined into its instances. The
 * 32 products of a block sum exactly in integers (exact_run 32). Scales then come in fp32 in the
 * order (sum·d + Σq·m)·d_act, in which no intermediate overflows. */
#ifndef ASSAY_IMPL_CPU_NEON_BLOCK32_H
#define ASSAY_IMPL_CPU_NEON_BLOCK32_H

#include "pack.h"

enum { BLOCK32_MAX_PLANES = 3 };

struct block32_type {
    size_t bytes; /* of a block */
    size_t d_at;  /* binary16 scale */
    size_t m_at;  /* binary16 additive term, if has_m */
    bool has_m;
    int offset; /* the weight's code is the unpacked code - offset */

    /* load() makes planes of 16 bytes of a block, codes() of byte i of the planes the code of
     * weight 16h + i. It works on each byte position alone, so the same function unpacks one row
     * and interleaved rows. */
    int planes;
    void (*load)(const uint8_t *block, uint8x16_t *plane);
    int8x16_t (*codes)(const uint8x16_t *plane, int h);

    const struct panel_form *form;
};

/* ---- One or two rows of activations: dot products straight from the blocks --------------------
 */

/* Block b of four rows × m rows of activations. */
ASSAY_INLINE void block32_products(const struct block32_type *t, const struct assay_act *act,
                                   const uint8_t *const block[GEMV_ROWS], size_t b, const int m,
                                   float32x4_t acc[GEMV_MAX_M]) {
    int8x16_t x[GEMV_MAX_M][2];
    int32x4_t dot[GEMV_MAX_M][GEMV_ROWS];
    ASSAY_UNROLL
    for (int i = 0; i < m; i++) {
        x[i][0] = vld1q_s8(act->q + (size_t)i * act->q_stride + 32 * b);
        x[i][1] = vld1q_s8(act->q + (size_t)i * act->q_stride + 32 * b + 16);
    }
    ASSAY_UNROLL
    for (int r = 0; r < GEMV_ROWS; r++) {
        uint8x16_t plane[BLOCK32_MAX_PLANES];
        t->load(block[r], plane);
        int8x16_t c0 = t->codes(plane, 0), c1 = t->codes(plane, 1);
        ASSAY_UNROLL
        for (int i = 0; i < m; i++)
            dot[i][r] = vdotq_s32(vdotq_s32(vdupq_n_s32(0), c0, x[i][0]), c1, x[i][1]);
    }
    float32x4_t d = gather_halves(block, t->d_at);
    ASSAY_UNROLL
    for (int i = 0; i < m; i++) {
        const int16_t *sums = act->sums + (size_t)i * act->sums_stride + 2 * b;
        int32x4_t sum = sum_each(dot[i]);
        if (t->offset)
            sum = vsubq_s32(sum, vdupq_n_s32(t->offset * (sums[0] + sums[1])));
        float32x4_t v = vmulq_f32(vcvtq_f32_s32(sum), d);
        if (t->has_m)
            v = vfmaq_n_f32(v, gather_halves(block, t->m_at), (float)(sums[0] + sums[1]));
        acc[i] = vfmaq_n_f32(acc[i], v, act->d[(size_t)i * act->d_stride + b]);
    }
}

/* Rows [0,n) of W times m rows of activations; m is a constant. */
ASSAY_INLINE void block32_gemv(const struct block32_type *t, const struct assay_cpu_args *a,
                               const int m) {
    enum { BATCH = 8 }; /* blocks between prefetches: these go by whole cache lines */
    size_t blocks = a->k / 32;
    for (size_t j = 0; j < a->n; j += GEMV_ROWS) {
        const uint8_t *block[GEMV_ROWS];
        float32x4_t acc[GEMV_MAX_M] = {vdupq_n_f32(0), vdupq_n_f32(0)};
        gemv_rows(a->w, a->row_bytes, j, a->n, block);
        for (size_t b0 = 0; b0 < blocks; b0 += BATCH) {
            size_t b1 = blocks - b0 < BATCH ? blocks : b0 + BATCH;
            ASSAY_UNROLL
            for (int r = 0; r < GEMV_ROWS; r++)
                gemv_prefetch(block[r], a->row_bytes, BATCH * t->bytes);
            for (size_t b = b0; b < b1; b++) {
                block32_products(t, a->act, block, b, m, acc);
                ASSAY_UNROLL
                for (int r = 0; r < GEMV_ROWS; r++)
                    block[r] += t->bytes;
            }
        }
        ASSAY_UNROLL
        for (int i = 0; i < m; i++)
            gemv_store(acc[i], a->y + (size_t)i * a->ldy + j, a->n - j);
    }
}

/* ---- Panels -----------------------------------------------------------------------------------
 */

ASSAY_INLINE void block32_pack(const struct block32_type *t, const int step,
                               const uint8_t *const block[PANEL_ROWS], uint8_t *unit) {
    uint8x16_t row[PANEL_ROWS][BLOCK32_MAX_PLANES], plane[PANEL_ROWS][BLOCK32_MAX_PLANES];
    ASSAY_UNROLL
    for (int r = 0; r < PANEL_ROWS; r++)
        t->load(block[r], row[r]);
    ASSAY_UNROLL
    for (int p = 0; p < t->planes; p++) {
        uint8x16_t in[PANEL_ROWS], out[PANEL_ROWS];
        ASSAY_UNROLL
        for (int r = 0; r < PANEL_ROWS; r++)
            in[r] = row[r][p];
        interleave_rows(step, in, out);
        ASSAY_UNROLL
        for (int i = 0; i < PANEL_ROWS; i++)
            plane[i][p] = out[i];
    }
    ASSAY_UNROLL
    for (int i = 0; i < PANEL_ROWS; i++)
        ASSAY_UNROLL
    for (int h = 0; h < 2; h++) {
        int8x16_t code = t->codes(plane[i], h);
        if (t->offset)
            code = vsubq_s8(code, vdupq_n_s8((int8_t)t->offset));
        vst1q_s8((int8_t *)unit + PANEL_ROWS * 16 * h + 16 * i, code);
    }
    pack_halves(block, t->d_at, false, unit + unit_d_at(t->form));
    if (t->has_m)
        pack_halves(block, t->m_at, false, unit + unit_dmin_at(t->form));
}

#endif
