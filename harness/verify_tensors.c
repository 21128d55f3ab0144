/* The problems of a GGUF file: every matrix in it, projections that models fuse, row lookup. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verify_internal.h"

/* Products: one token, a few, and for one small tensor of each type many. */
static const struct {
    size_t m;
    enum assay_acts_gen acts;
} few_rows[] = {{1, ASSAY_AGEN_NORMAL}, {3, ASSAY_AGEN_HEAVY}}, many_rows = {17, ASSAY_AGEN_NORMAL};

/* Weights decoded per row lookup: a larger matrix has its rows sampled evenly. */
enum { LOOKUP_WEIGHTS = 1 << 22 };

static void add_products(struct assay_plan *plan, const struct assay_verify_params *p,
                         struct assay_problem *problem, size_t m, enum assay_acts_gen acts) {
    problem->m = m;
    for (int a = 0; a < ASSAY_AGEN_COUNT; a++) {
        if (p->acts != 0 ? (p->acts >> a & 1) == 0 : a != (int)acts)
            continue;
        problem->acts = (enum assay_acts_gen)a;
        assay_plan_add(plan, p, problem);
    }
}

static void add_few_rows(struct assay_plan *plan, const struct assay_verify_params *p,
                         struct assay_problem *problem) {
    for (size_t i = 0; i < sizeof few_rows / sizeof few_rows[0]; i++)
        add_products(plan, p, problem, few_rows[i].m, few_rows[i].acts);
}

static struct assay_problem tensor_problem(const struct assay_gguf_tensor *t, enum assay_op op) {
    struct assay_problem problem = {.op = op, .n_parts = 1, .k = (size_t)t->dims[0]};
    problem.parts[0] = (struct assay_case_part){t->type, t, (size_t)t->rows};
    return problem;
}

static void add_lookup(struct assay_plan *plan, const struct assay_verify_params *p,
                       const struct assay_gguf_tensor *t) {
    struct assay_problem problem = tensor_problem(t, ASSAY_OP_ROWS);
    size_t most = LOOKUP_WEIGHTS / problem.k;

    /* One more than there are rows: all of them, and one twice. */
    problem.m = problem.parts[0].rows + 1;
    if (problem.m > most)
        problem.m = most > 0 ? most : 1;
    assay_plan_add(plan, p, &problem);
}

static bool is_matrix(struct assay_plan *plan, const struct assay_gguf_tensor *t) {
    char what[64];

    snprintf(what, sizeof what, "%s tensors", t->type->name);
    if (t->n_dims < 2)
        assay_plan_skip(plan, what, "one-dimensional: no matrix");
    else if (t->rows == 0 || t->dims[0] == 0)
        assay_plan_skip(plan, what, "empty");
    else if (t->type->dequant == NULL)
        assay_plan_skip(plan, what, "assay does not decode the type");
    else
        return true;
    return false;
}

static bool smallest_of_its_type(const struct assay_gguf *g, size_t index) {
    const struct assay_gguf_tensor *t = assay_gguf_tensor_at(g, index);

    for (size_t i = 0; i < assay_gguf_tensor_count(g); i++) {
        const struct assay_gguf_tensor *u = assay_gguf_tensor_at(g, i);
        if (u->type == t->type && u->n_dims >= 2 && u->rows > 0 &&
            (u->bytes < t->bytes || (u->bytes == t->bytes && i < index)))
            return false;
    }
    return true;
}

/* ---- Fused projections ---- */

/* Names of the tensors that models multiply with the same x. */
static const char *const fusions[][ASSAY_MAX_PARTS] = {
    {"attn_q.weight", "attn_k.weight", "attn_v.weight"},
    {"ffn_gate.weight", "ffn_up.weight"},
};

/* Fills problem with the parts of a fusion in a layer; false if the layer has no such parts. */
static bool fused_problem(const struct assay_gguf *g, size_t layer, const char *const *names,
                          struct assay_problem *problem) {
    *problem = (struct assay_problem){.op = ASSAY_OP_FUSED};
    for (size_t i = 0; i < ASSAY_MAX_PARTS && names[i] != NULL; i++) {
        char name[96];
        const struct assay_gguf_tensor *t;

        snprintf(name, sizeof name, "blk.%zu.%s", layer, names[i]);
        t = assay_gguf_tensor_find(g, name);
        if (t == NULL || t->n_dims != 2 || t->rows == 0 || t->type->dequant == NULL)
            return false;
        if (i > 0 && t->dims[0] != problem->k)
            return false;
        problem->k = (size_t)t->dims[0];
        problem->parts[problem->n_parts++] = (struct assay_case_part){t->type, t, (size_t)t->rows};
    }
    return true;
}

static bool same_types(const struct assay_problem *a, const struct assay_problem *b) {
    if (a->n_parts != b->n_parts)
        return false;
    for (size_t i = 0; i < a->n_parts; i++)
        if (a->parts[i].type != b->parts[i].type)
            return false;
    return true;
}

static bool seen_in_earlier_layer(const struct assay_gguf *g, size_t layer,
                                  const char *const *names, const struct assay_problem *problem) {
    struct assay_problem earlier;
    for (size_t i = 0; i < layer; i++)
        if (fused_problem(g, i, names, &earlier) && same_types(&earlier, problem))
            return true;
    return false;
}

static bool any_part_selected(const struct assay_verify_params *p,
                              const struct assay_problem *problem) {
    for (size_t i = 0; i < problem->n_parts; i++)
        if (assay_plan_type_selected(p, problem->parts[i].type))
            return true;
    return false;
}

/* The first layer of every mix of types. */
static void add_fusion(struct assay_plan *plan, const struct assay_verify_params *p,
                       const char *const *names) {
    /* There are fewer layers than tensors, and a model may fuse in some layers only. */
    for (size_t layer = 0; layer < assay_gguf_tensor_count(p->gguf); layer++) {
        struct assay_problem problem;
        if (fused_problem(p->gguf, layer, names, &problem) && any_part_selected(p, &problem) &&
            !seen_in_earlier_layer(p->gguf, layer, names, &problem))
            add_few_rows(plan, p, &problem);
    }
}

void assay_plan_add_tensors(struct assay_plan *plan, const struct assay_verify_params *p) {
    for (size_t i = 0; i < assay_gguf_tensor_count(p->gguf); i++) {
        const struct assay_gguf_tensor *t = assay_gguf_tensor_at(p->gguf, i);
        struct assay_problem problem;

        if (!assay_plan_type_selected(p, t->type) || !is_matrix(plan, t))
            continue;
        problem = tensor_problem(t, ASSAY_OP_GEMM);
        add_few_rows(plan, p, &problem);
        if (smallest_of_its_type(p->gguf, i))
            add_products(plan, p, &problem, many_rows.m, many_rows.acts);
        if (t->n_dims == 3 && t->dims[2] <= UINT32_MAX) {
            problem = tensor_problem(t, ASSAY_OP_EXPERTS);
            problem.experts = (size_t)t->dims[2];
            add_few_rows(plan, p, &problem);
        }
        if (p->acts == 0)
            add_lookup(plan, p, t);
    }
    for (size_t f = 0; f < sizeof fusions / sizeof fusions[0]; f++)
        add_fusion(plan, p, fusions[f]);
}
