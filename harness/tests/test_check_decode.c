#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/probe.h"
#include "mutant_backend.h"
#include "ref/fields.h"
#include "ref/half.h"

extern const struct assay_check assay_check_decode_row;

static size_t rows[64];

static const struct assay_field *field_named(const struct assay_type_traits *t, const char *name) {
    size_t n;
    const struct assay_field *f = assay_fields(t, &n);
    while (n > 0 && strcmp(f->name, name) != 0)
        f++, n--;
    return n > 0 ? f : NULL;
}

/* ---- No false alarm ---- */

ParameterizedTestParameters(check_decode, passes_right_backends) {
    return cr_make_param_array(size_t, rows, decodable_rows(rows, 64));
}

ParameterizedTest(size_t *row, check_decode, passes_right_backends) {
    right_backends_pass(&assay_check_decode_row, assay_type_at(*row));
}

Test(check_decode, passes_every_class_of_arithmetic) {
    static const struct assay_arith classes[] = {
        {ASSAY_WEIGHT_F32, ASSAY_ACT_Q8, 32, 1},     {ASSAY_WEIGHT_F32, ASSAY_ACT_Q8K, 256, 1},
        {ASSAY_WEIGHT_F32, ASSAY_ACT_Q8_F16, 32, 1}, {ASSAY_WEIGHT_F16, ASSAY_ACT_F32, 0, 1},
        {ASSAY_WEIGHT_F16, ASSAY_ACT_Q8_F16, 32, 1}, {ASSAY_WEIGHT_F16, ASSAY_ACT_F16, 0, 1},
    };
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        mutant.arith = classes[i];
        mutant_passes(&assay_check_decode_row, assay_type_by_name("q6_k"));
        mutant_passes(&assay_check_decode_row, assay_type_by_name("nvfp4"));
    }
}

/* ---- The sweep ---- */

ParameterizedTestParameters(check_decode, sweep_tells_the_elements_of_a_field_apart) {
    return cr_make_param_array(size_t, rows, decodable_rows(rows, 64));
}

ParameterizedTest(size_t *row, check_decode, sweep_tells_the_elements_of_a_field_apart) {
    const struct assay_type_traits *t = assay_type_at(*row);
    enum { PHASES = 256 };
    static uint32_t values[ASSAY_MAX_BLOCK_LEN][PHASES];
    uint8_t block[512];
    size_t n;
    const struct assay_field *f = assay_fields(t, &n);

    for (; n > 0; n--, f++) {
        for (size_t phase = 0; phase < PHASES; phase++) {
            assay_probe_sweep(t, ASSAY_WEIGHT_F32, phase, block);
            for (unsigned e = 0; e < f->count; e++)
                values[e][phase] = assay_field_get(f, block, e);
        }
        for (unsigned a = 0; a < f->count; a++)
            for (unsigned b = 0; b < a; b++)
                cr_assert_neq(memcmp(values[a], values[b], sizeof values[a]), 0, "%s %s: %u and %u",
                              t->name, f->name, a, b);
    }
}

ParameterizedTestParameters(check_decode, sweep_shows_every_value_of_every_field) {
    return cr_make_param_array(size_t, rows, decodable_rows(rows, 64));
}

ParameterizedTest(size_t *row, check_decode, sweep_shows_every_value_of_every_field) {
    const struct assay_type_traits *t = assay_type_at(*row);
    enum { PHASES = 256, MOST_VALUES = 2048 };
    size_t n;
    const struct assay_field *fields = assay_fields(t, &n);
    uint8_t *blocks = calloc(PHASES, t->block_bytes);
    float w[ASSAY_MAX_BLOCK_LEN];

    cr_assert_not_null(blocks);
    for (size_t phase = 0; phase < PHASES; phase++) {
        uint8_t *block = blocks + phase * t->block_bytes;
        assay_probe_sweep(t, ASSAY_WEIGHT_F16, phase, block);
        t->dequant(block, w);
        for (size_t i = 0; i < t->block_len; i++)
            cr_assert_lt(fabsf(w[i]), 65520, "%s, phase %zu", t->name, phase);
    }
    for (size_t i = 0; i < n && t->block_len > 1; i++) {
        const struct assay_field *f = &fields[i];
        bool all[MOST_VALUES] = {false};
        size_t in_all = 0;

        if (f->bits > 11 || f->format == ASSAY_FORMAT_E8M0)
            continue;
        for (unsigned e = 0; e < f->count; e++) {
            bool seen[MOST_VALUES] = {false};
            size_t values = 0;
            for (size_t phase = 0; phase < PHASES; phase++) {
                uint32_t v = assay_field_get(f, blocks + phase * t->block_bytes, e);
                values += !seen[v];
                in_all += !all[v];
                seen[v] = all[v] = true;
            }
            cr_assert_eq(values, f->bits < 8 ? 1u << f->bits : PHASES, "%s %s[%u]: %zu", t->name,
                         f->name, e, values);
        }
        cr_assert_eq(in_all, 1u << f->bits, "%s %s: %zu", t->name, f->name, in_all);
    }
    free(blocks);
}

/* ---- Faults of decoding ---- */

static void set_value(const struct assay_type_traits *t, const char *field, unsigned element,
                      uint32_t and_mask, uint32_t xor_mask, uint8_t *block) {
    const struct assay_field *f = field_named(t, field);
    uint32_t v = assay_field_get(f, block, element);
    assay_field_set(f, block, element, (v & and_mask) ^ xor_mask);
}

static void swap_nibbles_of_5(const struct assay_type_traits *t, size_t row, size_t index,
                              uint8_t *block) {
    (void)t;
    (void)row;
    (void)index;
    block[2 + 5] = (uint8_t)(block[2 + 5] << 4 | block[2 + 5] >> 4);
}

Test(check_decode, names_a_swapped_nibble) {
    mutant.block = swap_nibbles_of_5;
    json_t *j = mutant_caught(&assay_check_decode_row, "q4_0");
    cr_expect_str_eq(finding_text(j, "field"), "code[5]");
    cr_expect_eq(finding_number(j, "byte"), 7);
    cr_expect_not_null(
        strstr(finding_text(j, "problem"), "code[5] and code[21] had changed places"), "%s",
        finding_text(j, "problem"));
    json_decref(j);
}

static void drop_high_scale_bits(const struct assay_type_traits *t, size_t row, size_t index,
                                 uint8_t *block) {
    (void)row;
    (void)index;
    set_value(t, "scale", 5, 15, 0, block);
}

Test(check_decode, names_dropped_high_bits_of_a_scale) {
    mutant.block = drop_high_scale_bits;
    json_t *j = mutant_caught(&assay_check_decode_row, "q4_k");
    cr_expect_str_eq(finding_text(j, "field"), "scale[5]", "%s", finding_text(j, "problem"));
    cr_expect_eq(finding_number(j, "byte"), 5);
    cr_expect(finding_number(j, "bit") == 6 || finding_number(j, "bit") == 7);
    json_decref(j);
}

static void drop_min_7(const struct assay_type_traits *t, size_t row, size_t index,
                       uint8_t *block) {
    (void)row;
    (void)index;
    set_value(t, "min", 7, 0, 0, block);
}

Test(check_decode, names_the_min_that_is_not_subtracted) {
    mutant.block = drop_min_7;
    json_t *j = mutant_caught(&assay_check_decode_row, "q5_k");
    cr_expect_str_eq(finding_text(j, "field"), "min[7]", "%s", finding_text(j, "problem"));
    json_decref(j);
}

static void one_wrong_grid_entry(const struct assay_type_traits *t, size_t row, size_t index,
                                 uint8_t *block) {
    const struct assay_field *f = field_named(t, "point");
    (void)row;
    (void)index;
    for (unsigned e = 0; e < f->count; e++)
        if (assay_field_get(f, block, e) == 1234)
            assay_field_set(f, block, e, 1235);
}

Test(check_decode, finds_one_wrong_entry_of_a_codebook) {
    mutant.block = one_wrong_grid_entry;
    json_t *j = mutant_caught(&assay_check_decode_row, "iq1_s");
    cr_expect_eq(strncmp(finding_text(j, "field"), "point[", 6), 0, "%s",
                 finding_text(j, "problem"));
    json_decref(j);
}

static uint8_t previous[512];

static void take_previous_block(const struct assay_type_traits *t, size_t row, size_t index,
                                uint8_t *block) {
    uint8_t own[512];
    (void)row;
    memcpy(own, block, t->block_bytes);
    if (index == 2)
        memcpy(block, previous, t->block_bytes);
    memcpy(previous, own, t->block_bytes);
}

Test(check_decode, says_which_block_was_taken_instead) {
    mutant.block = take_previous_block;
    json_t *j = mutant_caught(&assay_check_decode_row, "q8_0");
    cr_expect_eq(finding_number(j, "block"), 2);
    cr_expect_not_null(strstr(finding_text(j, "problem"), "as if it were row 0, block 1"), "%s",
                       finding_text(j, "problem"));
    json_decref(j);
}

static void one_ulp_in_one_weight(const struct assay_type_traits *t, size_t row, size_t index,
                                  float *w) {
    (void)t;
    if (row == 77 && index == 0)
        w[200] *= 1 + 0x1p-20f;
}

Test(check_decode, finds_a_millionth_in_one_weight_of_one_row) {
    mutant.weights = one_ulp_in_one_weight;
    json_t *j = mutant_caught(&assay_check_decode_row, "q3_k");
    cr_expect_eq(finding_number(j, "column"), 77);
    cr_expect_eq(finding_number(j, "element"), 200);
    cr_expect_gt(finding_number(j, "k"), 0);
    json_decref(j);
}

Test(check_decode, finds_a_fault_of_the_kernel_for_few_rows) {
    mutant.two_kernels = true;
    mutant.m_max = 2;
    mutant.block = drop_min_7;
    json_t *j = mutant_caught(&assay_check_decode_row, "q4_k");
    cr_expect_leq(finding_number(j, "m"), 2);
    json_decref(j);
}

/* ---- Faults of summation ---- */

/* Pairs of products saturate at one and a half of the largest product, as where 8-bit products are
 * added in 16 bits. */
static float saturating_sum(const float *w, const double *x, size_t k) {
    double sum = 0;
    for (size_t i = 0; i + 1 < k; i += 2) {
        double a = w[i] * x[i], b = w[i + 1] * x[i + 1];
        double limit = 1.5 * fmax(fabs(a), fabs(b));
        sum += fmax(-limit, fmin(limit, a + b));
    }
    return (float)sum;
}

Test(check_decode, finds_saturation_that_no_single_weight_shows) {
    mutant.sum = saturating_sum;
    json_t *j = mutant_caught(&assay_check_decode_row, "q8_0");
    cr_expect_not_null(strstr(finding_text(j, "problem"), "saturation"), "%s",
                       finding_text(j, "problem"));
    json_decref(j);
}

static float half_sum(const float *w, const double *x, size_t k) {
    float sum = 0;
    for (size_t i = 0; i < k; i++)
        sum = assay_ref_from_fp16(assay_ref_to_fp16(sum + (float)(w[i] * x[i])));
    return sum;
}

Test(check_decode, finds_accumulation_in_binary16) {
    mutant.sum = half_sum;
    json_decref(mutant_caught(&assay_check_decode_row, "tq2_0"));
}

/* The largest magnitude taken for the largest value: a block of negative activations vanishes. */
static float signed_max_sum(const float *w, const double *x, size_t k) {
    float sum = 0;
    for (size_t i = 0; i < k; i++)
        sum += x[i] < 0 ? 0 : (float)(w[i] * x[i]);
    return sum;
}

Test(check_decode, finds_an_activation_scale_from_the_signed_maximum) {
    mutant.arith = (struct assay_arith){ASSAY_WEIGHT_F32, ASSAY_ACT_Q8, 32, 1};
    mutant.sum = signed_max_sum;
    json_decref(mutant_caught(&assay_check_decode_row, "q5_0"));
}

static void truncate_f32(const struct assay_type_traits *t, size_t row, size_t index, float *w) {
    (void)t;
    (void)row;
    (void)index;
    w[0] = assay_ref_float_from_bits(assay_ref_float_bits(w[0]) & ~1u);
}

Test(check_decode, demands_plain_weights_to_the_bit) {
    mutant.weights = truncate_f32;
    json_decref(mutant_caught(&assay_check_decode_row, "f32"));
}

static void forget_last(float *y, size_t m, size_t n, size_t ldy) {
    assay_check_poison(&y[(m - 1) * ldy + n - 1], 1);
}

Test(check_decode, finds_an_element_that_is_not_written) {
    mutant.output = forget_last;
    json_t *j = mutant_caught(&assay_check_decode_row, "q4_1");
    cr_expect_str_eq(finding_text(j, "problem"), "an element of y was not written");
    json_decref(j);
}

static void write_past_row(float *y, size_t m, size_t n, size_t ldy) { y[(m - 1) * ldy + n] = 0; }

Test(check_decode, finds_a_write_past_a_row) {
    mutant.output = write_past_row;
    json_t *j = mutant_caught(&assay_check_decode_row, "q4_1");
    cr_expect_str_eq(finding_text(j, "problem"), "a write outside the output");
    json_decref(j);
}
