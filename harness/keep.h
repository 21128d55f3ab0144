/* Kept cases: a specimen as a small GGUF file that replays, and as C data for a test of the
 * kernel's own project.
 *
 * The file holds the tensors `w` (of the case's type) and `x` (F32), and the metadata
 * assay.backend, .variant, .isa, .threads, .origin ("plugin" or "ggml"; its path in .origin_path),
 * .class (the arithmetic that the backend declared), .case and .seed. */
#ifndef ASSAY_HARNESS_KEEP_H
#define ASSAY_HARNESS_KEEP_H

#include <stdbool.h>
#include <stddef.h>

#include "specimen.h"

/* Writes DIR/NAME.gguf, and DIR/NAME.h of the simplified specimen and its trial; NAME is the case's
 * id with '_' for '/'. Makes DIR. False with the reason in err. */
bool assay_keep_save(const char *dir, const struct assay_specimen *small,
                     const struct assay_specimen *simple, const struct assay_trial *simple_trial,
                     char *err, size_t err_size);

/* DIR/NAME + suffix, cut to size. */
void assay_keep_path(const char *dir, const struct assay_specimen *s, const char *suffix,
                     char *path, size_t size);

/* Reads a kept case, and makes its backend known if it came from a plugin. False with the reason in
 * err. Free the specimen in any case. */
bool assay_keep_load(const char *path, struct assay_specimen *s, char *err, size_t err_size);

/* "fp32 weights, int8 activations in blocks of 32". */
void assay_arith_text(const struct assay_arith *a, char *buf, size_t size);

#endif
