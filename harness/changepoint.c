#include "changepoint.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/rng.h"
#include "no_memory.h"
#include "stats.h"

enum { LEAST = 3, PERMUTATIONS = 1999 };

struct search {
    const double *v;
    double *ranks, *copy; /* of the stretch in hand */
    bool *change;         /* [n]: a new level begins here */
    double *p;            /* [n] */
    double alpha, effect;
    struct assay_rng rng;
};

/* Mid-ranks of v[0, n). */
static void rank(const double *v, size_t n, double *ranks) {
    for (size_t i = 0; i < n; i++) {
        double below = 0, equal = 0;
        for (size_t j = 0; j < n; j++) {
            below += v[j] < v[i];
            equal += v[j] == v[i];
        }
        ranks[i] = below + (equal + 1) / 2;
    }
}

/* Largest between-groups sum of squares over the splits, and where. */
static double best_split(const double *r, size_t n, size_t *at) {
    double mean = ((double)n + 1) / 2, sum = 0, best = 0;

    for (size_t i = 1; i + LEAST <= n; i++) {
        sum += r[i - 1] - mean;
        double gain = sum * sum * (double)n / ((double)i * (double)(n - i));
        if (i >= LEAST && gain > best) {
            best = gain;
            *at = i;
        }
    }
    return best;
}

static double median_of(struct search *s, size_t from, size_t to) {
    memcpy(s->copy, s->v + from, (to - from) * sizeof *s->copy);
    return assay_median(s->copy, to - from);
}

static void segment(struct search *s, size_t from, size_t to) {
    size_t n = to - from, at = 0, other, as_good = 0;

    if (n < 2 * LEAST)
        return;
    rank(s->v + from, n, s->ranks);
    double found = best_split(s->ranks, n, &at);
    for (int k = 0; k < PERMUTATIONS; k++) {
        for (size_t i = n - 1; i > 0; i--) {
            size_t j = assay_rng_below(&s->rng, (uint32_t)i + 1);
            double t = s->ranks[i];
            s->ranks[i] = s->ranks[j];
            s->ranks[j] = t;
        }
        as_good += best_split(s->ranks, n, &other) >= found;
    }
    double p = (1 + (double)as_good) / (1 + PERMUTATIONS);
    if (at == 0 || p > s->alpha)
        return;
    double before = median_of(s, from, from + at), after = median_of(s, from + at, to);
    if (!(fabs(after - before) > s->effect * fabs(before)))
        return;
    s->change[from + at] = true;
    s->p[from + at] = p;
    segment(s, from, from + at);
    segment(s, from + at, to);
}

size_t assay_changepoints(const double *v, size_t n, double alpha, double effect, uint64_t seed,
                          struct assay_changepoint *out, size_t max) {
    struct search s = {.v = v, .alpha = alpha, .effect = effect};
    size_t count = 0, from = 0;

    s.ranks = calloc(n + 1, sizeof *s.ranks);
    s.copy = calloc(n + 1, sizeof *s.copy);
    s.change = calloc(n + 1, sizeof *s.change);
    s.p = calloc(n + 1, sizeof *s.p);
    assay_rng_seed(&s.rng, seed);
    if (s.ranks && s.copy && s.change && s.p) {
        segment(&s, 0, n);
        for (size_t i = 1; i < n; i++) {
            size_t to = i + 1;
            if (!s.change[i])
                continue;
            while (to < n && !s.change[to])
                to++;
            if (count < max)
                out[count] = (struct assay_changepoint){i, median_of(&s, from, i),
                                                        median_of(&s, i, to), s.p[i]};
            count++;
            from = i;
        }
    } else {
        assay_no_memory_note();
    }
    free(s.ranks);
    free(s.copy);
    free(s.change);
    free(s.p);
    return count < max ? count : max;
}
