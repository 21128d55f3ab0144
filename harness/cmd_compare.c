/* assay compare: two records of one command, case by case. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "history/lines.h"
#include "no_memory.h"
#include "options.h"
#include "record.h"
#include "stats.h"
#include "term.h"

#define RESAMPLES 2000

static const struct assay_option options[] = {
    {"json", 0, "FILE", NULL, "write the comparison ('-': standard output)"},
    {NULL, 0, NULL, NULL, NULL},
};

/* A figure of a record: what it is of, and its samples or its one value. */
struct figure {
    json_t *name; /* a string */
    const char *unit;
    double value;
    const json_t *samples; /* NULL: the value is all there is */
    const char *note;      /* a kernel */
};

struct figures {
    struct figure *list;
    size_t n;
    bool failed;
};

struct row {
    const char *name, *unit, *note;
    double a, b, ratio, low, high; /* b over a; low and high NaN without samples */
    char other_note[80];           /* of a, where it differs */
};

static const json_t *at(const json_t *j, const char *key) { return json_object_get(j, key); }

static const char *text(const json_t *j, const char *key) {
    const char *s = json_string_value(at(j, key));
    return s != NULL ? s : "";
}

static long long whole(const json_t *j, const char *key) {
    return (long long)json_integer_value(at(j, key));
}

/* ---- Figures of a record --------------------------------------------------------------------- */

static void add(struct figures *f, struct figure figure) {
    struct figure *more = realloc(f->list, (f->n + 1) * sizeof *more);

    if (more == NULL || figure.name == NULL) {
        json_decref(figure.name);
        f->failed = true;
        f->list = more != NULL ? more : f->list;
        return;
    }
    f->list = more;
    f->list[f->n++] = figure;
}

static void add_bench(struct figures *f, const json_t *result) {
    const json_t *c;
    size_t i;

    json_array_foreach(at(result, "contenders"), i, c) {
        const json_t *ns = at(c, "ns");
        const char *matrix = text(result, "matrix");
        if (strcmp(text(c, "status"), "measured") == 0)
            add(f,
                (struct figure){
                    .name = json_sprintf("%s%s%s m=%lld %lldx%lld j=%lld %s", matrix,
                                         matrix[0] != '\0' ? " " : "", text(result, "type"),
                                         whole(result, "m"), whole(result, "n"), whole(result, "k"),
                                         whole(result, "threads"), text(c, "contender")),
                    .unit = "ns",
                    .value = assay_json_real_value(at(ns, "median")),
                    .samples = at(ns, "samples"),
                    .note = text(c, "kernel"),
                });
    }
}

static void add_gate(struct figures *f, const json_t *result) {
    const json_t *head = at(result, "head"), *ns = at(head, "ns");

    if (ns != NULL)
        add(f, (struct figure){.name = json_string(text(result, "case")),
                               .unit = "ns",
                               .value = assay_json_real_value(at(ns, "median")),
                               .samples = at(ns, "samples"),
                               .note = text(head, "kernel")});
}

static void add_mem(struct figures *f, const json_t *result) {
    const json_t *m =
        at(result, json_is_true(at(result, "extrapolated")) ? "extrapolation" : "measured");
    if (m == NULL)
        return;
    add(f, (struct figure){.name = json_sprintf("%s peak", text(result, "mode")),
                           .unit = "bytes",
                           .value = assay_json_real_value(at(m, "peak_bytes")),
                           .note = ""});
    add(f, (struct figure){.name = json_sprintf("%s pass", text(result, "mode")),
                           .unit = "s",
                           .value = assay_json_real_value(at(m, "pass_s")),
                           .note = ""});
}

static void collect(const json_t *record, struct figures *f) {
    const char *command = text(record, "command");
    const json_t *result;
    size_t i;

    json_array_foreach(at(record, "results"), i, result) {
        if (strcmp(command, "bench") == 0)
            add_bench(f, result);
        else if (strcmp(command, "gate") == 0)
            add_gate(f, result);
        else
            add_mem(f, result);
    }
}

static void figures_free(struct figures *f) {
    for (size_t i = 0; i < f->n; i++)
        json_decref(f->list[i].name);
    free(f->list);
}

/* ---- Pairs ----------------------------------------------------------------------------------- */

static double *values_of(const json_t *samples, size_t *n) {
    double *x = malloc((json_array_size(samples) + 1) * sizeof *x);

    *n = json_array_size(samples);
    for (size_t i = 0; x != NULL && i < *n; i++)
        x[i] = assay_json_real_value(json_array_get(samples, i));
    return x;
}

static void set_interval(struct row *row, const struct figure *a, const struct figure *b) {
    size_t na, nb;
    double *x = values_of(a->samples, &na), *y = values_of(b->samples, &nb);

    if (x != NULL && y != NULL && na > 0 && nb > 0) {
        struct assay_interval ci = assay_bootstrap_ratio(x, na, y, nb, 0.95, RESAMPLES, 1);
        row->low = ci.low;
        row->high = ci.high;
    }
    if (x == NULL || y == NULL)
        assay_no_memory_note();
    free(x);
    free(y);
}

static const struct figure *find(const struct figures *f, const char *name) {
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(json_string_value(f->list[i].name), name) == 0)
            return &f->list[i];
    return NULL;
}

static int by_effect(const void *p, const void *q) {
    const struct row *a = p, *b = q;
    const double x = fabs(log(a->ratio)), y = fabs(log(b->ratio));

    if (x != y)
        return x > y ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* Rows of what both have, by effect; *n of them. NULL if memory ran out. */
static struct row *pair_up(const struct figures *a, const struct figures *b, size_t *n) {
    struct row *rows = calloc(b->n + 1, sizeof *rows);

    *n = 0;
    for (size_t i = 0; rows != NULL && i < b->n; i++) {
        const struct figure *now = &b->list[i];
        const struct figure *then = find(a, json_string_value(now->name));
        struct row *row = &rows[*n];

        if (then == NULL || !(then->value > 0) || !(now->value > 0) || isinf(then->value) ||
            isinf(now->value))
            continue;
        *row = (struct row){
            json_string_value(now->name), now->unit, now->note, then->value, now->value,
            now->value / then->value,     NAN,       NAN,       ""};
        if (strcmp(then->note, now->note) != 0)
            snprintf(row->other_note, sizeof row->other_note, "%s", then->note);
        set_interval(row, then, now);
        ++*n;
    }
    if (rows != NULL)
        qsort(rows, *n, sizeof *rows, by_effect);
    return rows;
}

/* ---- Output ---------------------------------------------------------------------------------- */

static void amount(const struct row *r, double v, char *buf, size_t size) {
    if (strcmp(r->unit, "ns") == 0)
        snprintf(buf, size, v < 1e6 ? "%.2f µs" : "%.2f ms", v < 1e6 ? 1e-3 * v : 1e-6 * v);
    else if (strcmp(r->unit, "bytes") == 0)
        snprintf(buf, size, "%.1f MiB", v / 0x1p20);
    else
        snprintf(buf, size, "%.3f s", v);
}

/* Whether the interval, if there is one, leaves no doubt about the direction. */
static enum assay_colour colour_of(const struct row *r) {
    if (r->low > 1)
        return ASSAY_RED;
    return r->high < 1 ? ASSAY_GREEN : ASSAY_PLAIN;
}

static void print_rows(FILE *f, const struct row *rows, size_t n) {
    static const char *const headings[] = {"case", ">A", ">B", ">B / A", "kernel"};
    struct assay_table *t = assay_table_new(headings, 5);

    for (size_t i = 0; i < n; i++) {
        char a[32], b[32], ratio[64], kernel[200];

        amount(&rows[i], rows[i].a, a, sizeof a);
        amount(&rows[i], rows[i].b, b, sizeof b);
        if (isnan(rows[i].low))
            snprintf(ratio, sizeof ratio, "%.3f", rows[i].ratio);
        else
            snprintf(ratio, sizeof ratio, "%.3f [%.3f, %.3f]", rows[i].ratio, rows[i].low,
                     rows[i].high);
        snprintf(kernel, sizeof kernel, "%.90s%s%.90s", rows[i].other_note,
                 rows[i].other_note[0] != '\0' ? " -> " : "", rows[i].note);
        assay_table_row_colour(t, colour_of(&rows[i]),
                               (const char *[]){rows[i].name, a, b, ratio, kernel});
    }
    assay_table_print(t, f);
}

static json_t *rows_json(const struct row *rows, size_t n) {
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++) {
        json_t *j = json_pack("{ss ss sf sf so ss}", "case", rows[i].name, "unit", rows[i].unit,
                              "a", rows[i].a, "b", rows[i].b, "ratio",
                              assay_json_real(rows[i].ratio), "kernel", rows[i].note);
        if (!isnan(rows[i].low)) {
            json_object_set_new(j, "low95", assay_json_real(rows[i].low));
            json_object_set_new(j, "high95", assay_json_real(rows[i].high));
        }
        json_array_append_new(list, j);
    }
    return list;
}

static void print_missing(FILE *f, const char *label, const struct figures *has,
                          const struct figures *lacks) {
    for (size_t i = 0; i < has->n; i++)
        if (find(lacks, json_string_value(has->list[i].name)) == NULL)
            assay_print_line(f, "only in %s: %s", label, json_string_value(has->list[i].name));
}

static bool write_comparison(const struct assay_args *args, const struct row *rows, size_t n) {
    json_t *record = assay_record_new("compare", args->argc, args->argv, 1, 0);
    const bool made =
        record != NULL && json_object_set_new(record, "results", rows_json(rows, n)) == 0;
    const bool ok = made && assay_record_write(record, assay_args_get(args, "json"));

    if (!made)
        assay_usage_error(args->command, "out of memory for the record");
    json_decref(record);
    return ok;
}

/* ---- verify: no figures, but verdicts -------------------------------------------------------- */

static int compare_verdicts(FILE *f, const json_t *a, const json_t *b) {
    json_t *before = json_object();
    const json_t *r, *old;
    size_t i, changed = 0, same = 0, missing = 0;

    json_array_foreach(at(a, "results"), i, r)
        json_object_set(before, text(r, "id"), json_object_get(r, "verdict"));
    json_array_foreach(at(b, "results"), i, r) {
        old = json_object_get(before, text(r, "id"));
        missing += old == NULL;
        same += old != NULL && json_equal(old, at(r, "verdict"));
        if (old == NULL || json_equal(old, at(r, "verdict")))
            continue;
        changed++;
        assay_print_line(f, "%s: %s -> %s", text(r, "id"),
                         json_is_string(old) ? json_string_value(old) : "", text(r, "verdict"));
    }
    json_decref(before);
    fprintf(f, "%zu verdicts changed, %zu are the same, %zu cases are in B only\n", changed, same,
            missing);
    return ASSAY_EXIT_OK;
}

/* ---- The command ----------------------------------------------------------------------------- */

static bool keep_record(json_t *record, void *user, char *err, size_t err_size) {
    json_t **kept = user;

    if (*kept != NULL) {
        snprintf(err, err_size, "the file has several records: compare takes one");
        return false;
    }
    *kept = json_incref(record);
    return true;
}

static int compare_figures(const struct assay_args *args, FILE *out, const json_t *a,
                           const json_t *b) {
    struct figures fa = {0}, fb = {0};
    struct row *rows = NULL;
    size_t n = 0;
    int code = ASSAY_EXIT_USAGE;

    collect(a, &fa);
    collect(b, &fb);
    if (!fa.failed && !fb.failed)
        rows = pair_up(&fa, &fb, &n);
    if (rows == NULL) {
        assay_usage_error(args->command, "out of memory");
    } else if (n == 0) {
        assay_usage_error(args->command, "the records have no case in common");
    } else {
        print_rows(out, rows, n);
        print_missing(out, "A", &fa, &fb);
        print_missing(out, "B", &fb, &fa);
        if (strcmp(text(at(a, "machine"), "cpu"), text(at(b, "machine"), "cpu")) != 0)
            assay_print_line(out, "note: A is of %s, B of %s", text(at(a, "machine"), "cpu"),
                             text(at(b, "machine"), "cpu"));
        code = ASSAY_EXIT_OK;
        if (assay_args_get(args, "json") != NULL && !write_comparison(args, rows, n))
            code = ASSAY_EXIT_USAGE;
    }
    free(rows);
    figures_free(&fa);
    figures_free(&fb);
    return code;
}

static int run(const struct assay_args *args) {
    const char *json = assay_args_get(args, "json");
    FILE *out = json != NULL && strcmp(json, "-") == 0 ? stderr : stdout;
    json_t *record[2] = {NULL, NULL};
    char err[512];
    int code = ASSAY_EXIT_USAGE;
    bool ok = true;

    for (int i = 0; ok && i < 2; i++) {
        ok = assay_records_read(args->positional[i], keep_record, &record[i], err, sizeof err);
        if (ok && record[i] == NULL) {
            snprintf(err, sizeof err, "%.400s: has no record", args->positional[i]);
            ok = false;
        }
    }
    if (!ok)
        assay_usage_error(args->command, "%s", err);
    else if (strcmp(text(record[0], "command"), text(record[1], "command")) != 0)
        assay_usage_error(args->command, "%s is a record of %s, %s of %s", args->positional[0],
                          text(record[0], "command"), args->positional[1],
                          text(record[1], "command"));
    else if (strcmp(text(record[0], "command"), "verify") == 0)
        code = json == NULL
                   ? compare_verdicts(out, record[0], record[1])
                   : assay_usage_error(args->command,
                                       "option '--json': records of verify have no figures");
    else
        code = compare_figures(args, out, record[0], record[1]);
    json_decref(record[0]);
    json_decref(record[1]);
    return code;
}

const struct assay_command assay_cmd_compare = {
    .name = "compare",
    .synopsis = "A.json B.json [OPTIONS]",
    .summary = "Two records of one command, case by case, the largest change first",
    .details =
        "For records of bench and gate, the ratio of the medians (B over A, below 1 is faster) "
        "with "
        "a bootstrap interval of 95 % from the samples of both; it knows nothing of what changed "
        "between the two runs besides the code, so that a verdict is for 'assay gate'. For records "
        "of mem, peak memory and time of a pass. For records of verify, the cases whose verdict "
        "changed.\n\n"
        "Exit status: 0, 2 for a usage or input error.",
    .examples = "$ assay bench --json a.json\n"
                "$ assay bench --json b.json\n"
                "$ assay compare a.json b.json\n",
    .options = options,
    .min_positional = 2,
    .max_positional = 2,
    .run = run,
};
