/* The check "memory" against stray accesses. */
#include <criterion/criterion.h>
#include <string.h>

#include "planted_backend.h"

extern const struct assay_check assay_check_memory_row;

/* The finding names buffer and distance. */
static void assert_fault(enum planted_fault fault, size_t distance, const char *type,
                         const char *words, const char *buffer, json_int_t expected) {
    json_t *j;
    const char *problem;

    planted_fault = fault;
    planted_distance = distance;
    j = planted_check(&assay_check_memory_row, &planted_backend, ASSAY_ISA_AUTO, type);
    planted_fault = PLANTED_NONE;
    cr_assert_str_eq(json_string_value(json_object_get(j, "verdict")), "fail");
    problem = json_string_value(json_object_get(j, "problem"));
    cr_assert_not_null(strstr(problem, words), "%s", problem);
    cr_assert_str_eq(json_string_value(json_object_get(j, "buffer")), buffer);
    cr_assert_eq(json_integer_value(json_object_get(j, "distance")), expected);
    cr_assert_gt(json_integer_value(json_object_get(j, "m")), 0);
    json_decref(j);
}

Test(check_memory, passes_backends_without_fault) {
    planted_assert_no_alarm(&assay_check_memory_row);
}

Test(check_memory, finds_reads_of_1_to_64_bytes_past_the_weights) {
    static const size_t distances[] = {1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 33, 63, 64};
    for (size_t i = 0; i < sizeof distances / sizeof *distances; i++)
        assert_fault(PLANTED_READS_PAST_W, distances[i], "q6_k", "past the end of the weights",
                     "the weights", (json_int_t)distances[i] - 1);
}

Test(check_memory, finds_reads_past_x) {
    assert_fault(PLANTED_READS_PAST_X, 1, "q4_0", "past the end of x", "x", 0);
    assert_fault(PLANTED_READS_PAST_X, 64, "f32", "past the end of x", "x", 63);
}

Test(check_memory, finds_reads_before_the_weights) {
    assert_fault(PLANTED_READS_BEFORE_W, 1, "q4_k", "before the start of the weights",
                 "the weights", -1);
}

Test(check_memory, finds_writes_past_y) {
    static const size_t distances[] = {1, 5, 64};
    for (size_t i = 0; i < sizeof distances / sizeof *distances; i++) {
        planted_distance = distances[i];
        planted_assert_found(&assay_check_memory_row, PLANTED_WRITES_PAST_Y, "q8_0", " y");
    }
}

Test(check_memory, finds_writes_to_its_inputs) {
    assert_fault(PLANTED_WRITES_X, 1, "q8_0", "only to be read", "x", 0);
}

Test(check_memory, finds_writes_between_the_rows_of_y) {
    planted_assert_found(&assay_check_memory_row, PLANTED_WRITES_GAP, "q8_0", "outside y");
}

Test(check_memory, finds_stale_bytes_that_count) {
    planted_assert_found(&assay_check_memory_row, PLANTED_USES_SLACK, "q4_k",
                         "bytes around the operands");
}

Test(check_memory, tells_the_shape_of_a_crash_elsewhere) {
    json_t *j;

    planted_fault = PLANTED_CRASHES_AT_15;
    j = planted_check(&assay_check_memory_row, &planted_backend, ASSAY_ISA_AUTO, "q2_k");
    planted_fault = PLANTED_NONE;
    cr_assert_not_null(
        strstr(json_string_value(json_object_get(j, "problem")), "far from every operand"));
    cr_assert_eq(json_integer_value(json_object_get(j, "m")), 15);
    json_decref(j);
}

Test(check_memory, goes_on_after_a_fault) {
    json_t *j;

    planted_assert_found(&assay_check_memory_row, PLANTED_CRASHES_AT_15, "q2_k", "SIGSEGV");
    j = planted_check(&assay_check_memory_row, &planted_backend, ASSAY_ISA_AUTO, "q2_k");
    cr_assert_str_eq(json_string_value(json_object_get(j, "verdict")), "pass");
    json_decref(j);
}
