/* The type mix of llama.cpp's quantiser: which block type each tensor of a model gets for a file
 * type such as Q4_K_M. Learnt from its llama_tensor_get_type (src/llama-quant.cpp); recipe.c holds
 * the rules as one table, tests hold them against files that llama.cpp wrote. */
#ifndef ASSAY_DATASETS_RECIPE_H
#define ASSAY_DATASETS_RECIPE_H

#include <stddef.h>
#include <stdint.h>

#include "catalogue.h"
#include "ref/types.h"

struct assay_file_type {
    const char *name;     /* as in model file names: "Q4_K_M" */
    uint32_t id;          /* value of general.file_type */
    enum assay_type base; /* type of every tensor that no rule changes */
};

size_t assay_file_type_count(void);
const struct assay_file_type *assay_file_type_at(size_t i);
const struct assay_file_type *assay_file_type_by_name(const char *name); /* any case; or NULL */

/* One tensor of a llama-family model. */
struct assay_recipe_tensor {
    const char *name; /* "blk.3.attn_v.weight" */
    uint32_t n_dims;
    uint64_t in; /* dims[0] */
};

/* Type of tensor `t` of a model of shape `s`. Norms, biases and the expert router stay F32. The
 * result is what llama.cpp gives without an importance matrix; for file types that it refuses to
 * make without one (IQ1_*, IQ2_*, IQ3_XXS, IQ3_XS, Q2_K_S) what it gives with one. A row length
 * that is no multiple of the type's block takes llama.cpp's fall-back type. */
enum assay_type assay_recipe_type(const struct assay_file_type *ft,
                                  const struct assay_model_shape *s,
                                  const struct assay_recipe_tensor *t);

#endif
