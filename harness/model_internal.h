/* The loaded model, shared by model_load.c and model_pass.c. */
#ifndef ASSAY_HARNESS_MODEL_INTERNAL_H
#define ASSAY_HARNESS_MODEL_INTERNAL_H

#include "model_pass.h"

struct assay_block {
    const float *attn_norm, *ffn_norm; /* NULL: the model has none */
    struct assay_linear *qkv, *attn_output;
    struct assay_linear *router;              /* NULL for dense layers */
    struct assay_linear **gate, **up, **down; /* one per expert */
    uint32_t experts;                         /* 1 for dense layers */
};

struct assay_model {
    struct assay_ctx *ctx;
    const struct assay_gguf *gguf;
    struct assay_model_info info;
    bool owns_weights;
    uint32_t experts_used;
    struct assay_linear *embed, *output; /* the same object where they are tied */
    const float *output_norm;
    struct assay_block *blocks;
    float **vectors; /* the 1-D tensors in fp32, by tensor number; NULL for others */
    size_t widest;   /* longest row of activations between the products */
};

#endif
