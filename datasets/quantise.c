/* Plain rounding quantisers: dispatch, scalars, 32-weight blocks, ternary and 4-bit floats. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "generate.h"
#include "quantise_internal.h"

static void f32(const float *w, uint8_t *block) {
    assay_store_le32(block, assay_ref_float_bits(*w));
}

static void f16(const float *w, uint8_t *block) { assay_store_half(block, *w); }

/* Rounds to nearest even; beyond the range it saturates. */
static void bf16(const float *w, uint8_t *block) {
    const float bf16_max = 0x1.fep127f;
    uint32_t bits = assay_ref_float_bits(fminf(fmaxf(*w, -bf16_max), bf16_max));
    assay_store_le16(block, (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16));
}

/* Sign bits; for a fixed sign the mean magnitude is the least-squares scale. */
static void q1_0(const float *w, uint8_t *block) {
    float sum = 0;
    memset(block, 0, 18);
    for (int i = 0; i < 128; i++) {
        sum += fabsf(w[i]);
        block[2 + i / 8] |= (uint8_t)((w[i] >= 0) << i % 8);
    }
    assay_store_half(block, sum / 128);
}

/* Codes 0..3 mean -1, 0, 1, 2: the largest weight becomes 2, so the scale takes its sign. */
static void q2_0(const float *w, uint8_t *block) {
    memset(block, 0, 18);
    float d = assay_store_half(block, assay_signed_max(w, 64) / 2);
    for (int i = 0; i < 64; i++)
        block[2 + i / 4] |= (uint8_t)((assay_nearest_code(w[i], d, -1, 2) + 1) << 2 * (i % 4));
}

/* Q4_0 and Q5_0: the largest weight becomes the most negative code, which has no positive twin. */
static void symmetric32(const float *w, uint8_t *block, int bits) {
    int half = 1 << (bits - 1);
    uint8_t *high = block + 2, *low = bits == 5 ? block + 6 : block + 2;
    memset(block, 0, bits == 5 ? 22 : 18);
    float d = assay_store_half(block, assay_signed_max(w, 32) / (float)-half);
    for (int i = 0; i < 32; i++) {
        int q = assay_nearest_code(w[i], d, -half, half - 1) + half;
        low[i % 16] |= (uint8_t)((q & 15) << 4 * (i / 16));
        if (bits == 5)
            high[i / 8] |= (uint8_t)((q >> 4) << i % 8);
    }
}

static void q4_0(const float *w, uint8_t *block) { symmetric32(w, block, 4); }
static void q5_0(const float *w, uint8_t *block) { symmetric32(w, block, 5); }

/* Q4_1 and Q5_1: code 0 is the minimum, the last code the maximum. */
static void affine32(const float *w, uint8_t *block, int bits) {
    int top = (1 << bits) - 1;
    uint8_t *high = block + 4, *low = bits == 5 ? block + 8 : block + 4;
    float lo = w[0], hi = w[0];
    memset(block, 0, bits == 5 ? 24 : 20);
    for (int i = 1; i < 32; i++) {
        lo = fminf(lo, w[i]);
        hi = fmaxf(hi, w[i]);
    }
    float d = assay_store_half(block, (hi - lo) / (float)top);
    float m = assay_store_half(block + 2, lo);
    for (int i = 0; i < 32; i++) {
        int q = assay_nearest_code(w[i] - m, d, 0, top);
        low[i % 16] |= (uint8_t)((q & 15) << 4 * (i / 16));
        if (bits == 5)
            high[i / 8] |= (uint8_t)((q >> 4) << i % 8);
    }
}

static void q4_1(const float *w, uint8_t *block) { affine32(w, block, 4); }
static void q5_1(const float *w, uint8_t *block) { affine32(w, block, 5); }

static void q8_0(const float *w, uint8_t *block) {
    float d = assay_store_half(block, fabsf(assay_signed_max(w, 32)) / 127);
    for (int i = 0; i < 32; i++)
        block[2 + i] = (uint8_t)assay_nearest_code(w[i], d, -127, 127);
}

/* Ternary digits 0, 1, 2 for -1, 0, 1. Threshold and scale: Li, Zhang, Liu, "Ternary Weight
 * Networks", 2016: weights above 0.7 of the mean magnitude count, their mean is the scale. Weights
 * that are ternary already come back exactly. */
static void ternary(const float *w, uint8_t *half_out, uint8_t digits[256]) {
    float sum = 0, kept_sum = 0;
    int kept = 0;
    for (int i = 0; i < 256; i++)
        sum += fabsf(w[i]);
    float threshold = 0.7f * sum / 256;
    for (int i = 0; i < 256; i++) {
        bool keep = fabsf(w[i]) > threshold;
        digits[i] = !keep ? 1 : w[i] > 0 ? 2 : 0;
        kept += keep;
        kept_sum += keep ? fabsf(w[i]) : 0;
    }
    assay_store_half(half_out, kept > 0 ? kept_sum / (float)kept : 0);
}

/* Five base-3 digits in a byte, the first most significant, as the fraction value / 243 of 256
 * rounded up: multiplying by 3 then shifts out one digit after the other. */
static uint8_t pack_base3(const uint8_t *digits, int stride, int count) {
    int value = 0;
    for (int n = 0; n < 5; n++)
        value = value * 3 + (n < count ? digits[n * stride] : 0);
    return (uint8_t)((value * 256 + 242) / 243);
}

static void tq1_0(const float *w, uint8_t *block) {
    uint8_t digits[256];
    ternary(w, block + 52, digits);
    for (int m = 0; m < 32; m++)
        block[m] = pack_base3(digits + m, 32, 5);
    for (int m = 0; m < 16; m++)
        block[32 + m] = pack_base3(digits + 160 + m, 16, 5);
    for (int m = 0; m < 4; m++)
        block[48 + m] = pack_base3(digits + 240 + m, 4, 4);
}

static void tq2_0(const float *w, uint8_t *block) {
    uint8_t digits[256];
    memset(block, 0, 64);
    ternary(w, block + 64, digits);
    for (int i = 0; i < 256; i++)
        block[i / 128 * 32 + i % 32] |= (uint8_t)(digits[i] << 2 * (i % 128 / 32));
}

/* E2M1: the nearest of 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives to x / scale. */
static uint8_t e2m1(float x, float scale) {
    static const float midpoint[7] = {0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f};
    if (scale == 0)
        return 0;
    float v = fabsf(x / scale);
    uint8_t code = 0;
    while (code < 7 && v > midpoint[code])
        code++;
    return code | (x < 0 ? 8 : 0);
}

/* OCP Microscaling Formats 1.0: the shared exponent is that of the largest weight less E2M1's 2. */
static void mxfp4(const float *w, uint8_t *block) {
    int e;
    float amax = fabsf(assay_signed_max(w, 32));
    frexpf(amax, &e); /* amax = f·2^e, f in [½, 1) */
    int code = amax > 0 ? e - 1 - 2 + 127 : 0;
    code = code < 0 ? 0 : code > 252 ? 252 : code; /* 6·2^(252-127) is still finite in fp32 */
    float scale = ldexpf(1, code - 127);
    block[0] = (uint8_t)code;
    for (int j = 0; j < 16; j++)
        block[1 + j] = (uint8_t)(e2m1(w[j], scale) | e2m1(w[j + 16], scale) << 4);
}

/* Unsigned E4M3, bias 7, nearest; 0x7e = 448 is the largest. *value receives what it means. */
static uint8_t ue4m3(float x, float *value) {
    int e, code;
    float f = frexpf(x, &e); /* x = f·2^e, f in [½, 1) */
    if (e - 1 < -6)
        code = (int)lrintf(ldexpf(x, 9)); /* subnormal; 8 is the smallest normal number's code */
    else
        code = e - 1 > 8 ? 0x7e : (e - 1 + 7) * 8 + (int)lrintf((2 * f - 1) * 8);
    if (code > 0x7e)
        code = 0x7e;
    *value =
        code < 8 ? ldexpf((float)code, -9) : ldexpf(1 + (float)(code & 7) / 8, (code >> 3) - 7);
    return (uint8_t)code;
}

static void nvfp4(const float *w, uint8_t *block) {
    for (int s = 0; s < 4; s++, w += 16) {
        float scale;
        block[s] = ue4m3(fabsf(assay_signed_max(w, 16)) / 6, &scale);
        for (int j = 0; j < 8; j++)
            block[4 + 8 * s + j] = (uint8_t)(e2m1(w[j], scale) | e2m1(w[j + 8], scale) << 4);
    }
}

static const assay_quantise_fn quantisers[] = {
    [ASSAY_TYPE_F32] = f32,
    [ASSAY_TYPE_F16] = f16,
    [ASSAY_TYPE_BF16] = bf16,
    [ASSAY_TYPE_Q1_0] = q1_0,
    [ASSAY_TYPE_Q2_0] = q2_0,
    [ASSAY_TYPE_Q4_0] = q4_0,
    [ASSAY_TYPE_Q4_1] = q4_1,
    [ASSAY_TYPE_Q5_0] = q5_0,
    [ASSAY_TYPE_Q5_1] = q5_1,
    [ASSAY_TYPE_Q8_0] = q8_0,
    [ASSAY_TYPE_Q2_K] = assay_quantise_q2_k,
    [ASSAY_TYPE_Q3_K] = assay_quantise_q3_k,
    [ASSAY_TYPE_Q4_K] = assay_quantise_q4_k,
    [ASSAY_TYPE_Q5_K] = assay_quantise_q5_k,
    [ASSAY_TYPE_Q6_K] = assay_quantise_q6_k,
    [ASSAY_TYPE_Q8_K] = assay_quantise_q8_k,
    [ASSAY_TYPE_IQ1_S] = assay_quantise_iq1_s,
    [ASSAY_TYPE_IQ1_M] = assay_quantise_iq1_m,
    [ASSAY_TYPE_IQ2_XXS] = assay_quantise_iq2_xxs,
    [ASSAY_TYPE_IQ2_XS] = assay_quantise_iq2_xs,
    [ASSAY_TYPE_IQ2_S] = assay_quantise_iq2_s,
    [ASSAY_TYPE_IQ3_XXS] = assay_quantise_iq3_xxs,
    [ASSAY_TYPE_IQ3_S] = assay_quantise_iq3_s,
    [ASSAY_TYPE_IQ4_NL] = assay_quantise_iq4_nl,
    [ASSAY_TYPE_IQ4_XS] = assay_quantise_iq4_xs,
    [ASSAY_TYPE_TQ1_0] = tq1_0,
    [ASSAY_TYPE_TQ2_0] = tq2_0,
    [ASSAY_TYPE_MXFP4] = mxfp4,
    [ASSAY_TYPE_NVFP4] = nvfp4,
};

void assay_quantise_row(const struct assay_type_traits *t, const float *w, size_t k, uint8_t *out) {
    assert(t->dequant != NULL && (size_t)t->type < sizeof quantisers / sizeof *quantisers);
    assay_quantise_fn fn = quantisers[t->type];
    for (size_t i = 0; i < k; i += t->block_len, out += t->block_bytes)
        fn(w + i, out);
}
