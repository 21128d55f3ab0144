/* Between the files of the scanner: scan_tokens.c, scan_pointers.c and scan.c. */
#ifndef ASSAY_IMPL_METAL_SOFT_SCAN_INTERNAL_H
#define ASSAY_IMPL_METAL_SOFT_SCAN_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "abi.h"
#include "scan.h"
#include "text.h"

enum kind { END, WORD, NUMBER, PUNCT };

struct token {
    enum kind kind;
    const char *at;
    size_t len;
    unsigned line;
};

struct constant {
    struct token name, type_from, type_to;
    unsigned index;
};

struct scan {
    const char *text;
    char *work; /* the source, blanked in place */
    struct token *tokens;
    size_t n_tokens, cap_tokens;
    char file[256];
    struct constant constants[MSL_MAX_CONSTANTS];
    size_t n_constants;
    struct assay_text body, tail,
        list;      /* the source so far; descriptors; rows of the kernel table */
    size_t copied; /* bytes of `work` that `body` has */
    unsigned n_kernels;
    bool strict, failed;
    char *err;
    size_t err_size;
};

/* Keeps the first complaint as the scan's error; false. */
bool assay_soft_complain(struct scan *s, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

bool assay_soft_token_is(const struct token *t, const char *text);

/* Splits the source, END last. Literals of strings and characters count as numbers: nothing looks
 * at them. False: no memory, complained of. */
bool assay_soft_tokenise(struct scan *s);

/* `a[b[0]]` ends in a ']]' that is no attribute's: that token counts as two brackets. */
size_t assay_soft_brackets(const struct token *t);

/* The token after the bracket that closes the one at i. */
size_t assay_soft_past(const struct scan *s, size_t i);

/* True at a token that can begin a statement. */
bool assay_soft_starts_statement(const struct scan *s, size_t i);

/* Pointers and references need an address space. False: complained of. */
bool assay_soft_check_pointers(struct scan *s);

#endif
