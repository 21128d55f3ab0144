/* The K-quants: how their codes and scales unpack. */
#include "impl/blocks.h"
#include "kernels.h"
#include "superblock.h"

#define FIELD(type, member) offsetof(struct assay_block_##type, member)

ASSAY_INLINE __m256i low_nibbles(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
ASSAY_INLINE __m256i high_nibbles(__m256i v) { return low_nibbles(_mm256_srli_epi16(v, 4)); }

/* Bits [at, at+n) of every byte, moved to bit `to`. */
ASSAY_INLINE __m256i byte_bits(__m256i v, int at, int n, int to) {
    v = to >= at ? _mm256_slli_epi16(v, to - at) : _mm256_srli_epi16(v, at - to);
    return _mm256_and_si256(v, _mm256_set1_epi8((char)(((1 << n) - 1) << to)));
}

/* ---- Q4_K, Q5_K ------------------------------------------------------------------------------ */

/* Layout: assay_unpack_k4_scales in blocks.h. Reads four bytes of the field after it. */
ASSAY_INLINE void k4_scales(const uint8_t *packed, __m128i *scales, __m128i *mins) {
    __m128i v = load128(packed);
    __m128i low =
        _mm_shuffle_epi8(v, _mm_setr_epi8(0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 8, 9, 10, 11));
    low = _mm_and_si128(_mm_srlv_epi32(low, _mm_setr_epi32(0, 0, 0, 4)),
                        _mm_setr_epi32(0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f));
    __m128i high =
        _mm_shuffle_epi8(v, _mm_setr_epi8(-1, -1, -1, -1, 0, 1, 2, 3, -1, -1, -1, -1, 4, 5, 6, 7));
    high = _mm_and_si128(_mm_srli_epi16(high, 2), _mm_set1_epi8(0x30));
    v = _mm_or_si128(low, high);
    *scales = _mm_unpacklo_epi8(v, v);
    *mins = _mm_unpackhi_epi8(v, v);
}

ASSAY_INLINE void q4_k_scales(const uint8_t *block, __m128i *scales, __m128i *mins) {
    k4_scales(block + FIELD(q4_k, scales), scales, mins);
}

ASSAY_INLINE void q4_k_codes(const __m256i *plane, __m256i out[8]) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        out[2 * j] = low_nibbles(plane[j]);
        out[2 * j + 1] = high_nibbles(plane[j]);
    }
}

static const struct superblock_type q4_k = {
    .bytes = sizeof(struct assay_block_q4_k),
    .planes = 4,
    .plane_at = {FIELD(q4_k, qs), FIELD(q4_k, qs) + 32, FIELD(q4_k, qs) + 64, FIELD(q4_k, qs) + 96},
    .codes = q4_k_codes,
    .scales = q4_k_scales,
    .d_at = FIELD(q4_k, d),
    .dmin_at = FIELD(q4_k, dmin),
    .has_mins = true,
    .offset_log2 = -1,
    .sub_block = 32,
    .run = 8, /* 16·127·15 = 30480 */
};

ASSAY_INLINE void q5_k_scales(const uint8_t *block, __m128i *scales, __m128i *mins) {
    k4_scales(block + FIELD(q5_k, scales), scales, mins);
}

ASSAY_INLINE void q5_k_codes(const __m256i *plane, __m256i out[8]) {
    q4_k_codes(plane, out);
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++)
        out[j] = _mm256_or_si256(out[j], byte_bits(plane[4], j, 1, 4));
}

static const struct superblock_type q5_k = {
    .bytes = sizeof(struct assay_block_q5_k),
    .planes = 5,
    .plane_at = {FIELD(q5_k, qs), FIELD(q5_k, qs) + 32, FIELD(q5_k, qs) + 64, FIELD(q5_k, qs) + 96,
                 FIELD(q5_k, qh)},
    .codes = q5_k_codes,
    .scales = q5_k_scales,
    .d_at = FIELD(q5_k, d),
    .dmin_at = FIELD(q5_k, dmin),
    .has_mins = true,
    .offset_log2 = -1,
    .sub_block = 32,
    .run = 4, /* 8·127·31 = 31496 */
};

/* ---- Q6_K ------------------------------------------------------------------------------------ */

ASSAY_INLINE void q6_k_scales(const uint8_t *block, __m128i *scales, __m128i *mins) {
    (void)mins;
    *scales = load128(block + FIELD(q6_k, scales));
}

ASSAY_INLINE void q6_k_codes(const __m256i *plane, __m256i out[8]) {
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        __m256i high = plane[4 + h];
        out[4 * h] = _mm256_or_si256(low_nibbles(plane[2 * h]), byte_bits(high, 0, 2, 4));
        out[4 * h + 1] = _mm256_or_si256(low_nibbles(plane[2 * h + 1]), byte_bits(high, 2, 2, 4));
        out[4 * h + 2] = _mm256_or_si256(high_nibbles(plane[2 * h]), byte_bits(high, 4, 2, 4));
        out[4 * h + 3] = _mm256_or_si256(high_nibbles(plane[2 * h + 1]), byte_bits(high, 6, 2, 4));
    }
}

static const struct superblock_type q6_k = {
    .bytes = sizeof(struct assay_block_q6_k),
    .planes = 6,
    .plane_at = {FIELD(q6_k, ql), FIELD(q6_k, ql) + 32, FIELD(q6_k, ql) + 64, FIELD(q6_k, ql) + 96,
                 FIELD(q6_k, qh), FIELD(q6_k, qh) + 32},
    .codes = q6_k_codes,
    .scales = q6_k_scales,
    .d_at = FIELD(q6_k, d),
    .offset_log2 = 5,
    .sub_block = 16,
    .run = 4, /* 8·127·32 = 32512 */
};

/* ---- Q2_K, Q3_K ------------------------------------------------------------------------------ */

ASSAY_INLINE void q2_k_scales(const uint8_t *block, __m128i *scales, __m128i *mins) {
    __m128i v = load128(block + FIELD(q2_k, scales)), nibble = _mm_set1_epi8(15);
    *scales = _mm_and_si128(v, nibble);
    *mins = _mm_and_si128(_mm_srli_epi16(v, 4), nibble);
}

ASSAY_INLINE void q2_k_codes(const __m256i *plane, __m256i out[8]) {
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++)
        out[j] = byte_bits(plane[j / 4], 2 * (j % 4), 2, 0);
}

static const struct superblock_type q2_k = {
    .bytes = sizeof(struct assay_block_q2_k),
    .planes = 2,
    .plane_at = {FIELD(q2_k, qs), FIELD(q2_k, qs) + 32},
    .codes = q2_k_codes,
    .scales = q2_k_scales,
    .d_at = FIELD(q2_k, d),
    .dmin_at = FIELD(q2_k, dmin),
    .has_mins = true,
    .offset_log2 = -1,
    .sub_block = 16,
    .run = 4, /* 8·127·3 */
};

/* Layout: assay_unpack_q3_k_scales in blocks.h. The load ends with the block. */
ASSAY_INLINE void q3_k_scales(const uint8_t *block, __m128i *scales, __m128i *mins) {
    (void)mins;
    enum { START = sizeof(struct assay_block_q3_k) - 16, AT = FIELD(q3_k, scales) - START };
    __m128i v = load128(block + START);
    __m128i low = _mm_shuffle_epi8(v, _mm_setr_epi8(AT, AT + 1, AT + 2, AT + 3, AT + 4, AT + 5,
                                                    AT + 6, AT + 7, AT, AT + 1, AT + 2, AT + 3,
                                                    AT + 4, AT + 5, AT + 6, AT + 7));
    low = _mm_and_si128(_mm_srlv_epi64(low, _mm_set_epi64x(4, 0)), _mm_set1_epi8(15));
    __m128i high = _mm_shuffle_epi8(v, _mm_set1_epi32(0x03020100 + 0x01010101 * (AT + 8)));
    high = _mm_and_si128(_mm_srlv_epi32(high, _mm_setr_epi32(0, 2, 4, 6)), _mm_set1_epi8(3));
    v = _mm_or_si128(low, _mm_slli_epi16(high, 4));
    *scales = _mm_sub_epi8(v, _mm_set1_epi8(32));
}

ASSAY_INLINE void q3_k_codes(const __m256i *plane, __m256i out[8]) {
    q2_k_codes(plane, out);
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++)
        out[j] = _mm256_or_si256(out[j], byte_bits(plane[2], j, 1, 2));
}

static const struct superblock_type q3_k = {
    .bytes = sizeof(struct assay_block_q3_k),
    .planes = 3,
    .plane_at = {FIELD(q3_k, qs), FIELD(q3_k, qs) + 32, FIELD(q3_k, hmask)},
    .codes = q3_k_codes,
    .scales = q3_k_scales,
    .d_at = FIELD(q3_k, d),
    .offset_log2 = 2,
    .sub_block = 16,
    .run = 4, /* 8·127·4 */
};

ASSAY_SUPERBLOCK_KERNELS(q2_k)
ASSAY_SUPERBLOCK_KERNELS(q3_k)
ASSAY_SUPERBLOCK_KERNELS(q4_k)
ASSAY_SUPERBLOCK_KERNELS(q5_k)
ASSAY_SUPERBLOCK_KERNELS(q6_k)
