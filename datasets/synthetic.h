/* Synthetic models: GGUF files with the tensors, shapes and type mix of a real model and seeded
 * random blocks for weights. They are written once, to a cache, and serve where only sizes and
 * speed matter. They carry no tokenizer. */
#ifndef ASSAY_DATASETS_SYNTHETIC_H
#define ASSAY_DATASETS_SYNTHETIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "catalogue.h"
#include "recipe.h"

struct assay_synthetic_params {
    const struct assay_model_shape *shape;
    const struct assay_file_type *file_type;
    uint32_t layers; /* only the first so many; 0: all. Types are those of the whole model */
    uint64_t seed;
    /* Called as tensors are written. May be NULL. */
    void (*progress)(const char *tensor, size_t done, size_t total, void *user);
    void *user;
};

/* Bytes of tensor data that the file holds (without header and padding). */
uint64_t assay_synthetic_bytes(const struct assay_synthetic_params *p);

/* Writes the model to `path` (atomically: under another name, then renamed), using a few MiB of
 * memory. On failure returns false with one line in err; too small a disk is found beforehand. */
bool assay_synthetic_write(const struct assay_synthetic_params *p, const char *path, char *err,
                           size_t err_size);

/* Finds the model in the cache, or writes it there, and gives its path. A file whose tensor table
 * or seed is not what would be written today is written anew. */
bool assay_synthetic_cached(const struct assay_synthetic_params *p, char *path, size_t path_size,
                            char *err, size_t err_size);

/* The cache: $ASSAY_CACHE, else $XDG_CACHE_HOME/assay, else ~/.cache/assay. Created if missing. */
bool assay_cache_dir(char *dir, size_t size, char *err, size_t err_size);

#endif
