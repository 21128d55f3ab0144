#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness/record.h"
#include "harness/stats.h"
#include "harness/term.h"

static const char *text(const json_t *j, const char *key) {
    const char *s = json_string_value(json_object_get(j, key));
    return s != NULL ? s : "";
}

static double real(const json_t *j, const char *key) {
    return assay_json_real_value(json_object_get(j, key));
}

static bool is(const json_t *result, const char *verdict) {
    return strcmp(text(result, "verdict"), verdict) == 0;
}

static const json_t *head(const json_t *r) { return json_object_get(r, "head"); }

/* Nanoseconds of a side; NaN if it was not timed. */
static double median_ns(const json_t *side) { return real(json_object_get(side, "ns"), "median"); }

bool assay_gate_fails(const json_t *r) {
    return is(r, "regressed") || is(r, "wrong") || is(r, "failed") || is(r, "crashed") ||
           is(r, "memory");
}

struct assay_gate_counts assay_gate_count(const json_t *results) {
    struct assay_gate_counts n = {0};
    const json_t *r;
    size_t i;

    json_array_foreach(results, i, r) {
        n.regressed += assay_gate_fails(r);
        n.improved += is(r, "improved") || is(r, "fixed");
        n.same += is(r, "same");
        n.undecided += is(r, "undecided");
        n.skipped += is(r, "skipped");
    }
    return n;
}

void assay_gate_sentence(const json_t *results, char *buf, size_t size) {
    const struct assay_gate_counts n = assay_gate_count(results);

    snprintf(buf, size,
             "%zu cases: %zu regressed, %zu improved, %zu the same, %zu undecided, %zu skipped",
             json_array_size(results), n.regressed, n.improved, n.same, n.undecided, n.skipped);
}

/* ---- Words ----------------------------------------------------------------------------------- */

static void duration(double ns, char *buf, size_t size) {
    if (isnan(ns))
        snprintf(buf, size, "-");
    else if (ns < 1e6)
        snprintf(buf, size, "%.2f µs", 1e-3 * ns);
    else
        snprintf(buf, size, "%.2f ms", 1e-6 * ns);
}

/* What a side took: time, or instructions where they are what is compared. */
static void amount(const json_t *result, const json_t *side, char *buf, size_t size) {
    if (json_object_get(result, "counter") != NULL)
        snprintf(buf, size, "%.0f", real(side, "instructions"));
    else
        duration(median_ns(side), buf, size);
}

static void ratio_text(const json_t *r, char *buf, size_t size) {
    const json_t *ratio = json_object_get(r, "ratio");
    const double low = real(ratio, "low"), high = real(ratio, "high");

    if (ratio == NULL)
        snprintf(buf, size, "-");
    else if (low == high)
        snprintf(buf, size, "%.4f", real(ratio, "median"));
    else
        snprintf(buf, size, "%.3f [%.3f, %.3f]", real(ratio, "median"), low, high);
}

/* One line for a failure or for what else needs a word. */
static void explain(const json_t *r, char *buf, size_t size) {
    const char *kernel = text(head(r), "kernel");
    char ratio[64];

    ratio_text(r, ratio, sizeof ratio);
    if (is(r, "regressed") || is(r, "improved") || is(r, "same") || is(r, "undecided"))
        snprintf(buf, size, "%s: head takes %s times what base takes%s%s%s", text(r, "case"), ratio,
                 kernel[0] != '\0' ? " (" : "", kernel, kernel[0] != '\0' ? ")" : "");
    else
        snprintf(buf, size, "%s: %s%s%s%s", text(r, "case"), text(r, "reason"),
                 kernel[0] != '\0' ? " (" : "", kernel, kernel[0] != '\0' ? ")" : "");
}

/* ---- Table ----------------------------------------------------------------------------------- */

static enum assay_colour colour_of(const json_t *r) {
    if (assay_gate_fails(r))
        return ASSAY_RED;
    if (is(r, "improved") || is(r, "fixed"))
        return ASSAY_GREEN;
    return is(r, "undecided") || is(r, "skipped") ? ASSAY_YELLOW : ASSAY_PLAIN;
}

static void add_row(struct assay_table *t, const json_t *r) {
    char base[32], now[32], ratio[64], pairs[24];

    amount(r, json_object_get(r, "base"), base, sizeof base);
    amount(r, head(r), now, sizeof now);
    ratio_text(r, ratio, sizeof ratio);
    snprintf(pairs, sizeof pairs, "%lld",
             (long long)json_integer_value(json_object_get(r, "pairs")));
    assay_table_row_colour(t, colour_of(r),
                           (const char *[]){text(r, "case"), base, now, ratio, pairs,
                                            text(r, "verdict"), text(head(r), "kernel")});
}

void assay_gate_print(FILE *f, const struct assay_gate_params *p, const json_t *results) {
    static const char *const headings[] = {"case",   ">base",   ">head", ">head / base",
                                           ">pairs", "verdict", "kernel"};
    struct assay_table *t = assay_table_new(headings, 7);
    const json_t *r;
    char line[512];
    size_t i;

    json_array_foreach(results, i, r) add_row(t, r);
    assay_table_print(t, f);
    fprintf(f, "%s; head is %s, base is %s.\n",
            p->metric == ASSAY_GATE_INSTRUCTIONS
                ? "Instructions of one product"
                : "Time of one product; the interval holds for all cases at once",
            p->versions[ASSAY_GATE_HEAD].label, p->versions[ASSAY_GATE_BASE].label);
    json_array_foreach(results, i, r) {
        if (is(r, "same") || is(r, "improved"))
            continue;
        explain(r, line, sizeof line);
        fprintf(f, "%s%s%s %s\n", assay_colour_start(f, colour_of(r)), text(r, "verdict"),
                assay_colour_end(f), line);
    }
    assay_gate_sentence(results, line, sizeof line);
    fprintf(f, "%s\n", line);
}

/* ---- JUnit ----------------------------------------------------------------------------------- */

/* Text as XML: what XML 1.0 can't hold becomes '?'. */
static void xml(FILE *f, const char *s) {
    for (; *s != '\0'; s++) {
        const unsigned char c = (unsigned char)*s;
        if (c == '&')
            fputs("&amp;", f);
        else if (c == '<')
            fputs("&lt;", f);
        else if (c == '>')
            fputs("&gt;", f);
        else if (c == '"')
            fputs("&quot;", f);
        else
            fputc(c < ' ' ? '?' : c, f);
    }
}

/* <tag message="…" type="…"/> */
static void xml_outcome(FILE *f, const char *tag, const json_t *r) {
    char line[512];

    explain(r, line, sizeof line);
    fprintf(f, "\n      <%s message=\"", tag);
    xml(f, line);
    if (strcmp(tag, "skipped") != 0) {
        fputs("\" type=\"", f);
        xml(f, text(r, "verdict"));
    }
    fputs("\"/>\n    ", f);
}

static void xml_case(FILE *f, const json_t *r) {
    fputs("    <testcase classname=\"assay.gate\" name=\"", f);
    xml(f, text(r, "case"));
    fputs("\">", f);
    if (is(r, "crashed"))
        xml_outcome(f, "error", r);
    else if (assay_gate_fails(r))
        xml_outcome(f, "failure", r);
    else if (is(r, "undecided") || is(r, "skipped"))
        xml_outcome(f, "skipped", r);
    fputs("</testcase>\n", f);
}

bool assay_gate_junit(FILE *f, const struct assay_gate_params *p, const json_t *results,
                      double seconds) {
    const struct assay_gate_counts n = assay_gate_count(results);
    const time_t now = time(NULL);
    size_t crashed = 0, i;
    char stamp[32];
    struct tm tm;
    const json_t *r;

    json_array_foreach(results, i, r) crashed += is(r, "crashed");
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", gmtime_r(&now, &tm));
    fprintf(f,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n"
            "  <testsuite name=\"assay gate\" timestamp=\"%s\" tests=\"%zu\" failures=\"%zu\" "
            "errors=\"%zu\" skipped=\"%zu\" time=\"%.3f\">\n    <properties>\n",
            stamp, json_array_size(results), n.regressed - crashed, crashed,
            n.undecided + n.skipped, seconds);
    for (int v = 0; v < 2; v++) {
        fprintf(f, "      <property name=\"%s\" value=\"", v == ASSAY_GATE_BASE ? "base" : "head");
        xml(f, p->versions[v].label);
        fputs("\"/>\n", f);
    }
    fputs("    </properties>\n", f);
    json_array_foreach(results, i, r) xml_case(f, r);
    fputs("  </testsuite>\n</testsuites>\n", f);
    return ferror(f) == 0;
}

/* ---- GitHub ---------------------------------------------------------------------------------- */

/* A workflow command's text: %, CR and LF are written by their code. */
static void command_text(FILE *f, const char *s) {
    for (; *s != '\0'; s++)
        if (*s == '%' || *s == '\r' || *s == '\n')
            fprintf(f, "%%%02X", (unsigned)*s);
        else
            fputc(*s, f);
}

void assay_gate_annotate(FILE *f, const json_t *results) {
    const json_t *r;
    char line[512];
    size_t i;

    json_array_foreach(results, i, r) {
        if (!assay_gate_fails(r) && !is(r, "undecided"))
            continue;
        explain(r, line, sizeof line);
        fprintf(f, "::%s title=assay gate%%3A %s::", assay_gate_fails(r) ? "error" : "warning",
                text(r, "verdict"));
        command_text(f, line);
        fputc('\n', f);
    }
}

/* A cell of a table: no bar ends it. */
static void cell(FILE *f, const char *s) {
    fputs("| ", f);
    for (; *s != '\0'; s++)
        fprintf(f, *s == '|' || *s == '<' ? "\\%c" : "%c", *s);
    fputc(' ', f);
}

bool assay_gate_markdown(FILE *f, const struct assay_gate_params *p, const json_t *results) {
    const struct assay_gate_counts n = assay_gate_count(results);
    const json_t *r;
    char line[512], base[32], now[32];
    size_t i;

    assay_gate_sentence(results, line, sizeof line);
    fprintf(f, "### assay gate: %s\n\n%s. Head: %s; base: %s.\n\n",
            n.regressed > 0 ? "regressed" : "passed", line, p->versions[ASSAY_GATE_HEAD].label,
            p->versions[ASSAY_GATE_BASE].label);
    fputs("| case | base | head | head / base | verdict | kernel |\n"
          "|---|--:|--:|--:|---|---|\n",
          f);
    json_array_foreach(results, i, r) {
        amount(r, json_object_get(r, "base"), base, sizeof base);
        amount(r, head(r), now, sizeof now);
        ratio_text(r, line, sizeof line);
        cell(f, text(r, "case"));
        cell(f, base);
        cell(f, now);
        cell(f, line);
        cell(f, text(r, "verdict"));
        cell(f, text(head(r), "kernel"));
        fputs("|\n", f);
    }
    return ferror(f) == 0;
}

/* ---- Benchmark trackers ---------------------------------------------------------------------- */

/* The samples of head; NULL if it was not timed. Free them. */
static double *samples_of(const json_t *r, size_t *n) {
    const json_t *list = json_object_get(json_object_get(head(r), "ns"), "samples");
    double *x = malloc((json_array_size(list) + 1) * sizeof *x);

    *n = json_array_size(list);
    for (size_t i = 0; x != NULL && i < *n; i++)
        x[i] = json_number_value(json_array_get(list, i));
    if (x != NULL && *n > 0)
        return x;
    free(x);
    return NULL;
}

json_t *assay_gate_benchmark_json(const json_t *results) {
    json_t *list = json_array();
    const json_t *r;
    char ratio[64];
    size_t i, n;

    json_array_foreach(results, i, r) {
        const char *kernel = text(head(r), "kernel");
        double *x = samples_of(r, &n);
        if (x == NULL)
            continue;
        ratio_text(r, ratio, sizeof ratio);
        json_array_append_new(
            list,
            json_pack("{ss ss sf so so}", "name", text(r, "case"), "unit", "ns/product", "value",
                      assay_median(x, n), "range", json_sprintf("± %.1f", assay_mad(x, n)), "extra",
                      json_sprintf("%s%shead / base %s, %s", kernel, kernel[0] != '\0' ? ", " : "",
                                   ratio, text(r, "verdict"))));
        free(x);
    }
    return list;
}

json_t *assay_gate_bencher_json(const json_t *results) {
    json_t *all = json_object();
    const json_t *r;
    size_t i, n;

    json_array_foreach(results, i, r) {
        double *x = samples_of(r, &n);
        if (x == NULL)
            continue;
        json_object_set_new(
            all, text(r, "case"),
            json_pack("{s{sf sf sf} s{sI}}", "latency", "value", assay_median(x, n), "lower_value",
                      assay_quantile(x, n, 0.25), "upper_value", assay_quantile(x, n, 0.75),
                      "resident-bytes", "value",
                      json_integer_value(json_object_get(head(r), "resident_bytes"))));
        free(x);
    }
    return all;
}
