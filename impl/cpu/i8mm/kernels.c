/* The list of I8MM kernels. For one and two rows of activations the NEON level below serves: SMMLA
 * would multiply half in vain there. */
#include "impl/cpu/neon/kernels.h"
#include "impl/blocks.h"

enum { SMALLEST_M = 3 };

#define PANEL(ENUM, name, block, form) ASSAY_NEON_PANEL(name, block, form, i8mm, assay_pack8_, 8)
ASSAY_NEON_TYPES(PANEL)

#define ROW(ENUM, type_name, block, form)                                                          \
    ASSAY_NEON_PANEL_ROW(ENUM, type_name, block, i8mm, ASSAY_ISA_I8MM, SMALLEST_M)

const struct assay_cpu_kernel assay_kernels_i8mm[] = {
    ASSAY_NEON_TYPES(ROW){.name = NULL},
};
