/* The types with blocks of 32: how their codes unpack. */
#include "block32.h"
#include "impl/blocks.h"
#include "kernels.h"
#include "nibbles.h"

#define FIELD(type, member) offsetof(struct assay_block_##type, member)

/* ---- 16 bytes of nibbles (row_nibbles) ------------------------------------------------------- */

ASSAY_INLINE void panel_nibbles(const uint8_t *const block[PANEL_ROWS], size_t at, __m256i out[8]) {
    transpose16(block, at, out);
    ASSAY_UNROLL
    for (int i = 0; i < 4; i++) {
        out[4 + i] = high_nibbles(out[i]);
        out[i] = low_nibbles(out[i]);
    }
}

/* ---- Fifth bits: bit i of a 32-bit word belongs to code i ------------------------------------ */

/* 16 in every byte whose bit is set: `word` holds one row's word a 32-bit lane; byte j of the
 * result looks at byte from[j] of its 128-bit lane and at the bit of mask[j]. */
ASSAY_INLINE __m256i fifth_bits(__m256i word, __m256i from, __m256i mask) {
    return _mm256_and_si256(bits_set(_mm256_shuffle_epi8(word, from), mask), _mm256_set1_epi8(16));
}

ASSAY_INLINE __m256i row_five(const uint8_t *qh, const uint8_t *qs) {
    return _mm256_or_si256(row_nibbles(qs), _mm256_and_si256(row_bits(qh), _mm256_set1_epi8(16)));
}

ASSAY_INLINE void panel_five(const uint8_t *const block[PANEL_ROWS], size_t qh, size_t qs,
                             __m256i out[8]) {
    int32_t word[PANEL_ROWS];
    ASSAY_UNROLL
    for (int r = 0; r < PANEL_ROWS; r++)
        memcpy(&word[r], block[r] + qh, sizeof word[r]);
    __m256i words = load256(word);
    panel_nibbles(block, qs, out);
    __m256i lane = _mm256_setr_epi32(0x00000000, 0x04040404, 0x08080808, 0x0c0c0c0c, 0x00000000,
                                     0x04040404, 0x08080808, 0x0c0c0c0c);
    ASSAY_UNROLL
    for (int i = 0; i < 8; i++) {
        __m256i from = _mm256_add_epi8(lane, _mm256_set1_epi8((char)(i / 2)));
        __m256i mask = _mm256_set1_epi32(i % 2 ? (int)0x80402010 : 0x08040201);
        out[i] = _mm256_or_si256(out[i], fifth_bits(words, from, mask));
    }
}

/* ---- Q4_0, Q4_1, Q5_0, Q5_1 ------------------------------------------------------------------ */

ASSAY_INLINE __m256i q4_0_row(const uint8_t *block, int part) {
    (void)part;
    return row_nibbles(block + FIELD(q4_0, qs));
}
ASSAY_INLINE void q4_0_panel(const uint8_t *const block[PANEL_ROWS], __m256i out[8]) {
    panel_nibbles(block, FIELD(q4_0, qs), out);
}
static const struct block32_type q4_0 = {
    .bytes = sizeof(struct assay_block_q4_0),
    .units = 1,
    .d_at = FIELD(q4_0, d),
    .offset = 8,
    .run = 8,
    .row_codes = q4_0_row,
    .panel_codes = q4_0_panel,
};

ASSAY_INLINE __m256i q4_1_row(const uint8_t *block, int part) {
    (void)part;
    return row_nibbles(block + FIELD(q4_1, qs));
}
ASSAY_INLINE void q4_1_panel(const uint8_t *const block[PANEL_ROWS], __m256i out[8]) {
    panel_nibbles(block, FIELD(q4_1, qs), out);
}
static const struct block32_type q4_1 = {
    .bytes = sizeof(struct assay_block_q4_1),
    .units = 1,
    .d_at = FIELD(q4_1, d),
    .m_at = FIELD(q4_1, m),
    .has_m = true,
    .run = 8, /* 16·127·15 = 30480 */
    .row_codes = q4_1_row,
    .panel_codes = q4_1_panel,
};

ASSAY_INLINE __m256i q5_0_row(const uint8_t *block, int part) {
    (void)part;

    return row_five(block + FIELD(q5_0, qh), block + FIELD(q5_0, qs));
}
ASSAY_INLINE void q5_0_panel(const uint8_t *const block[PANEL_ROWS], __m256i out[8]) {
    panel_five(block, FIELD(q5_0, qh), FIELD(q5_0, qs), out);
}
static const struct block32_type q5_0 = {
    .bytes = sizeof(struct assay_block_q5_0),
    .units = 1,
    .d_at = FIELD(q5_0, d),
    .offset = 16,
    .run = 8,
    .row_codes = q5_0_row,
    .panel_codes = q5_0_panel,
};

ASSAY_INLINE __m256i q5_1_row(const uint8_t *block, int part) {
    (void)part;

    return row_five(block + FIELD(q5_1, qh), block + FIELD(q5_1, qs));
}
ASSAY_INLINE void q5_1_panel(const uint8_t *const block[PANEL_ROWS], __m256i out[8]) {
    panel_five(block, FIELD(q5_1, qh), FIELD(q5_1, qs), out);
}
static const struct block32_type q5_1 = {
    .bytes = sizeof(struct assay_block_q5_1),
    .units = 1,
    .d_at = FIELD(q5_1, d),
    .m_at = FIELD(q5_1, m),
    .has_m = true,
    .run = 4, /* 8·127·31 = 31496 */
    .row_codes = q5_1_row,
    .panel_codes = q5_1_panel,
};

/* ---- Q8_0 ------------------------------------------------------------------------------------ */

ASSAY_INLINE __m256i q8_0_row(const uint8_t *block, int part) {
    (void)part;
    return load256(block + FIELD(q8_0, qs));
}
ASSAY_INLINE void q8_0_panel(const uint8_t *const block[PANEL_ROWS], __m256i out[8]) {
    transpose16(block, FIELD(q8_0, qs), out);
    transpose16(block, FIELD(q8_0, qs) + 16, out + 4);
}
static const struct block32_type q8_0 = {
    .bytes = sizeof(struct assay_block_q8_0),
    .units = 1,
    .d_at = FIELD(q8_0, d),
    .is_signed = true,
    .run = 8,
    .row_codes = q8_0_row,
    .panel_codes = q8_0_panel,
};

/* ---- IQ4_NL ---------------------------------------------------------------------------------- */

ASSAY_INLINE __m256i iq4_nl_row(const uint8_t *block, int part) {
    (void)part;

    return iq4_codebook(row_nibbles(block + FIELD(iq4_nl, qs)));
}
ASSAY_INLINE void iq4_nl_panel(const uint8_t *const block[PANEL_ROWS], __m256i out[8]) {
    panel_nibbles(block, FIELD(iq4_nl, qs), out);
    ASSAY_UNROLL
    for (int i = 0; i < 8; i++)
        out[i] = iq4_codebook(out[i]);
}
static const struct block32_type iq4_nl = {
    .bytes = sizeof(struct assay_block_iq4_nl),
    .units = 1,
    .d_at = FIELD(iq4_nl, d),
    .is_signed = true,
    .run = 8,
    .row_codes = iq4_nl_row,
    .panel_codes = iq4_nl_panel,
};

/* ---- MXFP4 ----------------------------------------------------------------------------------- */

/* Half the values of E8M0 exponents e, 2^(e - 128), which makes up for the doubled codes: from
 * e = 2 on a normal number, below that a subnormal one. */
ASSAY_INLINE __m256 half_e8m0(__m256i e) {
    __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    __m256i subnormal = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
    __m256i low = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
    return _mm256_castsi256_ps(_mm256_blendv_epi8(normal, subnormal, low));
}
ASSAY_INLINE __m256 mxfp4_scales(const uint8_t *const block[PANEL_ROWS]) {
    uint8_t e[PANEL_ROWS];
    ASSAY_UNROLL
    for (int r = 0; r < PANEL_ROWS; r++)
        e[r] = block[r][FIELD(mxfp4, e)];
    return half_e8m0(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)e)));
}
ASSAY_INLINE __m256i mxfp4_row(const uint8_t *block, int part) {
    (void)part;
    return fp4_codebook(row_nibbles(block + FIELD(mxfp4, qs)));
}
ASSAY_INLINE void mxfp4_panel(const uint8_t *const block[PANEL_ROWS], __m256i out[8]) {
    panel_nibbles(block, FIELD(mxfp4, qs), out);
    ASSAY_UNROLL
    for (int i = 0; i < 8; i++)
        out[i] = fp4_codebook(out[i]);
}
static const struct block32_type mxfp4 = {
    .bytes = sizeof(struct assay_block_mxfp4),
    .units = 1,
    .scales = mxfp4_scales,
    .offset = FP4_OFFSET,
    .run = 8,
    .row_codes = mxfp4_row,
    .panel_codes = mxfp4_panel,
};

/* ---- NVFP4 ----------------------------------------------------------------------------------- */

/* Half the values of unsigned E4M3 numbers: bit 7 is ignored, but the NaN code 0x7f counts as
 * zero. As binary16 bits the exponent is short by 8. */
ASSAY_INLINE __m256 half_ue4m3(__m128i bytes) {
    __m128i v = _mm_cvtepu8_epi16(bytes);
    __m128i bits = _mm_and_si128(_mm_slli_epi16(v, 7), _mm_set1_epi16(0x7f << 7));
    bits = _mm_andnot_si128(_mm_cmpeq_epi16(v, _mm_set1_epi16(0x7f)), bits);
    return _mm256_mul_ps(_mm256_cvtph_ps(bits), _mm256_set1_ps(0x1p7f));
}
ASSAY_INLINE void nvfp4_half_scales(const uint8_t *const block[PANEL_ROWS], const int part[8],
                                    __m256 out[2]) {
    uint8_t v[2 * PANEL_ROWS];
    ASSAY_UNROLL
    for (int r = 0; r < PANEL_ROWS; r++) {
        v[r] = block[r][FIELD(nvfp4, d) + 2 * part[r]];
        v[PANEL_ROWS + r] = block[r][FIELD(nvfp4, d) + 2 * part[r] + 1];
    }
    __m128i bytes = load128(v);
    out[0] = half_ue4m3(bytes);
    out[1] = half_ue4m3(_mm_unpackhi_epi64(bytes, bytes));
}
ASSAY_INLINE __m256i nvfp4_row(const uint8_t *block, int part) {
    __m128i qs = load128(block + FIELD(nvfp4, qs) + 16 * part);
    __m256i v = _mm256_permute4x64_epi64(_mm256_castsi128_si256(qs), 0x50);
    return fp4_codebook(low_nibbles(_mm256_srlv_epi64(v, _mm256_setr_epi64x(0, 4, 0, 4))));
}
static const struct block32_type nvfp4 = {
    .bytes = sizeof(struct assay_block_nvfp4),
    .units = 2,
    .half_scales = nvfp4_half_scales,
    .offset = FP4_OFFSET,
    .run = 4,
    .row_codes = nvfp4_row,
};

/* ---- Q1_0, Q2_0 ------------------------------------------------------------------------------ */

/* Twice the bit: the weights are 2·bit - 1. */
ASSAY_INLINE __m256i q1_0_row(const uint8_t *block, int part) {
    __m256i bits = row_bits(block + FIELD(q1_0, qs) + 4 * part);
    return _mm256_and_si256(bits, _mm256_set1_epi8(2));
}
static const struct block32_type q1_0 = {
    .bytes = sizeof(struct assay_block_q1_0),
    .units = 4,
    .d_at = FIELD(q1_0, d),
    .offset = 1,
    .run = 8,
    .row_codes = q1_0_row,
};

ASSAY_INLINE __m256i q2_0_row(const uint8_t *block, int part) {
    return spread_2bit(
        _mm_loadl_epi64((const __m128i *)(const void *)(block + FIELD(q2_0, qs) + 8 * part)));
}
static const struct block32_type q2_0 = {
    .bytes = sizeof(struct assay_block_q2_0),
    .units = 2,
    .d_at = FIELD(q2_0, d),
    .offset = 1,
    .run = 8,
    .row_codes = q2_0_row,
};

ASSAY_BLOCK32_KERNELS(mxfp4)
ASSAY_BLOCK32_KERNELS(nvfp4)
ASSAY_BLOCK32_KERNELS(q1_0)
ASSAY_BLOCK32_KERNELS(q2_0)
ASSAY_BLOCK32_KERNELS(q4_0)
ASSAY_BLOCK32_KERNELS(q4_1)
ASSAY_BLOCK32_KERNELS(q5_0)
ASSAY_BLOCK32_KERNELS(q5_1)
ASSAY_BLOCK32_KERNELS(q8_0)
ASSAY_BLOCK32_KERNELS(iq4_nl)
