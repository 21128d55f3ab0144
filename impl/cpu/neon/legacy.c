/* The types with blocks of 32: how their codes unpack (layouts: impl/blocks.h). */
#include "block32.h"
#include "impl/blocks.h"
#include "kernels.h"

#define FIELD(type, member) offsetof(struct assay_block_##type, member)

/* ---- 16 bytes of nibbles: the low ones are codes 0…15, the high ones codes 16…31 ------------- */

ASSAY_INLINE int8x16_t nibble_codes(const uint8x16_t *plane, int h) {
    return vreinterpretq_s8_u8(h ? high_nibbles(plane[0]) : low_nibbles(plane[0]));
}

ASSAY_INLINE void q4_0_load(const uint8_t *block, uint8x16_t *plane) {
    plane[0] = vld1q_u8(block + FIELD(q4_0, qs));
}
static const struct block32_type q4_0 = {
    .bytes = sizeof(struct assay_block_q4_0),
    .d_at = FIELD(q4_0, d),
    .offset = 8,
    .planes = 1,
    .load = q4_0_load,
    .codes = nibble_codes,
    .form = &form_block,
};

ASSAY_INLINE void q4_1_load(const uint8_t *block, uint8x16_t *plane) {
    plane[0] = vld1q_u8(block + FIELD(q4_1, qs));
}
static const struct block32_type q4_1 = {
    .bytes = sizeof(struct assay_block_q4_1),
    .d_at = FIELD(q4_1, d),
    .m_at = FIELD(q4_1, m),
    .has_m = true,
    .planes = 1,
    .load = q4_1_load,
    .codes = nibble_codes,
    .form = &form_block_m,
};

/* ---- Fifth bits: bit i of a 32-bit word belongs to code i ------------------------------------ */

/* plane[0] the nibbles, plane[1] and plane[2] all ones where code i and 16 + i have the bit. */
ASSAY_INLINE void load_five(const uint8_t *qh, const uint8_t *qs, uint8x16_t *plane) {
    const uint8x16_t byte = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
    const uint8x16_t bit = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    uint8x16_t word = vreinterpretq_u8_u32(vdupq_n_u32(load32(qh)));
    plane[0] = vld1q_u8(qs);
    plane[1] = vtstq_u8(vqtbl1q_u8(word, byte), bit);
    plane[2] = vtstq_u8(vqtbl1q_u8(word, vaddq_u8(byte, vdupq_n_u8(2))), bit);
}

/* A clear fifth bit subtracts 16: -16 are the bits 0xf0. */
ASSAY_INLINE void q5_0_load(const uint8_t *block, uint8x16_t *plane) {
    load_five(block + FIELD(q5_0, qh), block + FIELD(q5_0, qs), plane);
    plane[1] = vbicq_u8(vdupq_n_u8(0xf0), plane[1]);
    plane[2] = vbicq_u8(vdupq_n_u8(0xf0), plane[2]);
}

ASSAY_INLINE void q5_1_load(const uint8_t *block, uint8x16_t *plane) {
    load_five(block + FIELD(q5_1, qh), block + FIELD(q5_1, qs), plane);
    plane[1] = vandq_u8(vdupq_n_u8(0x10), plane[1]);
    plane[2] = vandq_u8(vdupq_n_u8(0x10), plane[2]);
}

ASSAY_INLINE int8x16_t five_codes(const uint8x16_t *plane, int h) {
    return vorrq_s8(nibble_codes(plane, h), vreinterpretq_s8_u8(plane[1 + h]));
}

static const struct block32_type q5_0 = {
    .bytes = sizeof(struct assay_block_q5_0),
    .d_at = FIELD(q5_0, d),
    .planes = 3,
    .load = q5_0_load,
    .codes = five_codes,
    .form = &form_block,
};

static const struct block32_type q5_1 = {
    .bytes = sizeof(struct assay_block_q5_1),
    .d_at = FIELD(q5_1, d),
    .m_at = FIELD(q5_1, m),
    .has_m = true,
    .planes = 3,
    .load = q5_1_load,
    .codes = five_codes,
    .form = &form_block_m,
};

/* ---- Q8_0, IQ4_NL ---------------------------------------------------------------------------- */

ASSAY_INLINE void q8_0_load(const uint8_t *block, uint8x16_t *plane) {
    plane[0] = vld1q_u8(block + FIELD(q8_0, qs));
    plane[1] = vld1q_u8(block + FIELD(q8_0, qs) + 16);
}
ASSAY_INLINE int8x16_t q8_0_codes(const uint8x16_t *plane, int h) {
    return vreinterpretq_s8_u8(plane[h]);
}
static const struct block32_type q8_0 = {
    .bytes = sizeof(struct assay_block_q8_0),
    .d_at = FIELD(q8_0, d),
    .planes = 2,
    .load = q8_0_load,
    .codes = q8_0_codes,
    .form = &form_block,
};

ASSAY_INLINE void iq4_nl_load(const uint8_t *block, uint8x16_t *plane) {
    plane[0] = vld1q_u8(block + FIELD(iq4_nl, qs));
}
ASSAY_INLINE int8x16_t iq4_nl_codes(const uint8x16_t *plane, int h) {
    return iq4_levels(h ? high_nibbles(plane[0]) : low_nibbles(plane[0]));
}
static const struct block32_type iq4_nl = {
    .bytes = sizeof(struct assay_block_iq4_nl),
    .d_at = FIELD(iq4_nl, d),
    .planes = 1,
    .load = iq4_nl_load,
    .codes = iq4_nl_codes,
    .form = &form_block,
};

ASSAY_NEON_KERNELS(block32, q4_0, q8_32)
ASSAY_NEON_KERNELS(block32, q4_1, q8_32)
ASSAY_NEON_KERNELS(block32, q5_0, q8_32)
ASSAY_NEON_KERNELS(block32, q5_1, q8_32)
ASSAY_NEON_KERNELS(block32, q8_0, q8_32)
ASSAY_NEON_KERNELS(block32, iq4_nl, q8_32)
