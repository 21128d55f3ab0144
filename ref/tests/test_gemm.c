#include <criterion/criterion.h>

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"
#include "ref/act_quant.h"
#include "ref/gemm.h"
#include "ref/half.h"
#include "scale_classes.h"

static const struct assay_arith fp32_class = {ASSAY_WEIGHT_F32, ASSAY_ACT_F32, 0, 1};
static const struct assay_arith fp16_class = {ASSAY_WEIGHT_F16, ASSAY_ACT_F32, 0, 1};
static const struct assay_arith q8_class = {ASSAY_WEIGHT_F32, ASSAY_ACT_Q8, 32, 32};
static const struct assay_arith q8_f16_class = {ASSAY_WEIGHT_F32, ASSAY_ACT_Q8_F16, 32, 32};
static const struct assay_arith q8k_class = {ASSAY_WEIGHT_F32, ASSAY_ACT_Q8K, 256, 256};

/* One output with fp32 weights. */
static struct assay_ref_elem dot(const float *w, const float *x, size_t k) {
    struct assay_ref_elem e;
    const struct assay_type_traits *f32 = assay_type_traits(ASSAY_TYPE_F32);
    cr_assert_eq(assay_ref_gemm(f32, (const uint8_t *)w, 4 * k, 1, k, x, 1, &fp32_class, &e), 0);
    return e;
}

/* Integers up to 2^24, whose products (48 bits) are summed exactly in 64-bit integers. The sums
 * need more than the 53 bits of a double, so that plain summation would round. */
Test(gemm, integer_products_are_exact_to_the_last_bit) {
    enum { K = 1001 };
    float w[K], x[K];
    uint64_t random_state = 1;

    for (int round = 0; round < 200; round++) {
        int64_t sum = 0, mag = 0;
        for (int i = 0; i < K; i++) {
            int64_t a = (int64_t)(random_u64(&random_state) >> 40) - (round % 2 ? 0 : 1 << 23);
            int64_t b = (int64_t)(random_u64(&random_state) >> 40) - (round % 2 ? 0 : 1 << 23);
            w[i] = (float)a;
            x[i] = (float)b;
            sum += a * b;
            mag += llabs(a * b);
        }
        struct assay_ref_elem e = dot(w, x, K);
        cr_assert_eq(e.y, (double)sum, "got %a, exact %a", e.y, (double)sum);
        cr_assert_eq(e.yq, e.y);
        cr_assert_float_eq(e.mag, (double)mag, (double)mag * (K + 3) * 0x1p-53);
    }
}

/* Products of up to 2^80 that cancel in pairs, in random order, and leave a sum near 1. */
Test(gemm, cancellation_leaves_the_exact_rest) {
    enum { PAIRS = 300, K = 2 * PAIRS + 1 };
    float w[K], x[K];
    uint64_t random_state = 2;

    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < PAIRS; i++) {
            int exponent = (int)(random_u64(&random_state) % 40);
            w[i] = ldexpf(random_float(&random_state), exponent);
            x[i] = ldexpf(random_float(&random_state), 40 - exponent);
            w[PAIRS + i] = -w[i];
            x[PAIRS + i] = x[i];
        }
        w[K - 1] = 1.0f + random_float(&random_state) * 0.5f;
        x[K - 1] = 1.0f + random_float(&random_state) * 0.5f;
        double rest = (double)w[K - 1] * (double)x[K - 1];
        for (int i = K - 1; i > 0; i--) {
            int j = (int)(random_u64(&random_state) % (unsigned)(i + 1));
            float t = w[i];
            w[i] = w[j];
            w[j] = t;
            t = x[i];
            x[i] = x[j];
            x[j] = t;
        }
        struct assay_ref_elem e = dot(w, x, K);
        /* k²·2^-104 of the magnitude sum, as promised in gemm.h. */
        cr_assert_float_eq(e.y, rest, 0x1p-52 * rest + K * K * 0x1p-104 * e.mag);
    }
}

Test(gemm, infinities_and_nans_give_the_ieee_result) {
    const float one[5] = {1, 1, 1, 1, 1};
    float x[5] = {1, INFINITY, 2, 3, 4};

    cr_expect_eq(dot(one, x, 5).y, INFINITY);
    x[4] = -INFINITY;
    cr_expect(isnan(dot(one, x, 5).y));
    x[1] = 0;
    cr_expect_eq(dot(one, x, 5).y, -INFINITY);
    x[0] = NAN;
    cr_expect(isnan(dot(one, x, 5).y));
    const float zero_first[2] = {0, 1}, infinite_first[2] = {INFINITY, 1};
    cr_expect(isnan(dot(zero_first, infinite_first, 2).y), "0·inf is NaN");
    const float huge[2] = {0x1p127f, 0x1p127f}, huge_x[2] = {0x1p127f, -0x1p127f};
    cr_expect_eq(dot(huge, huge_x, 2).y, 0.0, "beyond fp32 is not infinite in fp64");
}

/* d·q times w has up to 56 bits. Two such products that all but cancel leave their low bits, which
 * a long double (64 bits and more) holds exactly. */
Test(gemm, products_of_quantised_activations_are_exact) {
    const struct assay_type_traits *f32 = assay_type_traits(ASSAY_TYPE_F32);
    uint64_t random_state = 4;

    for (int round = 0; round < 1000; round++) {
        float x[2] = {1.0f + 0.5f * random_float(&random_state), 0.8f}, w[2];
        double xq[2];
        struct assay_ref_elem e;
        assay_act_emulate(&q8_class, x, 2, xq);
        w[0] = 1.0f + 0.5f * random_float(&random_state);
        w[1] = (float)(-(double)w[0] * xq[0] / xq[1]);
        cr_assert_eq(assay_ref_gemm(f32, (uint8_t *)w, 8, 1, 2, x, 1, &q8_class, &e), 0);
        long double rest =
            (long double)w[0] * (long double)xq[0] + (long double)w[1] * (long double)xq[1];
        cr_assert_eq(e.yq, (double)rest, "got %a, exact %a", e.yq, (double)rest);
    }
}

/* 127·d exceeds the largest fp32 number here. */
Test(gemm, quantised_activations_beyond_fp32_are_finite) {
    const float w = 0x1p-100f, x = FLT_MAX;
    double xq;
    struct assay_ref_elem e;

    assay_act_emulate(&q8_class, &x, 1, &xq);
    cr_assert_gt(xq, (double)FLT_MAX);
    cr_assert_eq(assay_ref_gemm(assay_type_traits(ASSAY_TYPE_F32), (const uint8_t *)&w, 4, 1, 1, &x,
                                1, &q8_class, &e),
                 0);
    cr_expect_eq(e.yq, xq * 0x1p-100);
}

/* What the members of assay_ref_elem are, summed in long double. */
static void check_definition(const struct assay_type_traits *t, const struct assay_arith *arith,
                             const uint8_t *w, size_t k, const float *x,
                             const struct assay_ref_elem *e) {
    float *weights = malloc(k * sizeof *weights), *terms = malloc(k * sizeof *terms);
    double *xq = malloc(k * sizeof *xq), *excess = calloc(k, sizeof *excess);
    long double y = 0, yq = 0, mag = 0, xabs = 0;
    bool splits = t->min_terms && arith->weight == ASSAY_WEIGHT_F32;

    assay_dequant_row(t, w, k, weights);
    assay_act_emulate(arith, x, k, xq);
    assay_act_sum_excess(arith, x, k, excess);
    for (size_t i = 0; splits && i < k; i += t->block_len)
        t->min_terms(w + i / t->block_len * t->block_bytes, terms + i);
    for (size_t i = 0; i < k; i++) {
        double b = splits ? (double)terms[i] : 0;
        float rounded = arith->weight == ASSAY_WEIGHT_F16
                            ? assay_ref_from_fp16(assay_ref_to_fp16(weights[i]))
                            : weights[i];
        y += (long double)weights[i] * (long double)x[i];
        yq += (long double)rounded * (long double)xq[i];
        mag += (long double)((fabs((double)rounded - b) + fabs(b)) * fabs(xq[i]));
        xabs += (long double)fabs(xq[i]);
    }
    if (splits && arith->act == ASSAY_ACT_Q8_F16)
        for (size_t i = 0; i < k / 32; i++) {
            yq += (long double)terms[32 * i] * (long double)excess[i];
            mag += fabsl((long double)terms[32 * i] * (long double)excess[i]);
        }
    /* The long double sum is the less exact of the two: k roundings of 2^-64. */
    long double slack = mag * (long double)k * 0x1p-64L;
    cr_assert_leq(fabsl(y - (long double)e->y), fabsl(y) * 0x1p-52L + 2 * slack, "%s y", t->name);
    cr_assert_leq(fabsl(yq - (long double)e->yq), fabsl(yq) * 0x1p-51L + slack, "%s yq", t->name);
    cr_assert_leq(fabsl(mag - (long double)e->mag), mag * (long double)(k + 3) * 0x1p-53L, "%s mag",
                  t->name);
    cr_assert_leq(fabsl(xabs - (long double)e->xabs), xabs * (long double)k * 0x1p-53L);
    free(weights);
    free(terms);
    free(xq);
    free(excess);
}

/* All types in all classes, a 3×2 product with padding between the rows of W. */
Test(gemm, every_type_and_class_matches_its_definition) {
    enum { N = 2, M = 3, K = 768, PADDING = 13 };
    static uint8_t w[N * (4 * K + PADDING)];
    static float x[M * K];
    struct assay_ref_elem e[M * N];
    uint64_t random_state = 3;

    for (size_t i = 0; i < assay_type_count(); i++) {
        const struct assay_type_traits *t = assay_type_at(i);
        const struct assay_arith *classes[] = {&fp32_class, &fp16_class, &q8_class,
                                               t->block_len == 256 ? &q8k_class : &q8_f16_class};
        size_t row_bytes;
        if (!t->dequant)
            continue;
        cr_assert(assay_row_bytes(t, K, &row_bytes));
        for (size_t j = 0; j < N; j++)
            for (size_t at = 0; at < row_bytes; at += t->block_bytes) {
                uint8_t *block = w + j * (row_bytes + PADDING) + at;
                random_bytes(&random_state, block, t->block_bytes);
                for (size_t f = 0; f < scale_fields(t); f++)
                    set_scale(t, block, f, SCALE_NORMAL, &random_state);
            }
        for (size_t j = 0; j < M * K; j++)
            x[j] = random_float(&random_state);
        for (size_t c = 0; c < 4; c++) {
            cr_assert_eq(assay_ref_gemm(t, w, row_bytes + PADDING, N, K, x, M, classes[c], e), 0);
            for (size_t j = 0; j < M * N; j++)
                if (isfinite(e[j].yq)) /* not where fp16 weights overflow */
                    check_definition(t, classes[c], w + j % N * (row_bytes + PADDING), K,
                                     x + j / N * K, &e[j]);
        }
    }
}

/* The product of ggml's Q4_1 kernels: m·s with the rounded sum s of a Q8_1 block. */
Test(gemm, q4_1_takes_the_rounded_block_sum) {
    uint8_t block[20] = {0};
    float x[32];
    struct assay_ref_elem e;
    double excess;

    block[3] = 0x3c; /* d = 0, m = 1 */
    for (int i = 0; i < 32; i++)
        x[i] = 0.7f + 0.013f * (float)i;
    cr_assert_eq(assay_ref_gemm(assay_type_traits(ASSAY_TYPE_Q4_1), block, 20, 1, 32, x, 1,
                                &q8_f16_class, &e),
                 0);
    assay_act_sum_excess(&q8_f16_class, x, 32, &excess);
    cr_expect_neq(excess, 0.0);
    float s = (float)e.yq;
    cr_expect_eq(assay_ref_from_fp16(assay_ref_to_fp16(s)), s, "yq is the fp16 number s");
    cr_expect_eq((double)s, e.yq);
}

Test(gemm, empty_products_are_written_or_left_out) {
    struct assay_ref_elem e = {.y = 1, .yq = 1, .mag = 1, .xabs = 1};
    const struct assay_type_traits *f32 = assay_type_traits(ASSAY_TYPE_F32);
    float w[4] = {1, 2, 3, 4};

    cr_expect_eq(assay_ref_gemm(f32, (uint8_t *)w, 16, 1, 4, w, 0, &fp32_class, &e), 0);
    cr_expect_eq(assay_ref_gemm(f32, (uint8_t *)w, 16, 0, 4, w, 1, &fp32_class, &e), 0);
    cr_expect_eq(e.y, 1.0, "no rows, no output");
}

Test(gemm, a_size_that_overflows_is_no_memory) {
    struct assay_ref_elem e;
    float w = 0;
    cr_expect_eq(assay_ref_gemm(assay_type_traits(ASSAY_TYPE_F32), (uint8_t *)&w, 4, 1,
                                SIZE_MAX / 2, &w, 3, &fp32_class, &e),
                 -1);
}
