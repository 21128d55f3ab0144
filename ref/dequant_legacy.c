/* Q1_0 … Q8_0: one fp16 scale (and perhaps one fp16 offset) for a short block of codes. */
#include "dequant.h"

/* Code i of a block of 32 4-bit codes at qs: bytes 0…15 hold weights 0…15 in their low and weights
 * 16…31 in their high nibbles. */
static int nibble32(const uint8_t *qs, int i) { return i < 16 ? qs[i] & 15 : qs[i - 16] >> 4; }

/* Bit i of a little-endian bit string. */
static int bit(const uint8_t *bits, int i) { return bits[i / 8] >> i % 8 & 1; }

/* Q1_0, 18 bytes, 128 weights: w = bit ? d : -d
 *   0  d   fp16
 *   2  qs  16 bytes: weight i is bit i */
void assay_dequant_q1_0(const uint8_t *block, float *out) {
    float d = assay_ref_f16(block);
    const uint8_t *qs = block + 2;

    for (int i = 0; i < 128; i++)
        out[i] = bit(qs, i) ? d : -d;
}

/* Q2_0, 18 bytes, 64 weights: w = d·(q - 1), q = 0…3
 *   0  d   fp16
 *   2  qs  16 bytes: weight i is bits 2(i%4)…2(i%4)+1 of byte i/4 */
void assay_dequant_q2_0(const uint8_t *block, float *out) {
    float d = assay_ref_f16(block);
    const uint8_t *qs = block + 2;

    for (int i = 0; i < 64; i++) {
        int q = qs[i / 4] >> 2 * (i % 4) & 3;
        out[i] = (float)(q - 1) * d;
    }
}

/* Q4_0, 18 bytes, 32 weights: w = d·(q - 8), q = 0…15
 *   0  d   fp16
 *   2  qs  16 bytes of nibbles: weights 0…15 low, 16…31 high */
void assay_dequant_q4_0(const uint8_t *block, float *out) {
    float d = assay_ref_f16(block);
    const uint8_t *qs = block + 2;

    for (int i = 0; i < 32; i++)
        out[i] = (float)(nibble32(qs, i) - 8) * d;
}

/* Q4_1, 20 bytes, 32 weights: w = d·q + m, q = 0…15
 *   0  d   fp16
 *   2  m   fp16
 *   4  qs  16 bytes of nibbles: weights 0…15 low, 16…31 high */
void assay_dequant_q4_1(const uint8_t *block, float *out) {
    float d = assay_ref_f16(block);
    float m = assay_ref_f16(block + 2);
    const uint8_t *qs = block + 4;

    for (int i = 0; i < 32; i++)
        out[i] = (float)nibble32(qs, i) * d + m;
}

/* Q5_0, 22 bytes, 32 weights: w = d·(q - 16), q = 0…31
 *   0  d   fp16
 *   2  qh  4 bytes: bit i is bit 4 of q_i
 *   6  qs  16 bytes of nibbles, bits 0…3: weights 0…15 low, 16…31 high */
void assay_dequant_q5_0(const uint8_t *block, float *out) {
    float d = assay_ref_f16(block);
    const uint8_t *qh = block + 2;
    const uint8_t *qs = block + 6;

    for (int i = 0; i < 32; i++) {
        int q = nibble32(qs, i) | bit(qh, i) << 4;
        out[i] = (float)(q - 16) * d;
    }
}

/* Q5_1, 24 bytes, 32 weights: w = d·q + m, q = 0…31
 *   0  d   fp16
 *   2  m   fp16
 *   4  qh  4 bytes: bit i is bit 4 of q_i
 *   8  qs  16 bytes of nibbles, bits 0…3: weights 0…15 low, 16…31 high */
void assay_dequant_q5_1(const uint8_t *block, float *out) {
    float d = assay_ref_f16(block);
    float m = assay_ref_f16(block + 2);
    const uint8_t *qh = block + 4;
    const uint8_t *qs = block + 8;

    for (int i = 0; i < 32; i++) {
        int q = nibble32(qs, i) | bit(qh, i) << 4;
        out[i] = (float)q * d + m;
    }
}

/* Q8_0, 34 bytes, 32 weights: w = d·q, q = -128…127
 *   0  d   fp16
 *   2  qs  32 int8 */
void assay_dequant_q8_0(const uint8_t *block, float *out) {
    float d = assay_ref_f16(block);
    const int8_t *qs = (const int8_t *)(block + 2);

    for (int i = 0; i < 32; i++)
        out[i] = (float)qs[i] * d;
}

/* The additive term of Q4_1 and Q5_1 is m, at the same place in both. */
void assay_min_terms_q4_1(const uint8_t *block, float *out) {
    float m = assay_ref_f16(block + 2);

    for (int i = 0; i < 32; i++)
        out[i] = m;
}

void assay_min_terms_q5_1(const uint8_t *block, float *out) { assay_min_terms_q4_1(block, out); }
