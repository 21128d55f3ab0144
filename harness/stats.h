/* Robust statistics of timing samples. */
#ifndef ASSAY_HARNESS_STATS_H
#define ASSAY_HARNESS_STATS_H

#include <stddef.h>
#include <stdint.h>

/* All of these take n >= 1 finite values in any order and leave them as they are, but may allocate;
 * where memory runs out the result is NaN. */

/* Quantile q of 0…1 by linear interpolation between order statistics (Hyndman and Fan, "Sample
 * Quantiles in Statistical Packages", The American Statistician 50(4), 1996: definition 7). */
double assay_quantile(const double *x, size_t n, double q);
double assay_median(const double *x, size_t n);

/* Median absolute deviation from the median, unscaled. */
double assay_mad(const double *x, size_t n);

struct assay_interval {
    double low, high;
};

/* Percentile bootstrap interval of the median at the given confidence (Efron, "Bootstrap Methods:
 * Another Look at the Jackknife", Annals of Statistics 7(1), 1979), from `resamples` resamples
 * drawn from a generator seeded with `seed`. */
struct assay_interval assay_bootstrap_median(const double *x, size_t n, double confidence,
                                             size_t resamples, uint64_t seed);

/* The same of median(y) / median(x), of samples that are independent of each other: both are
 * resampled. Drift between two runs is not in it. */
struct assay_interval assay_bootstrap_ratio(const double *x, size_t nx, const double *y, size_t ny,
                                            double confidence, size_t resamples, uint64_t seed);

#endif
