/* IEEE binary16 to fp32 and back, portable and in a form that compilers vectorise. */
#ifndef ASSAY_IMPL_HALF_H
#define ASSAY_IMPL_HALF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t assay_float_bits(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static inline float assay_float_from_bits(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* Exact. */
static inline float assay_f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t mag = h & 0x7fff;
    /* Move exponent and fraction into place and rebias by 127-15. An exponent of 31 (inf, NaN)
     * needs the same step again; subnormals are mag·2^-24, which fp32 holds as normal numbers. */
    uint32_t bits = (mag << 13) + (112u << 23);
    uint32_t special = bits + (112u << 23);
    uint32_t subnormal = assay_float_bits((float)(int32_t)mag * 0x1p-24f);
    bits = mag >= 0x7c00 ? special : bits;
    bits = mag < 0x0400 ? subnormal : bits;
    return assay_float_from_bits(bits | sign);
}

/* Rounds to nearest, ties to even; overflows to infinity at 65520; a NaN keeps its upper payload
 * bits and becomes quiet. */
static inline uint16_t assay_f32_to_f16(float f) {
    uint32_t bits = assay_float_bits(f);
    uint32_t sign = bits >> 16 & 0x8000;
    uint32_t mag = bits & 0x7fffffff;
    /* Below 2^-14 the result counts units of 2^-24, the ulp of [1/2, 1): adding 1/2 rounds. */
    uint32_t clamped = mag < 0x38800000 ? mag : 0;
    uint32_t small = assay_float_bits(assay_float_from_bits(clamped) + 0.5f) - 0x3f000000;
    uint32_t normal = (mag + 0xfff + (mag >> 13 & 1) - (112u << 23)) >> 13;
    uint32_t r = mag < 0x38800000 ? small : normal;
    r = mag >= 0x477ff000 ? 0x7c00 : r;
    r = mag > 0x7f800000 ? (0x7e00 | (mag >> 13 & 0x1ff)) : r;
    return (uint16_t)(r | sign);
}

/* Arrays, by F16C where this machine has it: the same results. */
void assay_f16_to_f32_n(const uint16_t *h, float *f, size_t n);
void assay_f32_to_f16_n(const float *f, uint16_t *h, size_t n);

/* Their parts in cpu/avx2/; only where ASSAY_ISA_AVX2 runs. */
void assay_f16_to_f32__avx2(const uint16_t *h, float *f, size_t n);
void assay_f32_to_f16__avx2(const float *f, uint16_t *h, size_t n);

#endif
