/* Terminal output: colour only on a terminal (and without NO_COLOR), progress only where stderr is
 * one, tables through libsmartcols (table.c) or without it (table_plain.c). */
#ifndef ASSAY_HARNESS_TERM_H
#define ASSAY_HARNESS_TERM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum assay_colour { ASSAY_PLAIN, ASSAY_RED, ASSAY_GREEN, ASSAY_YELLOW, ASSAY_DIM, ASSAY_BOLD };

/* Whether text on `f` may have colours. */
bool assay_coloured(FILE *f);

/* Escape sequence that starts a colour on `f`, or "" where colours are off; assay_colour_end ends.
 */
const char *assay_colour_start(FILE *f, enum assay_colour c);
const char *assay_colour_end(FILE *f);

/* A copy of text that a file or another program chose, with control characters and bytes that are
 * no UTF-8 written as escapes (\n, \x1b): one line that no terminal takes for a command. free() it;
 * NULL, noted (no_memory.h), if memory ran out. */
char *assay_printable(const char *s);

/* printf of one line of such text; ends the line itself. */
void assay_print_line(FILE *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A progress line on stderr ("verify  123/456  q4_k avx512 …"), redrawn at most ten times a second;
 * nothing where stderr is no terminal. */
void assay_progress(const char *task, size_t done, size_t total, const char *what);
void assay_progress_clear(void);

/* A table: columns with headings, right-aligned where the heading starts with '>' (not printed).
 * Cells are shown as assay_printable makes them. */
struct assay_table;
struct assay_table *assay_table_new(const char *const *headings, size_t n);
/* Adds a row of n strings (copied). */
void assay_table_row(struct assay_table *t, const char *const *cells);
/* The same with one colour for the whole row. */
void assay_table_row_colour(struct assay_table *t, enum assay_colour c, const char *const *cells);
void assay_table_print(struct assay_table *t, FILE *f); /* and frees it */

#endif
