#include "stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/rng.h"
#include "no_memory.h"

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void sort(double *x, size_t n) { qsort(x, n, sizeof *x, compare); }

static double sorted_quantile(const double *x, size_t n, double q) {
    double position = q * (double)(n - 1);
    size_t below = (size_t)position;

    if (below + 1 >= n)
        return x[n - 1];
    return x[below] + (position - (double)below) * (x[below + 1] - x[below]);
}

static double *copy_of(const double *x, size_t n) {
    double *copy = malloc(n * sizeof *copy);

    if (copy != NULL)
        memcpy(copy, x, n * sizeof *copy);
    else
        assay_no_memory_note();
    return copy;
}

double assay_quantile(const double *x, size_t n, double q) {
    double *s = copy_of(x, n), result;

    if (s == NULL)
        return NAN;
    sort(s, n);
    result = sorted_quantile(s, n, q);
    free(s);
    return result;
}

double assay_median(const double *x, size_t n) { return assay_quantile(x, n, 0.5); }

double assay_mad(const double *x, size_t n) {
    double *deviation = copy_of(x, n), centre = assay_median(x, n), result;

    if (deviation == NULL)
        return NAN;
    for (size_t i = 0; i < n; i++)
        deviation[i] = fabs(x[i] - centre);
    sort(deviation, n);
    result = sorted_quantile(deviation, n, 0.5);
    free(deviation);
    return result;
}

/* The median of n values drawn from x with replacement; `draw` has room for them. */
static double resampled_median(const double *x, size_t n, double *draw, struct assay_rng *rng) {
    for (size_t i = 0; i < n; i++)
        draw[i] = x[assay_rng_below(rng, (uint32_t)n)];
    sort(draw, n);
    return sorted_quantile(draw, n, 0.5);
}

struct assay_interval assay_bootstrap_median(const double *x, size_t n, double confidence,
                                             size_t resamples, uint64_t seed) {
    struct assay_interval result = {NAN, NAN};
    double *medians = malloc(resamples * sizeof *medians), *draw = malloc(n * sizeof *draw);
    struct assay_rng rng;

    if (medians != NULL && draw != NULL) {
        assay_rng_seed(&rng, seed);
        for (size_t r = 0; r < resamples; r++)
            medians[r] = resampled_median(x, n, draw, &rng);
        sort(medians, resamples);
        result.low = sorted_quantile(medians, resamples, (1 - confidence) / 2);
        result.high = sorted_quantile(medians, resamples, (1 + confidence) / 2);
    } else {
        assay_no_memory_note();
    }
    free(medians);
    free(draw);
    return result;
}

struct assay_interval assay_bootstrap_ratio(const double *x, size_t nx, const double *y, size_t ny,
                                            double confidence, size_t resamples, uint64_t seed) {
    struct assay_interval result = {NAN, NAN};
    double *ratios = malloc(resamples * sizeof *ratios);
    double *draw = malloc((nx > ny ? nx : ny) * sizeof *draw);
    struct assay_rng rng;

    if (ratios != NULL && draw != NULL) {
        assay_rng_seed(&rng, seed);
        for (size_t r = 0; r < resamples; r++) {
            const double below = resampled_median(x, nx, draw, &rng);
            ratios[r] = resampled_median(y, ny, draw, &rng) / below;
        }
        sort(ratios, resamples);
        result.low = sorted_quantile(ratios, resamples, (1 - confidence) / 2);
        result.high = sorted_quantile(ratios, resamples, (1 + confidence) / 2);
    } else {
        assay_no_memory_note();
    }
    free(ratios);
    free(draw);
    return result;
}
