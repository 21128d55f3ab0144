/* Reference decoders: one block of GGUF bytes to fp32. Each reads its fields by byte offset and
 * computes what the format defines, so that the sources read as the formats' documentation.
 *
 * The results are bit-identical to ggml's dequantize_row_* for every bit pattern (NaN payloads
 * aside). Multi-byte fields are little-endian; blocks need no alignment. */
#ifndef ASSAY_REF_DEQUANT_H
#define ASSAY_REF_DEQUANT_H

#include <stdint.h>

#include "half.h"

/* Little-endian fields at a byte address. */
static inline uint16_t assay_ref_u16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }

static inline uint32_t assay_ref_u32(const uint8_t *p) {
    return assay_ref_u16(p) | (uint32_t)assay_ref_u16(p + 2) << 16;
}

static inline float assay_ref_f16(const uint8_t *p) {
    return assay_ref_from_fp16(assay_ref_u16(p));
}

/* The E2M1 numbers of MXFP4 and NVFP4, doubled so that they are integers; the top bit is the sign.
 */
extern const int8_t assay_ref_e2m1_doubled[16];

/* The 16 levels of IQ4_NL and IQ4_XS. */
extern const int8_t assay_ref_iq4_levels[16];

/* dequant_float.c */
void assay_dequant_f32(const uint8_t *block, float *out);
void assay_dequant_f16(const uint8_t *block, float *out);
void assay_dequant_bf16(const uint8_t *block, float *out);

/* dequant_legacy.c */
void assay_dequant_q1_0(const uint8_t *block, float *out);
void assay_dequant_q2_0(const uint8_t *block, float *out);
void assay_dequant_q4_0(const uint8_t *block, float *out);
void assay_dequant_q4_1(const uint8_t *block, float *out);
void assay_dequant_q5_0(const uint8_t *block, float *out);
void assay_dequant_q5_1(const uint8_t *block, float *out);
void assay_dequant_q8_0(const uint8_t *block, float *out);
void assay_min_terms_q4_1(const uint8_t *block, float *out);
void assay_min_terms_q5_1(const uint8_t *block, float *out);

/* dequant_kquants.c */
void assay_dequant_q2_k(const uint8_t *block, float *out);
void assay_dequant_q3_k(const uint8_t *block, float *out);
void assay_dequant_q4_k(const uint8_t *block, float *out);
void assay_dequant_q5_k(const uint8_t *block, float *out);
void assay_dequant_q6_k(const uint8_t *block, float *out);
void assay_dequant_q8_k(const uint8_t *block, float *out);
void assay_min_terms_q2_k(const uint8_t *block, float *out);
void assay_min_terms_q4_k(const uint8_t *block, float *out);
void assay_min_terms_q5_k(const uint8_t *block, float *out);

/* dequant_iquants.c */
void assay_dequant_iq1_s(const uint8_t *block, float *out);
void assay_dequant_iq1_m(const uint8_t *block, float *out);
void assay_dequant_iq2_xxs(const uint8_t *block, float *out);
void assay_dequant_iq2_xs(const uint8_t *block, float *out);
void assay_dequant_iq2_s(const uint8_t *block, float *out);
void assay_dequant_iq3_xxs(const uint8_t *block, float *out);
void assay_dequant_iq3_s(const uint8_t *block, float *out);
void assay_dequant_iq4_nl(const uint8_t *block, float *out);
void assay_dequant_iq4_xs(const uint8_t *block, float *out);
void assay_min_terms_iq1_s(const uint8_t *block, float *out);
void assay_min_terms_iq1_m(const uint8_t *block, float *out);

/* dequant_ternary.c */
void assay_dequant_tq1_0(const uint8_t *block, float *out);
void assay_dequant_tq2_0(const uint8_t *block, float *out);

/* dequant_microscaling.c */
void assay_dequant_mxfp4(const uint8_t *block, float *out);
void assay_dequant_nvfp4(const uint8_t *block, float *out);

#endif
