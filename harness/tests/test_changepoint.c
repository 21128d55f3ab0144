#include <criterion/criterion.h>

#include "datasets/rng.h"
#include "harness/changepoint.h"

/* Values about `level`, spread evenly over ± 2 %. */
static void fill(struct assay_rng *rng, double *v, size_t n, double level) {
    for (size_t i = 0; i < n; i++)
        v[i] = level * (0.98 + 0.04 * assay_rng_below(rng, 1001) / 1000);
}

Test(changepoint, two_steps_are_found_where_they_are) {
    struct assay_changepoint c[8];
    struct assay_rng rng;
    double v[36];

    assay_rng_seed(&rng, 1);
    fill(&rng, v, 14, 4);
    fill(&rng, v + 14, 12, 5);
    fill(&rng, v + 26, 10, 4.6);
    v[5] = 40; /* an outlier is none */
    cr_assert_eq(assay_changepoints(v, 36, 0.01, 0.03, 1, c, 8), 2);
    cr_expect_eq(c[0].at, 14);
    cr_expect_eq(c[1].at, 26);
    cr_expect_float_eq(c[0].before, 4, 0.1);
    cr_expect_float_eq(c[0].after, 5, 0.1);
    cr_expect_float_eq(c[1].after, 4.6, 0.1);
    cr_expect_leq(c[0].p, 0.01);
}

/* 300 series without a change at alpha = 0.05: more than 30 alarms have a probability below 1e-4
 * (binomial), a lost permutation test gives hundreds. */
Test(changepoint, false_alarms_keep_to_alpha) {
    struct assay_changepoint c[8];
    struct assay_rng rng;
    double v[30];
    size_t alarms = 0;

    assay_rng_seed(&rng, 7);
    for (int i = 0; i < 300; i++) {
        fill(&rng, v, 30, 1);
        alarms += assay_changepoints(v, 30, 0.05, 0, (uint64_t)i, c, 8) > 0;
    }
    cr_assert_leq(alarms, 30);
    cr_assert_geq(alarms, 2, "a test that never alarms tests nothing: %zu", alarms);
}

Test(changepoint, a_step_below_the_effect_is_none) {
    struct assay_changepoint c[8];
    double v[20];

    for (size_t i = 0; i < 20; i++)
        v[i] = i < 10 ? 1 : 1.02;
    cr_expect_eq(assay_changepoints(v, 20, 0.01, 0.03, 1, c, 8), 0);
    cr_expect_eq(assay_changepoints(v, 20, 0.01, 0.01, 1, c, 8), 1);
    cr_expect_eq(assay_changepoints(v, 5, 0.5, 0.01, 1, c, 8), 0, "too short");
    cr_expect_eq(assay_changepoints(v, 0, 0.5, 0.01, 1, c, 8), 0);
}
