#include "judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/check.h"
#include "harness/isolate.h"
#include "harness/timer.h"

static void note(struct assay_judgement *out, const char *id, const json_t *detail) {
    const char *problem = json_string_value(json_object_get(detail, "problem"));
    const char *crash = json_string_value(json_object_get(detail, "crash"));

    out->caught = true;
    snprintf(out->by, sizeof out->by, "%s", id);
    snprintf(out->problem, sizeof out->problem, "%s", problem != NULL ? problem : crash);
}

/* ---- The cases of verify ---- */

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

/* ---- The checks ---- */

struct checks {
    const struct assay_judge_params *p;
    struct assay_runner runners[32];
    size_t n_runners, n_checks;
    struct assay_judgement *out;
};

static const struct assay_check *check_of(const struct checks *run, size_t item,
                                          struct assay_check_env *env) {
    size_t pair = item / run->n_checks;

    *env = (struct assay_check_env){&run->runners[pair % run->n_runners],
                                    run->p->types[pair / run->n_runners], 1, false};
    return assay_checks[item % run->n_checks];
}

static json_t *work(size_t item, void *user) {
    struct assay_check_env env;
    const struct assay_check *check = check_of(user, item, &env);

    return check->run(&env);
}

static bool done(size_t item, const json_t *result, void *user) {
    struct checks *run = user;
    struct assay_check_env env;
    const struct assay_check *check = check_of(run, item, &env);
    const char *verdict = json_string_value(json_object_get(result, "verdict"));
    char id[192];

    run->out->outputs += (size_t)json_integer_value(json_object_get(result, "elements"));
    if (verdict != NULL && strcmp(verdict, "fail") != 0)
        return true;
    snprintf(id, sizeof id, "check/%s/%s", check->name, env.type->name);
    note(run->out, id, result);
    return false;
}

static void run_checks(const struct assay_backend *b, const struct assay_judge_params *p,
                       struct assay_judgement *out) {
    struct checks run = {.p = p, .out = out};
    struct assay_isolate iso = {
        .timeout_s = 10 + p->timeout_s, .work = work, .done = done, .user = &run};

    for (int isa = ASSAY_ISA_AUTO; isa < ASSAY_ISA_COUNT; isa++)
        if (isa == ASSAY_ISA_AUTO ? !assay_backend_uses_isa(b) : (p->isas >> isa & 1) != 0)
            run.runners[run.n_runners++] =
                (struct assay_runner){b, "", (enum assay_isa)isa, 1};
    while (assay_checks[run.n_checks] != NULL)
        run.n_checks++;
    iso.count = run.n_checks * run.n_runners * p->n_types;
    out->broken = !assay_isolate_run(&iso);
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

    run_cases(&params, &out);
    if (!out.caught && !out.broken)
        run_checks(b, p, &out);
    out.seconds = 1e-9 * (double)(assay_now_ns() - start);
    return out;
}
