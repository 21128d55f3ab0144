/* The AArch64 kernels against each other: what a verifier with error bounds can't see. */
#include <criterion/criterion.h>

#include "impl/cpu/kernel.h"

#ifdef __aarch64__
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/generate.h"
#include "impl/cpu/act.h"

static void need(enum assay_isa isa) {
    if (!assay_isa_runs_here(isa))
        cr_skip_test("this machine does not run %s code", assay_isa_name(isa));
}

enum { MAX_M = 6, N = 43, K = 1280 };

/* y[MAX_M][N]; rows of activations one product after another, `step` at a time. */
static void multiply(enum assay_isa isa, const struct assay_type_traits *t, const uint8_t *w,
                     size_t nbytes, const float *x, size_t step, float *y) {
    struct assay_ctx_params p = {.backend = assay_backend_by_name("cpu"), .isa = isa};
    struct assay_ctx *ctx;
    struct assay_store *store;
    cr_assert_eq(assay_ctx_create(&p, &ctx, NULL), ASSAY_OK);
    cr_assert_eq(assay_store_create(ctx, t->type, w, nbytes, N, K, &store, NULL), ASSAY_OK);
    for (size_t i = 0; i < MAX_M; i += step) {
        size_t m = MAX_M - i < step ? MAX_M - i : step;
        cr_assert_eq(gemm_quant(ctx, store, x + i * K, m, y + i * N, N, NULL), ASSAY_OK);
    }
    assay_store_free(store);
    assay_ctx_free(ctx);
}

/* Dot products straight from the blocks, SDOT panels of every number of rows and SMMLA panels sum
 * the same integers and scale them in the same order. */
Test(neon, kernels_agree_in_every_bit) {
    need(ASSAY_ISA_NEON);
    for (const struct assay_cpu_kernel *k = assay_kernels_neon; k->name; k++) {
        const struct assay_type_traits *t = assay_type_traits(k->type);
        static float x[MAX_M * K], expected[MAX_M * N], y[MAX_M * N];
        size_t row_bytes;
        cr_assert(assay_row_bytes(t, K, &row_bytes));
        uint8_t *w = malloc(N * row_bytes);
        cr_assert_not_null(w);
        assay_generate_weights(t, ASSAY_WGEN_NORMAL, 7, N, K, w);
        assay_generate_acts(ASSAY_AGEN_HEAVY, 7, MAX_M, K, x);
        multiply(ASSAY_ISA_NEON, t, w, N * row_bytes, x, 1, expected);
        for (enum assay_isa isa = ASSAY_ISA_NEON; isa <= ASSAY_ISA_I8MM; isa++)
            for (size_t step = 2; step <= MAX_M && assay_isa_runs_here(isa); step++) {
                multiply(isa, t, w, N * row_bytes, x, step, y);
                cr_expect_eq(memcmp(y, expected, sizeof y), 0, "%s %s, %zu rows at a time", t->name,
                             assay_isa_name(isa), step);
            }
        free(w);
    }
}

/* ---- The quantiser --------------------------------------------------------------------------- */

/* Whether the NEON quantiser gives the bits of the portable one; of a NaN, the sign may differ. */
static void expect_same_blocks(const float *x, size_t k, enum assay_act_format format,
                               const char *what) {
    struct assay_act_buffer buffers[2] = {{0}};
    struct assay_act a, b;
    size_t padded = (k + 255) / 256 * 256, blocks = (k - 1) / assay_act_block(format) + 1;
    cr_assert(assay_act_prepare(&a, &buffers[0], format, x, 1, k));
    cr_assert(assay_act_prepare(&b, &buffers[1], format, x, 1, k));
    memset(b.q, 0x55, padded);
    memset(b.sums, 0x55, padded / 16 * sizeof *b.sums);
    assay_act_quantise__scalar(&a, 0, 1);
    assay_act_quantise__neon(&b, 0, 1);
    cr_expect_eq(memcmp(a.q, b.q, padded), 0, "%s: codes of %zu", what, k);
    cr_expect_eq(memcmp(a.sums, b.sums, padded / 16 * sizeof *a.sums), 0, "%s: sums", what);
    for (size_t i = 0; i < blocks; i++)
        cr_expect(memcmp(&a.d[i], &b.d[i], sizeof a.d[i]) == 0 || (isnan(a.d[i]) && isnan(b.d[i])),
                  "%s: scale %a, expected %a", what, (double)b.d[i], (double)a.d[i]);
    free(buffers[0].memory);
    free(buffers[1].memory);
}

static void expect_same(const float *x, size_t k, const char *what) {
    expect_same_blocks(x, k, ASSAY_ACTF_Q8_32, what);
    expect_same_blocks(x, k, ASSAY_ACTF_Q8_256, what);
}

Test(neon, quantiser_gives_the_bits_of_the_portable_one) {
    need(ASSAY_ISA_NEON);
    static float x[1024];
    static const size_t ks[] = {1, 31, 32, 33, 255, 257, 288, 1000, 1024};
    for (enum assay_acts_gen g = 0; g < ASSAY_AGEN_COUNT; g++) {
        assay_generate_acts(g, 3, 1, 1024, x);
        for (size_t i = 0; i < sizeof ks / sizeof ks[0]; i++)
            expect_same(x, ks[i], assay_acts_gen_name(g));
    }
    for (int i = 0; i < 1024; i++) /* half-way cases: amax 127 gives r = 1 */
        x[i] = i % 32 ? fminf((float)(i % 255 - 127) + 0.5f, 127.0f) : 127.0f;
    expect_same(x, 1024, "ties");
}

Test(neon, quantiser_treats_the_ends_of_fp32_alike) {
    need(ASSAY_ISA_NEON);
    static const float ends[] = {-0.0f,   0x1p-149f, 0x1.fffffep-101f, 0x1p-100f, -0x1p-99f,
                                 FLT_MAX, INFINITY,  -INFINITY,        NAN};
    for (size_t e = 0; e < sizeof ends / sizeof ends[0]; e++)
        for (size_t at = 0; at < 256; at += 37) {
            float x[256] = {0};
            x[at] = ends[e];
            x[255 - at] = ends[e] / 3;
            expect_same(x, 256, "extreme");
        }
}

#endif
