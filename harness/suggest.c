#include "suggest.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { MAX_WORD = 64 };

static size_t min_size(size_t a, size_t b) { return a < b ? a : b; }

/* Levenshtein distance, one row of the table at a time; SIZE_MAX for words too long to matter. */
static size_t distance(const char *a, const char *b) {
    size_t row[MAX_WORD + 1];
    size_t la = strlen(a), lb = strlen(b);

    if (la > MAX_WORD || lb > MAX_WORD)
        return SIZE_MAX;
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            bool same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
            size_t best = min_size(diagonal + !same, min_size(row[j], row[j - 1]) + 1);
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[lb];
}

const char *assay_suggest(const char *word, const char *(*name_at)(size_t i, void *user), size_t n,
                          void *user) {
    const char *nearest = NULL;
    size_t least = SIZE_MAX;

    for (size_t i = 0; i < n; i++) {
        const char *name = name_at(i, user);
        size_t d = distance(word, name);
        size_t longest = strlen(name) > strlen(word) ? strlen(name) : strlen(word);
        if (d < least && d <= longest / 3) {
            least = d;
            nearest = name;
        }
    }
    return nearest;
}
