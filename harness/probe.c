#include "probe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ref/act_quant.h"
#include "ref/bounds.h"
#include "ref/half.h"

/* Floats before and behind the output, and between its rows. */
enum { FENCE = 64, GAP = 3 };

/* A multiple of every number of rows that repacked layouts interleave. */
enum { WHOLE_TILES = 32 };

/* ---- The kernels ---- */

/* Kernels for few rows of x end within this many. */
enum { KERNEL_SCAN = 64 };

size_t assay_probe_kernels(const struct assay_check_run *r, size_t limit, size_t *m) {
    size_t paths = assay_check_paths(r, KERNEL_SCAN, m), kernels = 0;

    for (size_t i = 0; i + 1 < paths; i++) {
        const char *a = assay_ctx_kernel(r->ctx, r->env->type, m[i]);
        const char *b = assay_ctx_kernel(r->ctx, r->env->type, m[i + 1]);
        if (a != NULL && b != NULL && strcmp(a, b) != 0)
            m[kernels++] = m[i];
    }
    m[kernels++] = limit;
    return kernels;
}

/* The kernels' classes; returns how many there are. */
static size_t classes_of(const struct assay_check_run *r, struct assay_arith *arith) {
    size_t m[ASSAY_CHECK_PATHS], kernels = assay_probe_kernels(r, KERNEL_SCAN, m), n = 0;
    struct assay_error err;

    for (size_t i = 0; i < kernels; i++)
        n += assay_ctx_arith(r->ctx, r->env->type, m[i], &arith[n], &err) == ASSAY_OK;
    return n;
}

enum assay_weight_arith assay_probe_weights(const struct assay_check_run *r) {
    struct assay_arith arith[ASSAY_CHECK_PATHS];

    for (size_t n = classes_of(r, arith); n > 0; n--)
        if (arith[n - 1].weight == ASSAY_WEIGHT_F16)
            return ASSAY_WEIGHT_F16;
    return ASSAY_WEIGHT_F32;
}

bool assay_probe_keeps_acts(const struct assay_check_run *r) {
    struct assay_arith arith[ASSAY_CHECK_PATHS];

    for (size_t n = classes_of(r, arith); n > 0; n--)
        if (arith[n - 1].act != ASSAY_ACT_F32)
            return false;
    return true;
}

/* ---- The matrix ---- */

bool assay_probe_matrix_new(struct assay_probe_matrix *w, struct assay_check_run *r, size_t n,
                            size_t k) {
    const struct assay_type_traits *t = r->env->type;

    *w = (struct assay_probe_matrix){.type = t, .n = n, .k = k};
    if (r->finding != NULL)
        return false;
    if (!assay_row_bytes(t, k, &w->row_bytes) || !assay_guard_alloc(&w->w, n * w->row_bytes)) {
        assay_check_no_memory(r);
        return false;
    }
    return true;
}

static bool create(struct assay_probe_matrix *w, struct assay_check_run *r,
                   struct assay_error *err) {
    return assay_store_create(r->ctx, (uint32_t)w->type->type, w->w.data, w->n * w->row_bytes, w->n,
                              w->k, &w->store, err) == ASSAY_OK;
}

bool assay_probe_matrix_seal(struct assay_probe_matrix *w, struct assay_check_run *r) {
    struct assay_error err;

    if (r->finding != NULL)
        return false;
    assay_guard_read_only(&w->w);
    if (create(w, r, &err))
        return true;
    /* A variant may take whole tiles of rows only, and fewer types; it says so only here. */
    if (err.status == ASSAY_EUNSUPPORTED && w->n >= WHOLE_TILES) {
        w->n -= w->n % WHOLE_TILES;
        if (create(w, r, &err))
            return true;
    }
    r->finding = err.status == ASSAY_EUNSUPPORTED
                     ? assay_check_skip(err.message)
                     : assay_check_fail("the store could not be created: %s", err.message);
    return false;
}

void assay_probe_matrix_free(struct assay_probe_matrix *w) {
    assay_store_free(w->store);
    assay_guard_free(&w->w);
    free(w->weight);
    free(w->mag);
    free(w->finite);
    free(w->expected);
    *w = (struct assay_probe_matrix){.type = NULL};
}

uint8_t *assay_probe_block(const struct assay_probe_matrix *w, size_t row, size_t block) {
    return (uint8_t *)w->w.data + row * w->row_bytes + block * w->type->block_bytes;
}

static void decode_row(struct assay_probe_matrix *w, size_t j) {
    const struct assay_type_traits *t = w->type;
    float *weight = w->weight + j * w->k, term[ASSAY_MAX_BLOCK_LEN];
    double *mag = w->mag + j * w->k;
    bool split = t->min_terms != NULL && w->as != ASSAY_WEIGHT_F16;

    assay_dequant_row(t, assay_probe_block(w, j, 0), w->k, weight);
    w->finite[j] = true;
    for (size_t i = 0; i < w->k; i++) {
        double b = 0;
        if (split && i % t->block_len == 0)
            t->min_terms(assay_probe_block(w, j, i / t->block_len), term);
        if (split)
            b = term[i % t->block_len];
        if (w->as == ASSAY_WEIGHT_F16)
            weight[i] = assay_ref_from_fp16(assay_ref_to_fp16(weight[i]));
        mag[i] = fabs((double)weight[i] - b) + fabs(b);
        w->finite[j] = w->finite[j] && isfinite(mag[i]);
    }
}

static bool decode(struct assay_probe_matrix *w, enum assay_weight_arith as) {
    if (w->decoded && w->as == as)
        return true;
    if (w->weight == NULL) {
        w->weight = malloc(w->n * w->k * sizeof *w->weight);
        w->mag = malloc(w->n * w->k * sizeof *w->mag);
        w->finite = malloc(w->n * sizeof *w->finite);
        if (w->weight == NULL || w->mag == NULL || w->finite == NULL)
            return false;
    }
    w->as = as;
    for (size_t j = 0; j < w->n; j++)
        decode_row(w, j);
    w->decoded = true;
    return true;
}

/* ---- The rows of x ---- */

bool assay_probe_rows_new(struct assay_probe_rows *x, struct assay_check_run *r, size_t count,
                          size_t k) {
    *x = (struct assay_probe_rows){.count = count, .k = k};
    if (r->finding != NULL)
        return false;
    if (!assay_guard_alloc(&x->x, count * k * sizeof(float))) {
        assay_check_no_memory(r);
        return false;
    }
    return true;
}

void assay_probe_rows_free(struct assay_probe_rows *x) {
    assay_guard_free(&x->x);
    free(x->start);
    free(x->entry);
    *x = (struct assay_probe_rows){.count = 0};
}

static bool same_rounding(const struct assay_arith *a, const struct assay_arith *b) {
    return a->act == b->act && a->act_block == b->act_block;
}

static bool index_rows(struct assay_probe_rows *x, const struct assay_arith *arith) {
    double *xq;
    size_t used = 0, nonzero = 0;

    if (x->indexed && same_rounding(&x->arith, arith))
        return true;
    for (size_t i = 0; i < x->count * x->k; i++)
        nonzero += ((const float *)x->x.data)[i] != 0;
    free(x->start);
    free(x->entry);
    x->start = malloc((x->count + 1) * sizeof *x->start);
    x->entry = malloc((nonzero + 1) * sizeof *x->entry);
    xq = malloc(x->k * sizeof *xq);
    x->indexed = x->start != NULL && x->entry != NULL && xq != NULL;
    for (size_t i = 0; x->indexed && i < x->count; i++) {
        assay_act_emulate(arith, assay_probe_row(x, i), x->k, xq);
        x->start[i] = used;
        for (size_t at = 0; at < x->k; at++)
            if (xq[at] != 0)
                x->entry[used++] = (struct assay_probe_entry){(uint32_t)at, xq[at]};
    }
    if (x->indexed)
        x->start[x->count] = used;
    x->arith = *arith;
    free(xq);
    assay_guard_read_only(&x->x);
    return x->indexed;
}

/* ---- Products ---- */

/* Classes that multiply an offset with a sum of activations which is rounded on its own: here the
 * reference product itself has to say what is right. */
static bool rounds_sums(const struct assay_type_traits *t, const struct assay_arith *a) {
    return t->min_terms != NULL && a->act == ASSAY_ACT_Q8_F16 && a->act_block == t->block_len;
}

static double largest_weight(const float *w, size_t k) {
    double most = 0;

    for (size_t i = 0; i < k; i++)
        most = fmax(most, fabs((double)w[i]));
    return most;
}

/* The products of fp32 weights and x̂ of at most 32 bits round in fp64, and so does their sum: a
 * relative error of the magnitude sum below (entries + 1)·2^-53, of which the reference slack in
 * assay_bound, 2^-24, has room for any number that a row has. */
static struct assay_ref_elem sum_entries(const struct assay_probe_matrix *w,
                                         const struct assay_probe_rows *x, size_t i, size_t j) {
    const struct assay_probe_entry *e = x->entry + x->start[i], *end = x->entry + x->start[i + 1];
    const float *weight = w->weight + j * w->k;
    const double *mag = w->mag + j * w->k;
    struct assay_ref_elem sum = {.y = 0};

    for (; e < end; e++) {
        sum.yq += (double)weight[e->at] * e->x;
        sum.mag += mag[e->at] * fabs(e->x);
        sum.xabs += fabs(e->x);
    }
    if (w->as >= ASSAY_WEIGHT_SHIFTED)
        sum.coarse = largest_weight(weight, w->k) * sum.xabs;
    if (!w->finite[j])
        sum.yq = NAN; /* 0 · inf where x is 0, if not elsewhere */
    return sum;
}

static bool expect(struct assay_probe_matrix *w, const struct assay_probe_rows *x,
                   const struct assay_arith *arith) {
    if (w->expected != NULL && w->x == x && w->arith.weight == arith->weight &&
        same_rounding(&w->arith, arith))
        return true;
    free(w->expected);
    w->expected = malloc(x->count * w->n * sizeof *w->expected);
    w->x = x;
    w->arith = *arith;
    if (w->expected == NULL)
        return false;
    if (rounds_sums(w->type, arith))
        return assay_ref_gemm(w->type, w->w.data, w->row_bytes, w->n, w->k, x->x.data, x->count,
                              arith, w->expected) == 0;
    for (size_t j = 0; j < w->n; j++)
        for (size_t i = 0; i < x->count; i++)
            w->expected[i * w->n + j] = sum_entries(w, x, i, j);
    return true;
}

/* Sums of leaves that are exactly zero are exact, so only leaves that hold a non-zero product
 * count, at most one for each non-zero x̂ (ref/bounds.c). */
double assay_probe_bound(const struct assay_probe_product *p, size_t i,
                         const struct assay_ref_elem *e) {
    size_t row = p->i0 + i, nonzero = p->x->start[row + 1] - p->x->start[row];
    size_t leaves = nonzero > 0 ? nonzero : 1;
    size_t k = leaves < p->w->k / p->arith.exact_run ? leaves * p->arith.exact_run : p->w->k;

    if (p->x->exact)
        return 0;
    return assay_bound(&p->arith, p->w->type, k, e);
}

static bool product_new(struct assay_probe_product *p, struct assay_check_run *r,
                        struct assay_probe_matrix *w, struct assay_probe_rows *x, size_t m) {
    struct assay_error err;

    *p = (struct assay_probe_product){.w = w, .x = x, .m = m, .ldy = w->n + GAP};
    if (assay_ctx_arith(r->ctx, w->type, m, &p->arith, &err) != ASSAY_OK) {
        r->finding = assay_check_fail("no arithmetic class: %s", err.message);
        return false;
    }
    p->base = malloc((2 * FENCE + m * p->ldy) * sizeof *p->base);
    if (p->base == NULL || !decode(w, p->arith.weight) || !index_rows(x, &p->arith) ||
        !expect(w, x, &p->arith)) {
        assay_check_no_memory(r);
        return false;
    }
    p->y = p->base + FENCE;
    return true;
}

static void product_free(struct assay_probe_product *p) { free(p->base); }

static bool multiply(struct assay_probe_product *p, struct assay_check_run *r) {
    const float *x = assay_probe_row(p->x, p->i0);
    struct assay_error err;

    assay_check_poison(p->base, 2 * FENCE + p->m * p->ldy);
    if (gemm_quant(r->ctx, p->w->store, x, p->m, p->y, p->ldy, &err) != ASSAY_OK) {
        r->finding = assay_check_fail("the product failed: %s", err.message);
        assay_check_shape(r, p->m, p->w->n, p->w->k);
        return false;
    }
    return true;
}

static bool untouched(const float *v, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!assay_check_poisoned(v[i]))
            return false;
    return true;
}

static bool check_fences(const struct assay_probe_product *p, struct assay_check_run *r) {
    bool ok = untouched(p->base, FENCE) && untouched(p->y + p->m * p->ldy, FENCE);

    for (size_t i = 0; ok && i < p->m; i++)
        ok = untouched(p->y + i * p->ldy + p->w->n, GAP);
    if (!ok) {
        r->finding = assay_check_fail("a write outside the output");
        assay_check_shape(r, p->m, p->w->n, p->w->k);
    }
    return ok;
}

/* Where the weights are not finite, a NaN or infinity is due from those who claim to propagate
 * them; others have promised nothing. */
static bool acceptable(const struct assay_check_run *r, const struct assay_ref_elem *e,
                       double bound, float got) {
    double excess;

    if (assay_check_poisoned(got))
        return false;
    if (!isfinite(e->yq) &&
        !(assay_backend_claims(r->env->runner->backend) & ASSAY_CLAIM_IEEE_SPECIALS))
        return true;
    return assay_within_bound(e, bound, got, &excess);
}

static bool judge(const struct assay_probe_product *p, struct assay_check_run *r,
                  assay_probe_explain_fn explain, void *user) {
    for (size_t j = 0; j < p->w->n; j++)
        for (size_t i = 0; i < p->m; i++) {
            const struct assay_ref_elem *e = assay_probe_expect(p, i, j);
            double bound = assay_probe_bound(p, i, e);
            float got = p->y[i * p->ldy + j];
            struct assay_probe_miss miss = {i, j, got, e->yq, bound};

            if (acceptable(r, e, bound, got))
                continue;
            r->finding = assay_check_poisoned(got)
                             ? assay_check_fail("an element of y was not written")
                             : explain(p, &miss, user);
            assay_check_shape(r, p->m, p->w->n, p->w->k);
            assay_check_element(r, i, j, &got, &e->yq, &bound);
            return false;
        }
    r->tested += p->m * p->w->n;
    return true;
}

bool assay_probe_run(struct assay_check_run *r, struct assay_probe_matrix *w,
                     struct assay_probe_rows *x, size_t m, assay_probe_explain_fn explain,
                     void *user) {
    struct assay_probe_product p = {.w = NULL};

    if (r->finding != NULL)
        return false;
    m = m < x->count ? m : x->count;
    if (product_new(&p, r, w, x, m))
        for (size_t i0 = 0; i0 < x->count; i0 += m) {
            p.i0 = i0 + m <= x->count ? i0 : x->count - m;
            if (!multiply(&p, r) || !judge(&p, r, explain, user) || !check_fences(&p, r))
                break;
        }
    product_free(&p);
    return r->finding == NULL;
}
