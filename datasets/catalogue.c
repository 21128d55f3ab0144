#include "catalogue.h"

#include <string.h>
#include <strings.h>

/* clang-format off */
static const struct assay_model_shape models[] = {
    {.name = "llama-3.2-1b", .source = "meta-llama/Llama-3.2-1B config.json",
     .n_layer = 16, .n_embd = 2048, .n_head = 32, .n_head_kv = 8, .head_dim = 64,
     .n_ff = 8192, .n_vocab = 128256, .tied_embeddings = true},
    {.name = "llama-3.2-3b", .source = "meta-llama/Llama-3.2-3B config.json",
     .n_layer = 28, .n_embd = 3072, .n_head = 24, .n_head_kv = 8, .head_dim = 128,
     .n_ff = 8192, .n_vocab = 128256, .tied_embeddings = true},
    {.name = "llama-3-8b", .source = "meta-llama/Meta-Llama-3-8B config.json",
     .n_layer = 32, .n_embd = 4096, .n_head = 32, .n_head_kv = 8, .head_dim = 128,
     .n_ff = 14336, .n_vocab = 128256},
    {.name = "llama-3-70b", .source = "meta-llama/Meta-Llama-3-70B config.json",
     .n_layer = 80, .n_embd = 8192, .n_head = 64, .n_head_kv = 8, .head_dim = 128,
     .n_ff = 28672, .n_vocab = 128256},
    {.name = "mistral-7b", .source = "mistralai/Mistral-7B-v0.1 config.json",
     .n_layer = 32, .n_embd = 4096, .n_head = 32, .n_head_kv = 8, .head_dim = 128,
     .n_ff = 14336, .n_vocab = 32000},
    {.name = "gemma-2-2b", .source = "google/gemma-2-2b config.json",
     .n_layer = 26, .n_embd = 2304, .n_head = 8, .n_head_kv = 4, .head_dim = 256,
     .n_ff = 9216, .n_vocab = 256000, .tied_embeddings = true},
    {.name = "qwen3-0.6b", .source = "Qwen/Qwen3-0.6B config.json",
     .n_layer = 28, .n_embd = 1024, .n_head = 16, .n_head_kv = 8, .head_dim = 128,
     .n_ff = 3072, .n_vocab = 151936, .tied_embeddings = true},
    {.name = "qwen3-8b", .source = "Qwen/Qwen3-8B config.json",
     .n_layer = 36, .n_embd = 4096, .n_head = 32, .n_head_kv = 8, .head_dim = 128,
     .n_ff = 12288, .n_vocab = 151936},
    {.name = "qwen3-30b-a3b", .source = "Qwen/Qwen3-30B-A3B config.json",
     .n_layer = 48, .n_embd = 2048, .n_head = 32, .n_head_kv = 4, .head_dim = 128,
     .n_ff = 6144, .n_vocab = 151936,
     .n_expert = 128, .n_expert_used = 8, .n_ff_expert = 768},
};
/* clang-format on */

size_t assay_catalogue_count(void) { return sizeof models / sizeof models[0]; }

const struct assay_model_shape *assay_catalogue_at(size_t i) {
    return i < assay_catalogue_count() ? &models[i] : NULL;
}

const struct assay_model_shape *assay_catalogue_find(const char *name) {
    for (size_t i = 0; i < assay_catalogue_count(); i++)
        if (strcasecmp(models[i].name, name) == 0)
            return &models[i];
    return NULL;
}

size_t assay_model_matrices(const struct assay_model_shape *s, struct assay_matrix_shape *out,
                            size_t max) {
    const uint64_t embd = s->n_embd, q = (uint64_t)s->n_head * s->head_dim,
                   kv = (uint64_t)s->n_head_kv * s->head_dim;
    const bool moe = s->n_expert > 0;
    const uint64_t ff = moe ? s->n_ff_expert : s->n_ff;
    const uint32_t experts = s->n_expert, used = s->n_expert_used;
    const struct assay_matrix_shape all[] = {
        {"attn_q", q, embd, 0, 0, false},
        {"attn_k", kv, embd, 0, 0, false},
        {"attn_v", kv, embd, 0, 0, false},
        {"attn_output", embd, q, 0, 0, false},
        {"ffn_gate_inp", s->n_expert, embd, 0, 0, false},
        {moe ? "ffn_gate_exps" : "ffn_gate", ff, embd, experts, used, false},
        {moe ? "ffn_up_exps" : "ffn_up", ff, embd, experts, used, false},
        {moe ? "ffn_down_exps" : "ffn_down", embd, ff, experts, used, moe},
        {s->tied_embeddings ? "token_embd" : "output", s->n_vocab, embd, 0, 0, false},
    };
    size_t count = 0;

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        size_t j = 0;
        while (j < i && !(all[j].n == all[i].n && all[j].k == all[i].k && all[j].experts == all[i].experts))
            j++;
        if (j < i || all[i].n == 0)
            continue;
        if (count < max)
            out[count] = all[i];
        count++;
    }
    return count;
}
