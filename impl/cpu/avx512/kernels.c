/* The table of AVX-512 kernels. Rows of one type stand together, small m first: the driver takes
 * the first row whose range of m fits. */
#include "kernels.h"
#include "panel.h"

/* exact_run (struct assay_arith): the GEMV of a super-block type makes one fp32 number a lane of
 * 256 columns; everything else one of each group of columns with its own scale. */
/* clang-format off */
/* most: from one row of x more on, unpacking a panel costs less than it saves. */
#define GEMV(ENUM, contract, format, run_, exact, most)                                                \
    {.name = "gemm_" contract "__avx512_gemv", .type = ASSAY_TYPE_##ENUM, .isa = ASSAY_ISA_AVX512,     \
     .act = format, .m_min = 1, .m_max = most, .n_step = 4, .exact_run = exact, .run = run_}
#define APART(ENUM, contract, format, run_, exact)                                                     \
    {.name = "gemm_" contract "__avx512_gemv", .type = ASSAY_TYPE_##ENUM, .isa = ASSAY_ISA_AVX512,     \
     .act = format, .m_min = 1, .m_max = 2, .n_step = 4, .exact_run = exact,                           \
     .scratch_bytes = gemv_apart_scratch, .run = run_}
#define PANEL(ENUM, contract, format, run_, exact)                                                     \
    {.name = "gemm_" contract "__avx512_panel", .type = ASSAY_TYPE_##ENUM, .isa = ASSAY_ISA_AVX512,    \
     .act = format, .m_min = 1, .n_step = 32, .exact_run = exact,                                  \
     .scratch_bytes = panel_scratch_bytes, .run = run_}

size_t gemv_apart_scratch(size_t k, size_t m) { return m * ((k + 255) / 256) * 5 * 64; }

const struct assay_cpu_kernel assay_kernels_avx512[] = {
    GEMV  (Q4_0,    "q4_0_q8_32",    ASSAY_ACTF_Q8_32,  gemm_q4_0_q8_32__avx512_gemv,      32, 2),
    PANEL (Q4_0,    "q4_0_q8_32",    ASSAY_ACTF_Q8_32,  gemm_q4_0_q8_32__avx512_panel,     32),
    GEMV  (Q4_1,    "q4_1_q8_32",    ASSAY_ACTF_Q8_32,  gemm_q4_1_q8_32__avx512_gemv,      32, 2),
    PANEL (Q4_1,    "q4_1_q8_32",    ASSAY_ACTF_Q8_32,  gemm_q4_1_q8_32__avx512_panel,     32),
    GEMV  (Q5_0,    "q5_0_q8_32",    ASSAY_ACTF_Q8_32,  gemm_q5_0_q8_32__avx512_gemv,      32, 2),
    PANEL (Q5_0,    "q5_0_q8_32",    ASSAY_ACTF_Q8_32,  gemm_q5_0_q8_32__avx512_panel,     32),
    GEMV  (Q5_1,    "q5_1_q8_32",    ASSAY_ACTF_Q8_32,  gemm_q5_1_q8_32__avx512_gemv,      32, 2),
    PANEL (Q5_1,    "q5_1_q8_32",    ASSAY_ACTF_Q8_32,  gemm_q5_1_q8_32__avx512_panel,     32),
    GEMV  (Q8_0,    "q8_0_q8_32",    ASSAY_ACTF_Q8_32,  gemm_q8_0_q8_32__avx512_gemv,      32, 3),
    PANEL (Q8_0,    "q8_0_q8_32",    ASSAY_ACTF_Q8_32,  gemm_q8_0_q8_32__avx512_panel,     32),
    GEMV  (Q2_K,    "q2_k_q8_256",   ASSAY_ACTF_Q8_256, gemm_q2_k_q8_256__avx512_gemv,     256, 3),
    PANEL (Q2_K,    "q2_k_q8_256",   ASSAY_ACTF_Q8_256, gemm_q2_k_q8_256__avx512_panel,    16),
    GEMV  (Q3_K,    "q3_k_q8_256",   ASSAY_ACTF_Q8_256, gemm_q3_k_q8_256__avx512_gemv,     256, 3),
    PANEL (Q3_K,    "q3_k_q8_256",   ASSAY_ACTF_Q8_256, gemm_q3_k_q8_256__avx512_panel,    16),
    GEMV  (Q4_K,    "q4_k_q8_256",   ASSAY_ACTF_Q8_256, gemm_q4_k_q8_256__avx512_gemv,     256, 3),
    PANEL (Q4_K,    "q4_k_q8_256",   ASSAY_ACTF_Q8_256, gemm_q4_k_q8_256__avx512_panel,    32),
    GEMV  (Q5_K,    "q5_k_q8_256",   ASSAY_ACTF_Q8_256, gemm_q5_k_q8_256__avx512_gemv,     256, 3),
    PANEL (Q5_K,    "q5_k_q8_256",   ASSAY_ACTF_Q8_256, gemm_q5_k_q8_256__avx512_panel,    32),
    GEMV  (Q6_K,    "q6_k_q8_256",   ASSAY_ACTF_Q8_256, gemm_q6_k_q8_256__avx512_gemv,     256, 4),
    PANEL (Q6_K,    "q6_k_q8_256",   ASSAY_ACTF_Q8_256, gemm_q6_k_q8_256__avx512_panel,    16),
    APART (IQ1_S,   "iq1_s_q8_256",  ASSAY_ACTF_Q8_256, gemm_iq1_s_q8_256__avx512_gemv,    256),
    PANEL (IQ1_S,   "iq1_s_q8_256",  ASSAY_ACTF_Q8_256, gemm_iq1_s_q8_256__avx512_panel,   32),
    APART (IQ1_M,   "iq1_m_q8_256",  ASSAY_ACTF_Q8_256, gemm_iq1_m_q8_256__avx512_gemv,    256),
    PANEL (IQ1_M,   "iq1_m_q8_256",  ASSAY_ACTF_Q8_256, gemm_iq1_m_q8_256__avx512_panel,   16),
    APART (IQ2_XXS, "iq2_xxs_q8_256", ASSAY_ACTF_Q8_256, gemm_iq2_xxs_q8_256__avx512_gemv,  256),
    PANEL (IQ2_XXS, "iq2_xxs_q8_256", ASSAY_ACTF_Q8_256, gemm_iq2_xxs_q8_256__avx512_panel, 32),
    APART (IQ2_XS,  "iq2_xs_q8_256", ASSAY_ACTF_Q8_256, gemm_iq2_xs_q8_256__avx512_gemv,   256),
    PANEL (IQ2_XS,  "iq2_xs_q8_256", ASSAY_ACTF_Q8_256, gemm_iq2_xs_q8_256__avx512_panel,  16),
    APART (IQ2_S,   "iq2_s_q8_256",  ASSAY_ACTF_Q8_256, gemm_iq2_s_q8_256__avx512_gemv,    256),
    PANEL (IQ2_S,   "iq2_s_q8_256",  ASSAY_ACTF_Q8_256, gemm_iq2_s_q8_256__avx512_panel,   16),
    APART (IQ3_XXS, "iq3_xxs_q8_256", ASSAY_ACTF_Q8_256, gemm_iq3_xxs_q8_256__avx512_gemv,  256),
    PANEL (IQ3_XXS, "iq3_xxs_q8_256", ASSAY_ACTF_Q8_256, gemm_iq3_xxs_q8_256__avx512_panel, 32),
    APART (IQ3_S,   "iq3_s_q8_256",  ASSAY_ACTF_Q8_256, gemm_iq3_s_q8_256__avx512_gemv,    256),
    PANEL (IQ3_S,   "iq3_s_q8_256",  ASSAY_ACTF_Q8_256, gemm_iq3_s_q8_256__avx512_panel,   32),
    GEMV  (IQ4_NL,  "iq4_nl_q8_32",  ASSAY_ACTF_Q8_32,  gemm_iq4_nl_q8_32__avx512_gemv,    32, 2),
    PANEL (IQ4_NL,  "iq4_nl_q8_32",  ASSAY_ACTF_Q8_32,  gemm_iq4_nl_q8_32__avx512_panel,   32),
    GEMV  (IQ4_XS,  "iq4_xs_q8_256", ASSAY_ACTF_Q8_256, gemm_iq4_xs_q8_256__avx512_gemv,   32, 2),
    PANEL (IQ4_XS,  "iq4_xs_q8_256", ASSAY_ACTF_Q8_256, gemm_iq4_xs_q8_256__avx512_panel,  32),
    APART (TQ1_0,   "tq1_0_q8_256",  ASSAY_ACTF_Q8_256, gemm_tq1_0_q8_256__avx512_gemv,    256),
    PANEL (TQ1_0,   "tq1_0_q8_256",  ASSAY_ACTF_Q8_256, gemm_tq1_0_q8_256__avx512_panel,   32),
    APART (TQ2_0,   "tq2_0_q8_256",  ASSAY_ACTF_Q8_256, gemm_tq2_0_q8_256__avx512_gemv,    256),
    PANEL (TQ2_0,   "tq2_0_q8_256",  ASSAY_ACTF_Q8_256, gemm_tq2_0_q8_256__avx512_panel,   32),
    APART (Q1_0,    "q1_0_q8_32",    ASSAY_ACTF_Q8_32,  gemm_q1_0_q8_32__avx512_gemv,      32),
    PANEL (Q1_0,    "q1_0_q8_32",    ASSAY_ACTF_Q8_32,  gemm_q1_0_q8_32__avx512_panel,     32),
    APART (Q2_0,    "q2_0_q8_32",    ASSAY_ACTF_Q8_32,  gemm_q2_0_q8_32__avx512_gemv,      32),
    PANEL (Q2_0,    "q2_0_q8_32",    ASSAY_ACTF_Q8_32,  gemm_q2_0_q8_32__avx512_panel,     32),
    GEMV  (MXFP4,   "mxfp4_q8_32",   ASSAY_ACTF_Q8_32,  gemm_mxfp4_q8_32__avx512_gemv,     32, 2),
    PANEL (MXFP4,   "mxfp4_q8_32",   ASSAY_ACTF_Q8_32,  gemm_mxfp4_q8_32__avx512_panel,    32),
    GEMV  (NVFP4,   "nvfp4_q8_32",   ASSAY_ACTF_Q8_32,  gemm_nvfp4_q8_32__avx512_gemv,     16, 2),
    PANEL (NVFP4,   "nvfp4_q8_32",   ASSAY_ACTF_Q8_32,  gemm_nvfp4_q8_32__avx512_panel,    16),
    {.name = NULL},
};
/* clang-format on */
