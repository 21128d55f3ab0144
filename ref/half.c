#include "half.h"

#include <string.h>

float assay_ref_float_from_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

uint32_t assay_ref_float_bits(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

float assay_ref_from_fp16(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t exponent = (h >> 10) & 0x1f;
    uint32_t fraction = h & 0x3ff;

    if (exponent == 31) /* infinity or NaN */
        return assay_ref_float_from_bits(sign | 0x7f800000 | fraction << 13);
    if (exponent > 0)
        return assay_ref_float_from_bits(sign | (exponent + 127 - 15) << 23 | fraction << 13);
    if (fraction == 0)
        return assay_ref_float_from_bits(sign);

    /* Subnormal, fraction·2^-24: normal in fp32, so shift until the implicit bit appears. */
    uint32_t e = 127 - 14;
    while (!(fraction & 0x400)) {
        fraction <<= 1;
        e--;
    }
    return assay_ref_float_from_bits(sign | e << 23 | (fraction & 0x3ff) << 13);
}

/* v / 2^shift, rounded to nearest, ties to even. 1 <= shift <= 31. */
static uint32_t shift_round_even(uint32_t v, uint32_t shift) {
    uint32_t half = UINT32_C(1) << (shift - 1);
    uint32_t rest = v & (2 * half - 1);
    uint32_t q = v >> shift;
    return q + (rest > half || (rest == half && (q & 1)));
}

uint16_t assay_ref_to_fp16(float f) {
    uint32_t bits = assay_ref_float_bits(f);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    uint32_t magnitude = bits & 0x7fffffff;
    uint32_t exponent = magnitude >> 23;

    if (magnitude > 0x7f800000)
        return sign | 0x7e00;
    if (magnitude >= 0x477ff000) /* 65520: halfway between the largest finite and 2^16 */
        return sign | 0x7c00;
    /* A carry out of the fraction increments the exponent, as it should. */
    if (exponent >= 127 - 14)
        return (uint16_t)(sign | (shift_round_even(magnitude, 13) - ((uint32_t)(127 - 15) << 10)));
    if (exponent < 127 - 25) /* below half of the smallest subnormal */
        return sign;
    uint32_t significand = (magnitude & 0x7fffff) | 0x800000;
    return (uint16_t)(sign | shift_round_even(significand, 126 - exponent)); /* in units of 2^-24 */
}

float assay_ref_from_bf16(uint16_t h) { return assay_ref_float_from_bits((uint32_t)h << 16); }

float assay_ref_from_e8m0_half(uint8_t e) {
    if (e < 2) /* 2^-128 and 2^-127 are subnormal in fp32 */
        return assay_ref_float_from_bits(UINT32_C(0x00200000) << e);
    return assay_ref_float_from_bits((uint32_t)(e - 1) << 23);
}

float assay_ref_from_ue4m3_half(uint8_t e) {
    uint32_t exponent = (e >> 3) & 15;
    uint32_t fraction = e & 7;

    if (e == 0x7f)
        return 0.0f;
    if (exponent == 0) /* fraction·2^-9, halved */
        return (float)fraction * 0x1p-10f;
    return assay_ref_float_from_bits((exponent - 7 - 1 + 127) << 23 | fraction << 20);
}
