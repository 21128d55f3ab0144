#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "ref/bounds.h"
#include "ref/rounding_model.h"

static const struct assay_arith fp32_class = {ASSAY_WEIGHT_F32, ASSAY_ACT_F32, 0, 1};

/* splitmix64 */
static uint64_t next(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static double unit(uint64_t *state) { return ((double)(next(state) >> 12) + 0.5) * 0x1p-52; }

static double normal(uint64_t *state) {
    return sqrt(-2 * log(unit(state))) * cos(2 * M_PI * unit(state));
}

/* The product of two normal variables is the worst that the model allows: its moments
 * E exp(λz) are (1-λ²)^-½ exactly. */
static double worst_z(uint64_t *state) { return normal(state) * normal(state); }

Test(rounding_model, limits_hold_for_the_worst_errors_it_allows) {
    enum { TRIALS = 20000 };
    static const size_t units[] = {1, 4, 16, 64};
    const double nats = log(50);
    uint64_t state = 1;

    for (size_t u = 0; u < sizeof units / sizeof units[0]; u++) {
        size_t n = units[u];
        int beyond_abs = 0, beyond_symmetric = 0, beyond_sign = 0;
        for (int trial = 0; trial < TRIALS; trial++) {
            double abs_sum = 0, sum = 0, squares = 0, signs = 0;
            for (size_t i = 0; i < n; i++) {
                double z = worst_z(&state);
                abs_sum += fabs(z);
                sum += z;
                squares += z * z;
                signs += z > 0 ? 1 : -1;
            }
            beyond_abs += abs_sum / (double)n > assay_limit_mean_abs(n, nats);
            beyond_symmetric += fabs(sum) / sqrt(squares) > assay_limit_symmetric(nats);
            beyond_sign += fabs(signs) / (double)n > assay_limit_mean_sign(n, nats);
        }
        cr_expect_leq(beyond_abs, TRIALS / 50, "%zu units: %d", n, beyond_abs);
        cr_expect_leq(beyond_symmetric, TRIALS / 50, "%zu units: %d", n, beyond_symmetric);
        cr_expect_leq(beyond_sign, TRIALS / 50, "%zu units: %d", n, beyond_sign);
    }
}

Test(rounding_model, limits_are_within_reach) {
    cr_expect_lt(assay_limit_mean_abs(1, 32), 40);
    cr_expect_lt(assay_limit_mean_abs(512, 32), 1.6);
    cr_expect_gt(assay_limit_mean_abs(1000000, 32), 1, "E|z| may be as large as 1");
    cr_expect_lt(assay_limit_symmetric(32), 8.2);
    cr_expect_lt(assay_limit_mean_sign(512, 32), 0.4);
    cr_expect_gt(assay_limit_mean_abs(16, 64), assay_limit_mean_abs(16, 32));
}

/* ---- Sums in several orders ---- */

enum { K = 512 };

static float in_order(const float *p, size_t n) {
    float s = 0;
    for (size_t i = 0; i < n; i++)
        s += p[i];
    return s;
}

static float pairwise(const float *p, size_t n) {
    return n == 1 ? p[0] : pairwise(p, n / 2) + pairwise(p + n / 2, n - n / 2);
}

static int by_falling_magnitude(const void *a, const void *b) {
    float x = fabsf(*(const float *)a), y = fabsf(*(const float *)b);
    return (x < y) - (x > y);
}

/* Each partial sum as large as can be: the order that rounds worst. */
static float largest_first(const float *p, size_t n) {
    float sorted[K];
    for (size_t i = 0; i < n; i++)
        sorted[i] = p[i];
    qsort(sorted, n, sizeof sorted[0], by_falling_magnitude);
    return in_order(sorted, n);
}

/* Mean of z² over random products. With fp32 weights and no roundings but those of the sum, D is
 * some five roundings too many, beside K. */
static double mean_square(float (*sum)(const float *, size_t), bool heavy) {
    enum { TRIALS = 400 };
    const struct assay_type_traits *f32 = assay_type_traits(ASSAY_TYPE_F32);
    uint64_t state = 3;
    double total = 0;

    for (int trial = 0; trial < TRIALS; trial++) {
        float w[K], x[K], products[K];
        struct assay_ref_elem e;
        for (size_t i = 0; i < K; i++) {
            w[i] = (float)(heavy ? exp(3 * normal(&state)) : 1 + unit(&state));
            x[i] = (float)(1 + unit(&state)) * (next(&state) & 1 ? 1 : -1);
            products[i] = w[i] * x[i];
        }
        cr_assert_eq(assay_ref_gemm(f32, (uint8_t *)w, sizeof w, 1, K, x, 1, &fp32_class, &e), 0);
        double z =
            ((double)sum(products, K) - e.yq) / assay_rounding_sigma(&fp32_class, f32, K, &e);
        total += z * z;
    }
    return total / TRIALS;
}

Test(rounding_model, sigma_covers_every_order_of_summation) {
    for (int heavy = 0; heavy < 2; heavy++) {
        cr_expect_lt(mean_square(in_order, heavy), 1);
        cr_expect_lt(mean_square(pairwise, heavy), 1);
        cr_expect_lt(mean_square(largest_first, heavy), 1);
    }
    /* A third for errors uniform in the half-ulp, half of it for the mean over the depths of a sum
     * in order, and ulps that are up to half as large. */
    cr_expect_gt(mean_square(in_order, false), 0.02, "not vacuous");
}

Test(rounding_model, sigma_is_far_below_the_worst_case) {
    const struct assay_type_traits *f32 = assay_type_traits(ASSAY_TYPE_F32);
    struct assay_ref_elem e = {.yq = 1, .mag = 4096, .sq = 4096, .xabs = 4096};

    cr_expect_lt(1000 * assay_rounding_sigma(&fp32_class, f32, 4096, &e),
                 assay_bound(&fp32_class, f32, 4096, &e));
}

Test(rounding_model, says_nothing_where_it_does_not_hold) {
    const struct assay_type_traits *f32 = assay_type_traits(ASSAY_TYPE_F32);
    const struct assay_ref_elem silent[] = {
        {.yq = NAN, .mag = 1, .sq = 1, .xabs = 1},
        {.yq = INFINITY, .mag = INFINITY, .sq = INFINITY, .xabs = 1},
        {.yq = 0, .mag = 0, .sq = 0, .xabs = 1},
        {.yq = 0x1p-140, .mag = 0x1p-140, .sq = 0x1p-280, .xabs = 1}, /* underflow */
        {.yq = 0x1.8p127, .mag = 0x1.8p127, .sq = 0x1p254, .xabs = 1},
        {.yq = 1, .mag = 1, .sq = 1, .xabs = 0x1p120},
    };
    for (size_t i = 0; i < sizeof silent / sizeof silent[0]; i++)
        cr_expect_eq(assay_rounding_sigma(&fp32_class, f32, 32, &silent[i]), 0, "%zu", i);
}
