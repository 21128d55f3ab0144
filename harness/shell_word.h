/* Command lines that reproduce something, in a form that a shell takes back. */
#ifndef ASSAY_HARNESS_SHELL_WORD_H
#define ASSAY_HARNESS_SHELL_WORD_H

#include <stdio.h>

struct assay_backend;

/* One word, quoted where a shell would change it. */
void assay_print_shell_word(FILE *f, const char *s);

/* "--plugin FILE " or "--ggml DIR " of a backend that needs it; else nothing. */
void assay_print_backend_origin(FILE *f, const struct assay_backend *b);

#endif
