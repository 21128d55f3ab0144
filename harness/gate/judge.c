/* What a case's child finds before anything is timed: whether each version is right, what memory it
 * takes, and what counters say. */
#include <dlfcn.h>
#include <math.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdlib.h>
#include <string.h>

#include "harness/record.h"
#include "side.h"

/* A sample repeats the product for this long: some hundred times what reading the clock takes, and
 * short beside the time slices of schedulers. */
#define SAMPLE_NS 1e5
/* Calls that hardware counters are read over. */
#define COUNTED_CALLS 5

const char *assay_gate_kernel_name(const char *plugin, uint32_t type, size_t m) {
    void *handle = dlopen(plugin, RTLD_NOW | RTLD_LOCAL); /* loaded already: another reference */
    const char *(*name)(uint32_t, size_t) = NULL;

    /* ISO C has no cast from an object pointer to a function pointer; POSIX promises this one. */
    if (handle != NULL)
        *(void **)&name = dlsym(handle, "assay_gate_kernel");
    return name != NULL ? name(type, m) : "";
}

/* Bytes that the allocator has handed out; 0: unknown. */
static size_t heap_bytes(void) {
#ifdef __GLIBC__
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
#else
    return 0;
#endif
}

/* What the store and the scratch of a product take, and whether the product is right. */
static void judge(struct assay_gate_race *r, struct assay_gate_side *s) {
    size_t before;

    /* Libraries allocate for themselves in their first product. */
    if (!assay_gate_prepare(r, s) || !assay_gate_multiply(r, s))
        return;
    assay_gate_drop(s);
    before = heap_bytes();
    if (!assay_gate_prepare(r, s) || !assay_gate_multiply(r, s))
        return;
    s->heap = before > 0 ? heap_bytes() - before : 0;
    bench_verify(&r->run, &s->entry);
    s->kernel = assay_gate_kernel_name(s->version->plugin, r->c->type->type, r->c->m);
}

/* How often a sample repeats the product: by the fastest of some calls of base. 0 if one failed. */
static size_t choose_repeats(struct assay_gate_race *r) {
    double fastest = INFINITY;

    for (int i = 0; i < 5; i++) {
        const double ns = assay_gate_time(r, &r->side[ASSAY_GATE_BASE], 1);
        if (isnan(ns))
            return 0;
        fastest = fmin(fastest, ns);
    }
    return (size_t)fmax(1, ceil(SAMPLE_NS / fmax(1, fastest)));
}

static void count(struct assay_gate_race *r) {
    struct assay_counters counters;

    if (r->params->threads > 1 || !assay_counters_open(&counters))
        return;
    for (int v = 0; v < 2; v++) {
        struct assay_gate_side *s = &r->side[v];
        uint64_t least = UINT64_MAX;

        for (int i = 0; i < COUNTED_CALLS; i++) {
            struct assay_counts c;
            assay_counters_start(&counters);
            if (assay_gate_multiply(r, s) && assay_counters_stop(&counters, &c) &&
                c.instructions < least) {
                least = c.instructions;
                s->counts = c;
                s->counted = true;
            }
        }
    }
    assay_counters_close(&counters);
}

/* Instructions of both versions, by one and the same counter. */
static json_t *count_instructions(struct assay_gate_race *r, char *err, size_t err_size) {
    struct assay_gate_side *s = r->side;
    const bool hardware = s[0].counted && s[1].counted;

    for (int v = 0; v < 2; v++)
        if (hardware)
            s[v].instructions = (double)s[v].counts.instructions;
        else if (!assay_gate_callgrind(r->params, r->index, v, &s[v].instructions, s[v].emulated,
                                       sizeof s[v].emulated, err, err_size))
            return NULL;
    return json_string(hardware ? "hardware" : "callgrind");
}

/* ---- The result ------------------------------------------------------------------------------ */

static json_t *side_json(const struct assay_gate_side *s) {
    static const char *const statuses[] = {[BENCH_MEASURED] = "right",
                                           [BENCH_SKIPPED] = "skipped",
                                           [BENCH_WRONG] = "wrong",
                                           [BENCH_FAILED] = "failed"};
    json_t *j = json_pack("{ss ss sI sI}", "status", statuses[s->entry.status], "kernel",
                          s->kernel != NULL ? s->kernel : "", "resident_bytes",
                          (json_int_t)s->entry.resident, "heap_bytes", (json_int_t)s->heap);

    if (s->entry.reason[0] != '\0')
        json_object_set_new(j, "reason", json_string(s->entry.reason));
    if (s->entry.verified)
        json_object_set_new(j, "verified",
                            json_pack("{sI so}", "elements",
                                      (json_int_t)s->entry.comparison.elements, "worst_ratio",
                                      assay_json_real(fmax(0, s->entry.comparison.worst.ratio))));
    if (s->counted) {
        json_object_set_new(j, "cycles", json_integer((json_int_t)s->counts.cycles));
        json_object_set_new(j, "instructions", json_integer((json_int_t)s->counts.instructions));
    } else if (s->instructions > 0) {
        json_object_set_new(j, "instructions", json_integer((json_int_t)s->instructions));
        json_object_set_new(j, "counted_kernel", json_string(s->emulated));
    }
    return j;
}

/* Bytes by which head takes more than base: what is known of both. */
static long long growth(const struct assay_gate_race *r) {
    const struct assay_gate_side *base = &r->side[ASSAY_GATE_BASE],
                                 *head = &r->side[ASSAY_GATE_HEAD];
    long long resident = (long long)head->entry.resident - (long long)base->entry.resident;
    long long heap = (long long)head->heap - (long long)base->heap;

    /* A store that owns its weights has them on the heap: the larger figure holds both. */
    return resident > heap ? resident : heap;
}

static void set_verdict(json_t *j, const char *verdict, json_t *reason) {
    json_object_set_new(j, "verdict", json_string(verdict));
    json_object_set_new(j, "reason", reason);
}

/* What can be said before timing; nothing if the ratio decides. */
static void decide(const struct assay_gate_race *r, json_t *j) {
    const struct assay_gate_side *base = &r->side[ASSAY_GATE_BASE],
                                 *head = &r->side[ASSAY_GATE_HEAD];
    const long long more = growth(r);

    if (head->entry.status == BENCH_WRONG || head->entry.status == BENCH_FAILED)
        set_verdict(j, head->entry.status == BENCH_WRONG ? "wrong" : "failed",
                    json_string(head->entry.reason));
    else if (head->entry.status == BENCH_SKIPPED)
        set_verdict(j, "skipped", json_sprintf("head: %s", head->entry.reason));
    else if (base->entry.status != BENCH_MEASURED)
        set_verdict(j, base->entry.status == BENCH_SKIPPED ? "skipped" : "fixed",
                    json_sprintf("base: %s", base->entry.reason));
    else if (more > (long long)r->params->memory_slack)
        set_verdict(j, "memory",
                    json_sprintf("takes %lld bytes more than base, %zu allowed", more,
                                 r->params->memory_slack));
}

json_t *assay_gate_judge(const struct assay_gate_params *p, size_t i) {
    struct assay_gate_race *r = calloc(1, sizeof *r);
    json_t *j = assay_gate_describe(p, i), *counter = NULL;
    char problem[160] = "";

    if (r == NULL || !assay_gate_race_begin(r, p, i)) {
        free(r);
        json_decref(j);
        return NULL;
    }
#ifdef __GLIBC__
    /* A threshold that moves would put the same allocation here once and there the next time. */
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
#endif
    judge(r, &r->side[ASSAY_GATE_HEAD]);
    judge(r, &r->side[ASSAY_GATE_BASE]);
    decide(r, j);
    if (json_object_get(j, "verdict") == NULL) {
        count(r);
        if (p->metric == ASSAY_GATE_INSTRUCTIONS)
            counter = count_instructions(r, problem, sizeof problem);
        json_object_set_new(j, "calls_per_sample", json_integer((json_int_t)choose_repeats(r)));
    }
    if (problem[0] != '\0')
        set_verdict(j, "skipped", json_string(problem));
    if (counter != NULL)
        json_object_set_new(j, "counter", counter);
    json_object_set_new(j, "base", side_json(&r->side[ASSAY_GATE_BASE]));
    json_object_set_new(j, "head", side_json(&r->side[ASSAY_GATE_HEAD]));
    assay_gate_race_end(r);
    free(r);
    return j;
}
