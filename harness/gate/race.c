/* One case of the gate, in a child process. */
#include <dlfcn.h>
#include <math.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "counters.h"
#include "datasets/generate.h"
#include "datasets/rng.h"
#include "gate.h"
#include "harness/bench_internal.h"
#include "harness/record.h"
#include "harness/stats.h"
#include "harness/timer.h"
#include "sequential.h"

/* A sample repeats the product for this long: a thousand times what reading the clock takes. */
#define SAMPLE_NS 4e5
/* Calls that hardware counters are read over. */
#define COUNTED_CALLS 5

/* One version in a case. */
struct side {
    const struct assay_gate_version *version;
    struct bench_entry entry; /* what bench judges: context, store, arithmetic */
    size_t heap;              /* bytes that the store and one product took; 0: unknown */
    const char *kernel;
    double *ns; /* per product, one a pair */
    bool counted;
    struct assay_counts counts; /* of one product */
    double instructions;        /* as compared: counted by the hardware, or by callgrind */
    char emulated[64];          /* kernel that callgrind counted */
};

struct race {
    const struct assay_gate_params *params;
    const struct assay_gate_case *c;
    struct bench_run run; /* buffers that both share, and the reference */
    struct assay_bench_matrix matrix;
    struct assay_bench_case bench_case;
    struct side side[2];
    struct assay_rng rng;
    uint64_t until_ns;
    size_t repeats, pairs, looks;
    double *x; /* log ratios */
    struct assay_ratio ratio;
    enum assay_change change;
    const char *counter; /* "hardware", "callgrind"; NULL: time is compared */
    char problem[160];   /* why nothing could be counted */
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

const char *assay_gate_kernel_name(const char *plugin, uint32_t type, size_t m) {
    void *handle = dlopen(plugin, RTLD_NOW | RTLD_LOCAL); /* loaded already: another reference */
    const char *(*name)(uint32_t, size_t) = NULL;

    /* ISO C has no cast from an object pointer to a function pointer; POSIX promises this one. */
    if (handle != NULL)
        *(void **)&name = dlsym(handle, "assay_gate_kernel");
    return name != NULL ? name(type, m) : "";
}

/* ---- A side's store -------------------------------------------------------------------------- */

/* Bytes that the allocator has handed out; 0: unknown. */
static size_t heap_bytes(void) {
#ifdef __GLIBC__
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
#else
    return 0;
#endif
}

static void refuse(struct side *s, enum bench_status status, const char *why) {
    s->entry.status = status;
    snprintf(s->entry.reason, sizeof s->entry.reason, "%s", why);
}

static void drop(struct side *s) {
    if (s->entry.n_stores > 0)
        assay_store_free(s->entry.stores[0]);
    s->entry.n_stores = 0;
    assay_ctx_free(s->entry.ctx);
    s->entry.ctx = NULL;
}

static bool prepare(struct race *r, struct side *s) {
    const struct assay_ctx_params params = {.backend = s->version->backend,
                                            .threads = r->params->threads};
    struct assay_error e = {0};

    if (assay_ctx_create(&params, &s->entry.ctx, &e) == ASSAY_OK &&
        assay_ctx_arith(s->entry.ctx, r->c->type, r->c->m, &s->entry.arith, &e) == ASSAY_OK &&
        assay_store_create(s->entry.ctx, r->c->type->type, r->run.weights, r->run.weight_bytes,
                           r->c->n, r->c->k, &s->entry.stores[0], &e) == ASSAY_OK) {
        s->entry.n_stores = 1;
        s->entry.resident = assay_store_bytes(s->entry.stores[0]);
        return true;
    }
    refuse(s, e.status == ASSAY_EUNSUPPORTED ? BENCH_SKIPPED : BENCH_FAILED, e.message);
    return false;
}

static bool multiply(struct race *r, struct side *s) {
    struct assay_error e = {0};

    if (gemm_quant(s->entry.ctx, s->entry.stores[0], r->run.x, r->c->m, r->run.y, r->c->n, &e) ==
        ASSAY_OK)
        return true;
    refuse(s, BENCH_FAILED, e.message);
    return false;
}

/* What the store and the scratch of a product take, and whether the product is right. */
static void judge(struct race *r, struct side *s) {
    size_t before;

    /* Libraries allocate for themselves in their first product. */
    if (!prepare(r, s) || !multiply(r, s))
        return;
    drop(s);
    before = heap_bytes();
    if (!prepare(r, s) || !multiply(r, s))
        return;
    s->heap = before > 0 ? heap_bytes() - before : 0;
    bench_verify(&r->run, &s->entry);
    s->kernel = assay_gate_kernel_name(s->version->plugin, r->c->type->type, r->c->m);
}

/* ---- Timing ---------------------------------------------------------------------------------- */

static uint64_t now(const struct race *r) {
    return r->params->wall || r->params->threads > 1 ? assay_now_ns() : assay_cpu_ns();
}

static bool sample(struct race *r, struct side *s, double *ns) {
    const uint64_t start = now(r);

    for (size_t i = 0; i < r->repeats; i++)
        if (!multiply(r, s))
            return false;
    *ns = (double)(now(r) - start) / (double)r->repeats;
    return true;
}

static bool warm_up(struct race *r) {
    double ns;

    for (int i = 0; i < 2; i++)
        for (int v = 0; v < 2; v++)
            if (!sample(r, &r->side[v], &ns))
                return false;
    return true;
}

/* How often a sample repeats the product: by the fastest of some calls of base. */
static bool choose_repeats(struct race *r) {
    double fastest = INFINITY, ns;

    r->repeats = 1;
    for (int i = 0; i < 5; i++) {
        if (!sample(r, &r->side[ASSAY_GATE_BASE], &ns))
            return false;
        fastest = fmin(fastest, ns);
    }
    r->repeats = (size_t)fmax(1, ceil(SAMPLE_NS / fmax(1, fastest)));
    return true;
}

static bool take_pair(struct race *r) {
    const int first = (int)assay_rng_below(&r->rng, 2);
    double ns[2];

    if (!sample(r, &r->side[first], &ns[first]) || !sample(r, &r->side[!first], &ns[!first]))
        return false;
    for (int v = 0; v < 2; v++)
        r->side[v].ns[r->pairs] = fmax(1, ns[v]);
    r->x[r->pairs] =
        log(r->side[ASSAY_GATE_HEAD].ns[r->pairs]) - log(r->side[ASSAY_GATE_BASE].ns[r->pairs]);
    r->pairs++;
    return true;
}

/* Where its scratch lies in memory can make a version slower by more than noise does. Each look has
 * new stores and contexts, in a random order and at other addresses. */
static bool lay_out_anew(struct race *r) {
    const int first = (int)assay_rng_below(&r->rng, 2);
    void *gap = malloc(64 * (1 + assay_rng_below(&r->rng, 256)));
    bool ok;

    drop(&r->side[0]);
    drop(&r->side[1]);
    ok = prepare(r, &r->side[first]) && prepare(r, &r->side[!first]);
    free(gap);
    return ok && warm_up(r);
}

/* Pairs up to the first look that decides. False if a product failed. */
static bool race(struct race *r) {
    for (size_t look = 0; look < ASSAY_SEQUENTIAL_LOOKS && r->change == ASSAY_UNDECIDED; look++) {
        const size_t wanted = assay_sequential_pairs(look);

        if (!lay_out_anew(r))
            return false;
        while (r->pairs < wanted) {
            if (!take_pair(r))
                return false;
            /* Out of time: this look is not taken, since its number of pairs would depend on what
             * was measured. */
            if (assay_now_ns() > r->until_ns && r->pairs < wanted)
                return true;
        }
        r->ratio = assay_ratio_of(
            r->x, r->pairs, assay_sequential_level(look, r->params->alpha, r->params->n_cases));
        r->change = assay_change_of(&r->ratio, r->params->min_effect);
        r->looks = look + 1;
    }
    return true;
}

static void count(struct race *r) {
    struct assay_counters counters;

    if (r->params->threads > 1 || !assay_counters_open(&counters))
        return;
    for (int v = 0; v < 2; v++) {
        struct side *s = &r->side[v];
        uint64_t least = UINT64_MAX;

        for (int i = 0; i < COUNTED_CALLS; i++) {
            struct assay_counts c;
            assay_counters_start(&counters);
            if (multiply(r, s) && assay_counters_stop(&counters, &c) && c.instructions < least) {
                least = c.instructions;
                s->counts = c;
                s->counted = true;
            }
        }
    }
    assay_counters_close(&counters);
}

/* One count decides: it repeats to within what an interrupt leaves. */
static void compare_instructions(struct race *r, size_t i) {
    struct side *base = &r->side[ASSAY_GATE_BASE], *head = &r->side[ASSAY_GATE_HEAD];
    double ratio;

    r->counter = base->counted && head->counted ? "hardware" : "callgrind";
    for (int v = 0; v < 2; v++) {
        struct side *s = &r->side[v];
        if (base->counted && head->counted)
            s->instructions = (double)s->counts.instructions;
        else if (!assay_gate_callgrind(r->params, i, v, &s->instructions, s->emulated,
                                       sizeof s->emulated, r->problem, sizeof r->problem))
            return;
    }
    ratio = head->instructions / base->instructions;
    r->ratio = (struct assay_ratio){ratio, ratio, ratio};
    r->change = assay_change_of(&r->ratio, r->params->min_effect);
}

/* ---- The result ------------------------------------------------------------------------------ */

static json_t *side_json(const struct race *r, const struct side *s) {
    static const char *const statuses[] = {[BENCH_MEASURED] = "right",
                                           [BENCH_SKIPPED] = "skipped",
                                           [BENCH_WRONG] = "wrong",
                                           [BENCH_FAILED] = "failed"};
    json_t *j = json_pack("{ss ss sI sI}", "status", statuses[s->entry.status], "kernel",
                          s->kernel != NULL ? s->kernel : "", "resident_bytes",
                          (json_int_t)s->entry.resident, "heap_bytes", (json_int_t)s->heap);
    json_t *samples;

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
    if (r->pairs == 0)
        return j;
    samples = json_array();
    for (size_t i = 0; i < r->pairs; i++)
        json_array_append_new(samples, json_real(s->ns[i]));
    json_object_set_new(
        j, "ns", json_pack("{sf so}", "median", assay_median(s->ns, r->pairs), "samples", samples));
    return j;
}

/* Bytes by which head takes more than base: what is known of both. */
static long long growth(const struct race *r) {
    const struct side *base = &r->side[ASSAY_GATE_BASE], *head = &r->side[ASSAY_GATE_HEAD];
    long long resident = (long long)head->entry.resident - (long long)base->entry.resident;
    long long heap = (long long)head->heap - (long long)base->heap;

    /* A store that owns its weights has them on the heap: the larger figure holds both. */
    return resident > heap ? resident : heap;
}

static void set_verdict(json_t *j, const char *verdict, json_t *reason) {
    json_object_set_new(j, "verdict", json_string(verdict));
    if (reason != NULL)
        json_object_set_new(j, "reason", reason);
}

static void decide(const struct race *r, json_t *j) {
    const struct side *base = &r->side[ASSAY_GATE_BASE], *head = &r->side[ASSAY_GATE_HEAD];
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
    else if (r->problem[0] != '\0')
        set_verdict(j, "skipped", json_string(r->problem));
    else
        set_verdict(j, assay_change_name(r->change), NULL);
}

static json_t *result(const struct race *r, json_t *j) {
    json_object_set_new(j, "base", side_json(r, &r->side[ASSAY_GATE_BASE]));
    json_object_set_new(j, "head", side_json(r, &r->side[ASSAY_GATE_HEAD]));
    decide(r, j);
    if (r->counter != NULL)
        json_object_set_new(j, "counter", json_string(r->counter));
    if (r->looks > 0 || r->counter != NULL)
        json_object_set_new(j, "ratio",
                            json_pack("{so so so}", "median", assay_json_real(r->ratio.median),
                                      "low", assay_json_real(r->ratio.low), "high",
                                      assay_json_real(r->ratio.high)));
    json_object_set_new(j, "pairs", json_integer((json_int_t)r->pairs));
    json_object_set_new(j, "looks", json_integer((json_int_t)r->looks));
    json_object_set_new(j, "calls_per_sample", json_integer((json_int_t)r->repeats));
    return j;
}

/* ---- All of it ------------------------------------------------------------------------------- */

static bool begin(struct race *r, uint8_t *weights) {
    const struct assay_gate_case *c = r->c;
    const uint64_t seed = r->params->seed;

    if (weights == NULL || r->run.x == NULL || r->run.y == NULL || r->x == NULL ||
        r->side[0].ns == NULL || r->side[1].ns == NULL)
        return false;
    assay_generate_weights(c->type, ASSAY_WGEN_UNIFORM, seed ^ 1, c->n, c->k, weights);
    assay_generate_acts(ASSAY_AGEN_NORMAL, seed ^ 2, c->m, c->k, r->run.x);
    return true;
}

static void run(struct race *r, size_t i) {
    judge(r, &r->side[ASSAY_GATE_HEAD]);
    judge(r, &r->side[ASSAY_GATE_BASE]);
    bench_verify_end(&r->run);
    if (r->side[0].entry.status != BENCH_MEASURED || r->side[1].entry.status != BENCH_MEASURED)
        return;
    count(r);
    if (r->params->metric == ASSAY_GATE_INSTRUCTIONS)
        compare_instructions(r, i);
    else if (choose_repeats(r))
        race(r);
}

json_t *assay_gate_run_case(const struct assay_gate_params *p, size_t i, double limit_s) {
    const struct assay_gate_case *c = &p->cases[i];
    const size_t most = assay_sequential_pairs(ASSAY_SEQUENTIAL_LOOKS - 1);
    struct race *r = calloc(1, sizeof *r);
    size_t row_bytes = 0;
    uint8_t *weights;
    json_t *j = NULL;

    if (r == NULL || !assay_row_bytes(c->type, c->k, &row_bytes)) {
        free(r);
        return NULL;
    }
#ifdef __GLIBC__
    /* A threshold that moves would put the same allocation here once and there the next time. */
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
#endif
    weights = aligned_alloc(64, (c->n * row_bytes + 63) / 64 * 64);
    r->params = p;
    r->c = c;
    r->matrix = (struct assay_bench_matrix){.type = c->type, .n = c->n, .k = c->k};
    r->bench_case = (struct assay_bench_case){.m = c->m, .threads = p->threads};
    r->run = (struct bench_run){
        .c = &r->bench_case,
        .matrix = &r->matrix,
        .weights = weights,
        .weight_bytes = c->n * row_bytes,
        .x = aligned_alloc(64, (c->m * c->k * sizeof(float) + 63) / 64 * 64),
        .y = bench_output_new(c->m, c->n),
    };
    r->until_ns = assay_now_ns() + (uint64_t)(1e9 * limit_s);
    r->x = calloc(most, sizeof *r->x);
    for (int v = 0; v < 2; v++) {
        r->side[v].version = &p->versions[v];
        r->side[v].ns = calloc(most, sizeof *r->side[v].ns);
    }
    assay_rng_seed(&r->rng, p->seed + i);
    if (begin(r, weights)) {
        run(r, i);
        j = result(r, assay_gate_describe(p, i));
    }
    for (int v = 0; v < 2; v++) {
        drop(&r->side[v]);
        free(r->side[v].ns);
    }
    free(r->x);
    free(r->run.x);
    bench_output_free(r->run.y);
    free(weights);
    free(r);
    return j;
}
