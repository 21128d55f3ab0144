/* Reference matrix product: y = x · Wᵀ in fp64 with compensated summation. */
#ifndef ASSAY_REF_GEMM_H
#define ASSAY_REF_GEMM_H

#include <stddef.h>

#include "arith.h"
#include "types.h"

/* One element of the reference product. Weights are w = a + b (see assay_dequant_fn), x̂ are the
 * activations as the arithmetic class rounds them. */
struct assay_ref_elem {
    double y;  /* Σ w_k·x_k with the fp32 weights of the reference decoder and the given x */
    double yq; /* Σ w_k·x̂_k with the weights, too, as the arithmetic class rounds them */
    double mag; /* Σ (|a_k|+|b_k|)·|x̂_k|, what rounding scales with; Σ |w_k|·|x̂_k| where the class
                   rounds w as a whole (ASSAY_WEIGHT_F16) */
    double sq; /* Σ ((|a_k|+|b_k|)·x̂_k)², likewise: what rounding scales with where signs are random
                  (ref/rounding_model.h) */
    double xabs; /* Σ |x̂_k|: tells whether intermediate results can overflow */
    double coarse; /* Σ over groups of ASSAY_WEIGHT_GROUP of max |w_k| · Σ |x̂_k|: what rounding of
                      SHIFTED and Q8 weights scales with; 0 in the other classes */
};

/* Computes out[m*n] (row-major, m×n) for W of n rows by k columns at `w` (row stride in bytes
 * row_stride) and x of m rows (k floats each, contiguous). k is a multiple of t->block_len.
 *
 * The error of y and yq is below 2 ulp of fp64 plus k²·2^-104 of the magnitude sum (Dot2: Ogita,
 * Rump, Oishi, "Accurate Sum and Dot Product", SIAM J. Sci. Comput. 26(6), 2005). mag, sq and
 * xabs, sums of positive terms, are plain sums in fp64: relative error below (k+3)·2^-53.
 * Non-finite inputs give the IEEE result of plain summation.
 *
 * In class ASSAY_ACT_Q8_F16 the additive term of a type whose block is one activation block (Q4_1,
 * Q5_1) multiplies the block sum s of ref/act_quant.h, in yq and in mag.
 * Returns 0, or -1 if memory ran out. */
int assay_ref_gemm(const struct assay_type_traits *t, const uint8_t *w, size_t row_stride, size_t n,
                   size_t k, const float *x, size_t m, const struct assay_arith *arith,
                   struct assay_ref_elem *out);

#endif
