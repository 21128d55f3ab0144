/* Arithmetic classes: what a kernel declares about its rounding; its bound follows from that. */
#ifndef ASSAY_REF_ARITH_H
#define ASSAY_REF_ARITH_H

#include <stdint.h>

/* How the weights enter the products. */
enum assay_weight_arith {
    ASSAY_WEIGHT_F32,     /* decoded in fp32 (or integer codes with fp32 scales) */
    ASSAY_WEIGHT_F16,     /* decoded, then rounded to IEEE binary16 (overflow to inf included) */
    ASSAY_WEIGHT_SHIFTED, /* as F32, but codes become unsigned bytes by adding up to 128, which is
                             taken off again by a sum of activations */
    ASSAY_WEIGHT_Q8,      /* shifted, and rounded once more: to int8 codes under a scale, rounded to
                             binary16, for ASSAY_WEIGHT_GROUP weights or for fewer */
};

/* How the activations enter the products (ref/act_quant.h has the rules). */
enum assay_act_arith {
    ASSAY_ACT_F32,     /* as given */
    ASSAY_ACT_Q8,      /* int8 blocks of act_block elements under an fp32 scale */
    ASSAY_ACT_Q8_F16,  /* ggml's Q8_0/Q8_1: the block scale rounded to IEEE binary16 */
    ASSAY_ACT_Q8K,     /* ggml's Q8_K: scale from the signed element of largest magnitude */
    ASSAY_ACT_F16,     /* IEEE binary16 under a power of two for each row */
    ASSAY_ACT_Q8_BF16, /* ik_llama.cpp's Q8_2: the block scale rounded to bfloat16 */
};

/* Weights whose largest stands for the range of their codes in the bounds of SHIFTED and Q8. */
#define ASSAY_WEIGHT_GROUP 256

/* The accumulation is fp32, in any order. `exact_run` consecutive products are summed exactly
 * (integer dot products); 1 if every product is rounded. */
struct assay_arith {
    enum assay_weight_arith weight;
    enum assay_act_arith act;
    uint32_t act_block; /* elements per activation block; 0 with ASSAY_ACT_F32 and _F16 */
    uint32_t exact_run; /* elements per exact integer sum, >= 1 */
};

#endif
