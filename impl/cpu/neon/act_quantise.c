/* Activations to int8 blocks by the rule of ref/act_quant.h, bit for bit. */
#include "impl/cpu/act_rows.h"
#include "simd.h"

ASSAY_INLINE uint32_t max_magnitude_bits(const float *x, size_t n) {
    const uint32x4_t magnitude = vdupq_n_u32(0x7fffffff);
    uint32x4_t max[4] = {vdupq_n_u32(0), vdupq_n_u32(0), vdupq_n_u32(0), vdupq_n_u32(0)};
    for (size_t i = 0; i < n; i += 16)
        ASSAY_UNROLL
    for (int j = 0; j < 4; j++) {
        uint32x4_t bits = vreinterpretq_u32_f32(vld1q_f32(x + i + 4 * j));
        max[j] = vmaxq_u32(max[j], vandq_u32(bits, magnitude));
    }
    return vmaxvq_u32(vmaxq_u32(vmaxq_u32(max[0], max[1]), vmaxq_u32(max[2], max[3])));
}

ASSAY_INLINE void round_block(const float *x, size_t n, float r, int8_t *q, int16_t *sums) {
    for (size_t i = 0; i < n; i += 16) {
        int32x4_t v[4];
        ASSAY_UNROLL
        for (int j = 0; j < 4; j++) /* rounds half to even */
            v[j] = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + i + 4 * j), r));
        int16x8_t low = vmovn_high_s32(vmovn_s32(v[0]), v[1]);
        int16x8_t high = vmovn_high_s32(vmovn_s32(v[2]), v[3]);
        vst1q_s8(q + i, vmovn_high_s16(vmovn_s16(low), high));
        sums[i / 16] = vaddvq_s16(vaddq_s16(low, high));
    }
}

void assay_act_quantise__neon(struct assay_act *a, size_t m0, size_t m1) {
    assay_act_quantise_rows(max_magnitude_bits, round_block, a, m0, m1);
}
