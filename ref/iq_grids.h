/* Codebooks of the IQ1, IQ2 and IQ3 types: format facts that no formula gives.
 *
 * A codebook entry is a point of a lattice: 8 values (IQ1, IQ2) or 4 values (IQ3), packed here as
 * indices into the short list of levels that its values take: value j of entry g is
 *     levels[g >> 2·j & 3]   (IQ1, IQ2)      levels[g >> 3·j & 7]   (IQ3). */
#ifndef ASSAY_REF_IQ_GRIDS_H
#define ASSAY_REF_IQ_GRIDS_H

#include <stdint.h>

extern const int8_t assay_iq1_levels[4];  /* index 3 does not occur */
extern const uint8_t assay_iq2_levels[4]; /* index 3 does not occur */
extern const uint8_t assay_iq3_xxs_levels[8];
extern const uint8_t assay_iq3_s_levels[8];

extern const uint16_t assay_iq1_grid[2048]; /* IQ1_S and IQ1_M */
extern const uint16_t assay_iq2_xxs_grid[256];
extern const uint16_t assay_iq2_xs_grid[512];
extern const uint16_t assay_iq2_s_grid[1024];
extern const uint16_t assay_iq3_xxs_grid[256];
extern const uint16_t assay_iq3_s_grid[512];

/* The signs of eight values (bit j set: value j is negative) from the seven bits that IQ2_XXS,
 * IQ2_XS and IQ3_XXS store: bit 7 makes the number of minus signs even. */
uint8_t assay_iq_signs(uint32_t seven_bits);

#endif
