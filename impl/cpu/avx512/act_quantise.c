/* ASSAY_ACT_Q8 (ref/act_quant.h) in AVX-512; every fp32 operation is the rule's own. */
#include <immintrin.h>
#include <string.h>

#include "impl/cpu/act.h"

/* Up to 16 values from x + at; lanes past k are 0. */
static inline __m512 load_tail(const float *x, size_t at, size_t k) {
    size_t left = at < k ? k - at : 0;
    __mmask16 mask = left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1);
    return _mm512_maskz_loadu_ps(mask, x + (left ? at : 0));
}

static inline __attribute__((always_inline)) void
quantise_row(const float *x, size_t k, size_t block, int8_t *q, float *d, int16_t *sums) {
    const __m512 largest = _mm512_set1_ps(3.402823466e+38f);
    const __m512i ones = _mm512_set1_epi8(1);
    for (size_t b = 0; b * block < (k + 255) / 256 * 256; b++) {
        __m512 amax = _mm512_setzero_ps();
        __mmask16 finite = 0xffff;
        for (size_t j = 0; j < block; j += 16) {
            __m512 ax = _mm512_abs_ps(load_tail(x, b * block + j, k));
            finite &= _mm512_cmp_ps_mask(ax, largest, _CMP_LE_OQ);
            amax = _mm512_max_ps(amax, ax);
        }
        float top = _mm512_reduce_max_ps(amax);
        float r = 0.0f;
        if (finite != 0xffff) {
            d[b] = __builtin_nanf("");
        } else if (top < 0x1p-100f) {
            d[b] = 0.0f;
        } else {
            d[b] = top / 127.0f;
            r = 127.0f / top;
        }
        __mmask16 keep = r > 0.0f ? 0xffff : 0; /* inf·0 must not become a code */
        for (size_t j = 0; j < block; j += 16) {
            size_t at = b * block + j;
            __m512 v = _mm512_mul_ps(load_tail(x, at, k), _mm512_set1_ps(r));
            __m512i i = _mm512_maskz_cvt_roundps_epi32(
                keep, v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
            __m128i bytes = _mm512_cvtepi32_epi8(i);
            _mm_storeu_si128((__m128i *)(void *)(q + at), bytes);
            __m128i s = _mm_dpbusd_epi32(_mm_setzero_si128(), _mm512_castsi512_si128(ones), bytes);
            s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
            s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
            sums[at / 16] = (int16_t)_mm_cvtsi128_si32(s);
        }
    }
}

void assay_act_quantise__avx512(struct assay_act *a, size_t m0, size_t m1) {
    for (size_t i = m0; i < m1; i++) {
        const float *x = a->x + i * a->k;
        int8_t *q = a->q + i * a->q_stride;
        float *d = a->d + i * a->d_stride;
        int16_t *sums = a->sums + i * a->sums_stride;
        if (a->format == ASSAY_ACTF_Q8_256)
            quantise_row(x, a->k, 256, q, d, sums);
        else
            quantise_row(x, a->k, 32, q, d, sums);
    }
}
