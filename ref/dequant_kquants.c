/* Q2_K … Q6_K, Q8_K: super-blocks of 256 weights, cut into sub-blocks of 16 or 32 whose scales
 * (and mins) are small integers under a common fp16 scale. */
#include "dequant.h"

/* Two-bit code i of 256 at qs (Q2_K, Q3_K): each half of 128 weights takes 32 bytes; within it
 * weight 32j + l is bits 2j…2j+1 of byte l. */
static int two_bit_code(const uint8_t *qs, int i) {
    int half = i / 128, j = i % 128 / 32, l = i % 32;
    return qs[32 * half + l] >> 2 * j & 3;
}

/* Nibble i of 256 at qs (Q4_K, Q5_K): each 64 weights take 32 bytes; weights 0…31 are the low,
 * 32…63 the high nibbles. */
static int nibble256(const uint8_t *qs, int i) {
    int byte = qs[32 * (i / 64) + i % 32];
    return i % 64 < 32 ? byte & 15 : byte >> 4;
}

/* Scale and min of sub-block j of 8 from the 12 bytes that Q4_K and Q5_K pack them into, 6 bits
 * each. Sub-blocks 0…3: the low 6 bits of bytes j (scale) and 4+j (min). Sub-blocks 4…7: the low 4
 * bits are the nibbles of byte 4+j (scale low, min high), the upper 2 bits are the top bits of
 * bytes j-4 (scale) and j (min). */
static void scale_min(const uint8_t *scales, int j, int *scale, int *min) {
    if (j < 4) {
        *scale = scales[j] & 63;
        *min = scales[4 + j] & 63;
    } else {
        *scale = (scales[4 + j] & 15) | scales[j - 4] >> 6 << 4;
        *min = scales[4 + j] >> 4 | scales[j] >> 6 << 4;
    }
}

/* Q2_K, 84 bytes: w = d·s·q - dmin·m; 16 sub-blocks of 16, s and m 0…15, q 0…3
 *    0  scales  16 bytes: sub-block j has s in the low, m in the high nibble of byte j
 *   16  qs      64 bytes, 2-bit codes
 *   80  d       fp16
 *   82  dmin    fp16 */
void assay_dequant_q2_k(const uint8_t *block, float *out) {
    const uint8_t *scales = block, *qs = block + 16;
    float d = assay_ref_f16(block + 80), dmin = assay_ref_f16(block + 82);

    for (int i = 0; i < 256; i++) {
        float dl = d * (float)(scales[i / 16] & 15);
        float ml = dmin * (float)(scales[i / 16] >> 4);
        out[i] = dl * (float)two_bit_code(qs, i) - ml;
    }
}

void assay_min_terms_q2_k(const uint8_t *block, float *out) {
    float dmin = assay_ref_f16(block + 82);

    for (int i = 0; i < 256; i++)
        out[i] = -(dmin * (float)(block[i / 16] >> 4));
}

/* Scale of sub-block j of 16 of a Q3_K block, from 12 bytes, 6 bits each: the low 4 bits are
 * nibbles of bytes 0…7 (sub-blocks 0…7 low, 8…15 high), the upper 2 bits are bits 2(j/4)…2(j/4)+1
 * of byte 8 + j%4. Stored with an offset of 32. */
static int q3_k_scale(const uint8_t *scales, int j) {
    int low = j < 8 ? scales[j] & 15 : scales[j - 8] >> 4;
    int high = scales[8 + j % 4] >> 2 * (j / 4) & 3;
    return (low | high << 4) - 32;
}

/* Q3_K, 110 bytes: w = d·s·q; 16 sub-blocks of 16, s -32…31, q -4…3
 *     0  hmask   32 bytes: bit i/32 of byte i%32 is the high bit of weight i
 *    32  qs      64 bytes, the low two bits
 *    96  scales  12 bytes, 6-bit
 *   108  d       fp16
 * q is the 3-bit code less 4. */
void assay_dequant_q3_k(const uint8_t *block, float *out) {
    const uint8_t *hmask = block, *qs = block + 32, *scales = block + 96;
    float d = assay_ref_f16(block + 108);

    for (int i = 0; i < 256; i++) {
        float dl = d * (float)q3_k_scale(scales, i / 16);
        int high = hmask[i % 32] >> i / 32 & 1;
        out[i] = dl * (float)((two_bit_code(qs, i) | high << 2) - 4);
    }
}

/* Q4_K, 144 bytes: w = d·s·q - dmin·m; 8 sub-blocks of 32, s and m 0…63, q 0…15
 *    0  d       fp16
 *    2  dmin    fp16
 *    4  scales  12 bytes, s and m in 6 bits each
 *   16  qs      128 bytes of nibbles */
void assay_dequant_q4_k(const uint8_t *block, float *out) {
    float d = assay_ref_f16(block), dmin = assay_ref_f16(block + 2);
    const uint8_t *scales = block + 4, *qs = block + 16;

    for (int i = 0; i < 256; i++) {
        int s, m;
        scale_min(scales, i / 32, &s, &m);
        float dl = d * (float)s, ml = dmin * (float)m;
        out[i] = dl * (float)nibble256(qs, i) - ml;
    }
}

/* Q5_K, 176 bytes: w = d·s·q - dmin·m; 8 sub-blocks of 32, s and m 0…63, q 0…31
 *    0  d       fp16
 *    2  dmin    fp16
 *    4  scales  12 bytes, s and m in 6 bits each
 *   16  qh      32 bytes: bit i/32 of byte i%32 is bit 4 of weight i's code
 *   48  qs      128 bytes of nibbles, bits 0…3 */
void assay_dequant_q5_k(const uint8_t *block, float *out) {
    float d = assay_ref_f16(block), dmin = assay_ref_f16(block + 2);
    const uint8_t *scales = block + 4, *qh = block + 16, *qs = block + 48;

    for (int i = 0; i < 256; i++) {
        int s, m;
        scale_min(scales, i / 32, &s, &m);
        float dl = d * (float)s, ml = dmin * (float)m;
        int high = qh[i % 32] >> i / 32 & 1;
        out[i] = dl * (float)(nibble256(qs, i) | high << 4) - ml;
    }
}

/* dmin and the packed mins of Q4_K and Q5_K are at the same offsets. */
void assay_min_terms_q4_k(const uint8_t *block, float *out) {
    float dmin = assay_ref_f16(block + 2);

    for (int i = 0; i < 256; i++) {
        int s, m;
        scale_min(block + 4, i / 32, &s, &m);
        out[i] = -(dmin * (float)m);
    }
}

void assay_min_terms_q5_k(const uint8_t *block, float *out) { assay_min_terms_q4_k(block, out); }

/* Q6_K, 210 bytes: w = d·s·q; 16 sub-blocks of 16, s int8, q -32…31
 *     0  ql      128 bytes: each 128 weights take 64 bytes; weights 0…63 are their low, 64…127
 *                their high nibbles
 *   128  qh      64 bytes: each 128 weights take 32 bytes; bits 2j…2j+1 of byte l are the upper
 *                bits of weight 32j + l
 *   192  scales  16 int8
 *   208  d       fp16
 * q is the 6-bit code less 32. */
void assay_dequant_q6_k(const uint8_t *block, float *out) {
    const uint8_t *ql = block, *qh = block + 128;
    const int8_t *scales = (const int8_t *)(block + 192);
    float d = assay_ref_f16(block + 208);

    for (int i = 0; i < 256; i++) {
        int half = i / 128;
        int byte = ql[64 * half + i % 64];
        int low = i % 128 < 64 ? byte & 15 : byte >> 4;
        int high = qh[32 * half + i % 32] >> 2 * (i % 128 / 32) & 3;
        out[i] = d * (float)scales[i / 16] * (float)((low | high << 4) - 32);
    }
}

/* Q8_K, 292 bytes: w = d·q, q -128…127
 *     0  d      fp32
 *     4  qs     256 int8
 *   260  bsums  16 int16, the sums of q over each 16 weights: for dot products, not for decoding */
void assay_dequant_q8_k(const uint8_t *block, float *out) {
    float d = assay_ref_float_from_bits(assay_ref_u32(block));
    const int8_t *qs = (const int8_t *)(block + 4);

    for (int i = 0; i < 256; i++)
        out[i] = d * (float)qs[i];
}
