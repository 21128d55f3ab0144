/* What the loops of the two AArch64 ISAs share. */
#ifndef ASSAY_HARNESS_ROOFLINE_NEON_H
#define ASSAY_HARNESS_ROOFLINE_NEON_H

#include <stddef.h>
#include <stdint.h>

/* Sixteen accumulators: four pipes times a latency of four. */
enum { ASSAY_NEON_CHAINS = 16 };

uint32_t assay_roofline_neon_read(const void *p, size_t bytes);
uint32_t assay_roofline_neon_fp32(size_t rounds);

#endif
