/* gnuplot as a filter. */
#ifndef ASSAY_HARNESS_GNUPLOT_H
#define ASSAY_HARNESS_GNUPLOT_H

#include <stdbool.h>
#include <stdio.h>

/* Runs gnuplot on a script in the file `in` (from its start), its output to the file `out`. False
 * if it is not installed or did not like the script. Both files need a descriptor. */
bool assay_gnuplot(FILE *in, FILE *out);

#endif
