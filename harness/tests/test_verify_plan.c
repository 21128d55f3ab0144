/* Which cases verify plans, in what order, and what a run says that it reached. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "faulty_backend.h"
#include "harness/check.h"
#include "harness/record.h"
#include "harness/verify_internal.h"

static const struct assay_backend *const backend = &faulty_backend;
static const int threads[] = {1, 2};
static const struct assay_type_traits *types[3];

static uint32_t check_bit(const char *name) {
    uint32_t i = 0;
    while (strcmp(assay_checks[i]->name, name) != 0)
        i++;
    return 1u << i;
}

static struct assay_verify_params params_of(const char *type, const char *other) {
    struct assay_verify_params p = {
        .backends = &backend,
        .n_backends = 1,
        .types = types,
        .n_types = other != NULL ? 2 : 1,
        .threads = threads,
        .n_threads = 2,
        .thin_threads = true,
        .seed = 7,
        .timeout_s = 20,
    };
    types[0] = assay_type_by_name(type);
    types[1] = other != NULL ? assay_type_by_name(other) : NULL;
    current_fault = FAULT_NONE;
    return p;
}

static const struct assay_problem *problem_of(const struct assay_plan *plan, size_t i) {
    return &plan->problems[plan->cases[i].problem];
}

static struct assay_verify_result *run(const struct assay_plan *plan,
                                       const struct assay_verify_params *p) {
    struct assay_verify_observer observer = {.keep_details = true};
    struct assay_verify_result *results = calloc(plan->n_cases + 1, sizeof *results);
    cr_assert(assay_verify_run(plan, p, &observer, results));
    return results;
}

/* ---- Shapes ---- */

/* Level of each factor of a case of a cover, in turn `turn`: classes, or values in a full one. */
static void levels_of(const struct assay_shape_case *c, size_t turn, bool full, size_t level[5]) {
    struct assay_shape s = assay_shape_of(c, turn);
    size_t value[3] = {s.m, s.n, s.k};
    for (size_t f = 0; f < 3; f++)
        level[f] = full ? value[f] : assay_shape_class((enum assay_shape_factor)f, value[f]);
    level[3] = (size_t)c->weights;
    level[4] = (size_t)c->acts;
}

static bool has_pair(const struct assay_shape_cover *cover, bool full, size_t a, size_t la,
                     size_t b, size_t lb) {
    for (size_t i = 0; i < cover->n; i++) {
        size_t level[5];
        levels_of(&cover->cases[i], i, full, level);
        if (level[a] == la && level[b] == lb)
            return true;
    }
    return false;
}

static void expect_all_pairs(bool full) {
    const unsigned weights = (1u << ASSAY_WGEN_COUNT) - 1, acts = (1u << ASSAY_AGEN_COUNT) - 1;
    struct assay_shape_cover cover;
    bool seen[5][80] = {{false}};

    cr_assert(assay_shapes_cover(&cover, full, weights, acts));
    for (size_t i = 0; i < cover.n; i++) {
        size_t level[5];
        levels_of(&cover.cases[i], i, full, level);
        for (size_t f = 0; f < 5; f++)
            seen[f][level[f]] = true;
    }
    for (size_t a = 0; a < 5; a++)
        for (size_t b = a + 1; b < 5; b++)
            for (size_t la = 0; la < 80; la++)
                for (size_t lb = 0; lb < 80; lb++)
                    if (seen[a][la] && seen[b][lb])
                        cr_assert(has_pair(&cover, full, a, la, b, lb), "factors %zu %zu: %zu %zu",
                                  a, b, la, lb);
    for (size_t w = 0; w < ASSAY_WGEN_COUNT; w++)
        cr_assert(seen[3][w]);
    for (size_t m = 1; full && m <= 17; m++)
        cr_assert(seen[0][m], "m = %zu", m);
    cr_assert(!full || (seen[1][1] && seen[1][33] && seen[2][1] && seen[2][64]));
    free(cover.cases);
}

Test(verify_plan, every_pair_of_classes_occurs) { expect_all_pairs(false); }

Test(verify_plan, every_pair_of_values_occurs_in_a_full_run) { expect_all_pairs(true); }

Test(verify_plan, no_product_of_the_cover_is_large) {
    struct assay_shape_cover cover;
    cr_assert(assay_shapes_cover(&cover, true, 3, 3));
    for (size_t i = 0; i < cover.n; i++) {
        struct assay_shape s = assay_shape_of(&cover.cases[i], 0);
        cr_assert_leq(s.m * s.n * s.k, 65 * 65 * 2);
    }
    free(cover.cases);
}

Test(verify_plan, each_m_up_to_two_tiles_and_one_occurs_over_the_types) {
    struct assay_verify_params p = params_of("q4_0", NULL);
    struct assay_plan plan;
    bool seen[18] = {false};

    p.types = NULL;
    p.n_types = 0;
    cr_assert(assay_plan_make(&plan, &p));
    for (size_t i = 0; i < plan.n_problems; i++)
        if (plan.problems[i].op == ASSAY_OP_GEMM && plan.problems[i].m <= 17)
            seen[plan.problems[i].m] = true;
    for (size_t m = 0; m <= 17; m++)
        cr_assert(seen[m], "m = %zu", m);
    assay_plan_free(&plan);
}

Test(verify_plan, a_full_run_has_rows_of_real_models) {
    struct assay_verify_params p = params_of("q4_k", NULL);
    struct assay_plan plan;
    size_t large = 0;

    p.full = true;
    cr_assert(assay_plan_make(&plan, &p));
    for (size_t i = 0; i < plan.n_problems; i++)
        large += plan.problems[i].op == ASSAY_OP_GEMM && plan.problems[i].parts[0].rows == 40;
    cr_assert_gt(large, 0);
    assay_plan_free(&plan);
}

Test(verify_plan, fused_parts_of_no_rows_and_products_of_no_rows_pass) {
    static const char *const ids[] = {"fused/q4_0+q6_k+q4_0/1x5+0+8x512/uniform/normal/faulty/-/t1",
                                      "gemm/q4_0/0x3x32/uniform/normal/faulty/-/t1"};
    struct assay_verify_params p = params_of("q4_0", NULL);

    for (size_t i = 0; i < 2; i++) {
        struct assay_plan plan;
        char err[200] = "";
        cr_assert(assay_plan_make_one(&plan, &p, ids[i], err, sizeof err), "%s", err);
        struct assay_verify_result *results = run(&plan, &p);
        cr_assert_eq(results[0].verdict, ASSAY_PASS, "%s", ids[i]);
        assay_verify_results_free(results, plan.n_cases);
        assay_plan_free(&plan);
    }
}

/* ---- Checks ---- */

Test(verify_plan, a_check_is_one_case_a_type_and_runner) {
    struct assay_verify_params p = params_of("q4_k", "q6_k");
    struct assay_plan plan;
    char id[256];

    p.checks = check_bit("decode");
    p.checks_only = true;
    cr_assert(assay_plan_make(&plan, &p));
    cr_assert_eq(plan.n_cases, 2);
    assay_case_id(problem_of(&plan, 1), &plan.cases[1].runner, id, sizeof id);
    cr_assert_str_eq(id, "check/decode/q6_k/faulty/-/t1");
    assay_plan_free(&plan);
}

Test(verify_plan, a_check_of_an_unclaimed_property_is_a_skip) {
    struct assay_verify_params p = params_of("q4_k", "q6_k");
    struct assay_plan plan;

    p.checks = check_bit("nonfinite") | check_bit("exact");
    p.checks_only = true;
    cr_assert(assay_plan_make(&plan, &p));
    cr_assert_eq(plan.n_cases, 2);
    cr_assert_eq(plan.n_skips, 1);
    cr_assert_eq(plan.skips[0].count, 2);
    cr_assert_str_eq(plan.skips[0].reason, "not claimed: nonfinite");
    assay_plan_free(&plan);
}

Test(verify_plan, what_a_check_finds_is_printed_recorded_and_reproduced) {
    struct assay_verify_params p = params_of("q4_k", NULL);
    struct assay_plan plan, again;
    struct assay_verify_result *results, *repeated;
    json_t *record = json_object(), *result;
    char *text = NULL, err[200] = "";
    size_t size;
    FILE *f;

    p.checks = check_bit("decode");
    p.checks_only = true;
    cr_assert(assay_plan_make(&plan, &p));
    current_fault = FAULT_Q4K_MIN;
    results = run(&plan, &p);
    cr_assert_eq(results[0].verdict, ASSAY_FAIL);

    struct assay_verify_report report = {&plan, &p, results, NULL};
    f = open_memstream(&text, &size);
    assay_verify_print_failure(f, &report, 0);
    fclose(f);
    cr_assert(strstr(text, "check/decode/q4_k/faulty/-/t1\n  ") != NULL, "%s", text);
    cr_assert(strstr(text, "\n    expected   ") != NULL, "%s", text);
    cr_assert(strstr(text, "\n    got        ") != NULL, "%s", text);
    cr_assert(strstr(text, "verify --seed 7 --case check/decode/q4_k/faulty/-/t1\n") != NULL, "%s",
              text);
    free(text);

    cr_assert(assay_verify_record(record, &report));
    result = json_array_get(json_object_get(record, "results"), 0);
    cr_assert_str_eq(json_string_value(json_object_get(result, "op")), "check");
    cr_assert_str_eq(json_string_value(json_object_get(result, "check")), "decode");
    cr_assert(json_is_object(json_object_get(record, "coverage")));
    cr_assert_not_null(json_object_get(result, "got"));
    json_decref(record);

    cr_assert(assay_plan_make_one(&again, &p, "check/decode/q4_k/faulty/-/t1", err, sizeof err));
    repeated = run(&again, &p);
    cr_assert(json_equal(results[0].detail, repeated[0].detail));
    assay_verify_results_free(repeated, again.n_cases);
    assay_plan_free(&again);
    assay_verify_results_free(results, plan.n_cases);
    assay_plan_free(&plan);
}

Test(verify_plan, a_crash_in_a_check_is_a_finding) {
    struct assay_verify_params p = params_of("q5_k", "q4_0");
    struct assay_plan plan;
    struct assay_verify_result *results;

    p.checks = check_bit("exact");
    p.checks_only = true;
    cr_assert(assay_plan_make(&plan, &p));
    current_fault = FAULT_CRASH_ON_Q5K;
    results = run(&plan, &p);
    for (size_t i = 0; i < plan.n_cases; i++)
        cr_assert_eq(results[i].verdict,
                     problem_of(&plan, i)->parts[0].type == types[0] ? ASSAY_FAIL : ASSAY_PASS);
    assay_verify_results_free(results, plan.n_cases);
    assay_plan_free(&plan);
}

/* ---- Budget ---- */

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char **sorted_ids(const struct assay_plan *plan) {
    char **ids = calloc(plan->n_cases + 1, sizeof *ids);
    for (size_t i = 0; i < plan->n_cases; i++) {
        char id[256];
        assay_case_id(problem_of(plan, i), &plan->cases[i].runner, id, sizeof id);
        ids[i] = strdup(id);
    }
    qsort(ids, plan->n_cases, sizeof *ids, by_text);
    return ids;
}

Test(verify_plan, a_budget_reorders_the_same_cases) {
    struct assay_verify_params p = params_of("q4_k", "q6_k");
    struct assay_plan plain, ordered;
    char **a, **b;

    p.checks = check_bit("decode") | check_bit("exact") | check_bit("repeat");
    cr_assert(assay_plan_make(&plain, &p));
    p.budget_s = 10;
    cr_assert(assay_plan_make(&ordered, &p));
    cr_assert_eq(plain.n_cases, ordered.n_cases);
    a = sorted_ids(&plain);
    b = sorted_ids(&ordered);
    for (size_t i = 0; i < plain.n_cases; i++) {
        cr_assert_str_eq(a[i], b[i]);
        free(a[i]);
        free(b[i]);
    }
    free(a);
    free(b);
    assay_plan_free(&plain);
    assay_plan_free(&ordered);
}

Test(verify_plan, a_budget_takes_the_checks_of_decoding_and_a_product_of_each_type_first) {
    struct assay_verify_params p = params_of("q4_k", "q6_k");
    struct assay_plan plan;

    p.checks = check_bit("decode") | check_bit("bits") | check_bit("exact") | check_bit("repeat") |
               check_bit("metamorphic");
    p.budget_s = 10;
    cr_assert(assay_plan_make(&plan, &p));
    for (size_t i = 0; i < 8; i++) {
        static const char *const order[] = {"decode", NULL, "exact", "bits"};
        const struct assay_problem *problem = &plan.problems[i];
        if (order[i / 2] != NULL)
            cr_assert_str_eq(problem->op == ASSAY_OP_CHECK ? problem->check->name : "product",
                             order[i / 2]);
        else
            cr_assert(problem->op == ASSAY_OP_GEMM && problem->m > 0);
        cr_assert_neq(problem->parts[0].type, plan.problems[i ^ 1].parts[0].type);
    }
    cr_assert_eq(plan.problems[8].op, ASSAY_OP_CHECK);
    cr_assert_neq(plan.problems[10].op, ASSAY_OP_CHECK);
    assay_plan_free(&plan);
}

Test(verify_plan, a_used_budget_stops_the_run_and_the_coverage_says_so) {
    struct assay_verify_params p = params_of("q5_k", NULL);
    struct assay_plan plan;
    struct assay_verify_result *results;
    struct assay_verify_coverage c;

    p.budget_s = 0.3;
    p.timeout_s = 1;
    cr_assert(assay_plan_make(&plan, &p));
    current_fault = FAULT_HANG_ON_Q5K; /* the first product outlasts the budget */
    results = run(&plan, &p);
    cr_assert(assay_verify_cover(&plan, results, &c));
    cr_assert_eq(c.all_cases, plan.n_cases);
    cr_assert_gt(c.cases, 0);
    cr_assert_lt(c.cases, c.all_cases);
    cr_assert_lt(c.pairs, c.all_pairs);
    cr_assert_leq(c.combinations, c.all_combinations);
    cr_assert_eq(assay_verify_count(&plan, results).not_run, c.all_cases - c.cases);
    assay_verify_results_free(results, plan.n_cases);
    assay_plan_free(&plan);
}

Test(verify_plan, a_whole_run_covers_everything_with_any_number_of_children) {
    struct assay_verify_params p = params_of("q4_0", NULL);
    struct assay_plan plan;
    struct assay_verify_result *one, *three;
    struct assay_verify_coverage c;

    p.quick = true;
    p.checks = check_bit("exact");
    cr_assert(assay_plan_make(&plan, &p));
    current_fault = FAULT_SKIPS_COLUMN;
    one = run(&plan, &p);
    p.jobs = 3;
    three = run(&plan, &p);
    for (size_t i = 0; i < plan.n_cases; i++) {
        cr_assert_eq(one[i].verdict, three[i].verdict);
        /* An unwritten element of a fused part or an expert shows what its staging buffer held. */
        enum assay_op op = problem_of(&plan, i)->op;
        cr_assert(op == ASSAY_OP_FUSED || op == ASSAY_OP_EXPERTS ||
                  json_equal(one[i].detail, three[i].detail));
    }
    cr_assert(assay_verify_cover(&plan, three, &c));
    cr_assert_eq(c.cases, c.all_cases);
    cr_assert_eq(c.combinations, c.all_combinations);
    cr_assert_eq(c.pairs, c.all_pairs);
    assay_verify_results_free(one, plan.n_cases);
    assay_verify_results_free(three, plan.n_cases);
    assay_plan_free(&plan);
}
