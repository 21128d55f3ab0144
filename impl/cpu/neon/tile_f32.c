#include "impl/cpu/tile_f32.h"

void assay_tile_f32_run__neon(const struct assay_cpu_args *a) { assay_tile_f32_run(a, 1); }
