/* A guess at the class of bug, from the pattern of what is wrong. */
#ifndef ASSAY_HARNESS_DIAGNOSE_H
#define ASSAY_HARNESS_DIAGNOSE_H

#include "ref/fields.h"
#include "specimen.h"

struct assay_diagnosis {
    char guess[64];     /* "min dropped", "nibble order", "race" … */
    char evidence[320]; /* one sentence */

    /* The block of the shrunk case that is decoded wrongly, and the field that it lies in. */
    bool has_field;
    size_t row, block;
    struct assay_field_bit field;

    /* The weights of that row as the kernel multiplies them; valid if `recovered`. */
    bool recovered;
    struct assay_recovery weights;
};

/* Guesses from a failed specimen with its trial, and from the smallest that fails with its own
 * (whose data are not simplified: random codes tell more). False if memory ran out. Free in any
 * case. */
bool assay_diagnose(struct assay_diagnosis *d, const struct assay_specimen *full,
                    const struct assay_trial *full_trial, const struct assay_specimen *small,
                    const struct assay_trial *small_trial);
void assay_diagnosis_free(struct assay_diagnosis *d); /* a zeroed struct is allowed */

/* The part that looks at one block (diagnose_block.c): what, done to its fields, gives the weights
 * got[block_len] that the kernel multiplied with in place of expected[]. */
struct assay_block_evidence {
    const struct assay_type_traits *type;
    const uint8_t *block;
    bool fp16;    /* the class rounds weights to binary16 */
    double slack; /* relative, beside the bound: what rounding the activation 1 costs */
    const float *got;
    const double *expected, *bound;
    const uint8_t *wrong;
};
void assay_diagnose_block(struct assay_diagnosis *d, const struct assay_block_evidence *e);

#endif
