/* The order of a run on a budget: what tells most comes first, and no type waits for another's last
 * case. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "verify_internal.h"

/* A problem's place: `rank` counts within its type, so that sorting by rank takes turns. */
struct place {
    size_t rank, type, index;
};

/* Checks that go before everything else: each judges all codes and fields of a type at once. */
static const char *const first_checks[] = {"exact", "decode", "bits"};
enum { N_FIRST = sizeof first_checks / sizeof first_checks[0] };

static int by_place(const void *a, const void *b) {
    const struct place *x = a, *y = b;

    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    if (x->type != y->type)
        return x->type < y->type ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* Ranks: the first checks, then one product, then the other checks and products by turns. */
static size_t rank_of(const struct assay_problem *p, size_t *checks, size_t *products) {
    if (p->op != ASSAY_OP_CHECK)
        return N_FIRST + 2 * (*products)++;
    for (size_t i = 0; i < N_FIRST; i++)
        if (strcmp(p->check->name, first_checks[i]) == 0)
            return i;
    return N_FIRST + 1 + 2 * (*checks)++;
}

static void rank_type(const struct assay_plan *plan, struct place *places, size_t type) {
    size_t checks = 0, products = 0;

    for (size_t i = 0; i < plan->n_problems; i++)
        if (plan->problems[i].parts[0].type == assay_type_at(type))
            places[i] = (struct place){rank_of(&plan->problems[i], &checks, &products), type, i};
}

bool assay_plan_order(struct assay_plan *plan) {
    size_t n = plan->n_problems, n_cases = 0;
    struct place *places = calloc(n + 1, sizeof *places);
    struct assay_problem *problems = calloc(n + 1, sizeof *problems);
    struct assay_verify_case *cases = calloc(plan->n_cases + 1, sizeof *cases);
    size_t *start = calloc(n + 1, sizeof *start); /* of each problem's cases */
    bool ok = places != NULL && problems != NULL && cases != NULL && start != NULL;

    if (ok) {
        for (size_t t = 0; t < assay_type_count(); t++)
            rank_type(plan, places, t);
        qsort(places, n, sizeof *places, by_place);
        for (size_t i = plan->n_cases; i > 0; i--)
            start[plan->cases[i - 1].problem] = i - 1;
        for (size_t i = 0; i < n; i++) {
            size_t old = places[i].index;
            problems[i] = plan->problems[old];
            for (size_t c = start[old]; c < plan->n_cases && plan->cases[c].problem == old; c++)
                cases[n_cases++] = (struct assay_verify_case){i, plan->cases[c].runner};
        }
        memcpy(plan->problems, problems, n * sizeof *problems);
        memcpy(plan->cases, cases, n_cases * sizeof *cases);
    }
    free(places);
    free(problems);
    free(cases);
    free(start);
    return ok;
}
