/* Activations to int8 blocks by the rule of ref/act_quant.h, bit for bit. */
#include "impl/cpu/act_rows.h"
#include "simd.h"

ASSAY_INLINE uint32_t max_magnitude_bits(const float *x, size_t n) {
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    __m256i v = _mm256_setzero_si256();
    for (size_t i = 0; i < n; i += 8)
        v = _mm256_max_epi32(v, _mm256_and_si256(load256(x + i), magnitude));
    __m128i s = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_max_epi32(s, _mm_unpackhi_epi64(s, s));
    s = _mm_max_epi32(s, _mm_shuffle_epi32(s, 1));
    return (uint32_t)_mm_cvtsi128_si32(s);
}

ASSAY_INLINE void round_block(const float *x, size_t n, float r, int8_t *q, int16_t *sums) {
    const __m256 rs = _mm256_set1_ps(r);
    for (size_t i = 0; i < n; i += 32) {
        __m256i v[4];
        ASSAY_UNROLL
        for (int j = 0; j < 4; j++) /* rounds half to even: MXCSR's default */
            v[j] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i + 8 * j), rs));
        /* Packing works within 128-bit lanes; the permutation restores the order. */
        __m256i b =
            _mm256_packs_epi16(_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3]));
        b = _mm256_permutevar8x32_epi32(b, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        store256(q + i, b);
        __m256i s = _mm256_maddubs_epi16(_mm256_set1_epi8(1), b);
        s = _mm256_add_epi16(s, _mm256_unpackhi_epi64(s, s));
        s = _mm256_add_epi16(s, _mm256_srli_si256(s, 4));
        s = _mm256_add_epi16(s, _mm256_srli_si256(s, 2));
        sums[i / 16] = (int16_t)_mm256_extract_epi16(s, 0);
        sums[i / 16 + 1] = (int16_t)_mm256_extract_epi16(s, 8);
    }
}

void assay_act_quantise__avx2(struct assay_act *a, size_t m0, size_t m1) {
    assay_act_quantise_rows(max_magnitude_bits, round_block, a, m0, m1);
}
