/* Golden vectors: blocks and what they decode to, fixed in the repository (golden.inc). */
#ifndef ASSAY_REF_TESTS_GOLDEN_H
#define ASSAY_REF_TESTS_GOLDEN_H

#include <stddef.h>

#include "ref/types.h"

struct golden {
    enum assay_type type;
    const char *what;   /* scale class */
    const char *block;  /* hexadecimal bytes */
    const char *floats; /* fp32 bit patterns, "bits" or "bits*count"; 7fc00000 is any NaN */
};

extern const struct golden golden_vectors[];
extern const size_t golden_count;

/* Decodes vector i with the reference. Returns -1 if it agrees, else the first weight that does
 * not (block_len if the vector itself is malformed). */
int golden_mismatch(size_t i);

#endif
