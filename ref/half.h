/* Small floating-point formats of GGUF blocks, converted with integer arithmetic. */
#ifndef ASSAY_REF_HALF_H
#define ASSAY_REF_HALF_H

#include <stdint.h>

/* The fp32 number with these bits, and the bits of an fp32 number. */
float assay_ref_float_from_bits(uint32_t bits);
uint32_t assay_ref_float_bits(float f);

/* IEEE binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits. Exact for every pattern. */
float assay_ref_from_fp16(uint16_t h);

/* Rounded to nearest even, subnormals included; 65520 and above becomes infinite. NaN stays NaN. */
uint16_t assay_ref_to_fp16(float f);

/* bfloat16: the upper half of an fp32 number. */
float assay_ref_from_bf16(uint16_t h);

/* Half of an E8M0 scale: 2^(e-128) (OCP Microscaling Formats v1.0, 5.4.1). The half goes with E2M1
 * codes stored as twice their value. 0xff, a NaN in OCP's definition, is 2^127 here as in ggml. */
float assay_ref_from_e8m0_half(uint8_t e);

/* Half of a UE4M3 scale: unsigned, 4 exponent bits (bias 7), 3 fraction bits. The top bit is
 * ignored. As in ggml the one NaN of E4M3 (0x7f) is 0, but 0xff is the number 480 (halved). */
float assay_ref_from_ue4m3_half(uint8_t e);

#endif
