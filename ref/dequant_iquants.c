/* IQ1 … IQ4: 256 weights (IQ4_NL: 32) as points of a codebook, with signs and sub-block scales. */
#include <stdbool.h>

#include "dequant.h"
#include "iq_grids.h"

/* Value j of codebook entry g, see iq_grids.h. */
static int iq1_value(unsigned g, int j) { return assay_iq1_levels[g >> 2 * j & 3]; }
static int iq2_value(unsigned g, int j) { return assay_iq2_levels[g >> 2 * j & 3]; }
static int iq3_xxs_value(unsigned g, int j) { return assay_iq3_xxs_levels[g >> 3 * j & 7]; }
static int iq3_s_value(unsigned g, int j) { return assay_iq3_s_levels[g >> 3 * j & 7]; }

/* ±1 from bit j of a byte of signs. */
static float sign(unsigned signs, int j) { return signs >> j & 1 ? -1.0f : 1.0f; }

/* IQ1 shifts each codebook point by ±1/8. */
static float iq1_delta(bool negative) { return negative ? -0.125f : 0.125f; }

/* IQ1_S, 50 bytes: w = d·(2s + 1)·(point ± 1/8); 8 sub-blocks of 32, each four points of 8
 *    0  d   fp16
 *    2  qs  32 bytes, the low 8 bits of the 32 codebook indices
 *   34  qh  8 uint16, one a sub-block: bits 3l…3l+2 are the high bits of index l (of 11 bits),
 *           bits 12…14 are s, bit 15 set means -1/8 */
static void iq1_s(const uint8_t *block, float *weight, float *term) {
    float d = assay_ref_f16(block);

    for (int i = 0; i < 256; i++) {
        int sub = i / 32, l = i % 32 / 8;
        unsigned qh = assay_ref_u16(block + 34 + 2 * sub);
        unsigned index = block[2 + i / 8] | (qh >> 3 * l & 7) << 8;
        float dl = d * (float)(2 * (qh >> 12 & 7) + 1);
        float delta = iq1_delta(qh >> 15);
        weight[i] = dl * ((float)iq1_value(assay_iq1_grid[index], i % 8) + delta);
        term[i] = dl * delta;
    }
}

/* IQ1_M, 56 bytes: w = d·(2s + 1)·(point ± 1/8); 16 sub-blocks of 16, each two points of 8
 *    0  qs      32 bytes, the low 8 bits of the 32 codebook indices
 *   32  qh      16 bytes: nibble l%2 of byte l/2 belongs to point l: bits 0…2 are the high bits of
 *               its index (of 11 bits), bit 3 set means -1/8
 *   48  scales  4 uint16: bits 3j…3j+2 of word n are s of sub-block 4n + j; bits 12…15 of the words
 *               are the nibbles of the fp16 number d, lowest first */
static void iq1_m(const uint8_t *block, float *weight, float *term) {
    const uint8_t *qs = block, *qh = block + 32, *scales = block + 48;
    unsigned d_bits = 0;

    for (int n = 0; n < 4; n++)
        d_bits |= (unsigned)(assay_ref_u16(scales + 2 * n) >> 12) << 4 * n;
    float d = assay_ref_from_fp16((uint16_t)d_bits);

    for (int i = 0; i < 256; i++) {
        int sub = i / 16, l = i / 8;
        unsigned s = assay_ref_u16(scales + 2 * (sub / 4)) >> 3 * (sub % 4) & 7;
        unsigned high = qh[l / 2] >> 4 * (l % 2) & 15;
        unsigned index = qs[l] | (high & 7) << 8;
        float dl = d * (float)(2 * s + 1);
        float delta = iq1_delta(high >> 3);
        weight[i] = dl * ((float)iq1_value(assay_iq1_grid[index], i % 8) + delta);
        term[i] = dl * delta;
    }
}

void assay_dequant_iq1_s(const uint8_t *block, float *out) {
    float term[256];
    iq1_s(block, out, term);
}

void assay_min_terms_iq1_s(const uint8_t *block, float *out) {
    float weight[256];
    iq1_s(block, weight, out);
}

void assay_dequant_iq1_m(const uint8_t *block, float *out) {
    float term[256];
    iq1_m(block, out, term);
}

void assay_min_terms_iq1_m(const uint8_t *block, float *out) {
    float weight[256];
    iq1_m(block, weight, out);
}

/* IQ2_XXS, 66 bytes: w = ±d·(s + 1/2)/4·value; 8 sub-blocks of 32, each four points of 8
 *   0  d   fp16
 *   2  qs  8 pairs of uint32, one a sub-block: the first word holds four 8-bit codebook indices;
 *          the second holds four times 7 sign bits and in bits 28…31 the scale s */
void assay_dequant_iq2_xxs(const uint8_t *block, float *out) {
    float d = assay_ref_f16(block);

    for (int i = 0; i < 256; i++) {
        const uint8_t *indices = block + 2 + 8 * (i / 32);
        uint32_t word = assay_ref_u32(indices + 4);
        int l = i % 32 / 8;
        uint8_t signs = assay_iq_signs(word >> 7 * l & 127);
        float dl = d * (0.5f + (float)(word >> 28)) * 0.25f;
        out[i] = dl * (float)iq2_value(assay_iq2_xxs_grid[indices[l]], i % 8) * sign(signs, i % 8);
    }
}

/* IQ2_XS, 74 bytes: w = ±d·(s + 1/2)/4·value; 16 sub-blocks of 16, each two points of 8
 *    0  d       fp16
 *    2  qs      32 uint16: bits 0…8 codebook index, bits 9…15 sign bits
 *   66  scales  8 bytes of nibbles: s of sub-blocks 2n (low) and 2n + 1 (high) */
void assay_dequant_iq2_xs(const uint8_t *block, float *out) {
    float d = assay_ref_f16(block);

    for (int i = 0; i < 256; i++) {
        unsigned q = assay_ref_u16(block + 2 + 2 * (i / 8));
        int s = block[66 + i / 32] >> 4 * (i / 16 % 2) & 15;
        uint8_t signs = assay_iq_signs(q >> 9);
        float dl = d * (0.5f + (float)s) * 0.25f;
        out[i] = dl * (float)iq2_value(assay_iq2_xs_grid[q & 511], i % 8) * sign(signs, i % 8);
    }
}

/* IQ2_S, 82 bytes: w = ±d·(s + 1/2)/4·value; 16 sub-blocks of 16, each two points of 8
 *    0  d       fp16
 *    2  qs      32 bytes, the low 8 bits of the 32 codebook indices
 *   34  signs   32 bytes, bit j of byte l for value j of point l
 *   66  qh      8 bytes: bits 2l…2l+1 of byte n are the high bits of index 4n + l (of 10 bits)
 *   74  scales  8 bytes of nibbles: s of sub-blocks 2n (low) and 2n + 1 (high) */
void assay_dequant_iq2_s(const uint8_t *block, float *out) {
    float d = assay_ref_f16(block);
    const uint8_t *qs = block + 2, *signs = block + 34, *qh = block + 66, *scales = block + 74;

    for (int i = 0; i < 256; i++) {
        int l = i / 8;
        unsigned index = qs[l] | (qh[l / 4] >> 2 * (l % 4) & 3u) << 8;
        int s = scales[i / 32] >> 4 * (i / 16 % 2) & 15;
        float dl = d * (0.5f + (float)s) * 0.25f;
        out[i] = dl * (float)iq2_value(assay_iq2_s_grid[index], i % 8) * sign(signs[l], i % 8);
    }
}

/* IQ3_XXS, 98 bytes: w = ±d·(s + 1/2)/2·value; 8 sub-blocks of 32, each eight points of 4
 *    0  d   fp16
 *    2  qs  64 bytes, codebook indices
 *   66      8 uint32, one a sub-block: four times 7 sign bits (for 8 weights each) and in bits
 *           28…31 the scale s */
void assay_dequant_iq3_xxs(const uint8_t *block, float *out) {
    float d = assay_ref_f16(block);

    for (int i = 0; i < 256; i++) {
        uint32_t word = assay_ref_u32(block + 66 + 4 * (i / 32));
        uint8_t signs = assay_iq_signs(word >> 7 * (i % 32 / 8) & 127);
        unsigned point = assay_iq3_xxs_grid[block[2 + i / 4]];
        float dl = d * (0.5f + (float)(word >> 28)) * 0.5f;
        out[i] = dl * (float)iq3_xxs_value(point, i % 4) * sign(signs, i % 8);
    }
}

/* IQ3_S, 110 bytes: w = ±d·(2s + 1)·value; 8 sub-blocks of 32, each eight points of 4
 *     0  d       fp16
 *     2  qs      64 bytes, the low 8 bits of the 64 codebook indices
 *    66  qh      8 bytes: bit l of byte n is the high bit of index 8n + l (of 9 bits)
 *    74  signs   32 bytes, bit i%8 of byte i/8 for weight i
 *   106  scales  4 bytes of nibbles: s of sub-blocks 2n (low) and 2n + 1 (high) */
void assay_dequant_iq3_s(const uint8_t *block, float *out) {
    float d = assay_ref_f16(block);
    const uint8_t *qs = block + 2, *qh = block + 66, *signs = block + 74, *scales = block + 106;

    for (int i = 0; i < 256; i++) {
        int l = i / 4;
        unsigned index = qs[l] | (qh[l / 8] >> l % 8 & 1u) << 8;
        int s = scales[i / 64] >> 4 * (i / 32 % 2) & 15;
        float dl = d * (float)(2 * s + 1);
        out[i] =
            dl * (float)iq3_s_value(assay_iq3_s_grid[index], i % 4) * sign(signs[i / 8], i % 8);
    }
}

const int8_t assay_ref_iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                         1,    13,   25,  38,  53,  69,  89,  113};

/* IQ4_NL, 18 bytes, 32 weights: w = d·level[q]
 *   0  d   fp16
 *   2  qs  16 bytes of nibbles: weights 0…15 low, 16…31 high */
void assay_dequant_iq4_nl(const uint8_t *block, float *out) {
    float d = assay_ref_f16(block);
    const uint8_t *qs = block + 2;

    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)assay_ref_iq4_levels[qs[i] & 15];
        out[16 + i] = d * (float)assay_ref_iq4_levels[qs[i] >> 4];
    }
}

/* IQ4_XS, 136 bytes: w = d·(s - 32)·level[q]; 8 sub-blocks of 32
 *   0  d         fp16
 *   2  scales_h  uint16: bits 2n…2n+1 are the high bits of s of sub-block n (of 6 bits)
 *   4  scales_l  4 bytes of nibbles: the low 4 bits of s of sub-blocks 2n (low) and 2n + 1 (high)
 *   8  qs        128 bytes: sub-block n takes bytes 16n…16n+15, its weights 0…15 low, 16…31 high */
void assay_dequant_iq4_xs(const uint8_t *block, float *out) {
    float d = assay_ref_f16(block);
    unsigned scales_h = assay_ref_u16(block + 2);
    const uint8_t *scales_l = block + 4, *qs = block + 8;

    for (int i = 0; i < 256; i++) {
        int n = i / 32;
        int s = (scales_l[n / 2] >> 4 * (n % 2) & 15) | (int)(scales_h >> 2 * n & 3) << 4;
        int byte = qs[16 * n + i % 16];
        int q = i % 32 < 16 ? byte & 15 : byte >> 4;
        out[i] = d * (float)(s - 32) * (float)assay_ref_iq4_levels[q];
    }
}
