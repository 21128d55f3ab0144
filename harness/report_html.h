/* Building blocks of the report: escaped text, tables, plots. */
#ifndef ASSAY_HARNESS_REPORT_HTML_H
#define ASSAY_HARNESS_REPORT_HTML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Writes text so that no byte of it can be markup; control characters become U+FFFD. */
void assay_html_text(FILE *f, const char *s);
/* Formats, then writes as assay_html_text does. */
void assay_html_textf(FILE *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A page around `body` (already HTML). The style sheet is embedded. */
void assay_html_page(FILE *f, const char *title, const char *body);

/* A table with a caption; headings that start with '>' are of right-aligned columns. Cells are
 * plain text; `class` of a row may be NULL ("bad", "good", "dim"). */
struct assay_html_table {
    FILE *f;
    const char *const *headings;
    size_t n;
};
void assay_html_table_open(struct assay_html_table *t, FILE *f, const char *caption,
                           const char *const *headings, size_t n);
void assay_html_table_row(struct assay_html_table *t, const char *class, const char *const *cells);
void assay_html_table_close(struct assay_html_table *t);

/* Things that open and close by the reader's click; `summary` is plain text. */
void assay_html_details_open(FILE *f, const char *summary);
void assay_html_details_close(FILE *f);

/* One point or bar of a plot: a row of the script's $data, in this order. */
struct assay_plot_row {
    char label[48];
    double x, y;      /* bars.gp: y is not used; margin.gp: y is the line, from the top */
    unsigned series;  /* colour and legend entry, < ASSAY_PLOT_SERIES */
    char text[48];    /* bars.gp: written at the bar's end */
    double low, high; /* interval of the value that is drawn; 0, 0: none */
    double roof;      /* bars.gp: a mark across the bar; 0: none */
};
enum { ASSAY_PLOT_SERIES = 6 };

struct assay_plot {
    const char *script;        /* "bars.gp" */
    const char *name;          /* unique in the page; letters, digits and '_' */
    const char *caption;       /* shown above the plot */
    const char *describe;      /* what it shows, for those who can't see it */
    const char *variables;     /* gnuplot assignments that the script asks for; may be "" */
    const char *const *series; /* legend; NULL: none */
    size_t n_series;
    const struct assay_plot_row *rows;
    size_t n_rows;
};

/* Plots to come are also written to DIR/NAME.svg and DIR/NAME.png, with legend and title in the
 * picture; NULL ends that. */
void assay_plot_keep_in(const char *dir);
/* What kept such a file from being written, since the last assay_plot_keep_in(): "FILE: reason".
 * NULL: nothing did. */
const char *assay_plot_keep_error(void);

/* Zeroed rows for a plot, to be freed; NULL, noted (no_memory.h), if memory ran out. */
struct assay_plot_row *assay_plot_rows(size_t n);

/* Draws through gnuplot, inline as SVG. Where gnuplot is missing or fails, or there are no rows,
 * the figure is left out and false returned. */
bool assay_html_plot(FILE *f, const struct assay_plot *p);

/* True if gnuplot runs here. */
bool assay_plot_available(void);

#endif
