/* Determinism, one check for each claim: the same bits on repeat, with other thread counts, in
 * other batches, and for any slice of W at any address. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "check_kit.h"

enum {
    LEAST_ROWS = 37, /* of W: several tiles and a remainder */
    BATCH = 17,      /* rows of x */
    FULL_BATCH = 67,
    ALIGNMENTS = 64,
};

static size_t batch_limit(const struct assay_check_env *env) {
    return env->full ? FULL_BATCH : BATCH;
}

static float *new_output(struct assay_check_run *r, size_t m, size_t n) {
    float *y = malloc((m * n + 1) * sizeof *y);
    if (y == NULL)
        assay_check_no_memory(r);
    return y;
}

/* Poisons y and multiplies. */
static bool product(struct assay_check_run *r, struct assay_ctx *ctx,
                    const struct assay_product *p) {
    assay_check_poison(p->y, p->m * p->ldy);
    return assay_check_product(r, ctx, p);
}

/* The finding, if there is one, gets the shape of the product that differed. */
static bool same(struct assay_check_run *r, const struct assay_product *p, const float *expected,
                 size_t ld_expected, const char *claim) {
    if (assay_check_same(r, p->y, p->ldy, expected, ld_expected, p->m, p->n, 0, 0, claim))
        return true;
    assay_check_shape(r, p->m, p->n, p->k);
    return false;
}

/* ---- repeat ---- */

#ifdef __GLIBC__
/* Not memset: a compiler drops that where free follows. */
static void fill_bytes(volatile char *p, int byte, size_t n) {
    for (size_t i = 0; i < n; i++)
        p[i] = (char)byte;
}
#endif

/* Makes what malloc hands out hold bytes of a pattern; 0 for the ordinary heap. Small blocks come
 * from a list of up to seven for each size, which M_PERTURB does not reach: those are dirtied. */
static void fill_heap(int pattern) {
#ifdef __GLIBC__
    enum { KEPT = 7, STEP = 16, LARGEST_KEPT = 1032 };
    void *blocks[KEPT];

    mallopt(M_PERTURB, pattern);
    for (size_t size = STEP + 8; pattern != 0 && size <= LARGEST_KEPT; size += STEP) {
        for (int i = 0; i < KEPT; i++)
            if ((blocks[i] = malloc(size)) != NULL)
                fill_bytes(blocks[i], pattern, size);
        for (int i = 0; i < KEPT; i++)
            free(blocks[i]);
    }
#else
    (void)pattern;
#endif
}

/* A product that leaves other values in every workspace: a larger batch of large, infinite and NaN
 * activations. */
static void disturb(struct assay_check_run *r, const struct assay_operands *o, float *scratch) {
    size_t m = o->m;
    float *x = malloc(m * o->k * sizeof *x);
    struct assay_product p = assay_operands_window(o, 0, m, 0, o->n, scratch);

    if (x == NULL) {
        assay_check_no_memory(r);
        return;
    }
    for (size_t i = 0; i < m * o->k; i++)
        x[i] = i % 11 == 0 ? NAN : i % 7 == 0 ? INFINITY : 1e4f * o->x[i];
    p.x = x;
    product(r, r->ctx, &p);
    free(x);
}

/* Copies of W and x with `slack` bytes of one value before and behind each: what a kernel reads
 * there, it must not use. */
struct embedded {
    uint8_t *w_base, *x_base;
    struct assay_product p;
};

enum { SLACK = 512 };

static bool embed(struct embedded *e, const struct assay_product *p, size_t row_bytes,
                  uint8_t fill) {
    size_t w_size = p->n * row_bytes, x_size = p->m * p->k * sizeof *p->x;

    e->p = *p;
    e->w_base = malloc(w_size + 2 * SLACK);
    e->x_base = malloc(x_size + 2 * SLACK);
    if (e->w_base == NULL || e->x_base == NULL)
        return false;
    memset(e->w_base, fill, w_size + 2 * SLACK);
    memset(e->x_base, fill, x_size + 2 * SLACK);
    memcpy(e->w_base + SLACK, p->w, w_size);
    memcpy(e->x_base + SLACK, p->x, x_size);
    e->p.w = e->w_base + SLACK;
    e->p.x = (const float *)(const void *)(e->x_base + SLACK);
    return true;
}

/* In a new context, with the heap and the bytes around the inputs filled with one pattern. Every
 * fourth byte 0x7f or 0xff makes floats of huge value or NaN of what lies there. */
static bool fresh_run(struct assay_check_run *r, const struct assay_product *p, size_t row_bytes,
                      uint8_t fill, const float *expected) {
    struct embedded e = {0};
    struct assay_ctx *ctx;
    bool ok = false;

    fill_heap(fill);
    ctx = assay_check_context(r, r->env->runner->threads);
    if (!embed(&e, p, row_bytes, fill))
        assay_check_no_memory(r);
    else if (ctx != NULL && product(r, ctx, &e.p))
        ok =
            same(r, &e.p, expected, p->ldy,
                 "the result depends on memory that is no part of the operands: other bytes around "
                 "them and in fresh allocations give other bits");
    assay_ctx_free(ctx);
    fill_heap(0);
    free(e.w_base);
    free(e.x_base);
    return ok;
}

static json_t *run_repeat(const struct assay_check_env *env) {
    static const uint8_t fills[] = {0x00, 0xff, 0x7f, 0x3c};
    size_t paths[ASSAY_CHECK_PATHS], limit = batch_limit(env), k = assay_check_k(env->type), n;
    struct assay_operands o = {0};
    struct assay_check_run r;
    float *first = NULL, *again = NULL, *scratch = NULL;
    json_t *skip;

    if (assay_check_unclaimed(env, ASSAY_CLAIM_REPEATABLE, &skip))
        return skip;
    if (assay_check_begin(&r, env) && (n = assay_check_rows(&r, env->type, LEAST_ROWS, k)) > 0 &&
        assay_operands_new(&o, &r, env->type, limit, n, k, 11) &&
        (first = new_output(&r, limit, n)) != NULL && (again = new_output(&r, limit, n)) != NULL &&
        (scratch = new_output(&r, limit, n)) != NULL) {
        size_t n_paths = assay_check_paths(&r, limit, paths);
        for (size_t i = 0; i < n_paths; i++) {
            struct assay_product p = assay_operands_window(&o, 0, paths[i], 0, n, first);
            if (!product(&r, r.ctx, &p))
                continue;
            p.y = again;
            if (product(&r, r.ctx, &p))
                same(&r, &p, first, n, "the same call again gives other bits");
            disturb(&r, &o, scratch);
            if (product(&r, r.ctx, &p))
                same(&r, &p, first, n,
                     "the same call after one on other data gives other bits: stale workspace");
            for (size_t f = 0; f < sizeof fills; f++)
                fresh_run(&r, &p, o.row_bytes, fills[f], first);
        }
    }
    free(first);
    free(again);
    free(scratch);
    assay_operands_free(&o);
    return assay_check_end(&r);
}

/* ---- threads ---- */

static json_t *run_threads(const struct assay_check_env *env) {
    enum { MOST_THREADS = 4 };
    const int repeats = env->full ? 20 : 1; /* a race need not show at once */
    size_t paths[ASSAY_CHECK_PATHS], limit = batch_limit(env), k = assay_check_k(env->type),
                                     n_paths, n;
    struct assay_operands o = {0};
    struct assay_check_run r;
    float *expected = NULL, *y = NULL;
    json_t *skip;

    if (assay_check_unclaimed(env, ASSAY_CLAIM_THREAD_INVARIANT, &skip))
        return skip;
    if (!assay_check_begin(&r, env) || (n = assay_check_rows(&r, env->type, LEAST_ROWS, k)) == 0 ||
        !assay_operands_new(&o, &r, env->type, limit, n, k, 12) ||
        (expected = new_output(&r, ASSAY_CHECK_PATHS * limit, n)) == NULL ||
        (y = new_output(&r, limit, n)) == NULL)
        goto out;
    n_paths = assay_check_paths(&r, limit, paths);
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        struct assay_ctx *ctx = assay_check_context(&r, threads);
        /* More threads than cores are slow to start: one batch size shows what they do. */
        size_t start = threads > 2 && !env->full ? n_paths - 1 : 0;
        for (size_t i = start; i < n_paths && ctx != NULL; i++) {
            float *one = expected + i * limit * n;
            struct assay_product p =
                assay_operands_window(&o, 0, paths[i], 0, n, threads == 1 ? one : y);
            for (int repeat = 0; repeat < (threads == 1 ? 1 : repeats); repeat++)
                if (product(&r, ctx, &p) && threads > 1 &&
                    !same(&r, &p, one, n, "another number of threads gives other bits"))
                    json_object_set_new(r.finding, "threads", json_integer(threads));
        }
        assay_ctx_free(ctx);
    }
out:
    free(expected);
    free(y);
    assay_operands_free(&o);
    return assay_check_end(&r);
}

/* ---- batch ---- */

/* Row `keep` as it is, all others changed. */
static void other_rows(const struct assay_operands *o, size_t m, size_t keep, float *x) {
    for (size_t i = 0; i < m; i++)
        for (size_t k = 0; k < o->k; k++)
            x[i * o->k + k] = o->x[i * o->k + k] * (i == keep ? 1.0f : -300.0f);
}

static void batches(struct assay_check_run *r, const struct assay_operands *o, float *alone,
                    float *y, float *x) {
    const char *const claim = "a row of y depends on the size of the batch";

    for (size_t i = 0; i < o->m; i++) {
        struct assay_product p = assay_operands_window(o, i, 1, 0, o->n, alone + i * o->n);
        product(r, r->ctx, &p);
    }
    for (size_t m = 2; m <= o->m; m++) {
        struct assay_product p = assay_operands_window(o, 0, m, 0, o->n, y);
        if (!product(r, r->ctx, &p) || !same(r, &p, alone, o->n, claim))
            continue;
        for (size_t turn = 0; turn < 2; turn++) {
            size_t keep = turn == 0 ? 0 : m - 1;
            other_rows(o, m, keep, x);
            p.x = x;
            if (product(r, r->ctx, &p) &&
                !assay_check_same(r, y + keep * o->n, o->n, alone + keep * o->n, o->n, 1, o->n,
                                  keep, 0, "a row of y depends on other rows of x"))
                assay_check_shape(r, m, o->n, o->k);
        }
    }
}

static json_t *run_batch(const struct assay_check_env *env) {
    size_t limit = batch_limit(env);
    struct assay_operands o = {0};
    struct assay_check_run r;
    float *alone = NULL, *y = NULL, *x = NULL;
    json_t *skip;

    if (assay_check_unclaimed(env, ASSAY_CLAIM_BATCH_INVARIANT, &skip))
        return skip;
    if (assay_check_begin(&r, env) &&
        assay_operands_new(&o, &r, env->type, limit, 9, assay_check_k(env->type), 13) &&
        (alone = new_output(&r, limit, o.n)) != NULL && (y = new_output(&r, limit, o.n)) != NULL &&
        (x = new_output(&r, limit, o.k)) != NULL)
        batches(&r, &o, alone, y, x);
    free(alone);
    free(y);
    free(x);
    assay_operands_free(&o);
    return assay_check_end(&r);
}

/* ---- slice ---- */

static void slices(struct assay_check_run *r, const struct assay_operands *o, size_t m,
                   const float *whole, float *y) {
    static const size_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33};

    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t n = sizes[s];
        const size_t starts[] = {0, 1, o->n - n};
        for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
            struct assay_product p = assay_operands_window(o, 0, m, starts[i], n, y);
            if (product(r, r->ctx, &p) &&
                !assay_check_same(r, y, n, whole + starts[i], o->n, m, n, 0, starts[i],
                                  "a slice of rows of W gives other bits than the whole"))
                assay_check_shape(r, m, n, o->k);
        }
    }
}

/* A buffer whose 64-byte-aligned address is `at`. */
struct aligned {
    char *base, *at;
};

static struct aligned aligned_new(struct assay_check_run *r, size_t size) {
    struct aligned a = {malloc(size + 2 * ALIGNMENTS), NULL};
    if (a.base == NULL)
        assay_check_no_memory(r);
    else
        a.at = a.base + (ALIGNMENTS - (uintptr_t)a.base % ALIGNMENTS) % ALIGNMENTS;
    return a;
}

/* Every byte for W and every float for x and y; all three move, at different steps. */
static void alignments(struct assay_check_run *r, const struct assay_operands *o, size_t m,
                       const float *whole) {
    enum { N = 9, FLOATS = ALIGNMENTS / sizeof(float) };
    struct aligned w = aligned_new(r, N * o->row_bytes);
    struct aligned x = aligned_new(r, m * o->k * sizeof(float));
    struct aligned y = aligned_new(r, m * N * sizeof(float));

    for (size_t a = 0;
         a < ALIGNMENTS && w.at != NULL && x.at != NULL && y.at != NULL && r->finding == NULL;
         a++) {
        size_t x_at = a % FLOATS, y_at = (a / FLOATS + 5 * a) % FLOATS;
        struct assay_product p =
            assay_operands_window(o, 0, m, 0, N, (float *)(void *)(y.at + y_at * sizeof(float)));
        memcpy(w.at + a, o->w, N * o->row_bytes);
        memcpy(x.at + x_at * sizeof(float), o->x, m * o->k * sizeof(float));
        p.w = (const uint8_t *)w.at + a;
        p.x = (const float *)(const void *)(x.at + x_at * sizeof(float));
        if (product(r, r->ctx, &p) &&
            !same(r, &p, whole, o->n, "the bits depend on the alignment of the operands"))
            json_object_set_new(
                r->finding, "alignment",
                json_pack("{si si si}", "w", (int)a, "x", (int)(x_at * 4), "y", (int)(y_at * 4)));
    }
    free(w.base);
    free(x.base);
    free(y.base);
}

static json_t *run_slice(const struct assay_check_env *env) {
    size_t paths[ASSAY_CHECK_PATHS], limit = batch_limit(env), k = assay_check_k(env->type),
                                     n_paths, n;
    struct assay_operands o = {0};
    struct assay_check_run r;
    float *whole = NULL, *y = NULL;
    json_t *skip;

    if (assay_check_unclaimed(env, ASSAY_CLAIM_SLICE_INVARIANT, &skip))
        return skip;
    if (assay_check_begin(&r, env) && (n = assay_check_rows(&r, env->type, LEAST_ROWS, k)) > 0 &&
        assay_operands_new(&o, &r, env->type, limit, n, k, 14) &&
        (whole = new_output(&r, limit, n)) != NULL && (y = new_output(&r, limit, n)) != NULL) {
        n_paths = assay_check_paths(&r, limit, paths);
        for (size_t i = 0; i < n_paths; i++) {
            struct assay_product p = assay_operands_window(&o, 0, paths[i], 0, n, whole);
            if (product(&r, r.ctx, &p)) {
                slices(&r, &o, paths[i], whole, y);
                alignments(&r, &o, paths[i], whole);
            }
        }
    }
    free(whole);
    free(y);
    assay_operands_free(&o);
    return assay_check_end(&r);
}

/* ---- Rows of the table of checks ---- */

const struct assay_check assay_check_repeat_row = {
    .name = "repeat",
    .summary = "the same bits on repeat, whatever ran before and whatever lies in memory around",
    .claims = ASSAY_CLAIM_REPEATABLE,
    .run = run_repeat,
};

const struct assay_check assay_check_threads_row = {
    .name = "threads",
    .summary = "the same bits with 1 to 4 threads",
    .claims = ASSAY_CLAIM_THREAD_INVARIANT,
    .run = run_threads,
};

const struct assay_check assay_check_batch_row = {
    .name = "batch",
    .summary = "a row of y depends on its row of x alone, in every batch",
    .claims = ASSAY_CLAIM_BATCH_INVARIANT,
    .run = run_batch,
};

const struct assay_check assay_check_slice_row = {
    .name = "slice",
    .summary = "a slice of rows of W gives the bits of the whole, at every alignment",
    .claims = ASSAY_CLAIM_SLICE_INVARIANT,
    .run = run_slice,
};
