/* Which cases verify runs: the bookkeeping, and the problems of generated blocks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "datasets/catalogue.h"
#include "verify_internal.h"

/* Makes room for element n of an array that doubles when n is a power of two. Returns the array, or
 * NULL if memory ran out, and then the old one is still there. */
static void *grown(void *array, size_t n, size_t size) {
    if ((n & (n - 1)) != 0)
        return array;
    return realloc(array, (n == 0 ? 1 : 2 * n) * size);
}

static void add_problem(struct assay_plan *plan, const struct assay_problem *problem) {
    void *more = grown(plan->problems, plan->n_problems, sizeof *plan->problems);
    if (more == NULL) {
        plan->failed = true;
        return;
    }
    plan->problems = more;
    plan->problems[plan->n_problems++] = *problem;
}

/* Adds a case of the latest problem. */
static void add_case(struct assay_plan *plan, const struct assay_runner *runner) {
    /* Without its problem a case would be of the one before. */
    void *more = plan->failed ? NULL : grown(plan->cases, plan->n_cases, sizeof *plan->cases);
    if (more == NULL) {
        plan->failed = true;
        return;
    }
    plan->cases = more;
    plan->cases[plan->n_cases++] = (struct assay_verify_case){plan->n_problems - 1, *runner};
}

void assay_plan_skip(struct assay_plan *plan, const char *what, const char *reason) {
    struct assay_verify_skip s = {.count = 1};
    void *more;

    /* Compared as stored: a text longer than its field would never match itself. */
    snprintf(s.what, sizeof s.what, "%s", what);
    snprintf(s.reason, sizeof s.reason, "%s", reason);
    for (size_t i = 0; i < plan->n_skips; i++)
        if (strcmp(plan->skips[i].what, s.what) == 0 &&
            strcmp(plan->skips[i].reason, s.reason) == 0) {
            plan->skips[i].count++;
            return;
        }
    more = grown(plan->skips, plan->n_skips, sizeof *plan->skips);
    if (more == NULL) {
        plan->failed = true;
        return;
    }
    plan->skips = more;
    plan->skips[plan->n_skips++] = s;
}

bool assay_plan_type_selected(const struct assay_verify_params *p,
                              const struct assay_type_traits *t) {
    for (size_t i = 0; i < p->n_types; i++)
        if (p->types[i] == t)
            return true;
    return p->n_types == 0;
}

/* ---- Runners ---- */

/* The quick run keeps one generator that looks like real weights and two that do not. */
enum { QUICK_WEIGHTS = 1 << ASSAY_WGEN_UNIFORM | 1 << ASSAY_WGEN_NORMAL | 1 << ASSAY_WGEN_EXTREME };

static unsigned weights_selected(const struct assay_verify_params *p) {
    if (p->weights != 0)
        return p->weights;
    return p->quick ? QUICK_WEIGHTS : (1u << ASSAY_WGEN_COUNT) - 1;
}

static enum assay_weights_gen first_weights(const struct assay_verify_params *p) {
    int w = 0;
    while (w + 1 < ASSAY_WGEN_COUNT && (weights_selected(p) >> w & 1) == 0)
        w++;
    return (enum assay_weights_gen)w;
}

/* How work is shared out depends on the shape: of generated problems, the first weights generator
 * of each shape shows it. A row lookup has no work to share. */
static size_t thread_counts(const struct assay_verify_params *p,
                            const struct assay_problem *problem) {
    bool first = problem->op != ASSAY_OP_CHECK &&
                 (problem->parts[0].tensor != NULL || problem->weights == first_weights(p));

    if (problem->op == ASSAY_OP_ROWS || (p->thin_threads && !first))
        return 1;
    return p->n_threads;
}

static void add_threads(struct assay_plan *plan, const struct assay_verify_params *p,
                        struct assay_runner *r, const struct assay_problem *problem) {
    size_t n = thread_counts(p, problem);

    for (size_t i = 0; i < n; i++) {
        r->threads = p->threads[i];
        add_case(plan, r);
    }
}

static void add_isas(struct assay_plan *plan, const struct assay_verify_params *p,
                     struct assay_runner *r, const struct assay_problem *problem) {
    if (!assay_backend_uses_isa(r->backend)) {
        r->isa = ASSAY_ISA_AUTO;
        if (p->isas == 0)
            add_threads(plan, p, r, problem);
        else
            assay_plan_skip(plan, assay_backend_name(r->backend),
                            "the backend has no choice of instruction set (--isa)");
        return;
    }
    for (int isa = ASSAY_ISA_SCALAR; isa < ASSAY_ISA_COUNT; isa++) {
        char what[64];
        r->isa = (enum assay_isa)isa;
        if (p->isas != 0 ? (p->isas >> isa & 1) == 0 : !assay_isa_of_this_build(r->isa))
            continue;
        if (assay_isa_runs_here(r->isa)) {
            add_threads(plan, p, r, problem);
            continue;
        }
        snprintf(what, sizeof what, "%s %s", assay_backend_name(r->backend),
                 assay_isa_name(r->isa));
        assay_plan_skip(plan, what, "this machine lacks the instruction set");
    }
}

/* An emulation is too slow for kernels forced on every m that the default takes where they belong.
 */
static bool left_out(const struct assay_verify_params *p, const struct assay_backend *b, size_t v) {
    return assay_backend_is_emulated(b) && p->variant == NULL && !p->full && v > 0 &&
           v <= assay_backend_variants_by_m(b);
}

static void tell_left_out(struct assay_plan *plan, const struct assay_verify_params *p) {
    for (size_t i = 0; i < p->n_backends; i++) {
        const struct assay_backend *b = p->backends[i];
        for (size_t v = 1; v <= assay_backend_variants_by_m(b) && left_out(p, b, v); v++) {
            char what[64];
            snprintf(what, sizeof what, "%s+%s", assay_backend_name(b),
                     assay_backend_variants(b)[v]);
            assay_plan_skip(plan, what, "slow, and the default takes it by m (--full, --variant)");
        }
    }
}

static void add_backend(struct assay_plan *plan, const struct assay_verify_params *p,
                        const struct assay_problem *problem, const struct assay_backend *b) {
    struct assay_runner r = {.backend = b};
    char why[160] = "";

    if (!assay_backend_available(b, why, sizeof why)) {
        assay_plan_skip(plan, assay_backend_name(b), why);
        return;
    }
    if (problem->op == ASSAY_OP_ROWS && !assay_backend_has_rows(b)) {
        assay_plan_skip(plan, assay_backend_name(b), "the backend has no row lookup");
        return;
    }
    for (size_t i = 0; i < problem->n_parts; i++) {
        const struct assay_type_traits *t = problem->parts[i].type;
        if (!assay_backend_supports(b, t)) {
            char what[64];
            snprintf(what, sizeof what, "%s %s", assay_backend_name(b), t->name);
            assay_plan_skip(plan, what, "the backend does not support the type");
            return;
        }
    }
    if (problem->op == ASSAY_OP_CHECK && (problem->check->claims & ~assay_backend_claims(b)) != 0) {
        char reason[96];
        snprintf(reason, sizeof reason, "not claimed: %s", problem->check->name);
        assay_plan_skip(plan, assay_backend_name(b), reason);
        return;
    }
    for (size_t v = 0; assay_backend_variants(b)[v] != NULL; v++) {
        r.variant = assay_backend_variants(b)[v];
        if (p->variant != NULL ? strcmp(p->variant, r.variant) == 0 : !left_out(p, b, v))
            add_isas(plan, p, &r, problem);
    }
}

void assay_plan_add(struct assay_plan *plan, const struct assay_verify_params *p,
                    const struct assay_problem *problem) {
    size_t before = plan->n_cases;

    add_problem(plan, problem);
    if (plan->failed)
        return;
    for (size_t i = 0; i < p->n_backends; i++)
        add_backend(plan, p, problem, p->backends[i]);
    if (plan->n_cases == before)
        plan->n_problems--; /* nobody to run it */
}

/* ---- Generated blocks ---- */

static size_t default_k(const struct assay_type_traits *t, size_t blocks) {
    /* Scalars have no blocks; one less than a multiple of 32 is all tails. */
    return t->block_len > 1 ? blocks * t->block_len : blocks * 32 - 1;
}

/* One problem for every pair of generators selected; or, if the activations were left open, one for
 * every weights generator with activations that rotate over the shapes, so that all pairs occur. */
static void add_generators(struct assay_plan *plan, const struct assay_verify_params *p,
                           struct assay_problem *problem, size_t turn) {
    unsigned weights = weights_selected(p);

    for (int w = 0; w < ASSAY_WGEN_COUNT; w++)
        for (int a = 0; a < ASSAY_AGEN_COUNT; a++) {
            bool wanted = p->acts != 0 ? (p->acts >> a & 1) != 0
                                       : (size_t)a == (turn + (size_t)w) % ASSAY_AGEN_COUNT;
            if ((weights >> w & 1) == 0 || !wanted)
                continue;
            problem->weights = (enum assay_weights_gen)w;
            problem->acts = (enum assay_acts_gen)a;
            assay_plan_add(plan, p, problem);
        }
}

static void add_given_shapes(struct assay_plan *plan, const struct assay_verify_params *p,
                             const struct assay_type_traits *t) {
    for (size_t i = 0; i < p->n_shapes; i++) {
        struct assay_problem problem = {.op = ASSAY_OP_GEMM, .n_parts = 1};
        size_t row_bytes;

        problem.parts[0] = (struct assay_case_part){t, NULL, p->shapes[i].n};
        problem.m = p->shapes[i].m;
        problem.k = p->shapes[i].k;
        if (assay_row_bytes(t, problem.k, &row_bytes))
            add_generators(plan, p, &problem, i);
        else
            assay_plan_skip(plan, t->name, "K of the shape is no multiple of the block length");
    }
}

/* The covering array of sizes and generators; of a quick run, a sample of it that steps through the
 * classes of m and n. Types start at different values of each class. */
static void add_cover(struct assay_plan *plan, const struct assay_verify_params *p,
                      const struct assay_shape_cover *cover, const struct assay_type_traits *t,
                      size_t type_index) {
    enum { QUICK_STEP = 5 };

    for (size_t i = 0; i < cover->n; i += p->quick ? QUICK_STEP : 1) {
        struct assay_shape shape = assay_shape_of(&cover->cases[i], type_index + i);
        struct assay_problem problem = {.op = ASSAY_OP_GEMM, .n_parts = 1};
        problem.parts[0] = (struct assay_case_part){t, NULL, shape.n};
        problem.m = shape.m;
        problem.k = default_k(t, shape.k);
        problem.weights = cover->cases[i].weights;
        problem.acts = cover->cases[i].acts;
        assay_plan_add(plan, p, &problem);
    }
}

/* A product of no rows of x, which must leave the memory around y alone. */
static void add_no_rows(struct assay_plan *plan, const struct assay_verify_params *p,
                        const struct assay_type_traits *t) {
    struct assay_problem problem = {.op = ASSAY_OP_GEMM, .n_parts = 1, .m = 0};

    problem.parts[0] = (struct assay_case_part){t, NULL, 3};
    problem.k = default_k(t, 1);
    problem.weights = first_weights(p);
    assay_plan_add(plan, p, &problem);
}

/* Rows of real models: all of k, of n what the reference gets through. */
static void add_catalogue(struct assay_plan *plan, const struct assay_verify_params *p,
                          const struct assay_type_traits *t) {
    enum { MAX_MATRICES = 16, FEW_ROWS = 40 };
    struct assay_matrix_shape matrices[MAX_MATRICES];
    const struct assay_model_shape *model = assay_catalogue_at(0);
    size_t n = model != NULL ? assay_model_matrices(model, matrices, MAX_MATRICES) : 0;

    for (size_t i = 0; i < n && i < MAX_MATRICES; i++) {
        struct assay_problem problem = {.op = ASSAY_OP_GEMM, .n_parts = 1, .m = 3};
        size_t row_bytes;
        bool seen = false;

        for (size_t j = 0; j < i; j++)
            seen = seen || matrices[j].k == matrices[i].k;
        problem.parts[0] = (struct assay_case_part){t, NULL, FEW_ROWS};
        problem.k = (size_t)matrices[i].k;
        if (!seen && assay_row_bytes(t, problem.k, &row_bytes))
            add_generators(plan, p, &problem, i);
    }
}

/* The type beside Q6_K, as real files mix them in one fused projection. */
static void add_fused(struct assay_plan *plan, const struct assay_verify_params *p,
                      const struct assay_type_traits *t) {
    const struct assay_type_traits *other =
        assay_type_traits(t->type == ASSAY_TYPE_Q6_K ? ASSAY_TYPE_Q4_K : ASSAY_TYPE_Q6_K);
    /* Three parts; one; and the second of three without rows. */
    static const struct {
        size_t m, n_parts, rows[3];
    } mixes[] = {{3, 3, {7, 7, 7}}, {2, 1, {9}}, {1, 3, {5, 0, 8}}};

    for (size_t i = 0; i < sizeof mixes / sizeof mixes[0]; i++) {
        struct assay_problem problem = {.op = ASSAY_OP_FUSED, .k = 512};
        problem.n_parts = mixes[i].n_parts;
        problem.m = mixes[i].m;
        for (size_t part = 0; part < problem.n_parts; part++)
            problem.parts[part] =
                (struct assay_case_part){part == 1 ? other : t, NULL, mixes[i].rows[part]};
        problem.weights = ASSAY_WGEN_UNIFORM;
        problem.acts = ASSAY_AGEN_NORMAL;
        assay_plan_add(plan, p, &problem);
    }
}

/* Routed rows: one alone, more experts than rows, several rows an expert in each way of sharing. */
static void add_experts(struct assay_plan *plan, const struct assay_verify_params *p,
                        const struct assay_type_traits *t) {
    static const struct {
        size_t m, experts, rows;
    } stacks[] = {{1, 3, 5}, {8, 16, 19}, {9, 3, 37}, {40, 4, 9}, {2, 1, 33}};

    for (size_t i = 0; i < sizeof stacks / sizeof stacks[0]; i++) {
        struct assay_problem problem = {.op = ASSAY_OP_EXPERTS, .n_parts = 1};
        problem.m = stacks[i].m;
        problem.experts = stacks[i].experts;
        problem.parts[0] = (struct assay_case_part){t, NULL, stacks[i].experts * stacks[i].rows};
        problem.k = default_k(t, 2);
        problem.weights = first_weights(p);
        problem.acts = ASSAY_AGEN_NORMAL;
        assay_plan_add(plan, p, &problem);
    }
}

static void add_rows(struct assay_plan *plan, const struct assay_verify_params *p,
                     const struct assay_type_traits *t) {
    unsigned weights = weights_selected(p);

    for (int w = 0; w < ASSAY_WGEN_COUNT; w++) {
        struct assay_problem problem = {.op = ASSAY_OP_ROWS, .n_parts = 1, .m = 9};
        if ((weights >> w & 1) == 0)
            continue;
        problem.parts[0] = (struct assay_case_part){t, NULL, 7};
        problem.k = default_k(t, 3);
        problem.weights = (enum assay_weights_gen)w;
        assay_plan_add(plan, p, &problem);
    }
}

static void add_checks(struct assay_plan *plan, const struct assay_verify_params *p,
                       const struct assay_type_traits *t) {
    for (size_t i = 0; assay_checks[i] != NULL; i++) {
        struct assay_problem problem = {.op = ASSAY_OP_CHECK, .n_parts = 1};
        problem.parts[0] = (struct assay_case_part){t, NULL, 0};
        problem.check = assay_checks[i];
        if ((p->checks >> i & 1) != 0)
            assay_plan_add(plan, p, &problem);
    }
}

static void add_products(struct assay_plan *plan, const struct assay_verify_params *p,
                         const struct assay_shape_cover *cover, const struct assay_type_traits *t,
                         size_t type_index) {
    if (p->n_shapes > 0) {
        add_given_shapes(plan, p, t);
        return;
    }
    add_cover(plan, p, cover, t, type_index);
    if (p->full)
        add_catalogue(plan, p, t);
    /* Fixed generators: only where none were asked for. */
    if (p->weights == 0 && p->acts == 0) {
        add_no_rows(plan, p, t);
        add_fused(plan, p, t);
        add_experts(plan, p, t);
    }
    if (p->acts == 0)
        add_rows(plan, p, t);
}

static void add_generated(struct assay_plan *plan, const struct assay_verify_params *p) {
    struct assay_shape_cover cover = {NULL, 0};
    unsigned acts = p->acts != 0 ? p->acts : (1u << ASSAY_AGEN_COUNT) - 1;

    if (!p->checks_only && p->n_shapes == 0 &&
        !assay_shapes_cover(&cover, p->full, weights_selected(p), acts))
        plan->failed = true;
    for (size_t i = 0; i < assay_type_count() && !plan->failed; i++) {
        const struct assay_type_traits *t = assay_type_at(i);

        if (t->dequant == NULL || !assay_plan_type_selected(p, t))
            continue;
        add_checks(plan, p, t);
        if (!p->checks_only)
            add_products(plan, p, &cover, t, i);
    }
    free(cover.cases);
}

/* ---- The plan ---- */

bool assay_plan_make(struct assay_plan *plan, const struct assay_verify_params *p) {
    *plan = (struct assay_plan){.n_cases = 0};
    tell_left_out(plan, p);
    if (!p->tensors_only)
        add_generated(plan, p);
    if (p->gguf != NULL && !p->checks_only)
        assay_plan_add_tensors(plan, p);
    if (p->budget_s > 0 && !plan->failed)
        plan->failed = !assay_plan_order(plan);
    return !plan->failed;
}

bool assay_plan_make_one(struct assay_plan *plan, const struct assay_verify_params *p,
                         const char *id, char *err, size_t err_size) {
    struct assay_case_scope scope = {p->backends, p->n_backends, p->gguf};
    struct assay_problem problem;
    struct assay_runner runner;
    char why[160] = "";

    *plan = (struct assay_plan){.n_cases = 0};
    if (!assay_case_parse(id, &scope, &problem, &runner, err, err_size))
        return false;
    if (!assay_backend_available(runner.backend, why, sizeof why)) {
        snprintf(err, err_size, "backend '%s' can't be used: %s",
                 assay_backend_name(runner.backend), why);
        return false;
    }
    if (!assay_isa_runs_here(runner.isa)) {
        snprintf(err, err_size, "this machine lacks the instruction set '%s'",
                 assay_isa_name(runner.isa));
        return false;
    }
    add_problem(plan, &problem);
    add_case(plan, &runner);
    if (plan->failed)
        snprintf(err, err_size, "out of memory");
    return !plan->failed;
}

void assay_plan_free(struct assay_plan *plan) {
    free(plan->problems);
    free(plan->cases);
    free(plan->skips);
    *plan = (struct assay_plan){.n_cases = 0};
}
