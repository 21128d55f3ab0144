/* The quantised blocks of GGUF as packed structs, for impl's decoders and kernels. Sizes are
 * checked against ref/types.def, whose numbers are written independently of these members. */
#ifndef ASSAY_IMPL_BLOCKS_H
#define ASSAY_IMPL_BLOCKS_H

#include <stdint.h>

/* GGUF data are little-endian and impl reads the members in place. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "assay needs a little-endian machine");

/* Packed: a file mapping gives blocks no alignment. Members named d, m, dmin of type uint16_t are
 * IEEE binary16 bits (assay_f16_to_f32 in half.h). */
#define ASSAY_PACKED __attribute__((packed))

/* d·(bit ? 1 : -1); bit i of the block is bit i%8 of byte i/8. */
struct ASSAY_PACKED assay_block_q1_0 {
    uint16_t d;
    uint8_t qs[16];
};

/* d·(q - 1), four 2-bit codes a byte, in order. */
struct ASSAY_PACKED assay_block_q2_0 {
    uint16_t d;
    uint8_t qs[16];
};

/* d·(q - 8). Weight i is the low nibble of byte i, weight 16+i the high nibble; so in all of the
 * types with 16 bytes of nibbles below. */
struct ASSAY_PACKED assay_block_q4_0 {
    uint16_t d;
    uint8_t qs[16];
};

/* d·q + m */
struct ASSAY_PACKED assay_block_q4_1 {
    uint16_t d, m;
    uint8_t qs[16];
};

/* d·(q - 16); bit i of qh is bit 4 of code i. */
struct ASSAY_PACKED assay_block_q5_0 {
    uint16_t d;
    uint32_t qh;
    uint8_t qs[16];
};

/* d·q + m */
struct ASSAY_PACKED assay_block_q5_1 {
    uint16_t d, m;
    uint32_t qh;
    uint8_t qs[16];
};

/* d·q */
struct ASSAY_PACKED assay_block_q8_0 {
    uint16_t d;
    int8_t qs[32];
};

/* d·s·q - dmin·m: sixteen sub-blocks of 16; s the low and m the high nibble of a scale byte. Codes
 * of a half of 128 weights share 32 bytes: weight 32j+i of the half is bits 2j of byte i. */
struct ASSAY_PACKED assay_block_q2_k {
    uint8_t scales[16];
    uint8_t qs[64];
    uint16_t d, dmin;
};

/* d·(s - 32)·(q - 4): sixteen sub-blocks of 16, low code bits as in q2_k; the third bit of weight
 * 32j+i of the block is bit j of hmask[i]. */
struct ASSAY_PACKED assay_block_q3_k {
    uint8_t hmask[32];
    uint8_t qs[64];
    uint8_t scales[12]; /* 16 × 6 bits: low nibbles in bytes 0…7, pairs of high bits in 8…11 */
    uint16_t d;
};

/* d·s·q - dmin·m: eight sub-blocks of 32; 32 bytes of qs hold two of them, low nibbles first. */
struct ASSAY_PACKED assay_block_q4_k {
    uint16_t d, dmin;
    uint8_t scales[12]; /* 8 scales and 8 mins of 6 bits: assay_unpack_k4_scales */
    uint8_t qs[128];
};

/* As q4_k; bit 4 of the codes of sub-block j is bit j of qh[i]. */
struct ASSAY_PACKED assay_block_q5_k {
    uint16_t d, dmin;
    uint8_t scales[12];
    uint8_t qh[32];
    uint8_t qs[128];
};

/* d·s·(q - 32): sixteen sub-blocks of 16. In a half of 128 weights, weight 32j+i has its low nibble
 * in ql[32(j%2)+i] (high nibble for j >= 2) and its two high bits at bits 2j of qh[i]. */
struct ASSAY_PACKED assay_block_q6_k {
    uint8_t ql[128];
    uint8_t qh[64];
    int8_t scales[16];
    uint16_t d;
};

/* d·q; bsums are redundant sums of 16 codes. */
struct ASSAY_PACKED assay_block_q8_k {
    float d;
    int8_t qs[256];
    int16_t bsums[16];
};

/* d·(2s + 1)·(g ± 1/8): per 32 weights, four 11-bit grid numbers (low bytes in qs, 3 high bits each
 * in qh), scale in bits 12…14 and sign of the shift in bit 15 of qh. */
struct ASSAY_PACKED assay_block_iq1_s {
    uint16_t d;
    uint8_t qs[32];
    uint16_t qh[8];
};

/* As iq1_s with a scale per 16 weights and a shift per 8; d is spread over the top nibbles of the
 * four scale words. */
struct ASSAY_PACKED assay_block_iq1_m {
    uint8_t qs[32];
    uint8_t qh[16];
    uint16_t scales[4];
};

/* d·(s + 1/2)/4·(±g): per 32 weights two words, four grid bytes, then 4 × 7 sign bits and s. */
struct ASSAY_PACKED assay_block_iq2_xxs {
    uint16_t d;
    struct ASSAY_PACKED {
        uint8_t grid[4];
        uint32_t signs_scale;
    } group[8];
};

/* As iq2_xxs with 9-bit grid numbers, 7 sign bits above each, and a scale nibble per 16 weights. */
struct ASSAY_PACKED assay_block_iq2_xs {
    uint16_t d;
    uint16_t qs[32];
    uint8_t scales[8];
};

/* As iq2_xs with 10-bit grid numbers and all 8 sign bits. */
struct ASSAY_PACKED assay_block_iq2_s {
    uint16_t d;
    uint8_t qs[32];
    uint8_t signs[32];
    uint8_t qh[8];
    uint8_t scales[8];
};

/* d·(s + 1/2)/2·(±g), grid entries of 4 weights. */
struct ASSAY_PACKED assay_block_iq3_xxs {
    uint16_t d;
    uint8_t qs[64];
    uint32_t signs_scale[8]; /* 4 × 7 sign bits, s in the top 4 */
};

/* d·(2s + 1)·(±g), grid numbers of 9 bits, all 8 sign bits, a scale nibble per 32 weights. */
struct ASSAY_PACKED assay_block_iq3_s {
    uint16_t d;
    uint8_t qs[64];
    uint8_t qh[8];
    uint8_t signs[32];
    uint8_t scales[4];
};

/* d·codebook[q] */
struct ASSAY_PACKED assay_block_iq4_nl {
    uint16_t d;
    uint8_t qs[16];
};

/* d·(s - 32)·codebook[q]: eight sub-blocks of 32 laid out as iq4_nl; s: nibbles in scales_l, two
 * high bits each in scales_h. */
struct ASSAY_PACKED assay_block_iq4_xs {
    uint16_t d;
    uint16_t scales_h;
    uint8_t scales_l[4];
    uint8_t qs[128];
};

/* d·(t - 1), t a ternary digit: five to a byte in qs, four in qh, as base-3 fractions of 256. */
struct ASSAY_PACKED assay_block_tq1_0 {
    uint8_t qs[48];
    uint8_t qh[4];
    uint16_t d;
};

/* d·(q - 1); code layout as in q2_k. */
struct ASSAY_PACKED assay_block_tq2_0 {
    uint8_t qs[64];
    uint16_t d;
};

/* 2^(e - 127)·fp4[q] */
struct ASSAY_PACKED assay_block_mxfp4 {
    uint8_t e;
    uint8_t qs[16];
};

/* ue4m3(d)·fp4[q]: four sub-blocks of 16, each with 8 bytes, low nibbles first. */
struct ASSAY_PACKED assay_block_nvfp4 {
    uint8_t d[4];
    uint8_t qs[32];
};

/* ASSAY_BLOCK_BYTES_q4_k, ASSAY_BLOCK_LEN_q4_k … as constants. */
enum {
#define ASSAY_TYPE(ENUM, id, name, len, bytes, dequant, min_terms)                                 \
    ASSAY_BLOCK_LEN_##name = (len), ASSAY_BLOCK_BYTES_##name = (bytes),
#include "ref/types.def"
#undef ASSAY_TYPE
};

#define ASSAY_CHECK_BLOCK(name)                                                                    \
    _Static_assert(sizeof(struct assay_block_##name) == ASSAY_BLOCK_BYTES_##name, #name)
ASSAY_CHECK_BLOCK(q1_0);
ASSAY_CHECK_BLOCK(q2_0);
ASSAY_CHECK_BLOCK(q4_0);
ASSAY_CHECK_BLOCK(q4_1);
ASSAY_CHECK_BLOCK(q5_0);
ASSAY_CHECK_BLOCK(q5_1);
ASSAY_CHECK_BLOCK(q8_0);
ASSAY_CHECK_BLOCK(q2_k);
ASSAY_CHECK_BLOCK(q3_k);
ASSAY_CHECK_BLOCK(q4_k);
ASSAY_CHECK_BLOCK(q5_k);
ASSAY_CHECK_BLOCK(q6_k);
ASSAY_CHECK_BLOCK(q8_k);
ASSAY_CHECK_BLOCK(iq1_s);
ASSAY_CHECK_BLOCK(iq1_m);
ASSAY_CHECK_BLOCK(iq2_xxs);
ASSAY_CHECK_BLOCK(iq2_xs);
ASSAY_CHECK_BLOCK(iq2_s);
ASSAY_CHECK_BLOCK(iq3_xxs);
ASSAY_CHECK_BLOCK(iq3_s);
ASSAY_CHECK_BLOCK(iq4_nl);
ASSAY_CHECK_BLOCK(iq4_xs);
ASSAY_CHECK_BLOCK(tq1_0);
ASSAY_CHECK_BLOCK(tq2_0);
ASSAY_CHECK_BLOCK(mxfp4);
ASSAY_CHECK_BLOCK(nvfp4);
#undef ASSAY_CHECK_BLOCK

/* The 6-bit scales s and mins m of a q4_k or q5_k block. Sub-blocks 0…3: low six bits of bytes 0…3
 * and 4…7. Sub-blocks 4…7: nibbles of bytes 8…11, with the top two bits of bytes 0…3 and 4…7. */
static inline void assay_unpack_k4_scales(const uint8_t packed[12], uint8_t s[8], uint8_t m[8]) {
    for (int j = 0; j < 4; j++) {
        s[j] = packed[j] & 63;
        m[j] = packed[4 + j] & 63;
        s[4 + j] = (uint8_t)((packed[8 + j] & 15) | (packed[j] >> 6) << 4);
        m[4 + j] = (uint8_t)(packed[8 + j] >> 4 | (packed[4 + j] >> 6) << 4);
    }
}

/* The 6-bit scales of a q3_k block, 32 already subtracted. */
static inline void assay_unpack_q3_k_scales(const uint8_t packed[12], int8_t s[16]) {
    for (int j = 0; j < 16; j++) {
        int low = packed[j & 7] >> (j < 8 ? 0 : 4) & 15;
        int high = packed[8 + (j & 3)] >> 2 * (j / 4) & 3;
        s[j] = (int8_t)((low | high << 4) - 32);
    }
}

#endif
