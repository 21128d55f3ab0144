/* verify: backends differentially against the reference. The engine knows nothing of the command
 * line, so that tests can hand it a backend of their own. */
#ifndef ASSAY_HARNESS_VERIFY_H
#define ASSAY_HARNESS_VERIFY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "case.h"

struct assay_shape {
    size_t m, n, k;
};

/* What to run. Empty selections (NULL, 0) mean everything. */
struct assay_verify_params {
    const struct assay_backend *const *backends; /* required */
    size_t n_backends;
    const struct assay_gguf *gguf; /* NULL: generated blocks only */
    bool tensors_only;             /* no generated blocks */

    const struct assay_type_traits *const *types;
    size_t n_types;
    const struct assay_shape *shapes;
    size_t n_shapes;
    unsigned isas;          /* bit i: enum assay_isa i */
    unsigned weights, acts; /* bit i: generator i */
    const char *variant;    /* NULL: all; "" the default only */
    const int *threads;     /* required */
    size_t n_threads;
    bool thin_threads; /* all of them with one weights generator a shape only, else the first */
    bool quick;        /* fewer shapes and generators */
    bool full;         /* every pair of sizes, shapes of real models, checks without haste */

    uint32_t checks;  /* bit i: assay_checks[i]. Unlike the other selections, 0 is none */
    bool checks_only; /* no products */

    uint64_t seed;
    int timeout_s;   /* per case, beyond what the reference may take */
    double budget_s; /* 0: none. The run stops after it; the cases that tell most come first */
    int jobs;        /* child processes at once; 0: one */
};

struct assay_verify_case {
    size_t problem; /* index in the plan */
    struct assay_runner runner;
};

/* Something that was asked for and can't be run, with the reason. */
struct assay_verify_skip {
    char what[64];
    char reason[160];
    size_t count;
};

struct assay_plan {
    struct assay_problem *problems;
    size_t n_problems;
    struct assay_verify_case *cases;
    size_t n_cases;
    struct assay_verify_skip *skips;
    size_t n_skips;
    bool failed; /* memory ran out on the way */
};

/* Enumerates the cases, in an order that depends on the parameters alone. Returns false if memory
 * ran out. Free the plan in any case. */
bool assay_plan_make(struct assay_plan *plan, const struct assay_verify_params *p);
/* The same for one case; false with a reason in err if `id` names none. */
bool assay_plan_make_one(struct assay_plan *plan, const struct assay_verify_params *p,
                         const char *id, char *err, size_t err_size);
void assay_plan_free(struct assay_plan *plan);

enum assay_verdict {
    ASSAY_NOT_RUN, /* the run was stopped before */
    ASSAY_PASS,
    ASSAY_FAIL,
    ASSAY_SKIP, /* the case turned out not to be runnable, or to prove nothing */
};
const char *assay_verdict_name(enum assay_verdict v);

struct assay_verify_result {
    enum assay_verdict verdict;
    double ratio; /* worst |got - expected| / bound */
    size_t elements, unbounded;
    double cpu_s;   /* of the child, in this case */
    json_t *detail; /* what the child reported (reports/RECORD.md); NULL for a pass not kept */
};

struct assay_verify_observer {
    /* Before and after each case, in plan order. May be NULL. `after` returns false to stop. */
    void (*before)(size_t i, void *user);
    bool (*after)(size_t i, const struct assay_verify_result *r, void *user);
    void *user;
    bool keep_details; /* of passes too */
};

struct assay_verify_totals {
    size_t cases; /* in the plan */
    size_t passed, failed, not_run;
    size_t skipped; /* of the cases, and what could not become one */
    size_t elements, unbounded;
};

/* Runs every case in child processes and fills results[plan->n_cases]. Returns false if no child
 * could be started. */
bool assay_verify_run(const struct assay_plan *plan, const struct assay_verify_params *p,
                      const struct assay_verify_observer *observer,
                      struct assay_verify_result *results);
void assay_verify_results_free(struct assay_verify_result *results, size_t n);

struct assay_verify_totals assay_verify_count(const struct assay_plan *plan,
                                              const struct assay_verify_result *results);

/* What a run reached of what the plan holds. */
struct assay_verify_coverage {
    size_t cases, all_cases;               /* run, planned */
    size_t combinations, all_combinations; /* type × runner (threads aside) × check or operation */
    size_t pairs,
        all_pairs; /* of classes of m, n, k and generators in generated products, by type */
};
/* False if memory ran out. */
bool assay_verify_cover(const struct assay_plan *plan, const struct assay_verify_result *results,
                        struct assay_verify_coverage *c);

/* The same from the "results" of records, of one run or of all its shards. */
bool assay_verify_cover_results(const json_t *results, struct assay_verify_coverage *c);

/* A record's "coverage". */
json_t *assay_verify_coverage_json(const struct assay_verify_coverage *c);

/* ---- Reports ---- */

struct assay_verify_report {
    const struct assay_plan *plan;
    const struct assay_verify_params *params;
    const struct assay_verify_result *results;
    const char *gguf_path; /* for the command lines that reproduce a case; NULL without a file */
};

/* One line: verdict, id, ratio, kernel. */
void assay_verify_print_case(FILE *f, const struct assay_verify_report *r, size_t i);
/* Several lines: what is wrong, where, by how much, and how to reproduce it. */
void assay_verify_print_failure(FILE *f, const struct assay_verify_report *r, size_t i);
/* Table by type and backend, skips, the first max_failures failures, the closing line. */
void assay_verify_print_summary(FILE *f, const struct assay_verify_report *r, size_t max_failures);
/* Adds "results", "skips" and "summary" to a record. False if memory ran out. */
bool assay_verify_record(json_t *record, const struct assay_verify_report *r);

#endif
