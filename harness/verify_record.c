/* What verify leaves in a record (reports/RECORD.md). */
#include "check.h"
#include "verify.h"

static json_t *case_record(const struct assay_verify_report *r, size_t i) {
    const struct assay_verify_case *c = &r->plan->cases[i];
    const struct assay_problem *p = &r->plan->problems[c->problem];
    const struct assay_runner *run = &c->runner;
    json_t *types = json_array(), *detail, *j;
    char id[1024];

    assay_case_id(p, run, id, sizeof id);
    for (size_t part = 0; part < p->n_parts; part++)
        json_array_append_new(types, json_string(p->parts[part].type->name));
    j = json_pack("{ss ss so ss ss ss si ss sf}", "id", id, "op", assay_op_name(p->op), "types",
                  types, "backend", assay_backend_name(run->backend), "variant", run->variant,
                  "isa", run->isa != ASSAY_ISA_AUTO ? assay_isa_name(run->isa) : "-", "threads",
                  run->threads, "verdict", assay_verdict_name(r->results[i].verdict), "cpu_s",
                  r->results[i].cpu_s);
    /* A check has no shape of its own; its finding may name one. */
    if (j != NULL && p->op == ASSAY_OP_CHECK)
        json_object_set_new(j, "check", json_string(p->check->name));
    else if (j != NULL)
        json_object_update_new(j,
                               json_pack("{sI sI sI}", "m", (json_int_t)p->m, "n",
                                         (json_int_t)assay_problem_rows(p), "k", (json_int_t)p->k));
    detail = r->results[i].detail;
    if (j != NULL && detail != NULL && json_object_update_missing(j, detail) != 0) {
        json_decref(j);
        return NULL;
    }
    return j;
}

static json_t *skip_record(const struct assay_verify_skip *s) {
    return json_pack("{ss ss sI}", "what", s->what, "reason", s->reason, "count",
                     (json_int_t)s->count);
}

json_t *assay_verify_coverage_json(const struct assay_verify_coverage *c) {
    return json_pack("{sI sI sI sI sI sI}", "cases", (json_int_t)c->cases, "all_cases",
                     (json_int_t)c->all_cases, "combinations", (json_int_t)c->combinations,
                     "all_combinations", (json_int_t)c->all_combinations, "pairs",
                     (json_int_t)c->pairs, "all_pairs", (json_int_t)c->all_pairs);
}

static json_t *coverage_record(const struct assay_verify_report *r) {
    struct assay_verify_coverage c;

    return assay_verify_cover(r->plan, r->results, &c) ? assay_verify_coverage_json(&c) : NULL;
}

bool assay_verify_record(json_t *record, const struct assay_verify_report *r) {
    struct assay_verify_totals t = assay_verify_count(r->plan, r->results);
    json_t *results = json_array(), *skips = json_array();
    bool ok = true;

    for (size_t i = 0; i < r->plan->n_cases; i++)
        ok = json_array_append_new(results, case_record(r, i)) == 0 && ok;
    for (size_t i = 0; i < r->plan->n_skips; i++)
        ok = json_array_append_new(skips, skip_record(&r->plan->skips[i])) == 0 && ok;
    ok = json_object_set_new(record, "results", results) == 0 && ok;
    ok = json_object_set_new(record, "skips", skips) == 0 && ok;
    ok = json_object_set_new(record, "coverage", coverage_record(r)) == 0 && ok;
    return json_object_set_new(
               record, "summary",
               json_pack("{sI sI sI sI sI sI sI}", "cases", (json_int_t)t.cases, "passed",
                         (json_int_t)t.passed, "failed", (json_int_t)t.failed, "skipped",
                         (json_int_t)t.skipped, "not_run", (json_int_t)t.not_run, "elements",
                         (json_int_t)t.elements, "unbounded", (json_int_t)t.unbounded)) == 0 &&
           ok;
}
