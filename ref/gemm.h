/* Reference matrix product: y = x · Wᵀ in fp64 with compensated summation. */
#ifndef ASSAY_REF_GEMM_H
#define ASSAY_REF_GEMM_H

#include <stddef.h>

#include "arith.h"
#include "types.h"

/* One element of the reference product. */
struct assay_ref_elem {
    double y;  /* Σ w_k·x_k with the fp32 weights of the reference decoder and the given x */
    double yq; /* Σ w_k·x̂_k with weights and activations as the arithmetic class rounds them */
    double mag; /* Σ (|a_k|+|b_k|)·|x̂_k|, w = a + b (assay_dequant_fn): what rounding scales with */
};

/* Computes out[m*n] (row-major, m×n) for W of n rows by k columns at `w` (row stride in bytes
 * row_stride) and x of m rows (k floats each, contiguous). k is a multiple of t->block_len.
 * The error of y, yq and mag is below 2 ulp of fp64 plus k²·2^-104 of the magnitude sum (Dot2:
 * Ogita, Rump, Oishi, "Accurate Sum and Dot Product", SIAM J. Sci. Comput. 26(6), 2005); products
 * of two fp32 numbers are exact in fp64. Non-finite inputs give the IEEE result of plain summation.
 * Returns 0, or -1 if memory ran out. */
int assay_ref_gemm(const struct assay_type_traits *t, const uint8_t *w, size_t row_stride, size_t n,
                   size_t k, const float *x, size_t m, const struct assay_arith *arith,
                   struct assay_ref_elem *out);

#endif
