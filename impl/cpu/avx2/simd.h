/* Vector idioms that the AVX2 kernels share. */
#ifndef ASSAY_IMPL_CPU_AVX2_SIMD_H
#define ASSAY_IMPL_CPU_AVX2_SIMD_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

/* The kernel templates are functions whose type description is a constant: they must be inlined
 * into each instance for the compiler to resolve it. */
#define ASSAY_INLINE static inline __attribute__((always_inline))

/* Before a loop over registers, which must be unrolled whatever the compiler thinks of its size;
 * and before a loop around such loops. */
#ifdef __clang__
#define ASSAY_UNROLL _Pragma("clang loop unroll(full)")
#define ASSAY_NO_UNROLL _Pragma("clang loop unroll(disable)")
#else
#define ASSAY_UNROLL _Pragma("GCC unroll 16")
#define ASSAY_NO_UNROLL _Pragma("GCC unroll 1")
#endif

ASSAY_INLINE __m128i load128(const void *p) { return _mm_loadu_si128((const __m128i *)p); }
ASSAY_INLINE __m256i load256(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
ASSAY_INLINE void store256(void *p, __m256i v) { _mm256_storeu_si256((__m256i *)p, v); }

/* Four bytes to every 32-bit lane. */
ASSAY_INLINE __m256i broadcast32(const void *p) {
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_epi32(v);
}

/* 16 bytes to both 128-bit lanes. */
ASSAY_INLINE __m256i broadcast128(const void *p) { return _mm256_broadcastsi128_si256(load128(p)); }

ASSAY_INLINE uint16_t load16(const uint8_t *p) {
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

ASSAY_INLINE uint32_t load32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* One binary16 number to all lanes. */
ASSAY_INLINE __m256 broadcast_half(const uint8_t *p) {
    return _mm256_cvtph_ps(_mm_set1_epi16((short)load16(p)));
}

/* The binary16 numbers at p[i] + at of eight rows. */
ASSAY_INLINE __m256 gather_halves(const uint8_t *const p[8], size_t at) {
    return _mm256_cvtph_ps(_mm_setr_epi16((short)load16(p[0] + at), (short)load16(p[1] + at),
                                          (short)load16(p[2] + at), (short)load16(p[3] + at),
                                          (short)load16(p[4] + at), (short)load16(p[5] + at),
                                          (short)load16(p[6] + at), (short)load16(p[7] + at)));
}

ASSAY_INLINE float sum_lanes(__m256 v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

/* Adds the 128-bit halves of each: those of lo to lanes 0…3, those of hi to lanes 4…7. */
ASSAY_INLINE __m256i join_sums(__m256i lo, __m256i hi) {
    return _mm256_add_epi32(_mm256_permute2x128_si256(lo, hi, 0x20),
                            _mm256_permute2x128_si256(lo, hi, 0x31));
}
/* Σ of the 32-bit lanes of p[i] to lane i. */
ASSAY_INLINE __m256i sum_each32(const __m256i p[8]) {
    __m256i lo = _mm256_hadd_epi32(_mm256_hadd_epi32(p[0], p[1]), _mm256_hadd_epi32(p[2], p[3]));
    __m256i hi = _mm256_hadd_epi32(_mm256_hadd_epi32(p[4], p[5]), _mm256_hadd_epi32(p[6], p[7]));
    return join_sums(lo, hi);
}

/* Σ of the 16-bit lanes of p[i] to 32-bit lane i; any four lanes sum without overflow. */
ASSAY_INLINE __m256i sum_each16(const __m256i p[8]) {
    __m256i one = _mm256_set1_epi16(1);
    __m256i lo = _mm256_hadd_epi16(_mm256_hadd_epi16(p[0], p[1]), _mm256_hadd_epi16(p[2], p[3]));
    __m256i hi = _mm256_hadd_epi16(_mm256_hadd_epi16(p[4], p[5]), _mm256_hadd_epi16(p[6], p[7]));
    return join_sums(_mm256_madd_epi16(lo, one), _mm256_madd_epi16(hi, one));
}

/* 16 bytes of each of eight rows → out[i] = bytes 4i…4i+3 of rows 0…7, one row a 32-bit lane. */
ASSAY_INLINE void transpose16(const uint8_t *const row[8], size_t at, __m256i out[4]) {
    __m256i r[4];
    ASSAY_UNROLL
    for (int i = 0; i < 4; i++)
        r[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(load128(row[i] + at)),
                                       load128(row[i + 4] + at), 1);
    __m256i a = _mm256_unpacklo_epi32(r[0], r[1]), b = _mm256_unpackhi_epi32(r[0], r[1]);
    __m256i c = _mm256_unpacklo_epi32(r[2], r[3]), d = _mm256_unpackhi_epi32(r[2], r[3]);
    out[0] = _mm256_unpacklo_epi64(a, c);
    out[1] = _mm256_unpackhi_epi64(a, c);
    out[2] = _mm256_unpacklo_epi64(b, d);
    out[3] = _mm256_unpackhi_epi64(b, d);
}

/* -1 in every byte that has the bit of `mask`, 0 in others. */
ASSAY_INLINE __m256i bits_set(__m256i bytes, __m256i mask) {
    return _mm256_cmpeq_epi8(_mm256_and_si256(bytes, mask), mask);
}

/* -1 in byte i if bit i of the 32 bits at p is set. */
ASSAY_INLINE __m256i row_bits(const void *p) {
    __m256i from =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    __m256i mask = _mm256_set1_epi64x((long long)0x8040201008040201);
    return bits_set(_mm256_shuffle_epi8(broadcast32(p), from), mask);
}

/* The four 2-bit fields of each of eight bytes, in order. */
ASSAY_INLINE __m256i spread_2bit(__m128i bytes) {
    __m256i v = _mm256_cvtepu8_epi32(bytes);
    v = _mm256_or_si256(v, _mm256_slli_epi32(v, 12));
    v = _mm256_or_si256(v, _mm256_slli_epi32(v, 6));
    return _mm256_and_si256(v, _mm256_set1_epi8(3));
}

/* Row r of eight is in v[r]: to out[i] = bytes 4i…4i+3 of all, one row a 32-bit lane. */
ASSAY_INLINE void transpose32(const __m256i v[8], __m256i out[8]) {
    __m256i a[8];
    ASSAY_UNROLL
    for (int i = 0; i < 8; i += 4) {
        __m256i low = _mm256_unpacklo_epi32(v[i], v[i + 1]);
        __m256i high = _mm256_unpackhi_epi32(v[i], v[i + 1]);
        __m256i low2 = _mm256_unpacklo_epi32(v[i + 2], v[i + 3]);
        __m256i high2 = _mm256_unpackhi_epi32(v[i + 2], v[i + 3]);
        a[i] = _mm256_unpacklo_epi64(low, low2);
        a[i + 1] = _mm256_unpackhi_epi64(low, low2);
        a[i + 2] = _mm256_unpacklo_epi64(high, high2);
        a[i + 3] = _mm256_unpackhi_epi64(high, high2);
    }
    ASSAY_UNROLL
    for (int i = 0; i < 4; i++) {
        out[i] = _mm256_permute2x128_si256(a[i], a[4 + i], 0x20);
        out[4 + i] = _mm256_permute2x128_si256(a[i], a[4 + i], 0x31);
    }
}

/* What 16-bit sums over runs of 4·run activations start at, so that an offset of the codes is taken
 * off: the pair -offset·Σq of the elements that the two lanes of a row will see (0, 1 and 2, 3
 * modulo 4). `run` is 2, 4 or 8. */
ASSAY_INLINE void offset_starts(const int8_t *q, int count, const int run, int offset,
                                int32_t *starts) {
    const __m128i one = _mm_set1_epi8(1);
    for (int g = 0; g < count; g++, q += 4 * run) {
        __m128i pair =
            _mm_maddubs_epi16(one, run > 2 ? load128(q) : _mm_loadl_epi64((const __m128i *)q));
        if (run == 8)
            pair = _mm_add_epi16(pair, _mm_maddubs_epi16(one, load128(q + 16)));
        if (run > 2)
            pair = _mm_add_epi16(pair, _mm_unpackhi_epi64(pair, pair));
        pair = _mm_add_epi16(pair, _mm_srli_si128(pair, 4));
        pair = _mm_mullo_epi16(pair, _mm_set1_epi16((short)-offset));
        starts[g] = _mm_cvtsi128_si32(pair);
    }
}

/* Pins a value in a register at this point of the program. gcc would otherwise hoist the products
 * of a whole unrolled loop above their sum, which is more than there are registers, and would load
 * a vector again for every use that can take a memory operand. */
ASSAY_INLINE __m256i pin(__m256i v) {
    __asm__("" : "+x"(v));
    return v;
}

/* The `size` bytes of a weight stream that follow p by 8 KiB, to L2: a distance at which they
 * arrive in time from DRAM. Past the end of the weights a prefetch does nothing. */
ASSAY_INLINE void prefetch_ahead(const uint8_t *p, size_t size) {
    ASSAY_UNROLL
    for (size_t at = 0; at < size; at += 64)
        _mm_prefetch((const char *)((uintptr_t)p + 8192 + at), _MM_HINT_T1);
}

/* Products of signed bytes w·x summed in pairs; w may be -128, x may not. |Σ| <= 2·128·127 = 32512,
 * so the saturating VPMADDUBSW never saturates. */
ASSAY_INLINE __m256i pair_products_signed(__m256i w, __m256i x) {
    return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
}

#endif
