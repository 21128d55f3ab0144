/* The history: what is added is read back, once, whoever else writes. */
#include <criterion/criterion.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/history/history.h"

static char dir[64], db[96];
static char err[512];

static void setup(void) {
    strcpy(dir, "/tmp/assay-history-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(db, sizeof db, "%s/h.db", dir);
}

static void teardown(void) {
    unlink(db);
    rmdir(dir);
}

TestSuite(history, .init = setup, .fini = teardown);

static json_t *parse(const char *text) {
    json_error_t e;
    json_t *j = json_loads(text, 0, &e);
    cr_assert_not_null(j, "%s at %d", e.text, e.position);
    return j;
}

/* A record of `command` with the given results; n tells uuids apart. */
static json_t *record(const char *command, unsigned n, const char *results) {
    char uuid[40];
    json_t *j = parse(
        "{\"schema\":1,\"arguments\":[\"-q\"],\"threads\":2,\"seed\":7,"
        "\"started\":\"2025-01-01T00:00:00Z\",\"finished\":\"2025-01-01T00:00:09Z\","
        "\"assay\":{\"version\":\"0.1.0\",\"commit\":\"abcdef\",\"dirty\":true,"
        "\"commit_date\":\"2024-12-31T00:00:00Z\",\"branch\":\"main\",\"compiler\":\"gcc\","
        "\"flags\":\"-O2\"},\"machine\":{\"cpu\":\"Z\",\"features\":\"avx2\",\"isa\":\"avx2\","
        "\"cores\":2,\"memory_bytes\":1024,\"l1d_bytes\":1,\"l2_bytes\":2,\"l3_bytes\":3,"
        "\"os\":\"Linux\",\"governor\":\"performance\"}}");

    snprintf(uuid, sizeof uuid, "00000000-0000-4000-8000-%012x", n);
    json_object_set_new(j, "uuid", json_string(uuid));
    json_object_set_new(j, "command", json_string(command));
    json_object_set_new(j, "results", parse(results));
    return j;
}

static struct assay_history *open_db(enum assay_history_mode mode) {
    struct assay_history *h = assay_history_open(db, mode, err, sizeof err);
    cr_assert_not_null(h, "%s", err);
    return h;
}

static int64_t add(struct assay_history *h, json_t *j);

static bool keep_run(const struct assay_history_run *run, void *user) {
    *(int64_t *)user = run->id;
    cr_expect_str_eq(run->commit, "abcdef");
    cr_expect_str_eq(run->branch, "main");
    cr_expect_str_eq(run->commit_date, "2024-12-31T00:00:00Z");
    cr_expect_str_eq(run->machine.governor, "performance");
    cr_expect_str_eq(run->arguments, "[\"-q\"]");
    cr_expect(run->dirty);
    cr_expect_eq(run->seed, 7);
    cr_expect_eq(run->machine.l3_bytes, 3);
    return true;
}

static int64_t add(struct assay_history *h, json_t *j) {
    int64_t id = 0;
    struct assay_history_filter one = {.uuid = json_string_value(json_object_get(j, "uuid"))};

    cr_assert_eq(assay_history_add(h, j, err, sizeof err), ASSAY_HISTORY_ADDED, "%s", err);
    cr_assert(assay_history_runs(h, &one, keep_run, &id, err, sizeof err), "%s", err);
    return id;
}

static bool count_run(const struct assay_history_run *run, void *user) {
    (void)run;
    ++*(int *)user;
    return true;
}

static int runs(struct assay_history *h, const struct assay_history_filter *f) {
    int n = 0;
    cr_assert(assay_history_runs(h, f, count_run, &n, err, sizeof err), "%s", err);
    return n;
}

static bool see_timing(const struct assay_history_timing *t, void *user) {
    int64_t *id = user;

    if (strcmp(t->status, "measured") == 0) {
        *id = t->id;
        cr_expect_str_eq(t->matrix, "a q");
        cr_expect_str_eq(t->kernel, "gemm_x");
        cr_expect_str_eq(t->from, "L2");
        cr_expect_eq(t->k, 256);
        cr_expect_eq(t->resident_bytes, 99);
        cr_expect_eq(t->n_samples, 3);
        cr_expect_float_eq(t->median_ns, 11, 0);
        cr_expect_float_eq(t->speedup_high, 3, 0);
        cr_expect_float_eq(t->roof_ns, 5, 0);
        cr_expect_str_eq(t->roof_arithmetic, "int8");
    } else {
        cr_expect_str_eq(t->status, "skipped");
        cr_expect_str_eq(t->reason, "absent");
        cr_expect(isnan(t->median_ns));
        cr_expect_eq(t->n_samples, 0);
    }
    return true;
}

Test(history, keeps_every_sample_of_bench) {
    struct assay_history *h = open_db(ASSAY_HISTORY_WRITE);
    int64_t timing = 0;
    size_t n = 0;
    json_t *j = record(
        "bench", 1,
        "[{\"matrix\":\"a q\",\"type\":\"q4_k\",\"m\":1,\"n\":8,\"k\":256,\"threads\":2,"
        "\"weight_bytes\":4,\"contenders\":[{\"contender\":\"cpu\",\"backend\":\"cpu\","
        "\"variant\":\"\",\"isa\":\"avx2\",\"status\":\"measured\",\"kernel\":\"gemm_x\","
        "\"resident_bytes\":99,\"from\":\"L2\",\"ns\":{\"median\":11,\"mad\":1,\"q1\":1,\"q3\":2,"
        "\"samples\":[12.5,11,10]},\"speedup\":{\"median\":2,\"low95\":1,\"high95\":3},"
        "\"roofline\":{\"ns\":5,\"bandwidth\":6,\"peak\":7,\"arithmetic\":\"int8\"}},"
        "{\"contender\":\"ggml\",\"backend\":\"ggml\",\"status\":\"skipped\","
        "\"reason\":\"absent\"}]}]");
    int64_t run = add(h, j);
    double *ns;

    cr_assert(assay_history_timings(h, run, see_timing, &timing, err, sizeof err), "%s", err);
    ns = assay_history_samples(h, timing, &n, err, sizeof err);
    cr_assert_not_null(ns, "%s", err);
    cr_assert_eq(n, 3);
    cr_expect_float_eq(ns[0], 12.5, 0);
    cr_expect_float_eq(ns[2], 10, 0);
    free(ns);
    json_decref(j);
    assay_history_close(h);
}

static bool see_verdict(const struct assay_history_verdict *v, void *user) {
    ++*(int *)user;
    if (strcmp(v->op, "gemm") == 0) {
        cr_expect_str_eq(v->type, "q4_k");
        cr_expect_eq(v->passed, 1);
        cr_expect_eq(v->failed, 1);
        cr_expect_eq(v->elements, 30);
        cr_expect(isinf(v->worst));
    } else {
        cr_expect_str_eq(v->op, "decode");
        cr_expect_str_eq(v->type, "q4_k+q6_k");
        cr_expect_eq(v->skipped, 1);
    }
    return true;
}

Test(history, counts_verdicts_by_type_runner_and_operation) {
    struct assay_history *h = open_db(ASSAY_HISTORY_WRITE);
    int seen = 0;
#define CASE(types, op, more)                                                                      \
    "{\"types\":" types ",\"op\":" op                                                              \
    ",\"backend\":\"cpu\",\"variant\":\"\",\"isa\":\"avx2\"," more "}"
    json_t *j = record(
        "verify", 1,
        "[" CASE("[\"q4_k\"]", "\"gemm\"", "\"verdict\":\"pass\",\"elements\":10,\"ratio\":0.5") "," CASE(
            "[\"q4_k\"]", "\"gemm\"",
            "\"verdict\":\"fail\",\"elements\":20,\"ratio\":\"inf\"") "," CASE("[\"q4_k\",\"q6_"
                                                                               "k\"]",
                                                                               "\"check\","
                                                                               "\"check\":"
                                                                               "\"decode\"",
                                                                               "\"verdict\":"
                                                                               "\"skip\"") "]");
    int64_t run = add(h, j);

    cr_assert(assay_history_verdicts(h, run, see_verdict, &seen, err, sizeof err), "%s", err);
    cr_expect_eq(seen, 2);
    json_decref(j);
    assay_history_close(h);
}

static bool see_memory(const struct assay_history_memory *m, void *user) {
    ++*(int *)user;
    cr_expect_str_eq(m->model, "llama");
    cr_expect_str_eq(m->mode, "cpu");
    cr_expect(m->extrapolated);
    cr_expect_float_eq(m->peak_bytes, 20, 0, "the extrapolated figures are the whole model's");
    return true;
}

Test(history, keeps_the_figures_of_the_whole_model) {
    struct assay_history *h = open_db(ASSAY_HISTORY_WRITE);
    int seen = 0;
    json_t *j = record("mem", 1,
                       "[{\"mode\":\"cpu\",\"outcome\":\"measured\",\"layers\":1,"
                       "\"layers_total\":2,\"extrapolated\":true,\"measured\":{\"peak_bytes\":10},"
                       "\"extrapolation\":{\"peak_bytes\":20}}]");
    json_object_set_new(j, "model", parse("{\"name\":\"llama\",\"path\":\"/x\"}"));
    int64_t run = add(h, j);

    cr_assert(assay_history_memory(h, run, see_memory, &seen, err, sizeof err), "%s", err);
    cr_expect_eq(seen, 1);
    json_decref(j);
    assay_history_close(h);
}

static bool see_later_figures(const struct assay_history_memory *m, void *user) {
    const double wanted[] = {11, NAN, 13};
    int i = (*(int *)user)++;

    cr_assert_lt(i, 3);
    cr_expect(isnan(wanted[i]) ? isnan(m->transient_bytes) : m->transient_bytes == wanted[i],
              "row %d: %g", i, m->transient_bytes);
    cr_expect(isnan(wanted[i]) ? isnan(m->steady_s) : m->steady_s == wanted[i] / 2, "row %d: %g", i,
              m->steady_s);
    return true;
}

/* Schema 2 added figures that records had before: they come from the records. */
Test(history, brings_a_database_of_schema_1_up_to_date) {
    struct assay_history *h = open_db(ASSAY_HISTORY_WRITE);
    sqlite3 *raw;
    json_t *other = record("mem", 1, "[{\"mode\":\"cpu\",\"measured\":{\"peak_bytes\":10}}]");
    json_t *j = record("mem", 2,
                       "[{\"mode\":\"a\",\"measured\":{\"transient_bytes\":11,\"steady_s\":5.5}},"
                       "{\"mode\":\"b\",\"measured\":{\"peak_bytes\":10}},"
                       "{\"mode\":\"c\",\"extrapolated\":true,\"measured\":{\"transient_bytes\":1},"
                       "\"extrapolation\":{\"transient_bytes\":13,\"steady_s\":6.5}}]");
    add(h, other);
    int64_t run = add(h, j);
    int seen = 0;

    cr_assert(assay_history_memory(h, run, see_later_figures, &seen, err, sizeof err), "%s", err);
    assay_history_close(h);
    cr_assert_eq(sqlite3_open(db, &raw), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(raw,
                              "ALTER TABLE memory DROP COLUMN transient_bytes;"
                              "ALTER TABLE memory DROP COLUMN steady_s; PRAGMA user_version = 1",
                              NULL, NULL, NULL),
                 SQLITE_OK, "%s", sqlite3_errmsg(raw));
    sqlite3_close(raw);
    cr_expect_null(assay_history_open(db, ASSAY_HISTORY_READ, err, sizeof err));
    cr_expect_not_null(strstr(err, "migrates it"), "%s", err);
    h = open_db(ASSAY_HISTORY_WRITE);
    seen = 0;
    cr_assert(assay_history_memory(h, run, see_later_figures, &seen, err, sizeof err), "%s", err);
    cr_expect_eq(seen, 3);
    json_decref(other);
    json_decref(j);
    assay_history_close(h);
}

Test(history, gives_back_the_very_record) {
    struct assay_history *h = open_db(ASSAY_HISTORY_WRITE);
    json_t *j = record("bench", 1, "[{\"matrix\":\"é\",\"x\":0.1,\"y\":[1e-300,\"nan\"]}]"), *back;
    int64_t run = add(h, j);

    back = assay_history_record(h, run, err, sizeof err);
    cr_assert_not_null(back, "%s", err);
    cr_expect(json_equal(j, back));
    json_decref(back);
    json_decref(j);
    assay_history_close(h);
}

Test(history, adds_a_run_once) {
    struct assay_history *h = open_db(ASSAY_HISTORY_WRITE);
    json_t *j = record("bench", 1, "[]");

    add(h, j);
    cr_expect_eq(assay_history_add(h, j, err, sizeof err), ASSAY_HISTORY_KNOWN);
    cr_expect_eq(runs(h, NULL), 1);
    json_decref(j);
    assay_history_close(h);
}

Test(history, filters_runs) {
    struct assay_history *h = open_db(ASSAY_HISTORY_WRITE);
    json_t *a = record("bench", 1, "[]"), *b = record("verify", 2, "[]");

    add(h, a);
    add(h, b);
    cr_expect_eq(runs(h, &(struct assay_history_filter){.command = "verify"}), 1);
    cr_expect_eq(runs(h, &(struct assay_history_filter){.commit = "abc"}), 2);
    cr_expect_eq(runs(h, &(struct assay_history_filter){.commit = "%"}), 0);
    cr_expect_eq(runs(h, &(struct assay_history_filter){.uuid = "00000000-0000"}), 2);
    cr_expect_eq(runs(h, &(struct assay_history_filter){.branch = "other"}), 0);
    json_decref(a);
    json_decref(b);
    assay_history_close(h);
}

Test(history, rolls_back_to_nothing) {
    struct assay_history *h = open_db(ASSAY_HISTORY_WRITE);
    json_t *j = record("bench", 1, "[]");

    cr_assert(assay_history_begin(h, err, sizeof err));
    add(h, j);
    assay_history_rollback(h);
    cr_expect_eq(runs(h, NULL), 0);
    json_decref(j);
    assay_history_close(h);
}

Test(history, refuses_what_is_no_record) {
    struct assay_history *h = open_db(ASSAY_HISTORY_WRITE);
    json_t *j = record("bench", 1, "[]");

    json_object_set_new(j, "uuid", json_string("x"));
    cr_expect_eq(assay_history_add(h, j, err, sizeof err), ASSAY_HISTORY_FAILED);
    cr_expect_not_null(strstr(err, "uuid is malformed"), "%s", err);
    json_object_set_new(j, "results", json_integer(1));
    json_object_set_new(j, "uuid", json_string("00000000-0000-4000-8000-000000000001"));
    cr_expect_eq(assay_history_add(h, j, err, sizeof err), ASSAY_HISTORY_FAILED);
    cr_expect_not_null(strstr(err, "no array of results"), "%s", err);
    cr_expect_eq(runs(h, NULL), 0);
    json_decref(j);
    assay_history_close(h);
}

Test(history, refuses_a_newer_schema_and_other_files) {
    sqlite3 *raw;
    FILE *f;

    assay_history_close(open_db(ASSAY_HISTORY_WRITE));
    cr_assert_eq(sqlite3_open(db, &raw), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(raw, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(raw);
    cr_expect_null(assay_history_open(db, ASSAY_HISTORY_WRITE, err, sizeof err));
    cr_expect_not_null(strstr(err, "has schema 99"), "%s", err);
    cr_expect_null(assay_history_open(db, ASSAY_HISTORY_READ, err, sizeof err));
    f = fopen(db, "w");
    cr_assert_not_null(f);
    fputs("this file is certainly no database, and longer than a header of SQLite needs to be: 100 "
          "bytes",
          f);
    fclose(f);
    cr_expect_null(assay_history_open(db, ASSAY_HISTORY_WRITE, err, sizeof err));
    cr_expect_not_null(strstr(err, db), "the error names the file: %s", err);
    unlink(db);
    cr_expect_null(assay_history_open(db, ASSAY_HISTORY_READ, err, sizeof err));
}

/* Processes that all find the file missing, make it, and add runs of their own. */
Test(history, takes_concurrent_writers) {
    enum { WRITERS = 6, EACH = 10 };
    struct assay_history *h;

    for (unsigned w = 0; w < WRITERS; w++) {
        if (fork() == 0) {
            for (unsigned i = 0; i < EACH; i++) {
                json_t *j = record("bench", w * EACH + i, "[]");
                struct assay_history *mine =
                    assay_history_open(db, ASSAY_HISTORY_WRITE, err, sizeof err);
                if (mine == NULL ||
                    assay_history_add(mine, j, err, sizeof err) != ASSAY_HISTORY_ADDED)
                    _exit(1);
                assay_history_close(mine);
                json_decref(j);
            }
            _exit(0);
        }
    }
    for (unsigned w = 0; w < WRITERS; w++) {
        int status = -1;
        cr_assert(wait(&status) > 0);
        cr_expect_eq(status, 0, "a writer failed");
    }
    h = open_db(ASSAY_HISTORY_READ);
    cr_expect_eq(runs(h, NULL), WRITERS * EACH);
    assay_history_close(h);
}
