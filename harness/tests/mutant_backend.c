#include "mutant_backend.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "ref/act_quant.h"
#include "ref/half.h"

struct mutant mutant;

static bool supports(const struct assay_type_traits *t) { return t->dequant != NULL; }

static struct assay_arith class_of_mutant(void) {
    return mutant.arith.exact_run != 0
               ? mutant.arith
               : (struct assay_arith){ASSAY_WEIGHT_F32, ASSAY_ACT_F32, 0, 1};
}

static void arith(const struct assay_ctx *ctx, const struct assay_type_traits *t, size_t m,
                  struct assay_arith *out) {
    (void)ctx;
    (void)t;
    (void)m;
    *out = class_of_mutant();
}

static const char *kernel(const struct assay_ctx *ctx, const struct assay_type_traits *t,
                          size_t m) {
    (void)ctx;
    (void)t;
    return mutant.two_kernels && m <= 2 ? "mutant_gemv" : "mutant_gemm";
}

static void decode(const struct assay_store *w, size_t row, bool faulty, float *out) {
    const struct assay_type_traits *t = w->type;
    uint8_t block[512];

    for (size_t i = 0; i < w->in / t->block_len; i++) {
        float *weights = out + i * t->block_len;
        memcpy(block, assay_store_row(w, row) + i * t->block_bytes, t->block_bytes);
        if (faulty && mutant.block != NULL)
            mutant.block(t, row, i, block);
        t->dequant(block, weights);
        if (faulty && mutant.weights != NULL)
            mutant.weights(t, row, i, weights);
    }
    if (class_of_mutant().weight == ASSAY_WEIGHT_F16)
        for (size_t i = 0; i < w->in; i++)
            out[i] = assay_ref_from_fp16(assay_ref_to_fp16(out[i]));
}

static float plain_sum(const float *w, const double *x, size_t k) {
    float sum = 0;
    for (size_t i = 0; i < k; i++)
        sum += (float)(w[i] * x[i]);
    return sum;
}

static enum assay_status gemm(struct assay_ctx *ctx, const struct assay_store *w, const float *x,
                              size_t m, float *y, size_t ldy, struct assay_error *err) {
    struct assay_arith a = class_of_mutant();
    bool faulty = mutant.m_max == 0 || m <= mutant.m_max;
    float *row = malloc(w->in * sizeof *row);
    double *xq = malloc(m * w->in * sizeof *xq);

    (void)ctx;
    if (row == NULL || xq == NULL) {
        free(row);
        free(xq);
        return assay_fail(err, ASSAY_ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < m; i++)
        assay_act_emulate(&a, x + i * w->in, w->in, xq + i * w->in);
    for (size_t j = 0; j < w->rows; j++) {
        decode(w, j, faulty, row);
        for (size_t i = 0; i < m; i++)
            y[i * ldy + j] =
                (faulty && mutant.sum != NULL ? mutant.sum : plain_sum)(row, xq + i * w->in, w->in);
    }
    if (faulty && mutant.output != NULL)
        mutant.output(y, m, w->rows, ldy);
    free(row);
    free(xq);
    return ASSAY_OK;
}

#define MUTANT_BACKEND(claims_)                                                                    \
    {                                                                                              \
        .name = "mutant", .summary = "for tests", .claims = claims_, .supports = supports,         \
        .ctx_create = assay_plain_ctx_create, .ctx_free = assay_plain_ctx_free, .arith = arith,    \
        .kernel = kernel, .store_create = assay_plain_store_create,                                \
        .store_free = assay_plain_store_free, .gemm = gemm, .rows = assay_plain_rows,              \
    }

const struct assay_backend mutant_backend = MUTANT_BACKEND(ASSAY_CLAIM_IEEE_SPECIALS);
const struct assay_backend mutant_backend_without_specials = MUTANT_BACKEND(0);

static json_t *check_with(const struct assay_check *check, const struct assay_backend *backend,
                          const struct assay_type_traits *t) {
    struct assay_runner runner = {backend, "", ASSAY_ISA_AUTO, 1};
    struct assay_check_env env = {.runner = &runner, .type = t, .seed = 7};
    return check->run(&env);
}

json_t *mutant_check(const struct assay_check *check, const char *type) {
    return check_with(check, &mutant_backend, assay_type_by_name(type));
}

json_t *mutant_caught(const struct assay_check *check, const char *type) {
    json_t *finding = mutant_check(check, type);
    cr_assert_str_eq(finding_text(finding, "verdict"), "fail", "%s, %s", check->name, type);
    return finding;
}

static void passes(const struct assay_check *check, const struct assay_backend *backend,
                   const struct assay_type_traits *t) {
    json_t *result = check_with(check, backend, t);
    cr_expect_str_eq(finding_text(result, "verdict"), "pass", "%s, %s of %s: %s", check->name,
                     t->name, backend->name, finding_text(result, "problem"));
    json_decref(result);
}

void mutant_passes(const struct assay_check *check, const struct assay_type_traits *t) {
    passes(check, &mutant_backend, t);
}

void right_backends_pass(const struct assay_check *check, const struct assay_type_traits *t) {
    passes(check, &assay_backend_scalar, t);
    passes(check, &assay_backend_cpu, t);
    passes(check, &assay_backend_eager_f16, t);
}

size_t decodable_rows(size_t *rows, size_t max) {
    size_t n = 0;
    for (size_t i = 0; i < assay_type_count() && n < max; i++)
        if (assay_type_at(i)->dequant != NULL)
            rows[n++] = i;
    return n;
}

const char *finding_text(const json_t *finding, const char *key) {
    const char *text = json_string_value(json_object_get(finding, key));
    return text != NULL ? text : "";
}

json_int_t finding_number(const json_t *finding, const char *key) {
    const json_t *value = json_object_get(finding, key);
    return json_is_integer(value) ? json_integer_value(value) : -1;
}
