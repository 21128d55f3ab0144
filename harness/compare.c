#include "compare.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Fence before and behind the output, besides one row each: a vector kernel that overruns writes
 * whole registers. */
enum { FENCE = 64 };

static const uint32_t poison_bits = 0x7fe0dead;

static uint32_t bits_of(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static bool is_poison(float f) { return bits_of(f) == poison_bits; }

bool assay_output_alloc(struct assay_output *o, size_t m, size_t n, size_t ldy) {
    size_t fence = ldy + FENCE;

    *o = (struct assay_output){.m = m, .n = n, .ldy = ldy, .base_len = m * ldy + 2 * fence};
    o->base = malloc(o->base_len * sizeof *o->base);
    if (o->base == NULL)
        return false;
    o->y = o->base + fence;
    return true;
}

void assay_output_free(struct assay_output *o) {
    free(o->base);
    *o = (struct assay_output){.m = 0};
}

void assay_output_poison(struct assay_output *o) {
    for (size_t i = 0; i < o->base_len; i++)
        memcpy(&o->base[i], &poison_bits, sizeof poison_bits);
}

const char *assay_problem_kind_text(enum assay_problem_kind k) {
    static const char *const texts[] = {
        [ASSAY_FOUND_NOTHING] = "",
        [ASSAY_FOUND_WRONG] = "wrong value",
        [ASSAY_FOUND_UNWRITTEN] = "element not written",
        [ASSAY_FOUND_OUTSIDE] = "write outside the output",
        [ASSAY_FOUND_CONSTANT] = "all outputs equal, the reference's are not",
    };
    return texts[k];
}

void assay_comparison_init(struct assay_comparison *c) {
    *c = (struct assay_comparison){.constant = true, .least = INFINITY, .most = -INFINITY};
    c->worst.ratio = -1;
}

static void judged(struct assay_comparison *c, const struct assay_element *e, bool ok) {
    if (!ok) {
        c->wrong++;
        c->unwritten += is_poison(e->got);
    }
    if (e->ratio > c->worst.ratio)
        c->worst = *e;
}

static void compare_element(struct assay_comparison *c, const struct assay_ref_elem *ref,
                            double bound, struct assay_element *e) {
    bool ok = assay_within_bound(ref, bound, e->got, &e->ratio);

    e->expected = ref->yq;
    e->bound = bound;
    /* Poison is a NaN, which a non-finite reference or an infinite bound would let pass. */
    if (is_poison(e->got)) {
        ok = false;
        e->ratio = INFINITY;
    }
    c->elements++;
    if (isfinite(ref->y) && isfinite(e->got)) {
        c->error_squares += ((double)e->got - ref->y) * ((double)e->got - ref->y);
        c->squares += ref->y * ref->y;
    }
    if (ok && isinf(bound) && isfinite(ref->yq)) {
        c->unbounded++;
        return;
    }
    judged(c, e, ok);
    if (c->bounded++ == 0)
        c->first = e->got;
    c->constant = c->constant && bits_of(e->got) == bits_of(c->first);
    if (isfinite(ref->yq)) {
        c->least = fmin(c->least, ref->yq);
        c->most = fmax(c->most, ref->yq);
        c->largest_mag = fmax(c->largest_mag, ref->mag);
    }
}

void assay_compare_row(struct assay_comparison *c, const struct assay_output *o, size_t i,
                       size_t col0, size_t cols, const struct assay_ref_elem *ref,
                       const struct assay_arith *arith, const struct assay_type_traits *type,
                       size_t k) {
    for (size_t j = 0; j < cols; j++) {
        struct assay_element e = {i, col0 + j, o->y[i * o->ldy + col0 + j], 0, 0, 0};
        compare_element(c, &ref[j], assay_bound(arith, type, k, &ref[j]), &e);
    }
}

void assay_compare_columns(struct assay_comparison *c, const struct assay_output *o, size_t col0,
                           size_t cols, const struct assay_ref_elem *ref,
                           const struct assay_arith *arith, const struct assay_type_traits *type,
                           size_t k) {
    for (size_t i = 0; i < o->m; i++)
        assay_compare_row(c, o, i, col0, cols, ref + i * cols, arith, type, k);
}

void assay_compare_row_bits(struct assay_comparison *c, const struct assay_output *o, size_t i,
                            const float *expected) {
    for (size_t j = 0; j < o->n; j++) {
        float got = o->y[i * o->ldy + j];
        bool ok = !is_poison(got) &&
                  (bits_of(got) == bits_of(expected[j]) || (isnan(got) && isnan(expected[j])));
        struct assay_element e = {i, j, got, expected[j], 0, ok ? 0 : INFINITY};
        c->elements++;
        judged(c, &e, ok);
    }
}

double assay_comparison_nmse(const struct assay_comparison *c) {
    return c->squares > 0 ? c->error_squares / c->squares : NAN;
}

static bool fence_changed(struct assay_comparison *c, const struct assay_output *o) {
    ptrdiff_t start = o->y - o->base;

    for (size_t at = 0; at < o->base_len; at++) {
        ptrdiff_t rel = (ptrdiff_t)at - start;
        bool inside = rel >= 0 && (size_t)rel < o->m * o->ldy && (size_t)rel % o->ldy < o->n;
        if (!inside && !is_poison(o->base[at])) {
            ptrdiff_t row = rel >= 0 ? rel / (ptrdiff_t)o->ldy
                                     : -((-rel + (ptrdiff_t)o->ldy - 1) / (ptrdiff_t)o->ldy);
            c->outside_row = row;
            c->outside_col = rel - row * (ptrdiff_t)o->ldy;
            return true;
        }
    }
    return false;
}

/* Where cancellation makes the bounds wide, an output that ignores its input can lie within them.
 * A right kernel rounds; for 16 sums of different value to come out equal, each would have to be
 * rounded to the same number, which is possible only if they differ by no more than the rounding of
 * the largest partial sum, 2^-23 of mag. */
static bool is_constant(const struct assay_comparison *c) {
    return c->bounded >= 16 && c->constant && c->most - c->least > ldexp(c->largest_mag, -23);
}

void assay_comparison_finish(struct assay_comparison *c, const struct assay_output *o) {
    if (c->unwritten > 0)
        c->found = ASSAY_FOUND_UNWRITTEN;
    else if (c->wrong > 0)
        c->found = ASSAY_FOUND_WRONG;
    else if (fence_changed(c, o))
        c->found = ASSAY_FOUND_OUTSIDE;
    else if (is_constant(c))
        c->found = ASSAY_FOUND_CONSTANT;
    else
        c->found = ASSAY_FOUND_NOTHING;
}
