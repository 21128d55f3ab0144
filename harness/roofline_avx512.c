#include <immintrin.h>

#include "roofline.h"

/* Two ports times a latency of four or five, and to spare. */
enum { CHAINS = 16 };

static uint32_t read_bytes(const void *p, size_t bytes) {
    const char *at = p, *end = at + bytes;
    __m512i sum[8] = {0};

    for (; at < end; at += sizeof sum)
        for (int i = 0; i < 8; i++)
            sum[i] = _mm512_xor_si512(sum[i], _mm512_load_si512((const __m512i *)at + i));
    for (int i = 1; i < 8; i++)
        sum[0] = _mm512_xor_si512(sum[0], sum[i]);
    return (uint32_t)_mm_cvtsi128_si32(_mm512_castsi512_si128(sum[0]));
}

static uint32_t fp32(size_t rounds) {
    volatile float source = 0.5f; /* unknown to the compiler, so that it can't fold the chain */
    const __m512 a = _mm512_set1_ps(source);
    __m512 acc[CHAINS];

    for (int i = 0; i < CHAINS; i++)
        acc[i] = a;
    for (size_t r = 0; r < rounds; r++)
        for (int i = 0; i < CHAINS; i++)
            acc[i] = _mm512_fmadd_ps(acc[i], a, a);
    for (int i = 1; i < CHAINS; i++)
        acc[0] = _mm512_add_ps(acc[0], acc[i]);
    return (uint32_t)_mm512_cvtss_f32(acc[0]);
}

static uint32_t int8(size_t rounds) {
    volatile char source = 3;
    const __m512i a = _mm512_set1_epi8(source);
    __m512i acc[CHAINS];

    for (int i = 0; i < CHAINS; i++)
        acc[i] = _mm512_setzero_si512();
    for (size_t r = 0; r < rounds; r++)
        for (int i = 0; i < CHAINS; i++)
            acc[i] = _mm512_dpbusd_epi32(acc[i], a, a);
    for (int i = 1; i < CHAINS; i++)
        acc[0] = _mm512_add_epi32(acc[0], acc[i]);
    return (uint32_t)_mm_cvtsi128_si32(_mm512_castsi512_si128(acc[0]));
}

const struct assay_roofline_loops assay_roofline_avx512 = {
    .read = read_bytes,
    .work = {[ASSAY_PEAK_FP32] = fp32, [ASSAY_PEAK_INT8] = int8},
    .ops_per_round = {[ASSAY_PEAK_FP32] = 2 * 16 * CHAINS, [ASSAY_PEAK_INT8] = 2 * 64 * CHAINS},
};
