/* What a run reached: cases, combinations, and pairs of what a product is made of. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verify_internal.h"

/* Levels that one generated product has: classes of m, n, k, and two generators. */
enum { N_FACTORS = 5, MOST_LEVELS = 8, PAIRS = N_FACTORS * N_FACTORS * MOST_LEVELS * MOST_LEVELS };

struct pairs {
    unsigned char planned[PAIRS], run[PAIRS];
};

static void mark(unsigned char *seen, const size_t level[N_FACTORS]) {
    for (size_t a = 0; a < N_FACTORS; a++)
        for (size_t b = a + 1; b < N_FACTORS; b++)
            seen[((a * N_FACTORS + b) * MOST_LEVELS + level[a]) * MOST_LEVELS + level[b]] = 1;
}

static bool is_run(const struct assay_verify_result *r) {
    return r->verdict == ASSAY_PASS || r->verdict == ASSAY_FAIL;
}

static void add_pairs(struct pairs *by_type, const struct assay_problem *p, bool run) {
    const struct assay_case_part *part = &p->parts[0];
    size_t type = 0, level[N_FACTORS];

    if (p->op != ASSAY_OP_GEMM || part->tensor != NULL || p->m == 0)
        return;
    while (assay_type_at(type) != part->type)
        type++;
    level[0] = assay_shape_class(ASSAY_SHAPE_M, p->m);
    level[1] = assay_shape_class(ASSAY_SHAPE_N, part->rows);
    /* Scalar types have no blocks: 32 weights stand for one. */
    level[2] = assay_shape_class(
        ASSAY_SHAPE_K, part->type->block_len > 1 ? p->k / part->type->block_len : (p->k + 31) / 32);
    level[3] = (size_t)p->weights;
    level[4] = (size_t)p->acts;
    mark(by_type[type].planned, level);
    if (run)
        mark(by_type[type].run, level);
}

static void sum_pairs(const struct pairs *p, struct assay_verify_coverage *c) {
    for (size_t i = 0; i < PAIRS; i++) {
        c->all_pairs += p->planned[i];
        c->pairs += p->run[i];
    }
}

static void count_pairs(const struct assay_plan *plan, const struct assay_verify_result *results,
                        struct pairs *by_type, struct assay_verify_coverage *c) {
    for (size_t i = 0; i < plan->n_cases; i++)
        add_pairs(by_type, &plan->problems[plan->cases[i].problem], is_run(&results[i]));
    for (size_t t = 0; t < assay_type_count(); t++)
        sum_pairs(&by_type[t], c);
}

/* A case as far as combinations go: what is done, with which type, by whom. */
struct combination {
    const void *what; /* the check, or the name of the operation */
    const struct assay_type_traits *type;
    const struct assay_backend *backend;
    const char *variant;
    enum assay_isa isa;
    bool run;
};

static int compare_pointers(const void *a, const void *b) {
    return ((uintptr_t)a > (uintptr_t)b) - ((uintptr_t)a < (uintptr_t)b);
}

/* Equal ones become neighbours, those that ran first. */
static int by_combination(const void *a, const void *b, bool with_run) {
    const struct combination *x = a, *y = b;
    int c = compare_pointers(x->what, y->what);

    c = c != 0 ? c : compare_pointers(x->type, y->type);
    c = c != 0 ? c : compare_pointers(x->backend, y->backend);
    c = c != 0 ? c : strcmp(x->variant, y->variant);
    c = c != 0 ? c : (int)x->isa - (int)y->isa;
    return c != 0 || !with_run ? c : (int)y->run - (int)x->run;
}

static int order_combinations(const void *a, const void *b) { return by_combination(a, b, true); }

static bool count_combinations(const struct assay_plan *plan,
                               const struct assay_verify_result *results,
                               struct assay_verify_coverage *c) {
    struct combination *all = calloc(plan->n_cases + 1, sizeof *all);

    if (all == NULL)
        return false;
    for (size_t i = 0; i < plan->n_cases; i++) {
        const struct assay_runner *r = &plan->cases[i].runner;
        const struct assay_problem *p = &plan->problems[plan->cases[i].problem];
        all[i] = (struct combination){
            .what = p->op == ASSAY_OP_CHECK ? (const void *)p->check
                                            : (const void *)assay_op_name(p->op),
            .type = p->parts[0].type,
            .backend = r->backend,
            .variant = r->variant,
            .isa = r->isa,
            .run = is_run(&results[i]),
        };
    }
    qsort(all, plan->n_cases, sizeof *all, order_combinations);
    for (size_t i = 0; i < plan->n_cases; i++) {
        if (i > 0 && by_combination(&all[i - 1], &all[i], false) == 0)
            continue;
        c->all_combinations++;
        c->combinations += all[i].run;
    }
    free(all);
    return true;
}

bool assay_verify_cover(const struct assay_plan *plan, const struct assay_verify_result *results,
                        struct assay_verify_coverage *c) {
    struct pairs *by_type = calloc(assay_type_count(), sizeof *by_type);

    *c = (struct assay_verify_coverage){.all_cases = plan->n_cases};
    for (size_t i = 0; i < plan->n_cases; i++)
        c->cases += is_run(&results[i]);
    if (by_type == NULL)
        return false;
    count_pairs(plan, results, by_type, c);
    free(by_type);
    return count_combinations(plan, results, c);
}

/* ---- The same of a record's results ---------------------------------------------------------- */

static const char *text(const json_t *j, const char *key) {
    const char *s = json_string_value(json_object_get(j, key));
    return s != NULL ? s : "";
}

/* The generators are in the id alone: gemm/TYPE/MxNxK/WEIGHTS/ACTS/…; false if it names none. */
static bool generators(const char *id, struct assay_problem *p) {
    char weights[32], acts[32];

    return sscanf(id, "gemm/%*[^/]/%*[^/]/%31[^/]/%31[^/]/", weights, acts) == 2 &&
           assay_weights_gen_parse(weights, &p->weights) && assay_acts_gen_parse(acts, &p->acts);
}

static bool product_of(const json_t *r, struct assay_problem *p) {
    const char *type = json_string_value(json_array_get(json_object_get(r, "types"), 0));

    *p = (struct assay_problem){.op = ASSAY_OP_GEMM, .n_parts = 1};
    p->m = (size_t)json_integer_value(json_object_get(r, "m"));
    p->k = (size_t)json_integer_value(json_object_get(r, "k"));
    p->parts[0].rows = (size_t)json_integer_value(json_object_get(r, "n"));
    p->parts[0].type = type != NULL ? assay_type_by_name(type) : NULL;
    return strcmp(text(r, "op"), "gemm") == 0 && p->parts[0].type != NULL &&
           strstr(text(r, "id"), "/@") == NULL && generators(text(r, "id"), p);
}

/* Marks a combination in an object of the ones seen: true once it ran. */
static bool mark_combination(json_t *seen, const json_t *r, bool run) {
    json_t *key = json_sprintf("%s/%s/%s/%s/%s/%s", text(r, "op"), text(r, "check"),
                               json_string_value(json_array_get(json_object_get(r, "types"), 0)),
                               text(r, "backend"), text(r, "variant"), text(r, "isa"));
    const char *name = json_string_value(key);
    bool ok = name != NULL &&
              json_object_set_new(
                  seen, name, json_boolean(run || json_is_true(json_object_get(seen, name)))) == 0;

    json_decref(key);
    return ok;
}

bool assay_verify_cover_results(const json_t *results, struct assay_verify_coverage *c) {
    struct pairs *by_type = calloc(assay_type_count(), sizeof *by_type);
    json_t *seen = json_object(), *value;
    const json_t *r;
    const char *key;
    size_t i;
    bool ok = by_type != NULL && seen != NULL;

    *c = (struct assay_verify_coverage){.all_cases = json_array_size(results)};
    json_array_foreach(results, i, r) {
        const bool run =
            strcmp(text(r, "verdict"), "pass") == 0 || strcmp(text(r, "verdict"), "fail") == 0;
        struct assay_problem p;

        c->cases += run;
        ok = ok && mark_combination(seen, r, run);
        if (ok && product_of(r, &p))
            add_pairs(by_type, &p, run);
    }
    json_object_foreach(seen, key, value) {
        c->all_combinations++;
        c->combinations += json_is_true(value);
    }
    for (size_t t = 0; ok && t < assay_type_count(); t++)
        sum_pairs(&by_type[t], c);
    json_decref(seen);
    free(by_type);
    return ok;
}
