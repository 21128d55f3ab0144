/* What a gate run leaves for people and for machines. All of it is made from the results (an array
 * of what assay_gate_run_case returned). */
#ifndef ASSAY_HARNESS_GATE_REPORT_H
#define ASSAY_HARNESS_GATE_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "gate.h"

struct assay_gate_counts {
    size_t regressed; /* slower, larger, wrong, failed or crashed */
    size_t improved, same, undecided;
    size_t skipped;
};
struct assay_gate_counts assay_gate_count(const json_t *results);

/* A verdict that fails the gate. */
bool assay_gate_fails(const json_t *result);

/* Table, and one line for each case that fails. */
void assay_gate_print(FILE *f, const struct assay_gate_params *p, const json_t *results);
/* One sentence: "12 cases: 1 regressed, …". */
void assay_gate_sentence(const json_t *results, char *buf, size_t size);

/* Writers of files; false if `f` has an error. */
bool assay_gate_junit(FILE *f, const struct assay_gate_params *p, const json_t *results,
                      double seconds);
/* Markdown for a job summary. */
bool assay_gate_markdown(FILE *f, const struct assay_gate_params *p, const json_t *results);
/* Workflow commands of GitHub Actions: an error for each failure, a warning for what is undecided.
 */
void assay_gate_annotate(FILE *f, const json_t *results);
/* github-action-benchmark's customSmallerIsBetter; Bencher Metric Format. New references. */
json_t *assay_gate_benchmark_json(const json_t *results);
json_t *assay_gate_bencher_json(const json_t *results);

#endif
