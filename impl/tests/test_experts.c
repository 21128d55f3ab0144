/* The contract of stacked experts and of gemm_quant_id: what verify can't see, which is errors and
 * what they leave alone. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "blocks_random.h"
#include "impl/backend.h"

enum { EXPERTS = 3, ROWS = 5, IN = 256, M = 4 };

struct fixture {
    struct assay_ctx *ctx;
    uint8_t *bytes;
    size_t nbytes;
    struct assay_experts *experts;
    float x[M * IN], y[M * ROWS];
};

static struct assay_ctx *context(const char *backend, int threads) {
    struct assay_ctx_params p = {.backend = assay_backend_by_name(backend), .threads = threads};
    struct assay_ctx *ctx = NULL;
    cr_assert_eq(assay_ctx_create(&p, &ctx, NULL), ASSAY_OK);
    return ctx;
}

static void set_up(struct fixture *f, const char *backend) {
    struct assay_rng rng;
    assay_rng_seed(&rng, 7);
    f->bytes =
        random_matrix(&rng, assay_type_traits(ASSAY_TYPE_Q8_0), EXPERTS * ROWS, IN, &f->nbytes);
    f->ctx = context(backend, 2);
    cr_assert_eq(assay_experts_create(f->ctx, ASSAY_TYPE_Q8_0, f->bytes, f->nbytes, EXPERTS, ROWS,
                                      IN, &f->experts, NULL),
                 ASSAY_OK);
    for (size_t i = 0; i < M * IN; i++)
        f->x[i] = (float)((int)(i % 13) - 6);
    for (size_t i = 0; i < M * ROWS; i++)
        f->y[i] = 42;
}

static void tear_down(struct fixture *f) {
    assay_experts_free(f->experts);
    assay_ctx_free(f->ctx);
    free(f->bytes);
}

/* A call that must fail with `status` and a message that contains `part`, and write nothing. */
static void refused(struct fixture *f, const int64_t *ids, const float *x, size_t share, float *y,
                    size_t ldy, enum assay_status status, const char *part) {
    struct assay_error err = {0};
    cr_expect_eq(gemm_quant_id(f->ctx, f->experts, ids, M, x, share, y, ldy, &err), status);
    cr_expect_eq(err.status, status);
    cr_expect(strstr(err.message, part), "'%s' lacks '%s'", err.message, part);
    for (size_t i = 0; i < M * ROWS; i++)
        cr_expect_eq(f->y[i], 42);
}

Test(experts, rejects_bad_arguments_and_writes_nothing) {
    static const int64_t good[M] = {2, 0, 0, 1}, high[M] = {2, 0, 3, 1}, low[M] = {2, 0, 0, -1};
    struct fixture f;
    set_up(&f, "cpu");
    refused(&f, high, f.x, 1, f.y, ROWS, ASSAY_EINVAL, "id 3 at position 2 is not below 3");
    refused(&f, low, f.x, 1, f.y, ROWS, ASSAY_EINVAL, "id -1 at position 3");
    refused(&f, good, f.x, 0, f.y, ROWS, ASSAY_EINVAL, "share");
    refused(&f, good, f.x, 1, f.y, ROWS - 1, ASSAY_EINVAL, "ldy 4");
    refused(&f, NULL, f.x, 1, f.y, ROWS, ASSAY_EINVAL, "ids is NULL");
    refused(&f, good, NULL, 1, f.y, ROWS, ASSAY_EINVAL, "x is NULL");
    refused(&f, good, f.x, 1, NULL, ROWS, ASSAY_EINVAL, "y is NULL");
    refused(&f, good, f.x, 1, f.y, SIZE_MAX / 8, ASSAY_EOVERFLOW, "rows of y");
    struct assay_ctx *other = context("cpu", 1);
    struct assay_error err;
    cr_expect_eq(gemm_quant_id(other, f.experts, good, M, f.x, 1, f.y, ROWS, &err), ASSAY_EINVAL);
    cr_expect(strstr(err.message, "another context"));
    assay_ctx_free(other);
    cr_expect_eq(gemm_quant_id(f.ctx, f.experts, NULL, 0, NULL, 1, NULL, 0, &err), ASSAY_OK);
    tear_down(&f);
}

Test(experts, bad_stacks_are_refused_and_freed) {
    struct fixture f;
    struct assay_experts *e = NULL;
    struct assay_error err;
    set_up(&f, "scalar");
    cr_expect_eq(
        assay_experts_create(f.ctx, ASSAY_TYPE_Q8_0, f.bytes, f.nbytes, 0, ROWS, IN, &e, &err),
        ASSAY_EINVAL);
    cr_expect_eq(
        assay_experts_create(f.ctx, ASSAY_TYPE_Q8_0, f.bytes, f.nbytes, 7, ROWS, IN, &e, &err),
        ASSAY_EINVAL);
    cr_expect(strstr(err.message, "no stack of 7"), "%s", err.message);
    cr_expect_eq(assay_experts_create(f.ctx, ASSAY_TYPE_Q8_0, f.bytes, f.nbytes, EXPERTS, ROWS + 1,
                                      IN, &e, &err),
                 ASSAY_EINVAL);
    cr_expect(strstr(err.message, "expert 0: "), "%s", err.message);
    cr_expect_eq(assay_experts_create(f.ctx, 9999, f.bytes, f.nbytes, EXPERTS, ROWS, IN, &e, &err),
                 ASSAY_EUNSUPPORTED);
    cr_expect_null(e);
    tear_down(&f);
}

/* gemm_quant on one expert's bytes and one row of x is the same arithmetic, so the same bits. */
static void equals_products_of_single_rows(const char *backend, size_t share) {
    static const int64_t ids[M] = {2, 0, 2, 1};
    struct fixture f;
    set_up(&f, backend);
    cr_assert_eq(gemm_quant_id(f.ctx, f.experts, ids, M, f.x, share, f.y, ROWS, NULL), ASSAY_OK);
    for (size_t i = 0; i < M; i++) {
        struct assay_store *s;
        float want[ROWS];
        size_t each = f.nbytes / EXPERTS;
        cr_assert_eq(assay_store_create(f.ctx, ASSAY_TYPE_Q8_0, f.bytes + (size_t)ids[i] * each,
                                        each, ROWS, IN, &s, NULL),
                     ASSAY_OK);
        cr_assert_eq(gemm_quant(f.ctx, s, f.x + i / share * IN, 1, want, ROWS, NULL), ASSAY_OK);
        cr_expect_arr_eq(want, f.y + i * ROWS, sizeof want, "%s: row %zu, share %zu", backend, i,
                         share);
        assay_store_free(s);
    }
    tear_down(&f);
}

Test(experts, rows_equal_their_own_products) {
    equals_products_of_single_rows("scalar", 1);
    equals_products_of_single_rows("scalar", 2);
    equals_products_of_single_rows("cpu", 1);
    equals_products_of_single_rows("cpu", 4);
}

Test(experts, bytes_are_those_of_the_stack) {
    struct fixture f;
    set_up(&f, "scalar");
    cr_expect_eq(assay_experts_bytes(f.experts), f.nbytes);
    cr_expect_not(assay_experts_own_weights(f.experts));
    tear_down(&f);
    set_up(&f, "eager-f32");
    cr_expect_eq(assay_experts_bytes(f.experts), sizeof(float) * EXPERTS * ROWS * IN);
    cr_expect(assay_experts_own_weights(f.experts));
    tear_down(&f);
}

/* The cpu backend quantises the rows of all experts in one format, whatever m each has. */
Test(experts, cpu_kernels_of_a_type_share_an_activation_format) {
    for (int isa = ASSAY_ISA_SCALAR; isa < ASSAY_ISA_COUNT; isa++) {
        struct assay_ctx_params p = {.backend = assay_backend_by_name("cpu"),
                                     .isa = (enum assay_isa)isa};
        struct assay_ctx *ctx;
        if (!assay_isa_runs_here(p.isa) || !assay_isa_of_this_build(p.isa))
            continue;
        cr_assert_eq(assay_ctx_create(&p, &ctx, NULL), ASSAY_OK);
        for (size_t i = 0; i < assay_type_count(); i++) {
            const struct assay_type_traits *t = assay_type_at(i);
            struct assay_arith one, many;
            if (!assay_backend_supports(p.backend, t))
                continue;
            cr_assert_eq(assay_ctx_arith(ctx, t, 1, &one, NULL), ASSAY_OK);
            for (size_t m = 2; m < 600; m++) {
                cr_assert_eq(assay_ctx_arith(ctx, t, m, &many, NULL), ASSAY_OK);
                cr_expect(one.act == many.act && one.act_block == many.act_block, "%s %s: m=%zu",
                          assay_isa_name(p.isa), t->name, m);
            }
        }
        assay_ctx_free(ctx);
    }
}
