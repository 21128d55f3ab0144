#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"
#include "report.h"

static const struct assay_option options[] = {
    {"output", 'o', "FILE", "assay-report.html", "Where to write the page."},
    {"title", 't', "TEXT", "assay report", "Heading of the page."},
    {0},
};

/* Writes by way of a temporary file, so that a report is whole or absent. */
static bool write_page(const char *path, const struct assay_record *records, size_t n,
                       const char *title, int *error) {
    size_t size = strlen(path) + sizeof ".part";
    char *part = malloc(size);
    FILE *f;
    bool ok;

    if (part == NULL) {
        *error = ENOMEM;
        return false;
    }
    snprintf(part, size, "%s.part", path);
    f = fopen(part, "w");
    if (f == NULL) {
        *error = errno;
        free(part);
        return false;
    }
    errno = 0;
    ok = assay_report_write(f, records, n, title);
    ok = fclose(f) == 0 && ok;
    ok = ok && rename(part, path) == 0;
    *error = errno != 0 ? errno : ENOMEM;
    if (!ok)
        unlink(part);
    free(part);
    return ok;
}

static int run(const struct assay_args *args) {
    const char *path = assay_args_get(args, "output");
    size_t n = args->n_positional, loaded = 0;
    struct assay_record *records = calloc(n, sizeof *records);
    char err[512] = "out of memory";
    int code = ASSAY_EXIT_USAGE, error;

    while (records != NULL && loaded < n &&
           assay_report_read(args->positional[loaded], &records[loaded], err, sizeof err))
        loaded++;
    if (records == NULL || loaded < n) {
        assay_usage_error(args->command, "%s", err);
    } else if (!write_page(path, records, n, assay_args_get(args, "title"), &error)) {
        assay_usage_error(args->command, "%s: can't write the report: %s", path, strerror(error));
    } else {
        printf("report: %s\n", path);
        code = ASSAY_EXIT_OK;
    }
    for (size_t i = 0; i < loaded; i++)
        json_decref(records[i].json);
    free(records);
    return code;
}

const struct assay_command assay_cmd_report = {
    .name = "report",
    .synopsis = "RECORD.json… [OPTIONS]",
    .summary = "Make one HTML page from the records of verify, bench and mem",
    .details = "Reads records that other commands wrote with --json and writes a page that needs "
               "nothing beside it: no network, no other files. Plots are made by gnuplot; without "
               "it the page has its tables only and says so.",
    .examples = "# Verify and measure a model, then make the page\n"
                "$ assay verify --gguf model.gguf --json verify.json\n"
                "$ assay bench --gguf model.gguf --json bench.json\n"
                "$ assay mem model.gguf --json mem.json\n"
                "$ assay report verify.json bench.json mem.json -o report.html\n",
    .options = options,
    .min_positional = 1,
    .max_positional = 64,
    .run = run,
};
