/* From a record to the rows of the tables. */
#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "harness/record.h"
#include "internal.h"

/* ---- Fields of a record ---------------------------------------------------------------------- */

static const json_t *at(const json_t *j, const char *key) { return json_object_get(j, key); }

static const char *text(const json_t *j, const char *key) {
    const char *s = json_string_value(at(j, key));
    return s != NULL ? s : "";
}

static int64_t whole(const json_t *j, const char *key) { return json_integer_value(at(j, key)); }

static double real(const json_t *j, const char *key) { return assay_json_real_value(at(j, key)); }

static bool is_uuid(const char *s) {
    for (size_t i = 0; i < 36; i++)
        if (i == 8 || i == 13 || i == 18 || i == 23 ? s[i] != '-' : !isxdigit((unsigned char)s[i]))
            return false;
    return s[36] == '\0';
}

const char *assay_history_fault(const json_t *record) {
    static const char *const commands[] = {"verify", "bench", "mem", "gate"};
    const json_t *results = at(record, "results"), *result;
    bool known = false;
    size_t i;

    if (!json_is_object(record))
        return "not a JSON object";
    if (json_integer_value(at(record, "schema")) != ASSAY_RECORD_SCHEMA)
        return "not a record of schema 1";
    for (i = 0; i < sizeof commands / sizeof commands[0]; i++)
        known = known || strcmp(text(record, "command"), commands[i]) == 0;
    if (!known)
        return "not a record of verify, bench, mem or gate";
    if (at(record, "uuid") == NULL)
        return "has no uuid: an older assay wrote it";
    if (!is_uuid(text(record, "uuid")))
        return "its uuid is malformed";
    if (!json_is_object(at(record, "machine")) || !json_is_object(at(record, "assay")))
        return "lacks the object machine or assay";
    if (at(record, "finished") == NULL)
        return "is incomplete: it has no time of its end";
    if (!json_is_array(results))
        return "has no array of results";
    json_array_foreach(results, i, result) {
        if (!json_is_object(result))
            return "has a result that is no object";
    }
    return NULL;
}

/* ---- Statements ------------------------------------------------------------------------------ */

static bool bind(sqlite3_stmt *s, const char *types, va_list ap) {
    bool ok = true;

    for (int i = 1; *types != '\0'; types++, i++) {
        if (*types == 't')
            ok = sqlite3_bind_text(s, i, va_arg(ap, const char *), -1, SQLITE_TRANSIENT) ==
                     SQLITE_OK &&
                 ok;
        else if (*types == 'i')
            ok = sqlite3_bind_int64(s, i, va_arg(ap, int64_t)) == SQLITE_OK && ok;
        else /* 'r'; SQLite takes a NaN for NULL */
            ok = sqlite3_bind_double(s, i, va_arg(ap, double)) == SQLITE_OK && ok;
    }
    return ok;
}

/* Runs `sql` with values of the given types: t const char *, i int64_t, r double. */
static bool put(struct assay_history *h, const char *sql, const char *types, ...) {
    sqlite3_stmt *s = NULL;
    va_list ap;
    bool ok;

    va_start(ap, types);
    ok = sqlite3_prepare_v2(h->db, sql, -1, &s, NULL) == SQLITE_OK && bind(s, types, ap) &&
         sqlite3_step(s) == SQLITE_DONE;
    va_end(ap);
    return sqlite3_finalize(s) == SQLITE_OK && ok;
}

/* The integer that a query gives; `none` if it gives no row. */
static bool get(struct assay_history *h, int64_t *value, int64_t none, const char *sql,
                const char *types, ...) {
    sqlite3_stmt *s = NULL;
    va_list ap;
    int rc = SQLITE_ERROR;

    va_start(ap, types);
    if (sqlite3_prepare_v2(h->db, sql, -1, &s, NULL) == SQLITE_OK && bind(s, types, ap))
        rc = sqlite3_step(s);
    va_end(ap);
    *value = rc == SQLITE_ROW ? sqlite3_column_int64(s, 0) : none;
    return sqlite3_finalize(s) == SQLITE_OK && (rc == SQLITE_ROW || rc == SQLITE_DONE);
}

/* ---- The run --------------------------------------------------------------------------------- */

static bool add_machine(struct assay_history *h, const json_t *m, int64_t *id) {
    static const char columns[] = "tttiiiiitt";

#define VALUES                                                                                     \
    text(m, "cpu"), text(m, "features"), text(m, "isa"), whole(m, "cores"),                        \
        whole(m, "memory_bytes"), whole(m, "l1d_bytes"), whole(m, "l2_bytes"),                     \
        whole(m, "l3_bytes"), text(m, "os"), text(m, "governor")
    return put(h,
               "INSERT OR IGNORE INTO machine (cpu, features, isa, cores, memory_bytes, l1d_bytes,"
               " l2_bytes, l3_bytes, os, governor) VALUES (?,?,?,?,?,?,?,?,?,?)",
               columns, VALUES) &&
           get(h, id, 0,
               "SELECT id FROM machine WHERE cpu=? AND features=? AND isa=? AND cores=?"
               " AND memory_bytes=? AND l1d_bytes=? AND l2_bytes=? AND l3_bytes=? AND os=?"
               " AND governor=?",
               columns, VALUES);
#undef VALUES
}

static int64_t count_of(const json_t *record, const char *what) {
    const json_t *n = at(at(record, "summary"), what);
    return strcmp(text(record, "command"), "verify") == 0 ? json_integer_value(n) : -1;
}

static bool add_run(struct assay_history *h, const json_t *record, int64_t *run) {
    const json_t *build = at(record, "assay"), *load = at(record, "load_before");
    char *arguments = json_dumps(at(record, "arguments"), JSON_COMPACT);
    char *dump = json_dumps(record, JSON_COMPACT | JSON_REAL_PRECISION(17));
    int64_t machine;
    bool ok =
        dump != NULL && add_machine(h, at(record, "machine"), &machine) &&
        put(h,
            "INSERT INTO run (uuid, command, arguments, commit_id, commit_date, branch, dirty,"
            " version, compiler, flags, started, finished, threads, seed, load_before,"
            " machine, passed, failed, skipped, not_run, results)"
            " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            "ttttttittttt"
            "ii"
            "r"
            "iiiiii",
            text(record, "uuid"), text(record, "command"), arguments != NULL ? arguments : "[]",
            text(build, "commit"), text(build, "commit_date"), text(build, "branch"),
            (int64_t)json_is_true(at(build, "dirty")), text(build, "version"),
            text(build, "compiler"), text(build, "flags"), text(record, "started"),
            text(record, "finished"), whole(record, "threads"), whole(record, "seed"),
            load != NULL ? json_number_value(load) : -1.0, machine, count_of(record, "passed"),
            count_of(record, "failed"), count_of(record, "skipped"), count_of(record, "not_run"),
            (int64_t)json_array_size(at(record, "results"))) &&
        get(h, run, 0, "SELECT last_insert_rowid()", "") &&
        put(h, "INSERT INTO record (run, json) VALUES (?,?)", "it", *run, dump);

    free(arguments);
    free(dump);
    return ok;
}

/* ---- verify ---------------------------------------------------------------------------------- */

/* "q4_k+q6_k" of the types of a case. */
static void join_types(const json_t *result, char *out, size_t size) {
    const json_t *type;
    size_t i, used = 0;

    out[0] = '\0';
    json_array_foreach(at(result, "types"), i, type) {
        int n = snprintf(out + used, size - used, "%s%s", i > 0 ? "+" : "",
                         json_is_string(type) ? json_string_value(type) : "?");
        if (n < 0 || used + (size_t)n >= size)
            return;
        used += (size_t)n;
    }
}

static bool add_verdict(struct assay_history *h, int64_t run, const json_t *r) {
    const char *verdict = text(r, "verdict"), *op = text(r, "op");
    const double ratio = at(r, "ratio") != NULL ? real(r, "ratio") : 0;
    char types[256];

    join_types(r, types, sizeof types);
    return put(h,
               "INSERT INTO verdict (run, type, backend, variant, isa, op, passed, failed, skipped,"
               " not_run, elements, worst) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
               " ON CONFLICT DO UPDATE SET passed = passed + excluded.passed,"
               " failed = failed + excluded.failed, skipped = skipped + excluded.skipped,"
               " not_run = not_run + excluded.not_run, elements = elements + excluded.elements,"
               " worst = max(worst, excluded.worst)",
               "ittttt"
               "iiiii"
               "r",
               run, types, text(r, "backend"), text(r, "variant"), text(r, "isa"),
               strcmp(op, "check") == 0 ? text(r, "check") : op,
               (int64_t)(strcmp(verdict, "pass") == 0), (int64_t)(strcmp(verdict, "fail") == 0),
               (int64_t)(strcmp(verdict, "skip") == 0), (int64_t)(strcmp(verdict, "not run") == 0),
               whole(r, "elements"), isnan(ratio) ? INFINITY : ratio);
}

/* ---- bench ----------------------------------------------------------------------------------- */

static bool add_samples(struct assay_history *h, const json_t *samples) {
    sqlite3_stmt *s = NULL;
    const json_t *ns;
    int64_t timing;
    size_t i;
    bool ok = get(h, &timing, 0, "SELECT last_insert_rowid()", "") &&
              sqlite3_prepare_v2(h->db, "INSERT INTO sample (timing, round, ns) VALUES (?,?,?)", -1,
                                 &s, NULL) == SQLITE_OK;

    json_array_foreach(samples, i, ns) {
        ok = ok && sqlite3_bind_int64(s, 1, timing) == SQLITE_OK &&
             sqlite3_bind_int64(s, 2, (int64_t)i) == SQLITE_OK &&
             sqlite3_bind_double(s, 3, assay_json_real_value(ns)) == SQLITE_OK &&
             sqlite3_step(s) == SQLITE_DONE && sqlite3_reset(s) == SQLITE_OK;
    }
    return sqlite3_finalize(s) == SQLITE_OK && ok;
}

static bool add_contender(struct assay_history *h, int64_t run, const json_t *r, const json_t *c) {
    const json_t *ns = at(c, "ns"), *speedup = at(c, "speedup"), *roof = at(c, "roofline");

    return put(h,
               "INSERT INTO timing (run, matrix, type, m, n, k, threads, weight_bytes, contender,"
               " backend, variant, isa, kernel, status, reason, resident_bytes, source, median_ns,"
               " mad_ns, q1_ns, q3_ns, speedup, speedup_low, speedup_high, roof_ns, roof_bandwidth,"
               " roof_peak, roof_arithmetic)"
               " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
               "itt"
               "iiiii"
               "ttttttt"
               "it"
               "rrrrrrrrrr"
               "t",
               run, text(r, "matrix"), text(r, "type"), whole(r, "m"), whole(r, "n"), whole(r, "k"),
               whole(r, "threads"), whole(r, "weight_bytes"), text(c, "contender"),
               text(c, "backend"), text(c, "variant"), text(c, "isa"), text(c, "kernel"),
               text(c, "status"), text(c, "reason"), whole(c, "resident_bytes"), text(c, "from"),
               real(ns, "median"), real(ns, "mad"), real(ns, "q1"), real(ns, "q3"),
               real(speedup, "median"), real(speedup, "low95"), real(speedup, "high95"),
               real(roof, "ns"), real(roof, "bandwidth"), real(roof, "peak"),
               text(roof, "arithmetic")) &&
           add_samples(h, at(ns, "samples"));
}

/* A case whose process died has no contenders, and becomes one row. */
static bool add_case(struct assay_history *h, int64_t run, const json_t *r) {
    const json_t *c;
    size_t i;
    bool ok = true;

    if (at(r, "crash") != NULL) {
        json_t *dead = json_pack("{ss ss ss}", "contender", text(r, "contender"), "status",
                                 "crashed", "reason", text(r, "crash"));
        ok = dead != NULL && add_contender(h, run, r, dead);
        json_decref(dead);
    }
    json_array_foreach(at(r, "contenders"), i, c) ok = ok && add_contender(h, run, r, c);
    return ok;
}

/* ---- mem ------------------------------------------------------------------------------------- */

static bool add_mode(struct assay_history *h, int64_t run, const json_t *record, const json_t *r) {
    const json_t *model = at(record, "model");
    const bool extrapolated = json_is_true(at(r, "extrapolated"));
    const json_t *f = at(r, extrapolated ? "extrapolation" : "measured");
    const char *name = text(model, "name");

    return put(
        h,
        "INSERT INTO memory (run, model, file_type, mode, outcome, reason, layers,"
        " layers_total, extrapolated, disk_bytes, peak_bytes, anon_bytes, file_bytes, load_s,"
        " pass_s, transient_bytes, steady_s) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        "ittttt"
        "iii"
        "rrrrrrrr",
        run, *name != '\0' ? name : text(model, "path"), text(model, "file_type"), text(r, "mode"),
        text(r, "outcome"), text(r, "reason"), whole(r, "layers"), whole(r, "layers_total"),
        (int64_t)extrapolated, real(f, "disk_bytes"), real(f, "peak_bytes"), real(f, "anon_bytes"),
        real(f, "file_bytes"), real(f, "load_s"), real(f, "pass_s"), real(f, "transient_bytes"),
        real(f, "steady_s"));
}

/* ---- All of it ------------------------------------------------------------------------------- */

static bool add_results(struct assay_history *h, int64_t run, const json_t *record) {
    const char *command = text(record, "command");
    const json_t *r;
    size_t i;
    bool ok = true;

    json_array_foreach(at(record, "results"), i, r) {
        if (strcmp(command, "verify") == 0)
            ok = ok && add_verdict(h, run, r);
        else if (strcmp(command, "bench") == 0)
            ok = ok && add_case(h, run, r);
        else if (strcmp(command, "mem") == 0)
            ok = ok && add_mode(h, run, record, r);
    }
    return ok;
}

enum assay_history_added assay_history_add(struct assay_history *h, const json_t *record, char *err,
                                           size_t err_size) {
    const char *fault = assay_history_fault(record);
    const bool own = !h->in_transaction;
    int64_t run;

    if (fault != NULL) {
        assay_history_error(h, err, err_size, fault);
        return ASSAY_HISTORY_FAILED;
    }
    if (own && !assay_history_begin(h, err, err_size))
        return ASSAY_HISTORY_FAILED;
    if (!get(h, &run, 0, "SELECT id FROM run WHERE uuid = ?", "t", text(record, "uuid"))) {
        assay_history_sql_error(h, err, err_size);
        goto failed;
    }
    if (run != 0) {
        if (own)
            assay_history_rollback(h);
        return ASSAY_HISTORY_KNOWN;
    }
    if (!add_run(h, record, &run) || !add_results(h, run, record)) {
        assay_history_sql_error(h, err, err_size);
        goto failed;
    }
    if (!own || assay_history_commit(h, err, err_size))
        return ASSAY_HISTORY_ADDED;
    return ASSAY_HISTORY_FAILED;
failed:
    if (own)
        assay_history_rollback(h);
    return ASSAY_HISTORY_FAILED;
}
