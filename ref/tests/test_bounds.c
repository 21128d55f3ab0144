/* Correct kernels of several shapes must stay within their class's bound, faulty ones must not. */
#include <criterion/criterion.h>

#include <float.h>
#include <math.h>
#include <string.h>

#include "random.h"
#include "ref/bounds.h"
#include "ref/half.h"
#include "scale_classes.h"

enum { K = 1024, ROUNDS = 35 };

static const struct assay_arith fp32_class = {ASSAY_WEIGHT_F32, ASSAY_ACT_F32, 0, 1};
static const struct assay_arith fp16_class = {ASSAY_WEIGHT_F16, ASSAY_ACT_F32, 0, 1};

/* A row of W in blocks, and x. */
struct problem {
    const struct assay_type_traits *t;
    uint8_t w[4 * K];
    float x[K];
};

static uint8_t *block_at(struct problem *p, size_t i) { return p->w + i * p->t->block_bytes; }

/* Kinds of x: random, alternating signs (sums cancel), one large among small, all equal, so small
 * that products are subnormal. Two rounds of seven have subnormal scales. */
static void make_problem(struct problem *p, const struct assay_type_traits *t, int round,
                         uint64_t *random_state) {
    p->t = t;
    for (size_t i = 0; i < K / t->block_len; i++) {
        random_bytes(random_state, block_at(p, i), t->block_bytes);
        for (size_t f = 0; f < scale_fields(t); f++)
            set_scale(t, block_at(p, i), f, round % 7 > 4 ? SCALE_SUBNORMAL : SCALE_NORMAL,
                      random_state);
    }
    for (int i = 0; i < K; i++) {
        float r = random_float(random_state);
        float kinds[5] = {r, i % 2 ? -1.0f : 1.0f, i == 17 ? 1e4f : 1e-3f * r, 0.73f,
                          ldexpf(r, -90 - round)};
        p->x[i] = kinds[round % 5];
    }
}

static struct assay_ref_elem reference(const struct problem *p, const struct assay_arith *a) {
    struct assay_ref_elem e;
    cr_assert_eq(assay_ref_gemm(p->t, p->w, 0, 1, K, p->x, 1, a, &e), 0);
    return e;
}

static void expect_within(const struct problem *p, const struct assay_arith *a, float got,
                          const char *kernel) {
    struct assay_ref_elem e = reference(p, a);
    double excess, bound = assay_bound(a, p->t, K, &e);

    if (a->weight == ASSAY_WEIGHT_F16 && !isfinite(e.yq)) /* a weight beyond binary16 */
        return;
    cr_assert(isfinite(bound), "%s", p->t->name);
    cr_assert(assay_within_bound(&e, bound, got, &excess), "%s, %s: %a for %a, %g of the bound",
              p->t->name, kernel, (double)got, e.yq, excess);
}

/* ---- Orders of summation ----------------------------------------------------------------------
 */

static float sum_forward(const float *v, size_t n) {
    float s = 0;
    for (size_t i = 0; i < n; i++)
        s += v[i];
    return s;
}

static float sum_backward(const float *v, size_t n) {
    float s = 0;
    while (n-- > 0)
        s += v[n];
    return s;
}

static float sum_pairwise(const float *v, size_t n) {
    return n == 1 ? v[0] : sum_pairwise(v, n / 2) + sum_pairwise(v + n / 2, n - n / 2);
}

static float sum_in_lanes(const float *v, size_t n) {
    float lanes[16] = {0};
    for (size_t i = 0; i < n; i++)
        lanes[i % 16] += v[i];
    return sum_pairwise(lanes, 16);
}

static float (*const summations[])(const float *v, size_t n) = {sum_forward, sum_backward,
                                                                sum_pairwise, sum_in_lanes};

static void expect_sums_within(const struct problem *p, const struct assay_arith *a,
                               const float *terms, size_t n, const char *kernel) {
    for (size_t s = 0; s < sizeof summations / sizeof summations[0]; s++)
        expect_within(p, a, summations[s](terms, n), kernel);
}

/* ---- Kernels of the fp32 classes --------------------------------------------------------------
 */

static void check_decoding_kernel(const struct problem *p, const struct assay_arith *a) {
    float w[K], products[K], fused = 0;

    assay_dequant_row(p->t, p->w, K, w);
    for (int i = 0; i < K && a->weight == ASSAY_WEIGHT_F16; i++)
        w[i] = assay_ref_from_fp16(assay_ref_to_fp16(w[i]));
    for (int i = 0; i < K; i++) {
        products[i] = w[i] * p->x[i];
        fused = fmaf(w[i], p->x[i], fused);
    }
    expect_sums_within(p, a, products, K, "w·x");
    expect_within(p, a, fused, "fma");
}

Test(bounds, decoded_weights_times_x_are_within) {
    static struct problem p;
    uint64_t random_state = 1;

    for (size_t i = 0; i < assay_type_count(); i++)
        for (int round = 0; assay_type_at(i)->dequant && round < ROUNDS; round++) {
            make_problem(&p, assay_type_at(i), round, &random_state);
            check_decoding_kernel(&p, &fp32_class);
            check_decoding_kernel(&p, &fp16_class);
        }
}

/* ---- Kernels that multiply codes and apply the scales afterwards -------------------------------
 */

/* Weights as codes under scales: w = d·a + m·b. With d = 1 and m = 0 a block decodes to a, and with
 * d = 0 and m = 1 to b. */
struct codes {
    float a[K], b[K];
    float d[K], m[K]; /* one per block */
};

static void take_codes(struct problem *p, struct codes *c) {
    const struct assay_type_traits *t = p->t;
    bool has_min = scale_fields(t) == 2;
    uint64_t unused = 0;

    memset(c, 0, sizeof *c);
    for (size_t i = 0; i < K / t->block_len; i++) {
        uint8_t copy[300];
        memcpy(copy, block_at(p, i), t->block_bytes);
        c->d[i] = scale_value(t, copy, 0);
        set_scale_to_one(t, copy, 0);
        if (has_min) {
            c->m[i] = scale_value(t, copy, 1);
            set_scale(t, copy, 1, SCALE_ZERO, &unused);
        }
        t->dequant(copy, c->a + i * t->block_len);
        if (!has_min)
            continue;
        set_scale(t, copy, 0, SCALE_ZERO, &unused);
        set_scale_to_one(t, copy, 1);
        t->dequant(copy, c->b + i * t->block_len);
    }
}

/* All but the plain types, whose field is the weight, and NVFP4 with its scale every 16 weights. */
static bool has_block_scale(const struct assay_type_traits *t) {
    return t->dequant && t->block_len > 1 && scale_fields(t) <= 2;
}

/* fp32 activations: Σ a·x of each block, then the scale; and the b terms, if any, likewise. */
static size_t fp32_leaves(const struct problem *p, const struct codes *c, float *leaves) {
    size_t len = p->t->block_len, n = 0;

    for (size_t i = 0; i < K / len; i++) {
        float sum_a = 0, sum_b = 0;
        for (size_t j = i * len; j < (i + 1) * len; j++) {
            sum_a += c->a[j] * p->x[j];
            sum_b += c->b[j] * p->x[j];
        }
        leaves[n++] = c->d[i] * sum_a;
        leaves[n++] = c->m[i] * sum_b;
    }
    return n;
}

/* Rule of ASSAY_ACT_Q8 for one block. */
static float quantise(const float *x, size_t n, int *q) {
    float amax = 0;
    for (size_t i = 0; i < n; i++)
        amax = fmaxf(amax, fabsf(x[i]));
    for (size_t i = 0; i < n; i++)
        q[i] = amax < 0x1p-100f ? 0 : (int)rintf(x[i] * (127.0f / amax));
    return amax < 0x1p-100f ? 0 : amax / 127.0f;
}

/* int8 activations: exact sums of a·q and b·q over `run` weights (codes are multiples of 1/8, so
 * that doubles hold the sums), scaled by d_w·d_x. With `lanes` > 1 each sum is spread. */
static size_t integer_leaves(const struct problem *p, const struct codes *c,
                             const struct assay_arith *arith, size_t lanes, float *leaves) {
    size_t n = 0, run = arith->exact_run, block = arith->act_block;
    int q[K];
    float dx[K];

    for (size_t i = 0; i < K / block; i++)
        dx[i] = quantise(p->x + i * block, block, q + i * block);
    for (size_t start = 0; start < K; start += run) {
        size_t i = start / p->t->block_len;
        float scale_a = c->d[i] * dx[start / block], scale_b = c->m[i] * dx[start / block];
        for (size_t lane = 0; lane < lanes; lane++) {
            double sum_a = 0, sum_b = 0;
            for (size_t j = start + lane; j < start + run; j += lanes) {
                sum_a += (double)c->a[j] * q[j];
                sum_b += (double)c->b[j] * q[j];
            }
            leaves[n + lane] = scale_a * (float)sum_a;
            leaves[n + lanes + lane] = scale_b * (float)sum_b;
        }
        n += (p->t->min_terms ? 2 : 1) * lanes;
    }
    return n;
}

static struct assay_arith q8_class(const struct assay_type_traits *t, uint32_t act_block) {
    uint32_t run = t->block_len < act_block ? t->block_len : act_block;
    return (struct assay_arith){ASSAY_WEIGHT_F32, ASSAY_ACT_Q8, act_block, run};
}

Test(bounds, codes_times_x_scaled_afterwards_are_within) {
    static struct problem p;
    static struct codes c;
    static float leaves[4 * K];
    uint64_t random_state = 2;

    for (size_t i = 0; i < assay_type_count(); i++)
        for (int round = 0; has_block_scale(assay_type_at(i)) && round < ROUNDS; round++) {
            make_problem(&p, assay_type_at(i), round, &random_state);
            take_codes(&p, &c);
            size_t n = fp32_leaves(&p, &c, leaves);
            expect_sums_within(&p, &fp32_class, leaves, n, "Σ q·x");
        }
}

Test(bounds, integer_sums_scaled_afterwards_are_within) {
    static struct problem p;
    static struct codes c;
    static float leaves[4 * K];
    const uint32_t act_blocks[2] = {32, 256};
    uint64_t random_state = 3;

    for (size_t i = 0; i < assay_type_count(); i++)
        for (int round = 0; has_block_scale(assay_type_at(i)) && round < ROUNDS; round++) {
            make_problem(&p, assay_type_at(i), round, &random_state);
            take_codes(&p, &c);
            for (int act = 0; act < 2; act++) {
                struct assay_arith a = q8_class(p.t, act_blocks[act]);
                size_t n = integer_leaves(&p, &c, &a, 1, leaves);
                expect_sums_within(&p, &a, leaves, n, "Σ q·q");
                n = integer_leaves(&p, &c, &a, 16, leaves);
                expect_within(&p, &a, sum_in_lanes(leaves, n), "Σ q·q in 16 lanes");
            }
        }
}

/* ---- Worst cases: the bound is no larger than it must be ----------------------------------------
 */

/* Each addition of slightly less than half an ulp is lost: (number of additions)·u in all, as the
 * first term is nearly the whole magnitude sum. n has 6 roundings more than there are additions. */
Test(bounds, the_fp32_bound_is_nearly_attained) {
    static struct problem p = {.x = {1}};
    double excess;

    p.t = assay_type_traits(ASSAY_TYPE_F32);
    for (int i = 0; i < K; i++) {
        set_scale_to_one(p.t, block_at(&p, (size_t)i), 0);
        if (i > 0)
            p.x[i] = 0x1.fffffep-25f;
    }
    struct assay_ref_elem e = reference(&p, &fp32_class);
    double bound = assay_bound(&fp32_class, p.t, K, &e);
    cr_expect(assay_within_bound(&e, bound, sum_forward(p.x, K), &excess));
    cr_expect_gt(excess, (K - 2.0) / (K + 6.0), "%g", excess);
}

/* The same for w = 1·1 + 1 of Q4_1, its two terms added one after the other. */
Test(bounds, the_bound_for_terms_kept_apart_is_nearly_attained) {
    static struct problem p = {.x = {1}};
    static float leaves[2 * K];
    double excess;

    p.t = assay_type_traits(ASSAY_TYPE_Q4_1);
    for (size_t i = 0; i < K / 32; i++) {
        set_scale_to_one(p.t, block_at(&p, i), 0);
        set_scale_to_one(p.t, block_at(&p, i), 1);
        memset(block_at(&p, i) + 4, 0x11, 16); /* all codes 1 */
    }
    for (int i = 0; i < K; i++) {
        if (i > 0)
            p.x[i] = 0x1.fffffep-24f;
        leaves[2 * i] = leaves[2 * i + 1] = p.x[i];
    }
    struct assay_ref_elem e = reference(&p, &fp32_class);
    double bound = assay_bound(&fp32_class, p.t, K, &e);
    cr_expect(assay_within_bound(&e, bound, sum_forward(leaves, 2 * K), &excess));
    cr_expect_gt(excess, (2 * K - 3.0) / (2 * K + 6.0), "%g", excess);
}

/* ---- Faults ------------------------------------------------------------------------------------
 */

static bool found(const struct problem *p, const struct assay_arith *a, float got) {
    struct assay_ref_elem e = reference(p, a);
    double excess;
    return !assay_within_bound(&e, assay_bound(a, p->t, K, &e), got, &excess) && excess > 1;
}

/* Random codes under equal scales, so that every weight counts. */
static void make_even_problem(struct problem *p, const struct assay_type_traits *t,
                              uint64_t *random_state) {
    make_problem(p, t, 0, random_state);
    for (size_t i = 0; i < K / t->block_len; i++)
        for (size_t f = 0; f < scale_fields(t); f++)
            set_scale_to_one(t, block_at(p, i), f);
}

/* Q4_K's min of sub-block 7 of one super-block left out: fp32 and integer kernels. */
Test(bounds, a_dropped_min_of_one_sub_block_is_found) {
    static struct problem p;
    static struct codes c;
    static float leaves[4 * K];
    const struct assay_type_traits *t = assay_type_traits(ASSAY_TYPE_Q4_K);
    const struct assay_arith a = q8_class(t, 256);
    uint64_t random_state = 4;

    make_even_problem(&p, t, &random_state);
    p.w[4 + 7] |= 0xc0; /* upper bits of that min: it is 48 or more */
    take_codes(&p, &c);
    cr_expect(!found(&p, &a, sum_forward(leaves, integer_leaves(&p, &c, &a, 1, leaves))));
    cr_expect(!found(&p, &fp32_class, sum_forward(leaves, fp32_leaves(&p, &c, leaves))));
    memset(c.b + 7 * 32, 0, 32 * sizeof *c.b);
    cr_expect(found(&p, &a, sum_forward(leaves, integer_leaves(&p, &c, &a, 1, leaves))));
    cr_expect(found(&p, &fp32_class, sum_forward(leaves, fp32_leaves(&p, &c, leaves))));
}

/* One product of 1024 left out, in the integer class of each type. */
Test(bounds, a_lost_product_is_found_in_integer_classes) {
    static struct problem p;
    static struct codes c;
    static float leaves[4 * K];
    uint64_t random_state = 5;

    for (size_t i = 0; i < assay_type_count(); i++) {
        if (!has_block_scale(assay_type_at(i)))
            continue;
        const struct assay_arith a = q8_class(assay_type_at(i), 32);
        size_t lost = 0;
        make_even_problem(&p, assay_type_at(i), &random_state);
        take_codes(&p, &c);
        cr_expect(!found(&p, &a, sum_forward(leaves, integer_leaves(&p, &c, &a, 1, leaves))));
        while (fabsf(c.a[lost]) < 1 || fabsf(p.x[lost]) < 0.5f)
            lost++;
        c.a[lost] = 0;
        cr_expect(found(&p, &a, sum_forward(leaves, integer_leaves(&p, &c, &a, 1, leaves))), "%s",
                  p.t->name);
    }
}

/* ---- The judge ---------------------------------------------------------------------------------
 */

Test(bounds, non_finite_references_want_non_finite_results) {
    struct assay_ref_elem e = {.y = NAN, .yq = INFINITY, .mag = INFINITY, .xabs = 1};
    double excess;

    cr_expect(assay_within_bound(&e, INFINITY, NAN, &excess) && excess == 0);
    cr_expect(assay_within_bound(&e, INFINITY, -INFINITY, &excess) && excess == 0);
    cr_expect(!assay_within_bound(&e, INFINITY, 1.0f, &excess) && isinf(excess));
}

Test(bounds, nan_and_infinity_fail_a_finite_reference) {
    struct assay_ref_elem e = {.y = 1, .yq = 1, .mag = 2, .xabs = 2};
    double excess;

    cr_expect(!assay_within_bound(&e, 0.25, NAN, &excess) && isinf(excess));
    cr_expect(!assay_within_bound(&e, 0.25, INFINITY, &excess) && isinf(excess));
    cr_expect(assay_within_bound(&e, 0.25, 1.25f, &excess) && excess == 1);
    cr_expect(!assay_within_bound(&e, 0.25, 0.5f, &excess) && excess == 2);
    cr_expect(assay_within_bound(&e, 0, 1.0f, &excess) && excess == 0);
    cr_expect(!assay_within_bound(&e, 0, 1.5f, &excess) && isinf(excess));
    cr_expect(assay_within_bound(&e, INFINITY, NAN, &excess) && excess == 0);
}

Test(bounds, overflow_and_huge_k_have_no_bound) {
    const struct assay_type_traits *q8_0 = assay_type_traits(ASSAY_TYPE_Q8_0);
    struct assay_ref_elem e = {.y = 1, .yq = 1, .mag = FLT_MAX, .xabs = 1};

    cr_expect(isinf(assay_bound(&fp32_class, q8_0, 32, &e)), "partial sums beyond fp32");
    e.mag = 1;
    cr_expect(isfinite(assay_bound(&fp32_class, q8_0, 32, &e)));
    e.xabs = 0x1p106;
    cr_expect(isinf(assay_bound(&fp32_class, q8_0, 32, &e)), "d·x beyond fp32");
    e.xabs = 1;
    cr_expect(isinf(assay_bound(&fp32_class, q8_0, 1 << 22, &e)));
    cr_expect_eq(assay_bound(&fp32_class, q8_0, 0, &e), 0.0);
}

/* Two groups of ASSAY_WEIGHT_GROUP F32 weights; all but the two largest weights meet zeros. */
static struct assay_ref_elem two_groups(const struct assay_arith *a) {
    static float w[2 * ASSAY_WEIGHT_GROUP], x[2 * ASSAY_WEIGHT_GROUP];
    struct assay_ref_elem e;

    w[3] = -4.0f;
    w[ASSAY_WEIGHT_GROUP] = 0.5f;
    w[ASSAY_WEIGHT_GROUP + 1] = 2.0f;
    x[0] = 3.0f;
    x[1] = -1.0f;
    x[ASSAY_WEIGHT_GROUP] = 10.0f;
    cr_assert_eq(assay_ref_gemm(assay_type_traits(ASSAY_TYPE_F32), (const uint8_t *)w, sizeof w, 1,
                                2 * ASSAY_WEIGHT_GROUP, x, 1, a, &e),
                 0);
    return e;
}

Test(bounds, of_shifted_codes_scale_with_the_largest_weight_of_a_group) {
    const struct assay_arith shifted = {ASSAY_WEIGHT_SHIFTED, ASSAY_ACT_F32, 0, 1};
    const struct assay_type_traits *t = assay_type_traits(ASSAY_TYPE_F32);
    struct assay_ref_elem e = two_groups(&shifted);

    cr_expect_eq(e.yq, 5.0);
    cr_expect_eq(e.mag, 5.0);
    cr_expect_eq(e.coarse, 4.0 * 4.0 + 2.0 * 10.0);
    double plain = assay_bound(&fp32_class, t, 512, &(struct assay_ref_elem){.mag = 5, .xabs = 14});
    cr_expect_float_eq(assay_bound(&shifted, t, 512, &e) / plain, (5 + 37 * 36.0) / 5, 0.01);
    cr_expect_eq(two_groups(&fp32_class).coarse, 0.0);
}

/* Rounding each weight of the groups to the nearest of 255 codes must be within the bound, and to
 * the nearest of 127 must not. */
Test(bounds, of_weights_rounded_anew_allow_eight_bits_and_no_fewer) {
    const struct assay_arith q8 = {ASSAY_WEIGHT_Q8, ASSAY_ACT_F32, 0, 1};
    const struct assay_type_traits *t = assay_type_traits(ASSAY_TYPE_F32);
    struct assay_ref_elem e = two_groups(&q8);
    double bound = assay_bound(&q8, t, 512, &e);

    cr_expect_gt(bound, 36.0 / 254);
    cr_expect_lt(bound, 36.0 / 126);
}
