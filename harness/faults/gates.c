#include "gates.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/rng.h"
#include "harness/isolate.h"
#include "ref/act_quant.h"

enum { ALL_GATES = (1 << ASSAY_GATES) - 1 };

const char *assay_gate_name(enum assay_gate g) {
    static const char *const names[] = {
        [ASSAY_GATE_NMSE] = "NMSE",     [ASSAY_GATE_DOT] = "dot",
        [ASSAY_GATE_NEAR] = "near",     [ASSAY_GATE_MAX_ABS] = "max abs",
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
            "|error|/k < 0.02 (0.03, 0.04, 0.15, 0.4 for types of few bits). ggml, "
            "tests/test-quantize-fns.cpp: dot_product_error, MAX_DOT_PRODUCT_ERROR*. k = 4096, "
            "data "
            "0.1 + 2 cos(i + offset), as there, with other offsets for further outputs. There the "
            "error of quantising the weights counts as well; here it does not, which makes the "
            "rule "
            "stricter",
        [ASSAY_GATE_NEAR] =
            "|error| <= 2 (k eps P + eps), eps = 2^-23, P the largest product, against the product "
            "of the quantised activations. XNNPACK, test/gemm-microkernel-tester.cc: "
            "compute_sum_tolerance, dynamic_quantization_ops. Data and shapes of the NMSE gate",
        [ASSAY_GATE_MAX_ABS] =
            "|error| <= 0.1 against the product of the quantised activations. Data "
            "and shapes of the NMSE gate",
        [ASSAY_GATE_COSINE] =
            "cosine of result and reference >= 0.99 for each product. Data and shapes of the NMSE "
            "gate",
    };
    return rules[g];
}

/* ---- Products ---- */

/* Weights are quantised once and meet fresh activations time and again: quantisers of codebook
 * types are slow. */
struct matrix {
    const struct assay_type_traits *t;
    size_t n, k, row_bytes;
    float *plain; /* n × k, before */
    uint8_t *w;
    float *decoded; /* n × k, what the blocks decode to */
    double largest;
    struct assay_store *store;
};

static void matrix_free(struct matrix *w) {
    assay_store_free(w->store);
    free(w->plain);
    free(w->w);
    free(w->decoded);
}

/* False if memory ran out. */
static bool matrix_new(struct matrix *w, const struct assay_type_traits *t, size_t n, size_t k) {
    *w = (struct matrix){.t = t, .n = n, .k = k};
    if (!assay_row_bytes(t, k, &w->row_bytes))
        return false;
    w->plain = malloc(n * k * sizeof *w->plain);
    w->decoded = malloc(n * k * sizeof *w->decoded);
    w->w = malloc(n * w->row_bytes);
    return w->plain && w->decoded && w->w;
}

/* Quantises the plain weights. False if the kernel refuses them. */
static bool matrix_seal(struct matrix *w, struct assay_ctx *ctx) {
    for (size_t j = 0; j < w->n; j++) {
        assay_quantise_row(w->t, w->plain + j * w->k, w->k, w->w + j * w->row_bytes);
        assay_dequant_row(w->t, w->w + j * w->row_bytes, w->k, w->decoded + j * w->k);
    }
    for (size_t i = 0; i < w->n * w->k; i++)
        w->largest = fmax(w->largest, fabs(w->decoded[i]));
    return assay_store_create(ctx, (uint32_t)w->t->type, w->w, w->n * w->row_bytes, w->n, w->k,
                              &w->store, NULL) == ASSAY_OK;
}

/* One product, with two references: of the activations as given, and as the class rounds them. */
struct trial {
    const struct matrix *w;
    size_t m;
    float *x, *y;
    double *xq, *ref, *ref_q;
};

static void trial_free(struct trial *p) {
    free(p->x);
    free(p->y);
    free(p->xq);
    free(p->ref);
    free(p->ref_q);
}

static bool trial_new(struct trial *p, const struct matrix *w, size_t m) {
    *p = (struct trial){.w = w, .m = m};
    p->x = malloc(m * w->k * sizeof *p->x);
    p->xq = malloc(m * w->k * sizeof *p->xq);
    p->y = malloc(m * w->n * sizeof *p->y);
    p->ref = malloc(m * w->n * sizeof *p->ref);
    p->ref_q = malloc(m * w->n * sizeof *p->ref_q);
    return p->x && p->xq && p->y && p->ref && p->ref_q;
}

/* Plain sums in fp64: far closer than any of the rules looks. */
static void refer(struct trial *p, const struct assay_arith *arith) {
    const struct matrix *w = p->w;

    for (size_t i = 0; i < p->m; i++) {
        const float *x = p->x + i * w->k;
        double *xq = p->xq + i * w->k;
        assay_act_emulate(arith, x, w->k, xq);
        for (size_t j = 0; j < w->n; j++) {
            const float *row = w->decoded + j * w->k;
            double sum = 0, sum_q = 0;
            for (size_t k = 0; k < w->k; k++) {
                sum += (double)row[k] * x[k];
                sum_q += row[k] * xq[k];
            }
            p->ref[i * w->n + j] = sum;
            p->ref_q[i * w->n + j] = sum_q;
        }
    }
}

/* False if the kernel reports an error. */
static bool trial_run(struct trial *p, struct assay_ctx *ctx) {
    struct assay_arith arith;

    if (gemm_quant(ctx, p->w->store, p->x, p->m, p->y, p->w->n, NULL) != ASSAY_OK ||
        assay_ctx_arith(ctx, p->w->t, p->m, &arith, NULL) != ASSAY_OK)
        return false;
    refer(p, &arith);
    return true;
}

static void fill_uniform(float *v, size_t n, struct assay_rng *rng) {
    for (size_t i = 0; i < n; i++)
        v[i] = (float)(2 * assay_rng_unit(rng) - 1);
}

/* ---- The rules ---- */

static bool is_inf_or_max(double v) { return fabs(v) >= FLT_MAX; }

static size_t count(const struct trial *p) { return p->m * p->w->n; }

static bool rejects_nmse(const struct trial *p) {
    double error = 0, square = 0;

    for (size_t i = 0; i < count(p); i++) {
        double got = p->y[i], expected = p->ref[i];
        if (isnan(got) || is_inf_or_max(got) != is_inf_or_max(expected))
            return true;
        error += (got - expected) * (got - expected);
        square += expected * expected;
    }
    return error / square > 5e-4;
}

static bool rejects_near(const struct trial *p) {
    double largest_x = 0, tolerance;

    for (size_t i = 0; i < p->m * p->w->k; i++)
        largest_x = fmax(largest_x, fabs(p->x[i]));
    tolerance = 2 * ((double)p->w->k * FLT_EPSILON * largest_x * p->w->largest + FLT_EPSILON);
    for (size_t i = 0; i < count(p); i++)
        if (!(fabs(p->y[i] - p->ref_q[i]) <= tolerance))
            return true;
    return false;
}

static bool rejects_max_abs(const struct trial *p) {
    for (size_t i = 0; i < count(p); i++)
        if (!(fabs(p->y[i] - p->ref_q[i]) <= 0.1))
            return true;
    return false;
}

static bool rejects_cosine(const struct trial *p) {
    double dot = 0, got = 0, expected = 0;

    for (size_t i = 0; i < count(p); i++) {
        dot += p->y[i] * p->ref[i];
        got += (double)p->y[i] * p->y[i];
        expected += p->ref[i] * p->ref[i];
    }
    return !(dot >= 0.99 * sqrt(got) * sqrt(expected));
}

static unsigned judge_uniform(const struct trial *p) {
    unsigned rejected = 0;

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

/* ---- In a child ---- */

struct gates {
    const struct assay_runner *runner;
    const struct assay_type_traits *type;
    size_t outputs;
    struct assay_ctx *ctx;
    struct assay_rng rng;
    unsigned rejected;
};

/* Products of a matrix with m rows of x; returns the gates that reject one. */
static unsigned run_uniform(struct gates *g, const struct matrix *w, size_t m) {
    struct trial p;
    unsigned rejected = ALL_GATES;

    if (trial_new(&p, w, m)) {
        fill_uniform(p.x, m * w->k, &g->rng);
        if (trial_run(&p, g->ctx))
            rejected = judge_uniform(&p);
    }
    trial_free(&p);
    return rejected;
}

static void run_products(struct gates *g) {
    enum { ROWS = 16 };
    static const struct {
        size_t m, k;
    } shapes[] = {{1, 256}, {2, 256}, {3, 256}, {4, 256},  {5, 256},  {6, 256},
                  {7, 256}, {8, 256}, {9, 256}, {1, 1024}, {8, 1024}, {16, 1024}};
    struct matrix short_w, long_w;
    bool ok = matrix_new(&short_w, g->type, ROWS, 256);

    ok = matrix_new(&long_w, g->type, ROWS, 1024) && ok;
    for (size_t seen = 0, round = 0; ok && seen < g->outputs; round++) {
        if (round % 64 == 0) {
            fill_uniform(short_w.plain, ROWS * short_w.k, &g->rng);
            fill_uniform(long_w.plain, ROWS * long_w.k, &g->rng);
            assay_store_free(short_w.store);
            assay_store_free(long_w.store);
            short_w.store = long_w.store = NULL;
            ok = matrix_seal(&short_w, g->ctx) && matrix_seal(&long_w, g->ctx);
        }
        for (size_t i = 0; i < sizeof shapes / sizeof shapes[0] && ok; i++) {
            g->rejected |= run_uniform(g, shapes[i].k == 256 ? &short_w : &long_w, shapes[i].m);
            seen += shapes[i].m * ROWS;
        }
    }
    if (!ok)
        g->rejected = ALL_GATES;
    matrix_free(&short_w);
    matrix_free(&long_w);
}

static float wave(size_t i, double offset) { return (float)(0.1 + 2 * cos((double)i + offset)); }

/* The vectors of test-quantize-fns, at further offsets. Types that it passes over, having
 * no quantiser of theirs, get the rule all the same. */
static unsigned judge_waves(struct gates *g, const struct matrix *w, struct trial *p,
                            double first) {
    for (size_t i = 0; i < p->m; i++)
        for (size_t k = 0; k < w->k; k++)
            p->x[i * w->k + k] = wave(k, first + (double)i + 1);
    if (gemm_quant(g->ctx, w->store, p->x, p->m, p->y, w->n, NULL) != ASSAY_OK)
        return ALL_GATES;
    for (size_t i = 0; i < p->m; i++)
        for (size_t j = 0; j < w->n; j++) {
            double expected = 0;
            for (size_t k = 0; k < w->k; k++)
                expected += (double)w->decoded[j * w->k + k] * p->x[i * w->k + k];
            if (!(fabs(p->y[i * w->n + j] - expected) / (double)w->k < dot_limit(w->t->type)))
                return 1u << ASSAY_GATE_DOT;
        }
    return 0;
}

static void run_waves(struct gates *g) {
    enum { ROWS = 32, BATCH = 32 };
    struct matrix w;
    struct trial p = {.m = 0};
    bool ok = matrix_new(&w, g->type, ROWS, 4096);

    for (size_t j = 0; j < ROWS && ok; j++)
        for (size_t k = 0; k < w.k; k++)
            w.plain[j * w.k + k] = wave(k, (double)j);
    ok = ok && matrix_seal(&w, g->ctx) && trial_new(&p, &w, BATCH);
    for (size_t seen = 0; ok && seen < g->outputs && !(g->rejected >> ASSAY_GATE_DOT & 1);
         seen += ROWS * BATCH)
        g->rejected |= judge_waves(g, &w, &p, (double)(seen / ROWS));
    if (!ok)
        g->rejected = ALL_GATES;
    trial_free(&p);
    matrix_free(&w);
}

static json_t *run(void *user) {
    struct gates *g = user;
    const struct assay_runner *r = g->runner;

    assay_rng_seed(&g->rng, 1);
    if (assay_ctx_create(&(struct assay_ctx_params){r->backend, r->isa, r->threads, r->variant},
                         &g->ctx, NULL) != ASSAY_OK)
        return json_pack("{si}", "rejected", ALL_GATES);
    run_waves(g);
    run_products(g);
    assay_ctx_free(g->ctx);
    return json_pack("{si}", "rejected", (int)g->rejected);
}

unsigned assay_gates_reject(const struct assay_runner *r, const struct assay_type_traits *t,
                            size_t outputs, int timeout_s) {
    struct gates g = {.runner = r, .type = t, .outputs = outputs};
    json_t *result = assay_isolate_once(run, &g, timeout_s);
    json_t *rejected = json_object_get(result, "rejected"); /* not there: the child died */
    unsigned bits = rejected != NULL ? (unsigned)json_integer_value(rejected) : ASSAY_GATES_ALL;

    json_decref(result);
    return bits;
}
