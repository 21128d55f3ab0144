/* The list of NEON kernels, small m first. */
#include "kernels.h"

#include "impl/blocks.h"
#include "simd.h"

#define PANEL(ENUM, name, block, form) ASSAY_NEON_PANEL(name, block, form, neon, assay_pack4_, 16)
ASSAY_NEON_TYPES(PANEL)

#define ROWS(ENUM, type_name, block, form)                                                         \
    {.name = "gemm_" #type_name "_q8_" #block "__neon_gemv",                                       \
     .type = ASSAY_TYPE_##ENUM,                                                                    \
     .isa = ASSAY_ISA_NEON,                                                                        \
     .act = ASSAY_ACTF_Q8_##block,                                                                 \
     .m_min = 1,                                                                                   \
     .m_max = GEMV_MAX_M,                                                                          \
     .n_step = GEMV_ROWS,                                                                          \
     .exact_run = (block),                                                                         \
     .run = gemm_##type_name##_q8_##block##__neon_gemv},                                           \
        ASSAY_NEON_PANEL_ROW(ENUM, type_name, block, neon, ASSAY_ISA_NEON, 1)

const struct assay_cpu_kernel assay_kernels_neon[] = {
    ASSAY_NEON_TYPES(ROWS){.name = NULL},
};
