/* The section on correctness: type × backend, how close to the bound, every failure. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "no_memory.h"
#include "report.h"
#include "report_assets.h"
#include "report_html.h"

enum { MAX_TYPES = 64, MAX_BACKENDS = 24, SHOWN_FAILURES = 8 };

/* Results of one type on one backend. */
struct cell {
    size_t passed, failed, skipped;
    double worst; /* largest error / bound of judged cases */
};

struct grid {
    char types[MAX_TYPES][64];
    char backends[MAX_BACKENDS][64];
    size_t n_types, n_backends;
    bool peer[MAX_BACKENDS];
    struct cell cells[MAX_TYPES][MAX_BACKENDS];
    double elements; /* peers left out, as in the next */
    double worst;    /* of the cases that passed */
};

/* Index of a name in a list that grows; the last place takes what no longer fits. */
static size_t index_of(char (*list)[64], size_t *n, size_t max, const char *name) {
    size_t i = 0;

    while (i < *n && strcmp(list[i], name) != 0)
        i++;
    if (i == *n && i < max)
        snprintf(list[(*n)++], sizeof list[0], "%s", name);
    return i < max ? i : max - 1;
}

#define FUSED "fused"

/* The type; fused products, whose parts have several, share one row. */
static const char *type_label(const json_t *result) {
    const json_t *types = json_object_get(result, "types");
    const char *name = json_string_value(json_array_get(types, 0));

    if (json_array_size(types) > 1)
        return FUSED;
    return name != NULL ? name : "?";
}

/* "cpu+exact avx512": backend, its variant, its ISA where it has a choice. */
static void backend_label(char *buf, size_t size, const json_t *result) {
    const char *variant = assay_report_str(result, "variant", "");
    const char *isa = assay_report_str(result, "isa", "");
    bool has_isa = *isa != '\0' && strcmp(isa, "-") != 0 && strcmp(isa, "auto") != 0;

    snprintf(buf, size, "%s%s%s%s%s", assay_report_str(result, "backend", "?"),
             *variant != '\0' ? "+" : "", variant, has_isa ? " " : "", has_isa ? isa : "");
}

static struct cell *cell_of(struct grid *g, const json_t *result) {
    char backend[64];

    backend_label(backend, sizeof backend, result);
    size_t b = index_of(g->backends, &g->n_backends, MAX_BACKENDS, backend);
    g->peer[b] = assay_report_is_peer(result);
    return &g->cells[index_of(g->types, &g->n_types, MAX_TYPES, type_label(result))][b];
}

static void gather(struct grid *g, const json_t *results) {
    const json_t *result;
    size_t i;

    json_array_foreach(results, i, result) {
        const char *verdict = assay_report_str(result, "verdict", "fail");
        double ratio = assay_report_num(result, "ratio");
        double elements = assay_report_num(result, "elements");
        struct cell *c = cell_of(g, result);

        if (strcmp(verdict, "skip") == 0 || strcmp(verdict, "not run") == 0) {
            c->skipped++;
            continue;
        }
        if (strcmp(verdict, "pass") == 0)
            c->passed++;
        else
            c->failed++;
        if (ratio > c->worst)
            c->worst = ratio;
        if (assay_report_is_peer(result))
            continue;
        if (ratio > g->worst && strcmp(verdict, "pass") == 0)
            g->worst = ratio;
        if (elements > 0)
            g->elements += elements;
    }
}

/* Moves the row of the fused products below those of the types. */
static void fused_last(struct grid *g) {
    for (size_t i = 0; i + 1 < g->n_types; i++)
        if (strcmp(g->types[i], FUSED) == 0) {
            struct cell cells[MAX_BACKENDS];
            size_t rest = g->n_types - i - 1;
            memcpy(cells, g->cells[i], sizeof cells);
            memmove(g->types[i], g->types[i + 1], rest * sizeof g->types[0]);
            memmove(g->cells[i], g->cells[i + 1], rest * sizeof g->cells[0]);
            strcpy(g->types[g->n_types - 1], FUSED);
            memcpy(g->cells[g->n_types - 1], cells, sizeof cells);
            return;
        }
}

/* ---- Type × backend ---- */

static void grid_cell(FILE *f, const struct cell *c) {
    if (c->failed > 0)
        fprintf(f, "<td class=\"cell bad\">✗ %zu of %zu</td>", c->failed, c->failed + c->passed);
    else if (c->passed > 0 && c->worst == 0)
        fputs("<td class=\"cell good\">✓ exact</td>", f);
    else if (c->passed > 0)
        fprintf(f, "<td class=\"cell good\">✓ %.2g</td>", c->worst);
    else if (c->skipped > 0)
        fputs("<td class=\"cell skip\">not run</td>", f);
    else
        fputs("<td class=\"cell\">–</td>", f);
}

static void grid_table(FILE *f, const struct grid *g) {
    fputs(
        "<p class=\"note\">✓: all cases within their bound, with the worst error as a fraction of "
        "it. ✗: cases that failed.</p>\n<div class=\"scroll\" tabindex=\"0\">"
        "<table class=\"grid\">\n<caption>Type × backend</caption>\n"
        "<thead><tr><th scope=\"col\">type</th>",
        f);
    for (size_t b = 0; b < g->n_backends; b++) {
        fputs("<th scope=\"col\">", f);
        assay_html_text(f, g->backends[b]);
        fputs(g->peer[b] ? "<br>(peer)</th>" : "</th>", f);
    }
    fputs("</tr></thead>\n<tbody>\n", f);
    for (size_t t = 0; t < g->n_types; t++) {
        fputs("<tr><th scope=\"row\">", f);
        assay_html_text(f, g->types[t]);
        fputs("</th>", f);
        for (size_t b = 0; b < g->n_backends; b++)
            grid_cell(f, &g->cells[t][b]);
        fputs("</tr>\n", f);
    }
    fputs("</tbody>\n</table></div>\n", f);
}

static void count_table(FILE *f, const struct grid *g) {
    static const char *const headings[] = {
        "type", "backend", ">cases", ">passed", ">failed", ">not run", ">worst error / bound"};
    struct assay_html_table table;

    assay_html_details_open(f, "Counts by type and backend");
    assay_html_table_open(&table, f, "Cases by type and backend", headings, 7);
    for (size_t t = 0; t < g->n_types; t++)
        for (size_t b = 0; b < g->n_backends; b++) {
            const struct cell *c = &g->cells[t][b];
            char n[5][32];
            if (c->passed + c->failed + c->skipped == 0)
                continue;
            snprintf(n[0], sizeof n[0], "%zu", c->passed + c->failed + c->skipped);
            snprintf(n[1], sizeof n[1], "%zu", c->passed);
            snprintf(n[2], sizeof n[2], "%zu", c->failed);
            snprintf(n[3], sizeof n[3], "%zu", c->skipped);
            snprintf(n[4], sizeof n[4], "%.3g", c->worst);
            assay_html_table_row(
                &table, c->failed > 0 ? "bad" : NULL,
                (const char *const[]){g->types[t], g->backends[b], n[0], n[1], n[2], n[3], n[4]});
        }
    assay_html_table_close(&table);
    assay_html_details_close(f);
}

/* One plot holds as many series as there are colours. */
static void margin_plots(FILE *f, const struct grid *g) {
    struct assay_plot_row *rows = assay_plot_rows(g->n_types * ASSAY_PLOT_SERIES + 1);
    const char *series[ASSAY_PLOT_SERIES];

    if (rows == NULL)
        assay_no_memory_note();
    fputs("<div class=\"plots\">\n", f);
    for (size_t first = 0; rows != NULL && first < g->n_backends; first += ASSAY_PLOT_SERIES) {
        char name[32], caption[96];
        size_t n_series = g->n_backends - first, n = 0;
        if (n_series > ASSAY_PLOT_SERIES)
            n_series = ASSAY_PLOT_SERIES;
        for (size_t s = 0; s < n_series; s++)
            series[s] = g->backends[first + s];
        for (size_t t = 0; t < g->n_types; t++)
            for (size_t s = 0; s < n_series; s++) {
                const struct cell *c = &g->cells[t][first + s];
                if (c->passed + c->failed == 0)
                    continue;
                rows[n] = (struct assay_plot_row){
                    .x = isinf(c->worst) ? 1e9 : c->worst, .y = (double)t, .series = (unsigned)s};
                snprintf(rows[n].label, sizeof rows[n].label, "%s", g->types[t]);
                n++;
            }
        snprintf(name, sizeof name, "margin_%zu", first / ASSAY_PLOT_SERIES);
        snprintf(caption, sizeof caption, "How close to the bound%s",
                 g->n_backends > ASSAY_PLOT_SERIES ? (first == 0 ? " (1)" : " (2)") : "");
        assay_html_plot(f, &(struct assay_plot){
                               .script = "margin.gp",
                               .name = name,
                               .caption = caption,
                               .describe = "Worst error of each type and backend as a fraction of "
                                           "its bound; the table after it has the numbers.",
                               .variables = "",
                               .series = series,
                               .n_series = n_series,
                               .rows = rows,
                               .n_rows = n,
                           });
    }
    fputs("</div>\n", f);
    free(rows);
}

/* ---- Failures ---- */

/* The model that the record's command line names; NULL: none. */
static const char *gguf_of(const json_t *record) {
    const json_t *arguments = json_object_get(record, "arguments"), *arg;
    size_t i;

    json_array_foreach(arguments, i, arg) {
        const char *s = json_string_value(arg);
        if (s != NULL && strcmp(s, "--gguf") == 0)
            return json_string_value(json_array_get(arguments, i + 1));
        if (s != NULL && strncmp(s, "--gguf=", 7) == 0)
            return s + 7;
    }
    return NULL;
}

static void failure(FILE *f, const json_t *record, const json_t *result) {
    const char *id = assay_report_str(result, "id", "?"), *gguf = gguf_of(record);

    fputs("<li><code>", f);
    assay_html_text(f, id);
    fputs("</code><br>", f);
    assay_html_text(f, assay_report_str(result, "problem", "failed"));
    if (json_is_object(json_object_get(result, "worst"))) {
        double bound = assay_report_num(result, "worst.bound");
        assay_html_textf(
            f,
            ": row %.0f, column %.0f: got %.9g, expected %.9g, bound %.3g, exceeded "
            "%.3g times",
            assay_report_num(result, "worst.row"), assay_report_num(result, "worst.column"),
            assay_report_num(result, "worst.got"), assay_report_num(result, "worst.expected"),
            bound, assay_report_num(result, "ratio"));
    }
    fputs("<br><code>assay verify ", f);
    if (gguf != NULL && strchr(id, '@') != NULL) {
        fputs("--gguf ", f);
        assay_report_shell_word(f, gguf);
        fputc(' ', f);
    }
    fprintf(f, "--seed %.0f --case ", assay_report_num(record, "seed"));
    assay_report_shell_word(f, id);
    fputs("</code>", f);
    fputs("</li>\n", f);
}

static void failures(FILE *f, const json_t *record, bool of_peers) {
    const json_t *result, *results = json_object_get(record, "results");
    size_t i, n = 0;

    json_array_foreach(results, i, result) {
        if (strcmp(assay_report_str(result, "verdict", "fail"), "fail") != 0 ||
            assay_report_is_peer(result) != of_peers)
            continue;
        if (n == 0)
            fprintf(f, "<h3>Failures%s</h3>\n<ol class=\"failures\">\n",
                    of_peers ? " of peers" : "");
        if (n++ < SHOWN_FAILURES)
            failure(f, record, result);
    }
    if (n > 0)
        fputs("</ol>\n", f);
    if (n > SHOWN_FAILURES)
        fprintf(f, "<p class=\"note\">%zu more are in the record.</p>\n", n - SHOWN_FAILURES);
}

static void skips(FILE *f, const json_t *list) {
    static const char *const headings[] = {"what", "why", ">cases"};
    struct assay_html_table table;
    const json_t *skip;
    size_t i;

    if (json_array_size(list) == 0)
        return;
    assay_html_details_open(f, "What was not run, and why");
    assay_html_table_open(&table, f, "Not run", headings, 3);
    json_array_foreach(list, i, skip) {
        char count[32];
        snprintf(count, sizeof count, "%.0f", assay_report_num(skip, "count"));
        assay_html_table_row(&table, NULL,
                             (const char *const[]){assay_report_str(skip, "what", "?"),
                                                   assay_report_str(skip, "reason", "?"), count});
    }
    assay_html_table_close(&table);
    assay_html_details_close(f);
}

/* The score of the fault corpus, from its committed table (reports/faults.md). */
static void faults_tile(struct assay_report *r) {
    for (const struct assay_asset *a = assay_assets; a->name != NULL; a++)
        for (const char *const *line = a->lines; strcmp(a->name, "faults.md") == 0 && *line != NULL;
             line++) {
            unsigned faults, found;
            char value[64];
            if (sscanf(*line, "| **all** | %u | %u |", &faults, &found) != 2)
                continue;
            snprintf(value, sizeof value, "%u of %u", found, faults);
            assay_report_tile(r, "Planted faults found", value,
                              "by verify, in the corpus of make faults (reports/faults.md)");
        }
}

static void coverage_tile(struct assay_report *r) {
    for (size_t i = 0; i < r->n_records; i++) {
        const json_t *j = r->records[i].json;
        double all = assay_report_num(j, "coverage.all_cases");
        char value[64], remark[128];
        if (strcmp(r->records[i].command, "verify") != 0 || !(all > 0))
            continue;
        snprintf(value, sizeof value, "%.1f %%", 100 * assay_report_num(j, "coverage.cases") / all);
        snprintf(remark, sizeof remark,
                 "of the planned cases; %.0f of %.0f pairs of sizes and data",
                 assay_report_num(j, "coverage.pairs"), assay_report_num(j, "coverage.all_pairs"));
        assay_report_tile(r, "Coverage", value, remark);
        return;
    }
}

void assay_report_verify(struct assay_report *r) {
    struct grid *g = calloc(1, sizeof *g);

    if (g == NULL) {
        assay_no_memory_note();
        return;
    }
    for (size_t i = 0; i < r->n_records; i++)
        if (strcmp(r->records[i].command, "verify") == 0) {
            r->verified = true;
            gather(g, json_object_get(r->records[i].json, "results"));
        }
    fused_last(g);
    if (r->verified) {
        FILE *f = r->body;
        char value[64], remark[128];
        size_t own = 0;
        for (size_t b = 0; b < g->n_backends; b++)
            own += !g->peer[b];
        for (size_t t = 0; t < g->n_types; t++)
            for (size_t b = 0; b < g->n_backends; b++) {
                const struct cell *c = &g->cells[t][b];
                *(g->peer[b] ? &r->peer_passed : &r->passed) += c->passed;
                *(g->peer[b] ? &r->peer_failed : &r->failed) += c->failed;
                r->skipped += g->peer[b] ? 0 : c->skipped;
            }
        snprintf(value, sizeof value, "%zu", r->passed + r->failed);
        snprintf(remark, sizeof remark, "%.3g million elements, %zu backends and instruction sets",
                 g->elements / 1e6, own);
        assay_report_tile(r, "Cases verified", value, remark);
        snprintf(value, sizeof value, "%.2g", g->worst);
        assay_report_tile(r, "Worst error / bound", value,
                          r->failed > 0 ? "of the cases that passed; 1 is the bound"
                                        : "1 is the bound");

        coverage_tile(r);
        faults_tile(r);
        fputs("<h2 id=\"correctness\">Correctness</h2>\n", f);
        grid_table(f, g);
        for (size_t i = 0; i < r->n_records; i++)
            if (strcmp(r->records[i].command, "verify") == 0)
                for (int peers = 0; peers < 2; peers++)
                    failures(f, r->records[i].json, peers == 1);
        if (r->plots)
            margin_plots(f, g);
        count_table(f, g);
        for (size_t i = 0; i < r->n_records; i++)
            if (strcmp(r->records[i].command, "verify") == 0)
                skips(f, json_object_get(r->records[i].json, "skips"));
        for (size_t i = 0; i < r->n_records; i++)
            if (strcmp(r->records[i].command, "verify") == 0)
                assay_report_reproduce(f, &r->records[i]);
    }
    free(g);
}
