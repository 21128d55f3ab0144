/* What the models of the catalogue occupy in each way of holding them, from their tensor tables. */
#ifndef ASSAY_HARNESS_MEM_CATALOGUE_H
#define ASSAY_HARNESS_MEM_CATALOGUE_H

#include <stdint.h>
#include <stdio.h>

#include "datasets/catalogue.h"
#include "datasets/recipe.h"

/* Bytes of all tensors. Activations and the attention's cache are not in it: they are the same for
 * every mode. */
struct assay_mem_need {
    uint64_t quantised; /* on disk, and mapped by backends that multiply from the blocks */
    uint64_t transient; /* the same and the largest matrix in fp16, for the time of a call */
    uint64_t eager_f16, eager_f32;
};

struct assay_mem_need assay_mem_need(const struct assay_model_shape *shape,
                                     const struct assay_file_type *type);

/* The model whose quantised tensors are the largest within `limit` bytes, with 16 MiB and a
 * twentieth to spare (assay_mem_bar); NULL: none. */
const struct assay_model_shape *assay_mem_largest(const struct assay_file_type *type,
                                                  uint64_t limit);

/* A table of the catalogue: what each mode needs, marked where it is more than `limit`. */
void assay_mem_catalogue_print(FILE *out, const struct assay_file_type *type, uint64_t limit);

#endif
