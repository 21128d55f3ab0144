/* The backend "ik": what it says without a library, and its products with one. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "datasets/generate.h"
#include "impl/ik/ik.h"
#include "ref/bounds.h"
#include "ref/gemm.h"

static bool available(char *why, size_t n) {
    return assay_backend_available(&assay_backend_ik, why, n);
}

Test(ik, says_that_the_library_is_missing) {
    char why[300] = "";

    setenv("ASSAY_IK_LIB", "/nonexistent/libggml.so", 1);
    cr_expect_not(available(why, sizeof why));
    cr_expect_not_null(strstr(why, "/nonexistent/libggml.so"), "%s", why);
    cr_expect_null(assay_ik_library());
    cr_expect_not(assay_backend_supports(&assay_backend_ik, assay_type_traits(ASSAY_TYPE_Q4_K)));
}

#ifdef __linux__
Test(ik, says_which_symbol_a_library_lacks) {
    char why[300] = "";

    setenv("ASSAY_IK_LIB", "libm.so.6", 1);
    cr_expect_not(available(why, sizeof why));
    cr_expect_str_eq(why, "libm.so.6 lacks ggml_init");
}
#endif

Test(ik, refuses_a_context_without_a_library) {
    struct assay_ctx_params p = {.backend = &assay_backend_ik};
    struct assay_ctx *ctx;
    struct assay_error err;

    setenv("ASSAY_IK_LIB", "/nonexistent/libggml.so", 1);
    cr_expect_eq(assay_ctx_create(&p, &ctx, &err), ASSAY_EUNSUPPORTED);
}

/* ---- With the library ------------------------------------------------------------------------ */

#define NEEDS_LIBRARY                                                                              \
    do {                                                                                           \
        char why_[300] = "";                                                                       \
        if (!available(why_, sizeof why_))                                                         \
            cr_skip_test("%s", why_);                                                              \
    } while (0)

enum { N = 32, K = 512, M = 70 };

static struct assay_ctx *context(const char *variant, int threads) {
    struct assay_ctx_params p = {
        .backend = &assay_backend_ik, .threads = threads, .variant = variant};
    struct assay_ctx *ctx;
    struct assay_error err;

    cr_assert_eq(assay_ctx_create(&p, &ctx, &err), ASSAY_OK, "%s", err.message);
    return ctx;
}

static void check_product(struct assay_ctx *ctx, const struct assay_type_traits *t,
                          const uint8_t *w, size_t row_bytes, const float *x, size_t m) {
    struct assay_ref_elem *ref = malloc(m * N * sizeof *ref);
    float *y = malloc(m * (N + 3) * sizeof *y);
    struct assay_store *store;
    struct assay_arith arith;
    struct assay_error err;

    cr_assert(ref != NULL && y != NULL);
    cr_assert_eq(assay_store_create(ctx, (uint32_t)t->type, w, N * row_bytes, N, K, &store, &err),
                 ASSAY_OK, "%s: %s", t->name, err.message);
    cr_assert_eq(assay_ctx_arith(ctx, t, m, &arith, &err), ASSAY_OK);
    cr_assert_eq(gemm_quant(ctx, store, x, m, y, N + 3, &err), ASSAY_OK, "%s", err.message);
    cr_assert_eq(assay_ref_gemm(t, w, row_bytes, N, K, x, m, &arith, ref), 0);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < N; j++) {
            const struct assay_ref_elem *e = &ref[i * N + j];
            double excess;
            cr_assert(
                assay_within_bound(e, assay_bound(&arith, t, K, e), y[i * (N + 3) + j], &excess),
                "%s, m = %zu: y[%zu,%zu] is %g, not %g: %.3g of its bound", t->name, m, i, j,
                (double)y[i * (N + 3) + j], e->yq, excess);
        }
    assay_store_free(store);
    free(ref);
    free(y);
}

/* Batches below and above those from which it rounds weights anew. */
static void check_types(const char *variant) {
    static const enum assay_type types[] = {ASSAY_TYPE_Q4_0, ASSAY_TYPE_Q2_K, ASSAY_TYPE_Q4_K,
                                            ASSAY_TYPE_Q6_K, ASSAY_TYPE_IQ3_S};
    static const size_t batches[] = {1, 5, M};
    static float x[M * K];

    for (int threads = 1; threads <= 2; threads++) {
        struct assay_ctx *ctx = context(variant, threads);
        for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
            const struct assay_type_traits *t = assay_type_traits((uint32_t)types[i]);
            size_t row_bytes;
            cr_assert(assay_row_bytes(t, K, &row_bytes));
            uint8_t *w = malloc(N * row_bytes);
            cr_assert_not_null(w);
            assay_generate_weights(t, ASSAY_WGEN_NORMAL, 7, N, K, w);
            assay_generate_acts(ASSAY_AGEN_NORMAL, 8, M, K, x);
            for (size_t b = 0; b < 3; b++)
                check_product(ctx, t, w, row_bytes, x, batches[b]);
            free(w);
        }
        assay_ctx_free(ctx);
    }
}

Test(ik, agrees_with_the_reference) {
    NEEDS_LIBRARY;
    check_types("");
}

Test(ik, repacked_agrees_with_the_reference) {
    NEEDS_LIBRARY;
    check_types("repack");
}

Test(ik, refuses_unknown_variants_and_rows_that_do_not_interleave) {
    NEEDS_LIBRARY;
    struct assay_ctx_params p = {.backend = &assay_backend_ik, .variant = "fast"};
    struct assay_ctx *ctx;
    struct assay_store *store;
    struct assay_error err;
    static uint8_t w[24 * 144];

    cr_expect_eq(assay_ctx_create(&p, &ctx, &err), ASSAY_EINVAL);
    ctx = context("repack", 1);
    cr_expect_eq(assay_store_create(ctx, ASSAY_TYPE_Q4_K, w, sizeof w, 24, 256, &store, &err),
                 ASSAY_EUNSUPPORTED);
    assay_ctx_free(ctx);
}
