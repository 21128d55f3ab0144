/* Reads a preprocessed .metal source: what C++ lacks of MSL's syntax becomes C++. */
#ifndef ASSAY_IMPL_METAL_SOFT_SCAN_H
#define ASSAY_IMPL_METAL_SOFT_SCAN_H

#include <stdbool.h>
#include <stddef.h>

/* Sets *out to the translation, for the caller to free: attributes are blanked, line numbers kept,
 * and the kernels' descriptors and thunks follow after the source. `text` is what `clang -E`
 * writes, line markers included; a last newline is not needed. False: err holds the complaints in
 * the form "file:line: error: …". With `strict`, pointers need an address
 * space and no descriptors follow: the result is for the strict pass (compile.c). */
bool assay_soft_scan(const char *text, bool strict, char **out, char *err, size_t err_size);

#endif
