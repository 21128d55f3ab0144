/* Where commands leave their records: --json, --record and --db. */
#ifndef ASSAY_HARNESS_HISTORY_KEEP_RECORD_H
#define ASSAY_HARNESS_HISTORY_KEEP_RECORD_H

#include <jansson.h>
#include <stdbool.h>

#include "harness/options.h"
#include "history.h"

/* Rows for a command's table, beside its "json". */
#define ASSAY_RECORD_OPTIONS                                                                       \
    {"record", 0, NULL, NULL, "add the record to the history ('assay history', 'assay report')"},  \
    {                                                                                              \
        "db", 0, "FILE", ASSAY_HISTORY_DEFAULT, "the history's database"                           \
    }

/* True if the options ask for a record at all. */
bool assay_record_wanted(const struct assay_args *args);

/* Before a run: false, after a one-line error, if --record could not be followed after it. */
bool assay_record_check(const struct assay_args *args);

/* After it: writes the record to --json and adds it to the history, as asked. False after a
 * one-line error; the second is tried even if the first failed. */
bool assay_record_keep(const struct assay_args *args, json_t *record);

#endif
