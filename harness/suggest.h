/* "did you mean": the nearest known word. */
#ifndef ASSAY_HARNESS_SUGGEST_H
#define ASSAY_HARNESS_SUGGEST_H

#include <stddef.h>

/* The word at most a third of its letters away from `word` (edit distance, case ignored), the
 * nearest if there are several; NULL if there is none. `name_at(i, user)` for i < n. */
const char *assay_suggest(const char *word, const char *(*name_at)(size_t i, void *user), size_t n,
                          void *user);

#endif
