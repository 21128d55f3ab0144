/* The parent's side of a gate: data, children, and the decisions. */
#include "gate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "datasets/generate.h"
#include "harness/isolate.h"
#include "harness/record.h"
#include "harness/stats.h"
#include "harness/term.h"
#include "harness/timer.h"
#include "sequential.h"

/* What a case may take to verify, and a round to run: a hang is found after it. */
#define TIMEOUT_S 120

/* What the parent knows of a case in the race. */
struct lane {
    double *ns[2], *x; /* nanoseconds of one product, and log ratios, one a round */
    size_t pairs, looks;
    struct assay_ratio ratio;
    enum assay_change change;
};

struct gate_run {
    struct assay_gate_params *p;
    json_t *results;
    struct lane *lanes;
    volatile int *stage; /* shared with the children: the case whose code runs, or -1 */
    size_t round;
    bool failed; /* memory ran out */
};

void assay_gate_case_name(const struct assay_gate_case *c, char *buf, size_t size) {
    snprintf(buf, size, "%s m=%zu %zux%zu", c->type->name, c->m, c->n, c->k);
}

json_t *assay_gate_describe(const struct assay_gate_params *p, size_t i) {
    const struct assay_gate_case *c = &p->cases[i];
    char name[96];

    assay_gate_case_name(c, name, sizeof name);
    return json_pack("{ss ss sI sI sI si}", "case", name, "type", c->type->name, "m",
                     (json_int_t)c->m, "n", (json_int_t)c->n, "k", (json_int_t)c->k, "threads",
                     p->threads);
}

/* ---- Judging --------------------------------------------------------------------------------- */

static json_t *judge(size_t i, void *user) {
    const struct gate_run *g = user;
    return assay_gate_judge(g->p, i);
}

static void set_crash(json_t *result, const char *how) {
    json_object_set_new(result, "verdict", json_string("crashed"));
    json_object_set_new(result, "reason", json_string(how));
}

static bool keep_judgement(size_t i, const json_t *judged, void *user) {
    struct gate_run *g = user;
    const char *crash = json_string_value(json_object_get(judged, "crash"));
    json_t *result = crash == NULL ? json_deep_copy(judged) : assay_gate_describe(g->p, i);

    if (crash != NULL)
        set_crash(result, crash);
    g->p->cases[i].calls = (size_t)json_integer_value(json_object_get(result, "calls_per_sample"));
    g->p->cases[i].racing = g->p->cases[i].calls > 0;
    g->failed = json_array_append_new(g->results, result) != 0;
    return !g->failed;
}

static void show_judging(size_t i, void *user) {
    const struct gate_run *g = user;
    char name[96];

    assay_gate_case_name(&g->p->cases[i], name, sizeof name);
    assay_progress("gate: verify", i, g->p->n_cases, name);
}

/* ---- Racing ---------------------------------------------------------------------------------- */

static json_t *round_work(void *user) {
    const struct gate_run *g = user;
    return assay_gate_round(g->p, g->round, g->stage);
}

static void give_up(struct gate_run *g, size_t i, const char *verdict, const char *reason) {
    json_t *result = json_array_get(g->results, i);

    g->p->cases[i].racing = false;
    json_object_set_new(result, "verdict", json_string(verdict));
    json_object_set_new(result, "reason", json_string(reason));
}

static void take_pair(struct gate_run *g, const json_t *pair) {
    const size_t i = (size_t)json_integer_value(json_array_get(pair, 0));
    const char *reason = json_string_value(json_array_get(pair, 1));
    struct lane *lane = &g->lanes[i];

    if (i >= g->p->n_cases || !g->p->cases[i].racing)
        return;
    if (reason != NULL) {
        give_up(g, i, "failed", reason);
        return;
    }
    for (int v = 0; v < 2; v++)
        lane->ns[v][lane->pairs] = json_number_value(json_array_get(pair, (size_t)v + 1));
    lane->x[lane->pairs] =
        log(lane->ns[ASSAY_GATE_HEAD][lane->pairs]) - log(lane->ns[ASSAY_GATE_BASE][lane->pairs]);
    lane->pairs++;
}

/* Looks at the cases whose number of pairs has come to the next look. */
static void look(struct gate_run *g, size_t i) {
    struct lane *lane = &g->lanes[i];

    if (lane->pairs < assay_sequential_pairs(lane->looks))
        return;
    lane->ratio = assay_ratio_of(lane->x, lane->pairs,
                                 assay_sequential_level(lane->looks, g->p->alpha, g->p->n_cases));
    lane->change = assay_change_of(&lane->ratio, g->p->min_effect);
    lane->looks++;
    if (lane->change != ASSAY_UNDECIDED || lane->looks == ASSAY_SEQUENTIAL_LOOKS)
        g->p->cases[i].racing = false;
}

static void run_round(struct gate_run *g) {
    json_t *pairs, *pair;
    const char *crash;
    size_t i;

    *g->stage = -1;
    pairs = assay_isolate_once(round_work, g, TIMEOUT_S);
    crash = json_string_value(json_object_get(pairs, "crash"));
    if (crash != NULL && *g->stage >= 0)
        give_up(g, (size_t)*g->stage, "crashed", crash);
    else if (json_array_size(pairs) == 0)
        g->failed = true;
    json_array_foreach(pairs, i, pair) take_pair(g, pair);
    json_decref(pairs);
    for (i = 0; i < g->p->n_cases; i++)
        if (g->p->cases[i].racing)
            look(g, i);
}

static size_t still_racing(const struct gate_run *g) {
    size_t n = 0;

    for (size_t i = 0; i < g->p->n_cases; i++)
        n += g->p->cases[i].racing;
    return n;
}

/* Rounds until every case is decided or the time is over. A case whose next look is not reached
 * stays undecided: a look at another number of pairs would depend on what was measured. */
static void race(struct gate_run *g, uint64_t started_ns) {
    char what[48];
    size_t n;

    for (g->round = 0; (n = still_racing(g)) > 0 && !g->failed; g->round++) {
        if (1e-9 * (double)(assay_now_ns() - started_ns) > g->p->budget_s)
            return;
        snprintf(what, sizeof what, "%zu cases undecided, round %zu", n, g->round + 1);
        assay_progress("gate: race", g->p->n_cases - n, g->p->n_cases, what);
        run_round(g);
    }
}

/* One count decides: it repeats to within what an interrupt leaves. */
static void compare_counts(struct gate_run *g, size_t i) {
    const json_t *r = json_array_get(g->results, i);
    struct lane *lane = &g->lanes[i];
    double ratio = json_number_value(json_object_get(json_object_get(r, "head"), "instructions")) /
                   json_number_value(json_object_get(json_object_get(r, "base"), "instructions"));

    lane->ratio = (struct assay_ratio){ratio, ratio, ratio};
    lane->change = assay_change_of(&lane->ratio, g->p->min_effect);
    g->p->cases[i].racing = false;
}

/* ---- Results --------------------------------------------------------------------------------- */

static void add_samples(json_t *side, const double *ns, size_t n) {
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_real(ns[i]));
    json_object_set_new(side, "ns",
                        json_pack("{sf so}", "median", assay_median(ns, n), "samples", list));
}

static void finish(struct gate_run *g, size_t i) {
    static const char *const names[] = {"base", "head"};
    json_t *result = json_array_get(g->results, i);
    const struct lane *lane = &g->lanes[i];

    for (int v = 0; v < 2 && lane->pairs > 0; v++)
        add_samples(json_object_get(result, names[v]), lane->ns[v], lane->pairs);
    if (!isnan(lane->ratio.median) && lane->ratio.median > 0)
        json_object_set_new(result, "ratio",
                            json_pack("{so so so}", "median", assay_json_real(lane->ratio.median),
                                      "low", assay_json_real(lane->ratio.low), "high",
                                      assay_json_real(lane->ratio.high)));
    json_object_set_new(result, "pairs", json_integer((json_int_t)lane->pairs));
    json_object_set_new(result, "looks", json_integer((json_int_t)lane->looks));
    if (json_object_get(result, "verdict") == NULL)
        json_object_set_new(result, "verdict", json_string(assay_change_name(lane->change)));
}

/* ---- All of it ------------------------------------------------------------------------------- */

static bool make_data(struct assay_gate_params *p) {
    for (size_t i = 0; i < p->n_cases; i++) {
        struct assay_gate_case *c = &p->cases[i];
        size_t row_bytes;

        if (!assay_row_bytes(c->type, c->k, &row_bytes))
            return false;
        c->weight_bytes = c->n * row_bytes;
        c->weights = aligned_alloc(64, (c->weight_bytes + 63) / 64 * 64);
        c->x = aligned_alloc(64, (c->m * c->k * sizeof *c->x + 63) / 64 * 64);
        if (c->weights == NULL || c->x == NULL)
            return false;
        assay_generate_weights(c->type, ASSAY_WGEN_UNIFORM, p->seed ^ 1, c->n, c->k, c->weights);
        assay_generate_acts(ASSAY_AGEN_NORMAL, p->seed ^ 2, c->m, c->k, c->x);
    }
    return true;
}

static bool make_lanes(struct gate_run *g) {
    const size_t most = assay_sequential_pairs(ASSAY_SEQUENTIAL_LOOKS - 1);

    g->lanes = calloc(g->p->n_cases, sizeof *g->lanes);
    for (size_t i = 0; g->lanes != NULL && i < g->p->n_cases; i++) {
        struct lane *lane = &g->lanes[i];
        lane->x = malloc(most * sizeof *lane->x);
        lane->ns[0] = malloc(most * sizeof *lane->ns[0]);
        lane->ns[1] = malloc(most * sizeof *lane->ns[1]);
        if (lane->x == NULL || lane->ns[0] == NULL || lane->ns[1] == NULL)
            return false;
    }
    return g->lanes != NULL;
}

static void clean_up(struct gate_run *g) {
    for (size_t i = 0; i < g->p->n_cases; i++) {
        free(g->p->cases[i].weights);
        free(g->p->cases[i].x);
        if (g->lanes == NULL)
            continue;
        free(g->lanes[i].x);
        free(g->lanes[i].ns[0]);
        free(g->lanes[i].ns[1]);
    }
    free(g->lanes);
    if (g->stage != MAP_FAILED)
        munmap((void *)(uintptr_t)g->stage, sizeof *g->stage);
}

json_t *assay_gate_run(struct assay_gate_params *p) {
    const uint64_t started_ns = assay_now_ns();
    struct gate_run g = {.p = p, .results = json_array()};
    struct assay_isolate iso = {
        .count = p->n_cases,
        .timeout_s = TIMEOUT_S,
        .work = judge,
        .done = keep_judgement,
        .before = show_judging,
        .user = &g,
    };

    g.stage =
        mmap(NULL, sizeof *g.stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    g.failed = g.stage == MAP_FAILED || !make_data(p) || !make_lanes(&g) ||
               !assay_isolate_run(&iso) || g.failed;
    for (size_t i = 0; !g.failed && i < p->n_cases; i++)
        if (p->metric == ASSAY_GATE_INSTRUCTIONS && p->cases[i].racing)
            compare_counts(&g, i);
    if (!g.failed)
        race(&g, started_ns);
    assay_progress_clear();
    for (size_t i = 0; !g.failed && i < p->n_cases; i++)
        finish(&g, i);
    clean_up(&g);
    if (!g.failed)
        return g.results;
    json_decref(g.results);
    return NULL;
}
