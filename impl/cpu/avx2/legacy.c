/* The types with blocks of 32: how their codes unpack. */
#include "block32.h"
#include "impl/blocks.h"
#include "kernels.h"

#define FIELD(type, member) offsetof(struct assay_block_##type, member)

/* ---- 16 bytes of nibbles: the low ones are codes 0…15, the high ones codes 16…31 ------------- */

ASSAY_INLINE __m256i row_nibbles(const uint8_t *qs) {
    __m256i v = _mm256_srlv_epi64(broadcast128(qs), _mm256_setr_epi64x(0, 0, 4, 4));
    return _mm256_and_si256(v, _mm256_set1_epi8(15));
}

ASSAY_INLINE void panel_nibbles(const uint8_t *const block[PANEL_ROWS], size_t at, __m256i out[8]) {
    transpose16(block, at, out);
    ASSAY_UNROLL
    for (int i = 0; i < 4; i++) {
        out[4 + i] = _mm256_and_si256(_mm256_srli_epi16(out[i], 4), _mm256_set1_epi8(15));
        out[i] = _mm256_and_si256(out[i], _mm256_set1_epi8(15));
    }
}

/* ---- Fifth bits: bit i of a 32-bit word belongs to code i ------------------------------------ */

/* 16 in every byte whose bit is set. `word` holds the word in all 32-bit lanes, or one row's word a
 * lane; byte j of the result looks at byte from[j] of its 128-bit lane and at the bit of mask[j].
 */
ASSAY_INLINE __m256i fifth_bits(__m256i word, __m256i from, __m256i mask) {
    __m256i bit = _mm256_and_si256(_mm256_shuffle_epi8(word, from), mask);
    return _mm256_and_si256(_mm256_cmpeq_epi8(bit, mask), _mm256_set1_epi8(16));
}

ASSAY_INLINE __m256i row_five(const uint8_t *qh, const uint8_t *qs) {
    __m256i from =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    __m256i mask = _mm256_set1_epi64x((long long)0x8040201008040201);
    return _mm256_or_si256(row_nibbles(qs), fifth_bits(broadcast32(qh), from, mask));
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

ASSAY_INLINE __m256i q4_0_row(const uint8_t *block) { return row_nibbles(block + FIELD(q4_0, qs)); }
ASSAY_INLINE void q4_0_panel(const uint8_t *const block[PANEL_ROWS], __m256i out[8]) {
    panel_nibbles(block, FIELD(q4_0, qs), out);
}
static const struct block32_type q4_0 = {
    .bytes = sizeof(struct assay_block_q4_0),
    .d_at = FIELD(q4_0, d),
    .offset = 8,
    .run = 8,
    .row_codes = q4_0_row,
    .panel_codes = q4_0_panel,
};

ASSAY_INLINE __m256i q4_1_row(const uint8_t *block) { return row_nibbles(block + FIELD(q4_1, qs)); }
ASSAY_INLINE void q4_1_panel(const uint8_t *const block[PANEL_ROWS], __m256i out[8]) {
    panel_nibbles(block, FIELD(q4_1, qs), out);
}
static const struct block32_type q4_1 = {
    .bytes = sizeof(struct assay_block_q4_1),
    .d_at = FIELD(q4_1, d),
    .m_at = FIELD(q4_1, m),
    .has_m = true,
    .run = 8, /* 16·127·15 = 30480 */
    .row_codes = q4_1_row,
    .panel_codes = q4_1_panel,
};

ASSAY_INLINE __m256i q5_0_row(const uint8_t *block) {
    return row_five(block + FIELD(q5_0, qh), block + FIELD(q5_0, qs));
}
ASSAY_INLINE void q5_0_panel(const uint8_t *const block[PANEL_ROWS], __m256i out[8]) {
    panel_five(block, FIELD(q5_0, qh), FIELD(q5_0, qs), out);
}
static const struct block32_type q5_0 = {
    .bytes = sizeof(struct assay_block_q5_0),
    .d_at = FIELD(q5_0, d),
    .offset = 16,
    .run = 8,
    .row_codes = q5_0_row,
    .panel_codes = q5_0_panel,
};

ASSAY_INLINE __m256i q5_1_row(const uint8_t *block) {
    return row_five(block + FIELD(q5_1, qh), block + FIELD(q5_1, qs));
}
ASSAY_INLINE void q5_1_panel(const uint8_t *const block[PANEL_ROWS], __m256i out[8]) {
    panel_five(block, FIELD(q5_1, qh), FIELD(q5_1, qs), out);
}
static const struct block32_type q5_1 = {
    .bytes = sizeof(struct assay_block_q5_1),
    .d_at = FIELD(q5_1, d),
    .m_at = FIELD(q5_1, m),
    .has_m = true,
    .run = 4, /* 8·127·31 = 31496 */
    .row_codes = q5_1_row,
    .panel_codes = q5_1_panel,
};

/* ---- Q8_0 ------------------------------------------------------------------------------------ */

ASSAY_INLINE __m256i q8_0_row(const uint8_t *block) { return load256(block + FIELD(q8_0, qs)); }
ASSAY_INLINE void q8_0_panel(const uint8_t *const block[PANEL_ROWS], __m256i out[8]) {
    transpose16(block, FIELD(q8_0, qs), out);
    transpose16(block, FIELD(q8_0, qs) + 16, out + 4);
}
static const struct block32_type q8_0 = {
    .bytes = sizeof(struct assay_block_q8_0),
    .d_at = FIELD(q8_0, d),
    .is_signed = true,
    .run = 8,
    .row_codes = q8_0_row,
    .panel_codes = q8_0_panel,
};

/* ---- IQ4_NL ---------------------------------------------------------------------------------- */

ASSAY_INLINE __m256i iq4_codebook(__m256i nibbles) {
    __m256i table = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113));
    return _mm256_shuffle_epi8(table, nibbles);
}

ASSAY_INLINE __m256i iq4_nl_row(const uint8_t *block) {
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
    .d_at = FIELD(iq4_nl, d),
    .is_signed = true,
    .run = 8,
    .row_codes = iq4_nl_row,
    .panel_codes = iq4_nl_panel,
};

ASSAY_BLOCK32_KERNELS(q4_0)
ASSAY_BLOCK32_KERNELS(q4_1)
ASSAY_BLOCK32_KERNELS(q5_0)
ASSAY_BLOCK32_KERNELS(q5_1)
ASSAY_BLOCK32_KERNELS(q8_0)
ASSAY_BLOCK32_KERNELS(iq4_nl)
