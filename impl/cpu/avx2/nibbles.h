/* Nibbles and their codebooks, of which the unsigned one is twice FP4 (E2M1) plus FP4_OFFSET. */
#ifndef ASSAY_IMPL_CPU_AVX2_NIBBLES_H
#define ASSAY_IMPL_CPU_AVX2_NIBBLES_H

#include "simd.h"

ASSAY_INLINE __m256i low_nibbles(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
ASSAY_INLINE __m256i high_nibbles(__m256i v) { return low_nibbles(_mm256_srli_epi16(v, 4)); }

/* 16 bytes of nibbles: the low ones are codes 0…15, the high ones codes 16…31. */
ASSAY_INLINE __m256i row_nibbles(const uint8_t *qs) {
    return low_nibbles(_mm256_srlv_epi64(broadcast128(qs), _mm256_setr_epi64x(0, 0, 4, 4)));
}

/* The values of IQ4_NL and IQ4_XS, signed. */
ASSAY_INLINE __m256i iq4_codebook(__m256i nibbles) {
    __m256i table = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113));
    return _mm256_shuffle_epi8(table, nibbles);
}

enum { FP4_OFFSET = 12 };

ASSAY_INLINE __m256i fp4_codebook(__m256i nibbles) {
    __m256i table = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    return _mm256_shuffle_epi8(table, nibbles);
}

#endif
