/* IEEE binary16 as stored in quantised blocks: encoding for the generators. */
#ifndef ASSAY_DATASETS_HALF_H
#define ASSAY_DATASETS_HALF_H

#include <stdint.h>

#define ASSAY_HALF_MAX 65504.0f

/* Nearest binary16 to x, ties to even. Finite values beyond the range saturate to ±65504, so that a
 * block scale is always finite; NaN becomes a quiet NaN, infinities stay. */
uint16_t assay_half_from_float(float x);

/* Exact. */
float assay_half_to_float(uint16_t h);

/* Nearest bfloat16 to x, ties to even; saturates like assay_half_from_float. */
uint16_t assay_bf16_from_float(float x);

#endif
