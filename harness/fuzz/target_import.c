/* Invariant: a file of any bytes, read as history's import and merge and as compare read theirs, is
 * refused as a whole, in one line that begins with the place FILE:LINE, and the history is as it
 * was; or each of its runs enters once, comes back equal, and the export of it all, imported
 * elsewhere, exports to the same bytes. Whatever the records hold, what is then told of them (the
 * page, markdown, CSV, a table, another's error) has no markup and no control character of theirs,
 * and shards give the same run, which is a record itself, in any order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "harness/history/history.h"
#include "harness/history/lines.h"
#include "harness/history/merge.h"
#include "harness/options.h"
#include "harness/report.h"
#include "markup.h"

/* The bootstrap of compare takes some seconds on the samples that a longer file can hold. */
enum { LONGEST_INPUT = 16384 };

/* A database in memory: nothing is ever committed to it, so that one does for all inputs. */
static struct assay_history *new_history(void) {
    char err[512] = "";
    struct assay_history *h = assay_history_open(":memory:", ASSAY_HISTORY_WRITE, err, sizeof err);
    FUZZ_REQUIRE(h != NULL, "%s", err);
    return h;
}

static bool count_run(const struct assay_history_run *run, void *user) {
    (void)run;
    ++*(size_t *)user;
    return true;
}

static size_t count_runs(struct assay_history *h) {
    char err[512] = "";
    size_t n = 0;
    FUZZ_REQUIRE(assay_history_runs(h, NULL, count_run, &n, err, sizeof err), "%s", err);
    return n;
}

/* ---- Import ---- */

struct import {
    struct assay_history *h;
    json_t *records; /* an object: those that were added, by their uuid */
};

static bool add(json_t *record, void *user, char *err, size_t err_size) {
    struct import *i = user;
    const char *uuid = json_string_value(json_object_get(record, "uuid"));

    FUZZ_REQUIRE(assay_history_fault(record) == NULL, "%s", assay_history_fault(record));
    bool known = json_object_get(i->records, uuid) != NULL;
    switch (assay_history_add(i->h, record, err, err_size)) {
    case ASSAY_HISTORY_FAILED:
        FUZZ_REQUIRE(fuzz_is_line(err), "'%s'", err);
        return false;
    case ASSAY_HISTORY_KNOWN:
        FUZZ_REQUIRE(known, "%s is not there", uuid);
        return true;
    case ASSAY_HISTORY_ADDED:
        FUZZ_REQUIRE(!known, "%s is there twice", uuid);
        json_object_set(i->records, uuid, record);
    }
    return true;
}

static void check_refusal(const char *path, const char *err) {
    const size_t n = strlen(path);
    FUZZ_REQUIRE(fuzz_is_line(err) && strncmp(err, path, n) == 0 && err[n] == ':', "'%s'", err);
    const size_t digits = strspn(err + n + 1, "0123456789");
    FUZZ_REQUIRE(digits > 0 && strncmp(err + n + 1 + digits, ": ", 2) == 0, "'%s'", err);
}

/* ---- What the history tells ---- */

struct rows {
    struct assay_history *h;
    int64_t run, count;
};

static bool check_verdict(const struct assay_history_verdict *v, void *user) {
    struct rows *rows = user;
    FUZZ_REQUIRE(v->type && v->backend && v->variant && v->isa && v->op, "NULL");
    rows->count += v->passed + v->failed + v->skipped + v->not_run;
    return true;
}

static bool check_timing(const struct assay_history_timing *t, void *user) {
    struct rows *rows = user;
    char err[512] = "";
    size_t n = 0;
    double *ns = assay_history_samples(rows->h, t->id, &n, err, sizeof err);

    FUZZ_REQUIRE(t->matrix && t->type && t->contender && t->kernel && t->status && t->reason,
                 "NULL");
    FUZZ_REQUIRE(ns != NULL && (int64_t)n == t->n_samples, "%zu samples: %s", n, err);
    free(ns);
    return true;
}

static bool check_memory(const struct assay_history_memory *m, void *user) {
    struct rows *rows = user;
    FUZZ_REQUIRE(m->model && m->file_type && m->mode && m->outcome && m->reason, "NULL");
    rows->count++;
    return true;
}

struct export {
    const struct import *import;
    FILE *f;
    size_t n;
};

static bool check_run(const struct assay_history_run *run, void *user) {
    struct export *e = user;
    struct assay_history *h = e->import->h;
    struct rows rows = {h, run->id, 0};
    char err[512] = "";
    json_t *back = assay_history_record(h, run->id, err, sizeof err);
    const json_t *put = json_object_get(e->import->records, run->uuid);

    FUZZ_REQUIRE(back != NULL, "%s", err);
    FUZZ_REQUIRE(json_equal(back, put), "%s came back changed", run->uuid);
    FUZZ_REQUIRE(assay_record_write_line(e->f, back), "memory");
    json_decref(back);
    e->n++;

    const bool verify = strcmp(run->command, "verify") == 0, mem = strcmp(run->command, "mem") == 0;
    FUZZ_REQUIRE(assay_history_verdicts(h, run->id, check_verdict, &rows, err, sizeof err) &&
                     rows.count <= (verify ? run->results : 0),
                 "%lld verdicts: %s", (long long)rows.count, err);
    rows.count = 0;
    FUZZ_REQUIRE(assay_history_memory(h, run->id, check_memory, &rows, err, sizeof err) &&
                     rows.count == (mem ? run->results : 0),
                 "%lld modes: %s", (long long)rows.count, err);
    FUZZ_REQUIRE(assay_history_timings(h, run->id, check_timing, &rows, err, sizeof err), "%s",
                 err);
    return true;
}

/* The export of what was imported; the caller frees it. */
static char *export(const struct import *i, size_t *size) {
    char *text = NULL, err[512] = "";
    struct export e = {i, open_memstream(&text, size), 0};

    FUZZ_REQUIRE(e.f != NULL, "memory");
    FUZZ_REQUIRE(assay_history_runs(i->h, NULL, check_run, &e, err, sizeof err), "%s", err);
    FUZZ_REQUIRE(fclose(e.f) == 0 && e.n == json_object_size(i->records), "%zu runs of %zu", e.n,
                 json_object_size(i->records));
    return text;
}

static void check_page(struct assay_history *h) {
    const struct assay_report_options options = {.title = "t", .history = h};
    struct assay_report r = {.options = &options};
    char *page = NULL;
    size_t size;

    r.body = open_memstream(&page, &size);
    FUZZ_REQUIRE(r.body != NULL, "memory");
    assay_report_history(&r);
    FUZZ_REQUIRE(!ferror(r.body) && fclose(r.body) == 0, "memory");
    fuzz_check_markup(page);
    free(page);
}

static void check_printable(const char *text) {
    for (const char *c = text; *c != '\0'; c++)
        FUZZ_REQUIRE(((unsigned char)*c >= 0x20 && *c != 0x7f) || *c == '\n', "byte %d at %.60s",
                     *c, c);
}

/* Eight fields a row, quotes closed; line ends within quotes are none of the table's. */
static void check_csv(const char *text) {
    bool quoted = false;
    size_t commas = 0;

    for (const char *c = text; *c != '\0'; c++) {
        quoted ^= *c == '"';
        commas += !quoted && *c == ',';
        if (quoted || *c != '\n')
            continue;
        FUZZ_REQUIRE(commas == 7, "%zu commas before: %.60s", commas, c);
        commas = 0;
    }
    FUZZ_REQUIRE(!quoted && commas == 0, "unfinished");
}

/* Records as `report` takes them, in its other formats. */
static void check_formats(const json_t *records) {
    const char *uuid;
    json_t *record;

    json_object_foreach((json_t *)(uintptr_t)records, uuid, record) {
        struct assay_record r = {"r.json", record,
                                 json_string_value(json_object_get(record, "command"))};
        char *text = NULL;
        size_t size;
        if (strcmp(r.command, "gate") == 0)
            continue; /* report takes none */
        FILE *f = open_memstream(&text, &size);
        FUZZ_REQUIRE(f != NULL, "memory");
        assay_report_markdown(f, &r, 1, "t");
        FUZZ_REQUIRE(fclose(f) == 0, "memory");
        check_printable(text);
        for (const char *c = text; (c = strchr(c, '<')) != NULL; c++)
            FUZZ_REQUIRE(strncmp(c, "<sub>", 5) == 0 || strncmp(c, "</sub>", 6) == 0, "%.60s", c);
        free(text);
        f = open_memstream(&text, &size);
        FUZZ_REQUIRE(f != NULL, "memory");
        assay_report_csv(f, &r, 1);
        FUZZ_REQUIRE(fclose(f) == 0, "memory");
        check_csv(text);
        free(text);
    }
}

/* ---- Shards ---- */

static void check_merge(const json_t *records) {
    json_t *shards = json_array(), *reversed = json_array(), *record;
    const char *uuid;
    char err[512] = "", again[512] = "";

    json_object_foreach((json_t *)(uintptr_t)records, uuid, record) {
        json_array_append(shards, record);
        json_array_insert(reversed, 0, record);
    }
    json_t *run = assay_shards_merge(shards, err, sizeof err);
    json_t *same = assay_shards_merge(reversed, again, sizeof again);
    FUZZ_REQUIRE(run != NULL || fuzz_is_line(err), "'%s'", err);
    FUZZ_REQUIRE((run != NULL) == (same != NULL), "%s%s: depends on the order", err, again);
    if (run != NULL) {
        FUZZ_REQUIRE(assay_history_fault(run) == NULL, "%s", assay_history_fault(run));
        FUZZ_REQUIRE(json_equal(run, same), "depends on the order");
    }
    json_decref(run);
    json_decref(same);
    json_decref(shards);
    json_decref(reversed);
}

/* ---- Commands ---- */

/* Runs a command as main does. Its output must be printable; if it fails, it is one line of error.
 */
static int command(const struct assay_command *cmd, const char *const *words) {
    char *argv[8] = {(char *)(uintptr_t)cmd->name}, *out = NULL, *told = NULL;
    size_t out_size, told_size;
    struct assay_args args;
    int argc = 1, code;

    while (words[argc - 1] != NULL) {
        argv[argc] = (char *)(uintptr_t)words[argc - 1];
        argc++;
    }
    FILE *real_out = stdout, *real_err = stderr;
    stdout = open_memstream(&out, &out_size);
    stderr = open_memstream(&told, &told_size);
    FUZZ_REQUIRE(stdout != NULL && stderr != NULL, "memory");
    if (assay_args_parse(cmd, argc, argv, &args, &code)) {
        code = cmd->run(&args);
        assay_args_free(&args);
    }
    fclose(stdout);
    fclose(stderr);
    stdout = real_out;
    stderr = real_err;
    check_printable(out);
    if (code == ASSAY_EXIT_OK) {
        FUZZ_REQUIRE(told[0] == '\0', "%s, but said: %s", cmd->name, told);
    } else {
        const size_t n = strlen(told);
        FUZZ_REQUIRE(code == ASSAY_EXIT_USAGE && n > 1 && told[n - 1] == '\n', "%d: '%s'", code,
                     told);
        told[n - 1] = '\0';
        FUZZ_REQUIRE(fuzz_is_line(told) && strncmp(told, "assay ", 6) == 0, "'%s'", told);
    }
    free(out);
    free(told);
    return code;
}

static void check_commands(const char *path, const json_t *records, bool with_database) {
    command(&assay_cmd_compare, (const char *[]){path, path, NULL});
    if (!with_database)
        return;
    char db[256];
    const char *uuid;
    json_t *record;
    snprintf(db, sizeof db, "%s/history.db", fuzz_scratch());
    FUZZ_REQUIRE(command(&assay_cmd_history, (const char *[]){"import", path, "--db", db, NULL}) ==
                     ASSAY_EXIT_OK,
                 "not imported");
    command(&assay_cmd_history, (const char *[]){"list", "--db", db, NULL});
    json_object_foreach((json_t *)(uintptr_t)records, uuid, record) {
        FUZZ_REQUIRE(command(&assay_cmd_history,
                             (const char *[]){"show", uuid, "--db", db, NULL}) == ASSAY_EXIT_OK,
                     "%s is not shown", uuid);
    }
    unlink(db);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct assay_history *here, *there;
    char path[256], copy[256], err[512] = "";
    struct import i;

    if (size > LONGEST_INPUT)
        return 0;
    if (here == NULL) {
        here = new_history();
        there = new_history();
    }
    snprintf(path, sizeof path, "%s/import.jsonl", fuzz_scratch());
    snprintf(copy, sizeof copy, "%s/copy.jsonl", fuzz_scratch());
    fuzz_write_file(path, data, size);

    i = (struct import){here, json_object()};
    FUZZ_REQUIRE(assay_history_begin(here, err, sizeof err), "%s", err);
    const bool taken = assay_records_read(path, add, &i, err, sizeof err);
    if (!taken) {
        check_refusal(path, err);
    } else {
        size_t n, n_again;
        char *text = export(&i, &n);
        struct import again = {there, json_object()};

        check_page(here);
        check_formats(i.records);
        check_merge(i.records);
        fuzz_write_file(copy, (const uint8_t *)text, n);
        FUZZ_REQUIRE(assay_history_begin(there, err, sizeof err), "%s", err);
        FUZZ_REQUIRE(assay_records_read(copy, add, &again, err, sizeof err), "%s", err);
        char *text_again = export(&again, &n_again);
        FUZZ_REQUIRE(n == n_again && memcmp(text, text_again, n) == 0, "exports differ");
        assay_history_rollback(there);
        free(text);
        free(text_again);
        json_decref(again.records);
        unlink(copy);
    }
    assay_history_rollback(here);
    FUZZ_REQUIRE(count_runs(here) == 0, "runs outlive the rollback");
    /* Not for each, since a database on disk takes several times as long as all the rest. */
    check_commands(path, i.records, taken && size % 4 == 0);
    json_decref(i.records);
    unlink(path);
    return 0;
}
