/* The generators: deterministic, finite, and what their names say. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/generate.h"
#include "datasets/rng.h"
#include "datasets/scale_fields.h"

#define ROWS 18 /* two cycles of the extreme generator's scale classes */
#define IN 512

struct rows {
    const struct assay_type_traits *t;
    size_t row_bytes;
    uint8_t *blocks; /* ROWS rows */
    float *weights;  /* decoded */
};

static struct rows generate(const struct assay_type_traits *t, enum assay_weights_gen g,
                            uint64_t seed) {
    struct rows r = {.t = t};
    cr_assert(assay_row_bytes(t, IN, &r.row_bytes));
    r.blocks = malloc(ROWS * r.row_bytes);
    r.weights = malloc(ROWS * IN * sizeof *r.weights);
    assay_generate_weights(t, g, seed, ROWS, IN, r.blocks);
    for (size_t i = 0; i < ROWS; i++)
        assay_dequant_row(t, r.blocks + i * r.row_bytes, IN, r.weights + i * IN);
    return r;
}

static void rows_free(struct rows *r) {
    free(r->blocks);
    free(r->weights);
}

/* FNV-1a, 64 bits. */
static uint64_t hash(uint64_t h, const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * UINT64_C(0x100000001b3);
    return h;
}

#define HASH_START UINT64_C(0xcbf29ce484222325)

/* clang-format off */
static const struct {
    enum assay_type type;
    uint64_t hash; /* of all five generators' blocks in turn, seed 7 */
} golden[] = {
    {ASSAY_TYPE_F32,      UINT64_C(0xa5453065d391088d)},
    {ASSAY_TYPE_F16,      UINT64_C(0x587553d9d3922242)},
    {ASSAY_TYPE_BF16,     UINT64_C(0xa9ec93aa2862e4f8)},
    {ASSAY_TYPE_Q1_0,     UINT64_C(0xd4c7b62d62db269d)},
    {ASSAY_TYPE_Q2_0,     UINT64_C(0x22299b373dbb29b2)},
    {ASSAY_TYPE_Q4_0,     UINT64_C(0xb1d0abfa83ce3af5)},
    {ASSAY_TYPE_Q4_1,     UINT64_C(0x16deaebcbac45a38)},
    {ASSAY_TYPE_Q5_0,     UINT64_C(0x7c0a983ef7fe7275)},
    {ASSAY_TYPE_Q5_1,     UINT64_C(0xdc93fdc9942de89a)},
    {ASSAY_TYPE_Q8_0,     UINT64_C(0x8737d32798fcd259)},
    {ASSAY_TYPE_Q2_K,     UINT64_C(0x6e3de38e9756e048)},
    {ASSAY_TYPE_Q3_K,     UINT64_C(0x16e4e8e77403fa01)},
    {ASSAY_TYPE_Q4_K,     UINT64_C(0xec670e69ee7d8a36)},
    {ASSAY_TYPE_Q5_K,     UINT64_C(0xd3b31a6fdf350a6f)},
    {ASSAY_TYPE_Q6_K,     UINT64_C(0xad6ab0882f20b66d)},
    {ASSAY_TYPE_Q8_K,     UINT64_C(0x594157cd05118c82)},
    {ASSAY_TYPE_IQ1_S,    UINT64_C(0xa91ce333531ae2f2)},
    {ASSAY_TYPE_IQ1_M,    UINT64_C(0x3fb79aed87322b03)},
    {ASSAY_TYPE_IQ2_XXS,  UINT64_C(0x426a85148cfb9b0c)},
    {ASSAY_TYPE_IQ2_XS,   UINT64_C(0x4e72cec711d1d7f4)},
    {ASSAY_TYPE_IQ2_S,    UINT64_C(0x8839032689cd5ae1)},
    {ASSAY_TYPE_IQ3_XXS,  UINT64_C(0xd9ae6a92d6cd38e2)},
    {ASSAY_TYPE_IQ3_S,    UINT64_C(0xb6edb5f919bb340f)},
    {ASSAY_TYPE_IQ4_NL,   UINT64_C(0x9cc1516f99adf413)},
    {ASSAY_TYPE_IQ4_XS,   UINT64_C(0x3a4d027f82b74b4e)},
    {ASSAY_TYPE_TQ1_0,    UINT64_C(0x3cefc44b7c709c5b)},
    {ASSAY_TYPE_TQ2_0,    UINT64_C(0x4d7c08d273bc6d97)},
    {ASSAY_TYPE_MXFP4,    UINT64_C(0x28866675018bbaaa)},
    {ASSAY_TYPE_NVFP4,    UINT64_C(0x717ac3e78b0f5aa8)},
};
/* clang-format on */

Test(generate, blocks_are_the_same_on_every_platform) {
    size_t decodable = 0;
    for (size_t i = 0; i < assay_type_count(); i++)
        decodable += assay_type_at(i)->dequant != NULL;
    cr_assert_eq(decodable, sizeof golden / sizeof *golden);
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        const struct assay_type_traits *t = assay_type_traits(golden[i].type);
        uint64_t h = HASH_START;
        for (int g = 0; g < ASSAY_WGEN_COUNT; g++) {
            struct rows r = generate(t, (enum assay_weights_gen)g, 7);
            h = hash(h, r.blocks, ROWS * r.row_bytes);
            rows_free(&r);
        }
        cr_expect_eq(h, golden[i].hash, "%s: 0x%016llx", t->display, (unsigned long long)h);
    }
}

Test(generate, all_weights_are_finite) {
    for (size_t i = 0; i < assay_type_count(); i++)
        for (int g = 0; g < ASSAY_WGEN_COUNT; g++) {
            if (assay_type_at(i)->dequant == NULL)
                continue;
            struct rows r = generate(assay_type_at(i), (enum assay_weights_gen)g, 11);
            for (size_t j = 0; j < ROWS * IN; j++)
                cr_assert(isfinite(r.weights[j]), "%s %s: weight %zu", r.t->name,
                          assay_weights_gen_name((enum assay_weights_gen)g), j);
            rows_free(&r);
        }
}

Test(generate, a_row_does_not_depend_on_how_many_there_are) {
    uint8_t few[2 * 288];
    const struct assay_type_traits *t = assay_type_traits(ASSAY_TYPE_Q4_K);
    for (int g = 0; g < ASSAY_WGEN_COUNT; g++) {
        struct rows r = generate(t, (enum assay_weights_gen)g, 3);
        cr_assert_eq(r.row_bytes, 288);
        assay_generate_weights(t, (enum assay_weights_gen)g, 3, 2, IN, few);
        cr_assert_eq(memcmp(few, r.blocks, sizeof few), 0);
        cr_assert_neq(memcmp(r.blocks, r.blocks + 288, 288), 0, "rows repeat");
        assay_generate_weights(t, (enum assay_weights_gen)g, 4, 2, IN, few);
        cr_assert_neq(memcmp(few, r.blocks, sizeof few), 0, "the seed has no effect");
        rows_free(&r);
    }
}

Test(generate, uniform_weights_are_of_a_models_size) {
    for (size_t i = 0; i < assay_type_count(); i++) {
        if (assay_type_at(i)->dequant == NULL)
            continue;
        struct rows r = generate(assay_type_at(i), ASSAY_WGEN_UNIFORM, 5);
        double power = 0;
        for (size_t j = 0; j < ROWS * IN; j++)
            power += (double)r.weights[j] * r.weights[j];
        double rms = sqrt(power / (ROWS * IN));
        /* Scales come in powers of two and random sub-scales vary: within a factor of 3. */
        cr_assert(rms > 0.02 / 3 && rms < 0.02 * 3, "%s: %g", r.t->name, rms);
        rows_free(&r);
    }
}

Test(generate, uniform_blocks_hold_every_code) {
    struct rows r = generate(assay_type_traits(ASSAY_TYPE_Q8_0), ASSAY_WGEN_UNIFORM, 5);
    bool seen[256] = {false};
    for (size_t b = 0; b < ROWS * r.row_bytes; b += 34)
        for (size_t j = 2; j < 34; j++)
            seen[r.blocks[b + j]] = true;
    for (int i = 0; i < 256; i++)
        cr_assert(seen[i], "code %d never occurs", i);
    rows_free(&r);
}

Test(generate, alternating_neighbours_have_opposite_signs) {
    for (size_t i = 0; i < assay_type_count(); i++) {
        if (assay_type_at(i)->dequant == NULL)
            continue;
        struct rows r = generate(assay_type_at(i), ASSAY_WGEN_ALTERNATING, 5);
        for (size_t j = 0; j < ROWS * IN; j += 2)
            cr_assert(r.weights[j] > 0 && r.weights[j + 1] < 0, "%s: weights %zu: %g %g", r.t->name,
                      j, r.weights[j], r.weights[j + 1]);
        rows_free(&r);
    }
}

Test(generate, extreme_rows_have_each_class_of_scale) {
    struct rows r = generate(assay_type_traits(ASSAY_TYPE_Q4_0), ASSAY_WGEN_EXTREME, 5);
    static const uint16_t scale_bits[ASSAY_SCALE_CLASS_COUNT] = {
        [ASSAY_SCALE_LARGEST] = 0x7bff,       [ASSAY_SCALE_NEG_LARGEST] = 0xfbff,
        [ASSAY_SCALE_MIN_NORMAL] = 0x0400,    [ASSAY_SCALE_MAX_SUBNORMAL] = 0x03ff,
        [ASSAY_SCALE_MIN_SUBNORMAL] = 0x8001, [ASSAY_SCALE_ZERO] = 0x0000,
        [ASSAY_SCALE_NEG_ZERO] = 0x8000,
    };
    for (size_t c = 0; c < ASSAY_SCALE_CLASS_COUNT; c++)
        for (size_t b = 0; b < r.row_bytes; b += 18) {
            const uint8_t *block = r.blocks + c * r.row_bytes + b;
            cr_assert_eq(block[0] | block[1] << 8, scale_bits[c]);
        }
    float largest = 0;
    for (size_t j = 0; j < IN; j++)
        largest = fmaxf(largest, fabsf(r.weights[j]));
    cr_assert_eq(largest, 8 * 65504.0f);
    rows_free(&r);
}

Test(generate, scale_fields_are_where_the_decoders_read) {
    struct assay_rng rng;
    assay_rng_seed(&rng, 1);
    for (size_t i = 0; i < assay_type_count(); i++) {
        const struct assay_type_traits *t = assay_type_at(i);
        uint8_t block[1024];
        float w[ASSAY_MAX_BLOCK_LEN];
        if (t->dequant == NULL)
            continue;
        const struct assay_scale_field *f = assay_scale_fields(t);
        assay_rng_bytes(&rng, block, t->block_bytes);
        for (int s = 0; s < ASSAY_SCALE_FIELDS_MAX; s++)
            assay_extreme_scale(&f[s], ASSAY_SCALE_ZERO, block);
        t->dequant(block, w);
        /* MXFP4 has no zero: its smallest scale here is 2^-124. */
        float limit = t->type == ASSAY_TYPE_MXFP4 ? 6 * 0x1p-124f : 0;
        for (uint32_t j = 0; j < t->block_len; j++)
            cr_assert(fabsf(w[j]) <= limit, "%s: weight %u is %g with all scales zero", t->name, j,
                      w[j]);
    }
}

Test(generate, q8_k_sums_match_their_codes) {
    for (int g = 0; g < ASSAY_WGEN_COUNT; g++) {
        struct rows r = generate(assay_type_traits(ASSAY_TYPE_Q8_K), (enum assay_weights_gen)g, 5);
        for (size_t b = 0; b < ROWS * r.row_bytes; b += 292)
            for (size_t s = 0; s < 16; s++) {
                const uint8_t *block = r.blocks + b;
                int sum = 0;
                for (size_t j = 0; j < 16; j++)
                    sum += (int8_t)block[4 + 16 * s + j];
                cr_assert_eq((int16_t)(block[260 + 2 * s] | block[261 + 2 * s] << 8), sum);
            }
        rows_free(&r);
    }
}

Test(generate, activations_are_what_their_names_say) {
    enum { M = 3, K = 640 };
    float x[M * K];
    for (int g = 0; g < ASSAY_AGEN_COUNT; g++) {
        assay_generate_acts((enum assay_acts_gen)g, 21, M, K, x);
        for (int row = 0; row < M; row++) {
            const float *v = x + row * K;
            int large = 0, zero = 0, tiny = 0, beyond_normal = 0;
            for (int i = 0; i < K; i++) {
                cr_assert(isfinite(v[i]));
                large += v[i] == 1e4f;
                zero += v[i] == 0;
                tiny += fabsf(v[i]) < 0.01f;
                beyond_normal += fabsf(v[i]) > 6;
                if (g == ASSAY_AGEN_ALTERNATING)
                    cr_assert_eq(v[i], i % 2 == 0 ? 1 : -1);
                if (g == ASSAY_AGEN_CONSTANT)
                    cr_assert_eq(v[i], v[0]);
                if (g == ASSAY_AGEN_SPARSE)
                    cr_assert(v[i] == 0 || fabsf(v[i]) == 127 || fabsf(v[i]) == 1);
            }
            if (g == ASSAY_AGEN_ONE_LARGE)
                cr_assert(large == 1 && tiny == K - 1);
            if (g == ASSAY_AGEN_SPARSE)
                cr_assert(zero > K / 2 && zero < K);
            if (g == ASSAY_AGEN_NORMAL)
                cr_assert_eq(beyond_normal, 0);
            if (g == ASSAY_AGEN_HEAVY)
                cr_assert(beyond_normal > 0);
        }
        cr_assert_eq(memcmp(x, x + K, K * sizeof *x) == 0, g == ASSAY_AGEN_ALTERNATING);
    }
}

Test(generate, names_parse_to_what_they_name) {
    for (int i = 0; i < ASSAY_WGEN_COUNT; i++) {
        enum assay_weights_gen g;
        cr_assert(assay_weights_gen_parse(assay_weights_gen_name((enum assay_weights_gen)i), &g));
        cr_assert_eq((int)g, i);
    }
    for (int i = 0; i < ASSAY_AGEN_COUNT; i++) {
        enum assay_acts_gen g;
        cr_assert(assay_acts_gen_parse(assay_acts_gen_name((enum assay_acts_gen)i), &g));
        cr_assert_eq((int)g, i);
    }
    enum assay_weights_gen g;
    cr_assert_not(assay_weights_gen_parse("gaussian", &g));
}
