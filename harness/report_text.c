/* The report as markdown, for a comment on a pull request or a job's summary, and as CSV. */
#include <math.h>
#include <string.h>

#include "report.h"

/* A table's cell: no character of it is markup, HTML or the cell's end. */
static void cell(FILE *f, const char *s) {
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        if (c < 0x20 || c == 0x7f)
            fputc(' ', f);
        else if (c == '<')
            fputs("&lt;", f);
        else if (c == '>')
            fputs("&gt;", f);
        else if (c == '&')
            fputs("&amp;", f);
        else if (strchr("\\`*[]#|~@", c) != NULL)
            fprintf(f, "&#%d;", c); /* @ too: it would call someone */
        else
            fputc(c, f);
    }
}

static bool is(const json_t *j, const char *key, const char *value) {
    return strcmp(assay_report_str(j, key, ""), value) == 0;
}

static void verify_md(FILE *f, const struct assay_record *rec) {
    const json_t *result, *results = json_object_get(rec->json, "results");
    size_t i, failed = 0, passed = 0, peer_failed = 0, peer_passed = 0, shown = 0;

    json_array_foreach(results, i, result) {
        bool peer = assay_report_is_peer(result);
        *(peer ? &peer_failed : &failed) += is(result, "verdict", "fail");
        *(peer ? &peer_passed : &passed) += is(result, "verdict", "pass");
    }
    if (passed + failed > 0)
        fprintf(f, "%s **%zu of %zu cases within their error bound**", failed > 0 ? "❌" : "✅",
                passed, passed + failed);
    else
        fputs("**No case of assay’s own was run**", f);
    if (peer_passed + peer_failed > 0)
        fprintf(f, "; of peers, %zu of %zu", peer_passed, peer_passed + peer_failed);
    if (assay_report_num(rec->json, "coverage.all_cases") > 0)
        fprintf(f, ", %.0f of %.0f planned cases run",
                assay_report_num(rec->json, "coverage.cases"),
                assay_report_num(rec->json, "coverage.all_cases"));
    fputs("\n\n", f);
    if (failed + peer_failed == 0)
        return;
    fputs("| failed case | problem |\n|---|---|\n", f);
    json_array_foreach(results, i, result) if (is(result, "verdict", "fail") && shown++ < 20) {
        fputs("| ", f);
        cell(f, assay_report_str(result, "id", "?"));
        fputs(" | ", f);
        cell(f, assay_report_str(result, "problem", "failed"));
        fputs(" |\n", f);
    }
    if (failed + peer_failed > 20)
        fprintf(f, "\n%zu more are in the record.\n", failed + peer_failed - 20);
    fputc('\n', f);
}

static void bench_md(FILE *f, const struct assay_record *rec) {
    const json_t *result, *c, *results = json_object_get(rec->json, "results");
    size_t i, j;

    fputs("| type | m | threads | backend | median | GB/s | GFLOP/s | speed-up | of roof |\n"
          "|---|--:|--:|---|--:|--:|--:|--:|--:|\n",
          f);
    json_array_foreach(results, i, result)
        json_array_foreach(json_object_get(result, "contenders"), j, c) {
        fputs("| ", f);
        cell(f, assay_report_str(result, "type", "?"));
        fprintf(f, " | %.0f | %.0f | ", assay_report_num(result, "m"),
                assay_report_num(result, "threads"));
        cell(f, assay_report_str(c, "contender", "?"));
        if (is(c, "status", "measured")) {
            fprintf(f, " | %.1f µs | %.1f | %.1f | %.2f", assay_report_num(c, "ns.median") * 1e-3,
                    assay_report_num(c, "weight_gb_s"), assay_report_num(c, "gflop_s"),
                    assay_report_num(c, "speedup.median"));
            fprintf(f, " [%.2f, %.2f] | %.0f %% |\n", assay_report_num(c, "speedup.low95"),
                    assay_report_num(c, "speedup.high95"),
                    100 * assay_report_num(c, "roofline.attained"));
        } else {
            fputs(" | ", f);
            cell(f, assay_report_str(c, "status", "?"));
            fputs(" | | | | |\n", f);
        }
    }
    fputc('\n', f);
}

static const json_t *figures(const json_t *row) {
    const json_t *j = json_object_get(row, "extrapolation");
    return j != NULL ? j : json_object_get(row, "measured");
}

static void mem_md(FILE *f, const struct assay_record *rec) {
    const json_t *row, *results = json_object_get(rec->json, "results");
    size_t i;

    fputs("Memory, ", f);
    cell(f,
         assay_report_str(rec->json, "model.name", assay_report_str(rec->json, "model.path", "?")));
    fputs("\n\n| mode | on disk MiB | peak MiB | a call MiB | load s | pass s |\n"
          "|---|--:|--:|--:|--:|--:|\n",
          f);
    json_array_foreach(results, i, row) {
        const json_t *m = figures(row);
        fputs("| ", f);
        cell(f, assay_report_str(row, "mode", "?"));
        if (m == NULL) {
            fputs(" | ", f);
            cell(f, assay_report_str(row, "outcome", "?"));
            fputs(" | | | | |\n", f);
            continue;
        }
        double call = assay_report_num(m, "transient_bytes");
        fprintf(f, " | %.1f | %.1f | ", assay_report_num(m, "disk_bytes") / 0x1p20,
                assay_report_num(m, "peak_bytes") / 0x1p20);
        fprintf(f, isnan(call) ? "–" : "%.1f", call / 0x1p20);
        fprintf(f, " | %.3f | %.3f |\n", assay_report_num(m, "load_s"),
                assay_report_num(m, "pass_s"));
    }
    fputc('\n', f);
}

void assay_report_markdown(FILE *f, const struct assay_record *records, size_t n,
                           const char *title) {
    fputs("### ", f);
    cell(f, title);
    fputs("\n\n", f);
    for (int command = 0; command < 3; command++)
        for (size_t i = 0; i < n; i++) {
            if (command == 0 && strcmp(records[i].command, "verify") == 0)
                verify_md(f, &records[i]);
            if (command == 1 && strcmp(records[i].command, "bench") == 0)
                bench_md(f, &records[i]);
            if (command == 2 && strcmp(records[i].command, "mem") == 0)
                mem_md(f, &records[i]);
        }
    const json_t *first = assay_report_first(records, n);
    fputs("<sub>", f);
    cell(f, assay_report_str(first, "machine.cpu", "unknown CPU"));
    fputs(", commit ", f);
    cell(f, assay_report_str(first, "assay.commit", "unknown"));
    fputs("</sub>\n", f);
}

/* RFC 4180; a leading =, +, - or @ of text is kept from spreadsheets by an apostrophe. */
static void field(FILE *f, const char *s) {
    fputc('"', f);
    if (*s != '\0' && strchr("=+-@", *s) != NULL)
        fputc('\'', f);
    for (; *s != '\0'; s++) {
        if (*s == '"')
            fputc('"', f);
        fputc(*s, f);
    }
    fputc('"', f);
}

static void line(FILE *f, const struct assay_record *rec, const char *subject, const char *type,
                 double m, const char *runner, const char *figure, double value) {
    if (!isfinite(value))
        return;
    const char *texts[] = {rec->command, assay_report_str(rec->json, "assay.commit", ""),
                           subject,      type,
                           runner,       figure};
    for (int i = 0; i < 6; i++) {
        field(f, texts[i]);
        fputc(',', f);
    }
    if (m > 0)
        fprintf(f, "%.0f", m);
    fprintf(f, ",%.9g\n", value);
}

void assay_report_csv(FILE *f, const struct assay_record *records, size_t n) {
    static const char *const bench[] = {"ns.median",      "ns.mad",           "weight_gb_s",
                                        "gflop_s",        "speedup.median",   "speedup.low95",
                                        "speedup.high95", "roofline.attained"};
    static const char *const mem[] = {"disk_bytes",      "peak_bytes", "anon_bytes", "file_bytes",
                                      "transient_bytes", "load_s",     "pass_s"};
    static const char *const load[] = {"mean", "stddev", "min", "max"};

    fputs("command,commit,subject,type,runner,figure,m,value\n", f);
    for (size_t r = 0; r < n; r++) {
        const struct assay_record *rec = &records[r];
        const json_t *x, *c;
        size_t i, j;
        json_array_foreach(json_object_get(rec->json, "results"), i, x) {
            const char *type = json_string_value(json_array_get(json_object_get(x, "types"), 0));
            if (strcmp(rec->command, "verify") == 0) {
                line(f, rec, assay_report_str(x, "id", ""), type ? type : "", 0,
                     assay_report_str(x, "backend", ""), assay_report_str(x, "verdict", ""),
                     assay_report_num(x, "ratio"));
            } else if (strcmp(rec->command, "bench") == 0) {
                json_array_foreach(json_object_get(x, "contenders"), j,
                                   c) for (size_t k = 0; k < sizeof bench / sizeof bench[0]; k++)
                    line(f, rec, assay_report_str(x, "matrix", ""), assay_report_str(x, "type", ""),
                         assay_report_num(x, "m"), assay_report_str(c, "contender", ""), bench[k],
                         assay_report_num(c, bench[k]));
            } else if (strcmp(rec->command, "mem") == 0) {
                for (size_t k = 0; k < sizeof mem / sizeof mem[0]; k++)
                    line(f, rec, assay_report_str(rec->json, "model.path", ""), "", 0,
                         assay_report_str(x, "mode", ""), mem[k],
                         assay_report_num(figures(x), mem[k]));
            } else {
                for (size_t k = 0; k < 4; k++)
                    line(f, rec, "load", "", 0, assay_report_str(x, "command", ""), load[k],
                         assay_report_num(x, load[k]));
            }
        }
    }
}
