#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

#include "ggml_oracle.h"
#include "random.h"
#include "ref/act_quant.h"
#include "ref/half.h"

static const struct assay_arith q8_32 = {ASSAY_WEIGHT_F32, ASSAY_ACT_Q8, 32, 32};
static const struct assay_arith q8_256 = {ASSAY_WEIGHT_F32, ASSAY_ACT_Q8, 256, 256};
static const struct assay_arith q8_f16 = {ASSAY_WEIGHT_F32, ASSAY_ACT_Q8_F16, 32, 32};
static const struct assay_arith q8k = {ASSAY_WEIGHT_F32, ASSAY_ACT_Q8K, 256, 256};
static const struct assay_arith q8_bf16 = {ASSAY_WEIGHT_F32, ASSAY_ACT_Q8_BF16, 32, 32};
static const struct assay_arith *const integer_classes[] = {&q8_32, &q8_256, &q8_f16, &q8k,
                                                            &q8_bf16};

enum { CLASSES = sizeof integer_classes / sizeof integer_classes[0] };

Test(act_quant, fp32_activations_are_unchanged) {
    const struct assay_arith f32 = {ASSAY_WEIGHT_F32, ASSAY_ACT_F32, 0, 1};
    const float x[4] = {0x1p-149f, -3.4e38f, 0.1f, -0.0f};
    double xq[4];

    assay_act_emulate(&f32, x, 4, xq);
    for (int i = 0; i < 4; i++)
        cr_expect_eq(xq[i], (double)x[i]);
}

/* With amax = 127 the scale is ±1 in every class, so xq is the code itself. */
Test(act_quant, ties_go_to_the_even_code) {
    const float x[8] = {127.0f, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -126.5f, 126.5f};
    const double want[8] = {127, 0, 2, 2, 0, -2, -126, 126};
    double xq[8];

    for (int c = 0; c < CLASSES; c++) {
        assay_act_emulate(integer_classes[c], x, 8, xq);
        for (int i = 0; i < 8; i++)
            cr_expect_eq(xq[i], want[i], "class %d: %g became %g", c, (double)x[i], xq[i]);
    }
}

Test(act_quant, zeros_stay_zero_and_blocks_are_independent) {
    float x[512] = {0};
    double xq[512];

    x[511] = 3.0f;
    for (int c = 0; c < CLASSES; c++) {
        assay_act_emulate(integer_classes[c], x, 512, xq);
        for (int i = 0; i < 511; i++)
            cr_expect_eq(xq[i], 0.0);
        cr_expect_float_eq(xq[511], 3.0, 3.0 * (integer_classes[c] == &q8_bf16 ? 0x1p-8 : 0x1p-10));
    }
}

Test(act_quant, the_last_block_may_be_short) {
    float x[40];
    double xq[40];

    for (int i = 0; i < 40; i++)
        x[i] = i < 32 ? 1000.0f : 1.0f;
    assay_act_emulate(&q8_32, x, 40, xq);
    cr_expect_float_eq(xq[39], 1.0, 0x1p-20, "the small block has a scale of its own");
}

Test(act_quant, a_non_finite_value_makes_its_block_nan) {
    const float bad[3] = {NAN, INFINITY, -INFINITY};
    float x[512];
    double xq[512];

    for (int c = 0; c < CLASSES; c++)
        for (int b = 0; b < 3; b++) {
            for (int i = 0; i < 512; i++)
                x[i] = 1.0f;
            x[300] = bad[b];
            assay_act_emulate(integer_classes[c], x, 512, xq);
            cr_expect(isnan(xq[300]) && isnan(xq[301]));
            cr_expect_float_eq(xq[0], 1.0, 0x1p-10);
        }
}

Test(act_quant, tiny_blocks_are_zero_and_the_largest_numbers_are_not) {
    float x[32] = {0};
    double xq[32];

    x[0] = 0x1.fffffep-101f;
    assay_act_emulate(&q8_32, x, 32, xq);
    cr_expect_eq(xq[0], 0.0);
    x[0] = 0x1p-100f;
    assay_act_emulate(&q8_32, x, 32, xq);
    cr_expect_float_eq(xq[0], 0x1p-100, 0x1p-123);
    x[0] = -0x1.fffffep127f;
    assay_act_emulate(&q8_32, x, 32, xq);
    cr_expect_float_eq(xq[0], -0x1p128, 0x1p105);
    assay_act_emulate(&q8_f16, x, 32, xq);
    cr_expect(isinf(xq[0]), "the scale overflows in binary16");
    x[0] = 0x1p-149f;
    for (int c = 0; c < CLASSES; c++) {
        assay_act_emulate(integer_classes[c], x, 32, xq);
        cr_expect_eq(xq[0], 0.0);
    }
}

static const struct assay_arith f16 = {ASSAY_WEIGHT_F16, ASSAY_ACT_F16, 0, 1};

Test(act_quant, binary16_rows_keep_11_bits_at_any_magnitude) {
    /* A number of 11 bits, ties to even, and multiples of 2^-38 where binary16 is subnormal. */
    const float x[5] = {0x1.ffcp0f, 0x1.002p0f, 0x1.006p0f, 0x1p-39f, 0x1.8p-38f};
    const double want[5] = {0x1.ffcp0, 0x1p0, 0x1.008p0, 0.0, 0x1p-37};
    const int exponents[] = {-110, -20, 0, 60, 127};
    float scaled[5];
    double xq[5];

    for (size_t e = 0; e < sizeof exponents / sizeof exponents[0]; e++) {
        for (int i = 0; i < 5; i++)
            scaled[i] = ldexpf(x[i], exponents[e]);
        assay_act_emulate(&f16, scaled, 5, xq);
        for (int i = 0; i < 5; i++)
            if (scaled[i] == ldexp(x[i], exponents[e])) /* not where fp32 ends */
                cr_expect_eq(xq[i], ldexp(want[i], exponents[e]), "2^%d: %a became %a",
                             exponents[e], (double)scaled[i], xq[i]);
    }
}

Test(act_quant, binary16_rows_flush_and_overflow_nothing_else) {
    const float x[6] = {0x1.fffffep127f, -0x1p127f, 0x1p88f, 0x1p87f, NAN, -INFINITY};
    const float tiny[2] = {0x1p-149f, -0x1p-126f};
    double xq[6];

    assay_act_emulate(&f16, x, 6, xq);
    cr_expect_eq(xq[0], 0x1p128, "rounded up");
    cr_expect_eq(xq[1], -0x1p127);
    cr_expect_eq(xq[2], 0.0, "half of the least subnormal: to even");
    cr_expect_eq(xq[3], 0.0);
    cr_expect(isnan(xq[4]));
    cr_expect(xq[5] == -INFINITY, "and the others of the row are as without it");
    assay_act_emulate(&f16, tiny, 2, xq);
    cr_expect_eq(xq[0], 0x1p-149);
    cr_expect_eq(xq[1], -0x1p-126);
}

Test(act_quant, codes_never_exceed_127) {
    uint64_t random_state = 5;
    float x[256];
    double xq[256];

    for (int round = 0; round < 20000; round++) {
        int exponent = (int)(random_u64(&random_state) % 200) - 99;
        float amax = 0.0f;
        for (int i = 0; i < 256; i++) {
            x[i] = ldexpf(random_float(&random_state), exponent);
            amax = fmaxf(amax, fabsf(x[i]));
        }
        float d = amax / 127.0f;
        assay_act_emulate(&q8_256, x, 256, xq);
        for (int i = 0; i < 256; i++) {
            double q = xq[i] / (double)d;
            cr_assert_eq(q, rint(q), "not a multiple of d");
            cr_assert_leq(fabs(q), 127.0);
            /* Half a step, and the roundings of r and of x·r: 2·2^-24 of 127 steps. */
            cr_assert_leq(fabs(xq[i] - (double)x[i]), (double)d * (0.5 + 3 * 127 * 0x1p-24));
        }
    }
}

/* amax/127 = 1 + 2^-11 is halfway between two fp16 numbers: d becomes 1, but s = (1 + 2^-11)·2032
 * is the fp16 number 2033 (of a step of 1) after rounding 2032.99. */
Test(act_quant, the_block_sum_of_q8_1_uses_the_unrounded_scale) {
    float x[32] = {0};
    double xq[32], excess;

    for (int i = 0; i < 16; i++)
        x[i] = 127.0f * (1.0f + 0x1p-11f);
    assay_act_emulate(&q8_f16, x, 32, xq);
    assay_act_sum_excess(&q8_f16, x, 32, &excess);
    cr_expect_eq(xq[0], 127.0);
    cr_expect_eq(excess, 1.0, "%g", excess);
    assay_act_sum_excess(&q8_32, x, 32, &excess);
    cr_expect_eq(excess, 0.0);
}

/* ggml's quantisers of one CPU build, where this machine can run it. */
struct ggml_build {
    const char *library;
    bool runs_here;
};

static size_t ggml_builds(struct ggml_build *builds) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    builds[0] = (struct ggml_build){"libggml-cpu-haswell.so", __builtin_cpu_supports("avx2") &&
                                                                  __builtin_cpu_supports("fma")};
    builds[1] =
        (struct ggml_build){"libggml-cpu-zen4.so", __builtin_cpu_supports("avx512vbmi") &&
                                                       __builtin_cpu_supports("avx512vnni") &&
                                                       __builtin_cpu_supports("avx512bf16")};
    return 2;
#else
    (void)builds;
    return 0;
#endif
}

static ggml_quantise_fn quantiser(const char *library, const char *name, const char **why) {
    void *symbol = ggml_symbol(library, name, why);
    ggml_quantise_fn fn = NULL;
    memcpy(&fn, &symbol, sizeof fn);
    return fn;
}

/* Blocks of every magnitude, with ties, repeated maxima of both signs, zeros and subnormals. */
static void random_activations(float *x, size_t n, uint64_t *random_state) {
    uint64_t kind = random_u64(random_state);
    int exponent = kind % 4 == 0 ? (int)(kind >> 32) % 252 - 148 : (int)(kind >> 32) % 20 - 10;

    for (size_t i = 0; i < n; i++) {
        x[i] = ldexpf(random_float(random_state), exponent);
        if (kind >> 8 & 1) /* halves of steps */
            x[i] = rintf(random_float(random_state) * 254.0f) * 0.5f;
        if (kind >> 9 & 1 && i % 3 == 0)
            x[i] = i % 2 ? 127.0f : -127.0f;
    }
    if (kind % 64 == 0)
        memset(x, 0, n * sizeof *x);
}

static void compare_q8_f16(const char *library) {
    const char *why;
    ggml_quantise_fn q8_0 = quantiser(library, "quantize_row_q8_0", &why);
    ggml_quantise_fn q8_1 = quantiser(library, "quantize_row_q8_1", &why);
    uint64_t random_state = 11;
    _Alignas(32) float x[32];
    _Alignas(32) uint8_t b0[34], b1[36];
    double xq[32], excess;

    if (!q8_0 || !q8_1)
        cr_skip_test("%s", why);
    for (int round = 0; round < 50000; round++) {
        random_activations(x, 32, &random_state);
        q8_0(x, b0, 32);
        q8_1(x, b1, 32);
        assay_act_emulate(&q8_f16, x, 32, xq);
        assay_act_sum_excess(&q8_f16, x, 32, &excess);
        double d = assay_ref_from_fp16((uint16_t)(b0[0] | b0[1] << 8));
        double s = assay_ref_from_fp16((uint16_t)(b1[2] | b1[3] << 8)), sum = 0;
        for (int i = 0; i < 32; i++) {
            double want = d * (double)(int8_t)b0[2 + i];
            cr_assert(xq[i] == want || (isnan(xq[i]) && isnan(want)),
                      "%s: x %a, amax block: %a, %a", library, (double)x[i], xq[i], want);
            sum += want;
        }
        cr_assert(excess == s - sum || (isnan(excess) && isnan(s - sum)), "%s: excess %a, %a",
                  library, excess, s - sum);
    }
}

static void compare_q8k(const char *library) {
    const char *why;
    ggml_quantise_fn quantise = quantiser(library, "quantize_row_q8_K", &why);
    uint64_t random_state = 12;
    _Alignas(32) float x[256];
    _Alignas(32) uint8_t block[292];
    double xq[256];

    if (!quantise)
        cr_skip_test("%s", why);
    for (int round = 0; round < 20000; round++) {
        random_activations(x, 256, &random_state);
        quantise(x, block, 256);
        assay_act_emulate(&q8k, x, 256, xq);
        float d;
        memcpy(&d, block, sizeof d);
        for (int i = 0; i < 256; i++)
            cr_assert_eq(xq[i], (double)d * (double)(int8_t)block[4 + i], "%s: x %a", library,
                         (double)x[i]);
    }
}

static void with_ggml_builds(void (*compare)(const char *library)) {
    struct ggml_build builds[2];
    size_t n = ggml_builds(builds), ran = 0;

    for (size_t i = 0; i < n; i++)
        if (builds[i].runs_here) {
            compare(builds[i].library);
            ran++;
        }
    if (!ran)
        cr_skip_test("no ggml build with AVX2 or AVX-512 runs on this machine");
}

Test(act_quant, q8_f16_is_what_ggml_computes) { with_ggml_builds(compare_q8_f16); }

Test(act_quant, q8k_is_what_ggml_computes) { with_ggml_builds(compare_q8k); }

/* 1000/127 = 7.874… lies between the bfloat16 numbers 7.84375 and 7.875; 500·(1/7.875) = 63.49…,
 * where the unrounded scale would give 63.5 and so 64. */
Test(act_quant, codes_follow_a_scale_rounded_to_bfloat16) {
    const float x[4] = {1000.0f, 500.0f, -7.875f, 3.9f};
    const double want[4] = {127 * 7.875, 63 * 7.875, -7.875, 0};
    double xq[4];

    assay_act_emulate(&q8_bf16, x, 4, xq);
    for (int i = 0; i < 4; i++)
        cr_expect_eq(xq[i], want[i], "%g became %g", (double)x[i], xq[i]);
}
