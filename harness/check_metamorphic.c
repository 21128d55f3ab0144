/* Relations between products that hold for every right kernel, whatever the reference says: a
 * second opinion that shares no decoder with the first. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check_kit.h"
#include "ref/bounds.h"

enum { LEAST_ROWS = 21 };

static bool claims(const struct assay_check_run *r, unsigned claim) {
    return (assay_backend_claims(r->env->runner->backend) & claim) == claim;
}

static bool product(struct assay_check_run *r, const struct assay_product *p) {
    assay_check_poison(p->y, p->m * p->ldy);
    return assay_check_product(r, r->ctx, p);
}

/* Buffers for one relation. */
struct work {
    struct assay_operands *o;
    size_t m;
    float *y, *other; /* m × n */
    float *x;         /* m × k */
    uint8_t *w;       /* n rows */
};

static void differs(struct assay_check_run *r, const struct work *t, size_t i, size_t j, float got,
                    double expected, const double *bound, const char *relation) {
    r->finding = assay_check_fail("%s", relation);
    assay_check_shape(r, t->m, t->o->n, t->o->k);
    assay_check_element(r, i, j, &got, &expected, bound);
}

/* y(f·x) = f·y(x), f a power of two or -1: every operation of every class commutes with it, as long
 * as nothing overflows or becomes subnormal. Zeros may change their sign. */
static void scaled(struct assay_check_run *r, const struct work *t, float factor,
                   const char *relation) {
    const size_t n = t->o->n;
    struct assay_product p = assay_operands_window(t->o, 0, t->m, 0, n, t->other);

    for (size_t i = 0; i < t->m * t->o->k; i++)
        t->x[i] = factor * t->o->x[i];
    p.x = t->x;
    if (!product(r, &p))
        return;
    for (size_t i = 0; i < t->m; i++)
        for (size_t j = 0; j < n; j++) {
            float got = t->other[i * n + j], expected = factor * t->y[i * n + j];
            if (got != expected || assay_check_poisoned(got)) {
                differs(r, t, i, j, got, expected, NULL, relation);
                return;
            }
        }
    r->tested += t->m * n;
}

/* Row i of W becomes row order(i, n): 5 has no divisor in common with 21 or a multiple of 32. */
static size_t order(size_t i, size_t n) { return (5 * i + 3) % n; }

static void permuted(struct assay_check_run *r, const struct work *t) {
    const size_t n = t->o->n;
    bool exact = claims(r, ASSAY_CLAIM_SLICE_INVARIANT | ASSAY_CLAIM_REPEATABLE);
    struct assay_product p = assay_operands_window(t->o, 0, t->m, 0, n, t->other);
    struct assay_arith arith;
    const struct assay_ref_elem *ref = assay_operands_reference(t->o, r, t->m, &arith);

    for (size_t i = 0; i < n; i++)
        memcpy(t->w + order(i, n) * t->o->row_bytes, t->o->w + i * t->o->row_bytes,
               t->o->row_bytes);
    p.w = t->w;
    if (ref == NULL || !product(r, &p))
        return;
    for (size_t i = 0; i < t->m; i++)
        for (size_t j = 0; j < n; j++) {
            float got = t->other[i * n + order(j, n)], expected = t->y[i * n + j];
            double bound =
                exact ? 0 : 2 * assay_bound(&arith, t->o->type, t->o->k, &ref[i * n + j]);
            if (!(fabs((double)got - expected) <= bound)) {
                differs(r, t, i, order(j, n), got, expected, &bound,
                        "other rows of W in other places give a row another result");
                return;
            }
        }
    r->tested += t->m * n;
}

static size_t lcm(size_t a, size_t b) {
    size_t x = a, y = b;
    while (y != 0) {
        size_t rest = x % y;
        x = y;
        y = rest;
    }
    return a / x * b;
}

/* Columns [k0, k0 + k) of W and x. */
static bool cut(struct assay_check_run *r, const struct assay_operands *o, size_t k0, size_t k,
                struct assay_operands *part) {
    size_t skip = k0 / o->type->block_len * o->type->block_bytes;

    if (!assay_operands_new(part, r, o->type, o->m, o->n, k, 0))
        return false;
    for (size_t j = 0; j < o->n; j++)
        memcpy(part->w + j * part->row_bytes, o->w + j * o->row_bytes + skip, part->row_bytes);
    for (size_t i = 0; i < o->m; i++)
        memcpy(part->x + i * k, o->x + i * o->k + k0, k * sizeof *part->x);
    return true;
}

/* y(k) = y(k1) + y(k2) within the sum of the three bounds, cut where blocks of W and of the
 * quantised activations both end; where a class scales whole rows of x, the parts may round small
 * elements less, as the references do. The first part may be the whole (nothing to cut). */
static void split(struct assay_check_run *r, const struct work *t) {
    const size_t n = t->o->n;
    struct assay_arith arith;
    const struct assay_ref_elem *ref = assay_operands_reference(t->o, r, t->m, &arith), *ref1,
                                *ref2;
    struct assay_operands head = {0}, tail = {0};
    size_t step = lcm(t->o->type->block_len, arith.act_block > 0 ? arith.act_block : 1);
    size_t k1 = t->o->k / step / 2 * step;
    struct assay_product p1, p2;

    if (ref == NULL || k1 == 0 || !cut(r, t->o, 0, k1, &head) ||
        !cut(r, t->o, k1, t->o->k - k1, &tail))
        goto out;
    ref1 = assay_operands_reference(&head, r, t->m, &arith);
    ref2 = assay_operands_reference(&tail, r, t->m, &arith);
    p1 = assay_operands_window(&head, 0, t->m, 0, n, t->other);
    p2 = assay_operands_window(&tail, 0, t->m, 0, n, t->x);
    if (ref1 == NULL || ref2 == NULL || !product(r, &p1) || !product(r, &p2))
        goto out;
    for (size_t i = 0; i < t->m; i++)
        for (size_t j = 0; j < n; j++) {
            size_t at = i * n + j;
            double sum = (double)p1.y[i * n + j] + p2.y[i * n + j];
            double bound = assay_bound(&arith, t->o->type, t->o->k, &ref[at]) +
                           assay_bound(&arith, t->o->type, k1, &ref1[at]) +
                           assay_bound(&arith, t->o->type, t->o->k - k1, &ref2[at]);
            if (arith.act == ASSAY_ACT_F16)
                bound += fabs(ref[at].yq - (ref1[at].yq + ref2[at].yq));
            if (!(fabs(t->y[i * n + j] - sum) <= bound)) {
                differs(r, t, i, j, t->y[i * n + j], sum, &bound,
                        "the products of two parts of k do not add up to that of the whole");
                goto out;
            }
        }
    r->tested += t->m * n;
out:
    assay_operands_free(&head);
    assay_operands_free(&tail);
}

static void relations(struct assay_check_run *r, struct work *t) {
    const size_t n = t->o->n;
    struct assay_product p = assay_operands_window(t->o, 0, t->m, 0, n, t->y);

    if (!product(r, &p))
        return;
    scaled(r, t, -1, "-x does not give -y");
    scaled(r, t, 0x1p-3f, "x/8 does not give y/8");
    scaled(r, t, 0x1p4f, "16·x does not give 16·y");
    permuted(r, t);
    split(r, t);
}

/* ---- Fused parts ---- */

/* Another type that the backend takes and whose blocks divide k; the same if there is none. */
static const struct assay_type_traits *partner(const struct assay_check_run *r, size_t k) {
    const struct assay_type_traits *own = r->env->type;
    size_t count = assay_type_count(), start = 0;

    while (assay_type_at(start) != own)
        start++;
    for (size_t i = 1; i < count; i++) {
        const struct assay_type_traits *t = assay_type_at((start + i) % count);
        if (assay_type_is_quantised(t) && k % t->block_len == 0 &&
            assay_backend_supports(r->env->runner->backend, t))
            return t;
    }
    return own;
}

enum { FUSED = 4 };

/* Parts of two types and one without rows, side by side, against each alone. */
static void fused(struct assay_check_run *r, size_t m) {
    size_t rows[FUSED] = {5, 0, 9, 3};
    size_t k = assay_check_k(r->env->type) / r->env->type->block_len * r->env->type->block_len;
    const struct assay_type_traits *other = partner(r, k);
    struct assay_operands o[FUSED] = {0};
    struct assay_part parts[FUSED];
    struct assay_linear *linear = NULL;
    struct assay_error err;
    size_t n = 0, column = 0;
    float *y = NULL, *alone = NULL;
    bool ok = true;

    for (size_t i = 0; i < FUSED && ok; i++) {
        const struct assay_type_traits *t = i % 2 ? other : r->env->type;
        if (rows[i] > 0)
            rows[i] = assay_check_rows(r, t, rows[i], k);
        ok = assay_operands_new(&o[i], r, t, m, rows[i] > 0 ? rows[i] : 1, k, 21 + i);
        parts[i] = (struct assay_part){(uint32_t)o[i].type->type, o[i].w, rows[i] * o[i].row_bytes,
                                       rows[i]};
        n += rows[i];
    }
    if (!ok)
        goto out;
    y = malloc(m * n * sizeof *y);
    alone = malloc(m * n * sizeof *alone);
    if (y == NULL || alone == NULL) {
        assay_check_no_memory(r);
        goto out;
    }
    assay_check_poison(y, m * n);
    if (assay_linear_create_fused(r->ctx, parts, FUSED, k, &linear, &err) != ASSAY_OK ||
        assay_linear_forward(r->ctx, linear, o[0].x, y, m, &err) != ASSAY_OK) {
        if (err.status != ASSAY_EUNSUPPORTED || *r->env->runner->variant == '\0')
            r->finding = assay_check_fail("fused parts failed: %s", err.message);
        goto out;
    }
    for (size_t i = 0; i < FUSED && ok; i++) {
        struct assay_product p = assay_operands_window(&o[i], 0, m, 0, rows[i], alone);
        p.x = o[0].x;
        if (rows[i] > 0 && product(r, &p)) {
            ok = assay_check_same(r, y + column, n, alone, rows[i], m, rows[i], 0, column,
                                  "a part of a fused projection gives other bits than alone");
            if (!ok)
                assay_check_shape(r, m, n, k);
        }
        column += rows[i];
    }
out:
    assay_linear_free(linear);
    for (size_t i = 0; i < FUSED; i++)
        assay_operands_free(&o[i]);
    free(y);
    free(alone);
}

static json_t *run_metamorphic(const struct assay_check_env *env) {
    size_t paths[ASSAY_CHECK_PATHS], limit = env->full ? 33 : 9, n_paths;
    size_t k = assay_check_k(env->type), n;
    struct assay_operands o = {0};
    struct assay_check_run r;
    struct work t = {.o = &o};

    /* Long enough that a cut falls on a block of 256 quantised activations. */
    if (env->type->block_len < 256)
        k += lcm(env->type->block_len, 256) * 2;
    if (!assay_check_begin(&r, env) || (n = assay_check_rows(&r, env->type, LEAST_ROWS, k)) == 0 ||
        !assay_operands_new(&o, &r, env->type, limit, n, k, 20))
        goto out;
    t.y = malloc(limit * n * sizeof *t.y);
    t.other = malloc(limit * n * sizeof *t.other);
    t.x = malloc(limit * (k > n ? k : n) * sizeof *t.x);
    t.w = malloc(n * o.row_bytes);
    if (t.y == NULL || t.other == NULL || t.x == NULL || t.w == NULL) {
        assay_check_no_memory(&r);
        goto out;
    }
    n_paths = assay_check_paths(&r, limit, paths);
    for (size_t i = 0; i < n_paths; i++) {
        t.m = paths[i];
        relations(&r, &t);
        if (r.finding == NULL && claims(&r, ASSAY_CLAIM_REPEATABLE))
            fused(&r, t.m);
    }
out:
    free(t.y);
    free(t.other);
    free(t.x);
    free(t.w);
    assay_operands_free(&o);
    return assay_check_end(&r);
}

const struct assay_check assay_check_metamorphic_row = {
    .name = "metamorphic",
    .summary = "scaling, negation, permuted rows, split k and fused parts agree with each other",
    .run = run_metamorphic,
};
