/* Shapes of real models: what verify and bench draw their matrices from, and what synthetic models
 * are built of. Every row cites the model's published config. */
#ifndef ASSAY_DATASETS_CATALOGUE_H
#define ASSAY_DATASETS_CATALOGUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct assay_model_shape {
    const char *name;   /* "llama-3-8b" */
    const char *source; /* where the numbers come from */
    uint32_t n_layer, n_embd, n_head, n_head_kv, head_dim, n_ff, n_vocab;
    uint32_t n_expert, n_expert_used, n_ff_expert; /* 0 for dense models */
    bool tied_embeddings; /* the output projection is the embedding table */
};

size_t assay_catalogue_count(void);
const struct assay_model_shape *assay_catalogue_at(size_t i);
const struct assay_model_shape *assay_catalogue_find(const char *name);

/* The distinct matrices of a model: "attn_q" 4096×4096, "ffn_down" 4096×14336 … */
struct assay_matrix_shape {
    const char *role;
    uint64_t n, k; /* rows (out) and columns (in) */
    /* Of a stack of experts, of which n and k are one's: how many there are, how many a token uses,
     * and whether each reads a row of its own (down) or all read the token's (gate, up). Else 0. */
    uint32_t experts, used;
    bool own_rows;
};
/* Writes up to `max` shapes and returns how many there are. */
size_t assay_model_matrices(const struct assay_model_shape *s, struct assay_matrix_shape *out,
                            size_t max);

#endif
