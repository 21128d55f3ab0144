/* TQ1_0, TQ2_0: weights -1, 0, 1 under one fp16 scale for 256. */
#include "dequant.h"

/* Digit n (0 is the most significant) of the base-3 fraction that a byte holds. A byte b encodes
 * five ternary digits t0…t4 as ceil((t0·81 + t1·27 + t2·9 + t3·3 + t4)·256/243), i.e. b/256 is the
 * fraction 0.t0t1t2t3t4 in base 3. Multiplying by 3^n modulo 256 moves digit n to the front;
 * multiplying by 3 once more carries it out of the byte. */
static int trit(uint8_t byte, int n) {
    static const uint8_t pow3[5] = {1, 3, 9, 27, 81};
    uint8_t front = (uint8_t)(byte * pow3[n]);
    return front * 3 >> 8;
}

/* TQ1_0, 54 bytes: w = d·(t - 1), t = 0…2
 *    0  qs  48 bytes of five digits: bytes 0…31 hold weights 0…159 (digit n of byte m is weight
 *           32n + m), bytes 32…47 hold weights 160…239 (digit n of byte 32+m is 160 + 16n + m)
 *   48  qh  4 bytes of four digits (the fifth is unused): digit n of byte m is weight 240 + 4n + m
 *   52  d   fp16 */
void assay_dequant_tq1_0(const uint8_t *block, float *out) {
    const uint8_t *qs = block, *qh = block + 48;
    float d = assay_ref_f16(block + 52);

    for (int n = 0; n < 5; n++) {
        for (int m = 0; m < 32; m++)
            out[32 * n + m] = (float)(trit(qs[m], n) - 1) * d;
        for (int m = 0; m < 16; m++)
            out[160 + 16 * n + m] = (float)(trit(qs[32 + m], n) - 1) * d;
    }
    for (int n = 0; n < 4; n++)
        for (int m = 0; m < 4; m++)
            out[240 + 4 * n + m] = (float)(trit(qh[m], n) - 1) * d;
}

/* TQ2_0, 66 bytes: w = d·(t - 1), t = 0…3 (3 is not produced by quantisers but decodes to 2d)
 *    0  qs  64 bytes: each 128 weights take 32; weight 32j + l is bits 2j…2j+1 of byte l
 *   64  d   fp16 */
void assay_dequant_tq2_0(const uint8_t *block, float *out) {
    const uint8_t *qs = block;
    float d = assay_ref_f16(block + 64);

    for (int i = 0; i < 256; i++) {
        int t = qs[32 * (i / 128) + i % 32] >> 2 * (i % 128 / 32) & 3;
        out[i] = (float)(t - 1) * d;
    }
}
