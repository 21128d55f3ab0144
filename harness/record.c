#include "record.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __APPLE__
#include <sys/random.h> /* getentropy */
#endif

#include "env.h"
#include "no_memory.h"
#include "plugin.h"

/* The end is told by the clock that never goes back: a record does not finish before it started. */
static time_t program_started;
static struct timespec steady_start;

__attribute__((constructor)) static void remember_start(void) {
    program_started = time(NULL);
    clock_gettime(CLOCK_MONOTONIC, &steady_start);
}

static time_t program_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return program_started + (now.tv_sec - steady_start.tv_sec);
}

static json_t *utc(time_t t) {
    char text[32];
    struct tm tm;

    gmtime_r(&t, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_string(text);
}

static json_t *arguments(int argc, char **argv) {
    json_t *list = json_array();

    for (int i = 1; i < argc; i++) {
        json_t *s = json_string(argv[i]);
        /* A file name need not be UTF-8; JSON strings must be. */
        if (s == NULL)
            s = json_string("(not UTF-8)");
        json_array_append_new(list, s);
    }
    return list;
}

static json_t *build(const struct assay_env *e) {
    return json_pack("{ss ss ss ss sb ss ss}", "version", e->version, "commit", e->commit,
                     "commit_date", e->commit_date, "branch", e->branch, "dirty", (int)e->dirty,
                     "compiler", e->compiler, "flags", e->cflags);
}

static json_t *machine(const struct assay_env *e) {
    return json_pack("{ss ss ss si sI sI sI sI ss ss}", "cpu", e->cpu_model, "features",
                     e->cpu_features, "isa", e->isa, "cores", e->cores, "memory_bytes",
                     (json_int_t)e->memory_bytes, "l1d_bytes", (json_int_t)e->l1d_bytes, "l2_bytes",
                     (json_int_t)e->l2_bytes, "l3_bytes", (json_int_t)e->l3_bytes, "os", e->os,
                     "governor", e->governor);
}

/* A random UUID (RFC 4122, version 4). */
static json_t *uuid_new(void) {
    uint8_t b[16];

    if (getentropy(b, sizeof b) != 0)
        return NULL;
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    return json_sprintf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                        b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11],
                        b[12], b[13], b[14], b[15]);
}

json_t *assay_record_new(const char *command, int argc, char **argv, int threads, uint64_t seed) {
    const struct assay_env *e = assay_env_get();

    /* json_pack steals the nested values and fails if any is NULL. */
    return json_pack("{si so ss so so so si sI so so*}", "schema", ASSAY_RECORD_SCHEMA, "uuid",
                     uuid_new(), "command", command, "arguments", arguments(argc, argv), "assay",
                     build(e), "machine", machine(e), "threads", threads, "seed", (json_int_t)seed,
                     "started", utc(program_started), "plugins", assay_plugins_json());
}

static bool write_failed(const char *path, const char *why) {
    fputs("assay: ", stderr);
    for (const char *c = path; *c != '\0'; c++) /* a file name may hold line ends */
        fputc((unsigned char)*c < ' ' || *c == 127 ? '?' : *c, stderr);
    fprintf(stderr, ": can't write the record: %s\n", why);
    return false;
}

/* Two spaces a level would double the size of a record with thousands of results. */
#define DUMP_FLAGS (JSON_INDENT(1) | JSON_REAL_PRECISION(17))

static bool dump(json_t *record, FILE *f) {
    bool ok = json_dumpf(record, f, DUMP_FLAGS) == 0 && fputc('\n', f) != EOF && fflush(f) == 0;
    return fclose(f) == 0 && ok;
}

/* A rename would put a file in the place of a device. */
static bool write_straight(json_t *record, const char *path) {
    FILE *f = fopen(path, "we");
    return (f != NULL && dump(record, f)) || write_failed(path, strerror(errno));
}

static bool write_by_rename(json_t *record, const char *path) {
    char *target = realpath(path, NULL); /* a link stays one */
    const char *to = target != NULL ? target : path;
    size_t size = strlen(to) + 40;
    char *part = malloc(size);
    FILE *f;
    bool ok;

    if (part == NULL) {
        free(target);
        return write_failed(path, "out of memory");
    }
    /* Two writers of one path must not write into one file: the last to rename wins whole. */
    snprintf(part, size, "%s.%ld.part", to, (long)getpid());
    f = fopen(part, "we");
    ok = f != NULL && dump(record, f) && rename(part, to) == 0;
    if (!ok) {
        int error = errno;
        if (f != NULL)
            unlink(part);
        errno = error;
    }
    free(part);
    free(target);
    return ok || write_failed(path, strerror(errno));
}

bool assay_record_finish(json_t *record) {
    return json_object_get(record, "finished") != NULL ||
           json_object_set_new(record, "finished", utc(program_now())) == 0;
}

bool assay_record_write(json_t *record, const char *path) {
    struct stat st;
    bool ok;

    if (assay_no_memory_noted()) /* somewhere in it */
        return write_failed(path, "out of memory");
    if (!assay_record_finish(record))
        return write_failed(path, "out of memory");
    if (strcmp(path, "-") == 0) {
        ok = json_dumpf(record, stdout, DUMP_FLAGS) == 0 && putchar('\n') != EOF &&
             fflush(stdout) == 0;
        return ok || write_failed("standard output", strerror(errno));
    }
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return write_straight(record, path);
    return write_by_rename(record, path);
}

void assay_record_partial(json_t *record, const char *why) {
    json_t *text = json_string(why);
    /* A file name need not be UTF-8; JSON strings must be. */
    json_object_set_new(record, "partial",
                        text != NULL ? text : json_string("the model file changed"));
}

json_t *assay_json_real(double v) {
    if (isnan(v))
        return json_string("nan");
    if (isinf(v))
        return json_string(v > 0 ? "inf" : "-inf");
    return json_real(v);
}

double assay_json_real_value(const json_t *j) {
    const char *s = json_string_value(j);

    if (json_is_number(j))
        return json_number_value(j);
    if (s != NULL && strcmp(s, "inf") == 0)
        return INFINITY;
    if (s != NULL && strcmp(s, "-inf") == 0)
        return -INFINITY;
    return NAN;
}
