/* assay history: what was recorded. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "history/history.h"
#include "history/lines.h"
#include "history/merge.h"
#include "options.h"
#include "record.h"
#include "suggest.h"
#include "term.h"

static const struct assay_option options[] = {
    {"db", 0, "FILE", ASSAY_HISTORY_DEFAULT, "the database"},
    {"command", 0, "NAME", NULL, "list, export: runs of verify, bench, mem or gate only"},
    {"commit", 0, "REV", NULL, "list, export: runs of a commit, by the beginning of its hash"},
    {"branch", 0, "NAME", NULL, "list, export: runs of a branch"},
    {"output", 'o', "FILE", "-", "export, merge: where to write ('-': standard output)"},
    {"record", 0, NULL, NULL, "merge: add the merged run to the database"},
    {NULL, 0, NULL, NULL, NULL},
};

struct action {
    const char *name;
    size_t least, most; /* arguments after the action */
    int (*run)(const struct assay_args *args, const char *const *files, size_t n);
};

static int fail(const struct assay_args *args, const char *err) {
    return assay_usage_error(args->command, "%s", err);
}

static struct assay_history *open_db(const struct assay_args *args, enum assay_history_mode mode) {
    char err[512];
    struct assay_history *h = assay_history_open(assay_args_get(args, "db"), mode, err, sizeof err);

    if (h == NULL)
        fail(args, err);
    return h;
}

static struct assay_history_filter filter_of(const struct assay_args *args) {
    return (struct assay_history_filter){
        .command = assay_args_get(args, "command"),
        .commit = assay_args_get(args, "commit"),
        .branch = assay_args_get(args, "branch"),
    };
}

/* ---- list ------------------------------------------------------------------------------------ */

static bool list_run(const struct assay_history_run *run, void *user) {
    char commit[24], results[48];

    snprintf(commit, sizeof commit, "%.12s%s", run->commit, run->dirty ? "+" : "");
    if (run->passed >= 0)
        snprintf(results, sizeof results, "%lld passed, %lld failed", (long long)run->passed,
                 (long long)run->failed);
    else
        snprintf(results, sizeof results, "%lld results", (long long)run->results);
    assay_table_row_colour(
        user, run->failed > 0 ? ASSAY_RED : ASSAY_PLAIN,
        (const char *[]){(char[]){run->uuid[0], run->uuid[1], run->uuid[2], run->uuid[3],
                                  run->uuid[4], run->uuid[5], run->uuid[6], run->uuid[7], '\0'},
                         run->started, run->command, commit, run->branch, run->machine.cpu,
                         results});
    return true;
}

static int list(const struct assay_args *args, const char *const *files, size_t n) {
    static const char *const headings[] = {"run",    "started", "command", "commit",
                                           "branch", "machine", "results"};
    struct assay_history *h = open_db(args, ASSAY_HISTORY_READ);
    const struct assay_history_filter filter = filter_of(args);
    struct assay_table *table;
    char err[512];
    bool ok;

    (void)files, (void)n;
    if (h == NULL)
        return ASSAY_EXIT_USAGE;
    table = assay_table_new(headings, 7);
    ok = assay_history_runs(h, &filter, list_run, table, err, sizeof err);
    assay_table_print(table, stdout);
    assay_history_close(h);
    return ok ? ASSAY_EXIT_OK : fail(args, err);
}

/* ---- show ------------------------------------------------------------------------------------ */

struct found {
    int64_t id;
    size_t n;
};

static bool show_run(const struct assay_history_run *r, void *user) {
    struct found *found = user;

    found->n++;
    found->id = r->id;
    const struct assay_history_machine *m = &r->machine;
    assay_print_line(stdout, "run       %s", r->uuid);
    assay_print_line(stdout, "command   %s", r->command);
    assay_print_line(stdout, "arguments %s", r->arguments);
    assay_print_line(stdout, "started   %s", r->started);
    assay_print_line(stdout, "finished  %s", r->finished);
    assay_print_line(stdout, "commit    %s%s", r->commit, r->dirty ? " (with changes)" : "");
    assay_print_line(stdout, "date      %s", r->commit_date);
    assay_print_line(stdout, "branch    %s", r->branch);
    assay_print_line(stdout, "compiler  %s %s", r->compiler, r->flags);
    assay_print_line(stdout, "machine   %s, %d cores, %.1f GiB, L1d %lld, L2 %lld, L3 %lld", m->cpu,
                     m->cores, (double)m->memory_bytes / 0x1p30, (long long)m->l1d_bytes,
                     (long long)m->l2_bytes, (long long)m->l3_bytes);
    assay_print_line(stdout, "features  %s", m->features);
    assay_print_line(stdout, "system    %s", m->os);
    if (m->governor[0] != '\0')
        assay_print_line(stdout, "governor  %s", m->governor);
    if (r->passed >= 0)
        assay_print_line(stdout, "cases     %lld passed, %lld failed, %lld skipped, %lld not run",
                         (long long)r->passed, (long long)r->failed, (long long)r->skipped,
                         (long long)r->not_run);
    return true;
}

static bool show_timing(const struct assay_history_timing *t, void *user) {
    (void)user;
    char figure[256];
    if (strcmp(t->status, "measured") == 0)
        snprintf(figure, sizeof figure, "%.2f µs ± %.2f (%lld samples) ", 1e-3 * t->median_ns,
                 1e-3 * t->mad_ns, (long long)t->n_samples);
    else
        snprintf(figure, sizeof figure, "%.100s: ", t->status);
    assay_print_line(stdout, "  %s %lldx%lldx%lld, %lld threads, %s: %s%s", t->type,
                     (long long)t->m, (long long)t->n, (long long)t->k, (long long)t->threads,
                     t->contender, figure,
                     strcmp(t->status, "measured") == 0 ? t->kernel : t->reason);
    return true;
}

static bool show_memory(const struct assay_history_memory *m, void *user) {
    (void)user;
    if (strcmp(m->outcome, "measured") == 0)
        assay_print_line(stdout, "  %s: peak %.1f MiB of %.1f MiB on disk, pass %.3f s%s", m->mode,
                         m->peak_bytes / 0x1p20, m->disk_bytes / 0x1p20, m->pass_s,
                         m->extrapolated ? " (extrapolated)" : "");
    else
        assay_print_line(stdout, "  %s: %s: %s", m->mode, m->outcome, m->reason);
    return true;
}

/* The beginning of a uuid must name one run, before anything is printed. */
static bool count_run(const struct assay_history_run *run, void *user) {
    (void)run;
    ++*(size_t *)user;
    return true;
}

static int show(const struct assay_args *args, const char *const *files, size_t n) {
    struct assay_history *h = open_db(args, ASSAY_HISTORY_READ);
    const struct assay_history_filter one = {.uuid = files[0]};
    struct found found = {0, 0};
    size_t matches = 0;
    char err[512];
    bool ok;

    (void)n;
    if (h == NULL)
        return ASSAY_EXIT_USAGE;
    ok = assay_history_runs(h, &one, count_run, &matches, err, sizeof err);
    if (ok && matches != 1) {
        snprintf(err, sizeof err, "%s: %zu runs begin with '%.40s'", assay_args_get(args, "db"),
                 matches, files[0]);
        ok = false;
    }
    ok = ok && assay_history_runs(h, &one, show_run, &found, err, sizeof err) &&
         assay_history_timings(h, found.id, show_timing, NULL, err, sizeof err) &&
         assay_history_memory(h, found.id, show_memory, NULL, err, sizeof err);
    assay_history_close(h);
    return ok ? ASSAY_EXIT_OK : fail(args, err);
}

/* ---- export ---------------------------------------------------------------------------------- */

static FILE *open_output(const struct assay_args *args) {
    const char *path = assay_args_get(args, "output");
    FILE *f = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");

    if (f == NULL)
        assay_usage_error(args->command, "%s: %s", path, strerror(errno));
    return f;
}

static bool close_output(const struct assay_args *args, FILE *f, bool ok) {
    ok = (f == stdout ? fflush(f) : fclose(f)) == 0 && ok;
    if (!ok)
        assay_usage_error(args->command, "%s: %s", assay_args_get(args, "output"), strerror(errno));
    return ok;
}

struct export {
    struct assay_history *h;
    FILE *f;
    char err[512];
    bool failed, write_failed;
};

static bool export_run(const struct assay_history_run *run, void *user) {
    struct export *e = user;
    json_t *record = assay_history_record(e->h, run->id, e->err, sizeof e->err);

    e->failed = record == NULL;
    e->write_failed = record != NULL && !assay_record_write_line(e->f, record);
    json_decref(record);
    return !e->failed && !e->write_failed;
}

static int export_runs(const struct assay_args *args, const char *const *files, size_t n) {
    struct export e = {.h = open_db(args, ASSAY_HISTORY_READ)};
    const struct assay_history_filter filter = filter_of(args);

    (void)files, (void)n;
    if (e.h == NULL)
        return ASSAY_EXIT_USAGE;
    e.f = open_output(args);
    if (e.f == NULL) {
        assay_history_close(e.h);
        return ASSAY_EXIT_USAGE;
    }
    if (!assay_history_runs(e.h, &filter, export_run, &e, e.err, sizeof e.err))
        e.failed = true;
    assay_history_close(e.h);
    if (e.failed)
        fail(args, e.err);
    return close_output(args, e.f, !e.write_failed) && !e.failed ? ASSAY_EXIT_OK : ASSAY_EXIT_USAGE;
}

/* ---- import ---------------------------------------------------------------------------------- */

struct import {
    struct assay_history *h;
    size_t added, known;
};

static bool import_record(json_t *record, void *user, char *err, size_t err_size) {
    struct import *i = user;
    enum assay_history_added added = assay_history_add(i->h, record, err, err_size);

    i->added += added == ASSAY_HISTORY_ADDED;
    i->known += added == ASSAY_HISTORY_KNOWN;
    return added != ASSAY_HISTORY_FAILED;
}

/* All files or none: one transaction. */
static int import_files(const struct assay_args *args, const char *const *files, size_t n) {
    struct import i = {.h = open_db(args, ASSAY_HISTORY_WRITE)};
    char err[512];
    bool ok;

    if (i.h == NULL)
        return ASSAY_EXIT_USAGE;
    ok = assay_history_begin(i.h, err, sizeof err);
    for (size_t f = 0; ok && f < n; f++) {
        ok = assay_records_read(files[f], import_record, &i, err, sizeof err);
        if (!ok)
            assay_history_rollback(i.h);
    }
    ok = ok && assay_history_commit(i.h, err, sizeof err);
    assay_history_close(i.h);
    if (!ok)
        return fail(args, err);
    printf("%s: %zu runs added, %zu were there\n", assay_args_get(args, "db"), i.added, i.known);
    return ASSAY_EXIT_OK;
}

/* ---- merge ----------------------------------------------------------------------------------- */

static bool collect(json_t *record, void *user, char *err, size_t err_size) {
    if (json_array_append(user, record) == 0)
        return true;
    snprintf(err, err_size, "out of memory");
    return false;
}

static bool add_merged(const struct assay_args *args, const json_t *merged) {
    struct assay_history *h = open_db(args, ASSAY_HISTORY_WRITE);
    char err[512];
    bool ok = h != NULL;

    if (ok && assay_history_add(h, merged, err, sizeof err) == ASSAY_HISTORY_FAILED) {
        fail(args, err);
        ok = false;
    }
    assay_history_close(h);
    return ok;
}

static int merge(const struct assay_args *args, const char *const *files, size_t n) {
    json_t *shards = json_array(), *merged = NULL;
    char err[512] = "out of memory";
    bool ok = shards != NULL;

    for (size_t f = 0; ok && f < n; f++)
        ok = assay_records_read(files[f], collect, shards, err, sizeof err);
    if (ok)
        merged = assay_shards_merge(shards, err, sizeof err);
    json_decref(shards);
    if (merged == NULL)
        return fail(args, err);
    ok = assay_record_write(merged, assay_args_get(args, "output"));
    if (assay_args_flag(args, "record"))
        ok = add_merged(args, merged) && ok;
    json_decref(merged);
    return ok ? ASSAY_EXIT_OK : ASSAY_EXIT_USAGE;
}

/* ---- The command ----------------------------------------------------------------------------- */

static const struct action actions[] = {
    {"list", 0, 0, list},          {"show", 1, 1, show},
    {"export", 0, 0, export_runs}, {"import", 1, SIZE_MAX, import_files},
    {"merge", 1, SIZE_MAX, merge},
};
enum { N_ACTIONS = sizeof actions / sizeof actions[0] };

static const char *action_name_at(size_t i, void *user) {
    (void)user;
    return actions[i].name;
}

static int run(const struct assay_args *args) {
    const char *name = args->positional[0], *near;
    const size_t n = args->n_positional - 1;

    for (size_t i = 0; i < N_ACTIONS; i++) {
        if (strcmp(actions[i].name, name) != 0)
            continue;
        if (n < actions[i].least || n > actions[i].most)
            return assay_usage_error(args->command, "%s takes %s; see 'assay history --help'", name,
                                     actions[i].most == 0   ? "no more arguments"
                                     : actions[i].most == 1 ? "one run"
                                                            : "files");
        return actions[i].run(args, args->positional + 1, n);
    }
    near = assay_suggest(name, action_name_at, N_ACTIONS, NULL);
    return assay_usage_error(args->command, "unknown action '%s'%s%s%s", name,
                             near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                             near != NULL ? "'?" : "; see 'assay history --help'");
}

const struct assay_command assay_cmd_history = {
    .name = "history",
    .synopsis = "list | show RUN | export | import FILE… | merge FILE…",
    .summary = "List, exchange and merge recorded runs",
    .details =
        "Runs get into the history by --record of verify, bench, mem and gate. Each keeps its "
        "whole "
        "record, every sample in it, and what it ran on: commit, branch, machine, compiler.\n\n"
        "list shows the runs, by the date of their commits; show one of them, named by the "
        "beginning "
        "of its id.\n\n"
        "export writes runs as JSON Lines, a record a line; import adds them to a database, so "
        "that "
        "results of many machines meet in one. A run that is there already stays as it is. Of "
        "files "
        "with a line that is no record nothing is imported, and the error names file and line. "
        "import takes the files of --json too.\n\n"
        "merge makes the record of a whole run from those of its parts (--shard I/N): what the run "
        "would have written in one piece, but for times. A part that is missing, there twice, or "
        "of another run is an error.\n\n"
        "Exit status: 0, 2 for a usage or input error.",
    .examples = "# what is there\n"
                "$ assay history list --command bench\n"
                "# from one machine to another\n"
                "$ assay history export -o mac.jsonl\n"
                "$ assay history import mac.jsonl arm.jsonl\n"
                "# a run in four parts\n"
                "$ assay verify --shard 1/4 --json part1.json   # and so on\n"
                "$ assay history merge part*.json -o verify.json --record\n",
    .options = options,
    .min_positional = 1,
    .max_positional = SIZE_MAX,
    .run = run,
};
