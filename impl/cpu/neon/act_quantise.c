/* Activations to int8 blocks by the rule of ref/act_quant.h, bit for bit. */
#include <math.h>

#include "impl/cpu/kernel.h"
#include "simd.h"

/* max |x_i| as a bit pattern: for finite numbers and infinities these order as the magnitudes do,
 * and every NaN is above infinity, so nothing is lost on the way. */
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
    const float r = 127.0f / amax;
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

void assay_act_quantise__neon(struct assay_act *a, size_t m0, size_t m1) {
    for (size_t m = m0; m < m1; m++) {
        const float *x = a->x + m * a->k;
        int8_t *q = a->q + m * a->q_stride;
        float *d = a->d + m * a->d_stride;
        int16_t *sums = a->sums + m * a->sums_stride;
        if (a->format == ASSAY_ACTF_Q8_32)
            quantise_row(x, a->k, 32, q, d, sums);
        else if (a->format == ASSAY_ACTF_Q8_256)
            quantise_row(x, a->k, 256, q, d, sums);
    }
}
