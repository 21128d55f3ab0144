/* What was done to a block? Each hypothesis alters the block, or its weights, as a known kind of
 * mistake would, and stands if that gives all the weights that the kernel multiplied with, the
 * right ones included. The first that stands is the guess. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "diagnose.h"
#include "ref/half.h"

enum { MAX_BLOCK_BYTES = 1024 };

/* One altered block. */
struct hypothesis {
    const struct assay_block_evidence *e;
    uint8_t block[MAX_BLOCK_BYTES];
    float weights[ASSAY_MAX_BLOCK_LEN];
    const char *guess;
    char text[200];
    struct assay_field_bit field;
    bool has_field;
};

static size_t len_of(const struct hypothesis *h) { return h->e->type->block_len; }

static bool explains(const struct assay_block_evidence *e, const float *weights) {
    for (size_t i = 0; i < e->type->block_len; i++) {
        double w = e->fp16 ? assay_ref_from_fp16(assay_ref_to_fp16(weights[i])) : weights[i];
        double slack = e->bound[i] + e->slack * fabs(w);
        if (isfinite(w) ? !(fabs(e->got[i] - w) <= slack) : isfinite(e->got[i]))
            return false;
    }
    return true;
}

static bool decoded_explains(struct hypothesis *h) {
    assay_fields_derive(h->e->type, h->block);
    h->e->type->dequant(h->block, h->weights);
    return explains(h->e, h->weights);
}

static void restore(struct hypothesis *h) {
    memcpy(h->block, h->e->block, h->e->type->block_bytes);
    h->has_field = false;
}

static bool reaches_wrong(const struct hypothesis *h, const struct assay_field *f,
                          unsigned element) {
    for (size_t i = 0; i < len_of(h); i++)
        if (h->e->wrong[i] && assay_field_reaches(f, element, i))
            return true;
    return false;
}

/* Marks an element, or with element = count the first of the field that reaches a wrong weight. */
static void mark(struct hypothesis *h, const struct assay_field *f, unsigned element) {
    for (unsigned e = 0; element == f->count && e < f->count; e++)
        if (reaches_wrong(h, f, e))
            element = e;
    h->has_field = element < f->count;
    h->field = (struct assay_field_bit){f, element, 0};
}

static bool is_small_number(const struct assay_field *f) {
    return f->kind == ASSAY_FIELD_SCALE || f->kind == ASSAY_FIELD_MIN;
}

/* ---- Values left out ---- */

static const char *dropped_guess(const struct assay_field *f) {
    switch (f->kind) {
    case ASSAY_FIELD_MIN:
        return "min dropped";
    case ASSAY_FIELD_SCALE:
        return "scale taken as zero";
    case ASSAY_FIELD_FLOAT:
        return strcmp(f->name, "dmin") == 0 || strcmp(f->name, "m") == 0 ? "min dropped"
                                                                         : "scale taken as zero";
    case ASSAY_FIELD_SIGN:
        return "signs ignored";
    default:
        return "codes ignored";
    }
}

static bool element_dropped(struct hypothesis *h, const struct assay_field *f) {
    char name[32];

    for (unsigned e = 0; e < f->count; e++) {
        restore(h);
        assay_field_set(f, h->block, e, 0);
        if (!reaches_wrong(h, f, e) || !decoded_explains(h))
            continue;
        h->guess = dropped_guess(f);
        mark(h, f, e);
        snprintf(h->text, sizeof h->text, "the block with %s = 0 decodes to the weights found",
                 assay_field_name(f, e, name, sizeof name));
        return true;
    }
    return false;
}

static bool field_dropped(struct hypothesis *h, const struct assay_field *f) {
    restore(h);
    for (unsigned e = 0; e < f->count; e++)
        assay_field_set(f, h->block, e, 0);
    if (!decoded_explains(h))
        return false;
    h->guess = dropped_guess(f);
    mark(h, f, f->count);
    snprintf(h->text, sizeof h->text, "the block with every %s = 0 decodes to the weights found",
             f->name);
    return true;
}

/* ---- Order ---- */

static unsigned moved(unsigned e, int by, unsigned count, bool wraps) {
    int to = (int)e + by;
    if (wraps)
        return (unsigned)((to + (int)count) % (int)count);
    return (unsigned)(to < 0 ? 0 : to >= (int)count ? (int)count - 1 : to);
}

static void take_neighbours(struct hypothesis *h, const struct assay_field *f, int by, bool wraps) {
    for (unsigned e = 0; e < f->count; e++)
        assay_field_set(f, h->block, e,
                        assay_field_get(f, h->e->block, moved(e, by, f->count, wraps)));
}

static bool index_off(struct hypothesis *h, const struct assay_field *f) {
    size_t n;
    const struct assay_field *fields = assay_fields(h->e->type, &n);

    if (!is_small_number(f) || f->count < 2)
        return false;
    for (int variant = 0; variant < 8; variant++) {
        int by = variant & 1 ? -1 : 1;
        restore(h);
        take_neighbours(h, f, by, variant & 2);
        /* With the other small numbers of the block, which mostly share an index. */
        for (size_t i = 0; variant & 4 && i < n; i++)
            if (&fields[i] != f && is_small_number(&fields[i]))
                take_neighbours(h, &fields[i], by, variant & 2);
        if (!decoded_explains(h))
            continue;
        h->guess = f->kind == ASSAY_FIELD_SCALE ? "scale index off by one" : "min index off by one";
        mark(h, f, f->count);
        snprintf(h->text, sizeof h->text,
                 "with %s[i%+d] in place of %s[i]%s the weights are those found", f->name, by,
                 f->name, variant & 4 ? ", mins likewise," : "");
        return true;
    }
    return false;
}

static bool index_wrong(struct hypothesis *h, const struct assay_field *f) {
    if (!is_small_number(f))
        return false;
    for (unsigned i = 0; i < f->count * f->count; i++) {
        unsigned to = i / f->count, from = i % f->count;
        if (to == from || !reaches_wrong(h, f, to))
            continue;
        restore(h);
        assay_field_set(f, h->block, to, assay_field_get(f, h->block, from));
        if (!decoded_explains(h))
            continue;
        h->guess = f->kind == ASSAY_FIELD_SCALE ? "scale index" : "min index";
        mark(h, f, to);
        snprintf(h->text, sizeof h->text,
                 "with %s[%u] in place of %s[%u] the weights are those found", f->name, from,
                 f->name, to);
        return true;
    }
    return false;
}

static size_t plane_position(const struct assay_field *f, const struct assay_field_plane *p,
                             unsigned e) {
    return assay_field_position(&(struct assay_field_bit){f, e, p->low});
}

/* Codes of 4 or 2 bits, taken from each byte in the opposite order. */
static bool byte_reversed(struct hypothesis *h, const struct assay_field *f) {
    const struct assay_field_plane *p = &f->planes[0];

    if (f->kind != ASSAY_FIELD_CODE || (p->width != 4 && p->width != 2))
        return false;
    restore(h);
    for (unsigned i = 0; i < p->count; i++) {
        size_t at = plane_position(f, p, p->first + i);
        uint32_t mask = (1u << p->width) - 1;
        uint32_t other = h->e->block[at / 8] >> (8 - p->width - at % 8) & mask;
        uint32_t value = assay_field_get(f, h->block, p->first + i);
        assay_field_set(f, h->block, p->first + i, (value & ~(mask << p->low)) | other << p->low);
    }
    if (!decoded_explains(h))
        return false;
    h->guess = p->width == 4 ? "nibble order" : "order of bit pairs";
    mark(h, f, f->count);
    snprintf(h->text, sizeof h->text,
             "with the %s of every code byte exchanged the weights are those found",
             p->width == 4 ? "nibbles" : "bit pairs");
    return true;
}

static bool codes_permuted(struct hypothesis *h, const struct assay_field *f) {
    if (f->kind != ASSAY_FIELD_CODE && f->kind != ASSAY_FIELD_POINT)
        return false;
    for (unsigned mask = 1; mask < f->count; mask *= 2) {
        restore(h);
        for (unsigned e = 0; e < f->count; e++)
            if ((e ^ mask) < f->count)
                assay_field_set(f, h->block, e, assay_field_get(f, h->e->block, e ^ mask));
        if (!decoded_explains(h))
            continue;
        h->guess = "order of codes";
        mark(h, f, f->count);
        snprintf(h->text, sizeof h->text,
                 "with %s[i ^ %u] in place of %s[i] the weights are those found", f->name, mask,
                 f->name);
        return true;
    }
    return false;
}

/* ---- Bits ---- */

static const char *plane_name(const struct assay_field_plane *p) {
    return p->low > 0 ? "high bits" : "bits";
}

/* Sets the bits of a plane to what lies `by` bits up in the byte; nothing, beyond its end. */
static void shift_plane(struct hypothesis *h, const struct assay_field *f,
                        const struct assay_field_plane *p, int by) {
    uint32_t mask = (1u << p->width) - 1;

    for (unsigned i = 0; i < p->count; i++) {
        size_t at = plane_position(f, p, p->first + i);
        uint32_t byte = h->e->block[at / 8], value = assay_field_get(f, h->block, p->first + i);
        int shift = (int)(at % 8) + by;
        uint32_t bits = (shift >= 0 ? byte >> shift : byte << -shift) & mask;
        assay_field_set(f, h->block, p->first + i, (value & ~(mask << p->low)) | bits << p->low);
    }
}

static bool plane_shifted(struct hypothesis *h, const struct assay_field *f) {
    for (unsigned i = 0; i < ASSAY_FIELD_PLANES && f->planes[i].count > 0; i++) {
        const struct assay_field_plane *p = &f->planes[i];
        if (p->width >= 8)
            continue;
        for (int by = -7; by <= 7; by++) {
            restore(h);
            shift_plane(h, f, p, by);
            if (by == 0 || !decoded_explains(h))
                continue;
            h->guess = p->low > 0 ? "high bits shifted" : "bits shifted";
            mark(h, f, f->count);
            snprintf(h->text, sizeof h->text,
                     "with the %s of %s read %d bit%s too %s the weights are those found",
                     plane_name(p), f->name, abs(by), abs(by) == 1 ? "" : "s",
                     by > 0 ? "high" : "low");
            return true;
        }
    }
    return false;
}

static bool plane_dropped(struct hypothesis *h, const struct assay_field *f) {
    for (unsigned i = 0; i < ASSAY_FIELD_PLANES && f->planes[i].count > 0; i++) {
        const struct assay_field_plane *p = &f->planes[i];
        uint32_t mask = p->width < 32 ? ((1u << p->width) - 1) << p->low : UINT32_MAX;
        restore(h);
        for (unsigned e = p->first; e < p->first + (unsigned)p->count; e++)
            assay_field_set(f, h->block, e, assay_field_get(f, h->block, e) & ~mask);
        if (!decoded_explains(h))
            continue;
        h->guess = p->low > 0 ? "high bits dropped" : "bits dropped";
        mark(h, f, f->count);
        snprintf(h->text, sizeof h->text, "with the %s of %s = 0 the weights are those found",
                 plane_name(p), f->name);
        return true;
    }
    return false;
}

static bool bit_flipped(struct hypothesis *h, const struct assay_field *f) {
    char name[32];

    for (unsigned i = 0; i < f->count * (unsigned)f->bits; i++) {
        unsigned e = i / f->bits, bit = i % f->bits;
        if (!reaches_wrong(h, f, e))
            continue;
        restore(h);
        assay_field_set(f, h->block, e, assay_field_get(f, h->block, e) ^ 1u << bit);
        if (!decoded_explains(h))
            continue;
        h->guess = "one bit misread";
        mark(h, f, e);
        h->field.bit = bit;
        snprintf(h->text, sizeof h->text, "with bit %u of %s flipped the weights are those found",
                 bit, assay_field_name(f, e, name, sizeof name));
        return true;
    }
    return false;
}

/* ---- Weights ---- */

static bool block_skipped(struct hypothesis *h) {
    for (size_t i = 0; i < len_of(h); i++)
        if (h->e->got[i] != 0)
            return false;
    h->has_field = false;
    h->guess = "block skipped";
    snprintf(h->text, sizeof h->text, "the kernel multiplies with 0 throughout this block");
    return true;
}

/* Every weight comes out as a number of few bits. */
static bool narrow(struct hypothesis *h) {
    bool half = true, bf16 = true;

    for (size_t i = 0; i < len_of(h); i++) {
        float got = h->e->got[i];
        double error = fabs(got - h->e->expected[i]), size = fabs(h->e->expected[i]);
        half = half && error <= ldexp(size, -11) + 0x1p-25 &&
               assay_ref_from_fp16(assay_ref_to_fp16(got)) == got;
        bf16 = bf16 && error <= ldexp(size, -8) && (assay_ref_float_bits(got) & 0xffff) == 0;
    }
    if (!half && !bf16)
        return false;
    h->has_field = false;
    h->guess = half ? "fp16 accumulation" : "bf16 accumulation";
    snprintf(h->text, sizeof h->text,
             "each weight by itself comes out rounded to %s: products or sums are held in it",
             half ? "binary16" : "bfloat16");
    return true;
}

static bool min_sign(struct hypothesis *h) {
    float mins[ASSAY_MAX_BLOCK_LEN];
    const struct assay_type_traits *t = h->e->type;

    if (t->min_terms == NULL)
        return false;
    t->dequant(h->e->block, h->weights);
    t->min_terms(h->e->block, mins);
    for (size_t i = 0; i < len_of(h); i++)
        h->weights[i] -= 2 * mins[i];
    h->has_field = false;
    if (!explains(h->e, h->weights))
        return false;
    h->guess = "sign of min";
    snprintf(h->text, sizeof h->text, "with the mins of opposite sign the weights are those found");
    return true;
}

static bool constant_factor(struct hypothesis *h) {
    double least = INFINITY, most = -INFINITY;
    size_t wrong = 0;

    for (size_t i = 0; i < len_of(h); i++)
        if (h->e->wrong[i]) {
            double ratio = h->e->got[i] / h->e->expected[i];
            if (!isfinite(ratio))
                return false;
            least = fmin(least, ratio);
            most = fmax(most, ratio);
            wrong++;
        }
    if (wrong < 4 || most - least > 1e-3 * fmax(fabs(least), fabs(most)))
        return false;
    h->has_field = false;
    h->guess = "wrong scale";
    snprintf(h->text, sizeof h->text,
             "every one of the %zu wrong weights is %.6g times what it should be", wrong,
             (least + most) / 2);
    return true;
}

static bool displaced(struct hypothesis *h) {
    int len = (int)len_of(h);

    for (int by = -len / 2; by <= len / 2; by++) {
        size_t same = 0, wrong = 0;
        for (int i = 0; by != 0 && i < len; i++) {
            if (!h->e->wrong[i] || i + by < 0 || i + by >= len)
                continue;
            wrong++;
            same +=
                fabs(h->e->got[i] - h->e->expected[i + by]) <= h->e->bound[i] + h->e->bound[i + by];
        }
        if (wrong < 8 || same < wrong)
            continue;
        h->has_field = false;
        h->guess = "weights displaced";
        snprintf(h->text, sizeof h->text, "weight i is what weight i%+d should be", by);
        return true;
    }
    return false;
}

/* All wrong weights at one place modulo a vector's length. */
static bool lane(struct hypothesis *h) {
    for (size_t lanes = 64; lanes >= 4; lanes /= 2) {
        size_t at = SIZE_MAX, count = 0;
        bool one = true;
        for (size_t i = 0; i < len_of(h) && one; i++)
            if (h->e->wrong[i]) {
                one = at == SIZE_MAX || at == i % lanes;
                at = i % lanes;
                count++;
            }
        if (!one || count < 2 || 2 * count < len_of(h) / lanes)
            continue;
        h->has_field = false;
        h->guess = "lane";
        snprintf(h->text, sizeof h->text,
                 "all %zu wrong weights are at k mod %zu = %zu: lane %zu of %zu", count, lanes, at,
                 at, lanes);
        return true;
    }
    return false;
}

/* ---- All of them ---- */

/* Without a hypothesis: the element of fewest weights that reaches all wrong ones. An error that is
 * the same in all of them speaks for a min. */
static void nearest_field(struct hypothesis *h) {
    size_t n, fewest = SIZE_MAX, count = 0;
    const struct assay_field *fields = assay_fields(h->e->type, &n);
    double least = INFINITY, most = -INFINITY;

    for (size_t i = 0; i < len_of(h); i++)
        if (h->e->wrong[i]) {
            double error = h->e->got[i] - h->e->expected[i];
            least = fmin(least, error);
            most = fmax(most, error);
            count++;
        }
    h->has_field = false;
    for (size_t i = 0; i < n * ASSAY_MAX_BLOCK_LEN; i++) {
        const struct assay_field *f = &fields[i / ASSAY_MAX_BLOCK_LEN];
        unsigned e = i % ASSAY_MAX_BLOCK_LEN;
        bool offset = most - least <= 1e-3 * fmax(fabs(least), fabs(most)) && count > 1;
        bool all = e < f->count && f->kind != ASSAY_FIELD_DERIVED;
        for (size_t k = 0; k < len_of(h) && all; k++)
            all = !h->e->wrong[k] || assay_field_reaches(f, e, k);
        if (all && (f->weights < fewest ||
                    (f->weights == fewest && offset && f->kind == ASSAY_FIELD_MIN))) {
            fewest = f->weights;
            h->field = (struct assay_field_bit){f, e, 0};
            h->has_field = true;
        }
    }
    h->guess = "decoding";
    snprintf(h->text, sizeof h->text, "%zu of %zu weights of the block are wrong, each on its own",
             count, len_of(h));
}

/* The likeliest first; of two that both stand, the simpler. */
static bool guess(struct hypothesis *h) {
    static bool (*const of_fields[])(struct hypothesis *, const struct assay_field *) = {
        element_dropped, field_dropped, index_off,      byte_reversed, plane_shifted,
        plane_dropped,   index_wrong,   codes_permuted, bit_flipped,
    };
    size_t n;
    const struct assay_field *fields = assay_fields(h->e->type, &n);

    if (block_skipped(h) || narrow(h) || min_sign(h))
        return true;
    for (size_t i = 0; i < sizeof of_fields / sizeof of_fields[0]; i++)
        for (size_t f = 0; f < n; f++)
            if (fields[f].kind != ASSAY_FIELD_DERIVED && of_fields[i](h, &fields[f]))
                return true;
    return lane(h) || constant_factor(h) || displaced(h);
}

void assay_diagnose_block(struct assay_diagnosis *d, const struct assay_block_evidence *e) {
    struct hypothesis h = {.e = e};

    if (e->type->block_bytes > MAX_BLOCK_BYTES)
        return;
    if (!guess(&h))
        nearest_field(&h);
    snprintf(d->guess, sizeof d->guess, "%s", h.guess);
    snprintf(d->evidence, sizeof d->evidence, "%s", h.text);
    d->has_field = h.has_field;
    d->field = h.field;
}
