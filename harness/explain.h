/* From a failed product to its cause: the case shrunk, the block taken apart, the class of bug. */
#ifndef ASSAY_HARNESS_EXPLAIN_H
#define ASSAY_HARNESS_EXPLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "specimen.h"
#include "verify.h"

/* Explains case i of a report, which failed, in some two seconds, and with keep_dir (NULL: none)
 * saves the shrunk case there (keep.h). Checks and row lookups explain themselves in their finding:
 * nothing is printed for them. False, with an error line on stderr, if the case can't be saved. */
bool assay_explain_case(FILE *out, const struct assay_verify_report *r, size_t i,
                        const char *keep_dir);

/* True for cases that can be explained: products of at least one row. */
bool assay_explains(const struct assay_problem *p);

/* The same for a product at hand. *fails says whether it does; if not, nothing is printed. */
bool assay_explain_specimen(FILE *out, const struct assay_specimen *s, const char *keep_dir,
                            bool *fails);

#endif
