/* What this machine can do at best: bandwidth of reading a working set, and arithmetic peaks, per
 * ISA and thread count. Measured, not computed from a data sheet: clock rates, vector widths and
 * the share of a memory channel are unknown in a virtual machine. Runs OpenMP threads. */
#ifndef ASSAY_HARNESS_ROOFLINE_H
#define ASSAY_HARNESS_ROOFLINE_H

#include <stddef.h>
#include <stdint.h>

#include "impl/gemm_quant.h"

enum assay_peak {
    ASSAY_PEAK_FP32, /* fused multiply-adds of fp32 */
    ASSAY_PEAK_INT8, /* int8 products summed into int32 */
    ASSAY_PEAK_COUNT,
};

/* Bytes a second of `threads` threads that read their shares of `bytes` over and over. */
double assay_roofline_bandwidth(size_t bytes, int threads, enum assay_isa isa);

/* Operations a second, a multiply-add counted as two. */
double assay_roofline_peak(enum assay_peak kind, int threads, enum assay_isa isa);

/* The loops of one ISA (roofline_scalar.c and so on). Each returns a
 * value that depends on its whole work. */
struct assay_roofline_loops {
    uint32_t (*read)(const void *p, size_t bytes); /* 64-byte aligned, a multiple of 512 bytes */
    /* `rounds` rounds of independent chains, enough to fill the pipelines. */
    uint32_t (*work[ASSAY_PEAK_COUNT])(size_t rounds);
    double ops_per_round[ASSAY_PEAK_COUNT];
};
extern const struct assay_roofline_loops assay_roofline_scalar, assay_roofline_avx2,
    assay_roofline_avx512, assay_roofline_neon, assay_roofline_i8mm;

#endif
