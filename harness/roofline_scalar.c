#include "roofline.h"

/* What the portable code is compared with: whatever the compiler makes of plain loops at the
 * build's baseline instruction set. */

enum { CHAINS = 32 };

static uint32_t read_bytes(const void *p, size_t bytes) {
    const uint64_t *at = p;
    uint64_t sum[8] = {0};

    for (size_t i = 0; i < bytes / sizeof *at; i += 8)
        for (size_t j = 0; j < 8; j++)
            sum[j] ^= at[i + j];
    for (size_t j = 1; j < 8; j++)
        sum[0] ^= sum[j];
    return (uint32_t)(sum[0] ^ sum[0] >> 32);
}

static uint32_t fp32(size_t rounds) {
    float acc[CHAINS] = {0}, sum = 0;
    volatile float source = 0.5f; /* unknown to the compiler, so that it can't fold the chain */
    const float a = source;

    for (size_t r = 0; r < rounds; r++)
        for (size_t i = 0; i < CHAINS; i++)
            acc[i] = acc[i] * a + a;
    for (size_t i = 0; i < CHAINS; i++)
        sum += acc[i];
    return (uint32_t)sum;
}

static uint32_t int8(size_t rounds) {
    int32_t acc[CHAINS] = {0}, sum = 0;
    volatile int16_t source = 3;

    for (size_t r = 0; r < rounds; r++) {
        int16_t a = (int16_t)(source + (int16_t)(r & 3));
        for (size_t i = 0; i < CHAINS; i++)
            acc[i] = (int32_t)((uint32_t)acc[i] ^ (uint32_t)(a * (int16_t)(a + (int16_t)i)));
    }
    for (size_t i = 0; i < CHAINS; i++)
        sum ^= acc[i];
    return (uint32_t)sum;
}

const struct assay_roofline_loops assay_roofline_scalar = {
    .read = read_bytes,
    .work = {[ASSAY_PEAK_FP32] = fp32, [ASSAY_PEAK_INT8] = int8},
    .ops_per_round = {[ASSAY_PEAK_FP32] = 2 * CHAINS, [ASSAY_PEAK_INT8] = 2 * CHAINS},
};
