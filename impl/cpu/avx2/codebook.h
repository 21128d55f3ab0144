/* Kernel templates of the super-block types whose codes are looked up or computed rather than cut
 * out of planes: the IQ types, TQ1_0 and TQ2_0. Panels are those of superblock.h, filled from codes
 * of single rows.
 *
 * A block is unpacked in two steps. open() does for the whole block what vectors of 32 bytes do
 * best: grid numbers, signs and scales. codes() then makes the 32 codes of a group.
 *
 * The dot products of one to three rows keep signs apart from magnitudes, VPSIGNB putting them on
 * the activations. The eight 32-bit lanes of a block's sum stay below 2^24, so that each is exact
 * in fp32: at most 32 products of 127·127·32 (IQ4_XS, whose levels and scales are the largest) are
 * 16516096. */
#ifndef ASSAY_IMPL_CPU_AVX2_CODEBOOK_H
#define ASSAY_IMPL_CPU_AVX2_CODEBOOK_H

#include "impl/iq_tables.h"
#include "superblock.h"

/* A block after open(), which fills what its codes() needs. */
struct codebook_block {
    float d;            /* includes the power of two that makes scales and codes integers */
    int16_t scale[16];  /* of 16 weights each; unused by types with `plain` */
    uint16_t index[64]; /* grid numbers */
    uint8_t signs[32];  /* bit j of byte i: weight 8i + j is negative; of IQ1 the shift ±1 of 8 */
    uint8_t codes[256];
};

/* 32 codes: magnitudes with the signs of other bytes, which are not zero where magnitudes aren't.
 */
struct signed_codes {
    __m256i magnitude, sign;
};

struct codebook_type {
    /* bytes, is_signed or offset, sub_block and run; the offset is added to signed codes. */
    struct superblock_type form;
    /* Codes are unsigned ones of which form.offset = 1 is subtracted, and have no scales but d. */
    bool plain;
    void (*open)(const uint8_t *block, struct codebook_block *o);
    struct signed_codes (*codes)(const struct assay_iq_tables *t, const uint8_t *block,
                                 const struct codebook_block *o, int g);
};

/* Unpacks a block for codes(), to memory for good: gcc would otherwise replace broadcasts from
 * there by shuffles of what was stored, which are dearer. */
ASSAY_INLINE void codebook_open(const struct codebook_type *t, const uint8_t *block,
                                struct codebook_block *o) {
    t->open(block, o);
    __asm__("" : "+m"(*o));
}

/* ---- One to three rows of activations: dot products straight from the blocks ----------------- */

/* The scales of group g as its products want them. */
ASSAY_INLINE __m256i codebook_scale(const struct codebook_type *t, const struct codebook_block *o,
                                    int g) {
    __m256i two = broadcast32(o->scale + 2 * g);
    return t->form.sub_block == 32
               ? two
               : _mm256_shuffle_epi8(two,
                                     _mm256_setr_epi64x(0x0100010001000100, 0x0100010001000100,
                                                        0x0302030203020302, 0x0302030203020302));
}

/* Codes of one block times m activation rows, scaled; each sum spread over eight lanes. */
ASSAY_INLINE void codebook_products(const struct codebook_type *t,
                                    const struct assay_iq_tables *tables, const uint8_t *block,
                                    const struct codebook_block *o, const int8_t *q,
                                    size_t q_stride, const int m, __m256i *sum) {
    ASSAY_UNROLL
    for (int g = 0; g < 8; g++) {
        struct signed_codes c = t->codes(tables, block, o, g);
        __m256i scale = codebook_scale(t, o, g);
        ASSAY_UNROLL
        for (int i = 0; i < m; i++) {
            __m256i x = _mm256_sign_epi8(load256(q + (size_t)i * q_stride + 32 * g), c.sign);
            __m256i p = _mm256_madd_epi16(_mm256_maddubs_epi16(c.magnitude, x), scale);
            sum[i] = g == 0 ? p : _mm256_add_epi32(sum[i], p);
        }
    }
}

/* The same of plain codes: 16-bit lanes sum 16 products of 2·127, then the offset is taken off.
 * Only the sum of all lanes is that of the weights. */
ASSAY_INLINE void codebook_plain_products(const struct codebook_type *t, const uint8_t *block,
                                          const struct codebook_block *o, const int8_t *q,
                                          size_t q_stride, const int16_t *sums, size_t sums_stride,
                                          const int m, __m256i *sum) {
    ASSAY_UNROLL
    for (int g = 0; g < 8; g++) {
        __m256i code = t->codes(NULL, block, o, g).magnitude;
        ASSAY_UNROLL
        for (int i = 0; i < m; i++) {
            __m256i p = _mm256_maddubs_epi16(code, load256(q + (size_t)i * q_stride + 32 * g));
            sum[i] = g == 0 ? p : _mm256_add_epi16(sum[i], p);
        }
    }
    ASSAY_UNROLL
    for (int i = 0; i < m; i++) /* Σq of 16 is below 2032, so the difference fits 16 bits too */
        sum[i] =
            _mm256_madd_epi16(_mm256_sub_epi16(sum[i], load256(sums + (size_t)i * sums_stride)),
                              _mm256_set1_epi16(1));
}

/* Rows [0,n) of W times m activation rows; m is a constant. */
ASSAY_INLINE void codebook_dot(const struct codebook_type *t, const struct assay_cpu_args *a,
                               const int m) {
    const struct assay_iq_tables *tables = assay_iq_tables();
    const struct assay_act *act = a->act;
    for (size_t j = 0; j < a->n; j++) {
        const uint8_t *block = a->w + j * a->row_bytes;
        __m256 acc[DOT_MAX];
        ASSAY_UNROLL
        for (int i = 0; i < m; i++)
            acc[i] = _mm256_setzero_ps();
        for (size_t b = 0; b < a->k / 256; b++, block += t->form.bytes) {
            struct codebook_block o;
            __m256i sum[DOT_MAX];
            prefetch_ahead(block, t->form.bytes);
            codebook_open(t, block, &o);
            codebook_products(t, tables, block, &o, act->q + 256 * b, act->q_stride, m, sum);
            ASSAY_UNROLL
            for (int i = 0; i < m; i++) {
                __m256 v = _mm256_mul_ps(_mm256_cvtepi32_ps(sum[i]), _mm256_set1_ps(o.d));
                __m256 da = _mm256_broadcast_ss(act->d + (size_t)i * act->d_stride + b);
                acc[i] = _mm256_fmadd_ps(v, da, acc[i]);
            }
        }
        ASSAY_UNROLL
        for (int i = 0; i < m; i++)
            a->y[(size_t)i * a->ldy + j] = sum_lanes(acc[i]);
    }
}

/* The same of plain codes. */
ASSAY_INLINE void codebook_plain_dot(const struct codebook_type *t, const struct assay_cpu_args *a,
                                     const int m) {
    const struct assay_act *act = a->act;
    size_t blocks = a->k / 256;
    for (size_t j = 0; j < a->n; j++) {
        const uint8_t *block = a->w + j * a->row_bytes;
        __m256 acc[DOT_MAX];
        ASSAY_UNROLL
        for (int i = 0; i < m; i++)
            acc[i] = _mm256_setzero_ps();
        for (size_t b = 0; b < blocks; b += 8) {
            size_t count = blocks - b < 8 ? blocks - b : 8;
            __m256i whole[DOT_MAX][8];
            float d[8][2] = {{0}};
            for (size_t h = 0; h < count; h++, block += t->form.bytes) {
                struct codebook_block o;
                __m256i sum[DOT_MAX];
                prefetch_ahead(block, t->form.bytes);
                t->open(block, &o);
                d[h][1] = o.d;
                codebook_plain_products(t, block, &o, act->q + 256 * (b + h), act->q_stride,
                                        act->sums + 16 * (b + h), act->sums_stride, m, sum);
                ASSAY_UNROLL
                for (int i = 0; i < m; i++)
                    whole[i][h] = sum[i];
            }
            ASSAY_UNROLL
            for (int i = 0; i < m; i++)
                acc[i] =
                    superblock_add_whole(whole[i], (const float(*)[2])d,
                                         act->d + (size_t)i * act->d_stride + b, count, acc[i]);
        }
        ASSAY_UNROLL
        for (int i = 0; i < m; i++)
            a->y[(size_t)i * a->ldy + j] = sum_lanes(acc[i]);
    }
}

/* ---- Panels ---------------------------------------------------------------------------------- */

/* The codes of a group as form says. */
ASSAY_INLINE __m256i codebook_tile_codes(const struct codebook_type *t, struct signed_codes c) {
    if (t->plain)
        return c.magnitude;
    return _mm256_add_epi8(_mm256_sign_epi8(c.magnitude, c.sign),
                           _mm256_set1_epi8((char)t->form.offset));
}

ASSAY_INLINE void codebook_pack(const struct codebook_type *t,
                                const uint8_t *const block[PANEL_ROWS], uint8_t *unit) {
    const struct assay_iq_tables *tables = assay_iq_tables();
    struct codebook_block o[PANEL_ROWS];
    float *d = (float *)(void *)(unit + unit_d_at(&t->form));
    ASSAY_NO_UNROLL
    for (int r = 0; r < PANEL_ROWS; r++) {
        t->open(block[r], &o[r]);
        d[r] = o[r].d;
    }
    ASSAY_NO_UNROLL
    for (int g = 0; g < 8; g++) {
        __m256i row[PANEL_ROWS], out[8];
        ASSAY_UNROLL
        for (int r = 0; r < PANEL_ROWS; r++)
            row[r] = codebook_tile_codes(t, t->codes(tables, block[r], &o[r], g));
        transpose32(row, out);
        ASSAY_UNROLL
        for (int i = 0; i < 8; i++)
            store256(unit + 32 * (8 * g + i), out[i]);
    }
    if (t->plain) {
        ASSAY_UNROLL
        for (int s = 0; s < 8; s++)
            store256(unit + UNIT_CODES + 32 * s, _mm256_set1_epi16(1));
        return;
    }
    uint8_t scales[PANEL_ROWS][16];
    const uint8_t *row[PANEL_ROWS];
    for (int r = 0; r < PANEL_ROWS; r++) {
        __m128i bytes = _mm_packs_epi16(load128(o[r].scale), load128(o[r].scale + 8));
        _mm_storeu_si128((__m128i *)(void *)scales[r], bytes);
        row[r] = scales[r];
    }
    superblock_pack_scales(&t->form, row, unit);
}

#define ASSAY_CODEBOOK_KERNELS(name, dot)                                                          \
    ASSAY_SUPERBLOCK_PANEL(name, &name.form, codebook_pack(&name, block, unit))                    \
    ASSAY_SUPERBLOCK_DOT(name, dot)

#endif
