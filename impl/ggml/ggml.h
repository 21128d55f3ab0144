/* Backend "ggml": the matrix product of llama.cpp's own CPU libraries, loaded at run time. A peer
 * to measure against, and a subject that verify judges like any other. */
#ifndef ASSAY_IMPL_GGML_GGML_H
#define ASSAY_IMPL_GGML_GGML_H

#include "impl/backend.h"

/* Folder of libggml-base.so and libggml-cpu-*.so, in place of $ASSAY_GGML_DIR and node_modules. To
 * be called before the first use of the backend; the string is borrowed for ever. */
void assay_ggml_set_dir(const char *dir);
const char *assay_ggml_dir(void); /* as set; NULL if it was not */

/* The CPU library in use ("libggml-cpu-zen4.so"), or NULL if none could be loaded. */
const char *assay_ggml_library(void);
/* "0.9.4 (commit 72b24d9)", as that library says of itself; NULL if none could be loaded. */
const char *assay_ggml_version(void);

#endif
