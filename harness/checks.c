#include "check.h"

#include <string.h>

extern const struct assay_check assay_check_special_row, assay_check_nonfinite_row,
    assay_check_repeat_row, assay_check_threads_row, assay_check_batch_row, assay_check_slice_row,
    assay_check_metamorphic_row, assay_check_memory_row, assay_check_hygiene_row;

extern const struct assay_check assay_check_statistics_row;

extern const struct assay_check assay_check_decode_row, assay_check_bits_row, assay_check_exact_row;

const struct assay_check *const assay_checks[] = {
    &assay_check_decode_row,      &assay_check_bits_row,
    &assay_check_exact_row,       &assay_check_statistics_row,
    &assay_check_special_row,     &assay_check_nonfinite_row,
    &assay_check_repeat_row,      &assay_check_threads_row,
    &assay_check_batch_row,       &assay_check_slice_row,
    &assay_check_metamorphic_row, &assay_check_memory_row,
    &assay_check_hygiene_row,     NULL,
};

const struct assay_check *assay_check_by_name(const char *name) {
    for (size_t i = 0; assay_checks[i] != NULL; i++)
        if (strcmp(assay_checks[i]->name, name) == 0)
            return assay_checks[i];
    return NULL;
}
