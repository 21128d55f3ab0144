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

/* What goes before everything else: checks that each judge all codes and fields of a type at once,
 * and one product. NULL is the product. */
static const char *const first[] = {"decode", NULL, "exact", "bits"};
enum { N_FIRST = sizeof first / sizeof first[0] };

static int by_place(const void *a, const void *b) {
    const struct place *x = a, *y = b;

    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    if (x->type != y->type)
        return x->type < y->type ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* Afterwards, the other checks and products take turns. */
static size_t rank_of_check(const struct assay_check *check, size_t *others) {
    for (size_t i = 0; i < N_FIRST; i++)
        if (first[i] != NULL && strcmp(check->name, first[i]) == 0)
            return i;
    return N_FIRST + 2 * (*others)++;
}

static size_t rank_of_product(size_t turn) {
    size_t i = 0;

    while (turn == 0 && first[i] != NULL)
        i++;
    return turn == 0 ? i : N_FIRST + 2 * turn - 1;
}

static size_t common_divisor(size_t a, size_t b) { return b == 0 ? a : common_divisor(b, a % b); }

/* The turn of product i of n. They are planned from small to large sizes: steps of the golden
 * section from the middle on spread any number of turns evenly over them. */
static size_t turn_of_product(size_t i, size_t n) {
    size_t step = (size_t)(0.618 * (double)n) + 1, at = n / 2, turn = 0;

    while (common_divisor(step, n) != 1)
        step++;
    for (; at != i; turn++)
        at = (at + step) % n;
    return turn;
}

static void rank_type(const struct assay_plan *plan, struct place *places, size_t type) {
    const struct assay_type_traits *t = assay_type_at(type);
    size_t checks = 0, products = 0, n_products = 0;

    for (size_t i = 0; i < plan->n_problems; i++)
        n_products +=
            plan->problems[i].parts[0].type == t && plan->problems[i].op != ASSAY_OP_CHECK;
    for (size_t i = 0; i < plan->n_problems; i++) {
        const struct assay_problem *p = &plan->problems[i];
        if (p->parts[0].type != t)
            continue;
        places[i] = (struct place){0, type, i};
        places[i].rank = p->op == ASSAY_OP_CHECK
                             ? rank_of_check(p->check, &checks)
                             : rank_of_product(turn_of_product(products++, n_products));
    }
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
