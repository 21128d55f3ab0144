/* The reduction is delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating
 * Failure-Inducing Input", IEEE Trans. Softw. Eng. 28(2), 2002) in its complement form: parts of a
 * list are left out, large parts first, as long as what remains still fails. */
#include "shrink.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ref/fields.h"

enum { MOST_ATTEMPTS = 800 };

struct shrinker {
    struct assay_specimen now; /* the smallest that failed so far */
    enum assay_failure failure;
    unsigned calls, attempts;
    double deadline;
    bool failed; /* memory ran out */
};

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool spent(const struct shrinker *sh) {
    return sh->failed || sh->attempts >= MOST_ATTEMPTS || seconds_now() > sh->deadline;
}

/* Wrong, unwritten and constant outputs turn into each other when data are taken away. */
static bool same_failure(enum assay_failure a, enum assay_failure b) {
    bool output_a = a == ASSAY_FAILS_WRONG || a == ASSAY_FAILS_CONSTANT;
    bool output_b = b == ASSAY_FAILS_WRONG || b == ASSAY_FAILS_CONSTANT;
    return a == b || (output_a && output_b);
}

static bool still_fails(struct shrinker *sh, const struct assay_specimen *candidate) {
    struct assay_trial t;
    bool fails;

    sh->attempts++;
    if (!assay_trial_run(&t, candidate, sh->calls)) {
        sh->failed = true;
        return false;
    }
    fails = same_failure(t.failure, sh->failure);
    assay_trial_free(&t);
    return fails;
}

/* Makes a candidate of `from` that has only kept[0 … n) of what a stage can leave out. */
typedef bool (*make_fn)(struct assay_specimen *to, const struct assay_specimen *from,
                        const size_t *kept, size_t n);

/* Tries a candidate; if it fails, it is the smallest from now on. */
static bool attempt(struct shrinker *sh, const struct assay_specimen *from, make_fn make,
                    const size_t *kept, size_t n) {
    struct assay_specimen candidate = {.w = NULL};

    if (spent(sh))
        return false;
    if (!make(&candidate, from, kept, n))
        sh->failed = true;
    if (sh->failed || !still_fails(sh, &candidate)) {
        assay_specimen_free(&candidate);
        return false;
    }
    assay_specimen_free(&sh->now);
    sh->now = candidate;
    return true;
}

/* Reduces list[0 … n), of which `least` must stay. Candidates are made of what the specimen was at
 * the start. */
static void reduce(struct shrinker *sh, make_fn make, size_t *list, size_t n, size_t least) {
    struct assay_specimen from = {.w = NULL};
    size_t *rest = malloc((n + 1) * sizeof *rest);

    if (rest == NULL || !assay_specimen_copy(&from, &sh->now))
        sh->failed = true;
    for (size_t chunk = (n + 1) / 2; chunk > 0 && !spent(sh);
         chunk = chunk > 1 ? (chunk + 1) / 2 : 0)
        for (size_t at = 0; at < n && n > least && !spent(sh);) {
            size_t end = at + chunk < n ? at + chunk : n;
            size_t left = n - (end - at);
            memcpy(rest, list, at * sizeof *rest);
            memcpy(rest + at, list + end, (n - end) * sizeof *rest);
            if (left >= least && attempt(sh, &from, make, rest, left)) {
                memcpy(list, rest, left * sizeof *list);
                n = left;
            } else {
                at = end;
            }
        }
    assay_specimen_free(&from);
    free(rest);
}

static size_t *all_of(struct shrinker *sh, size_t n) {
    size_t *list = malloc((n + 1) * sizeof *list);

    sh->failed = sh->failed || list == NULL;
    for (size_t i = 0; list != NULL && i < n; i++)
        list[i] = i;
    return list;
}

/* ---- Shape ---- */

static bool keep_x_rows(struct assay_specimen *to, const struct assay_specimen *from,
                        const size_t *kept, size_t n) {
    if (!assay_specimen_like(to, from, n, from->n, from->k))
        return false;
    memcpy(to->w, from->w, from->n * from->row_bytes);
    for (size_t i = 0; i < n; i++)
        memcpy(to->x + i * to->k, from->x + kept[i] * from->k, to->k * sizeof *to->x);
    return true;
}

static bool keep_w_rows(struct assay_specimen *to, const struct assay_specimen *from,
                        const size_t *kept, size_t n) {
    if (!assay_specimen_like(to, from, from->m, n, from->k))
        return false;
    memcpy(to->x, from->x, from->m * from->k * sizeof *to->x);
    for (size_t j = 0; j < n; j++)
        memcpy(to->w + j * to->row_bytes, from->w + kept[j] * from->row_bytes, to->row_bytes);
    return true;
}

static bool keep_blocks(struct assay_specimen *to, const struct assay_specimen *from,
                        const size_t *kept, size_t n) {
    size_t len = from->type->block_len;

    if (!assay_specimen_like(to, from, from->m, from->n, n * len))
        return false;
    for (size_t b = 0; b < n; b++) {
        for (size_t j = 0; j < to->n; j++)
            memcpy(assay_specimen_block(to, j, b), assay_specimen_block(from, j, kept[b]),
                   to->type->block_bytes);
        for (size_t i = 0; i < to->m; i++)
            memcpy(to->x + i * to->k + b * len, from->x + i * from->k + kept[b] * len,
                   len * sizeof *to->x);
    }
    return true;
}

static void reduce_shape(struct shrinker *sh, make_fn make, size_t count, size_t first) {
    size_t *list = all_of(sh, count);

    if (list != NULL && count > 1 && !attempt(sh, &sh->now, make, &first, 1))
        reduce(sh, make, list, count, 1);
    free(list);
}

/* ---- Activations ---- */

static bool keep_x(struct assay_specimen *to, const struct assay_specimen *from, const size_t *kept,
                   size_t n) {
    if (!assay_specimen_copy(to, from))
        return false;
    memset(to->x, 0, to->m * to->k * sizeof *to->x);
    for (size_t i = 0; i < n; i++)
        to->x[kept[i]] = from->x[kept[i]];
    return true;
}

static bool make_ones(struct assay_specimen *to, const struct assay_specimen *from,
                      const size_t *kept, size_t n) {
    if (!assay_specimen_copy(to, from))
        return false;
    for (size_t i = 0; i < n; i++)
        to->x[kept[i]] = copysignf(1, from->x[kept[i]]);
    return true;
}

static size_t *nonzero_x(struct shrinker *sh, size_t *n) {
    size_t count = sh->now.m * sh->now.k;
    size_t *list = malloc((count + 1) * sizeof *list);

    *n = 0;
    sh->failed = sh->failed || list == NULL;
    for (size_t i = 0; list != NULL && i < count; i++)
        if (!(sh->now.x[i] == 0))
            list[(*n)++] = i;
    return list;
}

static void reduce_x(struct shrinker *sh) {
    size_t n;
    size_t *list = nonzero_x(sh, &n);

    if (list != NULL && n > 0 && !attempt(sh, &sh->now, keep_x, list, 0))
        reduce(sh, keep_x, list, n, 0);
    free(list);
    list = nonzero_x(sh, &n);
    if (list != NULL && n > 0)
        attempt(sh, &sh->now, make_ones, list, n);
    free(list);
}

/* ---- Fields ---- */

/* Element e of all fields of a type, counted through. */
static const struct assay_field *element_at(const struct assay_type_traits *t, size_t e,
                                            unsigned *element) {
    size_t n;
    const struct assay_field *fields = assay_fields(t, &n);

    for (size_t i = 0; i < n; e -= fields[i++].count)
        if (e < fields[i].count) {
            *element = (unsigned)e;
            return &fields[i];
        }
    return NULL;
}

static size_t elements_of(const struct assay_type_traits *t) {
    size_t n, elements = 0;
    const struct assay_field *fields = assay_fields(t, &n);

    for (size_t i = 0; i < n; i++)
        elements += fields[i].count;
    return elements;
}

/* The raw value nearest to the number 0. */
static uint32_t zero_of(const struct assay_field *f) {
    return f->format == ASSAY_FORMAT_UINT && f->bias < 1u << (f->bits < 8 ? f->bits : 8) ? f->bias
                                                                                         : 0;
}

static bool keep_elements(struct assay_specimen *to, const struct assay_specimen *from,
                          const size_t *kept, size_t n) {
    size_t elements = elements_of(from->type), blocks = from->k / from->type->block_len;
    size_t at = 0;

    if (!assay_specimen_copy(to, from))
        return false;
    for (size_t i = 0; i < from->n * blocks * elements; i++) {
        unsigned element = 0;
        const struct assay_field *f = element_at(from->type, i % elements, &element);
        if (at < n && kept[at] == i)
            at++;
        else
            assay_field_set(f,
                            assay_specimen_block(to, i / elements / blocks, i / elements % blocks),
                            element, zero_of(f));
    }
    for (size_t b = 0; b < from->n * blocks; b++)
        assay_fields_derive(from->type, assay_specimen_block(to, b / blocks, b % blocks));
    return true;
}

static void reduce_fields(struct shrinker *sh) {
    const struct assay_type_traits *t = sh->now.type;
    size_t blocks = sh->now.k / t->block_len;
    size_t elements = elements_of(t), n = 0;
    size_t *list = all_of(sh, sh->now.n * blocks * elements);

    for (size_t i = 0; list != NULL && i < sh->now.n * blocks * elements; i++) {
        unsigned element;
        const struct assay_field *f = element_at(t, i % elements, &element);
        const uint8_t *block =
            assay_specimen_block(&sh->now, i / elements / blocks, i / elements % blocks);
        if (f->kind != ASSAY_FIELD_DERIVED && assay_field_get(f, block, element) != zero_of(f))
            list[n++] = i;
    }
    if (list != NULL && n > 0 && !attempt(sh, &sh->now, keep_elements, list, 0))
        reduce(sh, keep_elements, list, n, 0);
    free(list);
}

bool assay_shrink(struct assay_shrunk *out, const struct assay_specimen *s,
                  enum assay_failure failure, unsigned calls, size_t row, size_t column,
                  double seconds) {
    struct shrinker sh = {.failure = failure, .calls = calls, .deadline = seconds_now() + seconds};

    *out = (struct assay_shrunk){.calls = calls};
    if (!assay_specimen_copy(&sh.now, s))
        goto no_memory;
    reduce_shape(&sh, keep_x_rows, sh.now.m, row);
    reduce_shape(&sh, keep_w_rows, sh.now.n, column);
    reduce_shape(&sh, keep_blocks, sh.now.k / s->type->block_len, 0);
    if (sh.failed || !assay_specimen_copy(&out->small, &sh.now))
        goto no_memory;
    reduce_x(&sh);
    reduce_fields(&sh);
    if (sh.failed)
        goto no_memory;
    out->in_time = !spent(&sh);
    out->attempts = sh.attempts;
    out->simple = sh.now;
    return true;
no_memory:
    assay_specimen_free(&sh.now);
    return false;
}

void assay_shrunk_free(struct assay_shrunk *s) {
    assay_specimen_free(&s->small);
    assay_specimen_free(&s->simple);
}
