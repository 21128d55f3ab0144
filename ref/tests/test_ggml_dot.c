/* ggml's own dot products, which live by these arithmetic classes, against the bounds. */
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ggml_oracle.h"
#include "random.h"
#include "ref/bounds.h"
#include "scale_classes.h"

/* ggml_vec_dot_*(n, result, 0, w, 0, quantised x, 0, 1). */
typedef void (*ggml_dot_fn)(int n, float *s, size_t bs, const void *w, size_t bw, const void *x,
                            size_t bx, int rows);

enum { K = 2048, ROUNDS = 100 };

static const char *const library = "libggml-cpu-zen4.so";

static bool library_runs_here(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni") &&
           __builtin_cpu_supports("avx512bf16");
#else
    return false;
#endif
}

static void *symbol(const char *prefix, const char *type, const char *suffix) {
    char name[96];
    const char *why;

    snprintf(name, sizeof name, "%s%s%s", prefix, type, suffix);
    size_t n = strlen(prefix) + strlen(type);
    if (name[n - 2] == '_' && name[n - 1] == 'k') /* ggml_vec_dot_q4_K_q8_K */
        name[n - 1] = 'K';
    return ggml_symbol(library, name, &why);
}

/* Random codes; x random, alternating so that sums cancel, or of mixed magnitude. */
static void make_row(const struct assay_type_traits *t, int round, uint64_t *random_state,
                     uint8_t *w, float *x) {
    for (size_t at = 0; at < K / t->block_len * t->block_bytes; at += t->block_bytes) {
        random_bytes(random_state, w + at, t->block_bytes);
        for (size_t f = 0; f < scale_fields(t); f++)
            set_scale(t, w + at, f, SCALE_NORMAL, random_state);
    }
    for (int i = 0; i < K; i++) {
        float r = random_float(random_state);
        float kinds[3] = {r, (i % 2 ? -1.0f : 1.0f) * (1 + 0.01f * r), ldexpf(r, i % 9)};
        x[i] = kinds[round % 3];
    }
}

static void check_dot(const struct assay_type_traits *t, const struct assay_arith *a,
                      ggml_dot_fn dot, ggml_quantise_fn quantise) {
    static _Alignas(64) uint8_t w[2 * K], quantised[2 * K];
    static float x[K];
    uint64_t random_state = (uint64_t)t->type;

    for (int round = 0; round < ROUNDS; round++) {
        float got;
        double excess;
        struct assay_ref_elem e;
        make_row(t, round, &random_state, w, x);
        quantise(x, quantised, K);
        dot(K, &got, 0, w, 0, quantised, 0, 1);
        cr_assert_eq(assay_ref_gemm(t, w, 0, 1, K, x, 1, a, &e), 0);
        cr_assert(assay_within_bound(&e, assay_bound(a, t, K, &e), got, &excess),
                  "%s: %a for %a, %g of the bound", t->name, (double)got, e.yq, excess);
    }
}

Test(bounds, dot_products_of_ggml_are_within) {
    static const struct {
        const char *suffix, *quantiser;
        struct assay_arith arith;
    } forms[] = {
        {"_q8_0", "quantize_row_q8_0", {ASSAY_WEIGHT_F32, ASSAY_ACT_Q8_F16, 32, 32}},
        {"_q8_1", "quantize_row_q8_1", {ASSAY_WEIGHT_F32, ASSAY_ACT_Q8_F16, 32, 32}},
        {"_q8_K", "quantize_row_q8_K", {ASSAY_WEIGHT_F32, ASSAY_ACT_Q8K, 256, 256}},
    };
    const char *why;
    void (*init)(void);

    if (!library_runs_here())
        cr_skip_test("%s needs AVX-512 with VBMI, VNNI and BF16", library);
    void *init_symbol = ggml_symbol(library, "ggml_cpu_init", &why);
    if (!init_symbol)
        cr_skip_test("%s", why);
    memcpy(&init, &init_symbol, sizeof init);
    init();

    size_t checked = 0;
    for (size_t i = 0; i < assay_type_count(); i++)
        for (size_t f = 0; f < sizeof forms / sizeof forms[0]; f++) {
            const struct assay_type_traits *t = assay_type_at(i);
            struct assay_arith a = forms[f].arith;
            ggml_dot_fn dot;
            ggml_quantise_fn quantise;
            void *dot_symbol = symbol("ggml_vec_dot_", t->name, forms[f].suffix);
            void *quantise_symbol = symbol(forms[f].quantiser, "", "");
            if (!assay_type_is_quantised(t) || !dot_symbol || !quantise_symbol)
                continue;
            memcpy(&dot, &dot_symbol, sizeof dot);
            memcpy(&quantise, &quantise_symbol, sizeof quantise);
            if (t->type == ASSAY_TYPE_NVFP4) /* a scale every 16 weights */
                a.exact_run = 16;
            check_dot(t, &a, dot, quantise);
            checked++;
        }
    cr_expect_geq(checked, 25, "%zu dot products found", checked);
}
