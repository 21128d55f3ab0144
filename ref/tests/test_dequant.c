#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ggml_oracle.h"
#include "random.h"
#include "ref/half.h"
#include "ref/types.h"
#include "scale_classes.h"

/* Parameters are rows of the type table: indices, as Criterion copies them to another process. */
static size_t decodable[64];

static struct criterion_test_params
decodable_types(bool (*wanted)(const struct assay_type_traits *)) {
    size_t n = 0;
    for (size_t i = 0; i < assay_type_count(); i++)
        if (wanted(assay_type_at(i)))
            decodable[n++] = i;
    return cr_make_param_array(size_t, decodable, n);
}

static bool has_witness(const struct assay_type_traits *t) {
    return t->dequant && t->type != ASSAY_TYPE_F32; /* ggml does not decode F32 */
}

static bool has_min_terms(const struct assay_type_traits *t) { return t->min_terms != NULL; }

/* Blocks that are compared with ggml at once. */
enum { BATCH = 64 };

struct batch {
    const struct assay_type_traits *t;
    ggml_dequant_fn dequant;
    size_t n;
    _Alignas(8) uint8_t blocks[BATCH * 300];
};

static uint8_t *batch_block(struct batch *b, size_t i) { return b->blocks + i * b->t->block_bytes; }

static void compare(struct batch *b) {
    static float want[BATCH * ASSAY_MAX_BLOCK_LEN], got[BATCH * ASSAY_MAX_BLOCK_LEN];
    size_t len = b->t->block_len;

    b->dequant(b->blocks, want, (int64_t)(b->n * len));
    assay_dequant_row(b->t, b->blocks, b->n * len, got);
    for (size_t i = 0; i < b->n * len; i++) {
        if (isnan(want[i]) && isnan(got[i]))
            continue;
        cr_assert_eq(assay_ref_float_bits(got[i]), assay_ref_float_bits(want[i]),
                     "%s weight %zu: got %a, ggml %a; block begins %02x%02x%02x%02x", b->t->name,
                     i % len, (double)got[i], (double)want[i], batch_block(b, i / len)[0],
                     b->t->block_bytes > 1 ? batch_block(b, i / len)[1] : 0,
                     b->t->block_bytes > 2 ? batch_block(b, i / len)[2] : 0,
                     b->t->block_bytes > 3 ? batch_block(b, i / len)[3] : 0);
    }
}

/* Every combination of scale classes, each on BATCH blocks of random codes. */
static void compare_scale_classes(struct batch *b, uint64_t *random_state) {
    size_t fields = scale_fields(b->t), combinations = 1;
    for (size_t f = 0; f < fields; f++)
        combinations *= SCALE_CLASSES;

    b->n = BATCH;
    for (size_t c = 0; c < combinations; c++) {
        random_bytes(random_state, b->blocks, BATCH * b->t->block_bytes);
        for (size_t i = 0; i < BATCH; i++) {
            size_t rest = c;
            for (size_t f = 0; f < fields; f++, rest /= SCALE_CLASSES)
                set_scale(b->t, batch_block(b, i), f, (enum scale_class)(rest % SCALE_CLASSES),
                          random_state);
        }
        compare(b);
    }
}

ParameterizedTestParameters(dequant, bit_identical_to_ggml) { return decodable_types(has_witness); }

/* ASSAY_ORACLE_BLOCKS sets the number of random blocks of each type (20,000 by default). Half of
 * them are random in every bit, half have scales of a usual magnitude. */
ParameterizedTest(size_t *row, dequant, bit_identical_to_ggml) {
    static struct batch b;
    const char *why, *setting = getenv("ASSAY_ORACLE_BLOCKS");
    unsigned long long blocks = setting ? strtoull(setting, NULL, 10) : 20000;
    uint64_t random_state = *row;

    b.t = assay_type_at(*row);
    b.dequant = ggml_dequantiser(b.t, &why);
    if (!b.dequant)
        cr_skip_test("%s", why);

    b.n = 2;
    memset(batch_block(&b, 0), 0x00, b.t->block_bytes);
    memset(batch_block(&b, 1), 0xff, b.t->block_bytes);
    compare(&b);
    compare_scale_classes(&b, &random_state);
    b.n = BATCH;
    for (unsigned long long done = 0; done < blocks; done += BATCH) {
        random_bytes(&random_state, b.blocks, BATCH * b.t->block_bytes);
        if (done / BATCH % 2)
            for (size_t i = 0; i < BATCH; i++)
                for (size_t f = 0; f < scale_fields(b.t); f++)
                    set_scale(b.t, batch_block(&b, i), f, SCALE_NORMAL, &random_state);
        compare(&b);
    }
}

ParameterizedTestParameters(dequant, weights_are_sums_of_two_terms) {
    return decodable_types(has_min_terms);
}

/* w = a + b, rounded once: b from min_terms, and a from decoding the block with its min scale set
 * to zero. IQ1 has none; there a is -1, 0 or 1 times 8|b|. */
ParameterizedTest(size_t *row, dequant, weights_are_sums_of_two_terms) {
    const struct assay_type_traits *t = assay_type_at(*row);
    uint64_t random_state = *row;
    uint8_t block[300], without[300];
    float w[ASSAY_MAX_BLOCK_LEN], a[ASSAY_MAX_BLOCK_LEN], b[ASSAY_MAX_BLOCK_LEN];

    for (int round = 0; round < 200; round++) {
        random_bytes(&random_state, block, sizeof block);
        for (size_t f = 0; f < scale_fields(t); f++)
            set_scale(t, block, f, SCALE_NORMAL, &random_state);
        t->dequant(block, w);
        t->min_terms(block, b);
        memcpy(without, block, sizeof block);
        if (scale_fields(t) == 2)
            set_scale(t, without, 1, SCALE_ZERO, &random_state);
        t->dequant(without, a);
        for (uint32_t i = 0; i < t->block_len; i++) {
            if (scale_fields(t) == 1) {
                a[i] = w[i] - b[i];
                float point = a[i] / (8 * fabsf(b[i]));
                cr_assert(point == -1.0f || point == 0.0f || point == 1.0f, "%s weight %u", t->name,
                          i);
            }
            cr_assert_eq(a[i] + b[i], w[i], "%s weight %u: %a + %a is not %a", t->name, i,
                         (double)a[i], (double)b[i], (double)w[i]);
        }
    }
}

Test(dequant, f32_keeps_every_bit) {
    uint64_t random_state = 1;
    for (int i = 0; i < 1000; i++) {
        uint32_t bits = (uint32_t)random_u64(&random_state);
        uint8_t block[4] = {(uint8_t)bits, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16),
                            (uint8_t)(bits >> 24)};
        float out;
        assay_type_traits(ASSAY_TYPE_F32)->dequant(block, &out);
        cr_assert_eq(assay_ref_float_bits(out), bits);
    }
}
