#include "half.h"

#include <string.h>

static uint32_t float_bits(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static float bits_float(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

uint16_t assay_half_from_float(float x) {
    uint32_t u = float_bits(x);
    uint16_t sign = (uint16_t)(u >> 16 & 0x8000);
    u &= 0x7fffffff;
    if (u > 0x7f800000)
        return sign | 0x7e00;
    if (u == 0x7f800000)
        return sign | 0x7c00;
    if (u >= 0x477ff000) /* 65520 and above would round to infinity */
        return sign | 0x7bff;
    if (u < 0x38800000) { /* below 2^-14: the result is a multiple of 2^-24 */
        /* Adding 0.5 leaves exactly the multiples of 2^-24 below the binary point's last place. */
        float shifted = bits_float(u) + 0.5f;
        return sign | (uint16_t)(float_bits(shifted) - 0x3f000000);
    }
    uint32_t odd = u >> 13 & 1;
    u -= 112u << 23; /* exponent bias 127 to 15 */
    u += 0xfff + odd;
    return sign | (uint16_t)(u >> 13);
}

float assay_half_to_float(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t exponent = h >> 10 & 0x1f;
    uint32_t fraction = h & 0x3ff;
    if (exponent == 0) {
        float magnitude = (float)fraction * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    if (exponent == 31)
        return bits_float(sign | 0x7f800000 | fraction << 13);
    return bits_float(sign | (exponent + 112) << 23 | fraction << 13);
}

uint16_t assay_bf16_from_float(float x) {
    uint32_t u = float_bits(x);
    if ((u & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(u >> 16 | 0x40);
    if ((u & 0x7fffffff) == 0x7f800000)
        return (uint16_t)(u >> 16);
    if ((u & 0x7fffffff) >= 0x7f7f8000)
        return (uint16_t)((u >> 16 & 0x8000) | 0x7f7f);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}
