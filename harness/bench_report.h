/* The results of bench as text. */
#ifndef ASSAY_HARNESS_BENCH_REPORT_H
#define ASSAY_HARNESS_BENCH_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "bench_plan.h"

/* Whether a result (one case) holds a wrong or failed contender, or is a crash. */
bool assay_bench_result_bad(const json_t *result);

/* Table of all results, then what was skipped and why, then each wrong, failed or crashed contender
 * with the command that repeats its case. `gguf` is the file of the run, or NULL. */
void assay_bench_print(FILE *f, const struct assay_bench_plan *p, const json_t *results,
                       const char *gguf);

#endif
