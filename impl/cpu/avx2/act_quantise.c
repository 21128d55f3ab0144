/* Activations to int8 blocks by the rule of ref/act_quant.h, bit for bit. */
#include <math.h>

#include "impl/cpu/kernel.h"
#include "simd.h"

/* max |x_i| as a bit pattern: for finite numbers and infinities these order as the magnitudes do,
 * and every NaN is above infinity, so nothing is lost on the way. */
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

/* One block of n = 32 or 256 floats. */
ASSAY_INLINE float quantise_block(const float *x, size_t n, int8_t *q, int16_t *sums) {
    uint32_t bits = max_magnitude_bits(x, n);
    float amax;
    memcpy(&amax, &bits, sizeof amax);
    bool finite = bits < 0x7f800000;
    if (!finite || amax < 0x1p-100f) {
        memset(q, 0, n);
        memset(sums, 0, n / 16 * sizeof *sums);
        return finite ? 0.0f : NAN;
    }
    const __m256 r = _mm256_set1_ps(127.0f / amax);
    for (size_t i = 0; i < n; i += 32) {
        __m256i v[4];
        ASSAY_UNROLL
        for (int j = 0; j < 4; j++) /* rounds half to even: MXCSR's default */
            v[j] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i + 8 * j), r));
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
    return amax / 127.0f;
}

ASSAY_INLINE void quantise_row(const float *x, size_t k, size_t block, int8_t *q, float *d,
                               int16_t *sums) {
    size_t i = 0;
    for (; i + block <= k; i += block)
        d[i / block] = quantise_block(x + i, block, q + i, sums + i / 16);
    if (i < k) { /* a shorter last block: the arrays are padded, x is not */
        float last[256] = {0};
        memcpy(last, x + i, (k - i) * sizeof *x);
        d[i / block] = quantise_block(last, block, q + i, sums + i / 16);
        i += block;
    }
    size_t padded = (k + 255) / 256 * 256;
    memset(q + i, 0, padded - i);
    memset(sums + i / 16, 0, (padded - i) / 16 * sizeof *sums);
}

void assay_act_quantise__avx2(struct assay_act *a, size_t m0, size_t m1) {
    if (a->format == ASSAY_ACTF_F32)
        return;
    for (size_t m = m0; m < m1; m++) {
        const float *x = a->x + m * a->k;
        int8_t *q = a->q + m * a->q_stride;
        float *d = a->d + m * a->d_stride;
        int16_t *sums = a->sums + m * a->sums_stride;
        if (a->format == ASSAY_ACTF_Q8_32)
            quantise_row(x, a->k, 32, q, d, sums);
        else
            quantise_row(x, a->k, 256, q, d, sums);
    }
}
