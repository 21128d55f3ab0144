/* The tables of the history, and how older databases get them. */
#include <stdio.h>

#include "internal.h"

/* What the record of a row of `memory` says of a figure: rows of a run have ids in the order of its
 * results, without gaps. */
#define FROM_RECORD(name)                                                                          \
    "(SELECT json_extract(json, '$.results[' ||"                                                   \
    "   (memory.id - (SELECT min(id) FROM memory AS first WHERE first.run = memory.run)) ||"       \
    "   CASE extrapolated WHEN 0 THEN '].measured.' ELSE '].extrapolation.' END || '" name "')"    \
    " FROM record WHERE run = memory.run AND json_valid(json))"

/* Step i brings a database from schema i (PRAGMA user_version) to i + 1. A step that was published
 * is never edited: databases that went through it would differ from what the code expects. */
static const char *const steps[ASSAY_HISTORY_SCHEMA] = {
    "CREATE TABLE machine ("
    "  id INTEGER PRIMARY KEY, cpu TEXT NOT NULL, features TEXT NOT NULL, isa TEXT NOT NULL,"
    "  cores INTEGER NOT NULL, memory_bytes INTEGER NOT NULL, l1d_bytes INTEGER NOT NULL,"
    "  l2_bytes INTEGER NOT NULL, l3_bytes INTEGER NOT NULL, os TEXT NOT NULL,"
    "  governor TEXT NOT NULL,"
    "  UNIQUE (cpu, features, isa, cores, memory_bytes, l1d_bytes, l2_bytes, l3_bytes, os,"
    "          governor));"
    "CREATE TABLE run ("
    "  id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, command TEXT NOT NULL,"
    "  arguments TEXT NOT NULL, commit_id TEXT NOT NULL, commit_date TEXT NOT NULL,"
    "  branch TEXT NOT NULL, dirty INTEGER NOT NULL, version TEXT NOT NULL,"
    "  compiler TEXT NOT NULL, flags TEXT NOT NULL, started TEXT NOT NULL,"
    "  finished TEXT NOT NULL, threads INTEGER NOT NULL, seed INTEGER NOT NULL,"
    "  load_before REAL NOT NULL, machine INTEGER NOT NULL REFERENCES machine,"
    "  passed INTEGER NOT NULL, failed INTEGER NOT NULL, skipped INTEGER NOT NULL,"
    "  not_run INTEGER NOT NULL, results INTEGER NOT NULL);"
    "CREATE INDEX run_commit ON run (commit_id);"
    /* Apart, since reports read runs and not whole records. */
    "CREATE TABLE record ("
    "  run INTEGER PRIMARY KEY REFERENCES run ON DELETE CASCADE, json TEXT NOT NULL);"
    "CREATE TABLE verdict ("
    "  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE, type TEXT NOT NULL,"
    "  backend TEXT NOT NULL, variant TEXT NOT NULL, isa TEXT NOT NULL, op TEXT NOT NULL,"
    "  passed INTEGER NOT NULL, failed INTEGER NOT NULL, skipped INTEGER NOT NULL,"
    "  not_run INTEGER NOT NULL, elements INTEGER NOT NULL, worst REAL,"
    "  PRIMARY KEY (run, type, backend, variant, isa, op)) WITHOUT ROWID;"
    "CREATE TABLE timing ("
    "  id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,"
    "  matrix TEXT NOT NULL, type TEXT NOT NULL, m INTEGER NOT NULL, n INTEGER NOT NULL,"
    "  k INTEGER NOT NULL, threads INTEGER NOT NULL, weight_bytes INTEGER NOT NULL,"
    "  contender TEXT NOT NULL, backend TEXT NOT NULL, variant TEXT NOT NULL,"
    "  isa TEXT NOT NULL, kernel TEXT NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL,"
    "  resident_bytes INTEGER NOT NULL, source TEXT NOT NULL, median_ns REAL, mad_ns REAL,"
    "  q1_ns REAL, q3_ns REAL, speedup REAL, speedup_low REAL, speedup_high REAL,"
    "  roof_ns REAL, roof_bandwidth REAL, roof_peak REAL, roof_arithmetic TEXT NOT NULL);"
    "CREATE INDEX timing_run ON timing (run);"
    "CREATE TABLE sample ("
    "  timing INTEGER NOT NULL REFERENCES timing ON DELETE CASCADE, round INTEGER NOT NULL,"
    "  ns REAL NOT NULL, PRIMARY KEY (timing, round)) WITHOUT ROWID;"
    "CREATE TABLE memory ("
    "  id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,"
    "  model TEXT NOT NULL, file_type TEXT NOT NULL, mode TEXT NOT NULL,"
    "  outcome TEXT NOT NULL, reason TEXT NOT NULL, layers INTEGER NOT NULL,"
    "  layers_total INTEGER NOT NULL, extrapolated INTEGER NOT NULL, disk_bytes REAL,"
    "  peak_bytes REAL, anon_bytes REAL, file_bytes REAL, load_s REAL, pass_s REAL);"
    "CREATE INDEX memory_run ON memory (run);",
    "ALTER TABLE memory ADD COLUMN transient_bytes REAL;"
    "ALTER TABLE memory ADD COLUMN steady_s REAL;"
    "UPDATE memory SET transient_bytes = " FROM_RECORD(
        "transient_bytes") ", steady_s = " FROM_RECORD("steady_s") ";",
};

int assay_history_schema(struct assay_history *h) {
    sqlite3_stmt *s = NULL;
    int version = -1;

    if (sqlite3_prepare_v2(h->db, "PRAGMA user_version", -1, &s, NULL) == SQLITE_OK &&
        sqlite3_step(s) == SQLITE_ROW)
        version = sqlite3_column_int(s, 0);
    sqlite3_finalize(s);
    return version;
}

bool assay_history_migrate(struct assay_history *h, char *err, size_t err_size) {
    int version = assay_history_schema(h);
    char text[128];

    if (version == ASSAY_HISTORY_SCHEMA)
        return true;
    /* Locked before the version is read again: two programs may both have found the file new. */
    if (version >= 0 && !assay_history_exec(h, "BEGIN IMMEDIATE", err, err_size))
        return false;
    version = assay_history_schema(h);
    if (version < 0)
        return assay_history_sql_error(h, err, err_size);
    if (version > ASSAY_HISTORY_SCHEMA) {
        snprintf(text, sizeof text, "has schema %d, this assay knows up to %d: use a newer one",
                 version, ASSAY_HISTORY_SCHEMA);
        assay_history_exec(h, "ROLLBACK", NULL, 0);
        return assay_history_error(h, err, err_size, text);
    }
    for (; version < ASSAY_HISTORY_SCHEMA; version++) {
        snprintf(text, sizeof text, "PRAGMA user_version = %d", version + 1);
        if (!assay_history_exec(h, steps[version], err, err_size) ||
            !assay_history_exec(h, text, err, err_size)) {
            assay_history_exec(h, "ROLLBACK", NULL, 0);
            return false;
        }
    }
    return assay_history_exec(h, "COMMIT", err, err_size);
}
