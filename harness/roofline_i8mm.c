#include "roofline.h"
#include "roofline_neon.h"

enum { CHAINS = ASSAY_NEON_CHAINS };

static int32x4_t matrix_product(int32x4_t sum, int8x16_t a) { return vmmlaq_s32(sum, a, a); }

static uint32_t int8(size_t rounds) { return assay_roofline_neon_int8(matrix_product, rounds); }

const struct assay_roofline_loops assay_roofline_i8mm = {
    .read = assay_roofline_neon_read,
    .work = {[ASSAY_PEAK_FP32] = assay_roofline_neon_fp32, [ASSAY_PEAK_INT8] = int8},
    .ops_per_round = {[ASSAY_PEAK_FP32] = 2 * 4 * CHAINS, [ASSAY_PEAK_INT8] = 2 * 32 * CHAINS},
};
