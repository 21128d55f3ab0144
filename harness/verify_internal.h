/* What the files of the verify engine share. */
#ifndef ASSAY_HARNESS_VERIFY_INTERNAL_H
#define ASSAY_HARNESS_VERIFY_INTERNAL_H

#include "verify.h"

/* Adds a problem and a case for every runner that the parameters select, or the skips. */
void assay_plan_add(struct assay_plan *plan, const struct assay_verify_params *p,
                    const struct assay_problem *problem);
void assay_plan_skip(struct assay_plan *plan, const char *what, const char *reason);
bool assay_plan_type_selected(const struct assay_verify_params *p,
                              const struct assay_type_traits *t);

/* Adds the problems of the GGUF file's tensors. */
void assay_plan_add_tensors(struct assay_plan *plan, const struct assay_verify_params *p);

/* The child's side: computes and judges cases, keeping the data of one problem. */
struct assay_worker {
    const struct assay_plan *plan;
    const struct assay_verify_params *params;
    struct assay_workload *load; /* of the current problem; NULL at first */
    size_t problem;
};

json_t *assay_worker_run(struct assay_worker *w, size_t case_index);

#endif
