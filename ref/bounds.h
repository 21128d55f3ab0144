/* Per-element forward error bounds of the arithmetic classes. */
#ifndef ASSAY_REF_BOUNDS_H
#define ASSAY_REF_BOUNDS_H

#include <stdbool.h>
#include <stddef.h>

#include "gemm.h"

/* Roundings that a product w_k·x̂_k passes through at most on its way into the output, in whatever
 * order a kernel of class `a` sums k of them. */
double assay_path_roundings(const struct assay_arith *a, const struct assay_type_traits *t,
                            size_t k);

/* Largest |got - e->yq| that a correct kernel of class `a` can show at inner dimension k.
 * Derivation in bounds.c. The result is +inf where fp32 overflow is legitimate, and for k beyond
 * some four million, where no useful bound exists. */
double assay_bound(const struct assay_arith *a, const struct assay_type_traits *t, size_t k,
                   const struct assay_ref_elem *e);

/* Judges one output. True iff it is acceptable:
 *   reference non-finite: got must be non-finite (which of inf and NaN depends on the order);
 *   bound finite: |got - yq| <= bound, written so that a NaN fails;
 *   bound infinite (overflow possible): anything passes but is the caller's to count.
 * *excess receives |got - yq| / bound (inf for a wrong non-finite; 0 for exact agreement, and
 * where nothing was compared). */
bool assay_within_bound(const struct assay_ref_elem *e, double bound, float got, double *excess);

#endif
