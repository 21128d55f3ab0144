/* Plots: the caller's rows and a script of reports/ go to gnuplot on its standard input, SVG comes
 * back and is put inline. Caption and legend are HTML, where text wraps and colours follow the
 * theme. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gnuplot.h"
#include "no_memory.h"
#include "report_assets.h"
#include "report_html.h"

/* What stands in quotes in gnuplot's data: a label can't end the quotes or the data block. */
static void quoted(FILE *f, const char *s) {
    fputs(" \"", f);
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        fputc(c < 0x20 || c == 0x7f || strchr("\"\\`$%", c) != NULL ? '?' : c, f);
    }
    fputs("\" ", f);
}

static void script(FILE *f, const struct assay_plot *p) {
    fprintf(f, "NAME = \"%s\"\n%s\n$data << END_OF_DATA\n", p->name, p->variables);
    for (size_t i = 0; i < p->n_rows; i++) {
        const struct assay_plot_row *r = &p->rows[i];
        quoted(f, r->label);
        fprintf(f, "%.6g %.6g %u", r->x, r->y, r->series);
        quoted(f, r->text);
        fputc('\n', f);
    }
    fputs("END_OF_DATA\n", f);
    assay_asset_write(f, p->script);
}

/* Writes s without its <title> element and gives ids that every picture has a prefix of their own.
 */
static void svg_line(FILE *f, const char *s, const char *name) {
    const char *title = strstr(s, "<title>"), *end = strstr(s, "</title>");

    while (*s != '\0') {
        if (s == title && end != NULL) {
            s = end + strlen("</title>");
            continue;
        }
        if (strncmp(s, "gpPt", 4) == 0 || strncmp(s, "gpDot", 5) == 0)
            fprintf(f, "%s_", name);
        if (strncmp(s, " id=\"gnuplot_canvas\"", 20) == 0)
            s += 20;
        fputc(*s++, f);
    }
}

/* Copies gnuplot's SVG from its <svg on, without descriptions, filters and empty groups. */
static void inline_svg(FILE *f, FILE *svg, const struct assay_plot *p) {
    char *line = NULL, *group = NULL;
    size_t size = 0;
    bool started = false, filter = false;

    while (getline(&line, &size, svg) > 0) {
        if (!started && strncmp(line, "<svg", 4) == 0) {
            started = true;
            fputs("<svg role=\"img\" aria-label=\"", f);
            assay_html_text(f, p->describe);
            fputs("\"\n", f);
            continue;
        }
        filter = filter || strstr(line, "<filter") != NULL;
        if (started && !filter && strncmp(line, "<desc>", 6) != 0) {
            bool opens = strncmp(line, "<g fill=\"none\"", 14) == 0;
            bool empty = group != NULL && strcmp(line, "</g>\n") == 0;
            if (group != NULL && !empty)
                svg_line(f, group, p->name);
            free(group);
            group = opens ? strdup(line) : NULL;
            if (opens && group == NULL)
                assay_no_memory_note();
            if (!opens && !empty)
                svg_line(f, line, p->name);
        }
        filter = filter && strstr(line, "</filter>") == NULL;
    }
    free(group);
    free(line);
}

static void legend(FILE *f, const struct assay_plot *p) {
    fputs("<ul class=\"legend\">", f);
    for (size_t i = 0; i < p->n_series; i++) {
        fprintf(f, "<li class=\"s%zu\">", i % ASSAY_PLOT_SERIES);
        assay_html_text(f, p->series[i]);
        fputs("</li>", f);
    }
    fputs("</ul>\n", f);
}

struct assay_plot_row *assay_plot_rows(size_t n) {
    struct assay_plot_row *rows = calloc(n, sizeof *rows);

    if (rows == NULL)
        assay_no_memory_note();
    return rows;
}

bool assay_html_plot(FILE *f, const struct assay_plot *p) {
    FILE *in, *out;
    bool ok = false;

    if (p->n_rows == 0)
        return false;
    in = tmpfile();
    out = tmpfile();
    if (in != NULL && out != NULL) {
        script(in, p);
        ok = assay_gnuplot(in, out);
    } else {
        assay_no_memory_note();
    }
    if (ok) {
        rewind(out);
        fputs("<figure>\n<figcaption>", f);
        assay_html_text(f, p->caption);
        fputs("</figcaption>\n", f);
        if (p->series != NULL)
            legend(f, p);
        inline_svg(f, out, p);
        fputs("</figure>\n", f);
    }
    if (in != NULL)
        fclose(in);
    if (out != NULL)
        fclose(out);
    return ok;
}

bool assay_plot_available(void) {
    FILE *in = tmpfile(), *out = tmpfile();
    bool files = in != NULL && out != NULL, ok = files && assay_gnuplot(in, out);

    if (!files)
        assay_no_memory_note();
    if (in != NULL)
        fclose(in);
    if (out != NULL)
        fclose(out);
    return ok;
}
