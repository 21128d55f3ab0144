/* decode: a row of x that is zero but for one element gives a weight as the kernel itself decodes
 * it, to a few ulp. Every position of a super-block meets every value of every field. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "probe.h"
#include "ref/fields.h"
#include "ref/half.h"

/* Rows of W, some more than kernels have tiles of: blocks at the ends of their ranges and a sweep
 * of 256 phases; and a few, for the batch sizes that only differ in their tiles of x. */
enum { SWEEP_ROWS = 256, END_ROWS = 3, FEW_ROWS = 34, FEW_PROBES = 96, PATTERNS = 6 };

/* Blocks that follow one another along k are this many phases apart, so that one taken for another
 * shows. */
enum { PHASES_A_BLOCK = 97, PHASES_A_ROW_OF_FEW = 7 };

/* ---- Blocks ---- */

/* All fields at the ends of their ranges: what saturates first, and the scales that are special. */
static void end_block(const struct assay_type_traits *t, enum assay_weight_arith as, size_t which,
                      size_t phase, uint8_t *block) {
    static const uint16_t specials[] = {0x0000, 0x8000, 0x0001, 0x83ff, 0x0400, 0x8400};
    size_t n;
    const struct assay_field *fields = assay_fields(t, &n);

    assay_probe_sweep(t, as, phase, block);
    if (t->block_len == 1)
        return;
    for (size_t i = 0; i < n; i++)
        for (unsigned e = 0; e < fields[i].count; e++) {
            const struct assay_field *f = &fields[i];
            if (f->kind == ASSAY_FIELD_FLOAT && f->format == ASSAY_FORMAT_HALF && which == 2)
                assay_field_set(f, block, e, specials[phase % 6]);
            else if (f->kind != ASSAY_FIELD_FLOAT && which < 2)
                assay_field_set(f, block, e, which == 0 ? UINT32_MAX : 0);
        }
    /* The largest magnitudes of signed fields have the sign bit alone. */
    for (size_t i = 0; i < n && which == 1; i++)
        for (unsigned e = 0; e < fields[i].count && fields[i].format == ASSAY_FORMAT_INT; e++)
            assay_field_set(&fields[i], block, e, 1u << (fields[i].bits - 1));
    assay_fields_derive(t, block);
}

static void fill(const struct assay_probe_matrix *w, enum assay_weight_arith as,
                 size_t phases_a_row) {
    size_t blocks = w->k / w->type->block_len;

    for (size_t row = 0; row < w->n; row++)
        for (size_t b = 0; b < blocks; b++) {
            uint8_t *block = assay_probe_block(w, row, b);
            size_t phase =
                w->type->block_len == 1 ? row * w->k + b : phases_a_row * row + PHASES_A_BLOCK * b;
            if (row < END_ROWS)
                end_block(w->type, as, row, phase, block);
            else
                assay_probe_sweep(w->type, as, phase, block);
        }
}

/* ---- What a kernel made of a block ---- */

struct suspect {
    const struct assay_probe_product *p;
    size_t column, block; /* the row of W, the block in it */
    size_t weight;        /* the first wrong one in the block */
};

/* True if all that was seen of the block is what the kernel would give for `candidate`. */
static bool fits(const struct suspect *s, const uint8_t *candidate) {
    const struct assay_probe_product *p = s->p;
    size_t len = p->w->type->block_len;
    float weight[ASSAY_MAX_BLOCK_LEN];

    p->w->type->dequant(candidate, weight);
    for (size_t i = 0; i < p->m; i++) {
        const struct assay_probe_entry *e = p->x->entry + p->x->start[p->i0 + i];
        struct assay_ref_elem expected;
        float w;

        if (p->x->start[p->i0 + i + 1] - p->x->start[p->i0 + i] != 1 || e->at / len != s->block)
            continue;
        w = weight[e->at % len];
        if (p->arith.weight == ASSAY_WEIGHT_F16)
            w = assay_ref_from_fp16(assay_ref_to_fp16(w));
        expected = *assay_probe_expect(p, i, s->column);
        expected.mag = fmax(expected.mag, fabs(w * e->x));
        if (!(fabs((double)p->y[i * p->ldy + s->column] - w * e->x) <=
              assay_probe_bound(p, i, &expected)))
            return false;
    }
    return true;
}

static int ones(uint32_t v) {
    int n = 0;
    for (; v != 0; v &= v - 1)
        n++;
    return n;
}

/* Looks for a value of the element, near ones first, that explains what the kernel made of the
 * block. Floating-point fields have too many: single bits and zero are tried. */
static bool explain_by_value(const struct suspect *s, const struct assay_field *f, unsigned element,
                             uint32_t *value) {
    const struct assay_type_traits *t = s->p->w->type;
    uint8_t copy[512];
    bool few = f->bits <= 11;
    uint32_t actual, count = few ? 1u << f->bits : f->bits + 1u;

    memcpy(copy, assay_probe_block(s->p->w, s->column, s->block), t->block_bytes);
    actual = assay_field_get(f, copy, element);
    for (int distance = 1; distance <= f->bits; distance++)
        for (uint32_t i = 0; i < count; i++) {
            uint32_t v = few ? i : i < f->bits ? actual ^ 1u << i : 0;
            if (ones(v ^ actual) != distance)
                continue;
            assay_field_set(f, copy, element, v);
            if (fits(s, copy)) {
                *value = v;
                return true;
            }
        }
    return false;
}

/* Looks for another element of the field that seems to have changed places with this one. */
static bool explain_by_swap(const struct suspect *s, const struct assay_field *f, unsigned element,
                            unsigned *other) {
    const uint8_t *block = assay_probe_block(s->p->w, s->column, s->block);
    uint8_t copy[512];

    for (*other = 0; *other < f->count; ++*other) {
        memcpy(copy, block, s->p->w->type->block_bytes);
        assay_field_set(f, copy, element, assay_field_get(f, block, *other));
        assay_field_set(f, copy, *other, assay_field_get(f, block, element));
        if (*other != element && fits(s, copy))
            return true;
    }
    return false;
}

/* What seems to have happened to a field. */
struct diagnosis {
    enum { UNKNOWN, OTHER_VALUE, CHANGED_PLACES } kind;
    struct assay_field_bit bit; /* of OTHER_VALUE the lowest wrong bit */
    uint32_t value;
    unsigned other; /* element */
};

static bool diagnose_element(const struct suspect *s, const struct assay_field *f, unsigned element,
                             struct diagnosis *d) {
    uint32_t actual = assay_field_get(f, assay_probe_block(s->p->w, s->column, s->block), element);

    d->bit = (struct assay_field_bit){f, element, 0};
    if (explain_by_value(s, f, element, &d->value)) {
        d->kind = OTHER_VALUE;
        while (((d->value ^ actual) >> d->bit.bit & 1) == 0)
            d->bit.bit++;
        return true;
    }
    if (explain_by_swap(s, f, element, &d->other)) {
        d->kind = CHANGED_PLACES;
        return true;
    }
    return false;
}

/* The narrowest field that explains it; failing that the narrowest that reaches the weight. */
static struct diagnosis diagnose(const struct suspect *s) {
    size_t n;
    const struct assay_field *fields = assay_fields(s->p->w->type, &n);
    struct diagnosis d = {.kind = UNKNOWN}, narrowest = {.kind = UNKNOWN};

    for (unsigned reach = 1; reach <= s->p->w->type->block_len; reach++)
        for (size_t i = 0; i < n; i++)
            for (unsigned e = 0; e < fields[i].count && fields[i].weights == reach; e++) {
                if (!assay_field_reaches(&fields[i], e, s->weight))
                    continue;
                if (diagnose_element(s, &fields[i], e, &d))
                    return d;
                if (narrowest.bit.field == NULL)
                    narrowest.bit = d.bit;
            }
    return narrowest;
}

/* Another block of the matrix that the kernel seems to have taken instead. A single probe fits too
 * easily. */
static bool find_other_block(const struct suspect *s, size_t *row, size_t *block) {
    const struct assay_probe_matrix *w = s->p->w;

    if (s->p->m < w->type->block_len || w->type->block_len == 1)
        return false;
    for (*row = 0; *row < w->n; ++*row)
        for (*block = 0; *block < w->k / w->type->block_len; ++*block)
            if ((*row != s->column || *block != s->block) &&
                fits(s, assay_probe_block(w, *row, *block)))
                return true;
    return false;
}

static json_t *describe_field(const struct suspect *s, const char *where) {
    struct diagnosis d = diagnose(s);
    size_t at = assay_field_position(&d.bit);
    const struct assay_field *f = d.bit.field;
    uint32_t actual =
        assay_field_get(f, assay_probe_block(s->p->w, s->column, s->block), d.bit.element);
    char name[32], other[32];
    json_t *j;

    assay_field_name(f, d.bit.element, name, sizeof name);
    if (d.kind == OTHER_VALUE)
        j = assay_check_fail("%s: decoded as if %s were 0x%x, which is 0x%x", where, name,
                             (unsigned)d.value, (unsigned)actual);
    else if (d.kind == CHANGED_PLACES)
        j = assay_check_fail("%s: decoded as if %s and %s had changed places", where, name,
                             assay_field_name(f, d.other, other, sizeof other));
    else
        j = assay_check_fail("%s: decoded wrongly, as no other value of one field explains", where);
    json_object_set_new(j, "field", json_string(name));
    json_object_set_new(j, "byte", json_integer((json_int_t)at / 8));
    if (d.kind == OTHER_VALUE)
        json_object_set_new(j, "bit", json_integer((json_int_t)at % 8));
    return j;
}

static json_t *describe(const struct suspect *s) {
    char where[80];
    size_t row, block;
    json_t *j;

    snprintf(where, sizeof where, "row %zu of W, block %zu, weight %zu", s->column, s->block,
             s->weight);
    if (find_other_block(s, &row, &block))
        j = assay_check_fail("%s: decoded as if it were row %zu, block %zu", where, row, block);
    else
        j = describe_field(s, where);
    json_object_set_new(j, "block", json_integer((json_int_t)s->block));
    json_object_set_new(j, "element", json_integer((json_int_t)s->weight));
    return j;
}

static json_t *explain(const struct assay_probe_product *p, const struct assay_probe_miss *miss,
                       void *user) {
    size_t first = p->x->start[p->i0 + miss->row];
    size_t len = p->w->type->block_len, at;

    (void)user;
    if (p->x->start[p->i0 + miss->row + 1] - first != 1)
        return assay_check_fail(
            "row %zu of W: a sum over activations of full scale is wrong, though "
            "its weights decode: saturation, or a block's sum of activations",
            miss->column);
    at = p->x->entry[first].at;
    return describe(&(struct suspect){p, miss->column, at / len, at % len});
}

/* ---- Probes ---- */

/* An element per row, every position. 127 at the top of a block of activations makes its scale a
 * power of two; where activations are not quantised, a plain weight needs no more than 1. */
static void one_hot(const struct assay_check_run *r, struct assay_probe_rows *x) {
    float c = 127;

    if (r->env->type->block_len == 1 && assay_probe_keeps_acts(r)) {
        c = 1;
        x->exact = true;
    }
    for (size_t i = 0; i < x->count; i++)
        assay_probe_row(x, i)[i] = i % 3 == 1 ? -c : c;
}

/* Positions spread over the row, at scales from 2^-14 to 2^14, half of them with a scale of
 * activations that rounds; then rows of full scale throughout, which saturate what can be. */
static void scaled_and_full(const struct assay_probe_rows *x) {
    for (size_t i = 0; i < FEW_PROBES; i++) {
        double c = ldexp(i % 4 < 2 ? 127 : 64, (int)(i * 5 % 29) - 14);
        size_t at = i * x->k / FEW_PROBES;
        at += i % (x->k / FEW_PROBES + 1);
        assay_probe_row(x, i)[at < x->k ? at : x->k - 1] = (float)(i % 3 == 1 ? -c : c);
    }
    for (size_t pattern = 0; pattern < PATTERNS; pattern++)
        for (size_t i = 0; i < x->k; i++) {
            bool negative = pattern < 2    ? pattern == 1
                            : pattern == 2 ? i % 2 == 1
                            : pattern == 3 ? i % 4 >= 2
                            : pattern == 4 ? i % 32 >= 16
                                           : i % 64 >= 32;
            assay_probe_row(x, FEW_PROBES + pattern)[i] = negative ? -127 : 127;
        }
}

/* Every kernel decodes the whole sweep. */
static void probe_sweep(struct assay_check_run *r, enum assay_weight_arith as) {
    const struct assay_type_traits *t = r->env->type;
    size_t k = t->block_len == 1     ? 253
               : t->block_len >= 256 ? t->block_len
                                     : (256 / t->block_len + 1) * t->block_len;
    struct assay_probe_matrix w = {.type = NULL};
    struct assay_probe_rows x = {.count = 0};
    size_t sweep = SWEEP_ROWS * (r->env->full ? 8 : 1);
    size_t m[ASSAY_CHECK_PATHS], kernels = assay_probe_kernels(r, k, m);

    if (assay_probe_matrix_new(&w, r, sweep + END_ROWS, k) && assay_probe_rows_new(&x, r, k, k)) {
        fill(&w, as, 1);
        one_hot(r, &x);
        assay_probe_matrix_seal(&w, r);
        for (size_t i = 0; i < kernels; i++)
            assay_probe_run(r, &w, &x, m[i], explain, NULL);
    }
    assay_probe_matrix_free(&w);
    assay_probe_rows_free(&x);
}

/* Every batch size, on few rows of W and more blocks a row. */
static void probe_paths(struct assay_check_run *r, enum assay_weight_arith as, const size_t *m,
                        size_t paths) {
    const struct assay_type_traits *t = r->env->type;
    size_t k = t->block_len == 1 ? 131 : 3 * (size_t)(t->block_len < 128 ? 128 : t->block_len);
    struct assay_probe_matrix w = {.type = NULL};
    struct assay_probe_rows x = {.count = 0};

    if (assay_probe_matrix_new(&w, r, FEW_ROWS + END_ROWS, k) &&
        assay_probe_rows_new(&x, r, FEW_PROBES + PATTERNS, k)) {
        fill(&w, as, PHASES_A_ROW_OF_FEW);
        scaled_and_full(&x);
        assay_probe_matrix_seal(&w, r);
        for (size_t i = 0; i < paths; i++)
            assay_probe_run(r, &w, &x, m[i], explain, NULL);
        assay_probe_run(r, &w, &x, x.count, explain, NULL);
    }
    assay_probe_matrix_free(&w);
    assay_probe_rows_free(&x);
}

static json_t *run(const struct assay_check_env *env) {
    struct assay_check_run r;
    size_t m[ASSAY_CHECK_PATHS], paths;

    if (!assay_check_begin(&r, env))
        return r.finding;
    paths = assay_check_paths(&r, 64, m);
    probe_sweep(&r, assay_probe_weights(&r));
    probe_paths(&r, assay_probe_weights(&r), m, paths);
    return assay_check_end(&r);
}

const struct assay_check assay_check_decode_row = {
    .name = "decode",
    .summary = "every weight of swept blocks, recovered one by one through the kernel",
    .run = run,
};
