/* The check "metamorphic" against planted faults. */
#include <criterion/criterion.h>

#include "planted_backend.h"

extern const struct assay_check assay_check_metamorphic_row;

Test(check_metamorphic, passes_backends_without_fault) {
    planted_assert_no_alarm(&assay_check_metamorphic_row);
}

Test(check_metamorphic, finds_clipped_activations) {
    planted_assert_found(&assay_check_metamorphic_row, PLANTED_CLIPS, "q4_k", "16·y");
}

Test(check_metamorphic, finds_a_lost_sign) {
    planted_assert_found(&assay_check_metamorphic_row, PLANTED_MAGNITUDE, "q4_0", "-y");
}

Test(check_metamorphic, finds_a_constant_that_is_added) {
    planted_assert_found(&assay_check_metamorphic_row, PLANTED_ADDS, "q4_0", "give");
}

Test(check_metamorphic, finds_a_row_whose_place_counts) {
    planted_assert_found(&assay_check_metamorphic_row, PLANTED_ROW_NUMBER, "f16", "other places");
}

Test(check_metamorphic, finds_a_fused_part_that_differs) {
    planted_assert_found(&assay_check_metamorphic_row, PLANTED_STRIDE, "q6_k", "fused");
}
