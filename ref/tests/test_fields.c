#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include <stdlib.h>
#include <string.h>

#include "random.h"
#include "ref/fields.h"
#include "ref/half.h"

enum { MAX_BYTES = 300, BASES = 24 };

/* Parameters are rows of the type table: indices, as Criterion copies them to another process. */
static size_t decodable[64];

static struct criterion_test_params every_decodable_type(void) {
    size_t n = 0;
    for (size_t i = 0; i < assay_type_count(); i++)
        if (assay_type_at(i)->dequant != NULL)
            decodable[n++] = i;
    return cr_make_param_array(size_t, decodable, n);
}

ParameterizedTestParameters(fields, every_bit_belongs_to_exactly_one_field) {
    return every_decodable_type();
}

ParameterizedTest(size_t *row, fields, every_bit_belongs_to_exactly_one_field) {
    const struct assay_type_traits *t = assay_type_at(*row);
    uint8_t owners[8 * MAX_BYTES] = {0};
    size_t n, bits = 8 * (size_t)t->block_bytes;
    const struct assay_field *fields = assay_fields(t, &n);

    for (size_t i = 0; i < n; i++)
        for (unsigned e = 0; e < fields[i].count; e++)
            for (unsigned b = 0; b < fields[i].bits; b++) {
                size_t at = assay_field_position(&(struct assay_field_bit){&fields[i], e, b});
                cr_assert_lt(at, bits, "%s %s[%u]", t->name, fields[i].name, e);
                owners[at]++;
            }
    for (size_t at = 0; at < bits; at++)
        cr_assert_eq(owners[at], 1, "%s bit %zu has %d owners", t->name, at, owners[at]);
}

ParameterizedTestParameters(fields, position_and_field_are_inverse) {
    return every_decodable_type();
}

ParameterizedTest(size_t *row, fields, position_and_field_are_inverse) {
    const struct assay_type_traits *t = assay_type_at(*row);
    struct assay_field_bit b;

    for (size_t at = 0; at < 8 * (size_t)t->block_bytes; at++) {
        cr_assert(assay_field_at(t, at, &b), "%s bit %zu", t->name, at);
        cr_assert_lt(b.element, b.field->count);
        cr_assert_lt(b.bit, b.field->bits);
        cr_assert_eq(assay_field_position(&b), at, "%s bit %zu", t->name, at);
    }
    cr_assert_not(assay_field_at(t, 8 * (size_t)t->block_bytes, &b));
}

ParameterizedTestParameters(fields, set_changes_one_value_and_get_reads_it) {
    return every_decodable_type();
}

ParameterizedTest(size_t *row, fields, set_changes_one_value_and_get_reads_it) {
    const struct assay_type_traits *t = assay_type_at(*row);
    uint8_t block[MAX_BYTES], before[MAX_BYTES];
    uint64_t state = 1;
    size_t n;
    const struct assay_field *fields = assay_fields(t, &n);

    random_bytes(&state, block, sizeof block);
    for (size_t i = 0; i < n; i++)
        for (unsigned e = 0; e < fields[i].count; e++) {
            const struct assay_field *f = &fields[i];
            uint32_t old = assay_field_get(f, block, e);
            memcpy(before, block, sizeof block);
            assay_field_set(f, block, e, ~old);
            cr_assert_eq(assay_field_get(f, block, e), ~old & (uint32_t)((1ull << f->bits) - 1));
            assay_field_set(f, block, e, old);
            cr_assert_arr_eq(block, before, sizeof block, "%s %s[%u]", t->name, f->name, e);
        }
}

static bool same(float a, float b) {
    return assay_ref_float_bits(a) == assay_ref_float_bits(b) || (a != a && b != b);
}

/* Blocks whose numbers are finite now and then, and of every kind. */
static void random_block(const struct assay_type_traits *t, uint64_t *state, uint8_t *block) {
    random_bytes(state, block, t->block_bytes);
    if (t->type == ASSAY_TYPE_NVFP4) /* the top bit of a scale counts with 0x7f below it only */
        memset(block, random_u64(state) % 3 == 0 ? 0x7f : 0x35, 4);
}

ParameterizedTestParameters(fields, a_bit_reaches_the_weights_that_the_map_says) {
    return every_decodable_type();
}

ParameterizedTest(size_t *row, fields, a_bit_reaches_the_weights_that_the_map_says) {
    const struct assay_type_traits *t = assay_type_at(*row);
    size_t bits = 8 * (size_t)t->block_bytes;
    uint8_t block[MAX_BYTES + 4]; /* random_bytes fills words */
    float base[ASSAY_MAX_BLOCK_LEN], flipped[ASSAY_MAX_BLOCK_LEN];
    bool *bit_counts = calloc(bits, 1);
    /* Weights changed by any bit of an element: by its position's element. */
    uint8_t *reached = calloc(bits, ASSAY_MAX_BLOCK_LEN);
    uint64_t state = 7;
    struct assay_field_bit b, lowest;

    cr_assert(bit_counts != NULL && reached != NULL);
    for (int i = 0; i < BASES; i++) {
        random_block(t, &state, block);
        t->dequant(block, base);
        for (size_t at = 0; at < bits; at++) {
            assay_field_at(t, at, &b);
            lowest = (struct assay_field_bit){b.field, b.element, 0};
            block[at / 8] ^= (uint8_t)(1 << at % 8);
            t->dequant(block, flipped);
            block[at / 8] ^= (uint8_t)(1 << at % 8);
            for (size_t w = 0; w < t->block_len; w++) {
                if (same(base[w], flipped[w]))
                    continue;
                cr_assert(assay_field_reaches(b.field, b.element, w),
                          "%s: bit %u of %s[%u] hits %zu", t->name, b.bit, b.field->name, b.element,
                          w);
                bit_counts[at] = true;
                reached[assay_field_position(&lowest) * ASSAY_MAX_BLOCK_LEN + w] = 1;
            }
        }
    }
    for (size_t at = 0; at < bits; at++) {
        assay_field_at(t, at, &b);
        bool derived = b.field->kind == ASSAY_FIELD_DERIVED;
        cr_assert_eq(bit_counts[at], !derived, "%s: bit %u of %s[%u]", t->name, b.bit,
                     b.field->name, b.element);
        for (size_t w = 0; w < t->block_len && b.bit == 0; w++)
            cr_assert_eq(reached[at * ASSAY_MAX_BLOCK_LEN + w],
                         assay_field_reaches(b.field, b.element, w), "%s: %s[%u] and weight %zu",
                         t->name, b.field->name, b.element, w);
    }
    free(bit_counts);
    free(reached);
}

static const struct assay_field *field_named(const struct assay_type_traits *t, const char *name) {
    size_t n;
    const struct assay_field *f = assay_fields(t, &n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(f[i].name, name) == 0)
            return &f[i];
    return NULL;
}

static double number(const char *type, const char *field, uint32_t value) {
    return assay_field_number(field_named(assay_type_by_name(type), field), value);
}

Test(fields, numbers_are_what_the_formats_say) {
    cr_expect_eq(number("q6_k", "scale", 0x80), -128);
    cr_expect_eq(number("q6_k", "code", 0), -32);
    cr_expect_eq(number("q4_0", "code", 15), 7);
    cr_expect_eq(number("q4_k", "d", 0x3c00), 1);
    cr_expect_eq(number("bf16", "value", 0xc000), -2);
    cr_expect_eq(number("f32", "value", 0x3f000000), 0.5);
    cr_expect_eq(number("mxfp4", "e", 127), 1);
    cr_expect_eq(number("mxfp4", "e", 255), 0x1p128);
    cr_expect_eq(number("nvfp4", "scale", 0x38), 1);
    cr_expect_eq(number("q8_k", "bsum", 0xffff), -1);
}

Test(fields, derive_sums_the_codes_of_q8_k) {
    const struct assay_type_traits *t = assay_type_by_name("q8_k");
    uint8_t block[292] = {0};

    for (unsigned i = 0; i < 256; i++)
        assay_field_set(field_named(t, "code"), block, i, i < 16 ? 0x80 : i < 32 ? 127 : i - 32);
    assay_fields_derive(t, block);
    cr_expect_eq(number("q8_k", "bsum", assay_field_get(field_named(t, "bsum"), block, 0)), -2048);
    cr_expect_eq(number("q8_k", "bsum", assay_field_get(field_named(t, "bsum"), block, 1)), 2032);
    cr_expect_eq(number("q8_k", "bsum", assay_field_get(field_named(t, "bsum"), block, 2)), 120);
}

Test(fields, names_carry_an_index_where_there_are_several) {
    const struct assay_type_traits *t = assay_type_by_name("tq1_0");
    size_t n;
    const struct assay_field *f = assay_fields(t, &n);
    char name[24];

    cr_assert_eq(n, 4);
    cr_expect_str_eq(assay_field_name(&f[0], 0, name, sizeof name), "d");
    cr_expect_str_eq(assay_field_name(&f[2], 3, name, sizeof name), "digits[35]");
}

static char *dump(const char *type, const uint8_t *block, const struct assay_field_bit *marked) {
    char *text;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    cr_assert_not_null(f);
    assay_block_dump(f, assay_type_by_name(type), block, marked);
    fclose(f);
    return text;
}

Test(fields, dump_shows_every_value_decoded_and_marks_one) {
    /* d = 1, dmin = -0.5, scales 0 … 7 times 9, mins 63 down to 0, codes counting up. */
    const struct assay_type_traits *t = assay_type_by_name("q4_k");
    uint8_t block[144] = {0};
    struct assay_field_bit marked = {field_named(t, "min"), 5, 2};
    char *text;

    assay_field_set(field_named(t, "d"), block, 0, 0x3c00);
    assay_field_set(field_named(t, "dmin"), block, 0, 0xb800);
    for (unsigned e = 0; e < 8; e++) {
        assay_field_set(field_named(t, "scale"), block, e, 9 * e);
        assay_field_set(field_named(t, "min"), block, e, 63 - 9 * e);
    }
    for (unsigned e = 0; e < 256; e++)
        assay_field_set(field_named(t, "code"), block, e, e / 32 + e % 8);
    text = dump("q4_k", block, &marked);
    cr_expect_str_eq(text,
                     "d        1 (0x3c00)\n"
                     "dmin     -0.5 (0xb800)\n"
                     "scale     0  9 18 27 36 45 54 63\n"
                     "min      63 54 45 36 27[18] 9  0\n"
                     "code      0  1  2  3  4  5  6  7  0  1  2  3  4  5  6  7"
                     "  0  1  2  3  4  5  6  7  0  1  2  3  4  5  6  7\n"
                     "          1  2  3  4  5  6  7  8  1  2  3  4  5  6  7  8"
                     "  1  2  3  4  5  6  7  8  1  2  3  4  5  6  7  8\n"
                     "          2  3  4  5  6  7  8  9  2  3  4  5  6  7  8  9"
                     "  2  3  4  5  6  7  8  9  2  3  4  5  6  7  8  9\n"
                     "          3  4  5  6  7  8  9 10  3  4  5  6  7  8  9 10"
                     "  3  4  5  6  7  8  9 10  3  4  5  6  7  8  9 10\n"
                     "          4  5  6  7  8  9 10 11  4  5  6  7  8  9 10 11"
                     "  4  5  6  7  8  9 10 11  4  5  6  7  8  9 10 11\n"
                     "          5  6  7  8  9 10 11 12  5  6  7  8  9 10 11 12"
                     "  5  6  7  8  9 10 11 12  5  6  7  8  9 10 11 12\n"
                     "          6  7  8  9 10 11 12 13  6  7  8  9 10 11 12 13"
                     "  6  7  8  9 10 11 12 13  6  7  8  9 10 11 12 13\n"
                     "          7  8  9 10 11 12 13 14  7  8  9 10 11 12 13 14"
                     "  7  8  9 10 11 12 13 14  7  8  9 10 11 12 13 14\n",
                     "%s", text);
    free(text);
}

Test(fields, dump_closes_the_bracket_at_the_end_of_a_line) {
    const struct assay_type_traits *t = assay_type_by_name("nvfp4");
    uint8_t block[36] = {0x38, 0x40, 0, 0};
    struct assay_field_bit marked = {field_named(t, "code"), 31, 0};
    struct assay_field_bit scale = {field_named(t, "scale"), 1, 0};
    char *text = dump("nvfp4", block, &marked);

    cr_expect_not_null(strstr(text, " 0[ 0]\n"), "%s", text);
    free(text);
    text = dump("nvfp4", block, &scale);
    cr_expect_not_null(strstr(text, "scale    1 (0x38)  [2 (0x40)]  0 (0x00)  0 (0x00)\n"), "%s",
                       text);
    free(text);
}
