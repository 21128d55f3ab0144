/* One case of bench, in a child process: data, verification, timing, roofline. */
#ifndef ASSAY_HARNESS_BENCH_CASE_H
#define ASSAY_HARNESS_BENCH_CASE_H

#include <jansson.h>

#include "bench_plan.h"

/* Runs a case and returns the object that reports/RECORD.md describes as one result of bench; NULL
 * if memory ran out. *stage (may be shared memory) holds the index of the contender whose code is
 * running, -1 outside. crashed[c] is how contender c ended an earlier run of this case, and keeps
 * it out of this one; NULL, there or for all: it did not. Weights are kept from case to case; one
 * thread of one process may call this. */
json_t *assay_bench_run_case(const struct assay_bench_plan *p, size_t i, volatile int *stage,
                             const char *const *crashed);

/* The part of a result that identifies the case: what is known without running it. */
json_t *assay_bench_describe(const struct assay_bench_plan *p, size_t i);

#endif
