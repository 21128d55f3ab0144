#include "check_kit.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "race.h"
#include "record.h"
#include "ref/bounds.h"

enum { POISON = 0x7fa55aa5 };

/* The reference in one arithmetic class. */
struct assay_oracle {
    struct assay_oracle *next;
    struct assay_arith arith;
    struct assay_ref_elem elems[];
};

uint32_t assay_check_float_bits(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

float assay_check_bits_float(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* ---- A run ---- */

struct assay_ctx *assay_check_context(struct assay_check_run *r, int threads) {
    const struct assay_runner *runner = r->env->runner;
    struct assay_ctx_params params = {runner->backend, runner->isa, threads, runner->variant};
    struct assay_ctx *ctx = NULL;
    struct assay_error err;

    if (r->finding == NULL && assay_ctx_create(&params, &ctx, &err) != ASSAY_OK)
        r->finding = assay_check_fail("no context of %d threads: %s", threads, err.message);
    return ctx;
}

bool assay_check_begin(struct assay_check_run *r, const struct assay_check_env *env) {
    *r = (struct assay_check_run){.env = env};
    r->ctx = assay_check_context(r, env->runner->threads);
    return r->ctx != NULL;
}

json_t *assay_check_end(struct assay_check_run *r) {
    assay_ctx_free(r->ctx);
    return r->finding != NULL ? r->finding : assay_check_pass(r->tested);
}

bool assay_check_unclaimed(const struct assay_check_env *env, unsigned claims, json_t **result) {
    if ((assay_backend_claims(env->runner->backend) & claims) == claims)
        return false;
    *result = assay_check_skip("not claimed");
    return true;
}

void assay_check_no_memory(struct assay_check_run *r) {
    if (r->finding == NULL)
        r->finding = assay_check_fail("out of memory for the check");
}

void assay_check_shape(struct assay_check_run *r, size_t m, size_t n, size_t k) {
    json_object_set_new(r->finding, "m", json_integer((json_int_t)m));
    json_object_set_new(r->finding, "n", json_integer((json_int_t)n));
    json_object_set_new(r->finding, "k", json_integer((json_int_t)k));
}

void assay_check_element(struct assay_check_run *r, size_t row, size_t column, const float *got,
                         const double *expected, const double *bound) {
    json_object_set_new(r->finding, "row", json_integer((json_int_t)row));
    json_object_set_new(r->finding, "column", json_integer((json_int_t)column));
    if (got != NULL)
        json_object_set_new(r->finding, "got", assay_json_real(*got));
    if (expected != NULL)
        json_object_set_new(r->finding, "expected", assay_json_real(*expected));
    if (bound != NULL)
        json_object_set_new(r->finding, "bound", assay_json_real(*bound));
}

/* ---- Operands ---- */

size_t assay_check_k(const struct assay_type_traits *t) {
    return t->block_len >= 256  ? 2 * (size_t)t->block_len
           : t->block_len == 64 ? 5 * (size_t)t->block_len
           : t->block_len >= 32 ? 9 * (size_t)t->block_len
                                : 67;
}

/* A variant may take fewer types and shapes than its backend, and says so only here. */
static bool refused(const struct assay_check_run *r, const struct assay_error *err) {
    return err->status == ASSAY_EUNSUPPORTED && *r->env->runner->variant != '\0';
}

size_t assay_check_rows(struct assay_check_run *r, const struct assay_type_traits *t, size_t n,
                        size_t k) {
    struct assay_store *store = NULL;
    struct assay_error err;
    size_t row_bytes;
    uint8_t *w;

    if (r->finding != NULL || *r->env->runner->variant == '\0' ||
        !assay_row_bytes(t, k, &row_bytes))
        return n;
    w = calloc(n, row_bytes);
    if (w == NULL) {
        assay_check_no_memory(r);
        return n;
    }
    if (assay_store_create(r->ctx, (uint32_t)t->type, w, n * row_bytes, n, k, &store, &err) !=
            ASSAY_OK &&
        refused(r, &err))
        n = (n + 31) / 32 * 32;
    assay_store_free(store);
    free(w);
    return n;
}

static bool same_kernel(const struct assay_check_run *r, size_t m) {
    const char *a = assay_ctx_kernel(r->ctx, r->env->type, m);
    const char *b = assay_ctx_kernel(r->ctx, r->env->type, m - 1);
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

size_t assay_check_paths(const struct assay_check_run *r, size_t limit, size_t *m) {
    size_t count = 0;

    for (size_t i = 1; i <= limit && count < ASSAY_CHECK_PATHS; i++) {
        bool tile_edge = i == 3 || i == 5 || i == 9;
        if (i == 1 || tile_edge || !same_kernel(r, i))
            m[count++] = i;
    }
    return count;
}

bool assay_operands_new(struct assay_operands *o, struct assay_check_run *r,
                        const struct assay_type_traits *t, size_t m, size_t n, size_t k,
                        uint64_t stream) {
    uint64_t seed = r->env->seed ^ stream * UINT64_C(0x9e3779b97f4a7c15);

    *o = (struct assay_operands){.type = t, .m = m, .n = n, .k = k};
    if (r->finding != NULL)
        return false;
    if (assay_row_bytes(t, k, &o->row_bytes)) {
        o->w = malloc(n * o->row_bytes);
        o->x = malloc(m * k * sizeof *o->x);
    }
    if (o->w == NULL || o->x == NULL) {
        assay_check_no_memory(r);
        return false;
    }
    assay_generate_weights(t, ASSAY_WGEN_UNIFORM, seed, n, k, o->w);
    assay_generate_acts(ASSAY_AGEN_NORMAL, seed + 1, m, k, o->x);
    return true;
}

void assay_operands_free(struct assay_operands *o) {
    while (o->oracles != NULL) {
        struct assay_oracle *next = o->oracles->next;
        free(o->oracles);
        o->oracles = next;
    }
    free(o->w);
    free(o->x);
    *o = (struct assay_operands){0};
}

const struct assay_ref_elem *assay_operands_reference(struct assay_operands *o,
                                                      struct assay_check_run *r, size_t batch,
                                                      struct assay_arith *arith) {
    struct assay_oracle *a;
    struct assay_error err;

    if (r->finding != NULL)
        return NULL;
    if (assay_ctx_arith(r->ctx, o->type, batch, arith, &err) != ASSAY_OK) {
        r->finding = assay_check_fail("no arithmetic class: %s", err.message);
        return NULL;
    }
    for (a = o->oracles; a != NULL; a = a->next)
        if (a->arith.weight == arith->weight && a->arith.act == arith->act &&
            a->arith.act_block == arith->act_block)
            return a->elems;
    a = malloc(sizeof *a + o->m * o->n * sizeof a->elems[0]);
    if (a == NULL ||
        assay_ref_gemm(o->type, o->w, o->row_bytes, o->n, o->k, o->x, o->m, arith, a->elems) != 0) {
        free(a);
        assay_check_no_memory(r);
        return NULL;
    }
    a->arith = *arith;
    a->next = o->oracles;
    o->oracles = a;
    return a->elems;
}

/* ---- Products ---- */

void assay_check_poison(float *y, size_t count) {
    const uint32_t poison = POISON;
    for (size_t i = 0; i < count; i++)
        memcpy(&y[i], &poison, sizeof poison);
}

bool assay_check_poisoned(float v) { return assay_check_float_bits(v) == POISON; }

bool assay_check_product(struct assay_check_run *r, struct assay_ctx *ctx,
                         const struct assay_product *p) {
    struct assay_store *store = NULL;
    struct assay_error err;
    size_t row_bytes = 0;
    unsigned races = assay_races_seen();
    bool ok;

    if (r->finding != NULL)
        return false;
    assay_row_bytes(p->type, p->k, &row_bytes);
    ok = assay_store_create(ctx, (uint32_t)p->type->type, p->w, p->n * row_bytes, p->n, p->k,
                            &store, &err) == ASSAY_OK &&
         gemm_quant(ctx, store, p->x, p->m, p->y, p->ldy, &err) == ASSAY_OK;
    assay_store_free(store);
    if (!ok && !refused(r, &err)) {
        r->finding = assay_check_fail("the product failed: %s", err.message);
        assay_check_shape(r, p->m, p->n, p->k);
    }
    if (r->finding == NULL && assay_races_seen() != races) {
        r->finding = assay_check_fail("a data race: ThreadSanitizer names both accesses on stderr");
        assay_check_shape(r, p->m, p->n, p->k);
        return false;
    }
    return ok;
}

struct assay_product assay_operands_window(const struct assay_operands *o, size_t i0, size_t m,
                                           size_t j0, size_t n, float *y) {
    return (struct assay_product){
        .type = o->type,
        .w = o->w + j0 * o->row_bytes,
        .x = o->x + i0 * o->k,
        .m = m,
        .n = n,
        .k = o->k,
        .y = y,
        .ldy = n,
    };
}

bool assay_check_acceptable(const struct assay_ref_elem *e, double bound, float got) {
    double excess;

    if (assay_check_poisoned(got))
        return false;
    if (e->mag == 0)
        return got == 0;
    return assay_within_bound(e, bound, got, &excess);
}

bool assay_check_bounds(struct assay_check_run *r, struct assay_operands *o, size_t i0, size_t j0,
                        const struct assay_product *p, const char *what) {
    struct assay_arith arith;
    const struct assay_ref_elem *ref = assay_operands_reference(o, r, p->m, &arith);

    if (ref == NULL)
        return false;
    for (size_t i = 0; i < p->m; i++)
        for (size_t j = 0; j < p->n; j++) {
            const struct assay_ref_elem *e = &ref[(i0 + i) * o->n + j0 + j];
            double bound = assay_bound(&arith, o->type, o->k, e);
            float got = p->y[i * p->ldy + j];

            if (assay_check_acceptable(e, bound, got))
                continue;
            r->finding = assay_check_fail(
                assay_check_poisoned(got) ? "%s: an element of y was not written"
                : e->mag == 0             ? "%s: an element that is exactly zero is not"
                : !isfinite(e->yq)        ? "%s: an infinity or NaN did not reach its output"
                                          : "%s: an element is beyond its bound",
                what);
            assay_check_shape(r, p->m, p->n, p->k);
            assay_check_element(r, i, j, &got, &e->yq, &bound);
            return false;
        }
    r->tested += p->m * p->n;
    return true;
}

bool assay_check_same(struct assay_check_run *r, const float *got, size_t ld_got,
                      const float *expected, size_t ld_expected, size_t rows, size_t cols,
                      size_t row0, size_t col0, const char *claim) {
    if (r->finding != NULL)
        return false;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) {
            float a = got[i * ld_got + j], b = expected[i * ld_expected + j];
            double value = b;

            if (assay_check_float_bits(a) == assay_check_float_bits(b) ||
                (isnan(a) && isnan(b) && !assay_check_poisoned(a)))
                continue;
            r->finding = assay_check_fail("%s", claim);
            assay_check_element(r, row0 + i, col0 + j, &a, &value, NULL);
            return false;
        }
    r->tested += rows * cols;
    return true;
}
