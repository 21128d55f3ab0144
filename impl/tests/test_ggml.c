#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datasets/generate.h"
#include "impl/ggml/ggml.h"
#include "ref/bounds.h"
#include "ref/gemm.h"

/* What one test needs: a context, a matrix and its store, activations. */
struct subject {
    struct assay_ctx *ctx;
    const struct assay_type_traits *type;
    size_t n, k, row_bytes;
    uint8_t *weights;
    struct assay_store *store;
    float *x, *y;
};

enum { MAX_M = 32 };

static void need_libraries(void) {
    char why[160];
    if (!assay_backend_available(&assay_backend_ggml, why, sizeof why))
        cr_skip("%s", why);
}

static enum assay_status begin(struct subject *b, const char *variant, int threads,
                               enum assay_type type, size_t n, size_t k, size_t misalign,
                               struct assay_error *err) {
    struct assay_ctx_params p = {
        .backend = &assay_backend_ggml, .threads = threads, .variant = variant};

    *b = (struct subject){.type = assay_type_traits(type), .n = n, .k = k};
    cr_assert(assay_row_bytes(b->type, k, &b->row_bytes));
    b->weights = aligned_alloc(64, (n * b->row_bytes + misalign + 127) / 64 * 64);
    b->weights += misalign;
    assay_generate_weights(b->type, ASSAY_WGEN_UNIFORM, 3, n, k, b->weights);
    b->x = aligned_alloc(64, (MAX_M * k + 16) * sizeof(float));
    b->y = aligned_alloc(64, (MAX_M * (n + 16) + 16) / 16 * 16 * sizeof(float));
    assay_generate_acts(ASSAY_AGEN_NORMAL, 4, MAX_M, k, b->x);
    cr_assert_eq(assay_ctx_create(&p, &b->ctx, err), ASSAY_OK, "%s", err->message);
    return assay_store_create(b->ctx, type, b->weights, n * b->row_bytes, n, k, &b->store, err);
}

static void end(struct subject *b, size_t misalign) {
    assay_store_free(b->store);
    assay_ctx_free(b->ctx);
    free(b->weights - misalign);
    free(b->x);
    free(b->y);
}

static void multiply(const struct subject *b, const float *x, size_t m, float *y, size_t ldy) {
    struct assay_error err = {0};
    cr_assert_eq(gemm_quant(b->ctx, b->store, x, m, y, ldy, &err), ASSAY_OK, "%s", err.message);
}

static void check_against_reference(const struct subject *b, const char *what, size_t m) {
    struct assay_ref_elem *ref = malloc(m * b->n * sizeof *ref);
    struct assay_arith arith;
    struct assay_error err = {0};

    multiply(b, b->x, m, b->y, b->n);
    cr_assert_eq(assay_ctx_arith(b->ctx, b->type, m, &arith, &err), ASSAY_OK, "%s", err.message);
    cr_assert_eq(
        assay_ref_gemm(b->type, b->weights, b->row_bytes, b->n, b->k, b->x, m, &arith, ref), 0);
    for (size_t i = 0; i < m * b->n; i++) {
        double excess, bound = assay_bound(&arith, b->type, b->k, &ref[i]);
        cr_assert(isfinite(bound) && assay_within_bound(&ref[i], bound, b->y[i], &excess),
                  "%s %s m %zu: y[%zu] is %.9g, expected %.9g ± %.3g", what, b->type->name, m, i,
                  (double)b->y[i], ref[i].yq, bound);
    }
    free(ref);
}

/* Batches below, at and beyond the sizes from which ggml takes other paths: 2 (sgemm), 4 (repacked
 * panels), 8 (panels of IQ rows). */
static const size_t batches[] = {1, 2, 5, 8, 11};

Test(ggml, every_type_keeps_to_its_class_at_every_batch) {
    size_t types = 0;

    need_libraries();
    for (size_t i = 0; i < assay_type_count(); i++) {
        const struct assay_type_traits *t = assay_type_at(i);
        struct assay_error err = {0};
        struct subject b;

        if (!assay_backend_supports(&assay_backend_ggml, t))
            continue;
        types++;
        cr_assert_eq(begin(&b, "", 2, t->type, 24, 512, 0, &err), ASSAY_OK, "%s", err.message);
        for (size_t j = 0; j < sizeof batches / sizeof batches[0]; j++)
            check_against_reference(&b, "plain", batches[j]);
        end(&b, 0);
    }
    cr_assert(types >= 20, "only %zu types", types);
}

Test(ggml, repacked_layouts_keep_to_the_same_class) {
    size_t layouts = 0;

    need_libraries();
    for (size_t i = 0; i < assay_type_count(); i++) {
        const struct assay_type_traits *t = assay_type_at(i);
        struct assay_error err = {0};
        struct subject b;
        enum assay_status status;

        if (!assay_backend_supports(&assay_backend_ggml, t))
            continue;
        status = begin(&b, "repack", 2, t->type, 24, 512, 0, &err);
        if (status == ASSAY_OK) {
            layouts++;
            cr_expect(assay_store_owns_weights(b.store), "%s", t->name);
            for (size_t j = 0; j < sizeof batches / sizeof batches[0]; j++)
                check_against_reference(&b, "repack", batches[j]);
        } else {
            cr_expect_eq(status, ASSAY_EUNSUPPORTED);
            cr_expect(strstr(err.message, t->name) != NULL, "%s", err.message);
        }
        end(&b, 0);
    }
    /* Every library that runs on a machine with AVX2 has Q4_0, Q4_K and IQ4_NL at least. */
    if (assay_isa_runs_here(ASSAY_ISA_AVX2))
        cr_expect(layouts >= 3, "only %zu layouts", layouts);
}

Test(ggml, rows_that_do_not_fill_a_panel_are_refused_not_aborted_on) {
    struct assay_error err = {0};
    struct subject b;

    need_libraries();
    cr_expect_eq(begin(&b, "repack", 1, ASSAY_TYPE_Q4_K, 7, 512, 0, &err), ASSAY_EUNSUPPORTED);
    end(&b, 0);
    cr_expect_eq(begin(&b, "repack", 1, ASSAY_TYPE_Q4_K, 1, 512, 0, &err), ASSAY_EUNSUPPORTED);
    end(&b, 0);
}

Test(ggml, aligned_bytes_are_borrowed_and_others_copied) {
    struct assay_error err = {0};
    struct subject b;

    need_libraries();
    cr_assert_eq(begin(&b, "", 1, ASSAY_TYPE_Q6_K, 9, 512, 0, &err), ASSAY_OK);
    cr_expect_not(assay_store_owns_weights(b.store));
    cr_expect_eq(assay_store_bytes(b.store), 9 * b.row_bytes);
    end(&b, 0);

    cr_assert_eq(begin(&b, "", 1, ASSAY_TYPE_Q6_K, 9, 512, 2, &err), ASSAY_OK);
    cr_expect(assay_store_owns_weights(b.store));
    check_against_reference(&b, "unaligned", 3);
    memset(b.weights, 0xff, 9 * b.row_bytes);
    multiply(&b, b.x, 1, b.y, 9);
    cr_expect(isfinite(b.y[0]), "the store still reads the caller's bytes");
    end(&b, 2);
}

Test(ggml, unaligned_x_and_strided_y_change_no_bit_and_no_margin) {
    enum { M = 5, N = 24, LDY = N + 3 };
    float strided[M * LDY + 1];
    struct assay_error err = {0};
    struct subject b;

    need_libraries();
    cr_assert_eq(begin(&b, "", 1, ASSAY_TYPE_Q4_0, N, 512, 0, &err), ASSAY_OK);
    multiply(&b, b.x, M, b.y, N);
    for (size_t i = 0; i < M * LDY + 1; i++)
        strided[i] = 77;
    memmove(b.x + 1, b.x, M * b.k * sizeof *b.x);
    multiply(&b, b.x + 1, M, strided + 1, LDY);
    for (size_t i = 0; i < M; i++) {
        cr_expect_arr_eq(strided + 1 + i * LDY, b.y + i * N, N * sizeof(float));
        for (size_t j = N; j < LDY; j++)
            cr_expect_eq(strided[1 + i * LDY + j], 77);
    }
    end(&b, 0);
}

/* More combinations of m and addresses than graphs are kept for, twice over. */
Test(ggml, products_stay_right_when_graphs_are_replaced) {
    struct assay_error err = {0};
    struct subject b;
    float first[MAX_M][24];

    need_libraries();
    cr_assert_eq(begin(&b, "", 1, ASSAY_TYPE_Q4_K, 24, 512, 0, &err), ASSAY_OK);
    for (size_t round = 0; round < 2; round++)
        for (size_t m = 1; m <= 20; m++) {
            memset(b.y, 0, m * 24 * sizeof *b.y);
            multiply(&b, b.x, m, b.y, 24);
            if (round == 0)
                memcpy(first[m], b.y + (m - 1) * 24, sizeof first[m]);
            else
                cr_expect_arr_eq(first[m], b.y + (m - 1) * 24, sizeof first[m], "m %zu", m);
        }
    end(&b, 0);
}

Test(ggml, resting_threads_wake_for_the_next_product) {
    struct assay_error err = {0};
    struct subject b;
    float first[24];

    need_libraries();
    cr_assert_eq(begin(&b, "", 2, ASSAY_TYPE_Q4_K, 24, 512, 0, &err), ASSAY_OK);
    for (size_t round = 0; round < 3; round++) {
        memset(b.y, 0, 24 * sizeof *b.y);
        multiply(&b, b.x, 1, b.y, 24);
        if (round == 0)
            memcpy(first, b.y, sizeof first);
        cr_expect_arr_eq(first, b.y, sizeof first);
        assay_ctx_rest(b.ctx);
    }
    end(&b, 0);
}

Test(ggml, rows_are_decoded_as_the_reference_does_or_refused_once_repacked) {
    const int64_t ids[] = {23, 0, 7};
    struct assay_error err = {0};
    struct assay_linear *lin;
    struct subject b;
    float *want, *got;

    need_libraries();
    cr_assert_eq(begin(&b, "", 1, ASSAY_TYPE_Q4_K, 24, 512, 0, &err), ASSAY_OK);
    want = malloc(512 * sizeof *want);
    got = malloc(3 * 512 * sizeof *got);
    cr_assert_eq(assay_linear_from_store(b.ctx, b.store, &lin, &err), ASSAY_OK);
    b.store = NULL;
    cr_assert_eq(assay_linear_rows(b.ctx, lin, ids, 3, got, &err), ASSAY_OK, "%s", err.message);
    for (size_t i = 0; i < 3; i++) {
        assay_dequant_row(b.type, b.weights + (size_t)ids[i] * b.row_bytes, 512, want);
        cr_expect_arr_eq(got + i * 512, want, 512 * sizeof *want);
    }
    assay_linear_free(lin);
    end(&b, 0);

    if (begin(&b, "repack", 1, ASSAY_TYPE_Q4_K, 24, 512, 0, &err) == ASSAY_OK) {
        cr_assert_eq(assay_linear_from_store(b.ctx, b.store, &lin, &err), ASSAY_OK);
        b.store = NULL;
        cr_expect_eq(assay_linear_rows(b.ctx, lin, ids, 3, got, &err), ASSAY_EUNSUPPORTED);
        assay_linear_free(lin);
    }
    end(&b, 0);
    free(want);
    free(got);
}

/* An indexed product of `experts` of b's rows, every row of y with its own expert, ldy beyond n. */
static void check_indexed(const struct subject *b, size_t experts, size_t m, size_t share) {
    const size_t rows = b->n / experts, ldy = rows + 3;
    struct assay_experts *stack;
    struct assay_error err = {0};
    int64_t ids[MAX_M];

    cr_assert_eq(assay_experts_create(b->ctx, b->type->type, b->weights, b->n * b->row_bytes,
                                      experts, rows, b->k, &stack, &err),
                 ASSAY_OK, "%s", err.message);
    for (int call = 0; call < 2; call++) { /* the second finds its graph, but other ids */
        for (size_t i = 0; i < m; i++)
            ids[i] = (int64_t)((5 * i + i / share + (size_t)call) % experts);
        cr_assert_eq(gemm_quant_id(b->ctx, stack, ids, m, b->x, share, b->y, ldy, &err), ASSAY_OK,
                     "%s", err.message);
        for (size_t i = 0; i < m; i++) {
            struct assay_ref_elem ref[64];
            struct assay_arith arith;
            cr_assert_eq(assay_ctx_arith(b->ctx, b->type, 1, &arith, &err), ASSAY_OK);
            cr_assert_eq(assay_ref_gemm(b->type, b->weights + (size_t)ids[i] * rows * b->row_bytes,
                                        b->row_bytes, rows, b->k, b->x + i / share * b->k, 1,
                                        &arith, ref),
                         0);
            for (size_t j = 0; j < rows; j++) {
                double excess, bound = assay_bound(&arith, b->type, b->k, &ref[j]);
                cr_assert(assay_within_bound(&ref[j], bound, b->y[i * ldy + j], &excess),
                          "m %zu share %zu call %d: y[%zu][%zu] is %.9g, expected %.9g ± %.3g", m,
                          share, call, i, j, (double)b->y[i * ldy + j], ref[j].yq, bound);
            }
        }
    }
    assay_experts_free(stack);
}

/* A share that does not divide m, and a stack that ggml can't take as it lies, are multiplied
 * expert by expert. */
Test(ggml, indexed_products_go_to_the_experts_of_their_ids) {
    static const size_t shares[] = {1, 4, 5}, misalignments[] = {0, 16};
    struct assay_error err = {0};
    struct subject b;

    need_libraries();
    for (size_t a = 0; a < 2; a++) {
        cr_assert_eq(begin(&b, "", 2, ASSAY_TYPE_Q4_K, 96, 512, misalignments[a], &err), ASSAY_OK);
        for (size_t i = 0; i < 3; i++)
            check_indexed(&b, 4, 12, shares[i]);
        end(&b, misalignments[a]);
    }
    if (begin(&b, "repack", 1, ASSAY_TYPE_Q4_K, 96, 512, 0, &err) == ASSAY_OK)
        check_indexed(&b, 4, 12, 4);
    end(&b, 0);
}

Test(ggml, unknown_variant_is_refused_by_name) {
    struct assay_ctx_params p = {.backend = &assay_backend_ggml, .variant = "fast"};
    struct assay_error err = {0};
    struct assay_ctx *ctx = NULL;

    need_libraries();
    cr_expect_eq(assay_ctx_create(&p, &ctx, &err), ASSAY_EINVAL);
    cr_expect(strstr(err.message, "'fast'") != NULL, "%s", err.message);
    cr_expect_null(ctx);
}

/* Each of these runs in a process of its own, in which nothing is loaded yet. */
Test(ggml, without_libraries_it_names_the_package_that_has_them) {
    char why[160] = "";

    setenv("ASSAY_GGML_DIR", "/nonexistent", 1);
    cr_assert_eq(chdir("/"), 0);
    cr_expect_not(assay_backend_available(&assay_backend_ggml, why, sizeof why));
    cr_expect(strstr(why, "@node-llama-cpp/linux-x64") != NULL, "%s", why);
    cr_expect_null(assay_ggml_library());
    cr_expect_not(assay_backend_supports(&assay_backend_ggml, assay_type_traits(ASSAY_TYPE_Q4_K)));
}

Test(ggml, chosen_folder_is_not_replaced_by_another) {
    char why[160];

    assay_ggml_set_dir("/nonexistent");
    cr_expect_not(assay_backend_available(&assay_backend_ggml, why, sizeof why));
}

Test(ggml, cpu_library_that_is_not_there_is_an_error) {
    char why[160] = "";

    setenv("ASSAY_GGML_CPU", "nonesuch", 1);
    cr_expect_not(assay_backend_available(&assay_backend_ggml, why, sizeof why));
}

Test(ggml, named_cpu_library_is_taken) {
    char why[160];

    /* Every x86-64 machine runs the baseline library, none prefers it. */
    setenv("ASSAY_GGML_CPU", "x64", 1);
    if (!assay_backend_available(&assay_backend_ggml, why, sizeof why))
        cr_skip("%s", why);
    cr_expect_str_eq(assay_ggml_library(), "libggml-cpu-x64.so");
}
