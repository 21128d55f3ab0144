#include "gates.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/rng.h"
#include "harness/isolate.h"
#include "ref/gemm.h"

enum { ALL_GATES = (1 << ASSAY_GATES) - 1 };

const char *assay_gate_name(enum assay_gate g) {
    static const char *const names[] = {
        [ASSAY_GATE_NMSE] = "NMSE",       [ASSAY_GATE_DOT] = "dot",
        [ASSAY_GATE_NEAR] = "near",       [ASSAY_GATE_MAX_ABS] = "max abs",
        [ASSAY_GATE_COSINE] = "cosine",
    };
    return names[g];
}

const char *assay_gate_rule(enum assay_gate g) {
    static const char *const rules[] = {
        [ASSAY_GATE_NMSE] =
            "sum of squared errors over sum of squares <= 5e-4 for each product; NaN, or infinity "
            "on one side only, fails. ggml, tests/test-backend-ops.cpp: nmse, max_nmse_err of "
            "test_mul_mat. Uniform [-1,1] data, 16 rows of W, 1 to 9 rows of x, k = 256, and 1, 8 "
            "and 16 rows of x at k = 1024, as there",
        [ASSAY_GATE_DOT] =
            "|error|/k < 0.02 (0.03, 0.04, 0.15, 0.4 for types of few bits) against the product of "
            "the unquantised vectors. ggml, tests/test-quantize-fns.cpp: dot_product_error, "
            "MAX_DOT_PRODUCT_ERROR*. k = 4096, data 0.1 + 2 cos(i + offset), as there, with other "
            "offsets for further outputs",
        [ASSAY_GATE_NEAR] =
            "|error| <= 2 (k eps P + eps), eps = 2^-23, P the largest product, against the product "
            "of the quantised activations. XNNPACK, test/gemm-microkernel-tester.cc: "
            "compute_sum_tolerance, dynamic_quantization_ops. Data and shapes of the NMSE gate",
        [ASSAY_GATE_MAX_ABS] = "|error| <= 0.1. Data and shapes of the NMSE gate",
        [ASSAY_GATE_COSINE] =
            "cosine of result and reference >= 0.99 for each product. Data and shapes of the NMSE "
            "gate",
    };
    return rules[g];
}

/* ---- One product ---- */

struct trial {
    struct assay_ctx *ctx;
    const struct assay_type_traits *t;
    size_t m, n, k, row_bytes;
    float *w_float, *x, *y;
    uint8_t *w;
    struct assay_arith arith;
    struct assay_ref_elem *ref;
};

static void trial_free(struct trial *p) {
    free(p->w_float);
    free(p->x);
    free(p->y);
    free(p->w);
    free(p->ref);
}

static bool trial_new(struct trial *p, struct assay_ctx *ctx, const struct assay_type_traits *t,
                      size_t m, size_t n, size_t k) {
    *p = (struct trial){.ctx = ctx, .t = t, .m = m, .n = n, .k = k};
    if (!assay_row_bytes(t, k, &p->row_bytes))
        return false;
    p->w_float = malloc(n * k * sizeof *p->w_float);
    p->x = malloc(m * k * sizeof *p->x);
    p->y = malloc(m * n * sizeof *p->y);
    p->w = malloc(n * p->row_bytes);
    p->ref = malloc(m * n * sizeof *p->ref);
    return p->w_float && p->x && p->y && p->w && p->ref;
}

/* Quantises the weights and multiplies. False if the kernel reports an error. */
static bool trial_run(struct trial *p) {
    struct assay_store *store = NULL;
    bool ok;

    for (size_t j = 0; j < p->n; j++)
        assay_quantise_row(p->t, p->w_float + j * p->k, p->k, p->w + j * p->row_bytes);
    ok = assay_store_create(p->ctx, (uint32_t)p->t->type, p->w, p->n * p->row_bytes, p->n, p->k,
                            &store, NULL) == ASSAY_OK &&
         assay_ctx_arith(p->ctx, p->t, p->m, &p->arith, NULL) == ASSAY_OK &&
         gemm_quant(p->ctx, store, p->x, p->m, p->y, p->n, NULL) == ASSAY_OK;
    assay_store_free(store);
    return ok;
}

static void fill_uniform(float *v, size_t n, struct assay_rng *rng) {
    for (size_t i = 0; i < n; i++)
        v[i] = (float)(2 * assay_rng_unit(rng) - 1);
}

/* ---- The rules ---- */

static bool is_inf_or_max(double v) { return fabs(v) >= FLT_MAX; }

static bool rejects_nmse(const struct trial *p) {
    double error = 0, square = 0;

    for (size_t i = 0; i < p->m * p->n; i++) {
        double got = p->y[i], expected = p->ref[i].y;
        if (isnan(got) || is_inf_or_max(got) != is_inf_or_max(expected))
            return true;
        error += (got - expected) * (got - expected);
        square += expected * expected;
    }
    return error / square > 5e-4;
}

static bool rejects_near(const struct trial *p) {
    double largest_x = 0, largest_w = 0, tolerance;
    float decoded[ASSAY_MAX_BLOCK_LEN];

    for (size_t i = 0; i < p->m * p->k; i++)
        largest_x = fmax(largest_x, fabs(p->x[i]));
    for (size_t at = 0; at < p->n * p->row_bytes; at += p->t->block_bytes) {
        p->t->dequant(p->w + at, decoded);
        for (size_t k = 0; k < p->t->block_len; k++)
            largest_w = fmax(largest_w, fabs(decoded[k]));
    }
    tolerance = 2 * ((double)p->k * FLT_EPSILON * largest_x * largest_w + FLT_EPSILON);
    for (size_t i = 0; i < p->m * p->n; i++)
        if (!(fabs(p->y[i] - p->ref[i].yq) <= tolerance))
            return true;
    return false;
}

static bool rejects_max_abs(const struct trial *p) {
    for (size_t i = 0; i < p->m * p->n; i++)
        if (!(fabs(p->y[i] - p->ref[i].y) <= 0.1))
            return true;
    return false;
}

static bool rejects_cosine(const struct trial *p) {
    double dot = 0, got = 0, expected = 0;

    for (size_t i = 0; i < p->m * p->n; i++) {
        dot += p->y[i] * p->ref[i].y;
        got += (double)p->y[i] * p->y[i];
        expected += p->ref[i].y * p->ref[i].y;
    }
    return !(dot >= 0.99 * sqrt(got) * sqrt(expected));
}

static unsigned judge_uniform(struct trial *p, struct assay_rng *rng, bool *ok) {
    unsigned rejected = 0;

    fill_uniform(p->w_float, p->n * p->k, rng);
    fill_uniform(p->x, p->m * p->k, rng);
    *ok = trial_run(p) && assay_ref_gemm(p->t, p->w, p->row_bytes, p->n, p->k, p->x, p->m,
                                         &p->arith, p->ref) == 0;
    if (!*ok)
        return ALL_GATES;
    rejected |= rejects_nmse(p) ? 1u << ASSAY_GATE_NMSE : 0;
    rejected |= rejects_near(p) ? 1u << ASSAY_GATE_NEAR : 0;
    rejected |= rejects_max_abs(p) ? 1u << ASSAY_GATE_MAX_ABS : 0;
    rejected |= rejects_cosine(p) ? 1u << ASSAY_GATE_COSINE : 0;
    return rejected;
}

static double dot_limit(enum assay_type t) {
    switch (t) {
    case ASSAY_TYPE_Q2_K:
    case ASSAY_TYPE_IQ2_XXS:
    case ASSAY_TYPE_IQ2_XS:
    case ASSAY_TYPE_IQ2_S:
    case ASSAY_TYPE_IQ3_XXS:
    case ASSAY_TYPE_IQ3_S:
        return 0.04;
    case ASSAY_TYPE_Q1_0:
        return 0.4;
    case ASSAY_TYPE_TQ1_0:
    case ASSAY_TYPE_TQ2_0:
    case ASSAY_TYPE_Q2_0:
        return 0.15;
    case ASSAY_TYPE_NVFP4:
        return 0.03;
    default:
        return 0.02;
    }
}

/* One dot product. Types that test-quantize-fns passes over, having no quantiser of theirs, get the
 * rule all the same. */
static unsigned judge_cosines(struct trial *p, double offset, bool *ok) {
    double expected = 0;

    for (size_t i = 0; i < p->k; i++) {
        p->w_float[i] = (float)(0.1 + 2 * cos((double)i + offset));
        p->x[i] = (float)(0.1 + 2 * cos((double)i + offset + 1));
        expected += (double)p->w_float[i] * p->x[i];
    }
    *ok = trial_run(p);
    if (!*ok)
        return ALL_GATES;
    return fabs(p->y[0] - expected) / (double)p->k < dot_limit(p->t->type) ? 0
                                                                           : 1u << ASSAY_GATE_DOT;
}

/* ---- In a child ---- */

struct gates {
    const struct assay_runner *runner;
    const struct assay_type_traits *type;
    size_t outputs;
    unsigned rejected;
    bool failed; /* the kernel reported an error */
};

static bool run_uniform(struct gates *g, struct assay_ctx *ctx, size_t *seen, size_t m, size_t k,
                        struct assay_rng *rng) {
    struct trial p;
    bool ok = trial_new(&p, ctx, g->type, m, 16, k);

    if (ok)
        g->rejected |= judge_uniform(&p, rng, &ok);
    *seen += m * 16;
    trial_free(&p);
    return ok;
}

/* The rules on products, round after round; what one gate has rejected need not be seen again, but
 * the others go on. */
static void run_products(struct gates *g, struct assay_ctx *ctx) {
    static const size_t wide[] = {1, 8, 16};
    const unsigned all = ALL_GATES & ~(1u << ASSAY_GATE_DOT);
    struct assay_rng rng;
    size_t seen = 0;
    bool ok = true;

    assay_rng_seed(&rng, 1);
    while (ok && seen < g->outputs && (g->rejected & all) != all) {
        for (size_t m = 1; m < 10 && ok; m++)
            ok = run_uniform(g, ctx, &seen, m, 256, &rng);
        for (size_t i = 0; i < sizeof wide / sizeof wide[0] && ok; i++)
            ok = run_uniform(g, ctx, &seen, wide[i], 1024, &rng);
    }
    g->failed = g->failed || !ok;
}

static void run_dots(struct gates *g, struct assay_ctx *ctx) {
    struct trial p;
    bool ok = trial_new(&p, ctx, g->type, 1, 1, 4096);

    for (size_t seen = 0; ok && seen < g->outputs && !(g->rejected >> ASSAY_GATE_DOT & 1); seen++)
        g->rejected |= judge_cosines(&p, (double)seen, &ok);
    g->failed = g->failed || !ok;
    trial_free(&p);
}

static json_t *run(void *user) {
    struct gates *g = user;
    const struct assay_runner *r = g->runner;
    struct assay_ctx *ctx = NULL;

    if (assay_ctx_create(&(struct assay_ctx_params){r->backend, r->isa, r->threads, r->variant},
                         &ctx, NULL) != ASSAY_OK)
        return json_pack("{si}", "rejected", ALL_GATES);
    run_products(g, ctx);
    run_dots(g, ctx);
    assay_ctx_free(ctx);
    return json_pack("{si}", "rejected", g->failed ? ALL_GATES : (int)g->rejected);
}

unsigned assay_gates_reject(const struct assay_runner *r, const struct assay_type_traits *t,
                            size_t outputs, int timeout_s) {
    struct gates g = {.runner = r, .type = t, .outputs = outputs};
    json_t *result = assay_isolate_once(run, &g, timeout_s);
    json_t *rejected = json_object_get(result, "rejected"); /* not there: the child died */
    unsigned bits = rejected != NULL ? (unsigned)json_integer_value(rejected) : ALL_GATES;

    json_decref(result);
    return bits;
}
