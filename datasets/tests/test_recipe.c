#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "datasets/gguf.h"
#include "datasets/recipe.h"

#define TINYLM "datasets/tinylm"

/* The shape in datasets/tinylm/MANIFEST.md. */
static const struct assay_model_shape tinylm = {
    .name = "tinylm",
    .source = "MANIFEST.md",
    .n_layer = 2,
    .n_embd = 512,
    .n_head = 8,
    .n_head_kv = 4,
    .head_dim = 64,
    .n_ff = 1536,
    .n_vocab = 512,
};

static void expect_recipe(const char *path, const struct assay_file_type *ft) {
    char err[512];
    struct assay_gguf *g = assay_gguf_open(path, err, sizeof err);
    cr_assert(g != NULL, "%s", err);
    uint64_t id = 0;
    assay_gguf_kv_u64(assay_gguf_kv_find(g, "general.file_type"), &id);
    cr_assert_eq(id, ft->id, "%s: file type %d", path, (int)id);
    for (size_t i = 0; i < assay_gguf_tensor_count(g); i++) {
        const struct assay_gguf_tensor *t = assay_gguf_tensor_at(g, i);
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)t->name.len, t->name.data);
        struct assay_recipe_tensor r = {name, t->n_dims, t->dims[0]};
        enum assay_type got = assay_recipe_type(ft, &tinylm, &r);
        cr_assert_eq(got, t->type->type, "%s %s: %s, llama.cpp has %s", ft->name, name,
                     assay_type_traits(got)->name, t->type->name);
    }
    assay_gguf_close(g);
}

Test(recipe, agrees_with_every_real_file_kept_here) {
    DIR *d = opendir(TINYLM);
    size_t files = 0;
    cr_assert(d != NULL, "run the tests from the top of the tree");
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char type[32], path[512];
        if (sscanf(e->d_name, "tinylm-%31[A-Z0-9_].gguf", type) != 1)
            continue;
        const struct assay_file_type *ft = assay_file_type_by_name(type);
        cr_assert(ft != NULL, "%s", e->d_name);
        snprintf(path, sizeof path, TINYLM "/%s", e->d_name);
        expect_recipe(path, ft);
        files++;
    }
    closedir(d);
    cr_assert_geq(files, 4);
}

/* ---- Deeper models --------------------------------------------------------------------------
 * Expectations from files that llama.cpp's llama_model_quantize wrote (ggml 0.25.1) for models of
 * these shapes with small matrices. */

static const struct assay_model_shape dense_32 = {
    .name = "dense",
    .n_layer = 32,
    .n_embd = 256,
    .n_head = 8,
    .n_head_kv = 2,
    .head_dim = 8,
    .n_ff = 256,
    .n_vocab = 32,
};
static const struct assay_model_shape dense_80 = {
    .name = "dense",
    .n_layer = 80,
    .n_embd = 256,
    .n_head = 8,
    .n_head_kv = 1,
    .head_dim = 32,
    .n_ff = 256,
    .n_vocab = 32,
};
static const struct assay_model_shape mixtral_17 = {
    .name = "mixtral",
    .n_layer = 17,
    .n_embd = 256,
    .n_head = 8,
    .n_head_kv = 2,
    .head_dim = 32,
    .n_ff = 256,
    .n_vocab = 32,
    .n_expert = 8,
    .n_expert_used = 2,
    .n_ff_expert = 256,
};
static const struct assay_model_shape tied_16 = {
    .name = "tied",
    .n_layer = 16,
    .n_embd = 256,
    .n_head = 4,
    .n_head_kv = 4,
    .head_dim = 64,
    .n_ff = 256,
    .n_vocab = 32,
    .tied_embeddings = true,
};
static const struct assay_model_shape ragged_13 = {
    .name = "ragged",
    .n_layer = 13,
    .n_embd = 96,
    .n_head = 3,
    .n_head_kv = 1,
    .head_dim = 32,
    .n_ff = 288,
    .n_vocab = 64,
};

static enum assay_type type_of(const struct assay_model_shape *s, const char *file_type,
                               const char *name, uint32_t n_dims, uint64_t in) {
    struct assay_recipe_tensor t = {name, n_dims, in};
    return assay_recipe_type(assay_file_type_by_name(file_type), s, &t);
}

/* The bits of part `part` of each layer, as digits. */
static const char *bits_by_layer(const struct assay_model_shape *s, const char *file_type,
                                 const char *part) {
    static char digits[128];
    for (uint32_t l = 0; l < s->n_layer; l++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%u.%s.weight", l, part);
        digits[l] = assay_type_traits(type_of(s, file_type, name, 2, 256))->name[1];
    }
    digits[s->n_layer] = '\0';
    return digits;
}

Test(recipe, spreads_the_better_types_over_the_layers_as_llama_cpp_does) {
    static const struct {
        const char *file_type, *part, *bits;
    } rows[] = {
        {"Q4_K_M", "attn_v", "66664464464464464464464464466666"},
        {"Q4_K_M", "ffn_down", "66664464464464464464464464466666"},
        {"Q5_K_M", "ffn_down", "66665565565565565565565565566666"},
        {"Q4_K_M", "attn_q", "44444444444444444444444444444444"},
        {"Q4_K_S", "attn_v", "55554444444444444444444444444444"},
        {"Q4_K_S", "ffn_down", "55554444444444444444444444444444"},
        {"Q3_K_M", "attn_v", "55444444444444444444444444444444"},
        {"Q3_K_M", "ffn_down", "55444444444444444444444444444444"},
        {"Q3_K_L", "attn_output", "55555555555555555555555555555555"},
        {"Q2_K", "attn_v", "44444444444444444444444444444444"},
        {"Q2_K", "ffn_down", "33333333333333333333333333333333"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_assert_str_eq(bits_by_layer(&dense_32, rows[i].file_type, rows[i].part), rows[i].bits,
                         "%s %s", rows[i].file_type, rows[i].part);
}

Test(recipe, knows_the_special_cases) {
    static const struct {
        const struct assay_model_shape *shape;
        const char *file_type, *name;
        uint32_t n_dims;
        uint64_t in;
        enum assay_type type;
    } rows[] = {
        {&tied_16, "Q4_K_M", "token_embd.weight", 2, 256, ASSAY_TYPE_Q6_K},
        {&tied_16, "Q8_0", "token_embd.weight", 2, 256, ASSAY_TYPE_Q8_0},
        {&dense_32, "Q4_K_M", "token_embd.weight", 2, 256, ASSAY_TYPE_Q4_K},
        {&dense_32, "Q4_0", "output.weight", 2, 256, ASSAY_TYPE_Q6_K},
        {&dense_32, "IQ2_XXS", "output.weight", 2, 256, ASSAY_TYPE_Q5_K},
        {&dense_32, "IQ2_XXS", "token_embd.weight", 2, 256, ASSAY_TYPE_Q2_K},
        {&dense_32, "IQ4_XS", "blk.0.ffn_down.weight", 2, 256, ASSAY_TYPE_Q5_K},
        {&dense_32, "IQ4_XS", "blk.4.ffn_down.weight", 2, 256, ASSAY_TYPE_IQ4_XS},
        {&dense_32, "IQ4_NL", "blk.9.attn_v.weight", 2, 256, ASSAY_TYPE_Q5_K},
        {&dense_32, "Q4_K_M", "blk.9.attn_norm.weight", 1, 256, ASSAY_TYPE_F32},
        {&dense_32, "F16", "blk.9.attn_v.weight", 2, 256, ASSAY_TYPE_F16},
        {&dense_80, "Q4_K_M", "blk.11.attn_v.weight", 2, 256, ASSAY_TYPE_Q5_K},
        {&dense_80, "Q4_K_M", "blk.0.attn_v.weight", 2, 256, ASSAY_TYPE_Q6_K},
        {&mixtral_17, "Q4_K_M", "blk.3.attn_v.weight", 2, 256, ASSAY_TYPE_Q8_0},
        {&mixtral_17, "Q4_K_M", "blk.3.attn_k.weight", 2, 256, ASSAY_TYPE_Q8_0},
        {&mixtral_17, "Q4_K_M", "blk.3.attn_output.weight", 2, 256, ASSAY_TYPE_Q5_K},
        {&mixtral_17, "Q4_K_M", "blk.3.ffn_gate_inp.weight", 2, 256, ASSAY_TYPE_F32},
        {&mixtral_17, "MXFP4_MOE", "blk.3.ffn_up_exps.weight", 3, 256, ASSAY_TYPE_MXFP4},
        {&mixtral_17, "MXFP4_MOE", "blk.3.attn_q.weight", 2, 256, ASSAY_TYPE_Q8_0},
        {&ragged_13, "Q4_K_M", "blk.5.attn_q.weight", 2, 96, ASSAY_TYPE_Q5_0},
        {&ragged_13, "Q4_K_M", "blk.0.ffn_down.weight", 2, 288, ASSAY_TYPE_Q8_0},
        {&ragged_13, "Q3_K_S", "blk.5.attn_q.weight", 2, 96, ASSAY_TYPE_Q4_0},
        {&ragged_13, "Q5_K_S", "blk.5.attn_q.weight", 2, 96, ASSAY_TYPE_Q5_1},
        {&ragged_13, "IQ4_XS", "blk.5.attn_q.weight", 2, 96, ASSAY_TYPE_IQ4_NL},
        {&ragged_13, "Q4_0", "output.weight", 2, 96, ASSAY_TYPE_Q8_0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum assay_type got =
            type_of(rows[i].shape, rows[i].file_type, rows[i].name, rows[i].n_dims, rows[i].in);
        cr_assert_eq(got, rows[i].type, "%s %s of %s: %s", rows[i].file_type, rows[i].name,
                     rows[i].shape->name, assay_type_traits(got)->name);
    }
}

Test(recipe, every_row_length_of_32_gets_a_type_that_divides_it) {
    for (size_t i = 0; i < assay_file_type_count(); i++)
        for (uint64_t in = 32; in <= 544; in += 32)
            for (int output = 0; output < 2; output++) {
                const char *name = output ? "output.weight" : "blk.0.attn_v.weight";
                enum assay_type t = type_of(&dense_32, assay_file_type_at(i)->name, name, 2, in);
                cr_assert_eq(in % assay_type_traits(t)->block_len, 0);
            }
}

Test(recipe, file_types_are_found_in_any_case_and_unknown_ones_are_not) {
    cr_assert_eq(assay_file_type_by_name("q4_k_m"), assay_file_type_by_name("Q4_K_M"));
    cr_assert_eq(assay_file_type_by_name("Q4_K_M")->id, 15);
    cr_assert_null(assay_file_type_by_name("Q4_K"));
    cr_assert_null(assay_file_type_by_name(""));
    cr_assert_null(assay_file_type_at(assay_file_type_count()));
}
