/* The codebooks of the IQ types, one byte a weight, expanded from the packed form of
 * ref/iq_grids.h. */
#ifndef ASSAY_IMPL_IQ_TABLES_H
#define ASSAY_IMPL_IQ_TABLES_H

#include <stdint.h>

struct assay_iq_tables {
    int8_t iq1[2048][8];
    int8_t iq2_xxs[256][8];
    int8_t iq2_xs[512][8];
    int8_t iq2_s[1024][8];
    int8_t iq3_xxs[256][4];
    int8_t iq3_s[512][4];
    uint8_t signs[128]; /* the eight sign bits of seven stored ones */
};

/* Expanded at the first call; any thread. */
const struct assay_iq_tables *assay_iq_tables(void);

#endif
