#include "act_quant.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "half.h"

/* Largest magnitude of a block, or NaN if the block holds a NaN or an infinity. *at is the first
 * element of that magnitude. */
static float block_amax(const float *x, size_t n, float *at) {
    float amax = 0.0f;

    *at = 0.0f;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i]))
            return NAN;
        if (fabsf(x[i]) > amax) {
            amax = fabsf(x[i]);
            *at = x[i];
        }
    }
    return amax;
}

/* One quantised block: the values are d·q. */
struct block {
    float d;
    float unrounded_d; /* before it is rounded to binary16 */
    float multiplier;  /* q = round(x·multiplier); 0 for a block of zeros */
};

static struct block scale_q8(float amax, float at) {
    (void)at;
    if (amax < 0x1p-100f)
        return (struct block){0};
    return (struct block){amax / 127.0f, amax / 127.0f, 127.0f / amax};
}

static struct block scale_q8_f16(float amax, float at) {
    (void)at;
    float d = amax / 127.0f;
    float r = 127.0f / amax;
    if (!isfinite(r)) /* amax is 0 or so small that d is 0 in binary16 */
        return (struct block){0};
    return (struct block){assay_ref_from_fp16(assay_ref_to_fp16(d)), d, r};
}

static struct block scale_q8k(float amax, float at) {
    (void)amax;
    float c = -127.0f / at;
    if (!isfinite(c)) /* 1/c is zero */
        return (struct block){0};
    return (struct block){1.0f / c, 1.0f / c, c};
}

/* The 16 bits of fp32 that bfloat16 keeps, rounded to nearest even; x is finite and not negative.
 */
static float to_bf16(float x) {
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static struct block scale_q8_bf16(float amax, float at) {
    (void)at;
    float d = to_bf16(amax / 127.0f);
    float r = 1.0f / d;
    if (!isfinite(r)) /* d is 0, or subnormal and its reciprocal too large */
        return (struct block){0};
    return (struct block){d, d, r};
}

static struct block (*const scale_of[])(float amax, float at) = {
    [ASSAY_ACT_Q8] = scale_q8,
    [ASSAY_ACT_Q8_F16] = scale_q8_f16,
    [ASSAY_ACT_Q8K] = scale_q8k,
    [ASSAY_ACT_Q8_BF16] = scale_q8_bf16,
};

static struct block block_scale(const struct assay_arith *a, const float *x, size_t n) {
    float at;
    float amax = block_amax(x, n, &at);

    if (isnan(amax))
        return (struct block){NAN, NAN, 0.0f};
    return scale_of[a->act](amax, at);
}

/* rintf rounds to nearest even in the default rounding mode. The value is one product rounded to
 * fp32, which a cast to float keeps where the compiler evaluates in higher precision. */
static float code(const struct block *b, float x) {
    return b->multiplier == 0.0f ? 0.0f : rintf((float)(x * b->multiplier));
}

/* Exact but for the rounding to binary16: powers of two scale, and x·scale can only underflow where
 * binary16 has 0. */
static void emulate_f16(const float *x, size_t k, double *xq) {
    int exponent = -112;

    for (size_t i = 0; i < k; i++)
        if (isfinite(x[i]) && x[i] != 0.0f && ilogbf(x[i]) > exponent)
            exponent = ilogbf(x[i]);
    for (size_t i = 0; i < k; i++) {
        float scaled = x[i] * ldexpf(1.0f, 14 - exponent);
        xq[i] = ldexp((double)assay_ref_from_fp16(assay_ref_to_fp16(scaled)), exponent - 14);
    }
}

static size_t block_length(const struct assay_arith *a, size_t k, size_t start) {
    return k - start < a->act_block ? k - start : a->act_block;
}

void assay_act_emulate(const struct assay_arith *a, const float *x, size_t k, double *xq) {
    if (a->act == ASSAY_ACT_F32) {
        for (size_t i = 0; i < k; i++)
            xq[i] = x[i];
        return;
    }
    if (a->act == ASSAY_ACT_F16) {
        emulate_f16(x, k, xq);
        return;
    }
    for (size_t start = 0; start < k; start += a->act_block) {
        size_t n = block_length(a, k, start);
        struct block b = block_scale(a, x + start, n);
        for (size_t i = 0; i < n; i++)
            xq[start + i] = (double)b.d * (double)code(&b, x[start + i]);
    }
}

void assay_act_sum_excess(const struct assay_arith *a, const float *x, size_t k, double *excess) {
    if (a->act == ASSAY_ACT_F32 || a->act == ASSAY_ACT_F16)
        return;
    for (size_t start = 0; start < k; start += a->act_block, excess++) {
        size_t n = block_length(a, k, start);
        *excess = 0.0;
        if (a->act != ASSAY_ACT_Q8_F16)
            continue;
        struct block b = block_scale(a, x + start, n);
        float sum = 0.0f; /* exact: an integer below 2^24 */
        for (size_t i = 0; i < n; i++)
            sum += code(&b, x[start + i]);
        float s = assay_ref_from_fp16(assay_ref_to_fp16((float)(b.unrounded_d * sum)));
        *excess = (double)s - (double)b.d * (double)sum;
    }
}
