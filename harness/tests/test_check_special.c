/* The checks "special" and "nonfinite" against planted faults. */
#include <criterion/criterion.h>
#include <string.h>

#include "planted_backend.h"

extern const struct assay_check assay_check_special_row, assay_check_nonfinite_row;

static const char *const types[] = {"f32", "f16", "q4_0", "q4_k", "q8_k", "iq1_m", "mxfp4"};

enum { N_TYPES = sizeof types / sizeof *types };

Test(check_special, passes_backends_without_fault) {
    planted_assert_no_alarm(&assay_check_special_row);
    planted_assert_no_alarm(&assay_check_nonfinite_row);
}

Test(check_special, finds_a_swallowed_nan) {
    for (size_t i = 0; i < N_TYPES; i++)
        planted_assert_found(&assay_check_nonfinite_row, PLANTED_SWALLOWS_NAN, types[i],
                             "did not reach an output");
}

Test(check_special, finds_a_swallowed_infinity) {
    for (size_t i = 0; i < N_TYPES; i++)
        planted_assert_found(&assay_check_nonfinite_row, PLANTED_SWALLOWS_INF, types[i],
                             "did not reach an output");
}

Test(check_special, finds_a_value_that_spreads_to_the_next_column) {
    planted_assert_found(&assay_check_nonfinite_row, PLANTED_SPREADS_TO_COLUMN, "q4_0",
                         "does not belong to");
    planted_assert_found(&assay_check_nonfinite_row, PLANTED_SPREADS_TO_COLUMN, "iq1_m",
                         "does not belong to");
}

Test(check_special, finds_a_value_that_spreads_to_the_next_row) {
    for (size_t i = 0; i < N_TYPES; i++)
        planted_assert_found(&assay_check_nonfinite_row, PLANTED_SPREADS_TO_ROW, types[i],
                             "does not belong to");
}

Test(check_special, finds_flushed_subnormal_scales) {
    planted_assert_found(&assay_check_special_row, PLANTED_FLUSHES_SCALES, "q4_0",
                         "scale (0x1): an output beyond its bound");
}

Test(check_special, finds_a_zero_that_becomes_nan) {
    planted_assert_found(&assay_check_special_row, PLANTED_DIVIDES_BY_ZERO, "q4_0", "output");
    planted_assert_found(&assay_check_special_row, PLANTED_DIVIDES_BY_ZERO, "mxfp4", "output");
}

Test(check_special, names_block_and_byte_of_a_scale) {
    json_t *j;

    planted_fault = PLANTED_FLUSHES_SCALES;
    j = planted_check(&assay_check_special_row, &planted_backend, ASSAY_ISA_AUTO, "q4_0");
    planted_fault = PLANTED_NONE;
    cr_assert_not_null(json_object_get(j, "block"));
    cr_assert_eq(json_integer_value(json_object_get(j, "byte")), 0);
    cr_assert_str_eq(json_string_value(json_object_get(j, "field")), "scale");
    json_decref(j);
}

Test(check_special, does_not_judge_what_is_not_claimed) {
    struct assay_backend modest = planted_backend;
    json_t *j;

    modest.claims = 0;
    planted_fault = PLANTED_SWALLOWS_NAN;
    j = planted_check(&assay_check_nonfinite_row, &modest, ASSAY_ISA_AUTO, "q4_0");
    planted_fault = PLANTED_NONE;
    cr_assert_str_eq(json_string_value(json_object_get(j, "verdict")), "skip");
    cr_assert_str_eq(json_string_value(json_object_get(j, "problem")), "not claimed");
    json_decref(j);
}
