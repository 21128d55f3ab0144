#include "roofline_neon.h"

#include <arm_neon.h>

#include "roofline.h"

enum { CHAINS = ASSAY_NEON_CHAINS };

uint32_t assay_roofline_neon_read(const void *p, size_t bytes) {
    const uint8_t *at = p, *end = at + bytes;
    uint8x16_t sum[8];

    for (int i = 0; i < 8; i++)
        sum[i] = vdupq_n_u8(0);
    for (; at < end; at += sizeof sum)
        for (int i = 0; i < 8; i++)
            sum[i] = veorq_u8(sum[i], vld1q_u8(at + 16 * i));
    for (int i = 1; i < 8; i++)
        sum[0] = veorq_u8(sum[0], sum[i]);
    return vgetq_lane_u32(vreinterpretq_u32_u8(sum[0]), 0);
}

uint32_t assay_roofline_neon_fp32(size_t rounds) {
    volatile float source = 0.5f; /* unknown to the compiler, so that it can't fold the chain */
    const float32x4_t a = vdupq_n_f32(source);
    float32x4_t acc[CHAINS];

    for (int i = 0; i < CHAINS; i++)
        acc[i] = a;
    for (size_t r = 0; r < rounds; r++)
        for (int i = 0; i < CHAINS; i++)
            acc[i] = vfmaq_f32(acc[i], a, a);
    for (int i = 1; i < CHAINS; i++)
        acc[0] = vaddq_f32(acc[0], acc[i]);
    return (uint32_t)vgetq_lane_f32(acc[0], 0);
}

static int32x4_t dot(int32x4_t sum, int8x16_t a) { return vdotq_s32(sum, a, a); }

static uint32_t int8(size_t rounds) { return assay_roofline_neon_int8(dot, rounds); }

const struct assay_roofline_loops assay_roofline_neon = {
    .read = assay_roofline_neon_read,
    .work = {[ASSAY_PEAK_FP32] = assay_roofline_neon_fp32, [ASSAY_PEAK_INT8] = int8},
    .ops_per_round = {[ASSAY_PEAK_FP32] = 2 * 4 * CHAINS, [ASSAY_PEAK_INT8] = 2 * 16 * CHAINS},
};
