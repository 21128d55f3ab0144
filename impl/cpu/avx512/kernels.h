/* The kernels of this folder, as kernels.c lists them. */
#ifndef ASSAY_IMPL_CPU_AVX512_KERNELS_H
#define ASSAY_IMPL_CPU_AVX512_KERNELS_H

#include "impl/cpu/kernel.h"

void gemm_q4_k_q8_256__avx512_panel(const struct assay_cpu_args *a);
void gemm_q5_k_q8_256__avx512_panel(const struct assay_cpu_args *a);
void gemm_q6_k_q8_256__avx512_panel(const struct assay_cpu_args *a);
void gemm_iq4_xs_q8_256__avx512_panel(const struct assay_cpu_args *a);
void gemm_q8_0_q8_32__avx512_panel(const struct assay_cpu_args *a);
void gemm_q4_0_q8_32__avx512_panel(const struct assay_cpu_args *a);
void gemm_q5_0_q8_32__avx512_panel(const struct assay_cpu_args *a);
void gemm_iq4_nl_q8_32__avx512_panel(const struct assay_cpu_args *a);

void gemm_q4_k_q8_256__avx512_gemv(const struct assay_cpu_args *a);
void gemm_q5_k_q8_256__avx512_gemv(const struct assay_cpu_args *a);
void gemm_q6_k_q8_256__avx512_gemv(const struct assay_cpu_args *a);
void gemm_q8_0_q8_32__avx512_gemv(const struct assay_cpu_args *a);
void gemm_q4_0_q8_32__avx512_gemv(const struct assay_cpu_args *a);
void gemm_iq4_nl_q8_32__avx512_gemv(const struct assay_cpu_args *a);

#endif
