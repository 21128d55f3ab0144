/* --shard I/N: the part of a plan that one of N machines runs. The parts depend on the plan alone,
 * are about equal in estimated cost, and together are the plan, each case in exactly one. */
#ifndef ASSAY_HARNESS_SHARD_H
#define ASSAY_HARNESS_SHARD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench_plan.h"
#include "options.h"
#include "verify.h"

#define ASSAY_SHARD_OPTION                                                                         \
    {                                                                                              \
        "shard", 0, "I/N", NULL,                                                                   \
            "run part I of N; 'assay history merge' puts the parts' records together"              \
    }
#define ASSAY_MAX_SHARDS 10000

struct assay_shard {
    size_t index, count; /* 1 … count; count 0: no --shard, everything is run */
    uint64_t plan;       /* hash of the whole plan and its seed: parts of one plan agree */
    size_t n_all;        /* cases of the whole plan */
    size_t *places;      /* of the cases that are run, in the whole plan */
    size_t n;
};

/* Reads --shard; false after a one-line error. */
bool assay_shard_from_args(const struct assay_args *args, struct assay_shard *s);
void assay_shard_free(struct assay_shard *s);

/* Leaves this shard's cases in the plan, in their order. Without --shard it does nothing. False if
 * memory ran out. */
bool assay_shard_verify(struct assay_shard *s, struct assay_plan *plan, uint64_t seed);
bool assay_shard_bench(struct assay_shard *s, struct assay_bench_plan *plan);

/* The record's member "shard" (reports/RECORD.md); NULL without --shard. */
json_t *assay_shard_json(const struct assay_shard *s);

/* For each of n items the shard, from 0, that runs it: the dearest first, each to the shard that
 * has the least so far (Graham, "Bounds on multiprocessing timing anomalies", SIAM J. Appl. Math.
 * 17(2), 1969: at most 4/3 of the best makespan). Ties go to the smaller number. False if memory
 * ran out. */
bool assay_shard_assign(const double *cost, size_t n, size_t count, size_t *shard_of);

#endif
