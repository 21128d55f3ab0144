#include "generate.h"

#include <assert.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "quantise_internal.h"
#include "rng.h"
#include "scale_fields.h"

#define WEIGHT_SIGMA 0.02 /* of trained transformer matrices, by order of magnitude */

static const char *const weights_names[ASSAY_WGEN_COUNT] = {
    [ASSAY_WGEN_UNIFORM] = "uniform",
    [ASSAY_WGEN_NORMAL] = "normal",
    [ASSAY_WGEN_HEAVY] = "heavy",
    [ASSAY_WGEN_EXTREME] = "extreme",
    [ASSAY_WGEN_ALTERNATING] = "alternating",
};

static const char *const acts_names[ASSAY_AGEN_COUNT] = {
    [ASSAY_AGEN_NORMAL] = "normal",       [ASSAY_AGEN_HEAVY] = "heavy",
    [ASSAY_AGEN_ONE_LARGE] = "one-large", [ASSAY_AGEN_ALTERNATING] = "alternating",
    [ASSAY_AGEN_CONSTANT] = "constant",   [ASSAY_AGEN_SPARSE] = "sparse",
};

/* Index of a name, or -1. */
static int find_name(const char *const *names, int n, const char *name) {
    for (int i = 0; i < n; i++)
        if (strcasecmp(names[i], name) == 0)
            return i;
    return -1;
}

const char *assay_weights_gen_name(enum assay_weights_gen g) { return weights_names[g]; }

bool assay_weights_gen_parse(const char *name, enum assay_weights_gen *g) {
    int i = find_name(weights_names, ASSAY_WGEN_COUNT, name);
    if (i >= 0)
        *g = (enum assay_weights_gen)i;
    return i >= 0;
}

const char *assay_acts_gen_name(enum assay_acts_gen g) { return acts_names[g]; }

bool assay_acts_gen_parse(const char *name, enum assay_acts_gen *g) {
    int i = find_name(acts_names, ASSAY_AGEN_COUNT, name);
    if (i >= 0)
        *g = (enum assay_acts_gen)i;
    return i >= 0;
}

/* A stream of its own for each row, so that a row does not depend on how many were asked for. The
 * multipliers are odd constants other than splitmix64's increment: a multiple of that would make
 * one row's seed sequence a shifted copy of another's. */
static void seed_row(struct assay_rng *r, uint64_t seed, uint32_t stream, uint64_t row) {
    uint64_t mixed = seed ^ row * UINT64_C(0xd1342543de82ef95);
    assay_rng_seed(r, mixed ^ (stream + 1) * UINT64_C(0xaef17502108ef2d9));
}

/* Q8_K blocks carry the sums of 16 codes each, which kernels may use. The sums are collected before
 * any is stored: gcc 12.2 at -O2 drops the call if loads and stores through `block` share the loop
 * (it takes the function for a pure one after rewriting both addresses to one counter). */
static void fix_sums(const struct assay_type_traits *t, uint8_t *block) {
    if (t->type != ASSAY_TYPE_Q8_K)
        return;
    int16_t sums[16];
    for (int s = 0; s < 16; s++) {
        int sum = 0;
        for (int i = 0; i < 16; i++)
            sum += (int8_t)block[4 + 16 * s + i];
        sums[s] = (int16_t)sum;
    }
    for (int s = 0; s < 16; s++)
        assay_store_le16(block + 260 + 2 * s, (uint16_t)sums[s]);
}

static void uniform_row(const struct assay_type_traits *t, struct assay_rng *r, size_t blocks,
                        uint8_t *out) {
    const struct assay_scale_field *f = assay_scale_fields(t);
    assay_rng_bytes(r, out, blocks * t->block_bytes);
    for (size_t b = 0; b < blocks; b++, out += t->block_bytes) {
        for (int i = 0; i < ASSAY_SCALE_FIELDS_MAX && f[i].kind != ASSAY_SCALE_NONE; i++)
            assay_sane_scale(&f[i], out);
        fix_sums(t, out);
    }
}

/* Each row has one class of scale, or its small terms would drown in its large ones; the last of
 * the cycle mixes them all the same. Codes are runs of one byte that is extreme in some packing, or
 * random. */
static void extreme_row(const struct assay_type_traits *t, struct assay_rng *r, size_t row,
                        size_t blocks, uint8_t *out) {
    static const uint8_t codes[] = {0x00, 0xff, 0x80, 0x7f, 0x0f, 0xf0, 0x88, 0x77, 0x55, 0xaa};
    const uint32_t n_codes = sizeof codes;
    const struct assay_scale_field *f = assay_scale_fields(t);
    size_t cycle = row % (ASSAY_SCALE_CLASS_COUNT + 1);
    for (size_t b = 0; b < blocks; b++, out += t->block_bytes) {
        uint32_t code = assay_rng_below(r, n_codes + 1);
        if (code == n_codes)
            assay_rng_bytes(r, out, t->block_bytes);
        else
            memset(out, codes[code], t->block_bytes);
        enum assay_scale_class c = cycle < ASSAY_SCALE_CLASS_COUNT
                                       ? (enum assay_scale_class)cycle
                                       : assay_rng_below(r, ASSAY_SCALE_CLASS_COUNT);
        for (int i = 0; i < ASSAY_SCALE_FIELDS_MAX && f[i].kind != ASSAY_SCALE_NONE; i++)
            assay_extreme_scale(&f[i], c, out);
        fix_sums(t, out);
    }
}

static float sample(enum assay_weights_gen g, struct assay_rng *r, size_t i) {
    switch (g) {
    case ASSAY_WGEN_NORMAL:
        return (float)(WEIGHT_SIGMA * assay_rng_normal(r));
    case ASSAY_WGEN_HEAVY:
        return (float)(WEIGHT_SIGMA * assay_rng_student(r, 3));
    default: { /* ASSAY_WGEN_ALTERNATING: magnitudes within 5 %, so that pairs nearly cancel */
        double wobble = 0.05 * assay_rng_unit(r);
        double magnitude = WEIGHT_SIGMA * (1 + wobble);
        return (float)(i % 2 == 0 ? magnitude : -magnitude);
    }
    }
}

static void quantised_row(const struct assay_type_traits *t, enum assay_weights_gen g,
                          struct assay_rng *r, size_t in, uint8_t *out) {
    float w[ASSAY_MAX_BLOCK_LEN]; /* a whole number of blocks of every type */
    for (size_t start = 0; start < in;) {
        size_t n = in - start < ASSAY_MAX_BLOCK_LEN ? in - start : ASSAY_MAX_BLOCK_LEN;
        for (size_t i = 0; i < n; i++)
            w[i] = sample(g, r, i);
        assay_quantise_row(t, w, n, out);
        out += n / t->block_len * t->block_bytes;
        start += n;
    }
}

void assay_generate_weights(const struct assay_type_traits *t, enum assay_weights_gen g,
                            uint64_t seed, size_t rows, size_t in, uint8_t *out) {
    assert(t->dequant != NULL && in % t->block_len == 0);
    size_t blocks = in / t->block_len;
    for (size_t row = 0; row < rows; row++, out += blocks * t->block_bytes) {
        struct assay_rng r;
        seed_row(&r, seed, (uint32_t)t->type << 8 | (uint32_t)g, row);
        if (g == ASSAY_WGEN_UNIFORM)
            uniform_row(t, &r, blocks, out);
        else if (g == ASSAY_WGEN_EXTREME)
            extreme_row(t, &r, row, blocks, out);
        else
            quantised_row(t, g, &r, in, out);
    }
}

/* One row of activations. */
static void acts_row(enum assay_acts_gen g, struct assay_rng *r, size_t k, float *x) {
    size_t large = g == ASSAY_AGEN_ONE_LARGE ? (size_t)(assay_rng_unit(r) * (double)k) : 0;
    float constant = (float)(0.5 + assay_rng_unit(r));
    for (size_t i = 0; i < k; i++) {
        switch (g) {
        case ASSAY_AGEN_NORMAL:
            x[i] = (float)assay_rng_normal(r);
            break;
        case ASSAY_AGEN_HEAVY: {
            double z = assay_rng_normal(r);
            double spread = 99 * assay_rng_unit(r);
            x[i] = (float)(assay_rng_below(r, 64) == 0 ? z * (1 + spread) : z);
            break;
        }
        case ASSAY_AGEN_ONE_LARGE:
            x[i] = (float)(1e-3 * assay_rng_normal(r));
            break;
        case ASSAY_AGEN_ALTERNATING:
            x[i] = i % 2 == 0 ? 1 : -1;
            break;
        case ASSAY_AGEN_CONSTANT:
            x[i] = constant;
            break;
        case ASSAY_AGEN_SPARSE: {
            static const float values[4] = {127, -127, 1, -1};
            x[i] = assay_rng_below(r, 16) == 0 ? values[assay_rng_below(r, 4)] : 0;
            break;
        }
        case ASSAY_AGEN_COUNT:
            break;
        }
    }
    if (g == ASSAY_AGEN_ONE_LARGE && k > 0)
        x[large] = 1e4f;
}

void assay_generate_acts(enum assay_acts_gen g, uint64_t seed, size_t m, size_t k, float *x) {
    for (size_t row = 0; row < m; row++, x += k) {
        struct assay_rng r;
        seed_row(&r, seed, 0x10000u | (uint32_t)g, row);
        acts_row(g, &r, k, x);
    }
}
