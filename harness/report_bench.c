/* The section on speed: throughput bars by batch size, the roofline, every figure. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "report_html.h"
#include "stats.h"

enum { MAX_BARS = 40, MAX_POINTS = 400, OPEN_ROWS = 24 };

/* A batch of few rows reads more weights than it computes: bandwidth is its measure. */
static bool by_bandwidth(double m) { return m <= 4; }

static bool measured(const json_t *contender) {
    return strcmp(assay_report_str(contender, "status", ""), "measured") == 0 &&
           assay_report_num(contender, "ns.median") > 0;
}

static const char *name_of(const json_t *contender) {
    return assay_report_str(contender, "contender", "?");
}

/* ---- Colours: one per contender, the same in all plots of a record ---- */

struct legend {
    const char *names[ASSAY_PLOT_SERIES];
    size_t n;
};

static unsigned series_of(struct legend *l, const char *name) {
    size_t i = 0;
    while (i < l->n && strcmp(l->names[i], name) != 0)
        i++;
    if (i == l->n && i < ASSAY_PLOT_SERIES)
        l->names[l->n++] = name;
    return (unsigned)(i < ASSAY_PLOT_SERIES ? i : ASSAY_PLOT_SERIES - 1);
}

static void make_legend(struct legend *l, const json_t *results) {
    const json_t *result, *c;
    size_t i, j;

    json_array_foreach(results, i, result)
        json_array_foreach(json_object_get(result, "contenders"), j, c) if (measured(c))
            series_of(l, name_of(c));
}

static void time_text(char *buf, size_t size, double ns) {
    if (ns >= 1e9)
        snprintf(buf, size, "%.2f s", ns * 1e-9);
    else if (ns >= 1e6)
        snprintf(buf, size, "%.2f ms", ns * 1e-6);
    else
        snprintf(buf, size, "%.1f µs", ns * 1e-3);
}

/* ---- Bars: one plot per batch size and thread count ---- */

static bool in_group(const json_t *result, double m, double threads) {
    return assay_report_num(result, "m") == m && assay_report_num(result, "threads") == threads;
}

/* 95 % interval of the median time, in nanoseconds; NaN without at least five samples, of which a
 * bootstrap's percentiles would be the extremes. */
static struct assay_interval median_interval(const json_t *contender) {
    const json_t *samples = json_object_get(json_object_get(contender, "ns"), "samples"), *sample;
    size_t n = json_array_size(samples), i;
    double *ns = n >= 5 ? calloc(n, sizeof *ns) : NULL;
    struct assay_interval interval = {NAN, NAN};

    if (ns != NULL) {
        json_array_foreach(samples, i, sample) ns[i] = json_number_value(sample);
        interval = assay_bootstrap_median(ns, n, 0.95, 1000, 1);
    }
    free(ns);
    return interval;
}

/* Throughput and its interval as a bar, the time and the speed-up as its text, the roof as a mark.
 */
static void bar_row(struct assay_plot_row *row, struct legend *l, const json_t *c, double m) {
    double value = assay_report_num(c, by_bandwidth(m) ? "weight_gb_s" : "gflop_s");
    double median = assay_report_num(c, "ns.median"),
           attained = assay_report_num(c, "roofline.attained"),
           speedup = assay_report_num(c, "speedup.median");
    struct assay_interval ns = median_interval(c);
    char time[32];

    *row = (struct assay_plot_row){.x = value, .series = series_of(l, name_of(c))};
    if (ns.low > 0) {
        row->low = value * median / ns.high;
        row->high = value * median / ns.low;
    }
    if (attained > 0)
        row->roof = value / attained;
    time_text(time, sizeof time, median);
    if (speedup > 0)
        snprintf(row->text, sizeof row->text, "%s, %.2f×", time, speedup);
    else
        snprintf(row->text, sizeof row->text, "%s", time);
}

static size_t bar_rows(struct assay_plot_row *rows, struct legend *l, const json_t *results,
                       double m, double threads) {
    const json_t *result, *c;
    size_t n = 0, i, j;

    json_array_foreach(results, i, result) {
        bool first = true;
        if (!in_group(result, m, threads))
            continue;
        json_array_foreach(json_object_get(result, "contenders"), j, c) {
            if (!measured(c) || n + 2 > MAX_BARS)
                continue;
            if (first && n > 0)
                rows[n++] = (struct assay_plot_row){.x = 0}; /* a gap between matrices */
            bar_row(&rows[n], l, c, m);
            if (first)
                snprintf(rows[n].label, sizeof rows[n].label, "%.10s %.0f×%.0f",
                         assay_report_str(result, "type", "?"), assay_report_num(result, "n"),
                         assay_report_num(result, "k"));
            first = false;
            n++;
        }
    }
    return n;
}

static void bar_plot(FILE *f, struct legend *l, const json_t *results, double m, double threads,
                     size_t record) {
    struct assay_plot_row *rows = assay_plot_rows(MAX_BARS);
    char name[64], caption[160], variables[64];

    if (rows == NULL)
        return;
    snprintf(name, sizeof name, "bench_%zu_%.0f_%.0f", record, m, threads);
    snprintf(caption, sizeof caption, "%s, m = %.0f, %.0f thread%s",
             by_bandwidth(m) ? "Weights read a second" : "Arithmetic a second", m, threads,
             threads == 1 ? "" : "s");
    snprintf(variables, sizeof variables, "COLUMN = 1\nXLABEL = \"%s\"\n",
             by_bandwidth(m) ? "GB/s of quantised weight bytes" : "GFLOP/s");
    assay_html_plot(f, &(struct assay_plot){
                           .script = "bars.gp",
                           .name = name,
                           .caption = caption,
                           .describe = "Bars of throughput by matrix and backend with their "
                                       "intervals, and marks at what the machine allows; the "
                                       "table after it has the numbers.",
                           .variables = variables,
                           .series = l->names,
                           .n_series = l->n,
                           .rows = rows,
                           .n_rows = bar_rows(rows, l, results, m, threads),
                       });
    free(rows);
}

/* True if an earlier result has the same batch size and thread count. */
static bool group_seen(const json_t *results, size_t i) {
    const json_t *result = json_array_get(results, i);
    for (size_t j = 0; j < i; j++)
        if (in_group(json_array_get(results, j), assay_report_num(result, "m"),
                     assay_report_num(result, "threads")))
            return true;
    return false;
}

/* ---- Roofline ---- */

static void roofline_plot(FILE *f, struct legend *l, const json_t *results, double threads,
                          size_t record) {
    struct assay_plot_row *rows = assay_plot_rows(MAX_POINTS);
    double bandwidth = 0, fp32 = 0, int8 = 0;
    char name[64], caption[160], variables[160];
    const json_t *result, *c;
    size_t n = 0, i, j;

    if (rows == NULL)
        return;
    json_array_foreach(results, i, result) {
        double ops = 2 * assay_report_num(result, "m") * assay_report_num(result, "n") *
                     assay_report_num(result, "k");
        if (assay_report_num(result, "threads") != threads)
            continue;
        json_array_foreach(json_object_get(result, "contenders"), j, c) {
            bool is_int8 = strcmp(assay_report_str(c, "roofline.arithmetic", ""), "int8") == 0;
            double *peak = is_int8 ? &int8 : &fp32;
            if (!measured(c) || n == MAX_POINTS)
                continue;
            *peak = fmax(*peak, assay_report_num(c, "roofline.peak") * 1e-9);
            bandwidth = fmax(bandwidth, assay_report_num(c, "roofline.bandwidth") * 1e-9);
            rows[n++] = (struct assay_plot_row){.x = ops / assay_report_num(c, "resident_bytes"),
                                                .y = assay_report_num(c, "gflop_s"),
                                                .series = series_of(l, name_of(c))};
        }
    }
    snprintf(name, sizeof name, "roofline_%zu_%.0f", record, threads);
    snprintf(caption, sizeof caption,
             "Roofline, %.0f thread%s: what memory (slope) and arithmetic (flat: fp32, int8) allow",
             threads, threads == 1 ? "" : "s");
    snprintf(variables, sizeof variables, "BANDWIDTH = %.6g\nPEAK = %.6g\nPEAK_INT8 = %.6g\n",
             bandwidth, fp32, int8);
    assay_html_plot(f, &(struct assay_plot){
                           .script = "roofline.gp",
                           .name = name,
                           .caption = caption,
                           .describe = "Points of each product under the measured limits of memory "
                                       "bandwidth and arithmetic; the table has the numbers.",
                           .variables = variables,
                           .series = l->names,
                           .n_series = l->n,
                           .rows = rows,
                           .n_rows = n,
                       });
    free(rows);
}

static bool threads_seen(const json_t *results, size_t i) {
    double threads = assay_report_num(json_array_get(results, i), "threads");
    for (size_t j = 0; j < i; j++)
        if (assay_report_num(json_array_get(results, j), "threads") == threads)
            return true;
    return false;
}

static void plots(FILE *f, const json_t *results, size_t record) {
    struct legend l = {.n = 0};
    const json_t *result;
    size_t i;

    make_legend(&l, results);
    fputs("<p class=\"note\">A bar is the throughput at the median time, the line at its end the "
          "95 % interval of that median (bootstrap), the red mark what the measured roof of this "
          "machine allows, the text the median time and how many times faster that is than the "
          "baseline, the first of each group, in the same rounds.</p>\n",
          f);
    fputs("<div class=\"plots\">\n", f);
    json_array_foreach(results, i, result) if (!group_seen(results, i)) bar_plot(
        f, &l, results, assay_report_num(result, "m"), assay_report_num(result, "threads"), record);
    json_array_foreach(results, i, result) if (!threads_seen(results, i))
        roofline_plot(f, &l, results, assay_report_num(result, "threads"), record);
    fputs("</div>\n", f);
}

/* ---- Table ---- */

static void table_row(struct assay_html_table *t, const json_t *result, const json_t *c) {
    char cells[11][96];
    const char *columns[13];
    double median = assay_report_num(c, "ns.median");
    struct assay_interval ns = median_interval(c);

    snprintf(cells[0], sizeof cells[0], "%.0f×%.0f", assay_report_num(result, "n"),
             assay_report_num(result, "k"));
    snprintf(cells[1], sizeof cells[1], "%.0f", assay_report_num(result, "m"));
    snprintf(cells[2], sizeof cells[2], "%.0f", assay_report_num(result, "threads"));
    for (size_t i = 3; i < 11; i++)
        snprintf(cells[i], sizeof cells[i], "–");
    if (measured(c)) {
        time_text(cells[3], sizeof cells[3], median);
        snprintf(cells[4], sizeof cells[4], "%.1f %%",
                 100 * assay_report_num(c, "ns.mad") / median);
        snprintf(cells[5], sizeof cells[5], "%.2f", assay_report_num(c, "weight_gb_s"));
        snprintf(cells[6], sizeof cells[6], "%.1f", assay_report_num(c, "gflop_s"));
        snprintf(cells[7], sizeof cells[7], "%.2f", assay_report_num(c, "speedup.median"));
        snprintf(cells[8], sizeof cells[8], "%.2f to %.2f", assay_report_num(c, "speedup.low95"),
                 assay_report_num(c, "speedup.high95"));
        snprintf(cells[9], sizeof cells[9], "%.0f %%",
                 100 * assay_report_num(c, "roofline.attained"));
        if (ns.low > 0) {
            char low[32], high[32];
            time_text(low, sizeof low, ns.low);
            time_text(high, sizeof high, ns.high);
            snprintf(cells[10], sizeof cells[10], "%s to %s", low, high);
        }
    }
    columns[0] = assay_report_str(result, "type", "?");
    for (size_t i = 0; i < 3; i++)
        columns[1 + i] = cells[i];
    columns[4] = name_of(c);
    columns[5] = cells[3];
    columns[6] = cells[10];
    for (size_t i = 4; i < 10; i++)
        columns[3 + i] = cells[i];
    const char *status = assay_report_str(c, "status", "");
    bool bad = strcmp(status, "wrong") == 0 || strcmp(status, "failed") == 0;
    if (!measured(c))
        columns[5] = status;
    assay_html_table_row(t, bad ? "bad" : measured(c) ? NULL : "dim", columns);
}

static void table(FILE *f, const json_t *results) {
    static const char *const headings[] = {"type",      ">n×k",  ">m",      ">threads", "backend",
                                           ">median",   ">95 %", ">± MAD",  ">GB/s",    ">GFLOP/s",
                                           ">speed-up", ">95 %", ">of roof"};
    struct assay_html_table t;
    const json_t *result, *c;
    size_t i, j, rows = 0;

    json_array_foreach(results, i, result) rows +=
        json_array_size(json_object_get(result, "contenders"));
    if (rows > OPEN_ROWS)
        assay_html_details_open(f, "Every figure");
    assay_html_table_open(&t, f, "Latency and throughput", headings, 13);
    json_array_foreach(results, i, result)
        json_array_foreach(json_object_get(result, "contenders"), j, c) table_row(&t, result, c);
    assay_html_table_close(&t);
    if (rows > OPEN_ROWS)
        assay_html_details_close(f);
}

/* Counts the figures whose spread says that the machine was busy with something else. */
static void noise_note(FILE *f, const json_t *results) {
    const json_t *result, *c;
    size_t i, j, n = 0, noisy = 0;

    json_array_foreach(results, i, result)
        json_array_foreach(json_object_get(result, "contenders"), j, c) if (measured(c)) {
        n++;
        noisy += assay_report_num(c, "ns.mad") > 0.1 * assay_report_num(c, "ns.median");
    }
    if (noisy > 0)
        fprintf(f,
                "<p class=\"note\">%zu of %zu medians have a spread (MAD) above 10 %%: something "
                "else ran on the machine, so read the ratios with care.</p>\n",
                noisy, n);
}

/* ---- Tiles ---- */

/* Geometric mean over the cases of batch size m of how many times faster the cpu backend is than
 * the fastest contender whose name starts with `rival`. Returns the number of cases. */
static size_t mean_ratio(const json_t *results, double m, const char *rival, double *mean) {
    const json_t *result, *c;
    double sum = 0;
    size_t i, j, n = 0;

    json_array_foreach(results, i, result) {
        double cpu = NAN, other = INFINITY;
        if (assay_report_num(result, "m") != m)
            continue;
        json_array_foreach(json_object_get(result, "contenders"), j, c) {
            if (measured(c) && strcmp(name_of(c), "cpu") == 0)
                cpu = assay_report_num(c, "ns.median");
            if (measured(c) && strncmp(name_of(c), rival, strlen(rival)) == 0)
                other = fmin(other, assay_report_num(c, "ns.median"));
        }
        if (isfinite(other / cpu)) {
            sum += log(other / cpu);
            n++;
        }
    }
    *mean = exp(sum / (double)n);
    return n;
}

static void tile(struct assay_report *r, const json_t *results, const char *rival,
                 const char *term) {
    double low = INFINITY, high = 0, a, b;
    const json_t *result;
    char value[64], remark[128];
    size_t i;

    json_array_foreach(results, i, result) {
        double m = assay_report_num(result, "m");
        low = fmin(low, m);
        high = fmax(high, m);
    }
    size_t n = mean_ratio(results, low, rival, &a);
    if (n == 0 || mean_ratio(results, high, rival, &b) == 0)
        return;
    if (low == high)
        snprintf(value, sizeof value, "%.2f×", a);
    else
        snprintf(value, sizeof value, "%.2f× / %.2f×", a, b);
    snprintf(remark, sizeof remark, "backend cpu, m = %.0f / m = %.0f; mean of %zu case%s", low,
             high, n, n == 1 ? "" : "s");
    assay_report_tile(r, term, value, remark);
}

void assay_report_bench(struct assay_report *r) {
    bool any = false;

    for (size_t i = 0; i < r->n_records; i++) {
        const json_t *results = json_object_get(r->records[i].json, "results");
        if (strcmp(r->records[i].command, "bench") != 0)
            continue;
        if (!any)
            fputs("<h2 id=\"speed\">Speed</h2>\n", r->body);
        any = true;
        noise_note(r->body, results);
        if (r->plots)
            plots(r->body, results, i);
        table(r->body, results);
        assay_report_reproduce(r->body, &r->records[i]);
        tile(r, results, "eager-f32", "Speed over eager fp32");
        tile(r, results, "ggml", "Speed over ggml");
    }
}
