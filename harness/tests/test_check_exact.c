#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>
#include <string.h>

#include "mutant_backend.h"
#include "ref/half.h"

extern const struct assay_check assay_check_exact_row;

static size_t rows[64];

ParameterizedTestParameters(check_exact, passes_right_backends) {
    return cr_make_param_array(size_t, rows, decodable_rows(rows, 64));
}

ParameterizedTest(size_t *row, check_exact, passes_right_backends) {
    right_backends_pass(&assay_check_exact_row, assay_type_at(*row));
}

static float backward_sum(const float *w, const double *x, size_t k) {
    float sum = 0;
    while (k-- > 0)
        sum += (float)(w[k] * x[k]);
    return sum;
}

/* All positive terms before any negative one: the largest partial sums that an order can have. */
static float sorted_sum(const float *w, const double *x, size_t k) {
    float sum = 0;
    for (int sign = 1; sign >= -1; sign -= 2)
        for (size_t i = 0; i < k; i++)
            if (w[i] * x[i] * sign > 0)
                sum += (float)(w[i] * x[i]);
    return sum;
}

ParameterizedTestParameters(check_exact, passes_every_order_of_summation) {
    return cr_make_param_array(size_t, rows, decodable_rows(rows, 64));
}

ParameterizedTest(size_t *row, check_exact, passes_every_order_of_summation) {
    mutant.sum = backward_sum;
    mutant_passes(&assay_check_exact_row, assay_type_at(*row));
    mutant.sum = sorted_sum;
    mutant_passes(&assay_check_exact_row, assay_type_at(*row));
}

/* Weights as w + 8u, 8u·Σx subtracted at the end: codes without their offset. */
static float offset_sum(const float *w, const double *x, size_t k) {
    float sum = 0, acts = 0;
    for (size_t i = 0; i < k; i++) {
        sum += (w[i] + 4.0f) * (float)x[i];
        acts += (float)x[i];
    }
    return sum - 4.0f * acts;
}

Test(check_exact, passes_offsets_that_are_subtracted_later) {
    mutant.sum = offset_sum;
    mutant_passes(&assay_check_exact_row, assay_type_by_name("q4_0"));
    mutant_passes(&assay_check_exact_row, assay_type_by_name("q3_k"));
}

Test(check_exact, passes_every_class_of_arithmetic) {
    static const struct assay_arith classes[] = {
        {ASSAY_WEIGHT_F32, ASSAY_ACT_Q8, 32, 1},     {ASSAY_WEIGHT_F32, ASSAY_ACT_Q8K, 256, 256},
        {ASSAY_WEIGHT_F32, ASSAY_ACT_Q8_F16, 32, 1}, {ASSAY_WEIGHT_F16, ASSAY_ACT_F32, 0, 1},
        {ASSAY_WEIGHT_F16, ASSAY_ACT_F16, 0, 1},     {ASSAY_WEIGHT_F32, ASSAY_ACT_Q8, 128, 1},
    };
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        mutant.arith = classes[i];
        mutant_passes(&assay_check_exact_row, assay_type_by_name("q4_1"));
        mutant_passes(&assay_check_exact_row, assay_type_by_name("q6_k"));
    }
}

static float half_sum(const float *w, const double *x, size_t k) {
    float sum = 0;
    for (size_t i = 0; i < k; i++)
        sum = assay_ref_from_fp16(assay_ref_to_fp16(sum + (float)(w[i] * x[i])));
    return sum;
}

ParameterizedTestParameters(check_exact, finds_accumulation_in_binary16) {
    return cr_make_param_array(size_t, rows, decodable_rows(rows, 64));
}

ParameterizedTest(size_t *row, check_exact, finds_accumulation_in_binary16) {
    mutant.sum = half_sum;
    json_decref(mutant_caught(&assay_check_exact_row, assay_type_at(*row)->name));
}

static void zero_last_block(const struct assay_type_traits *t, size_t row, size_t index, float *w) {
    (void)row;
    if (index == 15)
        memset(w, 0, t->block_len * sizeof *w);
}

Test(check_exact, says_which_block_was_left_out) {
    mutant.weights = zero_last_block;
    json_t *j = mutant_caught(&assay_check_exact_row, "q5_k");
    cr_expect_eq(finding_number(j, "block"), 15, "%s", finding_text(j, "problem"));
    cr_expect_not_null(strstr(finding_text(j, "problem"), "left out"));
    json_decref(j);
}

/* Columns from 8192 on meet an index of 13 bits. */
static float wrapped_sum(const float *w, const double *x, size_t k) {
    float sum = 0;
    for (size_t i = 0; i < k; i++)
        sum += (float)(w[i] * x[i & 8191]);
    return sum;
}

Test(check_exact, finds_faults_that_only_long_rows_show) {
    mutant.sum = wrapped_sum;
    json_t *j = mutant_caught(&assay_check_exact_row, "iq2_xs");
    cr_expect_gt(finding_number(j, "k"), 8192);
    json_decref(j);
}

static void next_float(float *y, size_t m, size_t n, size_t ldy) {
    float *last = &y[(m - 1) * ldy + n - 1];
    *last = nextafterf(*last, INFINITY);
}

Test(check_exact, demands_the_last_bit) {
    mutant.output = next_float;
    json_t *j = mutant_caught(&assay_check_exact_row, "q8_0");
    cr_expect_eq(finding_number(j, "row"), finding_number(j, "m") - 1);
    cr_expect_eq(finding_number(j, "column"), finding_number(j, "n") - 1);
    json_decref(j);
}
