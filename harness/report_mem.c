/* The section on memory: what loading and one pass occupy, beside the tensors on disk. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/catalogue.h"
#include "mem.h"
#include "mem_catalogue.h"
#include "report.h"
#include "report_html.h"

static bool extrapolated(const json_t *row) {
    return json_is_object(json_object_get(row, "extrapolation"));
}

/* A figure of the whole model: measured, or extrapolated from fewer layers. */
static double figure(const json_t *row, const char *name) {
    return assay_report_num(json_object_get(row, extrapolated(row) ? "extrapolation" : "measured"),
                            name);
}

static bool measured(const json_t *row) { return figure(row, "peak_bytes") > 0; }

/* "llama-3.2-1b Q4_K_M" of a synthetic model, else the file's name. */
static void model_label(char *buf, size_t size, const struct assay_record *rec) {
    const char *name = assay_report_str(rec->json, "model.name", NULL);
    const char *path = assay_report_str(rec->json, "model.path", rec->path);
    const char *slash = strrchr(path, '/');

    if (name != NULL)
        snprintf(buf, size, "%s %s", name, assay_report_str(rec->json, "model.file_type", ""));
    else
        snprintf(buf, size, "%s", slash != NULL ? slash + 1 : path);
}

static double on_disk(const json_t *results) {
    const json_t *row;
    size_t i;

    json_array_foreach(results, i, row) if (measured(row)) return figure(row, "disk_bytes");
    return NAN;
}

static void size_text(char *buf, size_t size, double v, const char *mark) {
    if (!(v >= 0))
        snprintf(buf, size, "–");
    else if (v >= 1 << 30)
        snprintf(buf, size, "%.2f GiB%s", v / (1 << 30), mark);
    else
        snprintf(buf, size, "%.1f MiB%s", v / (1 << 20), mark);
}

static void seconds_text(char *buf, size_t size, double v, const char *mark) {
    if (!(v >= 0))
        snprintf(buf, size, "–");
    else if (v >= 1)
        snprintf(buf, size, "%.2f s%s", v, mark);
    else
        snprintf(buf, size, "%.1f ms%s", v * 1e3, mark);
}

static void table(FILE *f, const char *model, const json_t *results, double disk) {
    static const char *const headings[] = {
        "mode",    ">peak", ">of it anonymous", ">mapped file", ">× disk",
        ">a call", ">load", ">first pass",      ">steady pass", "note"};
    struct assay_html_table t;
    const json_t *row;
    char caption[256];
    size_t i;

    snprintf(caption, sizeof caption, "Peak resident memory: %s", model);
    /* The last column only if there is something to say. */
    bool notes = false;
    json_array_foreach(results, i, row) notes = notes || !measured(row) || extrapolated(row);
    assay_html_table_open(&t, f, caption, headings, notes ? 10 : 9);
    json_array_foreach(results, i, row) {
        const char *mode = assay_report_str(row, "mode", "?");
        if (!measured(row)) {
            assay_html_table_row(&t, "dim",
                                 (const char *const[]){mode, "–", "–", "–", "–", "–", "–", "–", "–",
                                                       assay_report_str(row, "reason", "")});
            continue;
        }
        const char *mark = extrapolated(row) ? " *" : "";
        char c[8][48], note[96] = "";
        size_text(c[0], sizeof c[0], figure(row, "peak_bytes"), mark);
        size_text(c[1], sizeof c[1], figure(row, "anon_bytes"), mark);
        size_text(c[2], sizeof c[2], figure(row, "file_bytes"), mark);
        snprintf(c[3], sizeof c[3], "%.2f", figure(row, "peak_bytes") / disk);
        size_text(c[4], sizeof c[4], figure(row, "transient_bytes"), mark);
        seconds_text(c[5], sizeof c[5], figure(row, "load_s"), mark);
        seconds_text(c[6], sizeof c[6], figure(row, "pass_s"), mark);
        seconds_text(c[7], sizeof c[7], figure(row, "steady_s"), mark);
        if (extrapolated(row))
            snprintf(note, sizeof note, "* extrapolated from %.0f of %.0f layers",
                     assay_report_num(row, "layers"), assay_report_num(row, "layers_total"));
        assay_html_table_row(
            &t, NULL,
            (const char *const[]){mode, c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], note});
    }
    assay_html_table_close(&t);
}

static void bar(struct assay_plot_row *row, const char *label, unsigned series, double bytes,
                double disk, double unit, bool guessed) {
    *row = (struct assay_plot_row){.x = bytes / unit, .series = series};
    snprintf(row->label, sizeof row->label, "%s", label);
    snprintf(row->text, sizeof row->text, "%.*f (%.2f×)%s", bytes / unit < 10 ? 2 : 0, bytes / unit,
             bytes / disk, guessed ? " *" : "");
}

static void plot(FILE *f, const char *model, const json_t *results, double disk, size_t number) {
    size_t n = 0, i;
    struct assay_plot_row *rows = assay_plot_rows(json_array_size(results) + 1);
    double unit = disk >= 1 << 28 ? 1 << 30 : 1 << 20;
    char name[32], caption[256], variables[64];
    const json_t *row;

    if (rows == NULL)
        return;
    bar(&rows[n++], "on disk", 5, disk, disk, unit, false);
    json_array_foreach(results, i, row) if (measured(row)) {
        const char *mode = assay_report_str(row, "mode", "?");
        bar(&rows[n++], mode, strncmp(mode, "eager", 5) == 0, /* the baselines in another colour */
            figure(row, "peak_bytes"), disk, unit, extrapolated(row));
    }
    snprintf(name, sizeof name, "memory_%zu", number);
    snprintf(caption, sizeof caption, "Peak resident memory: %s", model);
    snprintf(variables, sizeof variables, "XLABEL = \"%s\"\n", unit > 1 << 20 ? "GiB" : "MiB");
    assay_html_plot(f,
                    &(struct assay_plot){
                        .script = "bars.gp",
                        .name = name,
                        .caption = caption,
                        .describe = "Bars of peak resident memory by mode beside the size of the "
                                    "tensors on disk; the table after it has the numbers.",
                        .variables = variables,
                        .rows = rows,
                        .n_rows = n,
                    });
    free(rows);
}

/* What was resident over time, of the last run of a mode. */
static void timeline(FILE *f, const char *model, const json_t *row, size_t record, size_t number) {
    static const char *const legend[] = {"resident", "anonymous", "file-backed", "page tables"};
    const json_t *runs = json_object_get(row, "runs");
    const json_t *run = json_array_get(runs, json_array_size(runs) - 1);
    const json_t *points = json_object_get(run, "timeline"), *p, *phases, *phase;
    size_t n = 0, i;
    char name[64], caption[256];

    phases = json_object_get(run, "phases");
    struct assay_plot_row *rows =
        assay_plot_rows(4 * json_array_size(points) + json_array_size(phases) + 1);
    if (rows == NULL || json_array_size(points) < 8) { /* too short a run to be a course */
        free(rows);
        return;
    }
    for (unsigned s = 0; s < 4; s++)
        json_array_foreach(points, i, p) rows[n++] =
            (struct assay_plot_row){.x = json_number_value(json_array_get(p, 0)),
                                    .y = json_number_value(json_array_get(p, s + 1)) / 1024,
                                    .series = s};
    double end = json_number_value(json_array_get(json_array_get(points, i - 1), 0)), last = -1;
    json_array_foreach(phases, i, phase) {
        double at = assay_report_num(phase, "end_s");
        if (!(at > last + end / 20)) /* its name would cover the one before */
            continue;
        last = at;
        rows[n] = (struct assay_plot_row){.x = at, .series = 8};
        snprintf(rows[n++].text, sizeof rows[0].text, "%s", assay_report_str(phase, "phase", "?"));
    }
    snprintf(name, sizeof name, "timeline_%zu_%zu", record, number);
    snprintf(caption, sizeof caption, "%s over time: %s", assay_report_str(row, "mode", "?"),
             model);
    assay_html_plot(f,
                    &(struct assay_plot){
                        .script = "timeline.gp",
                        .name = name,
                        .caption = caption,
                        .describe = "Lines of resident, anonymous and file-backed memory and page "
                                    "tables over time, with the ends of the phases; the table of "
                                    "phases has the numbers.",
                        .variables = "",
                        .series = legend,
                        .n_series = 4,
                        .rows = rows,
                        .n_rows = n,
                    });
    free(rows);
}

static void phases_table(FILE *f, const char *model, const json_t *results) {
    static const char *const headings[] = {"mode",       "phase", ">resident at its end",
                                           ">anonymous", ">file", ">page tables",
                                           ">peak in it"};
    struct assay_html_table t;
    const json_t *row, *phase;
    char caption[256];
    size_t i, j;

    assay_html_details_open(f, "By phases");
    snprintf(caption, sizeof caption, "Memory by phases: %s", model);
    assay_html_table_open(&t, f, caption, headings, 7);
    json_array_foreach(results, i, row) {
        const json_t *run = json_array_get(json_object_get(row, "runs"), 0);
        json_array_foreach(json_object_get(run, "phases"), j, phase) {
            static const char *const keys[] = {"resident_bytes", "anon_bytes", "file_bytes",
                                               "page_table_bytes", "peak_bytes"};
            char c[5][48];
            for (size_t k = 0; k < 5; k++)
                size_text(c[k], sizeof c[k], assay_report_num(phase, keys[k]), "");
            assay_html_table_row(&t, NULL,
                                 (const char *const[]){assay_report_str(row, "mode", "?"),
                                                       assay_report_str(phase, "phase", "?"), c[0],
                                                       c[1], c[2], c[3], c[4]});
        }
    }
    assay_html_table_close(&t);
    assay_html_details_close(f);
}

/* The catalogue, and the machines that hold each model. */
static void catalogue(FILE *f) {
    static const char *const headings[] = {
        "model",           ">on disk, quantised", ">transient fp16", ">eager fp16", ">eager fp32",
        "fits, quantised", "fits, transient",     "fits, fp16",      "fits, fp32"};
    static const int machines[] = {16, 24, 32, 64};
    struct assay_html_table t;

    fputs(
        "<h3>The catalogue: what fits where</h3>\n<p class=\"note\">Computed from the tensor "
        "tables as Q4_K_M. A model fits a machine of 16, 24, 32 or 64 GB (10⁹ bytes) if 1.05 times "
        "its tensors and 16 MiB leave a tenth of it to the system. Attention’s cache comes on top "
        "and is the same for all.</p>\n",
        f);
    assay_html_table_open(&t, f, "Memory of the catalogue, Q4_K_M", headings, 9);
    for (size_t i = 0; i < assay_catalogue_count(); i++) {
        const struct assay_model_shape *shape = assay_catalogue_at(i);
        struct assay_mem_need need = assay_mem_need(shape, assay_file_type_by_name("Q4_K_M"));
        const uint64_t bytes[] = {need.quantised, need.transient, need.eager_f16, need.eager_f32};
        char c[4][48], fit[4][32];
        for (size_t k = 0; k < 4; k++) {
            size_text(c[k], sizeof c[k], (double)bytes[k], "");
            snprintf(fit[k], sizeof fit[k], "none of them");
            for (int g = 3; g >= 0; g--)
                if (assay_mem_bar((double)bytes[k]) <= 0.9e9 * machines[g])
                    snprintf(fit[k], sizeof fit[k], "%d GB", machines[g]);
        }
        assay_html_table_row(&t, NULL,
                             (const char *const[]){shape->name, c[0], c[1], c[2], c[3], fit[0],
                                                   fit[1], fit[2], fit[3]});
    }
    assay_html_table_close(&t);
}

static void tile(struct assay_report *r, const char *model, const json_t *results, double disk) {
    double quantised = NAN, eager = NAN;
    const json_t *row;
    char term[160], value[64], remark[128], a[32], b[32];
    size_t i;

    json_array_foreach(results, i, row) {
        const char *mode = assay_report_str(row, "mode", "");
        if (measured(row) && strcmp(mode, "cpu") == 0)
            quantised = figure(row, "peak_bytes");
        if (measured(row) && strcmp(mode, "eager-f32") == 0)
            eager = figure(row, "peak_bytes");
    }
    if (isnan(quantised))
        return;
    snprintf(term, sizeof term, "Peak memory, %s", model);
    size_text(value, sizeof value, quantised, "");
    size_text(a, sizeof a, disk, "");
    size_text(b, sizeof b, eager, "");
    snprintf(remark, sizeof remark, "%.2f × its %s on disk%s%s", quantised / disk, a,
             isnan(eager) ? "" : "; eager fp32 takes ", isnan(eager) ? "" : b);
    assay_report_tile(r, term, value, remark);
}

void assay_report_mem(struct assay_report *r) {
    bool any = false;

    for (size_t i = 0; i < r->n_records; i++)
        any = any || strcmp(r->records[i].command, "mem") == 0;
    if (!any)
        return;
    fputs(
        "<h2 id=\"memory\">Memory</h2>\n<p class=\"note\">Loading the model and one forward pass, "
        "each mode in a fresh process; resident pages as the kernel counts them, mapped file pages "
        "included. Ratios are to the bytes of the tensors on disk; a call is what a pass after the "
        "first adds while it runs.</p>\n",
        r->body);
    for (size_t i = 0; i < r->n_records; i++) {
        const json_t *results = json_object_get(r->records[i].json, "results"), *row;
        char model[128];
        double disk = on_disk(results);
        size_t k;
        if (strcmp(r->records[i].command, "mem") != 0)
            continue;
        model_label(model, sizeof model, &r->records[i]);
        fputs("<h3>", r->body);
        assay_html_text(r->body, model);
        fputs("</h3>\n", r->body);
        table(r->body, model, results, disk);
        if (r->plots) {
            fputs("<div class=\"plots\">\n", r->body);
            if (disk > 0)
                plot(r->body, model, results, disk, i);
            json_array_foreach(results, k, row) timeline(r->body, model, row, i, k);
            fputs("</div>\n", r->body);
        }
        phases_table(r->body, model, results);
        assay_report_reproduce(r->body, &r->records[i]);
        tile(r, model, results, disk);
    }
    catalogue(r->body);
}
