/* Kernels from outside on the command line: --plugin FILE and --ggml DIR.
 *
 * A library that is loaded runs its constructors, and these can crash or hang, so the program
 * itself never loads one: a child process reads what the plugin says of itself, and the workers
 * that call its kernels load it again. */
#ifndef ASSAY_HARNESS_PLUGIN_H
#define ASSAY_HARNESS_PLUGIN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "impl/backend.h"
#include "options.h"

/* Rows for a command's table. */
#define ASSAY_PLUGIN_OPTION                                                                        \
    {                                                                                              \
        "plugin", 0, "FILE,...", NULL,                                                             \
            "kernels from shared objects (impl/plugin.h); without --backend, they alone are "      \
            "selected"                                                                             \
    }
#define ASSAY_GGML_OPTION                                                                          \
    { "ggml", 0, "DIR", NULL, "folder of llama.cpp's libraries for the backend ggml" }

struct assay_plugins {
    const struct assay_backend *backends[ASSAY_MAX_BACKENDS]; /* registered by this call */
    size_t n, failed;
    bool crashed; /* one of the failed ones died or hung */
};

/* Takes --plugin and --ggml, as far as the command has them. A plugin that can't be used is told on
 * standard error, in one line, and counted: the others go on. Returns false, after an error line,
 * where the command can't. */
bool assay_plugins_from_args(const struct assay_args *args, struct assay_plugins *plugins);

/* The exit code of a command that would end with `code`: a plugin that could not be used is not
 * success. */
int assay_plugins_exit(const struct assay_plugins *plugins, int code);

/* Reads a plugin in a child process and registers a backend for it. NULL with a reason in err;
 * *crashed says whether the child died or was killed after timeout_s. */
const struct assay_backend *assay_plugin_add(const char *path, int timeout_s, bool *crashed,
                                             char *err, size_t err_size);
/* The same in this process, for workers that hold nothing to lose. */
const struct assay_backend *assay_plugin_add_here(const char *path, char *err, size_t err_size);

/* The option and its value that make a backend known to a command, {"plugin", FILE} or {"ggml",
 * DIR}; false if it needs none. Command lines that reproduce a finding carry it. */
bool assay_backend_origin(const struct assay_backend *b, const char **option, const char **value);

/* What became of every --plugin so far, for records (reports/RECORD.md); NULL if there was none. */
json_t *assay_plugins_json(void);

#endif
