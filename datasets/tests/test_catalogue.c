#include <criterion/criterion.h>

#include "datasets/catalogue.h"

/* Weights of a model from its shape: matrices, embeddings and norm vectors. */
static uint64_t parameters(const struct assay_model_shape *s, unsigned norms, bool qk_norm) {
    uint64_t e = s->n_embd, d = s->head_dim;
    uint64_t attention = 2 * s->n_head * d * e + 2 * s->n_head_kv * d * e;
    uint64_t ffn =
        s->n_expert > 0 ? (3ull * s->n_ff_expert + 1) * s->n_expert * e : 3 * s->n_ff * e;
    uint64_t layer = attention + ffn + norms * e + (qk_norm ? 2 * d : 0);

    return s->n_layer * layer + s->n_vocab * e * (s->tied_embeddings ? 1 : 2) + e;
}

/* The published parameter count is a product of every number in the row, so that one wrong number
 * can't hide. */
Test(catalogue, rows_give_the_published_parameter_counts) {
    static const struct {
        const char *name;
        uint64_t count; /* of the model's safetensors index */
        unsigned norms; /* norm vectors of n_embd per layer */
        bool qk_norm;
    } published[] = {
        {"llama-3.2-1b", 1235814400, 2, false},  {"llama-3.2-3b", 3212749824, 2, false},
        {"llama-3-8b", 8030261248, 2, false},    {"llama-3-70b", 70553706496, 2, false},
        {"mistral-7b", 7241732096, 2, false},    {"gemma-2-2b", 2614341888, 4, false},
        {"qwen3-0.6b", 596049920, 2, true},      {"qwen3-8b", 8190735360, 2, true},
        {"qwen3-30b-a3b", 30532122624, 2, true},
    };

    cr_assert_eq(assay_catalogue_count(), sizeof published / sizeof published[0]);
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++) {
        const struct assay_model_shape *s = assay_catalogue_find(published[i].name);
        cr_assert_not_null(s, "%s", published[i].name);
        cr_expect_eq(parameters(s, published[i].norms, published[i].qk_norm), published[i].count,
                     "%s", s->name);
        cr_expect(s->n_expert_used <= s->n_expert && s->n_head % s->n_head_kv == 0, "%s", s->name);
        cr_expect_not_null(s->source);
    }
}

Test(catalogue, finds_names_in_any_case_and_nothing_else) {
    cr_assert_eq(assay_catalogue_find("LLaMA-3-8B"), assay_catalogue_find("llama-3-8b"));
    cr_assert_null(assay_catalogue_find("llama-3"));
    cr_assert_null(assay_catalogue_at(assay_catalogue_count()));
}

Test(catalogue, matrices_are_distinct_and_in_order) {
    struct assay_matrix_shape m[16];
    size_t n = assay_model_matrices(assay_catalogue_find("llama-3-8b"), m, 16);

    cr_assert_eq(n, 5);
    cr_expect_str_eq(m[0].role, "attn_q");
    cr_expect(m[0].n == 4096 && m[0].k == 4096);
    cr_expect(m[1].n == 1024 && m[1].k == 4096);
    cr_expect(m[2].n == 14336 && m[2].k == 4096);
    cr_expect_str_eq(m[3].role, "ffn_down");
    cr_expect(m[3].n == 4096 && m[3].k == 14336);
    cr_expect(m[4].n == 128256 && m[4].k == 4096);
}

Test(catalogue, matrices_of_a_mixture_have_one_expert_and_the_router) {
    struct assay_matrix_shape m[16];
    size_t n = assay_model_matrices(assay_catalogue_find("qwen3-30b-a3b"), m, 16);

    cr_assert_eq(n, 7);
    cr_expect_str_eq(m[2].role, "attn_output");
    cr_expect_str_eq(m[3].role, "ffn_gate_inp");
    cr_expect(m[3].n == 128 && m[3].k == 2048);
    cr_expect_str_eq(m[5].role, "ffn_down_exps");
    cr_expect(m[5].n == 2048 && m[5].k == 768);
}

Test(catalogue, matrices_beyond_the_array_are_counted_but_not_written) {
    struct assay_matrix_shape m[2] = {{.role = ""}, {.role = "untouched", .n = 7, .k = 7}};

    cr_assert_eq(assay_model_matrices(assay_catalogue_find("llama-3-8b"), m, 1), 5);
    cr_expect_str_eq(m[0].role, "attn_q");
    cr_expect_str_eq(m[1].role, "untouched");
}
