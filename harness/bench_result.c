/* Figures of a case: roofline look-ups, statistics, JSON. */
#include <math.h>
#include <stdlib.h>

#include "bench_case.h"
#include "bench_internal.h"
#include "no_memory.h"
#include "record.h"
#include "stats.h"

#define RESAMPLES 2000

/* ---- Roofline, measured once per process ------------------------------------------------------
 */

struct known {
    int kind; /* enum assay_peak, or -1: bandwidth */
    size_t bytes;
    int threads;
    enum assay_isa isa;
    double value;
};

static double take_measure(const struct known *k) {
    if (k->kind < 0)
        return assay_roofline_bandwidth(k->bytes, k->threads, k->isa);
    return assay_roofline_peak((enum assay_peak)k->kind, k->threads, k->isa);
}

static double look_up(struct known wanted, bool again) {
    static struct known *table;
    static size_t count;
    struct known *grown;

    for (size_t i = 0; i < count; i++)
        if (table[i].kind == wanted.kind && table[i].bytes == wanted.bytes &&
            table[i].threads == wanted.threads && table[i].isa == wanted.isa) {
            if (again)
                table[i].value = fmax(table[i].value, take_measure(&wanted));
            return table[i].value;
        }
    wanted.value = take_measure(&wanted);
    grown = realloc(table, (count + 1) * sizeof *table);
    if (grown != NULL) {
        table = grown;
        table[count++] = wanted;
    }
    return wanted.value;
}

double bench_bandwidth(size_t bytes, int threads, enum assay_isa isa, bool again) {
    size_t step = 1;

    /* Rounded up by less than an eighth: sets of nearly the same size share a measurement. */
    while (bytes / step >= 16)
        step *= 2;
    return look_up((struct known){-1, (bytes + step - 1) / step * step, threads, isa, 0}, again);
}

double bench_peak(enum assay_peak kind, int threads, enum assay_isa isa, bool again) {
    return look_up((struct known){(int)kind, 0, threads, isa, 0}, again);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

json_t *assay_bench_describe(const struct assay_bench_plan *p, size_t i) {
    const struct assay_bench_case *c = &p->cases[i];
    const struct assay_bench_matrix *m = &p->matrices[c->matrix];
    size_t row_bytes = 0;

    assay_row_bytes(m->type, m->k, &row_bytes);
    json_t *j =
        json_pack("{ss ss sI sI sI si sI ss}", "matrix", m->name, "type", m->type->name, "m",
                  (json_int_t)c->m, "n", (json_int_t)m->n, "k", (json_int_t)m->k, "threads",
                  c->threads, "weight_bytes", (json_int_t)(row_bytes * assay_bench_rows(m)),
                  "baseline", p->contenders[0].label);
    if (j != NULL && m->experts > 0) {
        json_object_set_new(j, "experts", json_integer((json_int_t)m->experts));
        json_object_set_new(j, "used", json_integer((json_int_t)m->used));
    }
    return j;
}

static const char *const status_names[] = {
    [BENCH_MEASURED] = "measured",
    [BENCH_SKIPPED] = "skipped",
    [BENCH_WRONG] = "wrong",
    [BENCH_FAILED] = "failed",
};

/* The instruction set that was chosen; "" where the backend has no choice. */
static const char *isa_text(const struct bench_entry *e) {
    const struct assay_runner *r = &e->contender->runner;

    if (!assay_backend_uses_isa(r->backend))
        return "";
    return assay_isa_name(e->ctx != NULL ? assay_ctx_isa(e->ctx) : r->isa);
}

static json_t *reals(const double *x, size_t n) {
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, assay_json_real(x[i]));
    return list;
}

static json_t *verification(const struct bench_entry *e) {
    return json_pack("{sI so so}", "elements", (json_int_t)e->comparison.elements, "worst_ratio",
                     assay_json_real(fmax(0, e->comparison.worst.ratio)), "nmse",
                     assay_json_real(assay_comparison_nmse(&e->comparison)));
}

/* How many times faster than the baseline: the median over rounds of the two times' ratio. */
static json_t *speedup(const struct bench_run *run, const struct bench_entry *e) {
    const struct bench_entry *base = &run->entries[0];
    double *ratio = malloc(e->rounds * sizeof *ratio);
    struct assay_interval ci;
    json_t *result;

    if (ratio == NULL) {
        assay_no_memory_note();
        return NULL;
    }
    for (size_t i = 0; i < e->rounds; i++)
        ratio[i] = base->ns[i] / e->ns[i];
    ci = assay_bootstrap_median(ratio, e->rounds, 0.95, RESAMPLES, run->plan->seed);
    result = json_pack("{so so so}", "median", assay_json_real(assay_median(ratio, e->rounds)),
                       "low95", assay_json_real(ci.low), "high95", assay_json_real(ci.high));
    free(ratio);
    return result;
}

static json_t *roofline(const struct bench_entry *e, double median_ns) {
    return json_pack("{so ss so so so}", "bandwidth", assay_json_real(e->bandwidth), "arithmetic",
                     e->peak_kind == ASSAY_PEAK_INT8 ? "int8" : "fp32", "peak",
                     assay_json_real(e->peak), "ns", assay_json_real(e->roof_ns), "attained",
                     assay_json_real(e->roof_ns / median_ns));
}

static void add_figures(const struct bench_run *run, const struct bench_entry *e, json_t *o) {
    const struct assay_bench_matrix *m = run->matrix;
    const double median = assay_median(e->ns, e->rounds);
    /* Of a stack, only what is routed to is read. */
    struct assay_device_use use;
    const double bytes = m->experts > 0
                             ? (double)run->weight_bytes * run->routing.used / (double)m->experts
                             : (double)run->weight_bytes;
    json_t *times =
        json_pack("{so so so so sI so}", "median", assay_json_real(median), "mad",
                  assay_json_real(assay_mad(e->ns, e->rounds)), "q1",
                  assay_json_real(assay_quantile(e->ns, e->rounds, 0.25)), "q3",
                  assay_json_real(assay_quantile(e->ns, e->rounds, 0.75)), "calls_per_sample",
                  (json_int_t)e->repeats, "samples", reals(e->ns, e->rounds));

    json_object_set_new(o, "kernel", json_string(e->kernel));
    json_object_set_new(o, "resident_bytes", json_integer((json_int_t)e->resident));
    json_object_set_new(o, "copies", json_integer((json_int_t)e->n_stores));
    json_object_set_new(o, "from", json_string(e->from));
    json_object_set_new(o, "ns", times);
    json_object_set_new(o, "weight_gb_s", assay_json_real(bytes / median));
    json_object_set_new(o, "gflop_s", assay_json_real(run->ops / median));
    json_object_set_new(o, "roofline", roofline(e, median));
    if (assay_ctx_device_use(e->ctx, &use)) {
        /* By the device's clock, the mean of all calls; launching and copying are not in it. */
        json_object_set_new(o, "device_ns",
                            assay_json_real(use.seconds * 1e9 / (double)e->next_store));
        json_object_set_new(o, "device_bytes", json_integer((json_int_t)use.bytes));
    }
    if (run->entries[0].status == BENCH_MEASURED)
        json_object_set_new(o, "speedup", speedup(run, e));
}

json_t *bench_result_json(const struct bench_run *run, json_t *identity) {
    json_t *list = json_array();

    for (size_t i = 0; i < run->n_entries; i++) {
        const struct bench_entry *e = &run->entries[i];
        const struct assay_runner *r = &e->contender->runner;
        json_t *o = json_pack("{ss ss ss ss ss}", "contender", e->contender->label, "backend",
                              assay_backend_name(r->backend), "variant", r->variant, "isa",
                              isa_text(e), "status", status_names[e->status]);

        if (e->reason[0] != '\0')
            json_object_set_new(o, "reason", json_string(e->reason));
        if (e->verified)
            json_object_set_new(o, "verified", verification(e));
        if (e->status == BENCH_MEASURED)
            add_figures(run, e, o);
        json_array_append_new(list, o);
    }
    json_object_set_new(identity, "contenders", list);
    return identity;
}
