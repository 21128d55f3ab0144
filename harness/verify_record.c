/* What verify leaves in a record (reports/RECORD.md). */
#include "verify.h"

static json_t *case_record(const struct assay_verify_report *r, size_t i) {
    static const char *const ops[] = {
        [ASSAY_OP_GEMM] = "gemm", [ASSAY_OP_FUSED] = "fused", [ASSAY_OP_ROWS] = "rows"};
    const struct assay_verify_case *c = &r->plan->cases[i];
    const struct assay_problem *p = &r->plan->problems[c->problem];
    const struct assay_runner *run = &c->runner;
    json_t *types = json_array(), *detail, *j;
    char id[1024];

    assay_case_id(p, run, id, sizeof id);
    for (size_t part = 0; part < p->n_parts; part++)
        json_array_append_new(types, json_string(p->parts[part].type->name));
    j = json_pack("{ss ss so sI sI sI ss ss ss si ss}", "id", id, "op", ops[p->op], "types", types,
                  "m", (json_int_t)p->m, "n", (json_int_t)assay_problem_rows(p), "k",
                  (json_int_t)p->k, "backend", assay_backend_name(run->backend), "variant",
                  run->variant, "isa", run->isa != ASSAY_ISA_AUTO ? assay_isa_name(run->isa) : "-",
                  "threads", run->threads, "verdict", assay_verdict_name(r->results[i].verdict));
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
    return json_object_set_new(record, "summary",
                               json_pack("{sI sI sI sI sI sI}", "cases", (json_int_t)t.cases,
                                         "passed", (json_int_t)t.passed, "failed",
                                         (json_int_t)t.failed, "skipped", (json_int_t)t.skipped,
                                         "elements", (json_int_t)t.elements, "unbounded",
                                         (json_int_t)t.unbounded)) == 0 &&
           ok;
}
