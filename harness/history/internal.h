/* Shared by the files of the history. */
#ifndef ASSAY_HARNESS_HISTORY_INTERNAL_H
#define ASSAY_HARNESS_HISTORY_INTERNAL_H

#include <sqlite3.h>

#include "history.h"

struct assay_history {
    sqlite3 *db;
    char *path;
    bool in_transaction; /* of the caller */
};

/* Brings an open database to the newest schema, or says why it can't be used. */
bool assay_history_migrate(struct assay_history *h, char *err, size_t err_size);
/* The schema that the database has, and the newest; -1 if it can't be read. */
int assay_history_schema(struct assay_history *h);
#define ASSAY_HISTORY_SCHEMA 2

/* Writes "PATH: why" to err, in one line, and returns false. */
bool assay_history_error(const struct assay_history *h, char *err, size_t err_size,
                         const char *why);
/* The same with SQLite's own words. */
bool assay_history_sql_error(const struct assay_history *h, char *err, size_t err_size);

bool assay_history_exec(struct assay_history *h, const char *sql, char *err, size_t err_size);

#endif
