#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "history/history.h"
#include "options.h"
#include "report.h"
#include "report_html.h"

static const struct assay_option options[] = {
    {"output", 'o', "FILE", "assay-report.html", "Where to write it; - is standard output."},
    {"format", 'f', "FORMAT", "html",
     "html; markdown, for a comment or a job's summary; csv, a line a figure; json, the records."},
    {"db", 0, "FILE", NULL, "History of earlier commits, to be shown beside (assay history)."},
    {"commit-url", 0, "URL", NULL,
     "What a commit's hash is put after to link to it, like https://example.org/repo/commit/."},
    {"plots", 0, "DIR", NULL, "Write each plot of the page to DIR too, as .svg and .png."},
    {"title", 't', "TEXT", "assay report", "Heading of the page."},
    {0},
};

static void write_json(FILE *f, const struct assay_record *records, size_t n) {
    fputs("[", f);
    for (size_t i = 0; i < n; i++) {
        fputs(i > 0 ? ",\n" : "\n", f);
        json_dumpf(records[i].json, f, JSON_COMPACT);
    }
    fputs("\n]\n", f);
}

static bool write_format(FILE *f, const char *format, const struct assay_record *records, size_t n,
                         const struct assay_report_options *o) {
    if (strcmp(format, "markdown") == 0)
        assay_report_markdown(f, records, n, o->title);
    else if (strcmp(format, "csv") == 0)
        assay_report_csv(f, records, n);
    else if (strcmp(format, "json") == 0)
        write_json(f, records, n);
    else
        return assay_report_write(f, records, n, o);
    return !ferror(f);
}

/* Writes by way of a temporary file, so that a report is whole or absent. */
static bool write_page(const char *path, const char *format, const struct assay_record *records,
                       size_t n, const struct assay_report_options *o, int *error) {
    size_t size = strlen(path) + sizeof ".part";
    char *part = malloc(size);
    FILE *f;
    bool ok;

    if (strcmp(path, "-") == 0) {
        free(part);
        errno = 0;
        bool written = write_format(stdout, format, records, n, o) && fflush(stdout) == 0;
        *error = errno != 0 ? errno : ENOMEM;
        return written;
    }
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
    ok = write_format(f, format, records, n, o);
    ok = fclose(f) == 0 && ok;
    ok = ok && rename(part, path) == 0;
    *error = errno != 0 ? errno : ENOMEM;
    if (!ok)
        unlink(part);
    free(part);
    return ok;
}

static bool known_format(const char *format) {
    static const char *const formats[] = {"html", "markdown", "csv", "json"};
    for (size_t i = 0; i < 4; i++)
        if (strcmp(format, formats[i]) == 0)
            return true;
    return false;
}

static int run(const struct assay_args *args) {
    const char *path = assay_args_get(args, "output");
    size_t n = args->n_positional, loaded = 0;
    struct assay_record *records = calloc(n, sizeof *records);
    char err[512] = "out of memory";
    int code = ASSAY_EXIT_USAGE, error;
    const char *format = assay_args_get(args, "format"), *db = assay_args_get(args, "db");
    struct assay_report_options o = {.title = assay_args_get(args, "title"),
                                     .commit_url = assay_args_get(args, "commit-url")};

    const char *plots = assay_args_get(args, "plots");

    if (plots != NULL && (strcmp(format, "html") != 0 || !assay_plot_available())) {
        free(records);
        return assay_usage_error(args->command, strcmp(format, "html") != 0
                                                    ? "--plots: only with --format html"
                                                    : "--plots: gnuplot does not run here");
    }
    if (plots != NULL && mkdir(plots, 0777) != 0 && errno != EEXIST) {
        free(records);
        return assay_usage_error(args->command, "--plots: %s: %s", plots, strerror(errno));
    }
    if (!known_format(format)) {
        free(records);
        return assay_usage_error(
            args->command, "--format: unknown format '%s' (html, markdown, csv, json)", format);
    }
    if (o.commit_url != NULL && strncmp(o.commit_url, "https://", 8) != 0 &&
        strncmp(o.commit_url, "http://", 7) != 0) {
        free(records);
        return assay_usage_error(args->command, "--commit-url: '%s' is no http or https address",
                                 o.commit_url);
    }
    if (db != NULL &&
        (o.history = assay_history_open(db, ASSAY_HISTORY_READ, err, sizeof err)) == NULL) {
        free(records);
        return assay_usage_error(args->command, "%s", err);
    }

    while (records != NULL && loaded < n &&
           assay_report_read(args->positional[loaded], &records[loaded], err, sizeof err))
        loaded++;
    assay_plot_keep_in(plots);
    if (records == NULL || loaded < n) {
        assay_usage_error(args->command, "%s", err);
    } else if (!write_page(path, format, records, n, &o, &error)) {
        assay_usage_error(args->command, "%s: can't write the report: %s", path, strerror(error));
    } else {
        if (strcmp(path, "-") != 0)
            printf("report: %s\n", path);
        if (assay_plot_keep_error() != NULL)
            assay_usage_error(args->command, "--plots: %s", assay_plot_keep_error());
        else
            code = ASSAY_EXIT_OK;
    }
    for (size_t i = 0; i < loaded; i++)
        json_decref(records[i].json);
    free(records);
    assay_history_close(o.history);
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
                "$ assay report verify.json bench.json mem.json -o report.html\n"
                "# With the history, and whole processes timed by hyperfine (make bench-load)\n"
                "$ assay report *.json --db reports/history.db -o report.html\n"
                "# For the summary of a GitHub job\n"
                "$ assay report *.json --format markdown -o - >>$GITHUB_STEP_SUMMARY\n",
    .options = options,
    .min_positional = 1,
    .max_positional = 64,
    .run = run,
};
