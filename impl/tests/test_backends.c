#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "blocks_random.h"
#include "impl/gemm_quant.h"
#include "impl/metal/metal.h"
#include "ref/bounds.h"
#include "ref/gemm.h"

/* The number of columns closest to `in` that a type can have. */
static size_t columns(const struct assay_type_traits *t, size_t in) {
    size_t blocks = in / t->block_len;
    return (blocks ? blocks : 1) * t->block_len;
}

static struct assay_ctx *context(const struct assay_backend *b, enum assay_isa isa, int threads) {
    struct assay_ctx_params p = {.backend = b, .isa = isa, .threads = threads};
    struct assay_ctx *ctx = NULL;
    struct assay_error err = {0};
    cr_assert_eq(assay_ctx_create(&p, &ctx, &err), ASSAY_OK, "%s: %s", assay_backend_name(b),
                 err.message);
    return ctx;
}

/* One product against the reference, y full of NaN before and with a margin that must stay. */
static void check_product(struct assay_ctx *ctx, const struct assay_backend *b,
                          const struct assay_type_traits *t, size_t m, size_t n, size_t in,
                          uint64_t seed) {
    size_t ldy = n + 3, nbytes;
    struct assay_rng r;
    struct assay_error err = {0};
    assay_rng_seed(&r, seed);
    uint8_t *w = random_matrix(&r, t, n, in, &nbytes);
    float *x = random_floats(&r, m * in);
    float *y = malloc(m * ldy * sizeof *y);
    for (size_t i = 0; i < m * ldy; i++)
        y[i] = NAN;

    struct assay_arith arith;
    struct assay_store *s = NULL;
    struct assay_ref_elem *want = malloc(m * n * sizeof *want);
    cr_assert_eq(assay_ctx_arith(ctx, t, m, &arith, &err), ASSAY_OK, "%s", err.message);
    cr_assert_eq(assay_store_create(ctx, t->type, w, nbytes, n, in, &s, &err), ASSAY_OK, "%s",
                 err.message);
    cr_assert_eq(gemm_quant(ctx, s, x, m, y, ldy, &err), ASSAY_OK, "%s", err.message);
    cr_assert_eq(assay_ref_gemm(t, w, nbytes / n, n, in, x, m, &arith, want), 0);
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            const struct assay_ref_elem *e = &want[i * n + j];
            double excess, bound = assay_bound(&arith, t, in, e);
            cr_assert(isfinite(bound) && assay_within_bound(e, bound, y[i * ldy + j], &excess),
                      "%s %s %s %zux%zux%zu seed %llu: y[%zu][%zu] is %.9g, expected %.9g ± %.3g",
                      assay_backend_name(b), assay_isa_name(assay_ctx_isa(ctx)), t->name, m, n, in,
                      (unsigned long long)seed, i, j, (double)y[i * ldy + j], e->yq, bound);
        }
        for (size_t j = n; j < ldy; j++)
            cr_assert(isnan(y[i * ldy + j]), "%s %s wrote y[%zu][%zu] beyond its %zu columns",
                      assay_backend_name(b), t->name, i, j, n);
    }
    assay_store_free(s);
    free(want);
    free(y);
    free(x);
    free(w);
}

/* Runs `f` in a context of every available backend and instruction set. */
static void each_context(int threads, void (*f)(struct assay_ctx *, const struct assay_backend *)) {
    for (size_t i = 0; i < assay_backend_count(); i++) {
        const struct assay_backend *b = assay_backend_at(i);
        char why[128];
        /* ik does not take each shape and block here: test_ik.c has those that it does. */
        if (strcmp(assay_backend_name(b), "ik") == 0 ||
            !assay_backend_available(b, why, sizeof why))
            continue;
        for (enum assay_isa isa = ASSAY_ISA_SCALAR; isa < ASSAY_ISA_COUNT; isa++) {
            if (!assay_isa_runs_here(isa) ||
                (isa != ASSAY_ISA_SCALAR && !assay_backend_uses_isa(b)))
                continue;
            struct assay_ctx *ctx = context(b, isa, threads);
            f(ctx, b);
            assay_ctx_free(ctx);
        }
    }
}

static void check_types(struct assay_ctx *ctx, const struct assay_backend *b) {
    static const struct {
        size_t m, n, in;
    } shapes[] = {{1, 1, 256}, {1, 19, 512}, {3, 7, 1280}, {17, 5, 256}};
    for (size_t i = 0; i < assay_type_count(); i++) {
        const struct assay_type_traits *t = assay_type_at(i);
        if (!assay_backend_supports(b, t))
            continue;
        for (size_t j = 0; j < sizeof shapes / sizeof shapes[0]; j++)
            check_product(ctx, b, t, shapes[j].m, shapes[j].n, columns(t, shapes[j].in), 10 + j);
    }
}

Test(backends, agree_with_the_reference_on_one_thread) { each_context(1, check_types); }

Test(backends, agree_with_the_reference_on_three_threads) { each_context(3, check_types); }

/* A last activation block shorter than 256, an odd number of columns, tiles that don't divide. */
static void check_odd(struct assay_ctx *ctx, const struct assay_backend *b) {
    static const enum assay_type types[] = {ASSAY_TYPE_Q4_0, ASSAY_TYPE_Q8_0, ASSAY_TYPE_F16,
                                            ASSAY_TYPE_F32};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        const struct assay_type_traits *t = assay_type_traits(types[i]);
        if (!assay_backend_supports(b, t))
            continue;
        check_product(ctx, b, t, 2, 33, columns(t, 1055), 20);
        check_product(ctx, b, t, 1, 2, columns(t, 33), 21);
    }
}

Test(backends, agree_with_the_reference_on_odd_row_lengths) { each_context(2, check_odd); }

/* fp16 tiles split the rows: 512 KiB hold 8 rows of 16384. */
static void check_tiles(struct assay_ctx *ctx, const struct assay_backend *b) {
    check_product(ctx, b, assay_type_traits(ASSAY_TYPE_Q4_K), 2, 29, 16384, 30);
}

Test(backends, agree_with_the_reference_over_several_tiles) { each_context(2, check_tiles); }

static void check_all_decodable(struct assay_ctx *ctx, const struct assay_backend *b) {
    (void)ctx;
    if (assay_backend_is_peer(b))
        return; /* its library decides */
    for (size_t i = 0; i < assay_type_count(); i++) {
        const struct assay_type_traits *t = assay_type_at(i);
        cr_expect_eq(assay_backend_supports(b, t), t->dequant != NULL, "%s %s",
                     assay_backend_name(b), t->name);
    }
}

Test(backends, of_ours_multiply_with_every_decodable_type) { each_context(1, check_all_decodable); }

Test(registry, finds_each_backend_by_its_name) {
    static const char *const names[] = {"scalar",        "cpu",  "eager-f32", "eager-f16",
                                        "transient-f16", "ggml", "ik",        METAL_NAME};
    cr_assert_eq(assay_backend_count(), sizeof names / sizeof names[0]);
    for (size_t i = 0; i < assay_backend_count(); i++) {
        const struct assay_backend *b = assay_backend_at(i);
        cr_expect_str_eq(assay_backend_name(b), names[i]);
        cr_expect_eq(assay_backend_by_name(names[i]), b);
        cr_expect(assay_backend_summary(b)[0], "%s has no summary", names[i]);
        char why[128] = "";
        if (!assay_backend_available(b, why, sizeof why))
            cr_expect(why[0], "%s does not say why it is not available", names[i]);
    }
    cr_expect_null(assay_backend_by_name("cuda"));
    cr_expect_null(assay_backend_at(assay_backend_count()));
}

Test(registry, finds_the_emulation_by_the_name_of_what_it_emulates) {
    const struct assay_backend *metal = assay_backend_by_name("metal");
    cr_assert_not_null(metal);
    cr_expect_str_eq(assay_backend_name(metal), METAL_NAME);
    cr_expect_eq(assay_backend_is_emulated(metal), strstr(METAL_NAME, "emulated") != NULL);
}

Test(isa, names_parse_back) {
    for (enum assay_isa isa = ASSAY_ISA_AUTO; isa < ASSAY_ISA_COUNT; isa++) {
        enum assay_isa parsed = ASSAY_ISA_COUNT;
        cr_assert(assay_isa_parse(assay_isa_name(isa), &parsed));
        cr_expect_eq(parsed, isa);
    }
    enum assay_isa untouched = ASSAY_ISA_AVX2;
    cr_expect_not(assay_isa_parse("sse9", &untouched));
    cr_expect_eq(untouched, ASSAY_ISA_AVX2);
}

Test(isa, scalar_code_runs_everywhere) {
    cr_expect(assay_isa_runs_here(ASSAY_ISA_AUTO));
    cr_expect(assay_isa_runs_here(ASSAY_ISA_SCALAR));
    cr_expect_not(assay_isa_runs_here(ASSAY_ISA_COUNT));
}

Test(isa, what_runs_belongs_to_this_build) {
    for (enum assay_isa isa = ASSAY_ISA_AUTO; isa < ASSAY_ISA_COUNT; isa++)
        cr_expect(assay_isa_of_this_build(isa) || !assay_isa_runs_here(isa), "%s",
                  assay_isa_name(isa));
    cr_expect_not(assay_isa_of_this_build(ASSAY_ISA_AVX2) &&
                  assay_isa_of_this_build(ASSAY_ISA_NEON));
}

#if defined(__x86_64__)
/* The compiler's own detection is a second opinion. */
Test(isa, detection_agrees_with_the_compiler) {
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                __builtin_cpu_supports("bmi2");
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni");
    cr_expect_eq(assay_isa_runs_here(ASSAY_ISA_AVX2), avx2);
    cr_expect_eq(assay_isa_runs_here(ASSAY_ISA_AVX512), avx2 && avx512);
}
#endif
