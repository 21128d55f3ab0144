/* Results of the fault corpus: one JSON object a line in a file, and the table made of them. */
#ifndef ASSAY_HARNESS_FAULTS_SCORE_H
#define ASSAY_HARNESS_FAULTS_SCORE_H

#include <stdio.h>

#include "gates.h"
#include "judge.h"

/* Of a faulty kernel. */
json_t *assay_score_fault(const char *class, const char *name, const char *text,
                          const struct assay_judgement *j, unsigned rejected, size_t gate_outputs);
/* Of a correct one. */
json_t *assay_score_correct(const char *name, const char *type, const struct assay_judgement *j,
                            unsigned rejected);

/* Appends a result to a file. False with a message printed if that fails. */
bool assay_score_append(const char *path, json_t *result);
/* All results of a file, a JSON array; NULL with a message printed. */
json_t *assay_score_read(const char *path);

/* Prints the report in Markdown. Returns how many faults were missed and correct kernels accused.
 */
size_t assay_score_print(FILE *out, const json_t *results);

#endif
