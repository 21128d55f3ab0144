/* Reading records: the checks that let the sections rely on what they read. */
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "datasets/text.h"
#include "impl/gemm_quant.h"
#include "record.h"
#include "report.h"

static bool fail(char *err, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static bool fail(char *err, size_t size, const char *fmt, ...) {
    /* File names and the parser's messages may hold anything; the error is one line. */
    char message[1024];
    struct assay_text t = assay_text_init(err, size);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    assay_text_printable(&t, message, strlen(message));
    assay_text_mark_cut(&t);
    return false;
}

static const json_t *find(const json_t *j, const char *path) {
    while (j != NULL && *path != '\0') {
        char key[64];
        size_t len = strcspn(path, ".");
        if (len >= sizeof key)
            return NULL;
        memcpy(key, path, len);
        key[len] = '\0';
        j = json_object_get(j, key);
        path += len + (path[len] == '.');
    }
    return j;
}

const char *assay_report_str(const json_t *j, const char *path, const char *fallback) {
    const char *s = json_string_value(find(j, path));
    return s != NULL ? s : fallback;
}

double assay_report_num(const json_t *j, const char *path) {
    return assay_json_real_value(find(j, path));
}

bool assay_report_is_peer(const json_t *result) {
    const struct assay_backend *b = assay_backend_by_name(assay_report_str(result, "backend", ""));
    return b != NULL && assay_backend_is_peer(b);
}

const json_t *assay_report_first(const struct assay_record *records, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(records[i].command, "load") != 0)
            return records[i].json;
    return records[0].json;
}

bool assay_report_read(const char *path, struct assay_record *rec, char *err, size_t err_size) {
    json_error_t e;
    json_t *j = json_load_file(path, 0, &e);

    *rec = (struct assay_record){.path = path};
    if (j == NULL && e.line < 0)
        return fail(err, err_size, "%s", e.text); /* names the file itself */
    if (j == NULL)
        return fail(err, err_size, "%s: line %d, column %d: %s", path, e.line, e.column, e.text);

    const json_t *schema = json_object_get(j, "schema");
    const json_t *results = json_object_get(j, "results");
    const char *command = assay_report_str(j, "command", "");
    bool ok = true;
    if (schema == NULL && json_is_array(results) && json_array_size(results) > 0 &&
        json_is_array(json_object_get(json_array_get(results, 0), "times"))) {
        command = "load"; /* hyperfine --export-json */
    } else if (!json_is_integer(schema)) {
        ok = fail(err, err_size, "%s: not an assay record (no \"schema\" number)", path);
    } else if (json_integer_value(schema) != ASSAY_RECORD_SCHEMA) {
        ok = fail(err, err_size, "%s: record of schema %lld; this assay reads schema %d", path,
                  (long long)json_integer_value(schema), ASSAY_RECORD_SCHEMA);
    } else if (strcmp(command, "verify") != 0 && strcmp(command, "bench") != 0 &&
               strcmp(command, "mem") != 0) {
        ok = fail(err, err_size,
                  "%s: record of command \"%.40s\"; a report is made of verify, bench "
                  "and mem",
                  path, command);
    } else if (!json_is_array(results)) {
        ok = fail(err, err_size, "%s: record without \"results\" (an array)", path);
    }
    if (ok) {
        size_t i;
        const json_t *item;
        json_array_foreach(results, i, item) if (!json_is_object(item)) {
            ok = fail(err, err_size, "%s: results[%zu] is not an object", path, i);
            break;
        }
    }
    if (!ok) {
        json_decref(j);
        return false;
    }
    rec->json = j;
    rec->command = command;
    return true;
}
