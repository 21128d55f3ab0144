#include "plugin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "impl/ggml/ggml.h"
#include "impl/plugin/loader.h"
#include "isolate.h"

enum { READ_TIMEOUT_S = 10 }; /* most that reading may take; --timeout may be less */

/* ---- Reading in a child ---------------------------------------------------------------------- */

/* In memory shared with the child. */
struct reading {
    struct assay_plugin_info info;
    char err[256];
};

struct read_job {
    const char *path;
    struct reading *out;
};

static json_t *read_work(void *user) {
    const struct read_job *job = user;
    return json_boolean(
        assay_plugin_read(job->path, &job->out->info, job->out->err, sizeof job->out->err));
}

static const struct assay_backend *add(const char *path, const struct assay_plugin_info *info,
                                       char *err, size_t err_size) {
    const struct assay_backend *b;

    if (strcmp(info->name, "all") == 0 || assay_backend_by_name(info->name) != NULL) {
        snprintf(err, err_size, "its name '%s' is taken", info->name);
        return NULL;
    }
    if (assay_backend_count() == ASSAY_MAX_BACKENDS) {
        snprintf(err, err_size, "there are %d backends already, the most there can be",
                 ASSAY_MAX_BACKENDS);
        return NULL;
    }
    b = assay_plugin_backend_new(path, info);
    if (b == NULL)
        snprintf(err, err_size, "out of memory");
    else
        assay_backend_register(b);
    return b;
}

const struct assay_backend *assay_plugin_add_here(const char *path, char *err, size_t err_size) {
    struct assay_plugin_info info;
    return assay_plugin_read(path, &info, err, err_size) ? add(path, &info, err, err_size) : NULL;
}

const struct assay_backend *assay_plugin_add(const char *path, int timeout_s, bool *crashed,
                                             char *err, size_t err_size) {
    struct reading *out =
        mmap(NULL, sizeof *out, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct read_job job = {path, out};
    const struct assay_backend *b = NULL;
    const char *crash;
    json_t *result;

    *crashed = false;
    if (out == MAP_FAILED) {
        snprintf(err, err_size, "no memory to read it: %s", strerror(errno));
        return NULL;
    }
    result = assay_isolate_once(read_work, &job, timeout_s);
    crash = json_string_value(json_object_get(result, "crash"));
    if (crash != NULL) {
        *crashed = true;
        snprintf(err, err_size, "the process that loaded it ended with %s", crash);
    } else if (json_is_true(result)) {
        b = add(path, &out->info, err, err_size);
    } else {
        snprintf(err, err_size, "%s", result != NULL ? out->err : "can't start a process");
    }
    json_decref(result);
    munmap(out, sizeof *out);
    return b;
}

/* ---- The command line ------------------------------------------------------------------------ */

static json_t *journal; /* what became of each plugin */

static void note(const char *path, const struct assay_backend *b, const char *err) {
    json_t *row = json_object(), *text = json_string(path);

    if (journal == NULL)
        journal = json_array();
    /* A file name need not be UTF-8; JSON strings must be. */
    json_object_set_new(row, "path", text != NULL ? text : json_string("(not UTF-8)"));
    if (b != NULL) {
        json_object_set_new(row, "name", json_string(assay_backend_name(b)));
        json_object_set_new(row, "description", json_string(assay_backend_summary(b)));
    } else {
        json_object_set_new(row, "error", json_string(err));
    }
    json_array_append_new(journal, row);
}

json_t *assay_plugins_json(void) { return json_incref(journal); }

struct addition {
    const struct assay_args *args;
    struct assay_plugins *plugins;
    unsigned long long timeout_s;
};

static bool add_item(const char *path, void *user) {
    struct addition *a = user;
    struct assay_plugins *p = a->plugins;
    const struct assay_backend *b;
    bool crashed;
    char err[256];

    b = assay_plugin_add(path, (int)a->timeout_s, &crashed, err, sizeof err);
    note(path, b, err);
    if (b != NULL) {
        p->backends[p->n++] = b;
        return true;
    }
    p->failed++;
    p->crashed = p->crashed || crashed;
    assay_usage_error(a->args->command, "plugin %s: %s", path, err);
    return true;
}

static bool take_ggml(const struct assay_args *args) {
    const char *dir = assay_args_get(args, "ggml");
    char path[4096];

    if (dir == NULL)
        return true;
    snprintf(path, sizeof path, "%s/libggml-base.so", dir);
    if (access(path, R_OK) != 0) {
        assay_usage_error(args->command, "option '--ggml': %s: %s", path, strerror(errno));
        return false;
    }
    assay_ggml_set_dir(dir);
    return true;
}

bool assay_plugins_from_args(const struct assay_args *args, struct assay_plugins *plugins) {
    struct addition a = {args, plugins, READ_TIMEOUT_S};

    *plugins = (struct assay_plugins){.n = 0};
    if (!assay_args_u64(args, "timeout", &a.timeout_s, 1, 86400))
        return false;
    if (a.timeout_s > READ_TIMEOUT_S)
        a.timeout_s = READ_TIMEOUT_S;
    return take_ggml(args) && assay_args_list(args, "plugin", add_item, &a);
}

int assay_plugins_exit(const struct assay_plugins *plugins, int code) {
    if (code != ASSAY_EXIT_OK || plugins->failed == 0)
        return code;
    return plugins->crashed ? ASSAY_EXIT_MISMATCH : ASSAY_EXIT_USAGE;
}

bool assay_backend_origin(const struct assay_backend *b, const char **option, const char **value) {
    *option = "plugin";
    *value = assay_plugin_backend_path(b);
    if (*value == NULL && b == &assay_backend_ggml) {
        *option = "ggml";
        *value = assay_ggml_dir();
    }
    return *value != NULL;
}
