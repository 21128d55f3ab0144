#include "heatmap.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "gnuplot.h"

enum { PNG_CELLS = 1024 };

bool assay_heatmap_utf8(void) {
    const char *old = setlocale(LC_CTYPE, NULL);
    char *kept = old != NULL ? strdup(old) : NULL;
    bool utf8 = setlocale(LC_CTYPE, "") != NULL && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;

    if (kept != NULL)
        setlocale(LC_CTYPE, kept);
    free(kept);
    return utf8;
}

/* Cells that a side of `size` elements folds to, and the elements [*from, *to) of one. */
static size_t cells_of(size_t size, size_t most) { return size < most ? size : most; }

static void cell_range(size_t size, size_t cells, size_t cell, size_t *from, size_t *to) {
    *from = cell * size / cells;
    *to = (cell + 1) * size / cells;
}

/* Share of a cell's elements that is wrong. */
static double share(const uint8_t *wrong, size_t m, size_t n, size_t rows, size_t columns, size_t r,
                    size_t c) {
    size_t i0, i1, j0, j1, count = 0;

    cell_range(m, rows, r, &i0, &i1);
    cell_range(n, columns, c, &j0, &j1);
    for (size_t i = i0; i < i1; i++)
        for (size_t j = j0; j < j1; j++)
            count += wrong[i * n + j] != 0;
    return (double)count / (double)((i1 - i0) * (j1 - j0));
}

void assay_heatmap_print(FILE *out, const uint8_t *wrong, size_t m, size_t n, bool ascii) {
    static const char *const blocks[] = {"·", "░", "▒", "▓", "█"};
    static const char *const letters[] = {".", ":", "+", "x", "#"};
    const char *const *shades = ascii ? letters : blocks;
    size_t rows = cells_of(m, ASSAY_HEATMAP_ROWS), columns = cells_of(n, ASSAY_HEATMAP_COLUMNS);

    for (size_t r = 0; r < rows; r++) {
        size_t from, to;
        cell_range(m, rows, r, &from, &to);
        fprintf(out, "    %5zu ", from);
        for (size_t c = 0; c < columns; c++) {
            double s = share(wrong, m, n, rows, columns, r, c);
            fputs(shades[s > 0 ? s < 0.25 ? 1 : s < 0.5 ? 2 : s < 1 ? 3 : 4 : 0], out);
        }
        fputc('\n', out);
    }
}

/* Escapes nothing: the path, which could need it, is not part of the script. */
static void script(FILE *f, const uint8_t *wrong, size_t m, size_t n) {
    size_t rows = cells_of(m, PNG_CELLS), columns = cells_of(n, PNG_CELLS);

    fprintf(f,
            "set terminal pngcairo size 900,600 font 'sans,11'\n"
            "set title 'share of wrong outputs'\n"
            "set xlabel 'column (row of W)'\nset ylabel 'row of x'\n"
            "set xrange [-0.5:%g]\nset yrange [%g:-0.5]\nset cbrange [0:1]\n"
            "set palette defined (0 '#f2f2f2', 0.001 '#f6c6c0', 1 '#b0120a')\n"
            "plot '-' using (($1+0.5)*%.17g-0.5):(($2+0.5)*%.17g-0.5):3 matrix with image "
            "notitle\n",
            (double)n - 0.5, (double)m - 0.5, (double)n / (double)columns,
            (double)m / (double)rows);
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < columns; c++)
            fprintf(f, "%g ", share(wrong, m, n, rows, columns, r, c));
        fputc('\n', f);
    }
    fputs("e\n", f);
}

bool assay_heatmap_png(const char *path, const uint8_t *wrong, size_t m, size_t n) {
    FILE *in = tmpfile(), *out = fopen(path, "wb");
    bool ok = in != NULL && out != NULL;

    if (ok) {
        script(in, wrong, m, n);
        ok = assay_gnuplot(in, out);
    }
    if (in != NULL)
        fclose(in);
    if (out != NULL)
        fclose(out);
    if (!ok && out != NULL)
        remove(path);
    return ok;
}
