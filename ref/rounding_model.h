/* The rounding model: how far a correct kernel strays as a rule, where ref/bounds.h says how far it
 * can stray at worst. Derivation in rounding_model.c.
 *
 * Every limit is exceeded by a correct kernel with probability at most e^-nats. */
#ifndef ASSAY_REF_ROUNDING_MODEL_H
#define ASSAY_REF_ROUNDING_MODEL_H

#include "gemm.h"

/* Largest standard deviation of got - e->yq for a correct kernel of class `a` that sums k products,
 * where the activations' signs are independent and fair. 0 where the model says nothing: the
 * reference is zero or not finite, products may underflow or sums overflow, or the class is
 * ASSAY_WEIGHT_SHIFTED or _Q8, whose sums are not of the products alone. */
double assay_rounding_sigma(const struct assay_arith *a, const struct assay_type_traits *t,
                            size_t k, const struct assay_ref_elem *e);

/* For z = (got - yq)/sigma. The mean of |z| over outputs that stem from `units` (>= 1) rows of x:
 * over the outputs of each row first, then over the rows. With one unit, |z| of a single output. */
double assay_limit_mean_abs(size_t units, double nats);

/* |ΣU|/sqrt(ΣU²) over independent U, each as likely as -U. */
double assay_limit_symmetric(double nats);

/* |Σ S|/units of independent S in [-1,1] of mean 0. */
double assay_limit_mean_sign(size_t units, double nats);

#endif
