/* MXFP4, NVFP4: 4-bit floating-point codes (E2M1) under an 8-bit scale. */
#include "dequant.h"

/* E2M1 (OCP Microscaling Formats v1.0, 5.3.3): ±0, 0.5, 1, 1.5, 2, 3, 4, 6; here twice that. Code
 * 8, -0 in OCP's definition, is +0 as in ggml. */
const int8_t assay_ref_e2m1_doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* MXFP4, 17 bytes, 32 weights: w = 2^(e-127)·E2M1
 *   0  e   E8M0
 *   1  qs  16 bytes of nibbles: weights 0…15 low, 16…31 high */
void assay_dequant_mxfp4(const uint8_t *block, float *out) {
    float d = assay_ref_from_e8m0_half(block[0]);
    const uint8_t *qs = block + 1;

    for (int i = 0; i < 16; i++) {
        out[i] = (float)assay_ref_e2m1_doubled[qs[i] & 15] * d;
        out[16 + i] = (float)assay_ref_e2m1_doubled[qs[i] >> 4] * d;
    }
}

/* NVFP4, 36 bytes, 64 weights: w = scale·E2M1; 4 sub-blocks of 16
 *   0  scales  4 UE4M3
 *   4  qs      32 bytes: sub-block s takes bytes 8s…8s+7, its weights 0…7 low, 8…15 high nibbles */
void assay_dequant_nvfp4(const uint8_t *block, float *out) {
    for (int s = 0; s < 4; s++) {
        float d = assay_ref_from_ue4m3_half(block[s]);
        const uint8_t *qs = block + 4 + 8 * s;

        for (int i = 0; i < 8; i++) {
            out[16 * s + i] = (float)assay_ref_e2m1_doubled[qs[i] & 15] * d;
            out[16 * s + 8 + i] = (float)assay_ref_e2m1_doubled[qs[i] >> 4] * d;
        }
    }
}
