#include "bench_report.h"

#include <math.h>
#include <string.h>

#include "record.h"
#include "term.h"

enum { COLUMNS = 14, CELL = 72 };

static const char *text(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));
    return s != NULL ? s : "";
}

static double real(const json_t *o, const char *key) {
    return assay_json_real_value(json_object_get(o, key));
}

static long long whole(const json_t *o, const char *key) {
    return json_integer_value(json_object_get(o, key));
}

static bool has_status(const json_t *contender, const char *status) {
    return strcmp(text(contender, "status"), status) == 0;
}

static bool is_bad(const json_t *contender) {
    return has_status(contender, "wrong") || has_status(contender, "failed");
}

bool assay_bench_result_bad(const json_t *result) {
    const json_t *list = json_object_get(result, "contenders"), *c;
    size_t i;

    if (json_object_get(result, "crash") != NULL)
        return true;
    json_array_foreach(list, i, c) if (is_bad(c)) return true;
    return false;
}

static void format_time(char *s, double ns) {
    if (ns < 1e3)
        snprintf(s, CELL, "%.0f ns", ns);
    else if (ns < 1e6)
        snprintf(s, CELL, "%.1f µs", ns / 1e3);
    else if (ns < 1e9)
        snprintf(s, CELL, "%.2f ms", ns / 1e6);
    else
        snprintf(s, CELL, "%.2f s", ns / 1e9);
}

static void format_case(char cells[COLUMNS][CELL], const json_t *result) {
    snprintf(cells[0], CELL, "%.40s", text(result, "matrix"));
    snprintf(cells[1], CELL, "%s", text(result, "type"));
    snprintf(cells[2], CELL, "%lld×%lld", whole(result, "n"), whole(result, "k"));
    snprintf(cells[3], CELL, "%lld", whole(result, "m"));
    snprintf(cells[4], CELL, "%lld", whole(result, "threads"));
}

static void format_figures(char cells[COLUMNS][CELL], const json_t *c, bool is_baseline) {
    const json_t *ns = json_object_get(c, "ns"), *speedup = json_object_get(c, "speedup");
    const double median = real(ns, "median");

    snprintf(cells[6], CELL, "%s", text(c, "from"));
    format_time(cells[7], median);
    snprintf(cells[8], CELL, "%.1f %%", 100 * real(ns, "mad") / median);
    snprintf(cells[9], CELL, "%.1f", real(c, "weight_gb_s"));
    snprintf(cells[10], CELL, "%.1f", real(c, "gflop_s"));
    if (speedup == NULL)
        snprintf(cells[11], CELL, "-");
    else if (is_baseline)
        snprintf(cells[11], CELL, "1");
    else
        snprintf(cells[11], CELL, "%.2f [%.2f, %.2f]", real(speedup, "median"),
                 real(speedup, "low95"), real(speedup, "high95"));
    snprintf(cells[12], CELL, "%.0f %%", 100 * real(json_object_get(c, "roofline"), "attained"));
    snprintf(cells[13], CELL, "%s", text(c, "kernel"));
}

static void add_row(struct assay_table *t, enum assay_colour colour, char cells[COLUMNS][CELL]) {
    const char *row[COLUMNS];

    for (size_t i = 0; i < COLUMNS; i++)
        row[i] = cells[i];
    assay_table_row_colour(t, colour, row);
}

static void add_result(struct assay_table *t, const json_t *result) {
    const json_t *list = json_object_get(result, "contenders"), *c;
    size_t i;

    if (json_object_get(result, "crash") != NULL) {
        char cells[COLUMNS][CELL] = {{0}};
        format_case(cells, result);
        snprintf(cells[5], CELL, "%s", text(result, "contender"));
        snprintf(cells[7], CELL, "CRASH");
        add_row(t, ASSAY_RED, cells);
    }
    json_array_foreach(list, i, c) {
        const bool baseline = i == 0;
        char cells[COLUMNS][CELL] = {{0}};

        format_case(cells, result);
        snprintf(cells[5], CELL, "%s", text(c, "contender"));
        if (has_status(c, "measured")) {
            format_figures(cells, c, baseline);
            add_row(t, baseline ? ASSAY_DIM : ASSAY_PLAIN, cells);
        } else if (is_bad(c)) {
            snprintf(cells[7], CELL, "%s", has_status(c, "wrong") ? "WRONG" : "FAILED");
            add_row(t, ASSAY_RED, cells);
        }
    }
}

/* Each reason once, with the number of cases. */
static void print_skips(FILE *f, const json_t *results) {
    json_t *counts = json_object();
    const json_t *result, *c, *n;
    const char *line;
    size_t i, j;

    json_array_foreach(results, i, result) {
        json_array_foreach(json_object_get(result, "contenders"), j, c) {
            char key[400];
            if (!has_status(c, "skipped"))
                continue;
            snprintf(key, sizeof key, "%s: %s", text(c, "contender"), text(c, "reason"));
            json_object_set_new(counts, key, json_integer(whole(counts, key) + 1));
        }
    }
    json_object_foreach((json_t *)counts, line, n) {
        fprintf(f, "skipped: %s (%lld case%s)\n", line, json_integer_value(n),
                json_integer_value(n) == 1 ? "" : "s");
    }
    json_decref(counts);
}

static void print_repeat(FILE *f, const struct assay_bench_plan *p, const json_t *result,
                         const char *contender, const char *gguf) {
    const char *isa = strchr(contender, '@');
    const char *baseline = text(result, "baseline");

    fprintf(f, "  repeat: assay bench ");
    if (gguf != NULL)
        fprintf(f, "--gguf %s --m %lld", gguf, whole(result, "m"));
    else
        fprintf(f, "--shape %lldx%lldx%lld", whole(result, "m"), whole(result, "n"),
                whole(result, "k"));
    fprintf(f, " --type %s --threads %lld --seed %llu", text(result, "type"),
            whole(result, "threads"), (unsigned long long)p->seed);
    if (contender[0] != '\0')
        fprintf(f, " --backend %.*s", isa != NULL ? (int)(isa - contender) : 64, contender);
    if (isa != NULL)
        fprintf(f, " --isa %s", isa + 1);
    if (strcmp(baseline, "eager-f32") != 0)
        fprintf(f, " --baseline %s", baseline);
    fputc('\n', f);
}

static void print_bad(FILE *f, const struct assay_bench_plan *p, const json_t *result,
                      const char *contender, const char *what, const char *reason,
                      const char *gguf) {
    fprintf(f, "%s%s%s %s %s %lldx%lldx%lld, %lld threads: %s\n", assay_colour_start(f, ASSAY_RED),
            what, assay_colour_end(f), contender, text(result, "type"), whole(result, "m"),
            whole(result, "n"), whole(result, "k"), whole(result, "threads"), reason);
    print_repeat(f, p, result, contender, gguf);
}

static void print_bads(FILE *f, const struct assay_bench_plan *p, const json_t *results,
                       const char *gguf) {
    const json_t *result, *c;
    size_t i, j;

    json_array_foreach(results, i, result) {
        if (json_object_get(result, "crash") != NULL)
            print_bad(f, p, result, text(result, "contender"), "CRASH", text(result, "crash"),
                      gguf);
        json_array_foreach(json_object_get(result, "contenders"), j, c) {
            if (is_bad(c))
                print_bad(f, p, result, text(c, "contender"),
                          has_status(c, "wrong") ? "WRONG" : "FAILED", text(c, "reason"), gguf);
        }
    }
}

void assay_bench_print(FILE *f, const struct assay_bench_plan *p, const json_t *results,
                       const char *gguf) {
    static const char *const headings[COLUMNS] = {
        "matrix",  "type",   ">n×k",  ">m",       ">threads",  "backend", "from",
        ">median", ">± MAD", ">GB/s", ">GFLOP/s", ">speed-up", ">roof",   "kernel"};
    struct assay_table *table = assay_table_new(headings, COLUMNS);
    const json_t *result;
    size_t i;

    json_array_foreach(results, i, result) add_result(table, result);
    assay_table_print(table, f);
    fprintf(f,
            "GB/s: bytes of the weights as the file has them over the median time. speed-up: over "
            "%s, median of paired rounds [95 %% interval].\n"
            "from: where the weights lie%s. roof: of the fastest that this machine could be, "
            "memory or arithmetic.\n",
            p->contenders[0].label,
            p->cold ? " (copies in rotation, beyond the last-level cache)" : "");
    print_skips(f, results);
    print_bads(f, p, results, gguf);
}
