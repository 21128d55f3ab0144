/* Backend "ik": the matrix product of ik_llama.cpp's ggml, loaded at run time. A peer to measure
 * against, like "ggml". `make peers-ik` builds the library, which nobody distributes. */
#ifndef ASSAY_IMPL_IK_IK_H
#define ASSAY_IMPL_IK_IK_H

#include "impl/backend.h"

/* The library in use, as it was asked for (a path), or NULL if none could be loaded. */
const char *assay_ik_library(void);

#endif
