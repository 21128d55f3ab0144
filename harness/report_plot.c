/* Plots: the caller's rows and a script of reports/ go to gnuplot on its standard input, SVG comes
 * back and is put inline. Caption and legend are HTML, where text wraps and colours follow the
 * theme. */
#include <errno.h>
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

enum medium { PAGE, SVG_FILE, PNG_FILE };

/* What the scripts ask for besides their data. In a page the title and the legend are HTML. */
static void settings(FILE *f, const struct assay_plot *p, enum medium medium) {
    static const char *const terminals[] = {
        [PAGE] = "svg dynamic size W, H font \"sans-serif,13\" noenhanced",
        [SVG_FILE] = "svg size W, H font \"sans-serif,13\" noenhanced background \"#ffffff\"",
        /* twice the size; its fonts are in points, of 4/3 pixels */
        [PNG_FILE] = ("pngcairo size 2 * W, 2 * H font \"sans-serif,13\" fontscale 1.5 linewidth 2 "
                      "pointscale 2 noenhanced background \"#ffffff\""),
    };

    fprintf(f, "TERMINAL = '%s'\n", terminals[medium]);
    fprintf(f, "KEY = '%s'\nTOP = %d\nFOOT = %d\n",
            medium != PAGE && p->series != NULL
                ? "at screen 0.5, screen 0.02 center bottom horizontal Left reverse samplen 1 "
                  "maxcols 1"
                : "off",
            medium == PAGE ? 8 : 36,
            medium == PAGE || p->series == NULL ? 0 : 14 + 18 * (int)p->n_series);
    fputs("TITLE =", f);
    quoted(f, medium == PAGE ? "" : p->caption);
    fprintf(f, "\narray SERIES[%d]\n", ASSAY_PLOT_SERIES);
    for (size_t i = 0; i < ASSAY_PLOT_SERIES; i++) {
        fprintf(f, "SERIES[%zu] =", i + 1);
        quoted(f, i < p->n_series ? p->series[i] : "");
        fputc('\n', f);
    }
    fprintf(f, "%s\n", p->variables);
}

/* Writes a script line with real colours (of report.css, light) for the placeholders #010101 to
 * #090909. */
static void coloured(FILE *f, const char *line) {
    static const char *const colours[] = {"#1d2126", "#dfe2e6", "#1f6feb", "#d1741a", "#2a9d6f",
                                          "#8a55c9", "#c2417c", "#66717d", "#b3261e"};
    while (*line != '\0') {
        if (line[0] == '#' && line[1] == '0' && line[2] >= '1' && line[2] <= '9' &&
            strncmp(line + 1, line + 3, 4) == 0) {
            fputs(colours[line[2] - '1'], f);
            line += 7;
        } else {
            fputc(*line++, f);
        }
    }
}

static void script(FILE *f, const struct assay_plot *p, enum medium medium) {
    settings(f, p, medium);
    fputs("$data << END_OF_DATA\n", f);
    for (size_t i = 0; i < p->n_rows; i++) {
        const struct assay_plot_row *r = &p->rows[i];
        quoted(f, r->label);
        fprintf(f, "%.6g %.6g %u", r->x, r->y, r->series);
        quoted(f, r->text);
        fprintf(f, "%.6g %.6g %.6g\n", r->low, r->high, r->roof);
    }
    fputs("END_OF_DATA\n", f);
    for (const struct assay_asset *a = assay_assets; a->name != NULL; a++)
        for (const char *const *line = a->lines; strcmp(a->name, p->script) == 0 && *line != NULL;
             line++) {
            if (medium == PAGE)
                fputs(*line, f);
            else
                coloured(f, *line);
        }
}

/* ---- Plots as files ---- */

static const char *keep_dir;
static char keep_error[4608];

void assay_plot_keep_in(const char *dir) {
    keep_dir = dir;
    keep_error[0] = '\0';
}

const char *assay_plot_keep_error(void) { return keep_error[0] != '\0' ? keep_error : NULL; }

static void keep(const struct assay_plot *p, enum medium medium) {
    char path[4096];
    FILE *in = tmpfile(), *out = NULL;
    bool ok = false;

    snprintf(path, sizeof path, "%s/%s.%s", keep_dir, p->name, medium == SVG_FILE ? "svg" : "png");
    errno = 0;
    if (in != NULL && (out = fopen(path, "w")) != NULL) {
        script(in, p, medium);
        ok = assay_gnuplot(in, out);
    }
    if (in != NULL)
        fclose(in);
    ok = (out == NULL || fclose(out) == 0) && ok;
    if (!ok && keep_error[0] == '\0')
        snprintf(keep_error, sizeof keep_error, "%s: %s", path,
                 errno != 0 ? strerror(errno) : "gnuplot could not draw it");
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
        script(in, p, PAGE);
        ok = assay_gnuplot(in, out);
    } else {
        assay_no_memory_note();
    }
    for (enum medium m = SVG_FILE; ok && keep_dir != NULL && m <= PNG_FILE; m++)
        keep(p, m);
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
