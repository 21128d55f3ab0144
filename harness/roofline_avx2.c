#include <immintrin.h>

#include "roofline.h"

/* Twelve accumulators: two FMA ports times a latency of four or five, and registers left over. */
enum { CHAINS = 12 };

static uint32_t read_bytes(const void *p, size_t bytes) {
    const char *at = p, *end = at + bytes;
    __m256i sum[8] = {0};

    for (; at < end; at += sizeof sum)
        for (int i = 0; i < 8; i++)
            sum[i] = _mm256_xor_si256(sum[i], _mm256_load_si256((const __m256i *)at + i));
    for (int i = 1; i < 8; i++)
        sum[0] = _mm256_xor_si256(sum[0], sum[i]);
    return (uint32_t)_mm256_extract_epi32(sum[0], 0);
}

static uint32_t fp32(size_t rounds) {
    volatile float source = 0.5f; /* unknown to the compiler, so that it can't fold the chain */
    const __m256 a = _mm256_set1_ps(source);
    __m256 acc[CHAINS];

    for (int i = 0; i < CHAINS; i++)
        acc[i] = a;
    for (size_t r = 0; r < rounds; r++)
        for (int i = 0; i < CHAINS; i++)
            acc[i] = _mm256_fmadd_ps(acc[i], a, a);
    for (int i = 1; i < CHAINS; i++)
        acc[0] = _mm256_add_ps(acc[0], acc[i]);
    return (uint32_t)_mm256_cvtss_f32(acc[0]);
}

/* The dot product of AVX2: unsigned times signed bytes to 16-bit pairs, pairs to 32 bits, add. */
static uint32_t int8(size_t rounds) {
    volatile char source = 3;
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i a = _mm256_set1_epi8(source), b = a;
    __m256i acc[CHAINS];

    for (int i = 0; i < CHAINS; i++)
        acc[i] = _mm256_setzero_si256();
    for (size_t r = 0; r < rounds; r++)
        for (int i = 0; i < CHAINS; i++) {
            __asm__ volatile("" : "+x"(a), "+x"(b)); /* a new product every time */
            acc[i] = _mm256_add_epi32(acc[i], _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
        }
    for (int i = 1; i < CHAINS; i++)
        acc[0] = _mm256_add_epi32(acc[0], acc[i]);
    return (uint32_t)_mm256_extract_epi32(acc[0], 0);
}

const struct assay_roofline_loops assay_roofline_avx2 = {
    .read = read_bytes,
    .work = {[ASSAY_PEAK_FP32] = fp32, [ASSAY_PEAK_INT8] = int8},
    .ops_per_round = {[ASSAY_PEAK_FP32] = 2 * 8 * CHAINS, [ASSAY_PEAK_INT8] = 2 * 32 * CHAINS},
};
