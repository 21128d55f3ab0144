/* The super-block types: how their codes and scales unpack (layouts: impl/blocks.h). */
#include "impl/blocks.h"
#include "kernels.h"
#include "superblock.h"

#define FIELD(type, member) offsetof(struct assay_block_##type, member)

/* Two words of eight bytes as a vector. */
ASSAY_INLINE int8x16_t join_words(uint64_t low, uint64_t high) {
    return vreinterpretq_s8_u64(vcombine_u64(vcreate_u64(low), vcreate_u64(high)));
}

/* high:low, where `high` stands at bit 4 and up; the other bits of `low` may be anything. */
ASSAY_INLINE int8x16_t join_low(uint8x16_t low, uint8x16_t high) {
    return vreinterpretq_s8_u8(vsliq_n_u8(low, high, 4));
}
ASSAY_INLINE int8x16_t join_high(uint8x16_t low, uint8x16_t high) {
    return join_low(high_nibbles(low), high);
}

/* ---- Q4_K, Q5_K ------------------------------------------------------------------------------ */

/* The 6-bit fields by words of four (assay_unpack_k4_scales); integer registers are idle. */
ASSAY_INLINE void k4_scales(const uint8_t *packed, int8x16_t *scales, int8x16_t *mins) {
    uint32_t s = load32(packed), m = load32(packed + 4), rest = load32(packed + 8);
    uint32_t s4 = (rest & 0x0f0f0f0f) | (s >> 2 & 0x30303030);
    uint32_t m4 = (rest >> 4 & 0x0f0f0f0f) | (m >> 2 & 0x30303030);
    *scales = join_words((s & 0x3f3f3f3f) | (uint64_t)s4 << 32, 0);
    *mins = join_words((m & 0x3f3f3f3f) | (uint64_t)m4 << 32, 0);
}

#define PLANES2(at) (at), (at) + 16
#define PLANES4(at) PLANES2(at), PLANES2((at) + 32)
#define PLANES8(at) PLANES4(at), PLANES4((at) + 64)

ASSAY_INLINE void q4_k_scales(const uint8_t *block, int8x16_t *scales, int8x16_t *mins) {
    k4_scales(block + FIELD(q4_k, scales), scales, mins);
}

ASSAY_INLINE int8x16_t q4_k_codes(const uint8x16_t *plane, int g, int h) {
    uint8x16_t v = plane[g / 2 * 2 + h];
    return vreinterpretq_s8_u8(g % 2 ? high_nibbles(v) : low_nibbles(v));
}

static const struct superblock_type q4_k = {
    .bytes = sizeof(struct assay_block_q4_k),
    .planes = 8,
    .plane_at = {PLANES8(FIELD(q4_k, qs))},
    .codes = q4_k_codes,
    .sub_block = 32,
    .scales = q4_k_scales,
    .d_at = FIELD(q4_k, d),
    .dmin_at = FIELD(q4_k, dmin),
    .has_mins = true,
    .offset_log2 = -1,
    .form = &form_k4,
};

ASSAY_INLINE void q5_k_scales(const uint8_t *block, int8x16_t *scales, int8x16_t *mins) {
    k4_scales(block + FIELD(q5_k, scales), scales, mins);
}

ASSAY_INLINE int8x16_t q5_k_codes(const uint8x16_t *plane, int g, int h) {
    uint8x16_t v = plane[g / 2 * 2 + h], high = byte_bits(plane[8 + h], g, 1);
    return g % 2 ? join_high(v, high) : join_low(v, high);
}

static const struct superblock_type q5_k = {
    .bytes = sizeof(struct assay_block_q5_k),
    .planes = 10,
    .plane_at = {PLANES8(FIELD(q5_k, qs)), PLANES2(FIELD(q5_k, qh))},
    .codes = q5_k_codes,
    .sub_block = 32,
    .scales = q5_k_scales,
    .d_at = FIELD(q5_k, d),
    .dmin_at = FIELD(q5_k, dmin),
    .has_mins = true,
    .offset_log2 = -1,
    .form = &form_k4,
};

/* ---- Q6_K ------------------------------------------------------------------------------------ */

ASSAY_INLINE void q6_k_scales(const uint8_t *block, int8x16_t *scales, int8x16_t *mins) {
    (void)mins;
    *scales = vreinterpretq_s8_u8(vld1q_u8(block + FIELD(q6_k, scales)));
}

ASSAY_INLINE int8x16_t q6_k_codes(const uint8x16_t *plane, int g, int h) {
    int half = g / 4, j = g % 4;
    uint8x16_t low = plane[4 * half + j % 2 * 2 + h];
    uint8x16_t high = byte_bits(plane[8 + 2 * half + h], 2 * j, 2);
    return j < 2 ? join_low(low, high) : join_high(low, high);
}

static const struct superblock_type q6_k = {
    .bytes = sizeof(struct assay_block_q6_k),
    .planes = 12,
    .plane_at = {PLANES8(FIELD(q6_k, ql)), PLANES4(FIELD(q6_k, qh))},
    .codes = q6_k_codes,
    .sub_block = 16,
    .scales = q6_k_scales,
    .d_at = FIELD(q6_k, d),
    .offset_log2 = 5,
    .form = &form_q6_k,
};

/* ---- Q2_K, Q3_K ------------------------------------------------------------------------------ */

ASSAY_INLINE void q2_k_scales(const uint8_t *block, int8x16_t *scales, int8x16_t *mins) {
    uint8x16_t v = vld1q_u8(block + FIELD(q2_k, scales));
    *scales = vreinterpretq_s8_u8(low_nibbles(v));
    *mins = vreinterpretq_s8_u8(high_nibbles(v));
}

ASSAY_INLINE int8x16_t q2_k_codes(const uint8x16_t *plane, int g, int h) {
    return vreinterpretq_s8_u8(byte_bits(plane[g / 4 * 2 + h], 2 * (g % 4), 2));
}

static const struct superblock_type q2_k = {
    .bytes = sizeof(struct assay_block_q2_k),
    .planes = 4,
    .plane_at = {PLANES4(FIELD(q2_k, qs))},
    .codes = q2_k_codes,
    .sub_block = 16,
    .scales = q2_k_scales,
    .d_at = FIELD(q2_k, d),
    .dmin_at = FIELD(q2_k, dmin),
    .has_mins = true,
    .offset_log2 = -1,
    .fold = true,
    .form = &form_q2_k,
};

/* Layout: assay_unpack_q3_k_scales in blocks.h. */
ASSAY_INLINE void q3_k_scales(const uint8_t *block, int8x16_t *scales, int8x16_t *mins) {
    (void)mins;
    const uint64_t nibble = 0x0f0f0f0f0f0f0f0f, pair = 0x03030303;
    uint64_t low = load64(block + FIELD(q3_k, scales));
    uint64_t high = load32(block + FIELD(q3_k, scales) + 8);
    uint64_t high0 = (high & pair) | (high >> 2 & pair) << 32;
    uint64_t high1 = (high >> 4 & pair) | (high >> 6 & pair) << 32;
    *scales = vsubq_s8(join_words((low & nibble) | high0 << 4, (low >> 4 & nibble) | high1 << 4),
                       vdupq_n_s8(32));
}

ASSAY_INLINE int8x16_t q3_k_codes(const uint8x16_t *plane, int g, int h) {
    uint8x16_t low = byte_bits(plane[g / 4 * 2 + h], 2 * (g % 4), 2);
    return vreinterpretq_s8_u8(vsliq_n_u8(low, byte_bits(plane[4 + h], g, 1), 2));
}

static const struct superblock_type q3_k = {
    .bytes = sizeof(struct assay_block_q3_k),
    .planes = 6,
    .plane_at = {PLANES4(FIELD(q3_k, qs)), PLANES2(FIELD(q3_k, hmask))},
    .codes = q3_k_codes,
    .sub_block = 16,
    .scales = q3_k_scales,
    .d_at = FIELD(q3_k, d),
    .offset_log2 = 2,
    .fold = true,
    .form = &form_q3_k,
};

/* ---- IQ4_XS ---------------------------------------------------------------------------------- */

ASSAY_INLINE void iq4_xs_scales(const uint8_t *block, int8x16_t *scales, int8x16_t *mins) {
    (void)mins;
    const int16x8_t down = {0, -2, -4, -6, -8, -10, -12, -14};
    uint8x8_t nibbles = vcreate_u8(load32(block + FIELD(iq4_xs, scales_l)));
    uint8x8_t low = vzip1_u8(vand_u8(nibbles, vdup_n_u8(15)), vshr_n_u8(nibbles, 4));
    uint16x8_t pairs = vshlq_u16(vdupq_n_u16(load16(block + FIELD(iq4_xs, scales_h))), down);
    uint8x8_t high = vand_u8(vmovn_u16(pairs), vdup_n_u8(3));
    int8x8_t v = vreinterpret_s8_u8(vsli_n_u8(low, high, 4));
    *scales = vcombine_s8(vsub_s8(v, vdup_n_s8(32)), vdup_n_s8(0));
}

ASSAY_INLINE int8x16_t iq4_xs_codes(const uint8x16_t *plane, int g, int h) {
    return iq4_levels(h ? high_nibbles(plane[g]) : low_nibbles(plane[g]));
}

static const struct superblock_type iq4_xs = {
    .bytes = sizeof(struct assay_block_iq4_xs),
    .planes = 8,
    .plane_at = {PLANES8(FIELD(iq4_xs, qs))},
    .codes = iq4_xs_codes,
    .sub_block = 32,
    .scales = iq4_xs_scales,
    .d_at = FIELD(iq4_xs, d),
    .offset_log2 = -1,
    .form = &form_iq4_xs,
};

ASSAY_NEON_KERNELS(superblock, q2_k, q8_256)
ASSAY_NEON_KERNELS(superblock, q3_k, q8_256)
ASSAY_NEON_KERNELS(superblock, q4_k, q8_256)
ASSAY_NEON_KERNELS(superblock, q5_k, q8_256)
ASSAY_NEON_KERNELS(superblock, q6_k, q8_256)
ASSAY_NEON_KERNELS(superblock, iq4_xs, q8_256)
