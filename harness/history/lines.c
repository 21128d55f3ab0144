#include "lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/text.h"
#include "history.h"

struct reader {
    const char *path;
    bool (*each)(json_t *record, void *user, char *err, size_t err_size);
    void *user;
    char *err;
    size_t err_size;
};

static bool fail(const struct reader *r, size_t line, const char *why) {
    struct assay_text t = assay_text_init(r->err, r->err_size);

    assay_text_printable(&t, r->path, strlen(r->path));
    assay_text_printf(&t, ":%zu: ", line);
    assay_text_printable(&t, why, strlen(why));
    assay_text_mark_cut(&t);
    return false;
}

static bool take(const struct reader *r, json_t *record, size_t line) {
    const char *fault = assay_history_fault(record);
    char why[384];

    if (fault != NULL)
        return fail(r, line, fault);
    return r->each(record, r->user, why, sizeof why) || fail(r, line, why);
}

static bool is_blank(const char *s) { return s[strspn(s, " \t\r\n")] == '\0'; }

/* A record of --json spreads over lines, and its first one is a brace alone. */
static bool read_whole(const struct reader *r, FILE *f, const char *first) {
    size_t size = strlen(first), capacity = size + 65536;
    char *text = malloc(capacity + 1);
    json_error_t e;
    json_t *record;
    bool ok;

    if (text != NULL)
        memcpy(text, first, size + 1);
    while (text != NULL) {
        size_t got = fread(text + size, 1, capacity - size, f);
        char *more;

        size += got;
        if (got == 0)
            break;
        if (size < capacity)
            continue;
        more = realloc(text, 2 * capacity + 1);
        if (more == NULL)
            free(text);
        text = more;
        capacity *= 2;
    }
    if (text == NULL)
        return fail(r, 1, "out of memory");
    record = json_loadb(text, size, 0, &e);
    free(text);
    if (record == NULL)
        return fail(r, e.line > 0 ? (size_t)e.line : 1, e.text);
    ok = take(r, record, 1);
    json_decref(record);
    return ok;
}

/* Many times the record of the longest run. */
#define LONGEST_LINE ((size_t)1 << 30)

/* Reads a line into *line, of *size bytes, as getline does, but no endless one. False at the end of
 * the file, or with *problem set. */
static bool read_line(FILE *f, char **line, size_t *size, const char **problem) {
    size_t n = 0;
    int c = EOF;

    while (*problem == NULL && (c = getc(f)) != EOF) {
        if (n + 1 >= *size) {
            char *more = n < LONGEST_LINE ? realloc(*line, 2 * *size + 256) : NULL;
            if (more == NULL) {
                *problem = n < LONGEST_LINE ? "out of memory" : "a line of more than a gigabyte";
                break;
            }
            *line = more;
            *size = 2 * *size + 256;
        }
        (*line)[n++] = (char)c;
        (*line)[n] = '\0';
        if (c == '\0')
            *problem = "a zero byte: no text";
        if (c == '\n')
            break;
    }
    return n > 0 && *problem == NULL;
}

static bool read_lines(const struct reader *r, FILE *f) {
    const char *problem = NULL;
    char *line = NULL;
    size_t size = 0, n = 0;
    bool ok = true;

    while (ok && read_line(f, &line, &size, &problem)) {
        json_error_t e;
        json_t *record;

        n++;
        if (is_blank(line))
            continue;
        if (n == 1 && line[0] == '{' && is_blank(line + 1)) {
            ok = read_whole(r, f, line);
            break;
        }
        record = json_loads(line, 0, &e);
        ok = record != NULL ? take(r, record, n) : fail(r, n, e.text);
        json_decref(record);
    }
    free(line);
    if (ok && problem != NULL)
        ok = fail(r, n + 1, problem);
    if (ok && ferror(f))
        return fail(r, n, strerror(errno));
    return ok;
}

bool assay_records_read(const char *path,
                        bool (*each)(json_t *record, void *user, char *err, size_t err_size),
                        void *user, char *err, size_t err_size) {
    const bool standard = strcmp(path, "-") == 0;
    const struct reader r = {standard ? "standard input" : path, each, user, err, err_size};
    FILE *f = standard ? stdin : fopen(path, "r");
    bool ok;

    if (f == NULL) {
        snprintf(err, err_size, "%s: %s", path, strerror(errno));
        return false;
    }
    ok = read_lines(&r, f);
    if (!standard)
        fclose(f);
    return ok;
}

bool assay_record_write_line(FILE *f, const json_t *record) {
    return json_dumpf(record, f, JSON_COMPACT | JSON_REAL_PRECISION(17)) == 0 &&
           fputc('\n', f) != EOF;
}
