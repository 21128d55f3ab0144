#include "sequential.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *assay_change_name(enum assay_change c) {
    static const char *const names[] = {
        [ASSAY_UNDECIDED] = "undecided",
        [ASSAY_SAME] = "same",
        [ASSAY_REGRESSED] = "regressed",
        [ASSAY_IMPROVED] = "improved",
    };
    return names[c];
}

size_t assay_sequential_pairs(size_t look) { return (size_t)ASSAY_SEQUENTIAL_FIRST << look; }

/* Looks see 1, 2, 4 … times the first one's pairs, which add up to 2^looks - 1. */
double assay_sequential_level(size_t look, double alpha, size_t cases) {
    double share =
        (double)((size_t)1 << look) / (double)(((size_t)1 << ASSAY_SEQUENTIAL_LOOKS) - 1);
    return alpha * share / (double)cases;
}

size_t assay_sign_rank(size_t n, double level) {
    const double all = lgamma((double)n + 1) - (double)n * log(2);
    double sum = 0;

    for (size_t r = 0; r <= n / 2; r++) {
        sum += exp(all - lgamma((double)r + 1) - lgamma((double)(n - r) + 1));
        if (sum > level)
            return r;
    }
    return n / 2;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct assay_ratio assay_ratio_of(const double *x, size_t n, double level) {
    struct assay_ratio result = {NAN, 0, INFINITY};
    size_t r = assay_sign_rank(n, level);
    double *s = malloc(n * sizeof *s);

    if (s == NULL)
        return result;
    memcpy(s, x, n * sizeof *s);
    qsort(s, n, sizeof *s, compare);
    result.median = exp(n % 2 == 1 ? s[n / 2] : (s[n / 2 - 1] + s[n / 2]) / 2);
    if (r > 0) {
        result.low = exp(s[r - 1]);
        result.high = exp(s[n - r]);
    }
    free(s);
    return result;
}

enum assay_change assay_change_of(const struct assay_ratio *r, double min_effect) {
    const double slower = 1 + min_effect, faster = 1 / slower;

    if (r->low > slower)
        return ASSAY_REGRESSED;
    if (r->high < faster)
        return ASSAY_IMPROVED;
    return r->low > faster && r->high < slower ? ASSAY_SAME : ASSAY_UNDECIDED;
}
