/* Vector idioms that the kernels of this folder share. */
#ifndef ASSAY_IMPL_CPU_AVX512_SIMD_H
#define ASSAY_IMPL_CPU_AVX512_SIMD_H

#include <immintrin.h>
#include <string.h>

/* The kernel templates are functions whose type description is a constant: they must be inlined
 * into each instance for the compiler to resolve it. */
#define ASSAY_INLINE static inline __attribute__((always_inline))

/* Before a loop over registers, which must be unrolled whatever the compiler thinks of its size. */
#ifdef __clang__
#define ASSAY_UNROLL _Pragma("clang loop unroll(full)")
#else
#define ASSAY_UNROLL _Pragma("GCC unroll 16")
#endif

ASSAY_INLINE __m512i load512(const void *p) { return _mm512_loadu_si512(p); }

ASSAY_INLINE __m256i load256(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }

ASSAY_INLINE __m128i load128(const void *p) { return _mm_loadu_si128((const __m128i *)p); }

ASSAY_INLINE __m512i join256(__m256i lo, __m256i hi) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(lo), hi, 1);
}

/* a | (b & c) */
ASSAY_INLINE __m512i or_and(__m512i a, __m512i b, __m512i c) {
    return _mm512_ternarylogic_epi32(a, b, c, 0xf8);
}

/* From each of four consecutive places of a dword, `first` on and `width` bits apart, bits to the
 * low ends of its four bytes; what stands above them is noise. */
ASSAY_INLINE __m512i spread_bits(__m512i v, int first, int width) {
    __m512i shift =
        _mm512_add_epi8(_mm512_set1_epi8((char)first), _mm512_set1_epi32(width * 0x03020100));
    return _mm512_multishift_epi64_epi8(
        _mm512_add_epi8(shift, _mm512_set1_epi64(0x2020202000000000)), v);
}

#endif
