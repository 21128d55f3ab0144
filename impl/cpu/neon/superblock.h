/* Kernel templates of the super-block types with int8 activations in blocks of 256.
 *
 * A type is a constant struct superblock_type; the functions below are inlined into its instances.
 * Within a super-block everything is integer and exact (exact_run 256): |Σ scale·code·q| stays
 * below 256·128·64·127 < 2^29. Then d and the activation scale come in fp32, in the order (sum·d -
 * min_sum·dmin)·d_act, in which no intermediate overflows. */
#ifndef ASSAY_IMPL_CPU_NEON_SUPERBLOCK_H
#define ASSAY_IMPL_CPU_NEON_SUPERBLOCK_H

#include "pack.h"

enum { SUPERBLOCK_MAX_PLANES = 12 };

struct superblock_type {
    size_t bytes; /* of a block */

    /* The codes: planes of 16 bytes at these offsets in the block. codes() makes of byte i of the
     * planes the code of weight 32g + 16h + i. It works on each byte position alone, so the same
     * function unpacks one row and interleaved rows. */
    int planes;
    size_t plane_at[SUPERBLOCK_MAX_PLANES];
    int8x16_t (*codes)(const uint8x16_t *plane, int g, int h);

    /* Scales, and mins if the type has any, of the 256/sub_block sub-blocks. */
    int sub_block; /* 16 or 32 */
    void (*scales)(const uint8_t *block, int8x16_t *scales, int8x16_t *mins);
    size_t d_at, dmin_at;
    bool has_mins;

    int offset_log2; /* the weight's code is the unpacked code - 2^offset_log2; -1: as unpacked */
    bool fold;       /* panels hold -scale·code (panel.h) */
    const struct panel_form *form;
};

/* ---- One or two rows of activations: dot products straight from the blocks --------------------
 */

/* One block × m rows of activations: lanes whose sum is Σ scale·code·q. */
ASSAY_INLINE void superblock_products(const struct superblock_type *t, const uint8_t *block,
                                      const int16x8_t scale[2], const int8_t *q, size_t q_stride,
                                      const int m, int32x4_t sum[GEMV_MAX_M]) {
    const int vectors = t->sub_block / 16; /* of a sub-block */
    uint8x16_t plane[SUPERBLOCK_MAX_PLANES];
    ASSAY_UNROLL
    for (int p = 0; p < t->planes; p++)
        plane[p] = vld1q_u8(block + t->plane_at[p]);
    ASSAY_UNROLL
    for (int s = 0; s < 256 / t->sub_block; s += 4) { /* four sub-blocks at a time */
        int32x4_t dot[GEMV_MAX_M][4];
        ASSAY_UNROLL
        for (int j = 0; j < 4; j++) {
            ASSAY_UNROLL
            for (int i = 0; i < m; i++)
                dot[i][j] = vdupq_n_s32(0);
            ASSAY_UNROLL
            for (int c = 0; c < vectors; c++) {
                int v = (s + j) * vectors + c;
                int8x16_t code = t->codes(plane, v / 2, v % 2);
                ASSAY_UNROLL
                for (int i = 0; i < m; i++)
                    dot[i][j] =
                        vdotq_s32(dot[i][j], code, vld1q_s8(q + (size_t)i * q_stride + 16 * v));
            }
        }
        int32x4_t four =
            s % 8 ? vmovl_high_s16(scale[s / 8]) : vmovl_s16(vget_low_s16(scale[s / 8]));
        ASSAY_UNROLL
        for (int i = 0; i < m; i++)
            sum[i] =
                s ? vmlaq_s32(sum[i], sum_each(dot[i]), four) : vmulq_s32(sum_each(dot[i]), four);
    }
}

/* Lanes whose sum is Σ a·b of `vectors` vectors. */
ASSAY_INLINE int32x4_t dot_s16(const int16x8_t *a, const int16x8_t *b, int vectors) {
    int32x4_t s = vmull_s16(vget_low_s16(a[0]), vget_low_s16(b[0]));
    s = vmlal_high_s16(s, a[0], b[0]);
    if (vectors == 2) {
        s = vmlal_s16(s, vget_low_s16(a[1]), vget_low_s16(b[1]));
        s = vmlal_high_s16(s, a[1], b[1]);
    }
    return s;
}

ASSAY_INLINE void widen_s8(int8x16_t v, int16x8_t out[2]) {
    out[0] = vmovl_s8(vget_low_s8(v));
    out[1] = vmovl_high_s8(v);
}

/* Rows [0,n) of W times m rows of activations; m is a constant. */
ASSAY_INLINE void superblock_gemv(const struct superblock_type *t, const struct assay_cpu_args *a,
                                  const int m) {
    const struct assay_act *act = a->act;
    const int sum_vectors = t->sub_block == 32 ? 1 : 2;
    for (size_t j = 0; j < a->n; j += GEMV_ROWS) {
        const uint8_t *block[GEMV_ROWS];
        float32x4_t acc[GEMV_MAX_M] = {vdupq_n_f32(0), vdupq_n_f32(0)};
        gemv_rows(a->w, a->row_bytes, j, a->n, block);
        for (size_t b = 0; b < a->k / 256; b++) {
            int32x4_t sum[GEMV_MAX_M][GEMV_ROWS], min_sum[GEMV_MAX_M][GEMV_ROWS];
            int16x8_t act_sum[GEMV_MAX_M][2];
            if (t->has_mins || t->offset_log2 >= 0) {
                ASSAY_UNROLL
                for (int i = 0; i < m; i++) {
                    const int16_t *at = act->sums + (size_t)i * act->sums_stride + 16 * b;
                    act_sum[i][0] = vld1q_s16(at);
                    act_sum[i][1] = vld1q_s16(at + 8);
                    if (t->sub_block == 32)
                        act_sum[i][0] = vpaddq_s16(act_sum[i][0], act_sum[i][1]);
                }
            }
            ASSAY_NO_UNROLL
            for (int r = 0; r < GEMV_ROWS; r++) {
                int8x16_t scales, mins;
                int16x8_t scale[2], min[2];
                int32x4_t s[GEMV_MAX_M];
                gemv_prefetch(block[r], a->row_bytes, t->bytes);
                t->scales(block[r], &scales, &mins);
                widen_s8(scales, scale);
                superblock_products(t, block[r], scale, act->q + 256 * b, act->q_stride, m, s);
                if (t->has_mins)
                    widen_s8(mins, min);
                ASSAY_UNROLL
                for (int i = 0; i < m; i++) {
                    if (t->offset_log2 >= 0)
                        s[i] = vsubq_s32(s[i], vshlq_s32(dot_s16(scale, act_sum[i], sum_vectors),
                                                         vdupq_n_s32(t->offset_log2)));
                    sum[i][r] = s[i];
                    if (t->has_mins)
                        min_sum[i][r] = dot_s16(min, act_sum[i], sum_vectors);
                }
            }
            float32x4_t d = gather_halves(block, t->d_at);
            ASSAY_UNROLL
            for (int i = 0; i < m; i++) {
                float32x4_t v = vmulq_f32(vcvtq_f32_s32(sum_each(sum[i])), d);
                if (t->has_mins)
                    v = vfmsq_f32(v, vcvtq_f32_s32(sum_each(min_sum[i])),
                                  gather_halves(block, t->dmin_at));
                acc[i] = vfmaq_n_f32(acc[i], v, act->d[(size_t)i * act->d_stride + b]);
            }
            ASSAY_UNROLL
            for (int r = 0; r < GEMV_ROWS; r++)
                block[r] += t->bytes;
        }
        ASSAY_UNROLL
        for (int i = 0; i < m; i++)
            gemv_store(acc[i], a->y + (size_t)i * a->ldy + j, a->n - j);
    }
}

/* ---- Panels -----------------------------------------------------------------------------------
 */

/* `byte` of [16 sub-blocks][8 rows] for the rows of vector i of a step, each `step` times. */
ASSAY_INLINE int8x16_t spread_scales(const int step, const uint8x16_t scale[PANEL_ROWS], int sub,
                                     int i) {
    const uint8x16_t count = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    uint8x16_t row = (count >> vdupq_n_u8(step == 4 ? 2 : 3)) +
                     vdupq_n_u8((uint8_t)(8 * (sub % 2) + 16 / step * (i % (step / 2))));
    return vreinterpretq_s8_u8(vqtbl1q_u8(scale[sub / 2], row));
}

ASSAY_INLINE void superblock_pack_scales(const struct superblock_type *t, const int step,
                                         const uint8_t *const block[PANEL_ROWS],
                                         uint8x16_t scale[PANEL_ROWS], uint8_t *unit) {
    uint8x16_t min[PANEL_ROWS], out[PANEL_ROWS];
    ASSAY_UNROLL
    for (int r = 0; r < PANEL_ROWS; r++) {
        int8x16_t s, m;
        t->scales(block[r], &s, &m);
        scale[r] = vreinterpretq_u8_s8(s);
        if (t->has_mins)
            min[r] = vreinterpretq_u8_s8(m);
    }
    transpose_bytes(scale);
    if (t->form->scales) {
        int32_t *at = (int32_t *)(void *)(unit + unit_scales_at(t->form));
        ASSAY_UNROLL
        for (int s = 0; s < 256 / t->sub_block; s++) {
            int8x16_t both = vreinterpretq_s8_u8(scale[s / 2]);
            int16x8_t v = s % 2 ? vmovl_high_s8(both) : vmovl_s8(vget_low_s8(both));
            vst1q_s32(at + 8 * s, vmovl_s16(vget_low_s16(v)));
            vst1q_s32(at + 8 * s + 4, vmovl_high_s16(v));
        }
    }
    if (t->has_mins) {
        interleave_rows(step, min, out);
        ASSAY_UNROLL
        for (int i = 0; i < t->form->mins / 2; i++)
            vst1q_u8(unit + unit_mins_at(t->form) + 16 * i, out[i]);
    }
}

ASSAY_INLINE void superblock_pack(const struct superblock_type *t, const int step,
                                  const uint8_t *const block[PANEL_ROWS], uint8_t *unit) {
    uint8x16_t plane[PANEL_ROWS][SUPERBLOCK_MAX_PLANES], scale[PANEL_ROWS];
    superblock_pack_scales(t, step, block, scale, unit);
    ASSAY_NO_UNROLL
    for (int p = 0; p < t->planes; p++) {
        uint8x16_t row[PANEL_ROWS], out[PANEL_ROWS];
        ASSAY_UNROLL
        for (int r = 0; r < PANEL_ROWS; r++)
            row[r] = vld1q_u8(block[r] + t->plane_at[p]);
        interleave_rows(step, row, out);
        ASSAY_UNROLL
        for (int i = 0; i < PANEL_ROWS; i++)
            plane[i][p] = out[i];
    }
    ASSAY_NO_UNROLL
    for (int i = 0; i < PANEL_ROWS; i++) {
        ASSAY_UNROLL
        for (int v = 0; v < 16; v++) {
            int8x16_t code = t->codes(plane[i], v / 2, v % 2);
            if (t->offset_log2 >= 0)
                code = vsubq_s8(code, vdupq_n_s8((int8_t)(1 << t->offset_log2)));
            if (t->fold)
                code = vmulq_s8(code, vnegq_s8(spread_scales(step, scale, v, i)));
            vst1q_s8((int8_t *)unit + PANEL_ROWS * 16 * v + 16 * i, code);
        }
    }
    pack_halves(block, t->d_at, t->fold, unit + unit_d_at(t->form));
    if (t->has_mins)
        pack_halves(block, t->dmin_at, false, unit + unit_dmin_at(t->form));
}

#endif
