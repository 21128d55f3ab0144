/* The report's style sheet and plot scripts (reports/), embedded so that the program needs no files
 * beside it. */
#ifndef ASSAY_HARNESS_REPORT_ASSETS_H
#define ASSAY_HARNESS_REPORT_ASSETS_H

#include <stdio.h>

struct assay_asset {
    const char *name;         /* "bars.gp" */
    const char *const *lines; /* with their newlines; ends with NULL */
};

extern const struct assay_asset assay_assets[]; /* ends with name == NULL; made by ci/embed.sh */

/* Writes the asset of this name; nothing if there is none. */
void assay_asset_write(FILE *f, const char *name);

#endif
