/* Codebooks of 16 values and the small-float scales that go with them. */
#ifndef ASSAY_IMPL_CPU_AVX512_NIBBLES_H
#define ASSAY_IMPL_CPU_AVX512_NIBBLES_H

#include "simd.h"

/* What is added to the values of both codebooks to make them unsigned. */
enum { NIBBLE_OFFSET = 128 };

/* The values of IQ4_NL and IQ4_XS (ref/dequant_iquants.c). */
ASSAY_INLINE __m512i iq4_values(__m512i index) {
    const __m512i table = _mm512_broadcast_i32x4(
        _mm_setr_epi8(1, 24, 45, 63, 79, 93, 106, 118, (char)129, (char)141, (char)153, (char)166,
                      (char)181, (char)197, (char)217, (char)241));
    return _mm512_shuffle_epi8(table, index);
}

/* Twice the values of E2M1. */
ASSAY_INLINE __m512i fp4_values(__m512i index) {
    const __m128i values = _mm_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
    return _mm512_shuffle_epi8(
        _mm512_broadcast_i32x4(_mm_xor_si128(values, _mm_set1_epi8((char)NIBBLE_OFFSET))), index);
}

/* Half the value of E8M0 exponents, 2^(e - 128): from e = 2 on a normal number, below that a
 * subnormal one. */
ASSAY_INLINE __m512 half_e8m0(__m512i e) {
    __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
    __mmask16 low = _mm512_cmplt_epu32_mask(e, _mm512_set1_epi32(2));
    return _mm512_castsi512_ps(
        _mm512_mask_sllv_epi32(normal, low, _mm512_set1_epi32(0x00200000), e));
}

/* Half the value of unsigned E4M3 numbers, one a lane: bit 7 is ignored, but the NaN code 0x7f
 * counts as zero. */
ASSAY_INLINE __m512 half_ue4m3(__m512i v) {
    __mmask16 number = _mm512_cmpneq_epi32_mask(v, _mm512_set1_epi32(0x7f));
    /* As binary16 bits the exponent is short by 8. */
    __m512i bits = _mm512_and_si512(_mm512_slli_epi32(v, 7), _mm512_set1_epi32(0x7f << 7));
    return _mm512_maskz_mul_ps(number, _mm512_cvtph_ps(_mm512_cvtepi32_epi16(bits)),
                               _mm512_set1_ps(0x1p7f));
}

#endif
