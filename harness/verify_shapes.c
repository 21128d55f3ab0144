/* The shapes of generated products: a covering array. Kernels fail at the edges of their tiles, and
 * mostly where two things meet: a tail of rows with a tail of columns, a long k with one generator
 * of data. So every pair of levels of m, n, k, weights and activations occurs in some product, with
 * far fewer products than all combinations would be. */
#include <stdlib.h>
#include <string.h>

#include "verify_internal.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

/* Every m up to 2·8 + 1 (the largest tile of rows is 8) and some beyond; n around the widths of
 * vector kernels; k in blocks. Ascending. */
static const size_t m_values[] = {1,  2,  3,  4,  5,  6,  7,  8,  9, 10,
                                  11, 12, 13, 14, 15, 16, 17, 33, 65};
static const size_t n_values[] = {1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65};
static const size_t k_values[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64};

/* In the default run neighbouring values share a class, of which each product takes one in turn.
 * A class ends with the value given. */
static const size_t m_classes[] = {1, 3, 5, 8, 17, SIZE_MAX};
static const size_t n_classes[] = {1, 3, 8, 17, 33, SIZE_MAX};
static const size_t k_classes[] = {1, 3, 9, 17, SIZE_MAX};

/* Bounds m·n·k (k in blocks) of a product, since pairs need no third factor to be large too. */
enum { MOST_WORK = 65 * 65 * 2 };

/* One factor: its values, cut into levels. */
struct factor {
    const size_t *values;
    size_t n_values;
    const size_t *ends; /* last value of each level; NULL: every value is a level */
};

static const struct factor factors[3] = {
    {m_values, LENGTH(m_values), m_classes},
    {n_values, LENGTH(n_values), n_classes},
    {k_values, LENGTH(k_values), k_classes},
};

size_t assay_shape_class(enum assay_shape_factor factor, size_t value) {
    size_t level = 0;
    while (factors[factor].ends[level] < value)
        level++;
    return level;
}

/* Values of a level: the first, and how many. */
static size_t level_values(const struct factor *f, size_t level, size_t *first) {
    size_t n = 0;

    if (f->ends == NULL) {
        *first = level;
        return 1;
    }
    for (size_t i = 0; i < f->n_values; i++) {
        size_t at = 0;
        while (f->ends[at] < f->values[i])
            at++;
        if (at != level)
            continue;
        if (n++ == 0)
            *first = i;
    }
    return n;
}

/* ---- Greedy cover ---- */

enum { N_FACTORS = 5, MOST_LEVELS = 32 };

struct cover {
    struct factor shape[3];
    size_t levels[N_FACTORS];
    size_t largest[3][MOST_LEVELS]; /* value of each level */
    bool covered[N_FACTORS][N_FACTORS][MOST_LEVELS][MOST_LEVELS];
    unsigned generators[2];
    struct assay_shape_case *cases;
    size_t n, room;
    bool failed;
};

static bool allowed(const struct cover *c, const size_t *level) {
    return c->largest[0][level[0]] * c->largest[1][level[1]] * c->largest[2][level[2]] <= MOST_WORK;
}

static size_t new_pairs(const struct cover *c, const size_t *level) {
    size_t n = 0;
    for (size_t a = 0; a < N_FACTORS; a++)
        for (size_t b = a + 1; b < N_FACTORS; b++)
            n += !c->covered[a][b][level[a]][level[b]];
    return n;
}

static int nth_bit(unsigned set, size_t n) {
    int bit = 0;
    while ((set >> bit & 1) == 0 || n-- > 0)
        bit++;
    return bit;
}

static void take(struct cover *c, const size_t *level) {
    struct assay_shape_case *s;

    if (c->n == c->room) {
        size_t room = c->room > 0 ? 2 * c->room : 64;
        struct assay_shape_case *more = realloc(c->cases, room * sizeof *more);
        if (more == NULL) {
            c->failed = true;
            return;
        }
        c->cases = more;
        c->room = room;
    }
    s = &c->cases[c->n++];
    for (size_t f = 0; f < 3; f++)
        s->count[f] = level_values(&c->shape[f], level[f], &s->first[f]);
    s->weights = (enum assay_weights_gen)nth_bit(c->generators[0], level[3]);
    s->acts = (enum assay_acts_gen)nth_bit(c->generators[1], level[4]);
    for (size_t a = 0; a < N_FACTORS; a++)
        for (size_t b = a + 1; b < N_FACTORS; b++)
            c->covered[a][b][level[a]][level[b]] = true;
}

/* Of all combinations of levels in [low, high), takes the one that covers most new
 * pairs, of equals the one of least work. False if none covers any. */
static bool take_best(struct cover *c, const size_t *low, const size_t *high) {
    size_t best[N_FACTORS] = {0}, most = 0, least_work = 0, l[N_FACTORS];

    for (l[0] = low[0]; l[0] < high[0]; l[0]++)
        for (l[1] = low[1]; l[1] < high[1]; l[1]++)
            for (l[2] = low[2]; l[2] < high[2]; l[2]++) {
                size_t work = c->largest[0][l[0]] * c->largest[1][l[1]] * c->largest[2][l[2]];
                if (!allowed(c, l))
                    continue;
                for (l[3] = low[3]; l[3] < high[3]; l[3]++)
                    for (l[4] = low[4]; l[4] < high[4]; l[4]++) {
                        size_t pairs = new_pairs(c, l);
                        if (pairs < most || pairs == 0 || (pairs == most && work >= least_work))
                            continue;
                        most = pairs;
                        least_work = work;
                        memcpy(best, l, sizeof best);
                    }
            }
    if (most > 0)
        take(c, best);
    return most > 0;
}

static void cover(struct cover *c) {
    size_t low[N_FACTORS] = {0}, high[N_FACTORS];

    /* Each pair of m and n levels needs a product of its own: complete those, then see to the
     * pairs that are left. */
    memcpy(high, c->levels, sizeof high);
    for (low[0] = 0; low[0] < c->levels[0]; low[0]++)
        for (low[1] = 0; low[1] < c->levels[1]; low[1]++) {
            high[0] = low[0] + 1;
            high[1] = low[1] + 1;
            take_best(c, low, high);
        }
    low[0] = low[1] = 0;
    memcpy(high, c->levels, sizeof high);
    while (!c->failed && take_best(c, low, high))
        ;
}

bool assay_shapes_cover(struct assay_shape_cover *out, bool full, unsigned weights, unsigned acts) {
    struct cover *c = calloc(1, sizeof *c);

    *out = (struct assay_shape_cover){NULL, 0};
    if (c == NULL)
        return false;
    memcpy(c->shape, factors, sizeof c->shape);
    for (size_t f = 0; f < 3; f++) {
        struct factor *shape = &c->shape[f];
        if (full)
            shape->ends = NULL;
        c->levels[f] = shape->ends == NULL ? shape->n_values : 1;
        while (shape->ends != NULL && shape->ends[c->levels[f] - 1] != SIZE_MAX)
            c->levels[f]++;
        for (size_t l = 0; l < c->levels[f]; l++) {
            size_t first = 0, count = level_values(shape, l, &first);
            c->largest[f][l] = shape->values[first + count - 1];
        }
    }
    c->generators[0] = weights;
    c->generators[1] = acts;
    c->levels[3] = (size_t)__builtin_popcount(weights);
    c->levels[4] = (size_t)__builtin_popcount(acts);
    cover(c);
    *out = (struct assay_shape_cover){c->cases, c->n};
    if (c->failed) {
        free(c->cases);
        *out = (struct assay_shape_cover){NULL, 0};
    }
    free(c);
    return out->cases != NULL;
}

struct assay_shape assay_shape_of(const struct assay_shape_case *s, size_t turn) {
    /* The factors turn at different rates, so that values meet in ever new company. */
    return (struct assay_shape){
        m_values[s->first[0] + turn % s->count[0]],
        n_values[s->first[1] + (turn + turn / s->count[0]) % s->count[1]],
        k_values[s->first[2] + (turn + turn / s->count[1]) % s->count[2]],
    };
}
