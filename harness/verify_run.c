/* The parent's side of verify: runs the cases in children and gathers what they report. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "impl/plugin/loader.h"
#include "isolate.h"
#include "process.h"
#include "record.h"
#include "verify_internal.h"

struct run {
    struct assay_worker worker; /* used in the children only */
    const struct assay_verify_observer *observer;
    struct assay_verify_result *results;
    double stop_at; /* monotonic seconds; 0: never */
};

const char *assay_verdict_name(enum assay_verdict v) {
    static const char *const names[] = {
        [ASSAY_NOT_RUN] = "not run",
        [ASSAY_PASS] = "pass",
        [ASSAY_FAIL] = "fail",
        [ASSAY_SKIP] = "skip",
    };
    return names[v];
}

static double clock_seconds(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static json_t *work(size_t i, void *user) {
    struct run *run = user;
    double start = clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
    json_t *result = assay_worker_run(&run->worker, i);

    json_object_set_new(result, "cpu_s",
                        json_real(clock_seconds(CLOCK_PROCESS_CPUTIME_ID) - start));
    return result;
}

/* Cases of one product share its data; checks share nothing. */
static size_t group(size_t i, void *user) {
    const struct run *run = user;
    const struct assay_plan *plan = run->worker.plan;
    size_t problem = plan->cases[i].problem;

    return plan->problems[problem].op == ASSAY_OP_CHECK ? plan->n_problems + i : problem;
}

/* A plugin may do anything to the process; nobody else is judged in it. */
static size_t owner(size_t i, void *user) {
    const struct run *run = user;
    const struct assay_backend *b = run->worker.plan->cases[i].runner.backend;

    for (size_t n = 0; assay_plugin_backend_path(b) != NULL && n < assay_backend_count(); n++)
        if (assay_backend_at(n) == b)
            return n + 1;
    return 0;
}

static enum assay_verdict verdict_of(const json_t *detail) {
    const char *s = json_string_value(json_object_get(detail, "verdict"));

    if (s != NULL && strcmp(s, "pass") == 0)
        return ASSAY_PASS;
    if (s != NULL && strcmp(s, "skip") == 0)
        return ASSAY_SKIP;
    return ASSAY_FAIL;
}

struct alone {
    struct run *run;
    size_t index;
};

static json_t *work_alone(void *user) {
    struct alone *alone = user;
    return work(alone->index, alone->run);
}

/* What a dead child proves. A case that passes alone was killed by what an earlier one had left in
 * the process; it is run again to tell. A hang is not: it would cost the time limit twice. */
static json_t *explain_crash(struct run *run, size_t i, const char *how) {
    struct alone alone = {run, i};
    const struct assay_verify_params *p = run->worker.params;
    bool hung = strncmp(how, "timeout", strlen("timeout")) == 0;
    json_t *again = hung ? NULL : assay_isolate_once(work_alone, &alone, p->timeout_s);
    bool passes_alone = again != NULL && json_object_get(again, "crash") == NULL;
    json_t *detail =
        json_pack("{ss ss sb}", "verdict", "fail", "crash", how, "passes_alone", (int)passes_alone);

    json_object_set_new(detail, "problem",
                        json_sprintf("%s%s", hung ? "hung: " : "crashed: ", how));
    json_decref(again);
    return detail;
}

static size_t size_field(const json_t *detail, const char *name) {
    return (size_t)json_integer_value(json_object_get(detail, name));
}

static bool done(size_t i, const json_t *reported, void *user) {
    struct run *run = user;
    struct assay_verify_result *r = &run->results[i];
    const char *crash = json_string_value(json_object_get(reported, "crash"));
    char changed[512];
    json_t *detail, *ratio;

    /* The kernel is not at fault where the file went away under it: nothing is said of the case. */
    if (crash != NULL && run->worker.params->gguf != NULL &&
        !assay_gguf_unchanged(run->worker.params->gguf, changed, sizeof changed))
        return false;
    detail = crash != NULL ? explain_crash(run, i, crash) : json_deep_copy(reported);
    ratio = json_object_get(detail, "ratio");
    /* Not part of the finding, which is the same on every run. */
    r->cpu_s = json_number_value(json_object_get(detail, "cpu_s"));
    json_object_del(detail, "cpu_s");
    r->verdict = verdict_of(detail);
    r->ratio = ratio != NULL ? assay_json_real_value(ratio) : 0;
    r->elements = size_field(detail, "elements");
    r->unbounded = size_field(detail, "unbounded");
    if (r->verdict == ASSAY_PASS && !run->observer->keep_details)
        json_decref(detail);
    else
        r->detail = detail;
    if (run->observer->after != NULL && !run->observer->after(i, r, run->observer->user))
        return false;
    return run->stop_at == 0 || clock_seconds(CLOCK_MONOTONIC) < run->stop_at;
}

static void before(size_t i, void *user) {
    struct run *run = user;
    if (run->observer->before != NULL)
        run->observer->before(i, run->observer->user);
}

/* Seconds that the reference of the largest problem may take, at a rate (products a second) that
 * the slowest machine and a sanitizer build keep. */
static int reference_seconds(const struct assay_plan *plan) {
    const double rate = 4e6;
    double most = 0;

    for (size_t i = 0; i < plan->n_problems; i++) {
        const struct assay_problem *p = &plan->problems[i];
        double products = (double)(p->m + 1) * (double)assay_problem_rows(p) * (double)p->k;
        if (products > most)
            most = products;
    }
    return most / rate < 1e6 ? (int)(most / rate) : 1000000;
}

bool assay_verify_run(const struct assay_plan *plan, const struct assay_verify_params *p,
                      const struct assay_verify_observer *observer,
                      struct assay_verify_result *results) {
    struct run run = {
        .worker = {.plan = plan, .params = p},
        .observer = observer,
        .results = results,
        .stop_at = p->budget_s > 0 ? clock_seconds(CLOCK_MONOTONIC) + p->budget_s : 0,
    };
    enum { FULL_PATIENCE = 20 }; /* a full check may take that many times as long */
    struct assay_isolate iso = {
        .count = plan->n_cases,
        .timeout_s = p->timeout_s * (p->full ? FULL_PATIENCE : 1) + reference_seconds(plan),
        .jobs = p->jobs,
        .group = group,
        .owner = owner,
        .memory_bytes = assay_process_memory(p->jobs),
        .work = work,
        .done = done,
        .before = before,
        .user = &run,
    };

    memset(results, 0, plan->n_cases * sizeof *results);
    return assay_isolate_run(&iso);
}

void assay_verify_results_free(struct assay_verify_result *results, size_t n) {
    for (size_t i = 0; i < n; i++)
        json_decref(results[i].detail);
    free(results);
}

struct assay_verify_totals assay_verify_count(const struct assay_plan *plan,
                                              const struct assay_verify_result *results) {
    struct assay_verify_totals t = {.cases = plan->n_cases};

    for (size_t i = 0; i < plan->n_cases; i++) {
        t.passed += results[i].verdict == ASSAY_PASS;
        t.failed += results[i].verdict == ASSAY_FAIL;
        t.skipped += results[i].verdict == ASSAY_SKIP;
        t.not_run += results[i].verdict == ASSAY_NOT_RUN;
        t.elements += results[i].elements;
        t.unbounded += results[i].unbounded;
    }
    for (size_t i = 0; i < plan->n_skips; i++)
        t.skipped += plan->skips[i].count;
    return t;
}
