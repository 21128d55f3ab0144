/* A backend of plain C whose decoding and summation a test can alter, for the checks that look at
 * single weights. */
#ifndef ASSAY_HARNESS_TESTS_MUTANT_BACKEND_H
#define ASSAY_HARNESS_TESTS_MUTANT_BACKEND_H

#include "harness/check.h"
#include "impl/backend.h"

struct mutant {
    struct assay_arith arith; /* declared, and kept to; exact_run 0 means fp32 throughout */
    size_t m_max;             /* the fault shows for up to so many rows of x; 0: for any number */
    bool two_kernels;         /* m <= 2 is said to take another kernel */

    /* Where given: changes a copy of block `index` of row `row` before, its weights after decoding.
     */
    void (*block)(const struct assay_type_traits *t, size_t row, size_t index, uint8_t *block);
    void (*weights)(const struct assay_type_traits *t, size_t row, size_t index, float *w);
    /* Σ w·x in the mutant's own way, x as the class rounds it. */
    float (*sum)(const float *w, const double *x, size_t k);
    /* The output, once computed. */
    void (*output)(float *y, size_t m, size_t n, size_t ldy);
};

/* Set before a check runs. */
extern struct mutant mutant;
extern const struct assay_backend mutant_backend, mutant_backend_without_specials;

/* Runs a check on the mutant; the result is to be freed. */
json_t *mutant_check(const struct assay_check *check, const char *type);

/* Asserts that a check fails on the mutant, and returns its finding, to be freed. */
json_t *mutant_caught(const struct assay_check *check, const char *type);

/* Asserts that a check passes for a type on the mutant as it is. */
void mutant_passes(const struct assay_check *check, const struct assay_type_traits *t);

/* Asserts that a check passes on backends that are right: portable C, the best of this machine, and
 * one that rounds its weights to binary16. */
void right_backends_pass(const struct assay_check *check, const struct assay_type_traits *t);

/* Rows of the type table that can be decoded, for parameterised tests; returns how many. */
size_t decodable_rows(size_t *rows, size_t max);

const char *finding_text(const json_t *finding, const char *key);  /* "" if there is none */
json_int_t finding_number(const json_t *finding, const char *key); /* -1 if there is none */

#endif
