#include "judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/check.h"
#include "harness/timer.h"

static void note(struct assay_judgement *out, const char *id, const json_t *detail) {
    const char *problem = json_string_value(json_object_get(detail, "problem"));
    const char *crash = json_string_value(json_object_get(detail, "crash"));

    out->caught = true;
    snprintf(out->by, sizeof out->by, "%s", id);
    snprintf(out->problem, sizeof out->problem, "%s", problem != NULL ? problem : crash);
}

struct cases {
    const struct assay_plan *plan;
    struct assay_judgement *out;
};

static bool after(size_t i, const struct assay_verify_result *r, void *user) {
    const struct cases *run = user;
    const struct assay_verify_case *c = &run->plan->cases[i];
    char id[192];

    run->out->outputs += r->elements;
    if (r->verdict != ASSAY_FAIL)
        return true;
    assay_case_id(&run->plan->problems[c->problem], &c->runner, id, sizeof id);
    note(run->out, id, r->detail);
    return false;
}

static void run_cases(const struct assay_verify_params *p, struct assay_judgement *out) {
    struct assay_plan plan;
    struct cases run = {&plan, out};
    struct assay_verify_observer observer = {.after = after, .user = &run};
    struct assay_verify_result *results = NULL;

    out->broken = !assay_plan_make(&plan, p) || plan.n_cases == 0 ||
                  (results = calloc(plan.n_cases, sizeof *results)) == NULL ||
                  !assay_verify_run(&plan, p, &observer, results);
    if (results != NULL)
        assay_verify_results_free(results, plan.n_cases);
    assay_plan_free(&plan);
}

struct assay_judgement assay_judge(const struct assay_backend *b,
                                   const struct assay_judge_params *p) {
    struct assay_judgement out = {.caught = false};
    struct assay_verify_params params = {
        .backends = &b,
        .n_backends = 1,
        .types = p->types,
        .n_types = p->n_types,
        .isas = p->isas,
        .threads = p->threads,
        .n_threads = p->n_threads,
        .thin_threads = true,
        .seed = 1,
        .timeout_s = p->timeout_s,
    };
    uint64_t start = assay_now_ns();

    for (size_t i = 0; assay_checks[i] != NULL; i++)
        params.checks |= 1u << i;
    run_cases(&params, &out);
    out.seconds = 1e-9 * (double)(assay_now_ns() - start);
    return out;
}
