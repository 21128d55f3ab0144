#include "iq_tables.h"

#include <pthread.h>
#include <stddef.h>

#include "ref/iq_grids.h"

static struct assay_iq_tables tables;

/* Spreads `n` packed entries of `len` indices of `bits` bits each. No level exceeds an int8_t. */
static void expand(const uint16_t *packed, size_t n, size_t len, unsigned bits,
                   const int8_t *levels, int8_t *out) {
    for (size_t g = 0; g < n; g++)
        for (size_t j = 0; j < len; j++)
            out[g * len + j] = levels[packed[g] >> bits * j & ((1u << bits) - 1)];
}

/* Splits packed entries of 2·`bits` bits. */
static void split(const uint16_t *packed, size_t n, unsigned bits, uint8_t *out) {
    for (size_t g = 0; g < n; g++) {
        out[g] = (uint8_t)(packed[g] & ((1u << bits) - 1));
        out[n + g] = (uint8_t)(packed[g] >> bits);
    }
}

static void expand_all(void) {
    const int8_t *iq2 = (const int8_t *)assay_iq2_levels;
    expand(assay_iq1_grid, 2048, 8, 2, assay_iq1_levels, tables.iq1[0]);
    expand(assay_iq2_xxs_grid, 256, 8, 2, iq2, tables.iq2_xxs[0]);
    expand(assay_iq2_xs_grid, 512, 8, 2, iq2, tables.iq2_xs[0]);
    expand(assay_iq2_s_grid, 1024, 8, 2, iq2, tables.iq2_s[0]);
    expand(assay_iq3_xxs_grid, 256, 4, 3, (const int8_t *)assay_iq3_xxs_levels, tables.iq3_xxs[0]);
    expand(assay_iq3_s_grid, 512, 4, 3, (const int8_t *)assay_iq3_s_levels, tables.iq3_s[0]);
    split(assay_iq1_grid, 2048, 8, tables.planes_iq1[0]);
    split(assay_iq2_xxs_grid, 256, 8, tables.planes_iq2_xxs[0]);
    split(assay_iq2_xs_grid, 512, 8, tables.planes_iq2_xs[0]);
    split(assay_iq2_s_grid, 1024, 8, tables.planes_iq2_s[0]);
    split(assay_iq3_xxs_grid, 256, 6, tables.planes_iq3_xxs[0]);
    split(assay_iq3_s_grid, 512, 6, tables.planes_iq3_s[0]);
    for (uint32_t i = 0; i < 128; i++)
        tables.signs[i] = assay_iq_signs(i);
}

const struct assay_iq_tables *assay_iq_tables(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, expand_all);
    return &tables;
}
