/* Probes: products of chosen blocks with rows of x that have few non-zero elements. What is zero
 * adds exactly, so that the outputs are known to a few ulp and a single wrong weight shows. */
#ifndef ASSAY_HARNESS_PROBE_H
#define ASSAY_HARNESS_PROBE_H

#include "check_kit.h"
#include "guard.h"
#include "ref/gemm.h"

/* ---- The kernels ---- */

/* One batch size for each kernel that the context names for up to 64 rows, and `limit` for the last
 * one; at most ASSAY_CHECK_PATHS. Returns how many. */
size_t assay_probe_kernels(const struct assay_check_run *r, size_t limit, size_t *m);

/* ASSAY_WEIGHT_F16 if any of these kernels rounds its weights so, as the narrower range serves all.
 */
enum assay_weight_arith assay_probe_weights(const struct assay_check_run *r);

/* True if all of them multiply with the activations as given: a plain type's weight times a power
 * of two is then due to the bit. */
bool assay_probe_keeps_acts(const struct assay_check_run *r);

/* ---- The matrix ---- */

struct assay_probe_matrix {
    const struct assay_type_traits *type;
    size_t n, k, row_bytes;
    struct assay_guard w;
    struct assay_store *store;

    /* Decoded as the arithmetic class `as` multiplies, at the first product in that class. */
    bool decoded;
    enum assay_weight_arith as;
    float *weight; /* n × k */
    double *mag;   /* n × k: |a|+|b|, or |w| (struct assay_ref_elem) */
    bool *finite;  /* n */

    /* x->count × n outputs, for the rows and the class that they were last multiplied with. */
    const struct assay_probe_rows *x;
    struct assay_arith arith;
    struct assay_ref_elem *expected;
};

/* Zeroed blocks, to be filled by the caller and then sealed: made read-only and given to the
 * backend, without the last rows if it takes whole tiles only. False, with the finding made, if
 * that fails. Free in any case. */
bool assay_probe_matrix_new(struct assay_probe_matrix *w, struct assay_check_run *r, size_t n,
                            size_t k);
bool assay_probe_matrix_seal(struct assay_probe_matrix *w, struct assay_check_run *r);
void assay_probe_matrix_free(struct assay_probe_matrix *w); /* a zeroed struct is allowed */

uint8_t *assay_probe_block(const struct assay_probe_matrix *w, size_t row, size_t block);

/* ---- The rows of x ---- */

struct assay_probe_rows {
    size_t count, k;
    struct assay_guard x;
    bool exact; /* nothing that a kernel computes from them rounds: the bound is 0 */

    /* Row i as the class `arith` rounds it: elements entry[start[i]] … entry[start[i+1] - 1]. */
    bool indexed;
    struct assay_arith arith;
    size_t *start;
    struct assay_probe_entry {
        uint32_t at;
        double x;
    } * entry;
};

/* Zeroed rows, to be filled by the caller before the first product. */
bool assay_probe_rows_new(struct assay_probe_rows *x, struct assay_check_run *r, size_t count,
                          size_t k);
void assay_probe_rows_free(struct assay_probe_rows *x); /* a zeroed struct is allowed */

static inline float *assay_probe_row(const struct assay_probe_rows *x, size_t i) {
    return (float *)x->x.data + i * x->k;
}

/* ---- Products ---- */

/* An output that is wrong: that of row `row` of x and row `column` of W. */
struct assay_probe_miss {
    size_t row, column;
    float got;
    double expected, bound;
};

/* One product of rows [i0, i0 + m) of x. */
struct assay_probe_product {
    struct assay_probe_matrix *w;
    struct assay_probe_rows *x;
    size_t i0, m;
    struct assay_arith arith;
    float *y; /* m rows, stride ldy, between fences */
    size_t ldy;
    float *base;
};

/* The output that the reference expects for row i0 + i, and its bound. */
static inline const struct assay_ref_elem *assay_probe_expect(const struct assay_probe_product *p,
                                                              size_t i, size_t j) {
    return &p->w->expected[(p->i0 + i) * p->w->n + j];
}
double assay_probe_bound(const struct assay_probe_product *p, size_t i,
                         const struct assay_ref_elem *e);

/* Makes the finding of the first wrong output, in the order of the rows of W. */
typedef json_t *(*assay_probe_explain_fn)(const struct assay_probe_product *p,
                                          const struct assay_probe_miss *miss, void *user);

/* Multiplies all rows of x, m at a time (the last m overlap with those before), and judges every
 * output. False after a finding. */
bool assay_probe_run(struct assay_check_run *r, struct assay_probe_matrix *w,
                     struct assay_probe_rows *x, size_t m, assay_probe_explain_fn explain,
                     void *user);

/* ---- Blocks ---- */

/* Fills a block so that over 256 consecutive phases every element of every field of up to 8 bits
 * takes every value, longer codebook indices together take every value, and scales run through
 * signs, fractions and a range of exponents that keeps the weights below 2^15 (with
 * ASSAY_WEIGHT_F16) or below 2^80. Never decodes to a non-finite weight. */
void assay_probe_sweep(const struct assay_type_traits *t, enum assay_weight_arith as, size_t phase,
                       uint8_t *block);

/* Columns of a matrix of so many blocks, where a block of one weight counts as a sixteenth. */
size_t assay_probe_columns(const struct assay_type_traits *t, size_t blocks);

#endif
