/* The kernels of this folder, as kernels.c lists them. */
#ifndef ASSAY_IMPL_CPU_AVX512_KERNELS_H
#define ASSAY_IMPL_CPU_AVX512_KERNELS_H

#include "impl/cpu/kernel.h"

/* Scratch of the GEMV kernels that put the activations in their own order: up to five vectors for
 * 256 columns (TQ1_0). */
size_t gemv_apart_scratch(size_t k, size_t m);

void gemm_q4_0_q8_32__avx512_gemv(const struct assay_cpu_args *a);
void gemm_q4_0_q8_32__avx512_panel(const struct assay_cpu_args *a);
void gemm_q4_1_q8_32__avx512_gemv(const struct assay_cpu_args *a);
void gemm_q4_1_q8_32__avx512_panel(const struct assay_cpu_args *a);
void gemm_q5_0_q8_32__avx512_gemv(const struct assay_cpu_args *a);
void gemm_q5_0_q8_32__avx512_panel(const struct assay_cpu_args *a);
void gemm_q5_1_q8_32__avx512_gemv(const struct assay_cpu_args *a);
void gemm_q5_1_q8_32__avx512_panel(const struct assay_cpu_args *a);
void gemm_q8_0_q8_32__avx512_gemv(const struct assay_cpu_args *a);
void gemm_q8_0_q8_32__avx512_panel(const struct assay_cpu_args *a);
void gemm_q2_k_q8_256__avx512_gemv(const struct assay_cpu_args *a);
void gemm_q2_k_q8_256__avx512_panel(const struct assay_cpu_args *a);
void gemm_q3_k_q8_256__avx512_gemv(const struct assay_cpu_args *a);
void gemm_q3_k_q8_256__avx512_panel(const struct assay_cpu_args *a);
void gemm_q4_k_q8_256__avx512_gemv(const struct assay_cpu_args *a);
void gemm_q4_k_q8_256__avx512_panel(const struct assay_cpu_args *a);
void gemm_q5_k_q8_256__avx512_gemv(const struct assay_cpu_args *a);
void gemm_q5_k_q8_256__avx512_panel(const struct assay_cpu_args *a);
void gemm_q6_k_q8_256__avx512_gemv(const struct assay_cpu_args *a);
void gemm_q6_k_q8_256__avx512_panel(const struct assay_cpu_args *a);
void gemm_iq1_s_q8_256__avx512_gemv(const struct assay_cpu_args *a);
void gemm_iq1_s_q8_256__avx512_panel(const struct assay_cpu_args *a);
void gemm_iq1_m_q8_256__avx512_gemv(const struct assay_cpu_args *a);
void gemm_iq1_m_q8_256__avx512_panel(const struct assay_cpu_args *a);
void gemm_iq2_xxs_q8_256__avx512_gemv(const struct assay_cpu_args *a);
void gemm_iq2_xxs_q8_256__avx512_panel(const struct assay_cpu_args *a);
void gemm_iq2_xs_q8_256__avx512_gemv(const struct assay_cpu_args *a);
void gemm_iq2_xs_q8_256__avx512_panel(const struct assay_cpu_args *a);
void gemm_iq2_s_q8_256__avx512_gemv(const struct assay_cpu_args *a);
void gemm_iq2_s_q8_256__avx512_panel(const struct assay_cpu_args *a);
void gemm_iq3_xxs_q8_256__avx512_gemv(const struct assay_cpu_args *a);
void gemm_iq3_xxs_q8_256__avx512_panel(const struct assay_cpu_args *a);
void gemm_iq3_s_q8_256__avx512_gemv(const struct assay_cpu_args *a);
void gemm_iq3_s_q8_256__avx512_panel(const struct assay_cpu_args *a);
void gemm_iq4_nl_q8_32__avx512_gemv(const struct assay_cpu_args *a);
void gemm_iq4_nl_q8_32__avx512_panel(const struct assay_cpu_args *a);
void gemm_iq4_xs_q8_256__avx512_gemv(const struct assay_cpu_args *a);
void gemm_iq4_xs_q8_256__avx512_panel(const struct assay_cpu_args *a);
void gemm_tq1_0_q8_256__avx512_gemv(const struct assay_cpu_args *a);
void gemm_tq1_0_q8_256__avx512_panel(const struct assay_cpu_args *a);
void gemm_tq2_0_q8_256__avx512_gemv(const struct assay_cpu_args *a);
void gemm_tq2_0_q8_256__avx512_panel(const struct assay_cpu_args *a);
void gemm_q1_0_q8_32__avx512_gemv(const struct assay_cpu_args *a);
void gemm_q1_0_q8_32__avx512_panel(const struct assay_cpu_args *a);
void gemm_q2_0_q8_32__avx512_gemv(const struct assay_cpu_args *a);
void gemm_q2_0_q8_32__avx512_panel(const struct assay_cpu_args *a);
void gemm_mxfp4_q8_32__avx512_gemv(const struct assay_cpu_args *a);
void gemm_mxfp4_q8_32__avx512_panel(const struct assay_cpu_args *a);
void gemm_nvfp4_q8_32__avx512_gemv(const struct assay_cpu_args *a);
void gemm_nvfp4_q8_32__avx512_panel(const struct assay_cpu_args *a);

#endif
