#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "harness/compare.h"

static const struct assay_arith exact = {ASSAY_WEIGHT_F32, ASSAY_ACT_F32, 0, 1};

enum { M = 4, N = 5, GAP = 2, K = 32 };

static struct assay_output out;
static struct assay_ref_elem ref[M * N];

/* An output equal to the reference. */
static void fill(void) {
    cr_assert(assay_output_alloc(&out, M, N, N + GAP));
    assay_output_poison(&out);
    for (size_t i = 0; i < M; i++)
        for (size_t j = 0; j < N; j++) {
            double y = (double)(10 * i + j) + 0.5;
            ref[i * N + j] = (struct assay_ref_elem){.y = y, .yq = y, .mag = 10 * y, .xabs = 1};
            out.y[i * out.ldy + j] = (float)y;
        }
}

static void drop(void) { assay_output_free(&out); }

static struct assay_comparison judge(void) {
    struct assay_comparison c;
    assay_comparison_init(&c);
    assay_compare_columns(&c, &out, 0, N, ref, &exact, assay_type_by_name("q8_0"), K);
    assay_comparison_finish(&c, &out);
    return c;
}

TestSuite(compare, .init = fill, .fini = drop);

Test(compare, equal_output_passes_with_ratio_zero) {
    struct assay_comparison c = judge();
    cr_assert_eq(c.found, ASSAY_FOUND_NOTHING);
    cr_assert_eq(c.elements, M * N);
    cr_assert_eq(c.worst.ratio, 0);
}

Test(compare, names_the_wrong_element_exactly) {
    struct assay_comparison c;
    out.y[2 * out.ldy + 3] += 1;
    c = judge();
    cr_assert_eq(c.found, ASSAY_FOUND_WRONG);
    cr_assert_eq(c.wrong, 1);
    cr_assert_eq(c.worst.row, 2);
    cr_assert_eq(c.worst.col, 3);
    cr_assert_eq(c.worst.got, 24.5f);
    cr_assert_eq(c.worst.expected, 23.5);
    cr_assert_gt(c.worst.ratio, 1);
}

Test(compare, worst_of_several_is_the_largest_ratio) {
    struct assay_comparison c;
    out.y[0] += 1;
    out.y[3 * out.ldy + 1] += 1000;
    c = judge();
    cr_assert_eq(c.wrong, 2);
    cr_assert_eq(c.worst.row, 3);
    cr_assert_eq(c.worst.col, 1);
}

Test(compare, nan_and_inf_fail) {
    static const float values[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        struct assay_comparison c;
        out.y[1] = values[i];
        c = judge();
        cr_assert_eq(c.found, ASSAY_FOUND_WRONG);
        cr_assert_eq(c.worst.col, 1);
        cr_assert(isinf(c.worst.ratio));
    }
}

Test(compare, poison_left_in_an_element_fails_even_where_nan_is_expected) {
    struct assay_comparison c;
    float written = out.y[out.ldy];
    assay_output_poison(&out);
    for (size_t i = 0; i < M; i++)
        for (size_t j = 0; j < N; j++)
            if (i != 1 || j != 0)
                out.y[i * out.ldy + j] = (float)ref[i * N + j].yq;
    ref[N] = (struct assay_ref_elem){.y = NAN, .yq = NAN, .mag = NAN};
    c = judge();
    cr_assert_eq(c.found, ASSAY_FOUND_UNWRITTEN);
    cr_assert_eq(c.unwritten, 1);
    cr_assert_eq(c.worst.row, 1);
    cr_assert_eq(c.worst.col, 0);
    out.y[out.ldy] = NAN;
    cr_assert_eq(judge().found, ASSAY_FOUND_NOTHING, "any other NaN answers a NaN");
    out.y[out.ldy] = written;
    cr_assert_eq(judge().found, ASSAY_FOUND_WRONG, "a number does not");
}

Test(compare, finds_writes_around_the_output) {
    static const struct {
        long long row, col;
    } places[] = {{0, N}, {M - 1, N + 1}, {M, 0}, {-1, N + GAP - 1}, {M, 60}, {-1, -30}};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        float *p = out.y + places[i].row * (long long)out.ldy + places[i].col;
        float before = *p;
        struct assay_comparison c;
        *p = 0;
        c = judge();
        cr_assert_eq(c.found, ASSAY_FOUND_OUTSIDE, "place %zu", i);
        cr_assert_eq(c.outside_row * (long long)out.ldy + c.outside_col,
                     places[i].row * (long long)out.ldy + places[i].col);
        memcpy(p, &before, sizeof before);
    }
    cr_assert_eq(judge().found, ASSAY_FOUND_NOTHING);
}

Test(compare, constant_output_within_wide_bounds_fails) {
    struct assay_comparison c;
    for (size_t i = 0; i < M; i++)
        for (size_t j = 0; j < N; j++) {
            ref[i * N + j].mag = 1e8; /* cancellation: the bound lets every y pass */
            out.y[i * out.ldy + j] = 7;
        }
    cr_assert_eq(judge().found, ASSAY_FOUND_CONSTANT);
    out.y[0] = 7.25f;
    c = judge();
    cr_assert_eq(c.found, ASSAY_FOUND_NOTHING);
}

Test(compare, constant_output_of_a_constant_reference_passes) {
    for (size_t i = 0; i < M; i++)
        for (size_t j = 0; j < N; j++) {
            ref[i * N + j] = (struct assay_ref_elem){.y = 3, .yq = 3, .mag = 30, .xabs = 1};
            out.y[i * out.ldy + j] = 3;
        }
    cr_assert_eq(judge().found, ASSAY_FOUND_NOTHING);
}

Test(compare, bits_must_be_equal_but_for_the_payload_of_a_nan) {
    struct assay_comparison c;
    float expected[N] = {0.5f, 1.5f, 0.0f, NAN, 4.5f};
    memcpy(out.y, expected, sizeof expected);
    assay_comparison_init(&c);
    assay_compare_row_bits(&c, &out, 0, expected);
    cr_assert_eq(c.wrong, 0);
    out.y[2] = -0.0f;
    out.y[4] = nextafterf(4.5f, 5);
    assay_comparison_init(&c);
    assay_compare_row_bits(&c, &out, 0, expected);
    cr_assert_eq(c.wrong, 2);
    cr_assert_eq(c.worst.col, 2);
}
