/* Where a series of measurements changes its level. */
#ifndef ASSAY_HARNESS_CHANGEPOINT_H
#define ASSAY_HARNESS_CHANGEPOINT_H

#include <stddef.h>
#include <stdint.h>

struct assay_changepoint {
    size_t at;     /* first value of the new level */
    double before; /* median of the stretch before, */
    double after;  /* and of the stretch from `at` on, each up to its neighbouring change */
    double p;      /* of the test that found it */
};

/* Binary segmentation (Scott and Knott 1974, Biometrics 30) with a permutation test (as Matteson
 * and James 2014, JASA 109, test theirs): the split of a stretch that tells the ranks of its two
 * sides apart best is a change if no more than `alpha` of 1999 random orders of the stretch have a
 * split as good; then both sides are searched. Ranks, so that single outliers are none. At least
 * three values stand on each side, and levels that differ by less than `effect` (0.03: 3 %) are
 * one.
 *
 * Writes up to `max` changes in order and returns how many there are. Deterministic by `seed`; 0
 * also where memory ran out, which is noted (no_memory.h). */
size_t assay_changepoints(const double *v, size_t n, double alpha, double effect, uint64_t seed,
                          struct assay_changepoint *out, size_t max);

#endif
