#include "shard.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

bool assay_shard_from_args(const struct assay_args *args, struct assay_shard *s) {
    const char *text = assay_args_get(args, "shard");
    char rest;

    *s = (struct assay_shard){.count = 0};
    if (text == NULL)
        return true;
    if (strspn(text, "0123456789/") == strlen(text) && strlen(text) < 16 &&
        sscanf(text, "%zu/%zu%c", &s->index, &s->count, &rest) == 2 && s->index >= 1 &&
        s->index <= s->count && s->count <= ASSAY_MAX_SHARDS)
        return true;
    assay_usage_error(args->command, "option '--shard': '%s' is not I/N with 1 <= I <= N <= %d",
                      text, ASSAY_MAX_SHARDS);
    return false;
}

void assay_shard_free(struct assay_shard *s) {
    free(s->places);
    s->places = NULL;
}

json_t *assay_shard_json(const struct assay_shard *s) {
    json_t *places;

    if (s->count == 0)
        return NULL;
    places = json_array();
    for (size_t i = 0; i < s->n; i++)
        json_array_append_new(places, json_integer((json_int_t)s->places[i]));
    return json_pack("{sI sI so sI so}", "index", (json_int_t)s->index, "count",
                     (json_int_t)s->count, "plan", json_sprintf("%016" PRIx64, s->plan), "cases",
                     (json_int_t)s->n_all, "places", places);
}

/* ---- Who runs what --------------------------------------------------------------------------- */

struct item {
    double cost;
    size_t index;
};

static int dearest_first(const void *a, const void *b) {
    const struct item *x = a, *y = b;

    if (x->cost != y->cost)
        return x->cost > y->cost ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

bool assay_shard_assign(const double *cost, size_t n, size_t count, size_t *shard_of) {
    struct item *items = calloc(n + 1, sizeof *items);
    double *load = calloc(count, sizeof *load);
    bool ok = items != NULL && load != NULL;

    for (size_t i = 0; ok && i < n; i++)
        items[i] = (struct item){cost[i], i};
    if (ok)
        qsort(items, n, sizeof *items, dearest_first);
    for (size_t i = 0; ok && i < n; i++) {
        size_t least = 0;
        for (size_t s = 1; s < count; s++)
            if (load[s] < load[least])
                least = s;
        load[least] += items[i].cost;
        shard_of[items[i].index] = least;
    }
    free(items);
    free(load);
    return ok;
}

/* Costs and shards of a plan's groups: cases that run together. */
struct groups {
    double *cost;
    size_t *shard_of;
    size_t n;
};

static bool groups_begin(struct groups *g, size_t n) {
    *g = (struct groups){calloc(n + 1, sizeof *g->cost), calloc(n + 1, sizeof *g->shard_of), n};
    return g->cost != NULL && g->shard_of != NULL;
}

static void groups_end(struct groups *g) {
    free(g->cost);
    free(g->shard_of);
}

/* FNV-1a, 64 bits. */
static uint64_t hash(uint64_t h, const void *data, size_t n) {
    const unsigned char *p = data;

    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

static uint64_t hash_text(uint64_t h, const char *s) { return hash(h, s, strlen(s) + 1); }

static uint64_t hash_number(uint64_t h, uint64_t v) {
    char text[24];

    snprintf(text, sizeof text, "%" PRIu64, v);
    return hash_text(h, text);
}

#define HASH_START 0xcbf29ce484222325u

static bool places_begin(struct assay_shard *s, size_t n_all) {
    s->n_all = n_all;
    s->n = 0;
    s->places = calloc(n_all + 1, sizeof *s->places);
    return s->places != NULL;
}

/* ---- verify ---------------------------------------------------------------------------------- */

/* Seconds that checks take in a case, as measured with all of assay's backends over three types on
 * one core of an AMD EPYC (2026). Only their proportions matter, and those but for balance. */
static double check_cost(const struct assay_check *check) {
    static const struct {
        const char *name;
        double seconds;
    } costs[] = {{"decode", 0.02},     {"bits", 0.025},   {"exact", 0.03},
                 {"statistics", 0.04}, {"memory", 0.006}, {"metamorphic", 0.003}};

    for (size_t i = 0; i < sizeof costs / sizeof costs[0]; i++)
        if (strcmp(costs[i].name, check->name) == 0)
            return costs[i].seconds;
    return 0.002;
}

/* Of one case, and of what the cases of a problem share: the reference. */
static double case_cost(const struct assay_problem *p) {
    if (p->op == ASSAY_OP_CHECK)
        return check_cost(p->check);
    return 1.5e-4 + 2e-9 * (double)p->m * (double)assay_problem_rows(p) * (double)p->k;
}

static double shared_cost(const struct assay_problem *p) {
    if (p->op == ASSAY_OP_CHECK)
        return 0;
    return 2e-8 * (double)(p->m + 1) * (double)assay_problem_rows(p) * (double)p->k;
}

/* The group of each case: a problem's cases stay together, checks are alone. */
static size_t group_of(const struct assay_plan *plan, size_t i) {
    const size_t problem = plan->cases[i].problem;
    return plan->problems[problem].op == ASSAY_OP_CHECK ? plan->n_problems + i : problem;
}

bool assay_shard_verify(struct assay_shard *s, struct assay_plan *plan, uint64_t seed) {
    struct groups g;
    bool ok;

    if (s->count == 0)
        return true;
    s->plan = hash_number(HASH_START, seed);
    ok = groups_begin(&g, plan->n_problems + plan->n_cases) && places_begin(s, plan->n_cases);
    for (size_t i = 0; ok && i < plan->n_problems; i++)
        g.cost[i] = shared_cost(&plan->problems[i]);
    for (size_t i = 0; ok && i < plan->n_cases; i++) {
        const struct assay_problem *p = &plan->problems[plan->cases[i].problem];
        char id[1024];
        g.cost[group_of(plan, i)] += case_cost(p);
        assay_case_id(p, &plan->cases[i].runner, id, sizeof id);
        s->plan = hash_text(s->plan, id);
    }
    ok = ok && assay_shard_assign(g.cost, g.n, s->count, g.shard_of);
    for (size_t i = 0; ok && i < s->n_all; i++)
        if (g.shard_of[group_of(plan, i)] == s->index - 1)
            s->places[s->n++] = i;
    for (size_t i = 0; ok && i < s->n; i++)
        plan->cases[i] = plan->cases[s->places[i]];
    if (ok)
        plan->n_cases = s->n;
    groups_end(&g);
    return ok;
}

/* ---- bench ----------------------------------------------------------------------------------- */

/* Seconds: each contender takes its rounds of a millisecond or one product, at a rate that slow
 * kernels have, within the time limit; before, it is made and judged. */
static double bench_cost(const struct assay_bench_plan *plan, const struct assay_bench_case *c) {
    const struct assay_bench_matrix *m = &plan->matrices[c->matrix];
    const double product = 2e-10 * (double)c->m * (double)m->n * (double)m->k / c->threads;
    double rounds = 2 * (double)plan->samples * fmax(1e-3, product) * (double)plan->n_contenders;

    rounds = fmax(plan->min_s, fmin(rounds, plan->max_s));
    return 0.2 + rounds + 1e-8 * (double)m->n * (double)m->k * (double)plan->n_contenders;
}

static uint64_t hash_bench(const struct assay_bench_plan *plan) {
    uint64_t h = hash_number(HASH_START, plan->seed);

    for (size_t i = 0; i < plan->n_contenders; i++)
        h = hash_text(h, plan->contenders[i].label);
    for (size_t i = 0; i < plan->n_cases; i++) {
        const struct assay_bench_matrix *m = &plan->matrices[plan->cases[i].matrix];
        h = hash_text(hash_text(h, m->name), m->type->name);
        h = hash_number(hash_number(hash_number(h, plan->cases[i].m), m->n), m->k);
        h = hash_number(h, (uint64_t)plan->cases[i].threads);
    }
    return h;
}

bool assay_shard_bench(struct assay_shard *s, struct assay_bench_plan *plan) {
    struct groups g;
    bool ok;

    if (s->count == 0)
        return true;
    s->plan = hash_bench(plan);
    ok = groups_begin(&g, plan->n_cases) && places_begin(s, plan->n_cases);
    for (size_t i = 0; ok && i < plan->n_cases; i++)
        g.cost[i] = bench_cost(plan, &plan->cases[i]);
    ok = ok && assay_shard_assign(g.cost, g.n, s->count, g.shard_of);
    for (size_t i = 0; ok && i < s->n_all; i++)
        if (g.shard_of[i] == s->index - 1) {
            plan->cases[s->n] = plan->cases[i];
            s->places[s->n++] = i;
        }
    if (ok)
        plan->n_cases = s->n;
    groups_end(&g);
    return ok;
}
