/* The verify engine against backends with known faults. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "faulty_backend.h"
#include "harness/record.h"
#include "harness/verify.h"

/* A run and everything that it said. */
struct session {
    const struct assay_backend *backend;
    const struct assay_type_traits *types[2];
    int threads;
    struct assay_shape shape;
    struct assay_verify_params params;
    struct assay_plan plan;
    struct assay_verify_result *results;
    struct assay_verify_totals totals;
};

static struct assay_verify_report report_of(const struct session *s) {
    return (struct assay_verify_report){&s->plan, &s->params, s->results, NULL};
}

static void run_plan(struct session *s) {
    struct assay_verify_observer observer = {.keep_details = true};

    s->results = calloc(s->plan.n_cases + 1, sizeof *s->results);
    cr_assert_not_null(s->results);
    cr_assert(assay_verify_run(&s->plan, &s->params, &observer, s->results));
    s->totals = assay_verify_count(&s->plan, s->results);
}

/* Runs the backend with a fault on generated blocks of one or two types. */
static void run(struct session *s, enum fault fault, const char *type, const char *other) {
    current_fault = fault;
    s->backend = &faulty_backend;
    s->threads = 1;
    s->types[0] = assay_type_by_name(type);
    s->types[1] = other != NULL ? assay_type_by_name(other) : NULL;
    s->params = (struct assay_verify_params){
        .backends = &s->backend,
        .n_backends = 1,
        .types = s->types,
        .n_types = other != NULL ? 2 : 1,
        .threads = &s->threads,
        .n_threads = 1,
        .quick = true,
        .seed = 7,
        .timeout_s = 20,
    };
    cr_assert(assay_plan_make(&s->plan, &s->params));
    run_plan(s);
}

/* One product of a given shape with plain data. */
static void run_shape(struct session *s, enum fault fault, const char *type, size_t m, size_t n,
                      size_t k) {
    current_fault = fault;
    s->backend = &faulty_backend;
    s->threads = 1;
    s->types[0] = assay_type_by_name(type);
    s->shape = (struct assay_shape){m, n, k};
    s->params = (struct assay_verify_params){
        .backends = &s->backend,
        .n_backends = 1,
        .types = s->types,
        .n_types = 1,
        .shapes = &s->shape,
        .n_shapes = 1,
        .weights = 1 << ASSAY_WGEN_UNIFORM,
        .acts = 1 << ASSAY_AGEN_NORMAL,
        .threads = &s->threads,
        .n_threads = 1,
        .seed = 7,
        .timeout_s = 1,
    };
    cr_assert(assay_plan_make(&s->plan, &s->params));
    cr_assert_eq(s->plan.n_cases, 1);
    run_plan(s);
}

static void end(struct session *s) {
    assay_verify_results_free(s->results, s->plan.n_cases);
    assay_plan_free(&s->plan);
}

static const char *field(const struct session *s, size_t i, const char *name) {
    const char *text = json_string_value(json_object_get(s->results[i].detail, name));
    return text != NULL ? text : "";
}

static long long worst_field(const struct session *s, size_t i, const char *name) {
    const json_t *worst = json_object_get(s->results[i].detail, "worst");
    cr_assert_not_null(worst);
    return json_integer_value(json_object_get(worst, name));
}

static enum assay_op op_of(const struct session *s, size_t i) {
    return s->plan.problems[s->plan.cases[i].problem].op;
}

Test(verify, passes_a_right_backend_on_every_type) {
    struct session s;
    run(&s, FAULT_NONE, "q4_k", "iq3_s");
    cr_assert_gt(s.totals.passed, 20);
    cr_assert_eq(s.totals.passed, s.plan.n_cases);
    for (size_t i = 0; i < s.plan.n_cases; i++)
        cr_assert(s.results[i].ratio >= 0 && s.results[i].ratio <= 1);
    end(&s);
}

Test(verify, finds_q6_k_high_bits_shifted_and_names_the_row) {
    struct session s;
    run_shape(&s, FAULT_Q6K_HIGH_BITS, "q6_k", 3, 7, 512);
    cr_assert_eq(s.totals.failed, 1);
    cr_assert_str_eq(field(&s, 0, "problem"), "wrong value");
    cr_assert_eq(worst_field(&s, 0, "column"), FAULTY_ROW);
    cr_assert_eq(json_integer_value(json_object_get(s.results[0].detail, "wrong")), 3,
                 "one column of three rows is wrong");
    end(&s);
}

Test(verify, finds_q4_k_min_of_sub_block_7_dropped_and_names_the_row) {
    struct session s;
    run_shape(&s, FAULT_Q4K_MIN, "q4_k", 2, 9, 256);
    cr_assert_eq(s.totals.failed, 1);
    cr_assert_eq(worst_field(&s, 0, "column"), FAULTY_ROW);
    cr_assert_eq(json_integer_value(json_object_get(s.results[0].detail, "wrong")), 2);
    end(&s);
}

Test(verify, row_lookup_names_the_weight_of_a_broken_decoder) {
    struct session s;
    size_t seen = 0;
    run(&s, FAULT_Q4K_MIN, "q4_k", NULL);
    for (size_t i = 0; i < s.plan.n_cases; i++) {
        const struct assay_problem *p = &s.plan.problems[s.plan.cases[i].problem];
        if (op_of(&s, i) != ASSAY_OP_ROWS || s.results[i].verdict != ASSAY_FAIL)
            continue;
        seen++;
        cr_assert_eq(assay_problem_lookup(p, (size_t)worst_field(&s, i, "row")), FAULTY_ROW);
        cr_assert_geq(worst_field(&s, i, "column") % 256, 224, "sub-block 7 is weights 224 to 255");
    }
    cr_assert_gt(seen, 0);
    end(&s);
}

Test(verify, a_fault_of_one_type_leaves_the_others_alone) {
    struct session s;
    run(&s, FAULT_Q6K_HIGH_BITS, "q6_k", "q8_0");
    for (size_t i = 0; i < s.plan.n_cases; i++) {
        const struct assay_problem *p = &s.plan.problems[s.plan.cases[i].problem];
        if (p->n_parts == 1 && p->parts[0].type->type == ASSAY_TYPE_Q8_0)
            cr_assert_eq(s.results[i].verdict, ASSAY_PASS);
    }
    cr_assert_gt(s.totals.failed, 0);
    end(&s);
}

Test(verify, a_crash_is_a_finding_and_the_run_goes_on) {
    struct session s;
    run(&s, FAULT_CRASH_ON_Q5K, "q4_0", "q5_k");
    for (size_t i = 0; i < s.plan.n_cases; i++) {
        const struct assay_problem *p = &s.plan.problems[s.plan.cases[i].problem];
        bool crashes = p->parts[0].type->type == ASSAY_TYPE_Q5_K && p->op != ASSAY_OP_ROWS &&
                       p->m > 0;
        cr_assert_eq(s.results[i].verdict, crashes ? ASSAY_FAIL : ASSAY_PASS);
        if (crashes) {
            cr_assert_str_eq(field(&s, i, "crash"), "SIGSEGV");
            cr_assert(json_is_false(json_object_get(s.results[i].detail, "passes_alone")));
        }
    }
    cr_assert_gt(s.totals.failed, 0);
    cr_assert_gt(s.totals.passed, 0);
    end(&s);
}

Test(verify, a_hang_is_a_finding) {
    struct session s;
    run_shape(&s, FAULT_HANG_ON_Q5K, "q5_k", 1, 3, 256);
    cr_assert_eq(s.totals.failed, 1);
    cr_assert_str_eq(field(&s, 0, "crash"), "timeout 1 s");
    end(&s);
}

Test(verify, finds_nan_unwritten_and_overrun) {
    static const struct {
        enum fault fault;
        const char *problem;
    } cases[] = {
        {FAULT_NAN, "wrong value"},
        {FAULT_SKIPS_COLUMN, "element not written"},
        {FAULT_WRITES_PAST_N, "write outside the output"},
        {FAULT_ALL_ZERO, "wrong value"},
        {FAULT_FAILS, "the product failed: the device is on fire"},
        {FAULT_UNSUPPORTED, "creation failed: not this one"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct session s;
        run_shape(&s, cases[i].fault, "q8_0", 2, 9, 64);
        cr_assert_eq(s.totals.failed, 1, "fault %d", (int)cases[i].fault);
        cr_assert_str_eq(field(&s, 0, "problem"), cases[i].problem);
        end(&s);
    }
}

Test(verify, finds_a_kernel_that_is_right_only_once) {
    struct session s;
    run_shape(&s, FAULT_SECOND_CALL, "q8_0", 2, 9, 64);
    cr_assert_eq(s.totals.failed, 1);
    cr_assert_eq(json_integer_value(json_object_get(s.results[0].detail, "call")), 2);
    end(&s);
}

Test(verify, finds_a_read_past_the_end_of_an_input) {
    struct session s;
    run_shape(&s, FAULT_READS_PAST_X, "q8_0", 3, 5, 96);
    cr_assert_eq(s.totals.failed, 1);
    cr_assert_str_eq(field(&s, 0, "crash"), "SIGSEGV");
    end(&s);
}

/* What a failure prints, as one string. The caller frees it. */
static char *failure_text(const struct session *s, size_t i) {
    struct assay_verify_report report = report_of(s);
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    cr_assert_not_null(f);
    assay_verify_print_failure(f, &report, i);
    fclose(f);
    return text;
}

Test(verify, a_failure_prints_place_values_bound_and_command) {
    struct session s;
    char *text;
    run_shape(&s, FAULT_Q6K_HIGH_BITS, "q6_k", 1, 7, 256);
    text = failure_text(&s, 0);
    cr_assert(strstr(text, "row 0, column 5 (weight row 5 of Q6_K)") != NULL, "%s", text);
    cr_assert(strstr(text, "got ") != NULL && strstr(text, "expected ") != NULL, "%s", text);
    cr_assert(strstr(text, "times the bound") != NULL, "%s", text);
    cr_assert(strstr(text, "assay verify --seed 7 --case "
                           "gemm/q6_k/1x7x256/uniform/normal/faulty/-/t1\n") != NULL,
              "%s", text);
    free(text);
    end(&s);
}

/* One case by its id. */
static void run_id(struct session *s, enum fault fault, const struct assay_gguf *gguf,
                   const char *id) {
    char err[256] = "";
    current_fault = fault;
    s->backend = &faulty_backend;
    s->params = (struct assay_verify_params){
        .backends = &s->backend, .n_backends = 1, .gguf = gguf, .seed = 7, .timeout_s = 20};
    cr_assert(assay_plan_make_one(&s->plan, &s->params, id, err, sizeof err), "%s", err);
    run_plan(s);
}

Test(verify, a_failure_of_a_fused_product_names_the_part_and_its_row) {
    struct session s;
    char *text;
    run_id(&s, FAULT_Q6K_HIGH_BITS, NULL,
           "fused/q4_k+q6_k+q4_k/2x7x256/uniform/normal/faulty/-/t1");
    cr_assert_eq(worst_field(&s, 0, "column"), 7 + FAULTY_ROW);
    text = failure_text(&s, 0);
    cr_assert(strstr(text, "column 12 (weight row 5 of Q6_K)") != NULL, "%s", text);
    free(text);
    end(&s);
}

Test(verify, the_id_of_a_failure_reproduces_it_exactly) {
    struct session first, again;
    char id[256], err[256] = "";
    run_shape(&first, FAULT_Q6K_HIGH_BITS, "q6_k", 4, 7, 512);
    assay_case_id(&first.plan.problems[0], &first.plan.cases[0].runner, id, sizeof id);

    again = first;
    cr_assert(assay_plan_make_one(&again.plan, &first.params, id, err, sizeof err), "%s", err);
    cr_assert_eq(again.plan.n_cases, 1);
    run_plan(&again);
    cr_assert(json_equal(first.results[0].detail, again.results[0].detail));
    end(&again);
    end(&first);
}

Test(verify, another_seed_makes_other_data) {
    struct session a;
    json_t *got;
    run_shape(&a, FAULT_Q6K_HIGH_BITS, "q6_k", 1, 7, 256);
    got = json_deep_copy(json_object_get(a.results[0].detail, "worst"));
    a.params.seed = 8;
    assay_verify_results_free(a.results, a.plan.n_cases);
    run_plan(&a);
    cr_assert_not(json_equal(got, json_object_get(a.results[0].detail, "worst")));
    json_decref(got);
    end(&a);
}

Test(verify, plan_is_the_same_every_time) {
    struct session s;
    struct assay_plan again;
    run(&s, FAULT_NONE, "q4_0", NULL);
    cr_assert(assay_plan_make(&again, &s.params));
    cr_assert_eq(again.n_cases, s.plan.n_cases);
    for (size_t i = 0; i < again.n_cases; i++) {
        char a[256], b[256];
        assay_case_id(&again.problems[again.cases[i].problem], &again.cases[i].runner, a, sizeof a);
        assay_case_id(&s.plan.problems[s.plan.cases[i].problem], &s.plan.cases[i].runner, b,
                      sizeof b);
        cr_assert_str_eq(a, b);
    }
    assay_plan_free(&again);
    end(&s);
}

Test(verify, a_shape_that_no_block_fits_is_skipped_with_a_reason) {
    struct session s = {.backend = &faulty_backend, .threads = 1};
    struct assay_shape shape = {1, 3, 100};
    s.types[0] = assay_type_by_name("q4_k");
    s.params = (struct assay_verify_params){.backends = &s.backend,
                                            .n_backends = 1,
                                            .types = s.types,
                                            .n_types = 1,
                                            .shapes = &shape,
                                            .n_shapes = 1,
                                            .threads = &s.threads,
                                            .n_threads = 1};
    cr_assert(assay_plan_make(&s.plan, &s.params));
    cr_assert_eq(s.plan.n_cases, 0);
    cr_assert_eq(s.plan.n_skips, 1);
    cr_assert(strstr(s.plan.skips[0].reason, "block length") != NULL);
    assay_plan_free(&s.plan);
}

Test(verify, record_holds_every_case_and_the_counts) {
    struct session s;
    struct assay_verify_report report;
    json_t *record = json_object();
    run(&s, FAULT_Q4K_MIN, "q4_k", NULL);
    report = report_of(&s);
    cr_assert(assay_verify_record(record, &report));
    cr_assert_eq(json_array_size(json_object_get(record, "results")), s.plan.n_cases);
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(record, "summary"), "failed")),
                 (json_int_t)s.totals.failed);
    cr_assert_gt(s.totals.failed, 0);
    for (size_t i = 0; i < s.plan.n_cases; i++) {
        json_t *r = json_array_get(json_object_get(record, "results"), i);
        cr_assert_str_eq(json_string_value(json_object_get(r, "verdict")),
                         assay_verdict_name(s.results[i].verdict));
    }
    json_decref(record);
    end(&s);
}
