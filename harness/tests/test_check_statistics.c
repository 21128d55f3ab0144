/* The statistics check on kernels that are right, and on kernels with one small fault each. The
 * faulty ones are a plain loop over decoded weights, in the class of fp32 activations or of int8
 * blocks. */
#include <criterion/criterion.h>
#include <fenv.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/statistics.h"
#include "impl/backend.h"
#include "ref/act_quant.h"
#include "ref/half.h"

/* Faults of one row of W: any one in a thousand will do. */
enum { BAD_ROW = 777, BAD_COLUMN = 5 };

enum statistic_fault {
    NONE,
    MIN_DROPPED,     /* min of one sub-block in row BAD_ROW, k = 4096 */
    LAST_IGNORED,    /* last weight of each row */
    LANE_LOST,       /* product 37 of 4096 */
    LANE_ROUNDED,    /* products of lane 5 of 32 (int8: run 1 of 8) rounded to 16 bits */
    COLUMN_ROUNDED,  /* output columns 5 (mod 16) rounded to 18 bits */
    F16_SUM,         /* accumulator in binary16 */
    SUM_TRUNCATED,   /* additions rounded toward zero */
    SUM_UPWARD,      /* additions rounded upward */
    STALE_SUM,       /* accumulators that start at a little more than 0 */
    CODES_TRUNCATED, /* int8 codes rounded toward zero */
    SCALE_F16,       /* int8 block scales rounded to binary16 */
};

static enum statistic_fault fault;
static bool int8_class;

static bool supports(const struct assay_type_traits *t) { return t->dequant != NULL; }

static enum assay_status ctx_create(const struct assay_ctx_params *p, struct assay_ctx **out,
                                    struct assay_error *err) {
    (void)p;
    *out = calloc(1, sizeof **out);
    return *out != NULL ? ASSAY_OK : assay_fail(err, ASSAY_ENOMEM, "out of memory");
}

static void ctx_free(struct assay_ctx *ctx) { free(ctx); }

static void arith(const struct assay_ctx *ctx, const struct assay_type_traits *t, size_t m,
                  struct assay_arith *out) {
    (void)ctx;
    (void)t;
    (void)m;
    *out = int8_class ? (struct assay_arith){ASSAY_WEIGHT_F32, ASSAY_ACT_Q8, 32, 32}
                      : (struct assay_arith){ASSAY_WEIGHT_F32, ASSAY_ACT_F32, 0, 1};
}

static const char *kernel(const struct assay_ctx *ctx, const struct assay_type_traits *t,
                          size_t m) {
    (void)ctx;
    (void)t;
    (void)m;
    return "plain";
}

static enum assay_status store_create(struct assay_ctx *ctx, const struct assay_store *head,
                                      struct assay_store **out, struct assay_error *err) {
    (void)ctx;
    *out = malloc(sizeof **out);
    if (*out == NULL)
        return assay_fail(err, ASSAY_ENOMEM, "out of memory");
    **out = *head;
    return ASSAY_OK;
}

static void store_free(struct assay_store *s) { free(s); }

static void decode(const struct assay_store *w, size_t row, float *out) {
    float b[ASSAY_MAX_BLOCK_LEN];

    assay_dequant_row(w->type, w->bytes + row * w->row_bytes, w->in, out);
    if (fault == LAST_IGNORED)
        out[w->in - 1] = 0;
    if (fault == LANE_LOST && w->in == 4096)
        out[37] = 0;
    if (fault == MIN_DROPPED && row == BAD_ROW && w->in == 4096) {
        w->type->min_terms(w->bytes + row * w->row_bytes + 3 * w->type->block_bytes, b);
        for (size_t i = 32; i < 64; i++)
            out[3 * w->type->block_len + i] -= b[i];
    }
}

/* x as the class has it, with the faults of a quantiser. */
static void quantise(const float *x, size_t k, double *xq) {
    const struct assay_arith a = {ASSAY_WEIGHT_F32, ASSAY_ACT_Q8, 32, 32};

    assay_act_emulate(&a, x, k, xq);
    for (size_t start = 0; start < k; start += 32) {
        double amax = 0;
        for (size_t i = start; i < start + 32; i++)
            if (fabs((double)x[i]) > amax) /* no fmax: gcc 12 for AArch64 fails on that reduction */
                amax = fabs((double)x[i]);
        double d = (double)((float)amax / 127.0f);
        for (size_t i = start; i < start + 32 && amax > 0; i++) {
            if (fault == CODES_TRUNCATED)
                xq[i] = d * trunc((double)(x[i] * (127.0f / (float)amax)));
            if (fault == SCALE_F16)
                xq[i] *= (double)assay_ref_from_fp16(assay_ref_to_fp16((float)d)) / d;
        }
    }
}

static float round_bits(float v, int bits) {
    int exponent;
    float fraction = frexpf(v, &exponent);
    return ldexpf(rintf(ldexpf(fraction, bits)), exponent - bits);
}

/* fp32 sums in order of the products (class fp32), or of the exact sums of 32 (class int8). */
static float dot(const float *w, const double *x, size_t k) {
    volatile float sum =
        fault == STALE_SUM ? 0x1p-16f : 0; /* volatile: the rounding mode matters */

    for (size_t start = 0; start < k; start += int8_class ? 32 : 1) {
        double leaf = 0;
        for (size_t i = start; i < start + (int8_class ? 32 : 1); i++)
            leaf += (double)w[i] * x[i];
        float product = (float)leaf;
        if (fault == LANE_ROUNDED && start % (int8_class ? 256 : 32) == (int8_class ? 32 : 5))
            product = round_bits(product, 16);
        sum = sum + product;
        if (fault == F16_SUM)
            sum = assay_ref_from_fp16(assay_ref_to_fp16(sum));
    }
    return sum;
}

static enum assay_status gemm(struct assay_ctx *ctx, const struct assay_store *w, const float *x,
                              size_t m, float *y, size_t ldy, struct assay_error *err) {
    float *row = malloc(w->in * sizeof *row);
    double *xq = malloc(m * w->in * sizeof *xq);
    (void)ctx;
    if (row == NULL || xq == NULL)
        return assay_fail(err, ASSAY_ENOMEM, "out of memory");
    for (size_t i = 0; i < m; i++)
        if (int8_class)
            quantise(x + i * w->in, w->in, xq + i * w->in);
        else
            for (size_t k = 0; k < w->in; k++)
                xq[i * w->in + k] = (double)x[i * w->in + k];
    fesetround(fault == SUM_TRUNCATED ? FE_TOWARDZERO
               : fault == SUM_UPWARD  ? FE_UPWARD
                                      : FE_TONEAREST);
    for (size_t j = 0; j < w->rows; j++) {
        decode(w, j, row);
        for (size_t i = 0; i < m; i++) {
            float sum = dot(row, xq + i * w->in, w->in);
            if (fault == COLUMN_ROUNDED && j % 16 == BAD_COLUMN)
                sum = round_bits(sum, 18);
            y[i * ldy + j] = sum;
        }
    }
    fesetround(FE_TONEAREST);
    free(row);
    free(xq);
    return ASSAY_OK;
}

static const struct assay_backend plain = {
    .name = "plain",
    .summary = "for tests",
    .supports = supports,
    .ctx_create = ctx_create,
    .ctx_free = ctx_free,
    .arith = arith,
    .kernel = kernel,
    .store_create = store_create,
    .store_free = store_free,
    .gemm = gemm,
};

static json_t *judge(const char *type, enum statistic_fault f, bool int8,
                     struct assay_statistics_tally *tally) {
    const struct assay_runner runner = {&plain, "", ASSAY_ISA_AUTO, 1};
    const struct assay_check_env env = {&runner, assay_type_by_name(type), 11, false};

    fault = f;
    int8_class = int8;
    *tally = (struct assay_statistics_tally){0};
    return assay_statistics_judge(&env, tally);
}

static const char *text_of(const json_t *finding, const char *key) {
    const char *s = json_string_value(json_object_get(finding, key));
    return s != NULL ? s : "";
}

static long long number_of(const json_t *finding, const char *key) {
    const json_t *v = json_object_get(finding, key);
    return v != NULL ? (long long)json_integer_value(v) : -1;
}

Test(statistics, a_right_kernel_passes_in_both_classes) {
    static const char *const types[] = {"f32", "q4_0", "q4_k", "iq3_s"};

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        for (int int8 = 0; int8 < 2; int8++) {
            struct assay_statistics_tally tally;
            json_t *finding = judge(types[i], NONE, int8, &tally);
            cr_expect_str_eq(text_of(finding, "verdict"), "pass", "%s: %s", types[i],
                             text_of(finding, "problem"));
            cr_expect_gt(number_of(finding, "elements"), 10000);
            for (int s = 0; s < ASSAY_STATISTIC_COUNT; s++)
                cr_expect(tally.tests[s] > 0, "%s is tested", assay_statistic_name((enum assay_statistic)s));
            json_decref(finding);
        }
}

/* `words` are in the finding's sentence. `blind`: the worst-case bound is nowhere exceeded up to
 * the finding, so that without statistics the kernel would have passed. */
static void expect_found(const char *type, enum statistic_fault f, bool int8, const char *statistic,
                         const char *words, bool blind) {
    struct assay_statistics_tally tally;
    json_t *finding = judge(type, f, int8, &tally);
    const char *problem = text_of(finding, "problem");

    cr_expect_str_eq(text_of(finding, "verdict"), "fail");
    cr_expect_str_eq(text_of(finding, "statistic"), statistic, "%s", problem);
    cr_expect(strstr(problem, words) != NULL, "'%s' lacks '%s'", problem, words);
    cr_expect_eq(tally.closest[ASSAY_STATISTIC_BOUND] <= 1, blind, "bound: %.3g, %s",
                 tally.closest[ASSAY_STATISTIC_BOUND], problem);
    json_decref(finding);
}

Test(statistics, finds_a_min_dropped_in_one_sub_block_of_a_thousand_rows) {
    expect_found("q4_k", MIN_DROPPED, false, "output", "from column 8", true);
    struct assay_statistics_tally tally;
    json_t *finding = judge("q4_k", MIN_DROPPED, false, &tally);
    cr_expect_eq(number_of(finding, "column"), BAD_ROW, "column of y");
    cr_expect_eq(number_of(finding, "block"), 3);
    cr_expect_geq(number_of(finding, "k0"), 3 * 256 + 32);
    cr_expect_leq(number_of(finding, "k1"), 3 * 256 + 64);
    json_decref(finding);
}

Test(statistics, finds_products_left_out) {
    expect_found("q4_k", LAST_IGNORED, false, "output", "from column 4095", false);
    expect_found("iq3_s", LANE_LOST, false, "output", "from column 37 of W", false);
}

Test(statistics, names_a_lane_of_low_precision) {
    expect_found("q4_0", LANE_ROUNDED, false, "output", "all in lanes k = 5 (mod 32)", false);
    expect_found("q4_0", LANE_ROUNDED, true, "spread", "column", true);
}

Test(statistics, names_a_column_of_a_tile) {
    expect_found("q4_0", COLUMN_ROUNDED, true, "spread", "column 5 of y", true);
    expect_found("q4_0", COLUMN_ROUNDED, false, "bound", "all in column 5 of y", false);
}

Test(statistics, finds_rounding_that_is_not_to_nearest) {
    expect_found("q4_k", SUM_TRUNCATED, false, "output", "", true);
    expect_found("q4_k", SUM_UPWARD, false, "output", "", true);
    expect_found("q4_k", SUM_TRUNCATED, true, "gain", "all outputs", true);
    expect_found("q4_k", SUM_UPWARD, true, "bias", "all outputs", true);
}

Test(statistics, finds_accumulators_that_are_wrong) {
    expect_found("q4_k", F16_SUM, false, "output", "1027 outputs", false);
    expect_found("q4_k", F16_SUM, true, "output", "1027 outputs", false);
    expect_found("q4_k", STALE_SUM, true, "spread", "all outputs", true);
}

Test(statistics, finds_activations_quantised_by_another_rule) {
    expect_found("q4_k", CODES_TRUNCATED, true, "output", "1027 outputs", false);
    expect_found("iq4_nl", SCALE_F16, true, "output", "1027 outputs", false);
}

Test(statistics, assays_own_kernels_pass) {
    struct assay_runner runners[] = {
        {&assay_backend_cpu, "", ASSAY_ISA_AUTO, 1},
        {&assay_backend_cpu, "exact", ASSAY_ISA_AUTO, 1},
        {&assay_backend_transient_f16, "", ASSAY_ISA_AUTO, 1},
    };
    static const char *const types[] = {"q4_k", "q8_0", "iq1_s", "nvfp4"};

    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++)
        for (size_t r = 0; r < sizeof runners / sizeof runners[0]; r++) {
            char why[160];
            if (!assay_backend_available(runners[r].backend, why, sizeof why))
                continue;
            struct assay_check_env env = {&runners[r], assay_type_by_name(types[t]), 5, false};
            json_t *finding = assay_statistics_judge(&env, NULL);
            cr_expect_str_eq(text_of(finding, "verdict"), "pass", "%s %s: %s", types[t],
                             assay_backend_name(runners[r].backend), text_of(finding, "problem"));
            json_decref(finding);
        }
}
