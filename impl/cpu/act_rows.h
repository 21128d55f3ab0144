/* Rows of activations by the quantiser of one block that an ISA folder has. */
#ifndef ASSAY_IMPL_CPU_ACT_ROWS_H
#define ASSAY_IMPL_CPU_ACT_ROWS_H

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kernel.h"

/* The largest |x_i| of a block of n = 32 or 256, as a bit pattern: for finite numbers and
 * infinities these order as the magnitudes do, and every NaN is above infinity, so nothing is lost
 * on the way. */
typedef uint32_t (*assay_act_max_fn)(const float *x, size_t n);

/* q_i = x_i·r rounded to the nearest, and the sums of every 16. */
typedef void (*assay_act_round_fn)(const float *x, size_t n, float r, int8_t *q, int16_t *sums);

/* The scale of a block of n floats by the rule of ref/act_quant.h, bit for bit. */
static inline __attribute__((always_inline)) float
assay_act_quantise_block(assay_act_max_fn max_bits, assay_act_round_fn round_block, const float *x,
                         size_t n, int8_t *q, int16_t *sums) {
    uint32_t bits = max_bits(x, n);
    float amax;
    memcpy(&amax, &bits, sizeof amax);
    bool finite = bits < 0x7f800000;
    if (!finite || amax < 0x1p-100f) {
        memset(q, 0, n);
        memset(sums, 0, n / 16 * sizeof *sums);
        return finite ? 0.0f : NAN;
    }
    round_block(x, n, 127.0f / amax, q, sums);
    return amax / 127.0f;
}

static inline __attribute__((always_inline)) void
assay_act_quantise_row(assay_act_max_fn max_bits, assay_act_round_fn round_block, const float *x,
                       size_t k, size_t block, int8_t *q, float *d, int16_t *sums) {
    size_t i = 0;
    for (; i + block <= k; i += block)
        d[i / block] =
            assay_act_quantise_block(max_bits, round_block, x + i, block, q + i, sums + i / 16);
    if (i < k) { /* a shorter last block: the arrays are padded, x is not */
        float last[256] = {0};
        memcpy(last, x + i, (k - i) * sizeof *x);
        d[i / block] =
            assay_act_quantise_block(max_bits, round_block, last, block, q + i, sums + i / 16);
        i += block;
    }
    size_t padded = (k + 255) / 256 * 256;
    memset(q + i, 0, padded - i);
    memset(sums + i / 16, 0, (padded - i) / 16 * sizeof *sums);
}

/* An assay_act_quantise_fn, less the two steps of the ISA. */
static inline __attribute__((always_inline)) void
assay_act_quantise_rows(assay_act_max_fn max_bits, assay_act_round_fn round_block,
                        struct assay_act *a, size_t m0, size_t m1) {
    for (size_t m = m0; m < m1; m++) {
        const float *x = a->x + m * a->k;
        int8_t *q = a->q + m * a->q_stride;
        float *d = a->d + m * a->d_stride;
        int16_t *sums = a->sums + m * a->sums_stride;
        if (a->format == ASSAY_ACTF_Q8_32)
            assay_act_quantise_row(max_bits, round_block, x, a->k, 32, q, d, sums);
        else if (a->format == ASSAY_ACTF_Q8_256)
            assay_act_quantise_row(max_bits, round_block, x, a->k, 256, q, d, sums);
    }
}

#endif
