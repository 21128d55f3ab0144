#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdlib.h>
#include <string.h>

#include "mutant_backend.h"
#include "ref/fields.h"

extern const struct assay_check assay_check_bits_row;

static size_t rows[64];

ParameterizedTestParameters(check_bits, passes_right_backends) {
    return cr_make_param_array(size_t, rows, decodable_rows(rows, 64));
}

ParameterizedTest(size_t *row, check_bits, passes_right_backends) {
    right_backends_pass(&assay_check_bits_row, assay_type_at(*row));
}

/* The bit of the second block (or the only one) that the mutant reads as clear or as set. */
static size_t stuck;
static bool stuck_at;

static void stick(const struct assay_type_traits *t, size_t row, size_t index, uint8_t *block) {
    (void)row;
    if (index == 1 || t->block_len == 256)
        block[stuck / 8] =
            (uint8_t)((block[stuck / 8] & ~(1 << stuck % 8)) | stuck_at << stuck % 8);
}

static void expect_named(const struct assay_type_traits *t, const struct assay_field_bit *bit) {
    char name[32];
    json_t *j = mutant_check(&assay_check_bits_row, t->name);

    assay_field_name(bit->field, bit->element, name, sizeof name);
    cr_expect_str_eq(finding_text(j, "verdict"), "fail", "%s: bit %u of %s stuck", t->name,
                     bit->bit, name);
    cr_expect_str_eq(finding_text(j, "field"), name, "%s: bit %u of %s: %s", t->name, bit->bit,
                     name, finding_text(j, "problem"));
    cr_expect_eq(finding_number(j, "byte"), (json_int_t)stuck / 8, "%s",
                 finding_text(j, "problem"));
    cr_expect_eq(finding_number(j, "bit"), (json_int_t)stuck % 8, "%s", finding_text(j, "problem"));
    json_decref(j);
}

ParameterizedTestParameters(check_bits, names_any_bit_that_is_ignored) {
    return cr_make_param_array(size_t, rows, decodable_rows(rows, 64));
}

/* The lowest bit of a value is the hardest to see. Stuck at what it is in a block, the bit is
 * ignored when it is flipped; stuck at the opposite, the block itself is wrong. */
ParameterizedTest(size_t *row, check_bits, names_any_bit_that_is_ignored) {
    const struct assay_type_traits *t = assay_type_at(*row);
    size_t n;
    const struct assay_field *fields = assay_fields(t, &n);

    mutant.block = stick;
    for (size_t i = 0; i < n; i++) {
        struct assay_field_bit bit = {&fields[i], fields[i].count * 2u / 3, 0};
        bool floating = fields[i].kind == ASSAY_FIELD_FLOAT;
        if (fields[i].kind == ASSAY_FIELD_DERIVED)
            continue;
        if (t->type == ASSAY_TYPE_Q8_K && floating)
            bit.bit = 8; /* below, a change of d is within the bound of fp32 sums */
        mutant.arith = (struct assay_arith){floating ? ASSAY_WEIGHT_F32 : ASSAY_WEIGHT_F16,
                                            ASSAY_ACT_F32, 0, 1};
        stuck = assay_field_position(&bit);
        for (int value = 0; value < 2; value++) {
            stuck_at = value != 0;
            expect_named(t, &bit);
        }
    }
}

static const struct assay_field *point_of(const struct assay_type_traits *t) {
    size_t n;
    const struct assay_field *f = assay_fields(t, &n);
    while (f->kind != ASSAY_FIELD_POINT && f->kind != ASSAY_FIELD_CODE)
        f++;
    return f;
}

/* Bit 2 of codes 40 and 41 change places. */
static void swap_bits(const struct assay_type_traits *t, size_t row, size_t index, uint8_t *block) {
    const struct assay_field *f = point_of(t);
    uint32_t a = assay_field_get(f, block, 40), b = assay_field_get(f, block, 41);
    uint32_t differ = (a ^ b) & 4;
    (void)row;
    (void)index;
    assay_field_set(f, block, 40, a ^ differ);
    assay_field_set(f, block, 41, b ^ differ);
}

/* Bit 2 of code 41 is read for code 40, too. */
static void read_neighbour(const struct assay_type_traits *t, size_t row, size_t index,
                           uint8_t *block) {
    const struct assay_field *f = point_of(t);
    uint32_t a = assay_field_get(f, block, 40), b = assay_field_get(f, block, 41);
    (void)row;
    (void)index;
    assay_field_set(f, block, 40, (a & ~4u) | (b & 4));
}

Test(check_bits, finds_bits_that_change_places) {
    mutant.block = swap_bits;
    json_decref(mutant_caught(&assay_check_bits_row, "q4_k"));
    json_decref(mutant_caught(&assay_check_bits_row, "q6_k"));
    json_decref(mutant_caught(&assay_check_bits_row, "iq3_s"));
}

Test(check_bits, finds_a_bit_read_for_its_neighbour) {
    mutant.block = read_neighbour;
    json_decref(mutant_caught(&assay_check_bits_row, "q5_k"));
    json_decref(mutant_caught(&assay_check_bits_row, "q3_k"));
}

/* Min 3's low bit is read from scale 3's, where both are even in the bases. */
static void misroute(const struct assay_type_traits *t, size_t row, size_t index, uint8_t *block) {
    size_t n;
    const struct assay_field *f = assay_fields(t, &n), *scale = &f[2], *min = &f[3];
    uint32_t s = assay_field_get(scale, block, 3), m = assay_field_get(min, block, 3);
    (void)row;
    (void)index;
    assay_field_set(scale, block, 3, (s & ~1u) | (m & 1));
    assay_field_set(min, block, 3, (m & ~1u) | (s & 1));
}

Test(check_bits, says_which_other_bit_a_bit_acts_as) {
    mutant.block = misroute;
    json_t *j = mutant_caught(&assay_check_bits_row, "q4_k");
    cr_expect_not_null(strstr(finding_text(j, "problem"),
                              "bit 0 of scale[3] of block 0 acts as bit 0 of min[3] of block 0"),
                       "%s", finding_text(j, "problem"));
    json_decref(j);
}

Test(check_bits, finds_a_fault_of_the_kernel_for_few_rows) {
    mutant.block = read_neighbour;
    mutant.two_kernels = true;
    mutant.m_max = 2;
    json_t *j = mutant_caught(&assay_check_bits_row, "q4_k");
    cr_expect_leq(finding_number(j, "m"), 2);
    json_decref(j);
}

/* A scale that is infinite or a NaN is taken for 0. */
static void swallow(const struct assay_type_traits *t, size_t row, size_t index, uint8_t *block) {
    (void)t;
    (void)row;
    (void)index;
    if ((block[1] & 0x7c) == 0x7c)
        block[0] = block[1] = 0;
}

Test(check_bits, finds_a_nan_that_is_swallowed_where_specials_are_claimed) {
    struct assay_runner runner = {&mutant_backend_without_specials, "", ASSAY_ISA_AUTO, 1};
    struct assay_check_env env = {.runner = &runner, .type = assay_type_by_name("q8_0"), .seed = 7};

    mutant.block = swallow;
    json_t *j = mutant_caught(&assay_check_bits_row, "q8_0");
    cr_expect_str_eq(finding_text(j, "field"), "d");
    json_decref(j);
    j = assay_check_bits_row.run(&env);
    cr_expect_str_eq(finding_text(j, "verdict"), "pass", "%s", finding_text(j, "problem"));
    json_decref(j);
}
