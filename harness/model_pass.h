/* A llama-like model loaded from GGUF through a backend, and one pass through its linear layers.
 *
 * It is there to be measured, not to generate text: every matrix is multiplied as inference would,
 * but attention, rotary embedding, gating and expert routing are not computed. Between the products
 * stand RMS-normalised sums, so that values keep a sane size; every product shows in the logits. */
#ifndef ASSAY_HARNESS_MODEL_PASS_H
#define ASSAY_HARNESS_MODEL_PASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datasets/gguf.h"
#include "impl/gemm_quant.h"

struct assay_model;

struct assay_model_info {
    uint32_t layers, layers_total; /* loaded, and in the file */
    size_t vocab;                  /* rows of the output projection: width of the logits */
    uint64_t disk_bytes;           /* tensor bytes of what was loaded, as in the file */
    uint64_t weight_bytes;         /* what the backend holds for it (borrowed blocks included) */
    size_t skipped;                /* matrices of the file that the pass does not know */
    double load_layers_s;          /* time of loading that the layers took; the rest is tables */
    double pass_layers_s;          /* the same of the last forward pass */
};

/* Loads the embedding table, the first `layers` layers (0: all) and the output projection. A
 * backend that borrows the blocks gets its pages read in; from one that keeps a copy, the file's
 * pages of each tensor are dropped as soon as it is copied. One-dimensional tensors become fp32.
 * `g` and `ctx` must outlive the model. On failure returns NULL with one line in err. */
struct assay_model *assay_model_load(const struct assay_gguf *g, struct assay_ctx *ctx,
                                     uint32_t layers, char *err, size_t err_size);
void assay_model_free(struct assay_model *m); /* NULL is allowed */
const struct assay_model_info *assay_model_info(const struct assay_model *m);

/* Runs `tokens` token ids (ids[i] < vocabulary) and writes logits[tokens × vocab]. All tokens of a
 * mixture-of-experts layer go through the same experts, a different set in each layer. */
bool assay_model_forward(struct assay_model *m, const int64_t *ids, size_t tokens, float *logits,
                         char *err, size_t err_size);

/* What loading would occupy, found by loading one row of each matrix. */
struct assay_model_cost {
    uint32_t layers;
    uint64_t *layer_bytes; /* [layers], to be freed */
    uint64_t table_bytes;  /* embedding, output and what else belongs to no layer */
    uint64_t largest;      /* weights of the largest matrix */
    bool owned;            /* the backend keeps a copy: anonymous memory */
};
bool assay_model_cost(const struct assay_gguf *g, struct assay_ctx *ctx,
                      struct assay_model_cost *cost, char *err, size_t err_size);

/* Number of layers of the file: the highest N of its blk.N. tensors, plus one. */
uint32_t assay_model_layers(const struct assay_gguf *g);

/* Σ bytes of the tensors of the layers [0, layers) and of the tables (0: of all layers). */
uint64_t assay_model_disk_bytes(const struct assay_gguf *g, uint32_t layers);

#endif
