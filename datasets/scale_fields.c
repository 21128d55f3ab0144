#include "scale_fields.h"

#include <assert.h>
#include <string.h>

#include "quantise_internal.h"
#include "ref/dequant.h"

/* clang-format off */
static const struct assay_scale_field fields[][ASSAY_SCALE_FIELDS_MAX] = {
    [ASSAY_TYPE_F32]     = {{ASSAY_SCALE_FLOAT, 0,   1, -7}},
    [ASSAY_TYPE_F16]     = {{ASSAY_SCALE_HALF,  0,   1, -7}},
    [ASSAY_TYPE_BF16]    = {{ASSAY_SCALE_BF16,  0,   1, -7}},
    [ASSAY_TYPE_Q1_0]    = {{ASSAY_SCALE_HALF,  0,   1, -7}},
    [ASSAY_TYPE_Q2_0]    = {{ASSAY_SCALE_HALF,  0,   1, -7}},
    [ASSAY_TYPE_Q4_0]    = {{ASSAY_SCALE_HALF,  0,   1, -9}},
    [ASSAY_TYPE_Q4_1]    = {{ASSAY_SCALE_HALF,  0,   1, -10}, {ASSAY_SCALE_HALF, 2, 1, -8}},
    [ASSAY_TYPE_Q5_0]    = {{ASSAY_SCALE_HALF,  0,   1, -10}},
    [ASSAY_TYPE_Q5_1]    = {{ASSAY_SCALE_HALF,  0,   1, -11}, {ASSAY_SCALE_HALF, 2, 1, -8}},
    [ASSAY_TYPE_Q8_0]    = {{ASSAY_SCALE_HALF,  0,   1, -13}},
    [ASSAY_TYPE_Q2_K]    = {{ASSAY_SCALE_HALF,  80,  1, -11}, {ASSAY_SCALE_HALF, 82, 1, -11}},
    [ASSAY_TYPE_Q3_K]    = {{ASSAY_SCALE_HALF,  108, 1, -12}},
    [ASSAY_TYPE_Q4_K]    = {{ASSAY_SCALE_HALF,  0,   1, -15}, {ASSAY_SCALE_HALF, 2,  1, -13}},
    [ASSAY_TYPE_Q5_K]    = {{ASSAY_SCALE_HALF,  0,   1, -16}, {ASSAY_SCALE_HALF, 2,  1, -13}},
    [ASSAY_TYPE_Q6_K]    = {{ASSAY_SCALE_HALF,  208, 1, -18}},
    [ASSAY_TYPE_Q8_K]    = {{ASSAY_SCALE_FLOAT, 0,   1, -13}},
    [ASSAY_TYPE_IQ1_S]   = {{ASSAY_SCALE_HALF,  0,   1, -10}},
    [ASSAY_TYPE_IQ1_M]   = {{ASSAY_SCALE_IQ1_M, 48,  1, -10}},
    [ASSAY_TYPE_IQ2_XXS] = {{ASSAY_SCALE_HALF,  0,   1, -13}},
    [ASSAY_TYPE_IQ2_XS]  = {{ASSAY_SCALE_HALF,  0,   1, -13}},
    [ASSAY_TYPE_IQ2_S]   = {{ASSAY_SCALE_HALF,  0,   1, -13}},
    [ASSAY_TYPE_IQ3_XXS] = {{ASSAY_SCALE_HALF,  0,   1, -14}},
    [ASSAY_TYPE_IQ3_S]   = {{ASSAY_SCALE_HALF,  0,   1, -14}},
    [ASSAY_TYPE_IQ4_NL]  = {{ASSAY_SCALE_HALF,  0,   1, -13}},
    [ASSAY_TYPE_IQ4_XS]  = {{ASSAY_SCALE_HALF,  0,   1, -17}},
    [ASSAY_TYPE_TQ1_0]   = {{ASSAY_SCALE_HALF,  52,  1, -7}},
    [ASSAY_TYPE_TQ2_0]   = {{ASSAY_SCALE_HALF,  64,  1, -7}},
    [ASSAY_TYPE_MXFP4]   = {{ASSAY_SCALE_E8M0,  0,   1, -8}},
    [ASSAY_TYPE_NVFP4]   = {{ASSAY_SCALE_UE4M3, 0,   4, -9}},
};
/* clang-format on */

const struct assay_scale_field *assay_scale_fields(const struct assay_type_traits *t) {
    assert(t->dequant != NULL && (size_t)t->type < sizeof fields / sizeof *fields);
    return fields[t->type];
}

/* A sign-magnitude format: the exponent code has a bias, the sign is the top bit. */
struct float_format {
    int fraction_bits, bias;
    int top_code; /* of extreme values: see assay_extreme_scale */
};

static const struct float_format half_format = {10, 15, 30};
static const struct float_format bf16_format = {7, 127, 127 + 95};
static const struct float_format float_format = {23, 127, 127 + 95};

/* Magnitude bits for random bits: exponent or exponent + 1, by the random exponent's last bit. */
static uint32_t sane_magnitude(const struct float_format *f, int exponent, uint32_t random) {
    uint32_t fraction = random & ((1u << f->fraction_bits) - 1);
    int code = exponent + (int)(random >> f->fraction_bits & 1) + f->bias;
    if (code > 0)
        return (uint32_t)code << f->fraction_bits | fraction;
    return (1u << f->fraction_bits | fraction) >> (1 - code); /* subnormal */
}

static uint16_t sane_half(int exponent, uint16_t random) {
    return (random & 0x8000) | (uint16_t)sane_magnitude(&half_format, exponent, random);
}

/* IQ1_M: four bits of a binary16 number on top of each word, the lowest first. */
static uint16_t gather_iq1_m(const uint8_t *p) {
    return (uint16_t)(p[1] >> 4 | (p[3] & 0xf0) | (p[5] & 0xf0) << 4 | (p[7] & 0xf0) << 8);
}

static void scatter_iq1_m(uint8_t *p, uint16_t h) {
    for (int i = 0; i < 4; i++)
        p[2 * i + 1] = (uint8_t)((p[2 * i + 1] & 15) | (h >> 4 * i & 15) << 4);
}

void assay_sane_scale(const struct assay_scale_field *f, uint8_t *block) {
    uint8_t *p = block + f->offset;
    uint32_t word;
    switch (f->kind) {
    case ASSAY_SCALE_NONE:
        break;
    case ASSAY_SCALE_HALF:
        assay_store_le16(p, sane_half(f->exponent, assay_ref_u16(p)));
        break;
    case ASSAY_SCALE_BF16:
        word = sane_magnitude(&bf16_format, f->exponent, assay_ref_u16(p));
        assay_store_le16(p, (uint16_t)((p[1] & 0x80U) << 8 | word));
        break;
    case ASSAY_SCALE_FLOAT:
        word = assay_ref_u32(p);
        word = (word & 0x80000000) | sane_magnitude(&float_format, f->exponent, word);
        assay_store_le32(p, word);
        break;
    case ASSAY_SCALE_E8M0:
        *p = (uint8_t)(127 + f->exponent + (*p & 1));
        break;
    case ASSAY_SCALE_UE4M3:
        for (int i = 0; i < f->count; i++)
            p[i] = 1 + (p[i] & 15); /* all subnormals and the first normal numbers */
        break;
    case ASSAY_SCALE_IQ1_M:
        scatter_iq1_m(p, sane_half(f->exponent, gather_iq1_m(p)));
        break;
    }
}

static uint32_t extreme_magnitude(const struct float_format *f, enum assay_scale_class c) {
    uint32_t min_normal = 1u << f->fraction_bits, fraction_mask = min_normal - 1;
    bool wide = f->bias > half_format.bias;
    switch (c) {
    case ASSAY_SCALE_LARGEST:
    case ASSAY_SCALE_NEG_LARGEST:
        return (uint32_t)f->top_code << f->fraction_bits | fraction_mask;
    case ASSAY_SCALE_MIN_NORMAL:
        return min_normal;
    case ASSAY_SCALE_MAX_SUBNORMAL:
        return wide ? min_normal : fraction_mask;
    case ASSAY_SCALE_MIN_SUBNORMAL:
        return wide ? min_normal : 1;
    default:
        return 0;
    }
}

static uint8_t extreme_e8m0(enum assay_scale_class c) {
    bool large = c == ASSAY_SCALE_LARGEST || c == ASSAY_SCALE_NEG_LARGEST;
    return large ? 127 + 93 /* times the largest code, 6: below 2^96 */
                 : 3;       /* times the smallest code, ½: 2^-125, a normal number */
}

static uint8_t extreme_ue4m3(enum assay_scale_class c) {
    switch (c) {
    case ASSAY_SCALE_LARGEST:
    case ASSAY_SCALE_NEG_LARGEST:
        return 0x7e;
    case ASSAY_SCALE_MIN_NORMAL:
        return 8;
    case ASSAY_SCALE_MAX_SUBNORMAL:
        return 7;
    case ASSAY_SCALE_MIN_SUBNORMAL:
        return 1;
    default:
        return 0;
    }
}

void assay_extreme_scale(const struct assay_scale_field *f, enum assay_scale_class c,
                         uint8_t *block) {
    uint8_t *p = block + f->offset;
    bool negative =
        c == ASSAY_SCALE_NEG_LARGEST || c == ASSAY_SCALE_MIN_SUBNORMAL || c == ASSAY_SCALE_NEG_ZERO;
    uint16_t sign = negative ? 0x8000 : 0;
    switch (f->kind) {
    case ASSAY_SCALE_NONE:
        break;
    case ASSAY_SCALE_HALF:
        assay_store_le16(p, sign | (uint16_t)extreme_magnitude(&half_format, c));
        break;
    case ASSAY_SCALE_BF16:
        assay_store_le16(p, sign | (uint16_t)extreme_magnitude(&bf16_format, c));
        break;
    case ASSAY_SCALE_FLOAT:
        assay_store_le32(p, (uint32_t)sign << 16 | extreme_magnitude(&float_format, c));
        break;
    case ASSAY_SCALE_E8M0:
        *p = extreme_e8m0(c);
        break;
    case ASSAY_SCALE_UE4M3:
        memset(p, extreme_ue4m3(c), f->count);
        break;
    case ASSAY_SCALE_IQ1_M:
        scatter_iq1_m(p, sign | (uint16_t)extreme_magnitude(&half_format, c));
        break;
    }
}
