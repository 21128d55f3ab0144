/* A loaded kernel library, and the runtime's table. */
#ifndef ASSAY_IMPL_METAL_SOFT_LIBRARY_H
#define ASSAY_IMPL_METAL_SOFT_LIBRARY_H

#include "soft.h"

struct assay_soft_library {
    char *path;
    void *handle;
    const struct msl_module *module;
    uintptr_t image, image_end; /* where it lies in memory */
};

/* What kernels call (group.c). */
extern const struct msl_runtime assay_soft_runtime;

/* Sets image and image_end. */
void assay_soft_find_image(struct assay_soft_library *lib);

/* The place in the source that `pc`, an address after a call, belongs to: "q4_k.metal:12", or "" if
 * it can't be told. */
void assay_soft_source_line(const struct assay_soft_library *lib, uintptr_t pc, char *out,
                            size_t n);

#endif
