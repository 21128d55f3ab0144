/* The same tables without libsmartcols, which Debian has no static library of: for `make static`.
 */
#include <stdlib.h>
#include <string.h>

#include "no_memory.h"
#include "term.h"

struct row {
    struct row *next;
    enum assay_colour colour;
    char *cells[]; /* table.columns */
};

struct assay_table {
    size_t columns;
    bool *right;
    size_t *width;
    struct row *first, **end;
};

/* Columns that UTF-8 text takes, each character one: what these tables hold. */
static size_t width_of(const char *s) {
    size_t n = 0;
    for (; *s != '\0'; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static void table_free(struct assay_table *t) {
    while (t->first != NULL) {
        struct row *next = t->first->next;
        for (size_t i = 0; i < t->columns; i++)
            free(t->first->cells[i]);
        free(t->first);
        t->first = next;
    }
    free(t->right);
    free(t->width);
    free(t);
}

struct assay_table *assay_table_new(const char *const *headings, size_t n) {
    struct assay_table *t = calloc(1, sizeof *t);
    const char **names = calloc(n + 1, sizeof *names);

    if (t != NULL) {
        t->columns = n;
        t->end = &t->first;
        t->right = calloc(n + 1, sizeof *t->right);
        t->width = calloc(n + 1, sizeof *t->width);
    }
    if (t == NULL || names == NULL || t->right == NULL || t->width == NULL) {
        if (t != NULL)
            table_free(t);
        free(names);
        assay_no_memory_note();
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        t->right[i] = headings[i][0] == '>';
        names[i] = headings[i] + t->right[i];
    }
    assay_table_row(t, names);
    free(names);
    return t;
}

void assay_table_row(struct assay_table *t, const char *const *cells) {
    assay_table_row_colour(t, ASSAY_PLAIN, cells);
}

void assay_table_row_colour(struct assay_table *t, enum assay_colour c, const char *const *cells) {
    struct row *row = t != NULL ? calloc(1, sizeof *row + t->columns * sizeof row->cells[0]) : NULL;

    if (row == NULL) {
        assay_no_memory_note();
        return;
    }
    row->colour = c;
    for (size_t i = 0; i < t->columns; i++) {
        row->cells[i] = cells[i] != NULL ? assay_printable(cells[i]) : NULL;
        size_t width = row->cells[i] != NULL ? width_of(row->cells[i]) : 0;
        t->width[i] = width > t->width[i] ? width : t->width[i];
    }
    *t->end = row;
    t->end = &row->next;
}

static void print_row(const struct assay_table *t, const struct row *row, FILE *f) {
    fputs(assay_colour_start(f, row->colour), f);
    for (size_t i = 0; i < t->columns; i++) {
        const char *text = row->cells[i] != NULL ? row->cells[i] : "";
        int pad = (int)(t->width[i] - width_of(text));

        if (t->right[i])
            fprintf(f, "%*s", pad, "");
        fputs(text, f);
        if (!t->right[i] && i + 1 < t->columns)
            fprintf(f, "%*s", pad, "");
        if (i + 1 < t->columns)
            fputs("  ", f);
    }
    if (row->colour != ASSAY_PLAIN)
        fputs(assay_colour_end(f), f);
    fputc('\n', f);
}

void assay_table_print(struct assay_table *t, FILE *f) {
    if (t == NULL)
        return;
    for (const struct row *row = t->first; row != NULL; row = row->next)
        print_row(t, row, f);
    table_free(t);
}
