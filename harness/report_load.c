/* Whole processes as hyperfine timed them: load and one pass, start to end. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "report_html.h"

static void one(struct assay_report *r, const json_t *results, size_t number) {
    static const char *const headings[] = {"command", ">mean", ">± σ",           ">least",
                                           ">most",   ">runs", ">× the quickest"};
    size_t n = json_array_size(results), i;
    struct assay_plot_row *rows = assay_plot_rows(n + 1);
    struct assay_html_table t;
    const json_t *result;
    double best = INFINITY;
    char name[32];

    json_array_foreach(results, i, result) best = fmin(best, assay_report_num(result, "mean"));
    json_array_foreach(results, i, result) if (rows != NULL) {
        double mean = assay_report_num(result, "mean");
        double sigma = assay_report_num(result, "stddev");
        rows[i] = (struct assay_plot_row){.x = mean * 1e3, .series = i > 0};
        if (sigma > 0) { /* of the mean, by the normal law */
            double n_times = (double)json_array_size(json_object_get(result, "times"));
            double half = 1.96 * sigma / sqrt(fmax(n_times, 1));
            rows[i].low = (mean - half) * 1e3;
            rows[i].high = (mean + half) * 1e3;
        }
        snprintf(rows[i].label, sizeof rows[i].label, "%.24s",
                 assay_report_str(result, "command", "?"));
        snprintf(rows[i].text, sizeof rows[i].text, "%.1f (%.2f×)", mean * 1e3, mean / best);
    }
    snprintf(name, sizeof name, "load_%zu", number);
    if (r->plots && rows != NULL) {
        fputs("<div class=\"plots\">\n", r->body);
        assay_html_plot(r->body,
                        &(struct assay_plot){
                            .script = "bars.gp",
                            .name = name,
                            .caption = "Load and one pass, whole process",
                            .describe = "Bars of the mean time of a process that loads the "
                                        "model and runs one pass, by backend, with 95 % "
                                        "intervals; the table after it has the numbers.",
                            .variables = "XLABEL = \"milliseconds\"\n",
                            .rows = rows,
                            .n_rows = n,
                        });
        fputs("</div>\n", r->body);
    }
    free(rows);
    assay_html_table_open(&t, r->body, "Load and one pass, timed by hyperfine", headings, 7);
    json_array_foreach(results, i, result) {
        char c[6][48];
        static const char *const keys[] = {"mean", "stddev", "min", "max"};
        for (size_t k = 0; k < 4; k++)
            snprintf(c[k], sizeof c[k], "%.2f ms", 1e3 * assay_report_num(result, keys[k]));
        snprintf(c[4], sizeof c[4], "%zu", json_array_size(json_object_get(result, "times")));
        snprintf(c[5], sizeof c[5], "%.2f", assay_report_num(result, "mean") / best);
        assay_html_table_row(&t, NULL,
                             (const char *const[]){assay_report_str(result, "command", "?"), c[0],
                                                   c[1], c[2], c[3], c[4], c[5]});
    }
    assay_html_table_close(&t);
}

void assay_report_load(struct assay_report *r) {
    for (size_t i = 0, n = 0; i < r->n_records; i++)
        if (strcmp(r->records[i].command, "load") == 0) {
            if (n++ == 0)
                fputs("<h2 id=\"load\">Start to end</h2>\n", r->body);
            one(r, json_object_get(r->records[i].json, "results"), i);
            assay_report_reproduce(r->body, &r->records[i]);
        }
}
