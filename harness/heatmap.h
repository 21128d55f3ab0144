/* Where an output is wrong: a picture of m × n elements, on the terminal and as PNG. */
#ifndef ASSAY_HARNESS_HEATMAP_H
#define ASSAY_HARNESS_HEATMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define ASSAY_HEATMAP_COLUMNS 60
#define ASSAY_HEATMAP_ROWS 16

/* Prints wrong[m × n] (row-major; 0: right), folded to at most ASSAY_HEATMAP_COLUMNS ×
 * ASSAY_HEATMAP_ROWS cells, each as dark as the share of its elements that is wrong, but never
 * blank if one is. With `ascii`, no other characters. */
void assay_heatmap_print(FILE *out, const uint8_t *wrong, size_t m, size_t n, bool ascii);

/* True if the locale's text is UTF-8. */
bool assay_heatmap_utf8(void);

/* Draws the same with gnuplot, unfolded up to 1024 × 1024. False if there is no gnuplot or no file
 * could be written. */
bool assay_heatmap_png(const char *path, const uint8_t *wrong, size_t m, size_t n);

#endif
