/* A specimen: one product of given blocks and given activations by one runner, which can be cut,
 * altered and tried again. Every trial is a child process. */
#ifndef ASSAY_HARNESS_SPECIMEN_H
#define ASSAY_HARNESS_SPECIMEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "case.h"
#include "ref/gemm.h"

struct assay_specimen {
    const struct assay_type_traits *type;
    struct assay_runner runner;
    size_t m, n, k, row_bytes;
    uint8_t *w;   /* n rows of blocks */
    float *x;     /* m × k */
    char id[512]; /* of the case that it comes from */
    uint64_t seed;
    int timeout_s; /* of a trial */
};

/* Zeroed blocks and activations. False if memory ran out. Free in any case. */
bool assay_specimen_new(struct assay_specimen *s, const struct assay_type_traits *type,
                        const struct assay_runner *runner, size_t m, size_t n, size_t k);
/* A specimen of the same origin with another shape, zeroed. */
bool assay_specimen_like(struct assay_specimen *s, const struct assay_specimen *from, size_t m,
                         size_t n, size_t k);
bool assay_specimen_copy(struct assay_specimen *s, const struct assay_specimen *from);
void assay_specimen_free(struct assay_specimen *s); /* a zeroed struct is allowed */

static inline uint8_t *assay_specimen_block(const struct assay_specimen *s, size_t row,
                                            size_t block) {
    return s->w + row * s->row_bytes + block * s->type->block_bytes;
}

enum assay_failure {
    ASSAY_FAILS_NOT,
    ASSAY_FAILS_WRONG,     /* an element beyond its bound */
    ASSAY_FAILS_UNWRITTEN, /* an element never written */
    ASSAY_FAILS_OUTSIDE,   /* a write beside the output */
    ASSAY_FAILS_CONSTANT,  /* all outputs equal, the reference's are not */
    ASSAY_FAILS_CRASH,     /* the child died or hung */
    ASSAY_FAILS_ERROR,     /* the backend returned an error */
    ASSAY_FAILS_REFUSED,   /* or does not take this type or shape: no failure */
};

/* What came of a specimen. The arrays are m × n. */
struct assay_trial {
    enum assay_failure failure;
    char what[200]; /* of a crash or an error */
    size_t m, n;
    unsigned calls;     /* that were made */
    unsigned bad_call;  /* the first that failed, from 1; the last made, if none did */
    unsigned differing; /* calls with other bits than the first */
    struct assay_arith arith;
    const struct assay_ref_elem *reference;
    const double *bound;
    const float *first, *y; /* of the first call, of bad_call */
    const uint8_t *wrong;   /* by element, of bad_call: 1 wrong, 2 not written */
    size_t n_wrong;
    void *map;
    size_t map_size;
};

/* Makes `calls` calls on fresh outputs, in a child. False if there is no memory or no child. Free
 * in any case. */
bool assay_trial_run(struct assay_trial *t, const struct assay_specimen *s, unsigned calls);
void assay_trial_free(struct assay_trial *t); /* a zeroed struct is allowed */

/* A failure that is the kernel's. */
static inline bool assay_trial_fails(const struct assay_trial *t) {
    return t->failure != ASSAY_FAILS_NOT && t->failure != ASSAY_FAILS_REFUSED;
}

/* The wrong element with the largest error in units of its bound; false if there is none. */
bool assay_trial_worst(const struct assay_trial *t, size_t *row, size_t *column);

/* Row `row` of W as the kernel multiplies it: its products with unit vectors. */
struct assay_recovery {
    size_t k, n_wrong;
    float *got;
    double *expected, *bound;
    uint8_t *wrong;
    struct assay_arith arith;
    void *map;
    size_t map_size;
};

/* All rows of x are the same unit vector; output row i is read. False if that could not be done (a
 * crash, say). Free in any case. */
bool assay_recover_row(struct assay_recovery *r, const struct assay_specimen *s, size_t i,
                       size_t row);
void assay_recovery_free(struct assay_recovery *r); /* a zeroed struct is allowed */

#endif
