#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/bench_case.h"
#include "harness/bench_internal.h"
#include "harness/bench_measure.h"
#include "harness/bench_report.h"
#include "harness/record.h"
#include "harness/roofline.h"
#include "harness/timer.h"
#include "impl/backend.h"

/* ---- Measurement ----------------------------------------------------------------------------- */

struct tally {
    size_t calls, fail_at; /* fail_at 0: never */
    char name;
    char *log; /* shared; one letter per change of contestant */
};

static bool count_call(void *user) {
    struct tally *t = user;
    size_t n = strlen(t->log);

    if ((n == 0 || t->log[n - 1] != t->name) && n < 511)
        t->log[n] = t->name;
    return ++t->calls != t->fail_at;
}

/* sample_s 0: one call a sample. */
static const struct assay_measure_params brief = {
    .samples = 12, .min_s = 0, .max_s = 100, .sample_s = 0, .seed = 5};

Test(bench_measure, takes_one_sample_of_everyone_a_round_in_changing_order) {
    char log[512] = "";
    struct tally t[3] = {
        {.name = 'a', .log = log}, {.name = 'b', .log = log}, {.name = 'c', .log = log}};
    struct assay_contestant c[3];
    size_t failed, orders = 0;

    for (size_t i = 0; i < 3; i++)
        c[i] = (struct assay_contestant){.call = count_call, .user = &t[i]};
    cr_assert_eq(assay_measure(&brief, c, 3, &failed), 12);
    for (size_t i = 0; i < 3; i++) {
        cr_expect_eq(c[i].repeats, 1);
        for (size_t r = 0; r < 12; r++)
            cr_expect(isfinite(c[i].ns[r]) && c[i].ns[r] >= 0);
        /* Three warm-up calls at the least, an untimed and a timed one a round. */
        cr_expect(t[i].calls >= 3 + 2 * 12);
        free(c[i].ns);
    }
    /* Warm-up goes a, b, c. With a fixed order, c would be followed by a every time. */
    for (size_t i = 0; log[i + 1] != '\0'; i++)
        orders += log[i] == 'c' && log[i + 1] != 'a';
    cr_expect(orders > 0, "%s", log);
}

static size_t rests, calls_at_rest;

static void count_rest(void *user) {
    struct tally *t = user;

    cr_expect(t->calls > calls_at_rest, "sent to rest twice without a call between");
    calls_at_rest = t->calls;
    rests++;
}

Test(bench_measure, sends_a_contestant_to_rest_after_each_turn) {
    char log[512] = "";
    struct tally t = {.name = 'a', .log = log};
    struct assay_contestant c = {.call = count_call, .rest = count_rest, .user = &t};
    size_t failed;

    cr_assert_eq(assay_measure(&brief, &c, 1, &failed), 12);
    cr_expect_eq(rests, 1 + 12, "%zu rests", rests); /* the warm-up is a turn as well */
    cr_expect_eq(calls_at_rest, t.calls);
    free(c.ns);
}

Test(bench_measure, order_depends_on_the_seed_alone) {
    char log[3][512] = {"", "", ""};

    for (size_t run = 0; run < 3; run++) {
        struct tally t[3] = {{.name = 'a', .log = log[run]},
                             {.name = 'b', .log = log[run]},
                             {.name = 'c', .log = log[run]}};
        struct assay_measure_params p = brief;
        struct assay_contestant c[3];
        size_t failed;

        p.seed += run == 2;
        for (size_t i = 0; i < 3; i++)
            c[i] = (struct assay_contestant){.call = count_call, .user = &t[i]};
        assay_measure(&p, c, 3, &failed);
        for (size_t i = 0; i < 3; i++)
            free(c[i].ns);
    }
    cr_expect_str_eq(log[0], log[1]);
    cr_expect_str_neq(log[0], log[2]);
}

Test(bench_measure, repeats_calls_until_a_sample_is_long_enough) {
    char log[512] = "";
    struct tally t = {.name = 'a', .log = log};
    struct assay_measure_params p = brief;
    struct assay_contestant c = {.call = count_call, .user = &t};
    size_t failed;

    /* A call is far below a microsecond's thousandth of a second. */
    p.sample_s = 1e-3;
    p.samples = 5;
    cr_assert_eq(assay_measure(&p, &c, 1, &failed), 5);
    cr_expect(c.repeats >= 2);
    cr_expect(t.calls >= 5 * c.repeats);
    free(c.ns);
}

Test(bench_measure, long_calls_are_not_warmed_up_again) {
    char log[512] = "";
    struct tally t = {.name = 'a', .log = log};
    struct assay_measure_params p = brief;
    struct assay_contestant c = {.call = count_call, .user = &t, .known_ns = 1e9};
    size_t failed;

    p.samples = 5;
    cr_assert_eq(assay_measure(&p, &c, 1, &failed), 5);
    cr_expect_eq(t.calls, 5);
    free(c.ns);
}

Test(bench_measure, time_limit_ends_a_case_after_the_least_rounds) {
    char log[512] = "";
    struct tally t = {.name = 'a', .log = log};
    struct assay_measure_params p = brief;
    struct assay_contestant c = {.call = count_call, .user = &t};
    size_t failed;

    p.samples = 1000;
    p.max_s = 0;
    cr_assert_eq(assay_measure(&p, &c, 1, &failed), ASSAY_MIN_ROUNDS);
    free(c.ns);
}

Test(bench_measure, failing_call_stops_and_is_named) {
    char log[512] = "";
    struct tally t[2] = {{.name = 'a', .log = log}, {.name = 'b', .log = log, .fail_at = 1}};
    struct assay_contestant c[2];
    size_t failed;

    for (t[1].fail_at = 1; t[1].fail_at < 60; t[1].fail_at += 53) {
        t[1].calls = 0;
        for (size_t i = 0; i < 2; i++)
            c[i] = (struct assay_contestant){.call = count_call, .user = &t[i]};
        cr_assert_eq(assay_measure(&(struct assay_measure_params){.samples = 1000, .max_s = 100}, c,
                                   2, &failed),
                     0);
        cr_expect_eq(failed, 1);
        free(c[0].ns);
        free(c[1].ns);
    }
}

Test(timer, clocks_advance_and_waiting_for_idle_threads_returns) {
    uint64_t wall = assay_now_ns(), cpu = assay_cpu_ns(), thread = assay_thread_cpu_ns();

    assay_wait_until_idle(50000000);
    cr_expect(assay_now_ns() > wall);
    cr_expect(assay_cpu_ns() > cpu && assay_thread_cpu_ns() > thread);
}

/* ---- Plan ------------------------------------------------------------------------------------ */

static void add(struct assay_bench_plan *p, const char *spec, unsigned isas) {
    char err[160] = "";
    cr_assert(assay_bench_add_contender(p, spec, isas, err, sizeof err), "%s: %s", spec, err);
}

Test(bench_plan, contenders_are_parsed_and_not_doubled) {
    struct assay_bench_plan p = {.seed = 1};

    add(&p, "eager-f32", 0);
    add(&p, "cpu", 0);
    add(&p, "ggml:repack", 1u << ASSAY_ISA_AVX2);
    add(&p, "eager-f32", 1u << ASSAY_ISA_AVX2);
    add(&p, "cpu:exact", 1u << ASSAY_ISA_AVX2 | 1u << ASSAY_ISA_AVX512);
    cr_assert_eq(p.n_contenders, 5);
    cr_expect_str_eq(p.contenders[0].label, "eager-f32");
    cr_expect_str_eq(p.contenders[1].label, "cpu");
    cr_expect_str_eq(p.contenders[2].label, "ggml:repack");
    cr_expect_str_eq(p.contenders[3].label, "cpu:exact@avx2");
    cr_expect_eq(p.contenders[4].runner.isa, ASSAY_ISA_AVX512);
}

Test(bench_plan, unknown_backends_and_variants_are_refused_by_name) {
    struct assay_bench_plan p = {.seed = 1};
    char err[160];

    cr_expect_not(assay_bench_add_contender(&p, "cpuu", 0, err, sizeof err));
    cr_expect(strstr(err, "'cpuu'") != NULL, "%s", err);
    cr_expect_not(assay_bench_add_contender(&p, "cpu:best", 0, err, sizeof err));
    cr_expect(strstr(err, "'best'") != NULL, "%s", err);
}

Test(bench_plan, cases_are_matrices_times_threads_times_batches) {
    struct assay_bench_plan p = {.seed = 1};
    const size_t ms[] = {1, 8};
    const int threads[] = {1, 2};
    const struct assay_type_traits *q4_k = assay_type_traits(ASSAY_TYPE_Q4_K);
    struct assay_bench_matrix own_m = {.type = q4_k, .n = 4, .k = 256, .m = 3};

    cr_assert(assay_bench_add_model(&p, assay_catalogue_find("qwen3-30b-a3b"), q4_k));
    cr_assert_eq(p.n_matrices, 7);
    cr_assert(assay_bench_add_matrix(&p, &own_m));
    cr_assert(assay_bench_make_cases(&p, ms, 2, threads, 2));
    cr_assert_eq(p.n_cases, 7 * 4 + 2);
    cr_expect(p.cases[1].m == 8 && p.cases[1].threads == 1);
    cr_expect(p.cases[2].m == 1 && p.cases[2].threads == 2);
    cr_expect(p.cases[29].m == 3 && p.cases[29].threads == 2 && p.cases[29].matrix == 7);
    assay_bench_plan_free(&p);
}

Test(bench_plan, matrices_that_a_type_cannot_have_are_left_out) {
    struct assay_bench_plan p = {.seed = 1};
    const struct assay_type_traits *q4_k = assay_type_traits(ASSAY_TYPE_Q4_K);
    struct assay_bench_matrix ragged = {.type = q4_k, .n = 4, .k = 257},
                              none = {.type = q4_k, .n = 0, .k = 256};

    cr_assert(assay_bench_add_matrix(&p, &ragged));
    cr_assert(assay_bench_add_matrix(&p, &none));
    cr_expect_eq(p.n_matrices, 0);
    assay_bench_plan_free(&p);
}

/* ---- A whole case ---------------------------------------------------------------------------- */

/* The reference's own arithmetic behind the vtable, but for one element if `fault` is set. */
static enum { NO_FAULT, WRONG_LAST_ELEMENT, UNWRITTEN_ELEMENT, FAILS_LATER } fault;
static size_t gemm_calls;

static bool takes(const struct assay_type_traits *t) { return t->type == ASSAY_TYPE_F32; }

static void exact(const struct assay_ctx *ctx, const struct assay_type_traits *t, size_t m,
                  struct assay_arith *out) {
    (void)ctx;
    (void)t;
    (void)m;
    *out = (struct assay_arith){ASSAY_WEIGHT_F32, ASSAY_ACT_F32, 0, 1};
}

static const char *kernel_name(const struct assay_ctx *ctx, const struct assay_type_traits *t,
                               size_t m) {
    (void)ctx;
    (void)t;
    (void)m;
    return "gemm_test";
}

static enum assay_status product(struct assay_ctx *ctx, const struct assay_store *w, const float *x,
                                 size_t m, float *y, size_t ldy, struct assay_error *err) {
    (void)ctx;
    if (fault == FAILS_LATER && ++gemm_calls > 8)
        return assay_fail(err, ASSAY_EBACKEND, "enough");
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < w->rows; j++) {
            double sum = 0;
            for (size_t k = 0; k < w->in; k++) {
                float weight;
                memcpy(&weight, assay_store_row(w, j) + k * sizeof weight, sizeof weight);
                sum += (double)weight * (double)x[i * w->in + k];
            }
            if (fault == UNWRITTEN_ELEMENT && i == 0 && j == 2)
                continue;
            y[i * ldy + j] = (float)sum;
        }
    if (fault == WRONG_LAST_ELEMENT)
        y[(m - 1) * ldy + w->rows - 1] += 1;
    return ASSAY_OK;
}

static const struct assay_backend subject = {
    .name = "subject",
    .summary = "a test's",
    .supports = takes,
    .ctx_create = assay_plain_ctx_create,
    .ctx_free = assay_plain_ctx_free,
    .arith = exact,
    .kernel = kernel_name,
    .store_create = assay_plain_store_create,
    .store_free = assay_plain_store_free,
    .gemm = product,
    .rows = assay_plain_rows,
};

/* One 40×64 matrix, m = 2: scalar as the baseline, the subject as contender. */
static json_t *run_subject(enum assay_type type, bool cold) {
    struct assay_bench_plan p = {.seed = 3, .samples = 5, .max_s = 0, .verify = true, .cold = cold};
    struct assay_bench_matrix m = {
        .name = "test", .type = assay_type_traits(type), .n = 40, .k = 64, .m = 2};
    const int threads[] = {1};
    volatile int stage = 7;
    json_t *result;

    add(&p, "scalar", 0);
    p.contenders[1] = (struct assay_bench_contender){.runner = {.backend = &subject, .variant = ""},
                                                     .label = "subject"};
    p.n_contenders = 2;
    cr_assert(assay_bench_add_matrix(&p, &m));
    cr_assert(assay_bench_make_cases(&p, NULL, 0, threads, 1));
    result = assay_bench_run_case(&p, 0, &stage, NULL);
    cr_assert_not_null(result);
    cr_assert_eq(stage, -1);
    assay_bench_plan_free(&p);
    return result;
}

static const json_t *contender(const json_t *result, size_t i) {
    return json_array_get(json_object_get(result, "contenders"), i);
}

static const char *field(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));
    return s != NULL ? s : "";
}

Test(bench_case, right_backends_get_numbers_that_agree_with_each_other) {
    json_t *result = run_subject(ASSAY_TYPE_F32, false);
    const json_t *c = contender(result, 1), *ns = json_object_get(c, "ns");
    const double median = assay_json_real_value(json_object_get(ns, "median"));

    cr_assert_str_eq(field(c, "status"), "measured", "%s", field(c, "reason"));
    cr_expect_str_eq(field(c, "kernel"), "gemm_test");
    cr_expect_eq(json_array_size(json_object_get(ns, "samples")), ASSAY_MIN_ROUNDS);
    cr_expect(median > 0);
    /* Both are one quotient, rounded: two roundings apart. */
    cr_expect_float_eq(assay_json_real_value(json_object_get(c, "gflop_s")) * median,
                       2.0 * 2 * 40 * 64, 1e-11);
    cr_expect_float_eq(assay_json_real_value(json_object_get(c, "weight_gb_s")) * median,
                       40 * 64 * 4, 1e-11);
    cr_expect_eq(json_integer_value(json_object_get(c, "resident_bytes")), 40 * 64 * 4);
    cr_expect_eq(json_integer_value(json_object_get(c, "copies")), 1);
    cr_expect_not_null(json_object_get(c, "speedup"));
    cr_expect_eq(assay_json_real_value(
                     json_object_get(json_object_get(contender(result, 0), "speedup"), "median")),
                 1);
    cr_expect(assay_json_real_value(json_object_get(json_object_get(c, "roofline"), "peak")) > 0);
    cr_expect_not(assay_bench_result_bad(result));
    json_decref(result);
}

Test(bench_case, wrong_element_gets_no_number_but_its_place) {
    json_t *result;
    const json_t *c;

    fault = WRONG_LAST_ELEMENT;
    result = run_subject(ASSAY_TYPE_F32, false);
    c = contender(result, 1);
    cr_expect_str_eq(field(c, "status"), "wrong");
    cr_expect(strstr(field(c, "reason"), "y[1,39]") != NULL, "%s", field(c, "reason"));
    cr_expect_null(json_object_get(c, "ns"));
    cr_expect_str_eq(field(contender(result, 0), "status"), "measured");
    cr_expect(assay_bench_result_bad(result));
    json_decref(result);
}

Test(bench_case, unwritten_element_outside_the_sample_is_found) {
    json_t *result;

    fault = UNWRITTEN_ELEMENT;
    result = run_subject(ASSAY_TYPE_F32, false);
    cr_expect_str_eq(field(contender(result, 1), "status"), "wrong");
    cr_expect(strstr(field(contender(result, 1), "reason"), "y[0,2]") != NULL);
    json_decref(result);
}

Test(bench_case, failure_while_timed_leaves_no_number_to_anyone) {
    json_t *result;

    fault = FAILS_LATER;
    result = run_subject(ASSAY_TYPE_F32, false);
    cr_expect_str_eq(field(contender(result, 1), "status"), "failed");
    cr_expect_str_eq(field(contender(result, 1), "reason"), "enough");
    cr_expect_str_eq(field(contender(result, 0), "status"), "failed");
    json_decref(result);
}

Test(bench_case, unsupported_type_is_a_skip_with_a_reason) {
    json_t *result = run_subject(ASSAY_TYPE_Q8_0, false);

    cr_expect_str_eq(field(contender(result, 1), "status"), "skipped");
    cr_expect(strstr(field(contender(result, 1), "reason"), "q8_0") != NULL);
    cr_expect_not(assay_bench_result_bad(result));
    json_decref(result);
}

Test(bench_case, cold_runs_rotate_as_many_copies_as_are_allowed) {
    json_t *result = run_subject(ASSAY_TYPE_F32, true);

    /* 10 KiB a copy: no cache is smaller than 256 of them twice over. */
    cr_expect_eq(json_integer_value(json_object_get(contender(result, 1), "copies")),
                 BENCH_MAX_COPIES);
    json_decref(result);
}

/* ---- Text ------------------------------------------------------------------------------------ */

static char *printed(const json_t *results, const char *gguf) {
    struct assay_bench_plan p = {.seed = 9};
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    add(&p, "eager-f32", 0);
    assay_bench_print(f, &p, results, gguf);
    fclose(f);
    return text;
}

Test(bench_report, crash_and_wrong_results_come_with_the_command_that_repeats_them) {
    json_t *results = json_pack(
        "[{ss ss si si si si ss ss ss}, {ss ss si si si si ss s[{ss ss ss}{ss ss ss}]}]", "matrix",
        "", "type", "q4_k", "m", 8, "n", 64, "k", 256, "threads", 2, "baseline", "eager-f32",
        "crash", "SIGSEGV", "contender", "cpu:exact@avx2", "matrix", "", "type", "q6_k", "m", 1,
        "n", 32, "k", 512, "threads", 1, "baseline", "scalar", "contenders", "contender", "cpu",
        "status", "wrong", "reason", "wrong value: y[0,0]", "contender", "ggml", "status",
        "skipped", "reason", "not there");
    char *text = printed(results, NULL);

    cr_assert_not_null(results);
    cr_expect(strstr(text, "assay bench --shape 8x64x256 --type q4_k --threads 2 --seed 9 "
                           "--backend cpu:exact --isa avx2\n") != NULL,
              "%s", text);
    cr_expect(strstr(text, "SIGSEGV") != NULL);
    cr_expect(strstr(text, "assay bench --shape 1x32x512 --type q6_k --threads 1 --seed 9 "
                           "--backend cpu --baseline scalar\n") != NULL,
              "%s", text);
    cr_expect(strstr(text, "skipped: ggml: not there (1 case)") != NULL, "%s", text);
    free(text);
    text = printed(results, "a.gguf");
    cr_expect(strstr(text, "assay bench --gguf a.gguf --m 8 --type q4_k") != NULL, "%s", text);
    free(text);
    json_decref(results);
}

/* ---- Roofline -------------------------------------------------------------------------------- */

Test(roofline, loops_of_every_instruction_set_do_the_work_they_are_credited_with) {
    static const uint64_t data[512 / 8 * 3] __attribute__((aligned(64))) = {1, 2, 4};
    const struct assay_roofline_loops *scalar = &assay_roofline_scalar;

    /* xor of all words: of three, or of the lane that holds the first */
    cr_expect_eq(scalar->read(data, sizeof data), 1 ^ 2 ^ 4);
    /* a -> a/2 + 1/2 from 0 tends to 1 in each of 32 chains; one round gives 1/2. */
    cr_expect_eq(scalar->work[ASSAY_PEAK_FP32](1), 16);
    cr_expect_eq(scalar->work[ASSAY_PEAK_FP32](100), 32);
#if defined(__x86_64__)
    if (assay_isa_runs_here(ASSAY_ISA_AVX2)) {
        cr_expect_eq(assay_roofline_avx2.read(data, sizeof data), 1);
        /* 12 chains from 1/2: every round halves the distance to 1, and lane 0 is summed. */
        cr_expect_eq(assay_roofline_avx2.work[ASSAY_PEAK_FP32](100), 12);
        /* 3·3 four times into each 32-bit lane, 12 chains, 10 rounds */
        cr_expect_eq(assay_roofline_avx2.work[ASSAY_PEAK_INT8](10), 3 * 3 * 4 * 12 * 10);
    }
    if (assay_isa_runs_here(ASSAY_ISA_AVX512)) {
        cr_expect_eq(assay_roofline_avx512.read(data, sizeof data), 1);
        cr_expect_eq(assay_roofline_avx512.work[ASSAY_PEAK_FP32](100), 16);
        cr_expect_eq(assay_roofline_avx512.work[ASSAY_PEAK_INT8](10), 3 * 3 * 4 * 16 * 10);
    }
#elif defined(__aarch64__)
    if (assay_isa_runs_here(ASSAY_ISA_NEON)) {
        cr_expect_eq(assay_roofline_neon.read(data, sizeof data), 1 ^ 4); /* of 16-byte vectors */
        /* 16 chains from 1/2, a quarter more every round */
        cr_expect_eq(assay_roofline_neon.work[ASSAY_PEAK_FP32](2), 16);
        cr_expect_eq(assay_roofline_neon.work[ASSAY_PEAK_INT8](10), 3 * 3 * 4 * 16 * 10);
    }
    if (assay_isa_runs_here(ASSAY_ISA_I8MM))
        cr_expect_eq(assay_roofline_i8mm.work[ASSAY_PEAK_INT8](10), 3 * 3 * 8 * 16 * 10);
#endif
}

Test(roofline, figures_are_finite_and_positive_for_sizes_below_the_unit) {
    double bandwidth = assay_roofline_bandwidth(1, 2, ASSAY_ISA_AUTO),
           peak = assay_roofline_peak(ASSAY_PEAK_INT8, 2, ASSAY_ISA_SCALAR);

    cr_expect(isfinite(bandwidth) && bandwidth > 0);
    cr_expect(isfinite(peak) && peak > 0);
}
