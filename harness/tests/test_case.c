#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "harness/case.h"

static struct assay_case_scope scope_of_all(const struct assay_backend **list) {
    for (size_t i = 0; i < assay_backend_count(); i++)
        list[i] = assay_backend_at(i);
    return (struct assay_case_scope){list, assay_backend_count(), NULL};
}

static bool parse(const char *id, struct assay_problem *p, struct assay_runner *r, char *err,
                  size_t err_size) {
    const struct assay_backend *list[32];
    struct assay_case_scope scope = scope_of_all(list);
    return assay_case_parse(id, &scope, p, r, err, err_size);
}

Test(case, ids_read_back_as_written) {
    static const char *const ids[] = {
        "gemm/q4_k/3x33x512/uniform/normal/cpu+exact/avx2/t2",
        "gemm/f32/1x1x31/heavy/one-large/eager-f32/-/t1",
        "fused/q4_k+q6_k+q4_k/3x7x512/normal/heavy/scalar/-/t1",
        "rows/iq1_m/9x7x768/extreme/transient-f16/-/t1",
        "gemm/q4_k/0x3x256/uniform/normal/scalar/-/t1",
        "fused/q4_k+q6_k+q4_k/1x5+0+8x512/normal/heavy/scalar/-/t1",
        "experts/q4_k/9x3of37x512/uniform/normal/cpu/scalar/t2",
        "check/decode/q4_k/cpu+exact/scalar/t2",
    };
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        struct assay_problem p;
        struct assay_runner r;
        char err[256] = "", id[256];
        cr_assert(parse(ids[i], &p, &r, err, sizeof err), "%s: %s", ids[i], err);
        cr_assert_eq(assay_case_id(&p, &r, id, sizeof id), strlen(ids[i]));
        cr_assert_str_eq(id, ids[i]);
    }
}

Test(case, bad_ids_are_refused_with_a_reason) {
    static const struct {
        const char *id, *reason;
    } bad[] = {
        {"", "operation"},
        {"frob/q4_k", "operation 'frob'"},
        {"gemm", "no type or tensor"},
        {"gemm/q4_z/1x1x256/uniform/normal/scalar/-/t1", "q4_z"},
        {"gemm/q8_1/1x1x32/uniform/normal/scalar/-/t1", "q8_1"},
        {"gemm/q4_k/1x1x255/uniform/normal/scalar/-/t1", "block length"},
        {"gemm/q4_k/1x0x256/uniform/normal/scalar/-/t1", "nothing to compute"},
        {"gemm/q4_k/1x1x0/uniform/normal/scalar/-/t1", "block length"},
        {"rows/q4_k/0x1x256/uniform/scalar/-/t1", "nothing to compute"},
        {"fused/q4_k+q6_k/1x1+x256/uniform/normal/scalar/-/t1", "MxNxK"},
        {"fused/q4_k+q6_k/1x1+2+3x256/uniform/normal/scalar/-/t1", "MxNxK"},
        {"experts/q4_k/9x37x512/uniform/normal/scalar/-/t1", "MxNxK"},
        {"experts/q4_k/9x0of37x512/uniform/normal/scalar/-/t1", "MxNxK"},
        {"experts/q4_k/9x5000000000of1x512/uniform/normal/scalar/-/t1", "MxNxK"},
        {"experts/q4_k+q4_k/9x2of3x512/uniform/normal/scalar/-/t1", "number of parts"},
        {"check/decod/q4_k/scalar/-/t1", "check 'decod'"},
        {"check/decode", "no type"},
        {"check/decode/q4_z/scalar/-/t1", "q4_z"},
        {"check/decode/@w/scalar/-/t1", "not the tensor"},
        {"check/decode/q4_k/scalar/-/t1/more", "more"},
        {"gemm/q4_k/1x1/uniform/normal/scalar/-/t1", "MxNxK"},
        {"gemm/q4_k/1x1x256x2/uniform/normal/scalar/-/t1", "MxNxK"},
        {"gemm/q4_k/999999999999x999999999999x256/uniform/normal/scalar/-/t1", "too large"},
        {"gemm/q4_k+q6_k/1x1x256/uniform/normal/scalar/-/t1", "number of parts"},
        {"gemm/q4_k/1x1x256/unform/normal/scalar/-/t1", "weights generator 'unform'"},
        {"gemm/q4_k/1x1x256/uniform/n/scalar/-/t1", "activations generator 'n'"},
        {"gemm/q4_k/1x1x256/uniform/normal/scalr/-/t1", "backend 'scalr'"},
        {"gemm/q4_k/1x1x256/uniform/normal/scalar+exact/-/t1", "variant 'exact'"},
        {"gemm/q4_k/1x1x256/uniform/normal/scalar/avx2/t1", "instruction set"},
        {"gemm/q4_k/1x1x256/uniform/normal/cpu/-/t1", "instruction set"},
        {"gemm/q4_k/1x1x256/uniform/normal/scalar/-/t0", "threads"},
        {"gemm/q4_k/1x1x256/uniform/normal/scalar/-", "threads"},
        {"gemm/q4_k/1x1x256/uniform/normal/scalar/-/t1/more", "more"},
        {"gemm/@blk.0.attn_q.weight/m1/normal/scalar/-/t1", "--gguf"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct assay_problem p;
        struct assay_runner r;
        char err[256] = "";
        cr_assert_not(parse(bad[i].id, &p, &r, err, sizeof err), "%s", bad[i].id);
        cr_assert(strstr(err, bad[i].reason) != NULL, "%s: %s", bad[i].id, err);
    }
}

Test(case, tensor_names_are_escaped_to_shell_safe_text) {
    struct assay_gguf_tensor t = {.name = {"a b/c+'\n.w", 10}, .dims = {256, 1, 1, 1}};
    struct assay_problem p = {.op = ASSAY_OP_GEMM, .n_parts = 1, .m = 3, .k = 256};
    char id[256];
    t.type = assay_type_by_name("q4_k");
    p.parts[0] = (struct assay_case_part){t.type, &t, 1};
    assay_problem_id(&p, id, sizeof id);
    cr_assert_str_eq(id, "gemm/@a%20b%2Fc%2B%27%0A.w/m3/normal");
}

Test(case, id_is_cut_but_terminated_where_the_buffer_ends) {
    struct assay_problem p = {.op = ASSAY_OP_GEMM, .n_parts = 1, .m = 3, .k = 256};
    char id[8] = "xxxxxxx";
    p.parts[0] = (struct assay_case_part){assay_type_by_name("q4_k"), NULL, 5};
    cr_assert_eq(assay_problem_id(&p, id, sizeof id), strlen("gemm/q4_k/3x5x256/uniform/normal"));
    cr_assert_str_eq(id, "gemm/q4");
}

Test(case, seeds_differ_by_problem_stream_and_base) {
    struct assay_problem a = {.op = ASSAY_OP_GEMM, .n_parts = 1, .m = 3, .k = 256}, b;
    a.parts[0] = (struct assay_case_part){assay_type_by_name("q4_k"), NULL, 5};
    b = a;
    b.m = 4;
    cr_assert_eq(assay_problem_seed(&a, 1, "acts"), assay_problem_seed(&a, 1, "acts"));
    cr_assert_neq(assay_problem_seed(&a, 1, "acts"), assay_problem_seed(&b, 1, "acts"));
    cr_assert_neq(assay_problem_seed(&a, 1, "acts"), assay_problem_seed(&a, 1, "weights0"));
    cr_assert_neq(assay_problem_seed(&a, 1, "acts"), assay_problem_seed(&a, 2, "acts"));
}

Test(case, lookup_visits_first_and_last_row_and_stays_inside) {
    for (size_t rows = 1; rows < 40; rows++)
        for (size_t m = 1; m < 50; m++) {
            struct assay_problem p = {.op = ASSAY_OP_ROWS, .n_parts = 1, .m = m, .k = 32};
            p.parts[0].rows = rows;
            cr_assert_eq(assay_problem_lookup(&p, 0), (int64_t)rows - 1);
            if (m > 1)
                cr_assert_eq(assay_problem_lookup(&p, m - 1), 0);
            for (size_t i = 1; i < m; i++)
                cr_assert_leq(assay_problem_lookup(&p, i), assay_problem_lookup(&p, i - 1));
            if (m == rows + 1) { /* every row, one of them twice */
                size_t distinct = 1;
                for (size_t i = 1; i < m; i++)
                    distinct += assay_problem_lookup(&p, i) != assay_problem_lookup(&p, i - 1);
                cr_assert_eq(distinct, rows);
            }
        }
}
