/* The K-quants: how their codes and scales unpack. */
#include "impl/blocks.h"
#include "kernels.h"
#include "nibbles.h"
#include "superblock.h"

#define FIELD(type, member) offsetof(struct assay_block_##type, member)

/* Bits [at, at+n) of every byte, moved to bit `to`. */
ASSAY_INLINE __m256i byte_bits(__m256i v, int at, int n, int to) {
    v = to >= at ? _mm256_slli_epi16(v, to - at) : _mm256_srli_epi16(v, at - to);
    return _mm256_and_si256(v, _mm256_set1_epi8((char)(((1 << n) - 1) << to)));
}

/* ---- Q4_K, Q5_K ------------------------------------------------------------------------------ */

/* Layout: assay_unpack_k4_scales in blocks.h. */
ASSAY_INLINE void k4_scales(__m256i raw, __m256i *scales, __m256i *mins) {
    __m256i low =
        _mm256_shuffle_epi8(raw, _mm256_broadcastsi128_si256(_mm_setr_epi8(
                                     0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 8, 9, 10, 11)));
    low = _mm256_and_si256(_mm256_srlv_epi32(low, _mm256_setr_epi32(0, 0, 0, 4, 0, 0, 0, 4)),
                           _mm256_broadcastsi128_si256(
                               _mm_setr_epi32(0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f)));
    __m256i high =
        _mm256_shuffle_epi8(raw, _mm256_broadcastsi128_si256(_mm_setr_epi8(
                                     -1, -1, -1, -1, 0, 1, 2, 3, -1, -1, -1, -1, 4, 5, 6, 7)));
    high = _mm256_and_si256(_mm256_srli_epi16(high, 2), _mm256_set1_epi8(0x30));
    __m256i v = _mm256_or_si256(low, high);
    *scales = _mm256_unpacklo_epi8(v, v);
    *mins = _mm256_unpackhi_epi8(v, v);
}

ASSAY_INLINE __m256i q4_k_codes(const __m256i *plane, int g) {
    return g % 2 ? high_nibbles(plane[g / 2]) : low_nibbles(plane[g / 2]);
}

static const struct superblock_type q4_k = {
    .bytes = sizeof(struct assay_block_q4_k),
    .planes = 4,
    .plane_at = {FIELD(q4_k, qs), FIELD(q4_k, qs) + 32, FIELD(q4_k, qs) + 64, FIELD(q4_k, qs) + 96},
    .codes = q4_k_codes,
    .scales_at = FIELD(q4_k, scales), /* and four bytes of the next field */
    .scales = k4_scales,
    .d_at = FIELD(q4_k, d),
    .dmin_at = FIELD(q4_k, dmin),
    .has_mins = true,
    .sub_block = 32,
    .run = 8, /* 16·127·15 = 30480 */
};

ASSAY_INLINE __m256i q5_k_codes(const __m256i *plane, int g) {
    return _mm256_or_si256(q4_k_codes(plane, g), byte_bits(plane[4], g, 1, 4));
}

static const struct superblock_type q5_k = {
    .bytes = sizeof(struct assay_block_q5_k),
    .planes = 5,
    .plane_at = {FIELD(q5_k, qs), FIELD(q5_k, qs) + 32, FIELD(q5_k, qs) + 64, FIELD(q5_k, qs) + 96,
                 FIELD(q5_k, qh)},
    .codes = q5_k_codes,
    .scales_at = FIELD(q5_k, scales), /* and four bytes of the next field */
    .scales = k4_scales,
    .d_at = FIELD(q5_k, d),
    .dmin_at = FIELD(q5_k, dmin),
    .has_mins = true,
    .sub_block = 32,
    .run = 4, /* 8·127·31 = 31496 */
};

/* ---- Q6_K ------------------------------------------------------------------------------------ */

ASSAY_INLINE void q6_k_scales(__m256i raw, __m256i *scales, __m256i *mins) {
    (void)mins;
    *scales = raw;
}

ASSAY_INLINE __m256i q6_k_codes(const __m256i *plane, int g) {
    int half = g / 4, j = g % 4;
    __m256i low = plane[2 * half + j % 2];
    return _mm256_or_si256(j < 2 ? low_nibbles(low) : high_nibbles(low),
                           byte_bits(plane[4 + half], 2 * j, 2, 4));
}

static const struct superblock_type q6_k = {
    .bytes = sizeof(struct assay_block_q6_k),
    .planes = 6,
    .plane_at = {FIELD(q6_k, ql), FIELD(q6_k, ql) + 32, FIELD(q6_k, ql) + 64, FIELD(q6_k, ql) + 96,
                 FIELD(q6_k, qh), FIELD(q6_k, qh) + 32},
    .codes = q6_k_codes,
    .scales_at = FIELD(q6_k, scales),
    .scales = q6_k_scales,
    .d_at = FIELD(q6_k, d),
    .offset = 32,
    .sub_block = 16,
    .run = 4, /* 8·127·32 = 32512 */
};

/* ---- Q2_K, Q3_K ------------------------------------------------------------------------------ */

ASSAY_INLINE void q2_k_scales(__m256i raw, __m256i *scales, __m256i *mins) {
    *scales = low_nibbles(raw);
    *mins = high_nibbles(raw);
}

ASSAY_INLINE __m256i q2_k_codes(const __m256i *plane, int g) {
    return byte_bits(plane[g / 4], 2 * (g % 4), 2, 0);
}

static const struct superblock_type q2_k = {
    .bytes = sizeof(struct assay_block_q2_k),
    .planes = 2,
    .plane_at = {FIELD(q2_k, qs), FIELD(q2_k, qs) + 32},
    .codes = q2_k_codes,
    .scales_at = FIELD(q2_k, scales),
    .scales = q2_k_scales,
    .d_at = FIELD(q2_k, d),
    .dmin_at = FIELD(q2_k, dmin),
    .has_mins = true,
    .sub_block = 16,
    .run = 4, /* 8·127·3 */
};

/* Layout: assay_unpack_q3_k_scales in blocks.h. The 16 bytes end with the block. */
enum {
    Q3_K_SCALES_AT = sizeof(struct assay_block_q3_k) - 16,
    Q3_K_FIRST = FIELD(q3_k, scales) - Q3_K_SCALES_AT,
};

ASSAY_INLINE void q3_k_scales(__m256i raw, __m256i *scales, __m256i *mins) {
    (void)mins;
    const __m256i first = _mm256_set1_epi8(Q3_K_FIRST);
    __m256i low =
        _mm256_shuffle_epi8(raw, _mm256_add_epi8(first, _mm256_set1_epi64x(0x0706050403020100)));
    low = low_nibbles(_mm256_srlv_epi64(low, _mm256_setr_epi64x(0, 4, 0, 4)));
    __m256i high = _mm256_shuffle_epi8(raw, _mm256_add_epi8(first, _mm256_set1_epi32(0x0b0a0908)));
    high = _mm256_srlv_epi32(high, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
    __m256i v = _mm256_or_si256(low, byte_bits(high, 0, 2, 4));
    *scales = _mm256_sub_epi8(v, _mm256_set1_epi8(32));
}

ASSAY_INLINE __m256i q3_k_codes(const __m256i *plane, int g) {
    return _mm256_or_si256(q2_k_codes(plane, g), byte_bits(plane[2], g, 1, 2));
}

static const struct superblock_type q3_k = {
    .bytes = sizeof(struct assay_block_q3_k),
    .planes = 3,
    .plane_at = {FIELD(q3_k, qs), FIELD(q3_k, qs) + 32, FIELD(q3_k, hmask)},
    .codes = q3_k_codes,
    .scales_at = Q3_K_SCALES_AT,
    .scales = q3_k_scales,
    .d_at = FIELD(q3_k, d),
    .offset = 4,
    .sub_block = 16,
    .run = 4, /* 8·127·4 */
};

ASSAY_SUPERBLOCK_KERNELS(q2_k)
ASSAY_SUPERBLOCK_KERNELS(q3_k)
ASSAY_SUPERBLOCK_KERNELS(q4_k)
ASSAY_SUPERBLOCK_KERNELS(q5_k)
ASSAY_SUPERBLOCK_KERNELS(q6_k)
