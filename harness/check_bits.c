/* bits: every bit of a block is flipped, and the outputs must change as the oracle's do. Each flip
 * is a row of W. The rows of x take the columns of a block, and those whose number has a given bit
 * set, or clear, so that what a flip does to any single weight shows, and to which. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/rng.h"
#include "probe.h"
#include "ref/fields.h"

/* Weights that bits are flipped in at a time: a super-block, or short blocks side by side that
 * kernels take together. */
enum { UNIT_BITS = 8, UNIT = 1 << UNIT_BITS, UNIT_OF_PLAIN = 16 };

/* W has whole tiles of rows: repacked layouts take no others. */
enum { ROW_TILE = 32 };

/* Blocks in which the flips are made. The first two have opposite bits throughout, and numbers of
 * such a size that no flip makes anything non-finite; in the third the top bit of a binary16 number
 * makes it infinite or a NaN, and that of a UE4M3 number counts, as it does beside 0x7f alone. */
enum base { BASE_EVEN, BASE_ODD, BASE_SPECIAL, BASES };

/* Bits of alternating value from the top; the lower ones of a number's fraction at random. */
static uint32_t number(const struct assay_field *f, enum base base, bool f16, uint32_t random) {
    /* Formats with the range of fp32: the flips of the first exponents stay far from either end,
     * those of the second pair leave binary16 untouched before the flip. */
    uint32_t wide = f16 ? 0x7c : 0x6a;
    uint32_t v;

    switch (f->format) {
    case ASSAY_FORMAT_HALF:
        v = base == BASE_SPECIAL ? 0x3c00 : 0x2800;
        return v | (random & 0x3ff);
    case ASSAY_FORMAT_BF16:
        return wide << 7 | (random & 0x7f);
    case ASSAY_FORMAT_FLOAT:
        return wide << 23 | (random & 0x7fffff);
    case ASSAY_FORMAT_E8M0:
        return wide;
    case ASSAY_FORMAT_UE4M3:
        return base == BASE_SPECIAL ? 0x7f : 0x35;
    case ASSAY_FORMAT_INT:
        return 0x55;
    case ASSAY_FORMAT_UINT:
        break;
    }
    return 0xaaaaaaaau >> (32 - f->bits);
}

static void base_block(const struct assay_type_traits *t, enum base base, bool f16,
                       struct assay_rng *rng, uint8_t *block) {
    size_t n;
    const struct assay_field *fields = assay_fields(t, &n);

    assay_rng_bytes(rng, block, t->block_bytes);
    for (size_t i = 0; i < n; i++)
        for (unsigned e = 0; e < fields[i].count; e++) {
            const struct assay_field *f = &fields[i];
            if (f->kind == ASSAY_FIELD_FLOAT || f->kind == ASSAY_FIELD_SCALE ||
                f->kind == ASSAY_FIELD_MIN)
                assay_field_set(f, block, e, number(f, base, f16, (uint32_t)assay_rng_u64(rng)));
        }
    if (base == BASE_ODD)
        for (size_t i = 0; i < t->block_bytes; i++)
            block[i] = (uint8_t)~block[i];
}

/* Row 0 is the base, row 1 + i has bit i of the row flipped; what is over repeats the base. */
static void flip_bits(const struct assay_probe_matrix *w) {
    const struct assay_type_traits *t = w->type;
    uint8_t *base = assay_probe_block(w, 0, 0);

    for (size_t b = 0; b < w->k / t->block_len; b++)
        assay_fields_derive(t, assay_probe_block(w, 0, b));
    for (size_t row = 1; row < w->n; row++) {
        size_t at = row - 1, bits = 8 * (size_t)t->block_bytes, block = at / bits;
        struct assay_field_bit bit;

        memcpy(assay_probe_block(w, row, 0), base, w->row_bytes);
        if (at >= 8 * w->row_bytes || !assay_field_at(t, at % bits, &bit) ||
            bit.field->kind == ASSAY_FIELD_DERIVED)
            continue;
        assay_probe_block(w, row, 0)[at / 8] ^= (uint8_t)(1 << at % 8);
        assay_fields_derive(t, assay_probe_block(w, row, block));
    }
}

/* Rows of x: the columns of each block; then, for each bit of a column's number, those that have it
 * set and those that do not. */
static size_t row_count(const struct assay_type_traits *t) {
    return t->block_len == 1 ? UNIT_OF_PLAIN : UNIT / t->block_len + 2 * UNIT_BITS;
}

static bool takes(size_t row, size_t blocks, size_t block_len, size_t column) {
    if (row < blocks)
        return column / block_len == row;
    return (column >> (row - blocks) / 2 & 1) == (row - blocks) % 2;
}

/* The signs are the weights', so that the terms add up and a change of scale shows as well as a
 * change of a code. Full scale makes the quantisation of activations exact. */
static bool take_columns(const struct assay_probe_rows *x, const struct assay_probe_matrix *w) {
    size_t len = w->type->block_len;
    float *weight = malloc(w->k * sizeof *weight);

    if (weight == NULL)
        return false;
    assay_dequant_row(w->type, assay_probe_block(w, 0, 0), w->k, weight);
    for (size_t i = 0; i < x->count; i++)
        for (size_t at = 0; at < w->k; at++)
            if (takes(i, w->k / len, len, at))
                assay_probe_row(x, i)[at] = weight[at] < 0 ? -127 : 127;
    free(weight);
    return true;
}

/* ---- Findings ---- */

/* True if all outputs of a row of W are what row `other` should give. */
static bool acts_like(const struct assay_probe_product *p, size_t row, size_t other) {
    for (size_t i = 0; i < p->m; i++) {
        const struct assay_ref_elem *e = assay_probe_expect(p, i, other);
        double difference = fabs((double)p->y[i * p->ldy + row] - e->yq);
        if (!(difference <= assay_probe_bound(p, i, e)))
            return false;
    }
    return true;
}

/* The bit that a row of W has flipped. */
static bool flipped_bit(const struct assay_probe_matrix *w, size_t row, size_t *block,
                        struct assay_field_bit *bit) {
    size_t bits = 8 * (size_t)w->type->block_bytes;

    *block = row > 0 ? (row - 1) / bits : 0;
    return row > 0 && row <= 8 * w->row_bytes && assay_field_at(w->type, (row - 1) % bits, bit);
}

/* The row of a flip (another than `row` itself) that the outputs of `row` fit, or 0. All rows of x
 * are needed to tell the flips apart. */
static size_t find_like(const struct assay_probe_product *p, size_t row) {
    for (size_t other = 1; other <= 8 * p->w->row_bytes && p->m == p->x->count; other++)
        if (other != row && acts_like(p, row, other))
            return other;
    return 0;
}

static json_t *name_bit(json_t *j, size_t block, const struct assay_field_bit *bit) {
    size_t at = assay_field_position(bit);
    char name[32];

    json_object_set_new(j, "block", json_integer((json_int_t)block));
    json_object_set_new(j, "byte", json_integer((json_int_t)at / 8));
    json_object_set_new(j, "bit", json_integer((json_int_t)at % 8));
    json_object_set_new(j, "field",
                        json_string(assay_field_name(bit->field, bit->element, name, sizeof name)));
    return j;
}

/* The block itself is wrong: as if a bit of it were another? */
static json_t *explain_base(const struct assay_probe_product *p) {
    struct assay_field_bit bit = {0};
    size_t block = 0, like = find_like(p, 0);
    char name[32];

    if (like == 0)
        return assay_check_fail("a block is wrong before any of its bits is flipped");
    flipped_bit(p->w, like, &block, &bit);
    assay_field_name(bit.field, bit.element, name, sizeof name);
    return name_bit(assay_check_fail("bit %u of %s is taken for the opposite", bit.bit, name),
                    block, &bit);
}

static json_t *explain(const struct assay_probe_product *p, const struct assay_probe_miss *miss,
                       void *user) {
    struct assay_field_bit bit = {0}, other_bit = {0};
    size_t block = 0, other_block = 0, like;
    char name[32], other_name[32];
    json_t *j;

    (void)user;
    if (!flipped_bit(p->w, miss->column, &block, &bit))
        return explain_base(p);
    assay_field_name(bit.field, bit.element, name, sizeof name);
    if (acts_like(p, miss->column, 0)) {
        j = assay_check_fail("bit %u of %s is ignored", bit.bit, name);
    } else if ((like = find_like(p, miss->column)) != 0) {
        flipped_bit(p->w, like, &other_block, &other_bit);
        assay_field_name(other_bit.field, other_bit.element, other_name, sizeof other_name);
        j = assay_check_fail("bit %u of %s of block %zu acts as bit %u of %s of block %zu", bit.bit,
                             name, block, other_bit.bit, other_name, other_block);
    } else {
        double before = assay_probe_expect(p, miss->row, 0)->yq;
        j = assay_check_fail("flipping bit %u of %s changes y by %g, which should be %g", bit.bit,
                             name, (double)miss->got - before, miss->expected - before);
    }
    return name_bit(j, block, &bit);
}

/* A plain weight has no companions: one column a row, and where activations are not quantised every
 * bit of the output counts. */
static void take_single_columns(const struct assay_check_run *r, struct assay_probe_rows *x) {
    x->exact = assay_probe_keeps_acts(r);
    for (size_t i = 0; i < x->count; i++)
        assay_probe_row(x, i)[i] = x->exact ? 1 : 127;
}

static void probe_base(struct assay_check_run *r, enum base base, struct assay_rng *rng) {
    const struct assay_type_traits *t = r->env->type;
    bool f16 = assay_probe_weights(r) == ASSAY_WEIGHT_F16;
    size_t k = t->block_len == 1 ? UNIT_OF_PLAIN : UNIT, row_bytes = 0;
    size_t m[ASSAY_CHECK_PATHS], kernels, n;
    struct assay_probe_matrix w = {.type = NULL};
    struct assay_probe_rows x = {.count = 0};

    assay_row_bytes(t, k, &row_bytes);
    n = (8 * row_bytes + ROW_TILE) / ROW_TILE * ROW_TILE;
    kernels = assay_probe_kernels(r, row_count(t), m);
    if (assay_probe_matrix_new(&w, r, n, k) && assay_probe_rows_new(&x, r, row_count(t), k)) {
        for (size_t b = 0; b < k / t->block_len; b++)
            base_block(t, base, f16, rng, assay_probe_block(&w, 0, b));
        flip_bits(&w);
        if (t->block_len == 1)
            take_single_columns(r, &x);
        else if (!take_columns(&x, &w))
            assay_check_no_memory(r);
        assay_probe_matrix_seal(&w, r);
        for (size_t i = 0; i < kernels; i++)
            assay_probe_run(r, &w, &x, m[i], explain, NULL);
    }
    assay_probe_matrix_free(&w);
    assay_probe_rows_free(&x);
}

static json_t *run(const struct assay_check_env *env) {
    struct assay_check_run r;
    struct assay_rng rng;
    int rounds = env->full ? 8 : 1;

    if (!assay_check_begin(&r, env))
        return r.finding;
    assay_rng_seed(&rng, env->seed ^ (uint64_t)env->type->type << 32);
    for (int i = 0; i < rounds; i++)
        for (int base = 0; base < BASES; base++)
            probe_base(&r, (enum base)base, &rng);
    return assay_check_end(&r);
}

const struct assay_check assay_check_bits_row = {
    .name = "bits",
    .summary = "every bit of a block flipped: its effect on y is the oracle's",
    .run = run,
};
