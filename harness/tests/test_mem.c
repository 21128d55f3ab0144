#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "harness/mem.h"
#include "harness/mem_catalogue.h"
#include "harness/model_pass.h"

#define MIB ((uint64_t)1 << 20)

static const uint64_t layers[] = {100 * MIB, 100 * MIB, 150 * MIB, 100 * MIB};

/* Tables 200 MiB and 2 bytes for each of 50 Mi weights: 300 MiB before the first layer. */
static uint32_t fit(uint64_t memory_mib, bool *fits) {
    return assay_mem_fit(layers, 4, 200 * MIB, 50 * MIB, memory_mib * MIB, fits);
}

Test(mem, as_many_layers_as_nine_tenths_of_the_memory_hold) {
    bool fits;
    cr_assert_eq(fit(1000, &fits), 4);
    cr_assert(fits);
    cr_assert_eq(fit(834, &fits), 4); /* 750 of 750.6 */
    cr_assert_eq(fit(833, &fits), 3); /* 749.7 */
    cr_assert_eq(fit(600, &fits), 2); /* 540: the third would make it 650 */
    cr_assert_eq(fit(445, &fits), 1);
    cr_assert(fits);
    cr_assert_eq(fit(444, &fits), 0); /* 399.6 */
    cr_assert(!fits);
}

static struct assay_mem_row part_of_a_model(void) {
    return (struct assay_mem_row){
        .outcome = ASSAY_MEM_MEASURED,
        .layers = 2,
        .layers_wanted = 8,
        .measured =
            {.disk = 1000, .peak = 5000, .anon = 4500, .file = 600, .load_s = 3, .pass_s = 5},
    };
}

Test(mem, what_is_left_out_is_added_by_bytes_and_by_time_per_layer) {
    struct assay_mem_row r = part_of_a_model();
    assay_mem_extrapolate(&r, 12000, 1800, true, 2, 4);
    cr_assert_eq(r.whole.disk, 2800);
    cr_assert_eq(r.whole.peak, 17000);
    cr_assert_eq(r.whole.anon, 16500);
    cr_assert_eq(r.whole.file, 600);
    cr_assert_eq(r.whole.load_s, 9);  /* one second a layer, six layers more */
    cr_assert_eq(r.whole.pass_s, 17); /* two seconds a layer */

    r = part_of_a_model();
    assay_mem_extrapolate(&r, 1800, 1800, false, 2, 4);
    cr_assert_eq(r.whole.anon, 4500);
    cr_assert_eq(r.whole.file, 2400, "borrowed blocks are pages of the file");
}

Test(mem, an_extrapolated_row_says_so_and_keeps_what_was_measured) {
    struct assay_mem_row r = part_of_a_model();
    r.backend = assay_backend_by_name("scalar");
    r.runs = json_array();
    assay_mem_extrapolate(&r, 12000, 1800, true, 2, 4);
    json_t *j = assay_mem_row_json(&r);
    const json_t *measured = json_object_get(j, "measured"),
                 *whole = json_object_get(j, "extrapolation");

    cr_assert(json_is_true(json_object_get(j, "extrapolated")));
    cr_assert_eq(json_integer_value(json_object_get(j, "layers")), 2);
    cr_assert_eq(json_integer_value(json_object_get(j, "layers_total")), 8);
    cr_assert_eq(json_integer_value(json_object_get(measured, "peak_bytes")), 5000);
    cr_assert_eq(json_integer_value(json_object_get(whole, "peak_bytes")), 17000);
    json_decref(j);
    assay_mem_row_clear(&r);
}

Test(mem, a_row_without_a_measurement_has_a_reason_and_no_figures) {
    struct assay_mem_row r = {.backend = assay_backend_by_name("scalar"),
                              .outcome = ASSAY_MEM_CRASHED,
                              .reason = "SIGSEGV",
                              .layers_wanted = 8,
                              .runs = json_array()};
    json_t *j = assay_mem_row_json(&r);
    cr_assert_str_eq(json_string_value(json_object_get(j, "outcome")), "crashed");
    cr_assert_str_eq(json_string_value(json_object_get(j, "reason")), "SIGSEGV");
    cr_assert_null(json_object_get(j, "measured"));
    cr_assert(json_is_false(json_object_get(j, "extrapolated")));
    json_decref(j);
    assay_mem_row_clear(&r);
}

Test(mem, logits_are_compared_with_those_of_eager_f32_of_equal_depth) {
    float ref[] = {1, 2, -2}, same[] = {1, 2.5f, -2}, bad[] = {1, NAN, 0};
    struct assay_mem_row rows[] = {
        {.backend = assay_backend_by_name("cpu"), .layers = 4, .logits = same, .n_logits = 3},
        {.backend = assay_backend_by_name("eager-f32"), .layers = 4, .logits = ref, .n_logits = 3},
        {.backend = assay_backend_by_name("scalar"), .layers = 2, .logits = same, .n_logits = 3},
        {.backend = assay_backend_by_name("eager-f16"), .layers = 4, .logits = bad, .n_logits = 3},
    };
    assay_mem_compare(rows, 4);
    cr_assert(rows[0].compared);
    cr_assert_float_eq(rows[0].nmse, 0.25 / 9, 1e-15);
    cr_assert_eq(rows[0].max_abs, 0.5);
    cr_assert_eq(rows[1].nmse, 0);
    cr_assert(!rows[2].compared, "other layers give other logits");
    cr_assert(isnan(rows[3].nmse) && isnan(rows[3].max_abs), "a NaN must not vanish");
}

Test(mem, the_bar_is_five_per_cent_and_sixteen_mib) {
    cr_assert_eq(assay_mem_bar(100), 105 + 16 * 1048576.0);
}

Test(mem, thirty_two_gib_hold_30b_a3b_quantised_and_not_eager) {
    const struct assay_file_type *type = assay_file_type_by_name("Q4_K_M");
    const uint64_t limit = 32ull << 30;
    const struct assay_model_shape *s = assay_mem_largest(type, limit);

    cr_assert_not_null(s);
    cr_assert_str_eq(s->name, "qwen3-30b-a3b");
    struct assay_mem_need need = assay_mem_need(s, type);
    cr_expect_lt(need.quantised, limit);
    cr_expect_gt(need.eager_f16, limit);
    cr_expect_gt(need.eager_f32, need.eager_f16);
    cr_expect_eq(need.transient - need.quantised, 2ull * s->n_vocab * s->n_embd);
    cr_expect_null(assay_mem_largest(type, 1 << 20));
}
