/* Seeded generators of weight blocks and activations. */
#ifndef ASSAY_DATASETS_GENERATE_H
#define ASSAY_DATASETS_GENERATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ref/types.h"

enum assay_weights_gen {
    ASSAY_WGEN_UNIFORM,     /* every byte random, fp scales set to sane magnitudes */
    ASSAY_WGEN_NORMAL,      /* N(0, 0.02) weights, quantised */
    ASSAY_WGEN_HEAVY,       /* Student t (nu = 3) scaled to 0.02, quantised */
    ASSAY_WGEN_EXTREME,     /* extreme codes with extreme (finite) scales, zero and subnormal scales */
    ASSAY_WGEN_ALTERNATING, /* neighbouring weights of opposite sign, so that sums cancel */
    ASSAY_WGEN_COUNT,
};

enum assay_acts_gen {
    ASSAY_AGEN_NORMAL,      /* N(0,1) */
    ASSAY_AGEN_HEAVY,       /* mostly N(0,1), one in 64 scaled by up to 100 (outlier channels) */
    ASSAY_AGEN_ONE_LARGE,   /* one large term (1e4), the rest tiny */
    ASSAY_AGEN_ALTERNATING, /* ±1 alternating, so that sums cancel */
    ASSAY_AGEN_CONSTANT,    /* all equal */
    ASSAY_AGEN_SPARSE,      /* zero but for a few ±127 and ±1 */
    ASSAY_AGEN_COUNT,
};

const char *assay_weights_gen_name(enum assay_weights_gen g); /* "uniform", "normal", … */
bool assay_weights_gen_parse(const char *name, enum assay_weights_gen *g);
const char *assay_acts_gen_name(enum assay_acts_gen g);
bool assay_acts_gen_parse(const char *name, enum assay_acts_gen *g);

/* Fills rows × row_bytes bytes with blocks of type `t` (decodable; in a multiple of block_len).
 * The result depends only on (t, g, seed, rows, in). All decoded weights are finite. */
void assay_generate_weights(const struct assay_type_traits *t, enum assay_weights_gen g,
                            uint64_t seed, size_t rows, size_t in, uint8_t *out);

/* Fills x[m × k]. */
void assay_generate_acts(enum assay_acts_gen g, uint64_t seed, size_t m, size_t k, float *x);

/* Quantises k weights (a multiple of block_len) of one row by plain rounding: not a model-quality
 * quantiser, but one whose blocks look like those of a real file. */
void assay_quantise_row(const struct assay_type_traits *t, const float *w, size_t k, uint8_t *out);

#endif
