/* Exact emulation of int8 activation quantisation, so that a kernel of an integer class is not
 * charged for the rounding that its class makes mandatory. */
#ifndef ASSAY_REF_ACT_QUANT_H
#define ASSAY_REF_ACT_QUANT_H

#include <stddef.h>

#include "arith.h"

/* Writes to xq[k] the values that an arithmetic class multiplies with instead of x[k]: x itself for
 * ASSAY_ACT_F32, d·q for the integer classes. xq is double because d·q is exact there (24-bit d,
 * 8-bit q). k is a multiple of a->act_block, or the last block is shorter.
 *
 * Rule of ASSAY_ACT_Q8, one block, every operation one IEEE fp32 operation rounded to nearest even:
 *   amax = max |x_i|;  non-finite amax or any NaN: d = NaN, all q = 0
 *   amax < 2^-100: d = 0, all q = 0          (127/amax stays far from overflow)
 *   d = amax / 127;  r = 127 / amax;  q_i = round_half_even(x_i * r)     (|q_i| <= 127)
 * ASSAY_ACT_Q8_F16: q_i as ggml's quantize_row_q8_0 computes it (d = amax/127, r = 1/d), then d is
 * rounded to binary16 for the product. ASSAY_ACT_Q8K: ggml's quantize_row_q8_K. */
void assay_act_emulate(const struct assay_arith *a, const float *x, size_t k, double *xq);

#endif
