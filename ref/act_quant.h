/* Exact emulation of int8 activation quantisation, so that a kernel of an integer class is not
 * charged for the rounding that its class makes mandatory. */
#ifndef ASSAY_REF_ACT_QUANT_H
#define ASSAY_REF_ACT_QUANT_H

#include <stddef.h>

#include "arith.h"

/* Writes to xq[k] the values that an arithmetic class multiplies with instead of x[k]: x itself for
 * ASSAY_ACT_F32, d·q for the integer classes. xq is double because d·q is exact there (24-bit d,
 * 8-bit q). The elements fall into blocks of a->act_block, the last one perhaps shorter; in class
 * ASSAY_ACT_F16 the whole row is one block.
 *
 * The rules, for one block; every operation is one IEEE fp32 operation rounded to nearest even, and
 * round() rounds to the nearest integer, ties to even. amax = max |x_i|. In every integer
 * class a block that holds an infinity or a NaN becomes NaN throughout (d = NaN, all q = 0).
 *
 * ASSAY_ACT_Q8, assay's own rule:
 *   amax < 2^-100: d = 0, all q = 0          (127/amax stays far from overflow)
 *   d = amax / 127;  r = 127 / amax;  q_i = round(x_i·r)     (|q_i| <= 127)
 *
 * ASSAY_ACT_Q8_F16, ggml's quantize_row_q8_0 and quantize_row_q8_1 on x86-64 with AVX and up, which
 * differ from its portable versions (r = 1/d, ties away from zero):
 *   d = fp16(amax / 127), possibly infinite or 0;  r = 127 / amax;  q_i = round(x_i·r)
 *   Beside it Q8_1 holds s = fp16((amax / 127)·Σq), see assay_act_sum_excess.
 *
 * ASSAY_ACT_Q8_BF16, ik_llama.cpp's quantize_row_q8_2_x4 on x86-64, whose codes follow the rounded
 * scale:
 *   d = bf16(amax / 127);  r = 1 / d;  q_i = round(x_i·r)    (|q_i| <= 127; d = 0: all q = 0)
 *
 * ASSAY_ACT_Q8K, ggml's quantize_row_q8_K: x_m the first element with |x_m| = amax,
 *   amax = 0: d = 0, all q = 0
 *   c = -127 / x_m;  q_i = round(c·x_i);  d = 1 / c          (c infinite: d = 0, all q = 0)
 *
 * ASSAY_ACT_F16, for kernels that multiply binary16 numbers: 2^e the power of two of the largest
 * finite element, raised to 2^-112 if it is below. The scale brings the row to the upper end of the
 * range of binary16, so that nothing overflows and only elements below 2^(e-28) lose precision:
 *   h_i = fp16(x_i·2^(14-e));  x̂_i = h_i·2^(e-14)           (infinities and NaNs stay as they are)
 *
 * ggml itself lets a NaN pass unnoticed in some positions; no class here asks a kernel to. */
void assay_act_emulate(const struct assay_arith *a, const float *x, size_t k, double *xq);

/* Writes to excess[] (one per block) what a class adds to the sum of a block where it multiplies
 * the block's sum with a constant (the additive term of Q4_1 and Q5_1): s - Σ d·q for
 * ASSAY_ACT_Q8_F16, whose s is rounded on its own; 0 for the other classes. */
void assay_act_sum_excess(const struct assay_arith *a, const float *x, size_t k, double *excess);

#endif
