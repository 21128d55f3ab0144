/* Tables through libsmartcols. */
#include <errno.h>
#include <langinfo.h>
#include <libsmartcols.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "no_memory.h"
#include "term.h"

struct assay_table {
    struct libscols_table *scols;
    size_t columns;
};

/* libsmartcols measures text in the locale's encoding; ours is UTF-8 whatever the user's is. */
static void use_utf8(void) {
    static bool done;
    if (!done && (setlocale(LC_CTYPE, "") == NULL || strcmp(nl_langinfo(CODESET), "UTF-8") != 0))
        setlocale(LC_CTYPE, "C.UTF-8");
    done = true;
}

struct assay_table *assay_table_new(const char *const *headings, size_t n) {
    struct assay_table *t = malloc(sizeof *t);

    use_utf8();
    if (t == NULL || (t->scols = scols_new_table()) == NULL) {
        free(t);
        assay_no_memory_note();
        return NULL;
    }
    t->columns = n;
    /* Never cut to the width of the terminal: a table in a pipe reads as on the screen. */
    scols_table_set_termforce(t->scols, SCOLS_TERMFORCE_NEVER);
    scols_table_enable_noencoding(t->scols, 1);
    scols_table_set_column_separator(t->scols, "  ");
    for (size_t i = 0; i < n; i++) {
        bool right = headings[i][0] == '>';
        if (scols_table_new_column(t->scols, headings[i] + right, 0, right ? SCOLS_FL_RIGHT : 0) ==
            NULL)
            assay_no_memory_note();
    }
    return t;
}

void assay_table_row(struct assay_table *t, const char *const *cells) {
    assay_table_row_colour(t, ASSAY_PLAIN, cells);
}

void assay_table_row_colour(struct assay_table *t, enum assay_colour c, const char *const *cells) {
    static const char *const names[] = {
        [ASSAY_PLAIN] = NULL,      [ASSAY_RED] = "red",      [ASSAY_GREEN] = "green",
        [ASSAY_YELLOW] = "yellow", [ASSAY_DIM] = "darkgray", [ASSAY_BOLD] = "bold",
    };
    struct libscols_line *line;

    if (t == NULL || (line = scols_table_new_line(t->scols, NULL)) == NULL) {
        assay_no_memory_note();
        return;
    }
    for (size_t i = 0; i < t->columns; i++) {
        char *shown = cells[i] != NULL ? assay_printable(cells[i]) : NULL;
        if (shown != NULL && scols_line_refer_data(line, i, shown) != 0) {
            free(shown);
            assay_no_memory_note();
        }
    }
    if (names[c] != NULL)
        scols_line_set_color(line, names[c]);
}

void assay_table_print(struct assay_table *t, FILE *f) {
    if (t == NULL)
        return;
    scols_table_enable_colors(t->scols, assay_coloured(f));
    scols_table_set_stream(t->scols, f);
    if (scols_print_table(t->scols) == -ENOMEM)
        assay_no_memory_note();
    scols_unref_table(t->scols);
    free(t);
}
