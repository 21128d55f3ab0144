/* What verify prints: lines, tables, failures. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "record.h"
#include "shell_word.h"
#include "term.h"
#include "verify.h"

enum { ID_SIZE = 1024 };

static const struct assay_problem *problem_of(const struct assay_verify_report *r, size_t i) {
    return &r->plan->problems[r->plan->cases[i].problem];
}

static void case_id(const struct assay_verify_report *r, size_t i, char *buf, size_t size) {
    assay_case_id(problem_of(r, i), &r->plan->cases[i].runner, buf, size);
}

static enum assay_colour verdict_colour(enum assay_verdict v) {
    return v == ASSAY_FAIL ? ASSAY_RED : v == ASSAY_SKIP ? ASSAY_YELLOW : ASSAY_GREEN;
}

static const char *text_field(const json_t *detail, const char *name) {
    const char *s = json_string_value(json_object_get(detail, name));
    return s != NULL ? s : "";
}

void assay_verify_print_case(FILE *f, const struct assay_verify_report *r, size_t i) {
    const struct assay_verify_result *res = &r->results[i];
    char id[ID_SIZE];

    case_id(r, i, id, sizeof id);
    fprintf(f, "%s%s%s  %-9.3g %s", assay_colour_start(f, verdict_colour(res->verdict)),
            assay_verdict_name(res->verdict), assay_colour_end(f), res->ratio, id);
    if (res->verdict != ASSAY_PASS)
        fprintf(f, "  %s", text_field(res->detail, "problem"));
    fputc('\n', f);
}

/* ---- Failures ---- */

static void print_command(FILE *f, const struct assay_verify_report *r, size_t i) {
    char id[ID_SIZE];

    case_id(r, i, id, sizeof id);
    fputs("  reproduce: assay verify ", f);
    assay_print_backend_origin(f, r->plan->cases[i].runner.backend);
    if (problem_of(r, i)->parts[0].tensor != NULL) {
        fputs("--gguf ", f);
        assay_print_shell_word(f, r->gguf_path != NULL ? r->gguf_path : "FILE");
        fputc(' ', f);
    }
    fprintf(f, "%s--seed %llu --case %s\n", r->params->full ? "--full " : "",
            (unsigned long long)r->params->seed, id);
}

/* Finds the part that column `col` of a product lies in and makes col relative to it. */
static const struct assay_case_part *part_of_column(const struct assay_problem *p, size_t *col) {
    size_t i = 0;
    while (i + 1 < p->n_parts && *col >= p->parts[i].rows)
        *col -= p->parts[i++].rows;
    return &p->parts[i];
}

static void print_part(FILE *f, const struct assay_case_part *part) {
    char name[128];

    fputs(part->type->display, f);
    if (part->tensor == NULL)
        return;
    snprintf(name, sizeof name, "%.*s",
             part->tensor->name.len < 127 ? (int)part->tensor->name.len : 127,
             part->tensor->name.data);
    for (char *c = name; *c != '\0'; c++)
        if (iscntrl((unsigned char)*c))
            *c = '?';
    fprintf(f, " tensor %s", name);
}

/* "row 2, column 7 (weight row 7 of Q6_K)", or the weight of a row lookup. */
static void print_place(FILE *f, const struct assay_problem *p, const json_t *detail, size_t row,
                        size_t col) {
    const struct assay_case_part *part;
    size_t in_part = col;

    if (p->op == ASSAY_OP_ROWS) {
        size_t len = p->parts[0].type->block_len;
        fprintf(f, "row %lld, weight %zu (block %zu, element %zu of ",
                (long long)assay_problem_lookup(p, row), col, col / len, col % len);
        print_part(f, &p->parts[0]);
    } else if (p->op == ASSAY_OP_EXPERTS) {
        fprintf(f, "row %zu, column %zu (weight row %zu of expert %lld of ", row, col, col,
                (long long)json_integer_value(json_object_get(detail, "expert")));
        print_part(f, &p->parts[0]);
    } else {
        part = part_of_column(p, &in_part);
        fprintf(f, "row %zu, column %zu (weight row %zu of ", row, col, in_part);
        print_part(f, part);
    }
    fputc(')', f);
}

/* "|got - expected| is 3.2, 1.4e+06 times the bound", or that no such number exists. */
static void print_excess(FILE *f, double got, double expected, double bound) {
    double error = fabs(got - expected);

    if (!isfinite(got) || !isfinite(expected))
        fputs("not a finite error", f);
    else if (bound > 0)
        fprintf(f, "error %.6g exceeds it by %.6g, %.4g times the bound", error, error - bound,
                error / bound);
    else
        fprintf(f, "error %.6g where none is allowed", error);
}

static void print_worst(FILE *f, const struct assay_problem *p, const json_t *detail) {
    const json_t *worst = json_object_get(detail, "worst");
    double got = assay_json_real_value(json_object_get(worst, "got"));
    double expected = assay_json_real_value(json_object_get(worst, "expected"));
    double bound = assay_json_real_value(json_object_get(worst, "bound"));

    if (worst == NULL)
        return;
    fputs("  worst element: ", f);
    print_place(f, p, detail, (size_t)json_integer_value(json_object_get(worst, "row")),
                (size_t)json_integer_value(json_object_get(worst, "column")));
    fprintf(f, "\n    got %.9g, expected %.9g, bound %.4g: ", got, expected, bound);
    print_excess(f, got, expected, bound);
    fputc('\n', f);
}

/* What a finding tells besides its sentence, in this order, and only what is there. */
static const char *const finding_members[] = {
    "row",   "column", "block", "element",   "byte",    "bit",       "field",    "lane",
    "m",     "n",      "k",     "call",      "threads", "shape",     "expected", "got",
    "bound", "error",  "ratio", "alignment", "offset",  "statistic", "limit",    "pattern"};

static bool is_a_finding_member(const char *key) {
    static const char *const others[] = {"verdict",  "problem", "kernel",       "crash", "wrong",
                                         "elements", "outside", "passes_alone", "worst"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strcmp(key, others[i]) == 0)
            return false;
    return true;
}

static void print_member(FILE *f, const char *name, const json_t *value) {
    if (json_is_string(value)) {
        fprintf(f, "    %-10s %s\n", name, json_string_value(value));
    } else if (json_is_integer(value)) {
        fprintf(f, "    %-10s %lld\n", name, (long long)json_integer_value(value));
    } else if (json_is_number(value)) {
        fprintf(f, "    %-10s %.9g\n", name, json_number_value(value));
    } else if (value != NULL) {
        char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
        fprintf(f, "    %-10s %s\n", name, text != NULL ? text : "?");
        free(text);
    }
}

static void print_finding(FILE *f, json_t *d) {
    enum { KNOWN = sizeof finding_members / sizeof finding_members[0] };
    const char *key;
    json_t *value;

    for (size_t i = 0; i < KNOWN; i++)
        print_member(f, finding_members[i], json_object_get(d, finding_members[i]));
    json_object_foreach(d, key, value) {
        bool known = !is_a_finding_member(key);
        for (size_t i = 0; i < KNOWN && !known; i++)
            known = strcmp(key, finding_members[i]) == 0;
        if (!known)
            print_member(f, key, value);
    }
}

void assay_verify_print_failure(FILE *f, const struct assay_verify_report *r, size_t i) {
    json_t *d = r->results[i].detail;
    bool check = problem_of(r, i)->op == ASSAY_OP_CHECK;
    const json_t *outside = json_object_get(d, "outside");
    const char *kernel = text_field(d, "kernel");
    long long wrong = json_integer_value(json_object_get(d, "wrong"));
    char id[ID_SIZE];

    case_id(r, i, id, sizeof id);
    fprintf(f, "%sFAIL%s %s\n  %s", assay_colour_start(f, ASSAY_RED), assay_colour_end(f), id,
            text_field(d, "problem"));
    if (wrong > 0 && !check)
        fprintf(f, ": %lld of %lld elements wrong, %lld of them not written", wrong,
                json_integer_value(json_object_get(d, "elements")),
                json_integer_value(json_object_get(d, "unwritten")));
    if (outside != NULL && !check)
        fprintf(f, ": at row %lld, column %lld",
                json_integer_value(json_object_get(outside, "row")),
                json_integer_value(json_object_get(outside, "column")));
    if (json_integer_value(json_object_get(d, "call")) == 2 && !check)
        fputs(" (in the second call; the first was right)", f);
    if (*kernel != '\0')
        fprintf(f, " [%s]", kernel);
    fputc('\n', f);
    if (check)
        print_finding(f, d);
    else if (wrong > 0)
        print_worst(f, problem_of(r, i), d);
    if (strcmp(text_field(d, "crash"), "SIGSEGV") == 0 ||
        strcmp(text_field(d, "crash"), "SIGBUS") == 0)
        fputs("  (inputs are read-only and end at a page without access: a read past their end or "
              "a write to them ends so)\n",
              f);
    if (json_is_true(json_object_get(d, "passes_alone")))
        fputs("  (alone, the case passes: look at the cases before it, which ran in the same "
              "process)\n",
              f);
    print_command(f, r, i);
}

/* ---- Summary ---- */

/* What one cell of a table gathers. */
struct tally {
    size_t cases, failed, skipped, not_run;
    double ratio; /* worst of the passed cases */
    double cpu_s;
};

static void tally_add(struct tally *t, const struct assay_verify_result *res) {
    t->cases++;
    t->failed += res->verdict == ASSAY_FAIL;
    t->skipped += res->verdict == ASSAY_SKIP;
    t->not_run += res->verdict == ASSAY_NOT_RUN;
    t->cpu_s += res->cpu_s;
    if (res->verdict == ASSAY_PASS && res->ratio > t->ratio)
        t->ratio = res->ratio;
}

static void tally_cell(const struct tally *t, char *buf, size_t size) {
    if (t->failed > 0)
        snprintf(buf, size, "%zu failed", t->failed);
    else if (t->cases == t->skipped + t->not_run)
        snprintf(buf, size, "-");
    else
        snprintf(buf, size, "%.3f", t->ratio);
}

static enum assay_colour tally_colour(const struct tally *t) {
    return t->failed > 0 ? ASSAY_RED : ASSAY_PLAIN;
}

/* One row for each check of the plan, and one for the products. */
static void print_by_check(FILE *f, const struct assay_verify_report *r) {
    static const char *const headings[] = {"CHECK",   ">CASES",   ">PASSED",
                                           ">FAILED", ">SKIPPED", ">CPU S"};
    struct assay_table *table = assay_table_new(headings, 6);

    for (size_t row = 0;; row++) {
        const struct assay_check *check = assay_checks[row];
        struct tally t = {0};
        char cells[5][24];

        for (size_t i = 0; i < r->plan->n_cases; i++)
            if (problem_of(r, i)->check == check)
                tally_add(&t, &r->results[i]);
        snprintf(cells[0], sizeof cells[0], "%zu", t.cases);
        snprintf(cells[1], sizeof cells[1], "%zu", t.cases - t.failed - t.skipped - t.not_run);
        snprintf(cells[2], sizeof cells[2], "%zu", t.failed);
        snprintf(cells[3], sizeof cells[3], "%zu", t.skipped);
        snprintf(cells[4], sizeof cells[4], "%.2f", t.cpu_s);
        if (t.cases > 0)
            assay_table_row_colour(table, tally_colour(&t),
                                   (const char *const[]){check != NULL ? check->name : "(products)",
                                                         cells[0], cells[1], cells[2], cells[3],
                                                         cells[4]});
        if (check == NULL)
            break;
    }
    assay_table_print(table, f);
}

static bool same_runner_but_threads(const struct assay_runner *a, const struct assay_runner *b) {
    return a->backend == b->backend && a->isa == b->isa && strcmp(a->variant, b->variant) == 0;
}

static void runner_name(const struct assay_runner *r, char *buf, size_t size) {
    snprintf(buf, size, "%s%s%s%s%s", assay_backend_name(r->backend), *r->variant ? "+" : "",
             r->variant, r->isa != ASSAY_ISA_AUTO ? "/" : "",
             r->isa != ASSAY_ISA_AUTO ? assay_isa_name(r->isa) : "");
}

static bool has_checks(const struct assay_plan *plan) {
    for (size_t i = 0; i < plan->n_problems; i++)
        if (plan->problems[i].op == ASSAY_OP_CHECK)
            return true;
    return false;
}

static void print_coverage(FILE *f, const struct assay_verify_report *r) {
    struct assay_verify_coverage c;

    if (!assay_verify_cover(r->plan, r->results, &c))
        return;
    fprintf(f,
            "coverage: %zu of %zu cases; %zu of %zu combinations of type, runner and check or "
            "operation",
            c.cases, c.all_cases, c.combinations, c.all_combinations);
    if (c.all_pairs > 0)
        fprintf(f, "; %zu of %zu pairs of classes of m, n, k, weights and activations, over types",
                c.pairs, c.all_pairs);
    fputc('\n', f);
}

/* One row for each backend, variant and instruction set, in order of first appearance. */
static void print_by_runner(FILE *f, const struct assay_verify_report *r) {
    enum { MAX_RUNNERS = 64 };
    static const char *const headings[] = {"BACKEND", ">CASES",   ">PASSED",
                                           ">FAILED", ">SKIPPED", ">WORST/BOUND"};
    struct tally tallies[MAX_RUNNERS] = {{0}};
    const struct assay_runner *runners[MAX_RUNNERS];
    struct assay_table *table = assay_table_new(headings, 6);
    size_t n = 0;

    for (size_t i = 0; i < r->plan->n_cases; i++) {
        const struct assay_runner *runner = &r->plan->cases[i].runner;
        size_t at = 0;
        while (at < n && !same_runner_but_threads(runners[at], runner))
            at++;
        if (at == MAX_RUNNERS)
            continue;
        if (at == n)
            runners[n++] = runner;
        tally_add(&tallies[at], &r->results[i]);
    }
    for (size_t i = 0; i < n; i++) {
        const struct tally *t = &tallies[i];
        char name[96], cells[5][24];

        runner_name(runners[i], name, sizeof name);
        snprintf(cells[0], sizeof cells[0], "%zu", t->cases);
        snprintf(cells[1], sizeof cells[1], "%zu", t->cases - t->failed - t->skipped - t->not_run);
        snprintf(cells[2], sizeof cells[2], "%zu", t->failed);
        snprintf(cells[3], sizeof cells[3], "%zu", t->skipped);
        snprintf(cells[4], sizeof cells[4], "%.3f", t->ratio);
        assay_table_row_colour(
            table, tally_colour(t),
            (const char *const[]){name, cells[0], cells[1], cells[2], cells[3], cells[4]});
    }
    assay_table_print(table, f);
}

enum { MAX_BACKENDS = 16 };

static void print_type_row(struct assay_table *table, const struct assay_verify_report *r,
                           const struct assay_type_traits *type, size_t n_backends) {
    struct tally all = {0}, by_backend[MAX_BACKENDS] = {{0}};
    const char *cells[MAX_BACKENDS + 2];
    char text[MAX_BACKENDS + 1][32];

    for (size_t i = 0; i < r->plan->n_cases; i++) {
        if (problem_of(r, i)->parts[0].type != type)
            continue;
        tally_add(&all, &r->results[i]);
        for (size_t b = 0; b < n_backends; b++)
            if (r->params->backends[b] == r->plan->cases[i].runner.backend)
                tally_add(&by_backend[b], &r->results[i]);
    }
    if (all.cases == 0)
        return;
    cells[0] = type->display;
    snprintf(text[0], sizeof text[0], "%zu", all.cases);
    cells[1] = text[0];
    for (size_t b = 0; b < n_backends; b++) {
        tally_cell(&by_backend[b], text[b + 1], sizeof text[b + 1]);
        cells[b + 2] = text[b + 1];
    }
    assay_table_row_colour(table, tally_colour(&all), cells);
}

/* Types against backends: the worst error in units of the bound, or the number of failures. */
static void print_by_type(FILE *f, const struct assay_verify_report *r) {
    size_t n = r->params->n_backends < MAX_BACKENDS ? r->params->n_backends : MAX_BACKENDS;
    const char *headings[MAX_BACKENDS + 2] = {"TYPE", ">CASES"};
    char names[MAX_BACKENDS][40];
    struct assay_table *table;

    for (size_t b = 0; b < n; b++) {
        snprintf(names[b], sizeof names[b], ">%s", assay_backend_name(r->params->backends[b]));
        headings[b + 2] = names[b];
    }
    table = assay_table_new(headings, n + 2);
    for (size_t i = 0; i < assay_type_count(); i++)
        print_type_row(table, r, assay_type_at(i), n);
    assay_table_print(table, f);
}

static void skip_row(struct assay_table *table, const char *what, size_t count,
                     const char *reason) {
    char text[24];
    snprintf(text, sizeof text, "%zu", count);
    assay_table_row_colour(table, ASSAY_YELLOW, (const char *const[]){what, text, reason});
}

/* Cases that turned out not to be runnable, by runner: the first reason stands for the rest. */
static void skipped_cases(struct assay_table *table, const struct assay_verify_report *r) {
    const struct assay_plan *plan = r->plan;

    for (size_t i = 0; i < plan->n_cases; i++) {
        const struct assay_runner *runner = &plan->cases[i].runner;
        const char *reason = text_field(r->results[i].detail, "problem");
        size_t count = 0, others = 0;
        char name[96], text[400];
        bool first = true;

        if (r->results[i].verdict != ASSAY_SKIP)
            continue;
        for (size_t j = 0; j < plan->n_cases && first; j++) {
            if (r->results[j].verdict != ASSAY_SKIP ||
                !same_runner_but_threads(runner, &plan->cases[j].runner))
                continue;
            first = j >= i;
            count++;
            others += strcmp(reason, text_field(r->results[j].detail, "problem")) != 0;
        }
        if (!first)
            continue;
        runner_name(runner, name, sizeof name);
        if (others > 0)
            snprintf(text, sizeof text, "%s (%zu for the like)", reason, others);
        else
            snprintf(text, sizeof text, "%s", reason);
        skip_row(table, name, count, text);
    }
}

static void print_skips(FILE *f, const struct assay_verify_report *r, size_t skipped) {
    static const char *const headings[] = {"SKIPPED", ">COUNT", "REASON"};
    struct assay_table *table;

    if (skipped == 0)
        return;
    table = assay_table_new(headings, 3);
    for (size_t i = 0; i < r->plan->n_skips; i++)
        skip_row(table, r->plan->skips[i].what, r->plan->skips[i].count, r->plan->skips[i].reason);
    skipped_cases(table, r);
    fputc('\n', f);
    assay_table_print(table, f);
}

static void print_failures(FILE *f, const struct assay_verify_report *r, size_t max_failures,
                           size_t failed) {
    size_t shown = 0;

    for (size_t i = 0; i < r->plan->n_cases && shown < max_failures; i++)
        if (r->results[i].verdict == ASSAY_FAIL) {
            fputc('\n', f);
            assay_verify_print_failure(f, r, i);
            shown++;
        }
    if (shown < failed)
        fprintf(f, "\n%zu more failures (--max-failures shows more, --json all)\n", failed - shown);
}

void assay_verify_print_summary(FILE *f, const struct assay_verify_report *r, size_t max_failures) {
    struct assay_verify_totals t = assay_verify_count(r->plan, r->results);
    bool good = t.failed == 0 && t.passed > 0;

    if (t.passed + t.failed > 1) {
        print_by_runner(f, r);
        fputs("\nWorst error in units of its bound, by type:\n", f);
        print_by_type(f, r);
        if (has_checks(r->plan)) {
            fputc('\n', f);
            print_by_check(f, r);
        }
    }
    print_skips(f, r, t.skipped);
    print_failures(f, r, max_failures, t.failed);
    fputc('\n', f);
    if (t.cases > 1)
        print_coverage(f, r);
    fprintf(f, "%s%zu case%s: %zu passed, %zu failed, %zu skipped",
            assay_colour_start(f, good ? ASSAY_GREEN : ASSAY_RED), t.cases, t.cases == 1 ? "" : "s",
            t.passed, t.failed, t.skipped);
    if (t.not_run > 0)
        fprintf(f, ", %zu not run (%s)", t.not_run,
                r->params->budget_s > 0 ? "the budget was used" : "stopped");
    fprintf(f, "%s; %zu elements judged", assay_colour_end(f), t.elements - t.unbounded);
    if (t.unbounded > 0)
        fprintf(f, ", %zu left out (fp32 or fp16 overflow is legitimate)", t.unbounded);
    fputc('\n', f);
}
