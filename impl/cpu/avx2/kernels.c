/* The list of AVX2 kernels. */
#include "kernels.h"

#include "panel.h"

#define ASSAY_ROWS(ENUM, base, format, exact)                                                      \
    {#base "_dot", ASSAY_TYPE_##ENUM, ASSAY_ISA_AVX2, format, 1, DOT_MAX, 1, exact,                \
     NULL,         base##_dot},                                                                    \
    {                                                                                              \
#base "_4x16", ASSAY_TYPE_##ENUM, ASSAY_ISA_AVX2, format, DOT_MAX + 1, 0, PANEL_PAIR,      \
            exact, assay_avx2_panel_scratch, base##_4x16                                           \
    }

/* clang-format off */
const struct assay_cpu_kernel assay_kernels_avx2[] = {
    ASSAY_ROWS(Q4_0,    gemm_q4_0_q8_0__avx2,     ASSAY_ACTF_Q8_32,  32),
    ASSAY_ROWS(Q4_1,    gemm_q4_1_q8_0__avx2,     ASSAY_ACTF_Q8_32,  32),
    ASSAY_ROWS(Q5_0,    gemm_q5_0_q8_0__avx2,     ASSAY_ACTF_Q8_32,  32),
    ASSAY_ROWS(Q5_1,    gemm_q5_1_q8_0__avx2,     ASSAY_ACTF_Q8_32,  32),
    ASSAY_ROWS(Q8_0,    gemm_q8_0_q8_0__avx2,     ASSAY_ACTF_Q8_32,  32),
    ASSAY_ROWS(IQ4_NL,  gemm_iq4_nl_q8_0__avx2,   ASSAY_ACTF_Q8_32,  32),
    ASSAY_ROWS(Q2_K,    gemm_q2_k_q8_k__avx2,     ASSAY_ACTF_Q8_256, 256),
    ASSAY_ROWS(Q3_K,    gemm_q3_k_q8_k__avx2,     ASSAY_ACTF_Q8_256, 256),
    ASSAY_ROWS(Q4_K,    gemm_q4_k_q8_k__avx2,     ASSAY_ACTF_Q8_256, 256),
    ASSAY_ROWS(Q5_K,    gemm_q5_k_q8_k__avx2,     ASSAY_ACTF_Q8_256, 256),
    ASSAY_ROWS(Q6_K,    gemm_q6_k_q8_k__avx2,     ASSAY_ACTF_Q8_256, 256),
    ASSAY_ROWS(MXFP4,   gemm_mxfp4_q8_0__avx2,    ASSAY_ACTF_Q8_32,  32),
    ASSAY_ROWS(NVFP4,   gemm_nvfp4_q8_0__avx2,    ASSAY_ACTF_Q8_32,  16),
    ASSAY_ROWS(Q1_0,    gemm_q1_0_q8_0__avx2,     ASSAY_ACTF_Q8_32,  32),
    ASSAY_ROWS(Q2_0,    gemm_q2_0_q8_0__avx2,     ASSAY_ACTF_Q8_32,  32),
    ASSAY_ROWS(IQ1_S,   gemm_iq1_s_q8_k__avx2,    ASSAY_ACTF_Q8_256, 256),
    ASSAY_ROWS(IQ1_M,   gemm_iq1_m_q8_k__avx2,    ASSAY_ACTF_Q8_256, 256),
    ASSAY_ROWS(IQ2_XXS, gemm_iq2_xxs_q8_k__avx2,  ASSAY_ACTF_Q8_256, 256),
    ASSAY_ROWS(IQ2_XS,  gemm_iq2_xs_q8_k__avx2,   ASSAY_ACTF_Q8_256, 256),
    ASSAY_ROWS(IQ2_S,   gemm_iq2_s_q8_k__avx2,    ASSAY_ACTF_Q8_256, 256),
    ASSAY_ROWS(IQ3_XXS, gemm_iq3_xxs_q8_k__avx2,  ASSAY_ACTF_Q8_256, 256),
    ASSAY_ROWS(IQ3_S,   gemm_iq3_s_q8_k__avx2,    ASSAY_ACTF_Q8_256, 256),
    ASSAY_ROWS(IQ4_XS,  gemm_iq4_xs_q8_k__avx2,   ASSAY_ACTF_Q8_256, 256),
    ASSAY_ROWS(TQ1_0,   gemm_tq1_0_q8_k__avx2,    ASSAY_ACTF_Q8_256, 256),
    ASSAY_ROWS(TQ2_0,   gemm_tq2_0_q8_k__avx2,    ASSAY_ACTF_Q8_256, 256),
    {0},
};
/* clang-format on */
