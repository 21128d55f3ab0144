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
    /* The packed codes that the entries above came from, the first half of each entry in [0], the
     * second in [1]; code i of a half is bits 2i… (IQ1, IQ2) or 3i… (IQ3). */
    uint8_t planes_iq1[2][2048];
    uint8_t planes_iq2_xxs[2][256];
    uint8_t planes_iq2_xs[2][512];
    uint8_t planes_iq2_s[2][1024];
    uint8_t planes_iq3_xxs[2][256];
    uint8_t planes_iq3_s[2][512];
};

/* Expanded at the first call; any thread. */
const struct assay_iq_tables *assay_iq_tables(void);

#endif
