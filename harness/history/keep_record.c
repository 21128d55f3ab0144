#include "keep_record.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "harness/record.h"

bool assay_record_wanted(const struct assay_args *args) {
    return assay_args_get(args, "json") != NULL || assay_args_flag(args, "record");
}

/* The default path's folder is part of a checkout and of nothing else. */
static bool make_folder(const struct assay_args *args, const char *path) {
    if (strcmp(path, ASSAY_HISTORY_DEFAULT) != 0 || mkdir("reports", 0777) == 0 || errno == EEXIST)
        return true;
    assay_usage_error(args->command, "reports: %s", strerror(errno));
    return false;
}

static struct assay_history *open_history(const struct assay_args *args) {
    const char *path = assay_args_get(args, "db");
    struct assay_history *h;
    char err[512];

    if (!make_folder(args, path))
        return NULL;
    h = assay_history_open(path, ASSAY_HISTORY_WRITE, err, sizeof err);
    if (h == NULL)
        assay_usage_error(args->command, "%s", err);
    return h;
}

bool assay_record_check(const struct assay_args *args) {
    struct assay_history *h;

    if (!assay_args_flag(args, "record")) {
        if (strcmp(assay_args_get(args, "db"), ASSAY_HISTORY_DEFAULT) == 0)
            return true;
        assay_usage_error(args->command, "option '--db' goes with '--record'");
        return false;
    }
    h = open_history(args);
    assay_history_close(h);
    return h != NULL;
}

static bool add(const struct assay_args *args, const json_t *record) {
    struct assay_history *h = open_history(args);
    char err[512];
    bool ok = h != NULL;

    if (ok && assay_history_add(h, record, err, sizeof err) == ASSAY_HISTORY_FAILED) {
        assay_usage_error(args->command, "%s", err);
        ok = false;
    }
    assay_history_close(h);
    return ok;
}

bool assay_record_keep(const struct assay_args *args, json_t *record) {
    const char *path = assay_args_get(args, "json");
    bool ok = true;

    if (!assay_record_finish(record)) {
        assay_usage_error(args->command, "out of memory for the record");
        return false;
    }
    if (path != NULL)
        ok = assay_record_write(record, path);
    if (assay_args_flag(args, "record"))
        ok = add(args, record) && ok;
    return ok;
}
