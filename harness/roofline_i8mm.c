#include <arm_neon.h>

#include "roofline.h"
#include "roofline_neon.h"

enum { CHAINS = ASSAY_NEON_CHAINS };

static uint32_t int8(size_t rounds) {
    volatile int8_t source = 3;
    const int8x16_t a = vdupq_n_s8(source);
    int32x4_t acc[CHAINS];

    for (int i = 0; i < CHAINS; i++)
        acc[i] = vdupq_n_s32(0);
    for (size_t r = 0; r < rounds; r++)
        for (int i = 0; i < CHAINS; i++)
            acc[i] = vmmlaq_s32(acc[i], a, a);
    for (int i = 1; i < CHAINS; i++)
        acc[0] = vaddq_s32(acc[0], acc[i]);
    return (uint32_t)vgetq_lane_s32(acc[0], 0);
}

const struct assay_roofline_loops assay_roofline_i8mm = {
    .read = assay_roofline_neon_read,
    .work = {[ASSAY_PEAK_FP32] = assay_roofline_neon_fp32, [ASSAY_PEAK_INT8] = int8},
    .ops_per_round = {[ASSAY_PEAK_FP32] = 2 * 4 * CHAINS, [ASSAY_PEAK_INT8] = 2 * 32 * CHAINS},
};
