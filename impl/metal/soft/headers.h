/* The files of include/ and abi.h, as text (made at build time): kernels are compiled where the
 * source tree may not be. */
#ifndef ASSAY_IMPL_METAL_SOFT_HEADERS_H
#define ASSAY_IMPL_METAL_SOFT_HEADERS_H

#include <stddef.h>

struct assay_soft_header {
    const char *name, *data;
    size_t size;
};

extern const struct assay_soft_header assay_soft_headers[];
extern const size_t assay_soft_n_headers;

#endif
