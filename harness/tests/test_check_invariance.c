/* The checks "repeat", "threads", "batch" and "slice" against planted faults. */
#include <criterion/criterion.h>
#include <string.h>

#include "planted_backend.h"

extern const struct assay_check assay_check_repeat_row, assay_check_threads_row,
    assay_check_batch_row, assay_check_slice_row;

static const struct assay_check *const checks[] = {&assay_check_repeat_row,
                                                   &assay_check_threads_row, &assay_check_batch_row,
                                                   &assay_check_slice_row};

Test(check_invariance, passes_backends_that_claim_repeatability) {
    planted_assert_no_alarm(&assay_check_repeat_row);
}

Test(check_invariance, passes_backends_that_claim_batch_invariance) {
    planted_assert_no_alarm(&assay_check_batch_row);
}

Test(check_invariance, passes_backends_that_claim_slice_invariance) {
    planted_assert_no_alarm(&assay_check_slice_row);
}

Test(check_invariance, passes_threads_of_a_right_backend) {
    json_t *j =
        planted_check(&assay_check_threads_row, &assay_backend_scalar, ASSAY_ISA_AUTO, "q4_k");
    cr_assert_str_eq(json_string_value(json_object_get(j, "verdict")), "pass");
    json_decref(j);
}

Test(check_invariance, finds_a_result_that_changes_on_repeat) {
    planted_assert_found(&assay_check_repeat_row, PLANTED_EVERY_OTHER_CALL, "q4_k",
                         "the same call again");
}

Test(check_invariance, finds_stale_workspace) {
    planted_assert_found(&assay_check_repeat_row, PLANTED_STALE_WORKSPACE, "q5_1",
                         "stale workspace");
}

Test(check_invariance, finds_a_read_past_the_weights_that_counts) {
    planted_assert_found(&assay_check_repeat_row, PLANTED_USES_SLACK, "q6_k",
                         "no part of the operands");
}

#if defined __GLIBC__ && !defined __SANITIZE_ADDRESS__
Test(check_invariance, finds_uninitialised_scratch) {
    planted_assert_found(&assay_check_repeat_row, PLANTED_UNINITIALISED, "q4_0",
                         "no part of the operands");
}
#endif

Test(check_invariance, finds_a_row_lost_between_two_threads) {
    planted_assert_found(&assay_check_threads_row, PLANTED_DROPS_ROW_AT_TWO, "q4_k",
                         "another number of threads");
}

Test(check_invariance, finds_an_order_of_summation_that_depends_on_the_batch) {
    planted_assert_found(&assay_check_batch_row, PLANTED_BATCH_ORDER, "q4_k", "size of the batch");
}

Test(check_invariance, finds_a_row_that_depends_on_other_rows) {
    planted_assert_found(&assay_check_batch_row, PLANTED_OTHER_ROWS, "q8_0", "other rows of x");
}

Test(check_invariance, finds_a_result_that_depends_on_the_number_of_rows) {
    planted_assert_found(&assay_check_slice_row, PLANTED_SLICE, "iq2_xs", "a slice of rows");
}

Test(check_invariance, finds_a_result_that_depends_on_the_address) {
    planted_assert_found(&assay_check_slice_row, PLANTED_ALIGNMENT, "q3_k", "alignment");
}

Test(check_invariance, skips_what_is_not_claimed) {
    struct assay_backend modest = planted_backend;

    modest.claims = 0;
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        json_t *j = planted_check(checks[i], &modest, ASSAY_ISA_AUTO, "q4_0");
        cr_assert_str_eq(json_string_value(json_object_get(j, "problem")), "not claimed");
        json_decref(j);
    }
}
