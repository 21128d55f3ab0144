/* The gate's statistics: exact quantities by hand, error rates by simulation. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

#include "datasets/rng.h"
#include "harness/gate/sequential.h"

Test(sequential, ranks_are_those_of_the_sign_test) {
    /* P(Bin(10, ½) < 2) = 11/1024, P(Bin(10, ½) < 3) = 56/1024. */
    cr_expect_eq(assay_sign_rank(10, 0.05), 2);
    cr_expect_eq(assay_sign_rank(10, 11.0 / 1024 + 1e-12), 2);
    cr_expect_eq(assay_sign_rank(10, 11.0 / 1024 - 1e-9), 1);
    cr_expect_eq(assay_sign_rank(10, 0.9 / 1024), 0, "too few pairs for any interval");
    /* Conover's large n: n/2 - z √n / 2 = 500 - 1.96 · 15.8 = 469. */
    cr_expect_eq(assay_sign_rank(1000, 0.025), 469);
}

Test(sequential, interval_is_made_of_order_statistics) {
    double x[10];

    for (int i = 0; i < 10; i++)
        x[(i * 7) % 10] = log(1 + i);
    struct assay_ratio r = assay_ratio_of(x, 10, 0.05);
    cr_expect_float_eq(r.low, 2, 1e-12);
    cr_expect_float_eq(r.high, 9, 1e-12);
    cr_expect_float_eq(r.median, sqrt(5.0 * 6.0), 1e-12);
    r = assay_ratio_of(x, 10, 1e-6);
    cr_expect_eq(r.low, 0);
    cr_expect(isinf(r.high));
    cr_expect_float_eq(x[7], log(2), 1e-12, "the values stay as they were");
}

Test(sequential, levels_of_all_looks_and_cases_add_up_to_alpha) {
    double sum = 0;

    for (size_t look = 0; look < ASSAY_SEQUENTIAL_LOOKS; look++)
        sum += 5 * assay_sequential_level(look, 0.01, 5);
    cr_expect_float_eq(sum, 0.01, 1e-12);
}

Test(sequential, decides_by_the_whole_interval) {
    static const struct {
        struct assay_ratio r;
        enum assay_change change;
    } rows[] = {
        {{1.05, 1.031, 1.07}, ASSAY_REGRESSED}, {{1.05, 1.029, 1.07}, ASSAY_UNDECIDED},
        {{1.00, 0.98, 1.029}, ASSAY_SAME},      {{1.00, 0.97, 1.02}, ASSAY_UNDECIDED},
        {{0.9, 0.85, 0.96}, ASSAY_IMPROVED},    {{0.96, 0.95, 0.98}, ASSAY_UNDECIDED},
        {{1.0, 0, INFINITY}, ASSAY_UNDECIDED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_expect_eq(assay_change_of(&rows[i].r, 0.03), rows[i].change, "row %zu", i);
}

/* ---- Error rates ------------------------------------------------------------------------------
 *
 * A seeded model of the noise of a busy machine: log-normal of 2 %, and one sample in five that is
 * preempted and takes up to twice as long. */

static double log_time(struct assay_rng *rng, double slowdown) {
    double t = log(slowdown) + 0.02 * assay_rng_normal(rng);
    return assay_rng_unit(rng) < 0.2 ? t + log(1 + assay_rng_unit(rng)) : t;
}

/* One case of a gate run; *pairs is what it took. */
static enum assay_change judge(struct assay_rng *rng, double ratio, double alpha, size_t cases,
                               size_t *pairs) {
    static double x[ASSAY_SEQUENTIAL_FIRST << (ASSAY_SEQUENTIAL_LOOKS - 1)];
    enum assay_change change = ASSAY_UNDECIDED;

    *pairs = 0;
    for (size_t look = 0; look < ASSAY_SEQUENTIAL_LOOKS && change == ASSAY_UNDECIDED; look++) {
        for (; *pairs < assay_sequential_pairs(look); ++*pairs)
            x[*pairs] = log_time(rng, ratio) - log_time(rng, 1);
        struct assay_ratio r =
            assay_ratio_of(x, *pairs, assay_sequential_level(look, alpha, cases));
        change = assay_change_of(&r, 0.03);
    }
    return change;
}

/* Largest count that n trials of probability p exceed with a chance of less than 10^-6: binomial
 * tail, summed exactly. An honest build fails such a test once in a million seeds, and the seed is
 * fixed. */
static size_t most_of(size_t n, double p) {
    double tail = 1;

    for (size_t c = 0; c <= n; c++) {
        tail -= exp(lgamma((double)n + 1) - lgamma((double)c + 1) - lgamma((double)(n - c) + 1) +
                    (double)c * log(p) + (double)(n - c) * log1p(-p));
        if (tail < 1e-6)
            return c;
    }
    return n;
}

/* The worst null: a true ratio of exactly 1 + δ. Each case alone may be called regressed in less
 * than α of the runs. */
Test(sequential, keeps_alpha_where_the_ratio_is_the_least_effect) {
    enum { TRIALS = 2000 };
    struct assay_rng rng;
    size_t regressed = 0, pairs;

    assay_rng_seed(&rng, 1);
    for (int i = 0; i < TRIALS; i++)
        regressed += judge(&rng, 1.03, 0.05, 1, &pairs) == ASSAY_REGRESSED;
    cr_expect_leq(regressed, most_of(TRIALS, 0.05), "%zu of %d", regressed, TRIALS);
    cr_expect_gt(regressed, 0, "no error at all at α = 5 %%: the test is not run");
}

/* "Same" is a claim too: a true ratio just beyond 1 + δ gets it in less than α of the runs. */
Test(sequential, keeps_alpha_of_calling_a_change_the_same) {
    enum { TRIALS = 2000 };
    struct assay_rng rng;
    size_t same = 0, pairs;

    assay_rng_seed(&rng, 2);
    for (int i = 0; i < TRIALS; i++)
        same += judge(&rng, 1.0301, 0.05, 1, &pairs) == ASSAY_SAME;
    cr_expect_leq(same, most_of(TRIALS, 0.05), "%zu of %d", same, TRIALS);
}

/* Largest count that n trials of probability p stay at or below with a chance of at most 10^-3: so
 * few events prove, at that level, that the probability is less than p. */
static size_t proof_of_less(size_t n, double p) {
    double sum = 0;

    for (size_t c = 0; c <= n; c++) {
        sum += exp(lgamma((double)n + 1) - lgamma((double)c + 1) - lgamma((double)(n - c) + 1) +
                   (double)c * log(p) + (double)(n - c) * log1p(-p));
        if (sum > 1e-3)
            return c - 1;
    }
    return n;
}

enum { RUNS = 1000, CASES = 8 };

/* The bars of the self-test, in the model: whole gates of eight cases. */
Test(sequential, accuses_equal_versions_in_less_than_one_run_of_a_hundred) {
    struct assay_rng rng;
    size_t alarms = 0, undecided = 0, pairs, sum = 0;

    assay_rng_seed(&rng, 3);
    for (int i = 0; i < RUNS; i++) {
        bool alarm = false;
        for (int c = 0; c < CASES; c++) {
            enum assay_change change = judge(&rng, 1, 0.01, CASES, &pairs);
            alarm = alarm || change == ASSAY_REGRESSED;
            undecided += change == ASSAY_UNDECIDED;
            sum += pairs;
        }
        alarms += alarm;
    }
    cr_expect_leq(alarms, proof_of_less(RUNS, 0.01), "%zu of %d", alarms, RUNS);
    cr_expect_leq(undecided, RUNS * CASES / 100, "%zu undecided", undecided);
    cr_expect_lt(sum / (RUNS * CASES), 200, "equal versions are soon seen to be: %zu pairs",
                 sum / (RUNS * CASES));
}

static void expect_power(double ratio, double power, uint64_t seed) {
    struct assay_rng rng;
    size_t missed = 0, pairs;

    assay_rng_seed(&rng, seed);
    for (int i = 0; i < RUNS; i++)
        missed += judge(&rng, ratio, 0.01, CASES, &pairs) != ASSAY_REGRESSED;
    cr_expect_leq(missed, proof_of_less(RUNS, 1 - power), "%g: missed %zu of %d", ratio, missed,
                  RUNS);
}

Test(sequential, finds_slowdowns_of_five_and_ten_per_cent) {
    expect_power(1.05, 0.95, 4);
    expect_power(1.10, 0.99, 5);
}
