/* Judging an output: every element against the reference and its own bound, and what the bound
 * can't see: elements never written, writes outside, outputs that do not depend on the input. */
#ifndef ASSAY_HARNESS_COMPARE_H
#define ASSAY_HARNESS_COMPARE_H

#include <stdbool.h>
#include <stddef.h>

#include "ref/bounds.h"
#include "ref/gemm.h"

/* An m × n output with row stride ldy. It and a fence around it (before the first row, between the
 * rows where ldy > n, behind the last) are filled with one NaN of a payload that no arithmetic
 * produces. */
struct assay_output {
    float *y;
    size_t m, n, ldy;
    float *base;
    size_t base_len;
};

bool assay_output_alloc(struct assay_output *o, size_t m, size_t n, size_t ldy);
void assay_output_free(struct assay_output *o);
void assay_output_poison(struct assay_output *o);

enum assay_problem_kind {
    ASSAY_FOUND_NOTHING,
    ASSAY_FOUND_WRONG,     /* an element beyond its bound */
    ASSAY_FOUND_UNWRITTEN, /* an element that still holds the poison */
    ASSAY_FOUND_OUTSIDE,   /* a write to the fence */
    ASSAY_FOUND_CONSTANT,  /* all elements equal where the reference's are not */
};
const char *assay_problem_kind_text(enum assay_problem_kind k);

/* One element, for the report. */
struct assay_element {
    size_t row, col; /* of y */
    float got;
    double expected, bound;
    double ratio; /* |got - expected| / bound; inf where either is not finite or the bound is 0 */
};

struct assay_comparison {
    enum assay_problem_kind found;
    size_t elements, wrong;
    size_t unwritten;                   /* of the wrong ones */
    size_t unbounded;                   /* fp32 overflow is legitimate: judged by nothing */
    struct assay_element worst;         /* the first of the largest ratio; valid if any is judged */
    long long outside_row, outside_col; /* first fence element that changed, relative to y */

    /* Against the product of unrounded activations: what the class costs too. Over the elements
     * that are finite on both sides. */
    double error_squares, squares;

    /* For the constancy check: over the elements that have a finite bound. */
    size_t bounded;
    bool constant;
    float first;
    double least, most, largest_mag;
};

/* Starts a comparison of an output. */
void assay_comparison_init(struct assay_comparison *c);

/* Judges columns [col0, col0 + cols) of o against ref (m × cols, row-major). */
void assay_compare_columns(struct assay_comparison *c, const struct assay_output *o, size_t col0,
                           size_t cols, const struct assay_ref_elem *ref,
                           const struct assay_arith *arith, const struct assay_type_traits *type,
                           size_t k);

/* Judges row i of o, columns [col0, col0 + cols), against ref[cols]. */
void assay_compare_row(struct assay_comparison *c, const struct assay_output *o, size_t i,
                       size_t col0, size_t cols, const struct assay_ref_elem *ref,
                       const struct assay_arith *arith, const struct assay_type_traits *type,
                       size_t k);

/* Judges row i of o bit for bit against expected[n] (any NaN equals any NaN). */
void assay_compare_row_bits(struct assay_comparison *c, const struct assay_output *o, size_t i,
                            const float *expected);

/* The normalised mean square error, Σ (got - y)² / Σ y² for the y of unrounded activations; NaN if
 * nothing was compared or all y are 0. */
double assay_comparison_nmse(const struct assay_comparison *c);

/* Looks at the fence and at constancy, and settles c->found. */
void assay_comparison_finish(struct assay_comparison *c, const struct assay_output *o);

#endif
