/* The real ggml libraries as witnesses, loaded at run time where they are installed. */
#ifndef ASSAY_REF_TESTS_GGML_ORACLE_H
#define ASSAY_REF_TESTS_GGML_ORACLE_H

#include <stddef.h>
#include <stdint.h>

#include "ref/types.h"

/* dequantize_row_*(blocks, out, number of weights). */
typedef void (*ggml_dequant_fn)(const void *blocks, float *out, int64_t k);

/* quantize_row_*(x, blocks, number of elements). */
typedef void (*ggml_quantise_fn)(const float *x, void *blocks, int64_t k);

/* A symbol of `library` ("libggml-base.so"), looked for in $ASSAY_GGML_DIR, else in
 * node_modules/@node-llama-cpp/linux-x64/bins/linux-x64 under the current directory. NULL if there
 * is none; *why (never NULL) then holds the reason. */
void *ggml_symbol(const char *library, const char *name, const char **why);

/* ggml's decoder of a type. NULL with a reason if the library or the symbol is missing. */
ggml_dequant_fn ggml_dequantiser(const struct assay_type_traits *t, const char **why);

#endif
