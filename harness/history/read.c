/* What reports read from the history. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* The next column of a row. */
struct row {
    sqlite3_stmt *s;
    int column;
};

static const char *text(struct row *r) {
    const unsigned char *s = sqlite3_column_text(r->s, r->column++);
    return s != NULL ? (const char *)s : "";
}

static int64_t whole(struct row *r) { return sqlite3_column_int64(r->s, r->column++); }

static double real(struct row *r) {
    bool null = sqlite3_column_type(r->s, r->column) == SQLITE_NULL;
    double v = sqlite3_column_double(r->s, r->column++);
    return null ? NAN : v;
}

/* Runs a prepared query: `take` makes the caller's struct of a row and hands it over. */
static bool each_row(struct assay_history *h, sqlite3_stmt *s, bool (*take)(struct row *r, void *),
                     void *user, char *err, size_t err_size) {
    bool go_on = true, ok;
    int rc = SQLITE_DONE;

    while (go_on && (rc = sqlite3_step(s)) == SQLITE_ROW)
        go_on = take(&(struct row){s, 0}, user);
    ok = !go_on || rc == SQLITE_DONE;
    if (!ok)
        assay_history_sql_error(h, err, err_size);
    sqlite3_finalize(s);
    return ok;
}

static bool of_run(struct assay_history *h, const char *sql, int64_t run,
                   bool (*take)(struct row *r, void *), void *user, char *err, size_t err_size) {
    sqlite3_stmt *s = NULL;

    if (sqlite3_prepare_v2(h->db, sql, -1, &s, NULL) != SQLITE_OK ||
        sqlite3_bind_int64(s, 1, run) != SQLITE_OK) {
        sqlite3_finalize(s);
        return assay_history_sql_error(h, err, err_size);
    }
    return each_row(h, s, take, user, err, err_size);
}

/* ---- Runs ------------------------------------------------------------------------------------ */

struct run_reader {
    bool (*each)(const struct assay_history_run *run, void *user);
    void *user;
};

static bool take_run(struct row *r, void *user) {
    const struct run_reader *reader = user;
    /* Initialisers in the order of the columns would not be evaluated in that order. */
    struct assay_history_run run;

    run.id = whole(r);
    run.uuid = text(r);
    run.command = text(r);
    run.arguments = text(r);
    run.commit = text(r);
    run.commit_date = text(r);
    run.branch = text(r);
    run.dirty = whole(r) != 0;
    run.version = text(r);
    run.compiler = text(r);
    run.flags = text(r);
    run.started = text(r);
    run.finished = text(r);
    run.threads = (int)whole(r);
    run.seed = whole(r);
    run.load_before = real(r);
    run.passed = whole(r);
    run.failed = whole(r);
    run.skipped = whole(r);
    run.not_run = whole(r);
    run.results = whole(r);
    run.machine_id = whole(r);
    run.machine.cpu = text(r);
    run.machine.features = text(r);
    run.machine.isa = text(r);
    run.machine.cores = (int)whole(r);
    run.machine.memory_bytes = whole(r);
    run.machine.l1d_bytes = whole(r);
    run.machine.l2_bytes = whole(r);
    run.machine.l3_bytes = whole(r);
    run.machine.os = text(r);
    run.machine.governor = text(r);
    return reader->each(&run, reader->user);
}

bool assay_history_runs(struct assay_history *h, const struct assay_history_filter *filter,
                        bool (*each)(const struct assay_history_run *run, void *user), void *user,
                        char *err, size_t err_size) {
    /* A parameter that is NULL matches every row. Prefixes are compared by substr: LIKE and GLOB
     * give some letters a meaning. */
    static const char sql[] =
        "SELECT run.id, uuid, command, arguments, commit_id, commit_date, branch, dirty, version,"
        " compiler, flags, started, finished, threads, seed, load_before, passed, failed, skipped,"
        " not_run, results, machine.id, cpu, features, isa, cores, memory_bytes, l1d_bytes,"
        " l2_bytes, l3_bytes, os, governor"
        " FROM run JOIN machine ON machine.id = run.machine"
        " WHERE (?1 IS NULL OR substr(uuid, 1, length(?1)) = ?1)"
        " AND (?2 IS NULL OR command = ?2)"
        " AND (?3 IS NULL OR substr(commit_id, 1, length(?3)) = ?3)"
        " AND (?4 IS NULL OR branch = ?4) AND (?5 IS NULL OR cpu = ?5)"
        " ORDER BY CASE commit_date WHEN '' THEN started ELSE commit_date END, started, run.id";
    static const struct assay_history_filter all;
    const struct assay_history_filter *f = filter != NULL ? filter : &all;
    const char *const values[] = {f->uuid, f->command, f->commit, f->branch, f->cpu};
    struct run_reader reader = {each, user};
    sqlite3_stmt *s = NULL;
    bool ok = sqlite3_prepare_v2(h->db, sql, -1, &s, NULL) == SQLITE_OK;

    for (int i = 0; ok && i < 5; i++)
        ok = sqlite3_bind_text(s, i + 1, values[i], -1, SQLITE_TRANSIENT) == SQLITE_OK;
    if (!ok) {
        sqlite3_finalize(s);
        return assay_history_sql_error(h, err, err_size);
    }
    return each_row(h, s, take_run, &reader, err, err_size);
}

/* ---- verify ---------------------------------------------------------------------------------- */

struct verdict_reader {
    bool (*each)(const struct assay_history_verdict *v, void *user);
    void *user;
};

static bool take_verdict(struct row *r, void *user) {
    const struct verdict_reader *reader = user;
    struct assay_history_verdict v;

    v.type = text(r);
    v.backend = text(r);
    v.variant = text(r);
    v.isa = text(r);
    v.op = text(r);
    v.passed = whole(r);
    v.failed = whole(r);
    v.skipped = whole(r);
    v.not_run = whole(r);
    v.elements = whole(r);
    v.worst = real(r);
    return reader->each(&v, reader->user);
}

bool assay_history_verdicts(struct assay_history *h, int64_t run,
                            bool (*each)(const struct assay_history_verdict *v, void *user),
                            void *user, char *err, size_t err_size) {
    struct verdict_reader reader = {each, user};
    return of_run(h,
                  "SELECT type, backend, variant, isa, op, passed, failed, skipped, not_run,"
                  " elements, worst FROM verdict WHERE run = ?"
                  " ORDER BY type, backend, variant, isa, op",
                  run, take_verdict, &reader, err, err_size);
}

/* ---- bench ----------------------------------------------------------------------------------- */

struct timing_reader {
    bool (*each)(const struct assay_history_timing *t, void *user);
    void *user;
};

static bool take_timing(struct row *r, void *user) {
    const struct timing_reader *reader = user;
    struct assay_history_timing t;

    t.id = whole(r);
    t.run = whole(r);
    t.matrix = text(r);
    t.type = text(r);
    t.m = whole(r);
    t.n = whole(r);
    t.k = whole(r);
    t.threads = whole(r);
    t.weight_bytes = whole(r);
    t.contender = text(r);
    t.backend = text(r);
    t.variant = text(r);
    t.isa = text(r);
    t.kernel = text(r);
    t.status = text(r);
    t.reason = text(r);
    t.resident_bytes = whole(r);
    t.from = text(r);
    t.median_ns = real(r);
    t.mad_ns = real(r);
    t.q1_ns = real(r);
    t.q3_ns = real(r);
    t.speedup = real(r);
    t.speedup_low = real(r);
    t.speedup_high = real(r);
    t.roof_ns = real(r);
    t.roof_bandwidth = real(r);
    t.roof_peak = real(r);
    t.roof_arithmetic = text(r);
    t.n_samples = whole(r);
    return reader->each(&t, reader->user);
}

bool assay_history_timings(struct assay_history *h, int64_t run,
                           bool (*each)(const struct assay_history_timing *t, void *user),
                           void *user, char *err, size_t err_size) {
    struct timing_reader reader = {each, user};
    return of_run(h,
                  "SELECT id, run, matrix, type, m, n, k, threads, weight_bytes, contender,"
                  " backend, variant, isa, kernel, status, reason, resident_bytes, source,"
                  " median_ns, mad_ns, q1_ns, q3_ns, speedup, speedup_low, speedup_high, roof_ns,"
                  " roof_bandwidth, roof_peak, roof_arithmetic,"
                  " (SELECT count(*) FROM sample WHERE timing = timing.id)"
                  " FROM timing WHERE run = ? ORDER BY id",
                  run, take_timing, &reader, err, err_size);
}

struct sample_array {
    double *ns;
    size_t n, capacity;
    bool failed;
};

static bool take_sample(struct row *r, void *user) {
    struct sample_array *a = user;

    if (a->n == a->capacity) {
        double *more = realloc(a->ns, 2 * a->capacity * sizeof *more);
        if (more == NULL) {
            a->failed = true;
            return false;
        }
        a->ns = more;
        a->capacity *= 2;
    }
    a->ns[a->n++] = real(r);
    return true;
}

double *assay_history_samples(struct assay_history *h, int64_t timing, size_t *n, char *err,
                              size_t err_size) {
    struct sample_array a = {malloc(32 * sizeof *a.ns), 0, 32, false};

    if (a.ns == NULL || !of_run(h, "SELECT ns FROM sample WHERE timing = ? ORDER BY round", timing,
                                take_sample, &a, err, err_size)) {
        if (a.ns == NULL)
            assay_history_error(h, err, err_size, "out of memory");
        free(a.ns);
        return NULL;
    }
    if (a.failed) {
        assay_history_error(h, err, err_size, "out of memory");
        free(a.ns);
        return NULL;
    }
    *n = a.n;
    return a.ns;
}

/* ---- mem ------------------------------------------------------------------------------------- */

struct memory_reader {
    bool (*each)(const struct assay_history_memory *m, void *user);
    void *user;
};

static bool take_memory(struct row *r, void *user) {
    const struct memory_reader *reader = user;
    struct assay_history_memory m;

    m.model = text(r);
    m.file_type = text(r);
    m.mode = text(r);
    m.outcome = text(r);
    m.reason = text(r);
    m.layers = whole(r);
    m.layers_total = whole(r);
    m.extrapolated = whole(r) != 0;
    m.disk_bytes = real(r);
    m.peak_bytes = real(r);
    m.anon_bytes = real(r);
    m.file_bytes = real(r);
    m.load_s = real(r);
    m.pass_s = real(r);
    m.transient_bytes = real(r);
    m.steady_s = real(r);
    return reader->each(&m, reader->user);
}

bool assay_history_memory(struct assay_history *h, int64_t run,
                          bool (*each)(const struct assay_history_memory *m, void *user),
                          void *user, char *err, size_t err_size) {
    struct memory_reader reader = {each, user};
    return of_run(h,
                  "SELECT model, file_type, mode, outcome, reason, layers, layers_total,"
                  " extrapolated, disk_bytes, peak_bytes, anon_bytes, file_bytes, load_s, pass_s,"
                  " transient_bytes, steady_s FROM memory WHERE run = ? ORDER BY id",
                  run, take_memory, &reader, err, err_size);
}

/* ---- The record itself ----------------------------------------------------------------------- */

static bool take_record(struct row *r, void *user) {
    *(json_t **)user = json_loads(text(r), 0, NULL);
    return true;
}

json_t *assay_history_record(struct assay_history *h, int64_t run, char *err, size_t err_size) {
    json_t *record = NULL;

    if (!of_run(h, "SELECT json FROM record WHERE run = ?", run, take_record, &record, err,
                err_size))
        return NULL;
    if (record == NULL)
        assay_history_error(h, err, err_size, "the record of this run is missing or damaged");
    return record;
}
