/* verify on the tensors of a GGUF file. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datasets/gguf_writer.h"
#include "faulty_backend.h"
#include "harness/verify.h"

/* A model of two layers: q, k and v of one type, then with v in Q6_K; vectors and a tensor with an
 * awkward name beside them. */
static const struct {
    const char *name;
    uint32_t type;
    uint32_t n_dims;
    uint64_t dims[2];
} tensors[] = {
    {"output_norm.weight", ASSAY_TYPE_F32, 1, {256, 1}},
    {"odd 'name'/%.weight", ASSAY_TYPE_Q8_0, 2, {64, 9}},
    {"positions", ASSAY_TYPE_I32, 2, {4, 4}},
    {"blk.0.attn_q.weight", ASSAY_TYPE_Q4_K, 2, {256, 16}},
    {"blk.0.attn_k.weight", ASSAY_TYPE_Q4_K, 2, {256, 8}},
    {"blk.0.attn_v.weight", ASSAY_TYPE_Q4_K, 2, {256, 8}},
    {"blk.1.attn_q.weight", ASSAY_TYPE_Q4_K, 2, {256, 16}},
    {"blk.1.attn_k.weight", ASSAY_TYPE_Q4_K, 2, {256, 8}},
    {"blk.1.attn_v.weight", ASSAY_TYPE_Q6_K, 2, {256, 8}},
    {"blk.2.attn_q.weight", ASSAY_TYPE_Q4_K, 2, {256, 16}},
    {"blk.2.attn_k.weight", ASSAY_TYPE_Q4_K, 2, {256, 8}},
    {"blk.2.attn_v.weight", ASSAY_TYPE_Q6_K, 2, {256, 8}},
};
enum { N_TENSORS = sizeof tensors / sizeof tensors[0], N_MATRICES = N_TENSORS - 2 };

static char path[64];
static struct assay_gguf *gguf;
static const struct assay_backend *backend = &faulty_backend;
static const int one_thread = 1;
static struct assay_verify_params params;
static struct assay_plan plan;

static void write_tensor(struct assay_gguf_writer *w, size_t i) {
    const struct assay_type_traits *t = assay_type_traits(tensors[i].type);
    size_t row_bytes, size;
    uint8_t *data;

    cr_assert(assay_row_bytes(t, (size_t)tensors[i].dims[0], &row_bytes));
    size = row_bytes * (size_t)tensors[i].dims[1];
    data = calloc(1, size);
    if (t->dequant != NULL)
        assay_generate_weights(t, ASSAY_WGEN_NORMAL, i, (size_t)tensors[i].dims[1],
                               (size_t)tensors[i].dims[0], data);
    cr_assert(assay_gguf_writer_data(w, data, size), "%s", assay_gguf_writer_error(w));
    free(data);
}

static void open_model(void) {
    struct assay_gguf_writer *w = assay_gguf_writer_new(0);
    char err[256] = "";

    snprintf(path, sizeof path, "/tmp/assay-tensors-%ld.gguf", (long)getpid());
    for (size_t i = 0; i < N_TENSORS; i++)
        cr_assert(assay_gguf_writer_tensor(w, tensors[i].name, tensors[i].type, tensors[i].n_dims,
                                           tensors[i].dims));
    cr_assert(assay_gguf_writer_begin(w, path), "%s", assay_gguf_writer_error(w));
    for (size_t i = 0; i < N_TENSORS; i++)
        write_tensor(w, i);
    cr_assert(assay_gguf_writer_finish(w), "%s", assay_gguf_writer_error(w));
    assay_gguf_writer_free(w);
    gguf = assay_gguf_open(path, err, sizeof err);
    cr_assert_not_null(gguf, "%s", err);
    unlink(path); /* the mapping stays */
    current_fault = FAULT_NONE;
    params = (struct assay_verify_params){
        .backends = &backend,
        .n_backends = 1,
        .gguf = gguf,
        .tensors_only = true,
        .threads = &one_thread,
        .n_threads = 1,
        .seed = 7,
        .timeout_s = 20,
    };
    cr_assert(assay_plan_make(&plan, &params));
}

static void close_model(void) {
    assay_plan_free(&plan);
    assay_gguf_close(gguf);
}

TestSuite(verify_tensors, .init = open_model, .fini = close_model);

static size_t count_op(const struct assay_gguf_tensor *t, enum assay_op op) {
    size_t n = 0;
    for (size_t i = 0; i < plan.n_problems; i++)
        n += plan.problems[i].op == op && plan.problems[i].parts[0].tensor == t;
    return n;
}

Test(verify_tensors, every_matrix_is_multiplied_and_looked_up) {
    size_t matrices = 0;
    for (size_t i = 0; i < assay_gguf_tensor_count(gguf); i++) {
        const struct assay_gguf_tensor *t = assay_gguf_tensor_at(gguf, i);
        bool matrix = t->n_dims == 2 && t->type->dequant != NULL;
        matrices += matrix;
        cr_assert_eq(count_op(t, ASSAY_OP_ROWS), matrix);
        cr_assert(matrix ? count_op(t, ASSAY_OP_GEMM) >= 2 : count_op(t, ASSAY_OP_GEMM) == 0);
    }
    cr_assert_eq(matrices, N_MATRICES);
}

Test(verify_tensors, the_smallest_of_each_type_meets_many_rows) {
    size_t many = 0;
    for (size_t i = 0; i < plan.n_problems; i++)
        many += plan.problems[i].op == ASSAY_OP_GEMM && plan.problems[i].m > 3;
    cr_assert_eq(many, 3, "Q8_0, Q4_K, Q6_K");
}

Test(verify_tensors, each_mix_of_types_is_fused_once) {
    size_t fused = 0;
    for (size_t i = 0; i < plan.n_problems; i++) {
        const struct assay_problem *p = &plan.problems[i];
        if (p->op != ASSAY_OP_FUSED)
            continue;
        fused++;
        cr_assert_eq(p->n_parts, 3);
        cr_assert_neq(strncmp(p->parts[0].tensor->name.data, "blk.2", 5), 0,
                      "its mix occurs in layer 1");
    }
    cr_assert_eq(fused, 4, "two mixes at m = 1 and m = 3");
}

Test(verify_tensors, what_is_no_matrix_is_skipped_with_a_reason) {
    cr_assert_eq(plan.n_skips, 2);
    cr_assert_str_eq(plan.skips[0].what, "f32 tensors");
    cr_assert_str_eq(plan.skips[1].what, "i32 tensors");
}

Test(verify_tensors, a_type_selects_its_tensors) {
    const struct assay_type_traits *q6 = assay_type_by_name("q6_k");
    struct assay_plan some;
    params.types = &q6;
    params.n_types = 1;
    cr_assert(assay_plan_make(&some, &params));
    cr_assert_gt(some.n_cases, 0);
    for (size_t i = 0; i < some.n_problems; i++) {
        const struct assay_problem *p = &some.problems[i];
        cr_assert_eq(p->parts[p->n_parts - 1].type, q6);
    }
    assay_plan_free(&some);
}

static struct assay_verify_result *run_all(const struct assay_plan *p) {
    struct assay_verify_observer observer = {.keep_details = true};
    struct assay_verify_result *results = calloc(p->n_cases + 1, sizeof *results);
    cr_assert(assay_verify_run(p, &params, &observer, results));
    return results;
}

Test(verify_tensors, a_right_backend_passes) {
    struct assay_verify_result *results = run_all(&plan);
    cr_assert_eq(assay_verify_count(&plan, results).passed, plan.n_cases);
    assay_verify_results_free(results, plan.n_cases);
}

Test(verify_tensors, a_failure_names_tensor_row_and_command) {
    struct assay_verify_result *results;
    struct assay_verify_report report = {&plan, &params, NULL, "my model.gguf"};
    char *text = NULL;
    size_t size, i = 0;
    FILE *f;

    current_fault = FAULT_Q6K_HIGH_BITS;
    results = run_all(&plan);
    cr_assert_gt(assay_verify_count(&plan, results).failed, 0);
    while (results[i].verdict != ASSAY_FAIL)
        i++;
    report.results = results;
    f = open_memstream(&text, &size);
    assay_verify_print_failure(f, &report, i);
    fclose(f);
    cr_assert(strstr(text, "(weight row 5 of Q6_K tensor blk.1.attn_v.weight)") != NULL, "%s",
              text);
    cr_assert(strstr(text, "reproduce: assay verify --gguf 'my model.gguf' --seed 7 --case "
                           "gemm/@blk.1.attn_v.weight/m1/normal/faulty/-/t1\n") != NULL,
              "%s", text);
    free(text);
    assay_verify_results_free(results, plan.n_cases);
}

Test(verify_tensors, ids_of_all_cases_read_back_awkward_names_included) {
    size_t awkward = 0;
    for (size_t i = 0; i < plan.n_cases; i++) {
        const struct assay_problem *p = &plan.problems[plan.cases[i].problem];
        struct assay_case_scope scope = {&backend, 1, gguf};
        struct assay_problem again;
        struct assay_runner runner;
        char id[512], id2[512], err[256] = "";
        assay_case_id(p, &plan.cases[i].runner, id, sizeof id);
        cr_assert(assay_case_parse(id, &scope, &again, &runner, err, sizeof err), "%s: %s", id,
                  err);
        assay_case_id(&again, &runner, id2, sizeof id2);
        cr_assert_str_eq(id, id2);
        cr_assert_eq(again.parts[0].tensor, p->parts[0].tensor);
        cr_assert_eq(assay_problem_rows(&again), assay_problem_rows(p));
        awkward += strstr(id, "@odd%20%27name%27%2F%25.weight/") != NULL;
    }
    cr_assert_gt(awkward, 0);
}
