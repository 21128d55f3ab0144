/* The gate's statistics: a sequential test on paired log ratios, free of assumptions about the
 * noise's distribution.
 *
 * One pair is two samples taken one right after the other, one of each version, in an order that a
 * coin decides; x = log(t_head / t_base). The parameter is the median of x, the log of the factor
 * by which head is slower.
 *
 * Each look at the data makes a confidence interval for the median from two order statistics: of n
 * pairs the number below the median is binomial(n, ½), so P(x_(r) > median) = P(Bin(n, ½) < r)
 * exactly, whatever the distribution (the sign test inverted: Conover, "Practical Nonparametric
 * Statistics", 3rd ed., section 3.2). Where the versions are equal, the coin alone makes each sign
 * fair and independent of all others, given the times: the test is a randomisation test (Fisher,
 * "The Design of Experiments", 1935, section 21) and holds under any drift and any correlation of
 * the noise. For versions that differ it needs that the sign of x - median is not correlated from
 * pair to pair.
 *
 * Looks are taken at fixed numbers of pairs, each twice the one before. The error α of a case is
 * spent over them in proportion to the pairs of each look (Lan and DeMets, "Discrete sequential
 * boundaries for clinical trials", Biometrika 70(3), 1983; Kim and DeMets, "Design and analysis of
 * group sequential tests based on the type I error spending rate function", Biometrika 74(1), 1987:
 * α(t) = α·t), and the levels of the looks are made to add up to α, which is conservative for any
 * dependence between looks (Bonferroni) and needs no normal approximation. Stopping because a time
 * limit is reached leaves the rest of α unspent. Between the cases of a run α is shared equally
 * (Bonferroni again), so that with probability 1 - α no interval of the run is too high, and with
 * the same probability none is too low.
 *
 * With δ the least effect that matters, and [L, U] the interval of the ratio:
 *
 *   L > 1 + δ                          regressed
 *   U < 1 / (1 + δ)                    improved
 *   L > 1 / (1 + δ) and U < 1 + δ      the same, as far as it matters
 *   otherwise                          go on, or undecided at the end
 *
 * So a case whose true ratio is at most 1 + δ is called regressed in less than α of all runs, and
 * one whose true ratio is beyond 1 + δ is called the same in less than α of them. */
#ifndef ASSAY_HARNESS_GATE_SEQUENTIAL_H
#define ASSAY_HARNESS_GATE_SEQUENTIAL_H

#include <stdbool.h>
#include <stddef.h>

#define ASSAY_SEQUENTIAL_LOOKS 7
#define ASSAY_SEQUENTIAL_FIRST 24 /* pairs at the first look; the seventh has 1536 */

enum assay_change { ASSAY_UNDECIDED, ASSAY_SAME, ASSAY_REGRESSED, ASSAY_IMPROVED };
const char *assay_change_name(enum assay_change c);

/* Pairs that look i (0 …) is taken at, and the error that it may make on each side. */
size_t assay_sequential_pairs(size_t look);
double assay_sequential_level(size_t look, double alpha, size_t cases);

/* Largest r with P(Bin(n, ½) < r) <= level: the interval is from the r-th smallest to the r-th
 * largest value. 0: no r, the interval is unbounded. */
size_t assay_sign_rank(size_t n, double level);

struct assay_ratio {
    double median, low, high; /* factors; low 0 and high inf where the pairs are too few */
};

/* The interval of exp(median x), each side at `level`. NAN in the median if memory ran out. x, of n
 * >= 1 values, stays as it is. */
struct assay_ratio assay_ratio_of(const double *x, size_t n, double level);

enum assay_change assay_change_of(const struct assay_ratio *r, double min_effect);

#endif
