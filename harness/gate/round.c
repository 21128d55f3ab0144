/* One round of timing, in a fresh process: loads both plugins anew and takes one pair of samples of
 * every case that is not decided yet.
 *
 * Where code, tables, weights and scratch lie in memory, down to the physical pages, can make a
 * version slower by several per cent for as long as they lie there: of two copies of one file,
 * loaded side by side, too. (A cache that is indexed by physical addresses holds some sets of pages
 * better than others.) So each round loads both at addresses of its own, in a random order, and
 * gives each case pages, contexts and stores of its own: what a place is worth becomes a part of
 * the noise, equal for both versions and drawn anew for each pair. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "datasets/rng.h"
#include "side.h"

/* Address space that a gap before a library may take, in pages. */
#define MOST_GAP 4096
/* Samples of each version in a pair. */
#define TURNS 4
/* Memory that is taken before the buffers, in pages. */
#define MOST_PAGES 512

/* Takes address space and never uses it: what is mapped next lies elsewhere. */
static void leave_gap(struct assay_rng *rng) {
    const size_t pages = 1 + assay_rng_below(rng, MOST_GAP);
    (void)mmap(NULL, pages * (size_t)sysconf(_SC_PAGESIZE), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
               -1, 0);
}

/* Takes physical pages, up to MOST_PAGES: what is allocated next gets others than it got in the
 * last round, whose pages the kernel would hand out again in the same order. */
static void take_pages(struct assay_rng *rng) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = 1 + assay_rng_below(rng, MOST_PAGES);
    char *p = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    for (size_t i = 0; p != MAP_FAILED && i < pages; i++)
        p[i * page] = 1;
}

/* A first context loads the plugin. */
static bool load(const struct assay_gate_params *p, int version) {
    const struct assay_ctx_params params = {.backend = p->versions[version].backend,
                                            .threads = p->threads};
    struct assay_ctx *ctx = NULL;
    bool ok = assay_ctx_create(&params, &ctx, NULL) == ASSAY_OK;

    assay_ctx_free(ctx);
    return ok;
}

/* New stores at other addresses, made in a random order, and some untimed products, which fault
 * their pages in. */
static bool lay_out(struct assay_gate_race *r, size_t calls, struct assay_rng *rng) {
    const int first = (int)assay_rng_below(rng, 2);
    void *gap = malloc(64 * (1 + assay_rng_below(rng, 256)));
    bool ok = assay_gate_prepare(r, &r->side[first]) && assay_gate_prepare(r, &r->side[!first]);

    free(gap);
    for (size_t i = 0; ok && i < 1 + calls / 2; i++)
        ok = assay_gate_multiply(r, &r->side[first]) && assay_gate_multiply(r, &r->side[!first]);
    return ok;
}

/* The weights and activations in pages of this round. */
static bool copy_data(struct assay_gate_race *r) {
    const size_t x_bytes = r->c->m * r->c->k * sizeof(float);
    uint8_t *weights = aligned_alloc(64, (r->c->weight_bytes + 63) / 64 * 64);
    float *x = aligned_alloc(64, (x_bytes + 63) / 64 * 64);

    if (weights == NULL || x == NULL) {
        free(weights);
        free(x);
        return false;
    }
    memcpy(weights, r->c->weights, r->c->weight_bytes);
    memcpy(x, r->c->x, x_bytes);
    r->run.weights = weights;
    r->run.x = x;
    return true;
}

/* The fastest of some samples of each, in turns: the one that was disturbed least, be it by a
 * switch to another program or by what that left in the caches. Both have the same chances. */
static bool sample_both(struct assay_gate_race *r, size_t calls, int first, double ns[2]) {
    ns[0] = ns[1] = INFINITY;
    for (int turn = 0; turn < 2 * TURNS; turn++) {
        const int v = turn % 2 == 0 ? first : !first;
        const double t = assay_gate_time(r, &r->side[v], calls);
        if (isnan(t))
            return false;
        ns[v] = fmin(ns[v], t);
    }
    return true;
}

/* [case, base ns, head ns] of one product; [case, reason] if one failed. */
static json_t *take_pair(const struct assay_gate_params *p, size_t i, struct assay_rng *rng) {
    struct assay_gate_race *r = calloc(1, sizeof *r);
    const size_t calls = p->cases[i].calls;
    json_t *pair = NULL;

    if (r == NULL || !assay_gate_race_begin(r, p, i)) {
        free(r);
        return NULL;
    }
    take_pages(rng);
    if (copy_data(r) && lay_out(r, calls, rng)) {
        double ns[2];

        if (sample_both(r, calls, (int)assay_rng_below(rng, 2), ns))
            pair = json_pack("[Iff]", (json_int_t)i, fmax(1, ns[0]) / (double)calls,
                             fmax(1, ns[1]) / (double)calls);
    }
    if (pair == NULL)
        pair = json_pack("[Is]", (json_int_t)i,
                         r->side[0].entry.reason[0] != '\0' ? r->side[0].entry.reason
                                                            : r->side[1].entry.reason);
    if (r->run.weights != p->cases[i].weights) {
        free((void *)(uintptr_t)r->run.weights);
        free(r->run.x);
    }
    assay_gate_race_end(r);
    free(r);
    return pair;
}

json_t *assay_gate_round(const struct assay_gate_params *p, size_t round, volatile int *stage) {
    size_t *order = calloc(p->n_cases, sizeof *order), n = 0;
    json_t *pairs = json_array();
    struct assay_rng rng;
    int first;

    assay_rng_seed(&rng, p->seed + round);
    first = (int)assay_rng_below(&rng, 2);
    leave_gap(&rng);
    if (order == NULL || !load(p, first)) {
        free(order);
        return pairs;
    }
    leave_gap(&rng);
    load(p, !first);
    for (size_t i = 0; i < p->n_cases; i++)
        if (p->cases[i].racing)
            order[n++] = i;
    for (; n > 0; n--) {
        const size_t at = assay_rng_below(&rng, (uint32_t)n), i = order[at];
        order[at] = order[n - 1];
        *stage = (int)i;
        json_array_append_new(pairs, take_pair(p, i, &rng));
    }
    *stage = -1;
    free(order);
    return pairs;
}
