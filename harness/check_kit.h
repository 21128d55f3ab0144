/* What the checks of behaviour (special values, invariance, metamorphic relations, memory, hygiene)
 * share: a run with its first finding, operands with their reference, and single products. */
#ifndef ASSAY_HARNESS_CHECK_KIT_H
#define ASSAY_HARNESS_CHECK_KIT_H

#include "check.h"
#include "datasets/generate.h"
#include "ref/gemm.h"

/* ---- A run ---- */

/* A check stops at its first finding: every function below does nothing once there is one. */
struct assay_check_run {
    const struct assay_check_env *env;
    struct assay_ctx *ctx; /* of env->runner */
    size_t tested;         /* outputs judged */
    json_t *finding;
};

/* False, with the finding made, if no context could be created. */
bool assay_check_begin(struct assay_check_run *r, const struct assay_check_env *env);
/* Frees the context. Returns the finding, or a pass. */
json_t *assay_check_end(struct assay_check_run *r);

/* A further context of the same backend, with `threads` threads. NULL: the finding is made. */
struct assay_ctx *assay_check_context(struct assay_check_run *r, int threads);

/* True, with a skip made in *result, if the backend does not claim all of `claims`. */
bool assay_check_unclaimed(const struct assay_check_env *env, unsigned claims, json_t **result);

/* The finding that memory ran out in the harness. */
void assay_check_no_memory(struct assay_check_run *r);

/* Adds shape and element to the finding. The numbers of an element that are NULL are left out. */
void assay_check_shape(struct assay_check_run *r, size_t m, size_t n, size_t k);
void assay_check_element(struct assay_check_run *r, size_t row, size_t column, const float *got,
                         const double *expected, const double *bound);

/* ---- Operands ---- */

/* Row lengths for a type: several blocks, and no multiple of what a kernel takes at a time. */
size_t assay_check_k(const struct assay_type_traits *t);

/* n, or the next multiple of 32 where a variant refuses a matrix of n rows (a repacked layout). */
size_t assay_check_rows(struct assay_check_run *r, const struct assay_type_traits *t, size_t n,
                        size_t k);

#define ASSAY_CHECK_PATHS 16

/* Batch sizes from 1 to `limit` that reach every kernel which the context names, at the edge of its
 * range and inside it, with the odd sizes around 4 and 8 at which kernels change tiles. Ascending;
 * returns how many, at most ASSAY_CHECK_PATHS. */
size_t assay_check_paths(const struct assay_check_run *r, size_t limit, size_t *m);

/* W of n rows, x of m rows, and the reference product in the arithmetic classes asked for so far.
 */
struct assay_operands {
    const struct assay_type_traits *type;
    size_t m, n, k, row_bytes;
    uint8_t *w;
    float *x;
    struct assay_oracle *oracles;
};

/* Random blocks and N(0,1) activations. False, with the finding made, if memory ran out. */
bool assay_operands_new(struct assay_operands *o, struct assay_check_run *r,
                        const struct assay_type_traits *t, size_t m, size_t n, size_t k,
                        uint64_t stream);
void assay_operands_free(struct assay_operands *o); /* a zeroed struct is allowed */

/* m × n elements, row-major, of the class that the context declares for `batch` rows of x. The
 * operands must not change after the first call. NULL: the finding is made. */
const struct assay_ref_elem *assay_operands_reference(struct assay_operands *o,
                                                      struct assay_check_run *r, size_t batch,
                                                      struct assay_arith *arith);

/* ---- Products ---- */

/* What is multiplied: any window of operands, or copies of them. */
struct assay_product {
    const struct assay_type_traits *type;
    const uint8_t *w;
    const float *x;
    size_t m, n, k;
    float *y;
    size_t ldy;
};

/* A NaN that no arithmetic produces. */
void assay_check_poison(float *y, size_t count);
bool assay_check_poisoned(float v);

/* Multiplies through a store of its own. False if there is no result: an error is a finding; a
 * variant that refuses the shape leaves none. y is as it was before: poison it. */
bool assay_check_product(struct assay_check_run *r, struct assay_ctx *ctx,
                         const struct assay_product *p);

/* The window of operands with rows [i0, i0 + m) of x and [j0, j0 + n) of W, y contiguous. */
struct assay_product assay_operands_window(const struct assay_operands *o, size_t i0, size_t m,
                                           size_t j0, size_t n, float *y);

/* The next two count what they compare in r->tested and return false after a finding. */

/* Judges a window's y by the bounds of the reference. An element whose magnitude sum is zero must
 * be exactly zero; where the reference is not finite any non-finite number will do. `what` (what
 * was computed) opens the finding. */
bool assay_check_bounds(struct assay_check_run *r, struct assay_operands *o, size_t i0, size_t j0,
                        const struct assay_product *p, const char *what);

/* One element by that rule. */
bool assay_check_acceptable(const struct assay_ref_elem *e, double bound, float got);

/* Compares rows × cols elements bit for bit (any NaN equals any NaN). Findings give (row0 + i,
 * col0 + j); `claim` says what is broken. */
bool assay_check_same(struct assay_check_run *r, const float *got, size_t ld_got,
                      const float *expected, size_t ld_expected, size_t rows, size_t cols,
                      size_t row0, size_t col0, const char *claim);

uint32_t assay_check_float_bits(float f);
float assay_check_bits_float(uint32_t bits);

#endif
