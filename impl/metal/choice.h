/* Which kernel a product takes, by the number of rows of x. Not tuned on hardware: the order of
 * magnitude is what other Metal kernels for these formats use. */
#ifndef ASSAY_METAL_CHOICE_H
#define ASSAY_METAL_CHOICE_H

#include "impl/metal/kernels/args.h"

enum metal_path {
    METAL_BY_M,      /* as metal_choose says */
    METAL_GEMV,      /* fp32 throughout; up to GEMV8_BATCH rows a dispatch */
    METAL_GEMM,      /* binary16 tiles decoded from the blocks anew for each GEMM_M rows of x */
    METAL_TRANSIENT, /* the matrix decoded to binary16 once, in a buffer freed after the product */
};

/* From here on each chunk of weights would be decoded 16 times. */
enum { METAL_TRANSIENT_MIN = 16 * GEMM_M };

static inline enum metal_path metal_choose(enum metal_path forced, unsigned long m) {
    if (forced != METAL_BY_M)
        return forced;
    return m <= GEMV8_BATCH ? METAL_GEMV : m < METAL_TRANSIENT_MIN ? METAL_GEMM : METAL_TRANSIENT;
}

#endif
