/* What the loops of the two AArch64 ISAs share. */
#ifndef ASSAY_HARNESS_ROOFLINE_NEON_H
#define ASSAY_HARNESS_ROOFLINE_NEON_H

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>

/* Sixteen accumulators: four pipes times a latency of four. */
enum { ASSAY_NEON_CHAINS = 16 };

uint32_t assay_roofline_neon_read(const void *p, size_t bytes);
uint32_t assay_roofline_neon_fp32(size_t rounds);

/* Chains of one instruction that adds products of bytes to 32-bit sums; `add` is a constant. */
static inline __attribute__((always_inline)) uint32_t
assay_roofline_neon_int8(int32x4_t (*add)(int32x4_t sum, int8x16_t a), size_t rounds) {
    volatile int8_t source = 3; /* unknown to the compiler, so that it can't fold the chain */
    const int8x16_t a = vdupq_n_s8(source);
    int32x4_t acc[ASSAY_NEON_CHAINS];

    for (int i = 0; i < ASSAY_NEON_CHAINS; i++)
        acc[i] = vdupq_n_s32(0);
    for (size_t r = 0; r < rounds; r++)
        for (int i = 0; i < ASSAY_NEON_CHAINS; i++)
            acc[i] = add(acc[i], a);
    for (int i = 1; i < ASSAY_NEON_CHAINS; i++)
        acc[0] = vaddq_s32(acc[0], acc[i]);
    return (uint32_t)vgetq_lane_s32(acc[0], 0);
}

#endif
