/* Where each type keeps its floating-point scales, for generators that fill blocks with raw bits.
 */
#ifndef ASSAY_DATASETS_SCALE_FIELDS_H
#define ASSAY_DATASETS_SCALE_FIELDS_H

#include <stdint.h>

#include "ref/types.h"

enum assay_scale_kind {
    ASSAY_SCALE_NONE,
    ASSAY_SCALE_HALF,  /* IEEE binary16 */
    ASSAY_SCALE_BF16,  /* bfloat16 */
    ASSAY_SCALE_FLOAT, /* IEEE binary32 */
    ASSAY_SCALE_E8M0,  /* power of two, 2^(e-127) */
    ASSAY_SCALE_UE4M3, /* unsigned, 4 exponent and 3 fraction bits; `count` of them in a row */
    ASSAY_SCALE_IQ1_M, /* binary16 spread over the top nibbles of four words */
};

/* `exponent` is the base-2 exponent that sane scales have: with random codes and scales in
 * [2^exponent, 2^(exponent + 2)) the weights' root mean square is about 0.02. */
struct assay_scale_field {
    enum assay_scale_kind kind;
    uint16_t offset; /* in the block */
    uint8_t count;
    int8_t exponent;
};

#define ASSAY_SCALE_FIELDS_MAX 2

/* The fields of a type: ASSAY_SCALE_FIELDS_MAX rows, unused ones of kind ASSAY_SCALE_NONE. `t` is a
 * type that assay decodes. */
const struct assay_scale_field *assay_scale_fields(const struct assay_type_traits *t);

/* Gives a field that holds random bits a sane exponent; sign and fraction stay random. */
void assay_sane_scale(const struct assay_scale_field *f, uint8_t *block);

enum assay_scale_class {
    ASSAY_SCALE_LARGEST,       /* the largest finite value, but see assay_extreme_scale */
    ASSAY_SCALE_NEG_LARGEST,   /* its negative, where the format has a sign */
    ASSAY_SCALE_MIN_NORMAL,    /* smallest normal number */
    ASSAY_SCALE_MAX_SUBNORMAL, /* largest subnormal */
    ASSAY_SCALE_MIN_SUBNORMAL, /* smallest subnormal, negative */
    ASSAY_SCALE_ZERO,
    ASSAY_SCALE_NEG_ZERO,
    ASSAY_SCALE_CLASS_COUNT,
};

/* Sets a field to an extreme value. Formats with the exponent range of fp32 stop at 2^96 instead of
 * the largest value and at the smallest normal number instead of subnormals: beyond, products with
 * ordinary activations leave the range of fp32, and no result could be judged. Formats without a
 * sign or without a zero take the nearest value that they have. */
void assay_extreme_scale(const struct assay_scale_field *f, enum assay_scale_class c,
                         uint8_t *block);

#endif
