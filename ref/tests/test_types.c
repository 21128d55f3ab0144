#include <criterion/criterion.h>

#include <string.h>

#include "ggml_oracle.h"
#include "ref/types.h"

Test(types, every_row_is_found_by_id_and_by_name) {
    for (size_t i = 0; i < assay_type_count(); i++) {
        const struct assay_type_traits *t = assay_type_at(i);
        cr_expect_eq(assay_type_traits((uint32_t)t->type), t, "%s by id", t->name);
        cr_expect_eq(assay_type_by_name(t->name), t, "%s by name", t->name);
        cr_expect_eq(assay_type_by_name(t->display), t, "%s by display name", t->name);
    }
}

Test(types, removed_and_unknown_ids_and_names_are_null) {
    cr_expect_null(assay_type_traits(4)); /* Q4_2, removed from ggml */
    cr_expect_null(assay_type_traits(UINT32_MAX));
    cr_expect_null(assay_type_by_name(""));
    cr_expect_null(assay_type_by_name("q4"));
    cr_expect_null(assay_type_by_name("q4_k_m"));
}

Test(types, only_decodable_block_types_are_quantised) {
    cr_expect(assay_type_is_quantised(assay_type_by_name("q4_k")));
    cr_expect_not(assay_type_is_quantised(assay_type_by_name("f16")));
    cr_expect_not(assay_type_is_quantised(assay_type_by_name("q8_1")));
    cr_expect_not(assay_type_is_quantised(assay_type_by_name("i32")));
}

Test(types, row_bytes_rejects_partial_blocks_and_overflow) {
    const struct assay_type_traits *q4_k = assay_type_by_name("q4_k");
    const struct assay_type_traits *f32 = assay_type_by_name("f32");
    size_t bytes = 7;

    cr_expect_not(assay_row_bytes(q4_k, 0, &bytes));
    cr_expect_not(assay_row_bytes(q4_k, 255, &bytes));
    cr_expect_not(assay_row_bytes(q4_k, 384, &bytes));
    cr_expect_not(assay_row_bytes(f32, SIZE_MAX / 4 + 1, &bytes));
    cr_expect_eq(bytes, 7, "a failure leaves the result alone");
    cr_expect(assay_row_bytes(f32, SIZE_MAX / 4, &bytes));
    cr_expect_eq(bytes, SIZE_MAX / 4 * 4);
    cr_expect(assay_row_bytes(q4_k, 4096, &bytes));
    cr_expect_eq(bytes, 16 * 144);
}

Test(types, a_row_is_decoded_block_after_block) {
    const struct assay_type_traits *t = assay_type_by_name("q8_0");
    uint8_t row[2 * 34] = {0};
    float out[64];

    row[1] = 0x3c;      /* d = 1 */
    row[34 + 1] = 0x40; /* d = 2 */
    row[2 + 31] = 5;
    row[34 + 2] = 0xff; /* -1 */
    assay_dequant_row(t, row, 64, out);
    cr_expect_eq(out[31], 5.0f);
    cr_expect_eq(out[32], -2.0f);
    cr_expect_eq(out[63], 0.0f);
}

Test(types, sizes_and_names_equal_those_of_ggml) {
    const char *why;
    size_t (*type_size)(int);
    int64_t (*blck_size)(int);
    const char *(*type_name)(int);
    void *size = ggml_symbol("libggml-base.so", "ggml_type_size", &why);
    void *length = ggml_symbol("libggml-base.so", "ggml_blck_size", &why);
    void *name = ggml_symbol("libggml-base.so", "ggml_type_name", &why);

    if (!size || !length || !name)
        cr_skip_test("%s", why);
    memcpy(&type_size, &size, sizeof size);
    memcpy(&blck_size, &length, sizeof length);
    memcpy(&type_name, &name, sizeof name);
    for (size_t i = 0; i < assay_type_count(); i++) {
        const struct assay_type_traits *t = assay_type_at(i);
        int id = (int)t->type;
        cr_expect_eq(type_size(id), t->block_bytes, "%s: %zu bytes", t->name, type_size(id));
        cr_expect_eq(blck_size(id), (int64_t)t->block_len, "%s: block length", t->name);
        cr_expect_eq(assay_type_by_name(type_name(id)), t, "%s is %s in ggml", t->name,
                     type_name(id));
    }
}
