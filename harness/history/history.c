#include "history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/text.h"
#include "internal.h"

/* What one writer may have to wait for others. */
#define BUSY_TIMEOUT_MS 30000

bool assay_history_error(const struct assay_history *h, char *err, size_t err_size,
                         const char *why) {
    if (err == NULL)
        return false;
    struct assay_text t = assay_text_init(err, err_size);
    assay_text_printable(&t, h->path, strlen(h->path));
    assay_text_add(&t, ": ", 2);
    assay_text_printable(&t, why, strlen(why));
    assay_text_mark_cut(&t);
    return false;
}

bool assay_history_sql_error(const struct assay_history *h, char *err, size_t err_size) {
    return assay_history_error(h, err, err_size, sqlite3_errmsg(h->db));
}

bool assay_history_exec(struct assay_history *h, const char *sql, char *err, size_t err_size) {
    if (sqlite3_exec(h->db, sql, NULL, NULL, NULL) == SQLITE_OK)
        return true;
    return assay_history_sql_error(h, err, err_size);
}

/* A read-only database may not be migrated, so its schema must be the newest. */
static bool check_schema(struct assay_history *h, char *err, size_t err_size) {
    int version = assay_history_schema(h);
    char text[128];

    if (version == ASSAY_HISTORY_SCHEMA)
        return true;
    if (version < 0)
        return assay_history_sql_error(h, err, err_size);
    if (version == 0)
        return assay_history_error(h, err, err_size, "is no history of assay");
    snprintf(text, sizeof text, "has schema %d, this assay reads %d%s", version,
             ASSAY_HISTORY_SCHEMA,
             version < ASSAY_HISTORY_SCHEMA ? "; any run with --record migrates it"
                                            : ": use a newer one");
    return assay_history_error(h, err, err_size, text);
}

/* A writer that was killed amid a commit leaves a journal, which whoever comes next must roll back,
 * and SQLite lets no connection do that which was opened for reading. */
static bool needs_rollback(sqlite3 *db) {
    sqlite3_exec(db, "PRAGMA schema_version", NULL, NULL, NULL);
    return sqlite3_extended_errcode(db) == SQLITE_READONLY_ROLLBACK;
}

static int open_database(const char *path, enum assay_history_mode mode, sqlite3 **db) {
    if (mode == ASSAY_HISTORY_WRITE)
        return sqlite3_open_v2(path, db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    int code = sqlite3_open_v2(path, db, SQLITE_OPEN_READONLY, NULL);
    if (code == SQLITE_OK && needs_rollback(*db)) {
        sqlite3_close(*db);
        code = sqlite3_open_v2(path, db, SQLITE_OPEN_READWRITE, NULL);
    }
    return code;
}

struct assay_history *assay_history_open(const char *path, enum assay_history_mode mode, char *err,
                                         size_t err_size) {
    struct assay_history *h = calloc(1, sizeof *h);
    bool ok;

    if (h == NULL || (h->path = strdup(path)) == NULL) {
        snprintf(err, err_size, "%s: out of memory", path);
        free(h);
        return NULL;
    }
    if (open_database(path, mode, &h->db) != SQLITE_OK) {
        assay_history_error(h, err, err_size,
                            h->db != NULL ? sqlite3_errmsg(h->db) : "out of memory");
        assay_history_close(h);
        return NULL;
    }
    sqlite3_busy_timeout(h->db, BUSY_TIMEOUT_MS);
    ok = assay_history_exec(h, "PRAGMA foreign_keys = ON", err, err_size) &&
         (mode == ASSAY_HISTORY_WRITE ? assay_history_migrate(h, err, err_size)
                                      : check_schema(h, err, err_size));
    if (!ok) {
        assay_history_close(h);
        return NULL;
    }
    return h;
}

void assay_history_close(struct assay_history *h) {
    if (h == NULL)
        return;
    sqlite3_close(h->db); /* rolls back what was not committed */
    free(h->path);
    free(h);
}

/* IMMEDIATE: a transaction that begins as a reader and then writes fails at once, without waiting,
 * if another writer came between. */
bool assay_history_begin(struct assay_history *h, char *err, size_t err_size) {
    h->in_transaction = assay_history_exec(h, "BEGIN IMMEDIATE", err, err_size);
    return h->in_transaction;
}

bool assay_history_commit(struct assay_history *h, char *err, size_t err_size) {
    if (!assay_history_exec(h, "COMMIT", err, err_size)) {
        assay_history_rollback(h);
        return false;
    }
    h->in_transaction = false;
    return true;
}

void assay_history_rollback(struct assay_history *h) {
    assay_history_exec(h, "ROLLBACK", NULL, 0);
    h->in_transaction = false;
}
