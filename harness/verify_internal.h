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

/* ---- Shapes (verify_shapes.c) ---- */

enum assay_shape_factor { ASSAY_SHAPE_M, ASSAY_SHAPE_N, ASSAY_SHAPE_K };

/* The class that a value of m, of n or of k in blocks is counted in. */
size_t assay_shape_class(enum assay_shape_factor factor, size_t value);

/* One product of a covering array: values to choose from for each of m, n, k, and generators. */
struct assay_shape_case {
    size_t first[3], count[3];
    enum assay_weights_gen weights;
    enum assay_acts_gen acts;
};

struct assay_shape_cover {
    struct assay_shape_case *cases;
    size_t n;
};

/* Makes a cover of all pairs of classes of m, n, k and of the generators in two bit sets; with
 * `full`, of all pairs of values. False if memory ran out. Free out->cases. */
bool assay_shapes_cover(struct assay_shape_cover *out, bool full, unsigned weights, unsigned acts);
/* Turn `turn` of the values of a case; k is in blocks. */
struct assay_shape assay_shape_of(const struct assay_shape_case *s, size_t turn);

/* ---- Order (verify_order.c) ---- */

/* Puts the problems that tell most first, round-robin over the types. False if memory ran out. */
bool assay_plan_order(struct assay_plan *plan);

/* ---- The plan ---- */

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
