/* Entry points of the AVX2 kernels, which kernels.c lists.
 *
 * _dot: m = 1 … 3, row by row straight from the blocks. _4x16: any m, by panels of sixteen rows. */
#ifndef ASSAY_IMPL_CPU_AVX2_KERNELS_H
#define ASSAY_IMPL_CPU_AVX2_KERNELS_H

#include "impl/cpu/kernel.h"

/* From m = DOT_MAX + 1 the panels' unpacking pays for itself. */
enum { DOT_MAX = 3 };

#define ASSAY_DECLARE(name)                                                                        \
    void name##_dot(const struct assay_cpu_args *a);                                               \
    void name##_4x16(const struct assay_cpu_args *a)
ASSAY_DECLARE(gemm_q4_0_q8_0__avx2);
ASSAY_DECLARE(gemm_q4_1_q8_0__avx2);
ASSAY_DECLARE(gemm_q5_0_q8_0__avx2);
ASSAY_DECLARE(gemm_q5_1_q8_0__avx2);
ASSAY_DECLARE(gemm_q8_0_q8_0__avx2);
ASSAY_DECLARE(gemm_iq4_nl_q8_0__avx2);
ASSAY_DECLARE(gemm_mxfp4_q8_0__avx2);
ASSAY_DECLARE(gemm_nvfp4_q8_0__avx2);
ASSAY_DECLARE(gemm_q1_0_q8_0__avx2);
ASSAY_DECLARE(gemm_q2_0_q8_0__avx2);
ASSAY_DECLARE(gemm_q2_k_q8_k__avx2);
ASSAY_DECLARE(gemm_q3_k_q8_k__avx2);
ASSAY_DECLARE(gemm_q4_k_q8_k__avx2);
ASSAY_DECLARE(gemm_q5_k_q8_k__avx2);
ASSAY_DECLARE(gemm_q6_k_q8_k__avx2);
ASSAY_DECLARE(gemm_iq1_s_q8_k__avx2);
ASSAY_DECLARE(gemm_iq1_m_q8_k__avx2);
ASSAY_DECLARE(gemm_iq2_xxs_q8_k__avx2);
ASSAY_DECLARE(gemm_iq2_xs_q8_k__avx2);
ASSAY_DECLARE(gemm_iq2_s_q8_k__avx2);
ASSAY_DECLARE(gemm_iq3_xxs_q8_k__avx2);
ASSAY_DECLARE(gemm_iq3_s_q8_k__avx2);
ASSAY_DECLARE(gemm_iq4_xs_q8_k__avx2);
ASSAY_DECLARE(gemm_tq1_0_q8_k__avx2);
ASSAY_DECLARE(gemm_tq2_0_q8_k__avx2);
#undef ASSAY_DECLARE

#endif
