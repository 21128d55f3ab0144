#include "bench_measure.h"

#include <math.h>
#include <stdlib.h>

#include "datasets/rng.h"
#include "timer.h"

/* OpenBLAS's threads spin 2^26 cycles, libgomp's a few milliseconds. */
#define IDLE_LIMIT_NS 60000000u

/* Calls longer than this are not preceded by an untimed one: what a cold start costs them is lost
 * in their length. */
#define LONG_CALL_NS 100e6

/* Of one contestant; a short time limit shortens it. */
#define WARM_UP_S 0.3

#define SETTLED 1.25
#define SETTLE_LIMIT_NS 50000000u

static double seconds_since(uint64_t start) { return 1e-9 * (double)(assay_now_ns() - start); }

/* Nanoseconds of `calls` calls; NaN if one failed. */
static double time_calls(const struct assay_contestant *c, size_t calls) {
    uint64_t start = assay_now_ns();

    for (size_t i = 0; i < calls; i++)
        if (!c->call(c->user))
            return NAN;
    return (double)(assay_now_ns() - start);
}

/* Calls until three in a row agree to 5 %, for limit_s at most, but for long enough that threads
 * have found a core each. Returns the fastest's nanoseconds. */
static double warm_up(const struct assay_contestant *c, double limit_s) {
    const uint64_t start = assay_now_ns();
    double last[3] = {0, 0, 0}, fastest = INFINITY;

    if (c->known_ns >= LONG_CALL_NS) {
        if (c->rest != NULL)
            c->rest(c->user);
        return c->known_ns;
    }
    do {
        last[0] = last[1];
        last[1] = last[2];
        last[2] = time_calls(c, 1);
        if (isnan(last[2]))
            return NAN;
        fastest = fmin(fastest, last[2]);
    } while (seconds_since(start) < 1e-9 * SETTLE_LIMIT_NS ||
             (seconds_since(start) < limit_s && fmax(fmax(last[0], last[1]), last[2]) >
                                                    1.05 * fmin(fmin(last[0], last[1]), last[2])));
    if (c->rest != NULL)
        c->rest(c->user);
    return fastest;
}

/* Untimed calls until one is about as fast as the fastest known: threads that were just woken may
 * share a core until the scheduler's next balancing, which takes it some 10 ms. */
static bool settle(const struct assay_contestant *c, double *fastest) {
    const uint64_t start = assay_now_ns();
    double ns;

    do {
        ns = time_calls(c, 1);
        if (isnan(ns))
            return false;
        *fastest = fmin(*fastest, ns);
    } while (ns > SETTLED * *fastest && assay_now_ns() - start < SETTLE_LIMIT_NS);
    return true;
}

static double sample(const struct assay_contestant *c, double *fastest) {
    assay_wait_until_idle(IDLE_LIMIT_NS);
    if (*fastest < LONG_CALL_NS && !settle(c, fastest))
        return NAN;
    double ns = time_calls(c, c->repeats) / (double)c->repeats;
    if (c->rest != NULL)
        c->rest(c->user);
    return ns;
}

static void shuffle(size_t *order, size_t n, struct assay_rng *rng) {
    for (size_t i = n; i > 1; i--) {
        size_t j = assay_rng_below(rng, (uint32_t)i), t = order[i - 1];
        order[i - 1] = order[j];
        order[j] = t;
    }
}

static bool reserve(struct assay_contestant *c, size_t n, size_t rounds, size_t *capacity) {
    size_t wanted = *capacity == 0 ? 32 : *capacity * 2;

    if (rounds < *capacity)
        return true;
    for (size_t i = 0; i < n; i++) {
        double *ns = realloc(c[i].ns, wanted * sizeof *ns);
        if (ns == NULL)
            return false;
        c[i].ns = ns;
    }
    *capacity = wanted;
    return true;
}

static bool finished(const struct assay_measure_params *p, size_t rounds, double elapsed) {
    if (rounds >= ASSAY_MIN_ROUNDS && elapsed >= p->max_s)
        return true;
    return rounds >= p->samples && elapsed >= p->min_s;
}

static size_t run_rounds(const struct assay_measure_params *p, struct assay_contestant *c, size_t n,
                         double *fastest, size_t *order, size_t *failed) {
    const uint64_t start = assay_now_ns();
    struct assay_rng rng;
    size_t rounds = 0, capacity = 0;

    assay_rng_seed(&rng, p->seed);
    for (size_t i = 0; i < n; i++)
        order[i] = i;
    while (!finished(p, rounds, seconds_since(start))) {
        if (!reserve(c, n, rounds, &capacity))
            return 0;
        shuffle(order, n, &rng);
        for (size_t i = 0; i < n; i++) {
            size_t who = order[i];
            c[who].ns[rounds] = sample(&c[who], &fastest[who]);
            if (isnan(c[who].ns[rounds])) {
                *failed = who;
                return 0;
            }
        }
        rounds++;
    }
    return rounds;
}

size_t assay_measure(const struct assay_measure_params *p, struct assay_contestant *c, size_t n,
                     size_t *failed) {
    double *fastest = calloc(n + 1, sizeof *fastest);
    size_t *order = calloc(n + 1, sizeof *order), rounds = 0;
    bool ok = fastest != NULL && order != NULL;

    *failed = n;
    for (size_t i = 0; ok && i < n; i++) {
        c[i].ns = NULL;
        fastest[i] = warm_up(&c[i], fmin(WARM_UP_S, p->max_s / 4));
        if (isnan(fastest[i])) {
            *failed = i;
            ok = false;
            break;
        }
        c[i].repeats = (size_t)fmax(1, ceil(p->sample_s * 1e9 / fmax(1, fastest[i])));
    }
    if (ok)
        rounds = run_rounds(p, c, n, fastest, order, failed);
    free(fastest);
    free(order);
    return rounds;
}
