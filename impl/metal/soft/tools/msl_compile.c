/* msl-compile [--checked] SOURCE.metal OUTPUT: compiles MSL for the software device ahead of time.
 * newLibraryWithURL: takes the output. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "impl/metal/soft/soft.h"
#include "impl/metal/soft/text.h"

int main(int argc, char **argv) {
    enum assay_soft_mode mode = ASSAY_SOFT_FAST;
    if (argc > 1 && strcmp(argv[1], "--checked") == 0) {
        mode = ASSAY_SOFT_CHECKED;
        argc--;
        argv++;
    }
    if (argc != 3) {
        fprintf(stderr, "usage: msl-compile [--checked] SOURCE.metal OUTPUT\n");
        return 2;
    }
    FILE *f = fopen(argv[1], "r");
    if (f == NULL) {
        fprintf(stderr, "%s: cannot read: %s\n", argv[1], strerror(errno));
        return 1;
    }
    struct assay_text source = {0};
    char block[65536];
    for (size_t n; (n = fread(block, 1, sizeof block, f)) > 0;)
        assay_text_add(&source, block, n);
    bool read = !ferror(f);
    fclose(f);
    assay_text_add(&source, "", 0);
    static char err[65536];
    const char *name = strrchr(argv[1], '/');
    name = name ? name + 1 : argv[1];
    if (!read || source.failed)
        snprintf(err, sizeof err, "%s: cannot read", argv[1]);
    bool ok = read && !source.failed &&
              assay_soft_library_compile(source.data, name, mode, argv[2], err, sizeof err);
    if (!ok)
        fprintf(stderr, "%s\n", err);
    free(source.data);
    return ok ? 0 : 1;
}
