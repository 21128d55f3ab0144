/* F32, F16, BF16: plain floating-point numbers, "blocks" of one weight. */
#include "dequant.h"

/* F32, 4 bytes: IEEE binary32. */
void assay_dequant_f32(const uint8_t *block, float *out) {
    *out = assay_ref_float_from_bits(assay_ref_u32(block));
}

/* F16, 2 bytes: IEEE binary16. */
void assay_dequant_f16(const uint8_t *block, float *out) { *out = assay_ref_f16(block); }

/* BF16, 2 bytes: the upper half of an IEEE binary32 number. */
void assay_dequant_bf16(const uint8_t *block, float *out) {
    *out = assay_ref_from_bf16(assay_ref_u16(block));
}
