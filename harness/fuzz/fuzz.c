#include "fuzz.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fuzz_broken(const char *file, int line, const char *condition, const char *fmt, ...) {
    va_list ap;

    /* A target may have put a stream of its own in stderr's place. */
    FILE *out = fdopen(STDERR_FILENO, "w");
    if (out != NULL) {
        fprintf(out, "%s:%d: invariant broken: %s\n  ", file, line, condition);
        va_start(ap, fmt);
        vfprintf(out, fmt, ap);
        va_end(ap);
        fputc('\n', out);
        fflush(out);
    }
    abort();
}

uint8_t *fuzz_exact_copy(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    FUZZ_REQUIRE(copy != NULL, "no memory for %zu bytes of input", size);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

void fuzz_take(struct fuzz_bytes *b, void *out, size_t n) {
    size_t there = n < b->left ? n : b->left;
    if (there > 0)
        memcpy(out, b->p, there);
    memset((uint8_t *)out + there, 0, n - there);
    b->p += there;
    b->left -= there;
}

uint8_t fuzz_take_u8(struct fuzz_bytes *b) {
    uint8_t v;
    fuzz_take(b, &v, 1);
    return v;
}

uint32_t fuzz_take_u32(struct fuzz_bytes *b) {
    uint8_t v[4];
    fuzz_take(b, v, sizeof v);
    return (uint32_t)v[0] | (uint32_t)v[1] << 8 | (uint32_t)v[2] << 16 | (uint32_t)v[3] << 24;
}

/* ---- Scratch files ---- */

static char scratch[128];

static void remove_scratch(void) {
    DIR *d = opendir(scratch);
    if (d == NULL)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[512];
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", scratch, e->d_name);
        if (unlink(path) != 0)
            rmdir(path);
    }
    closedir(d);
    rmdir(scratch);
}

const char *fuzz_scratch(void) {
    if (scratch[0] != '\0')
        return scratch;
    const char *tmp = getenv("TMPDIR");
    const char *const roots[] = {"/dev/shm", tmp != NULL ? tmp : "/tmp", "/tmp"};
    for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++) {
        snprintf(scratch, sizeof scratch, "%s/assay-fuzz-XXXXXX", roots[i]);
        if (mkdtemp(scratch) != NULL) {
            atexit(remove_scratch);
            return scratch;
        }
    }
    FUZZ_REQUIRE(false, "no folder for scratch files");
    return NULL;
}

void fuzz_write_file(const char *path, const uint8_t *data, size_t size) {
    FILE *f = fopen(path, "wb");
    FUZZ_REQUIRE(f != NULL, "cannot write %s", path);
    bool ok = size == 0 || fwrite(data, 1, size, f) == size;
    ok = fclose(f) == 0 && ok;
    FUZZ_REQUIRE(ok, "cannot write %s", path);
}

bool fuzz_is_line(const char *text) {
    for (const char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    return *text != '\0';
}

/* ---- Allocations that fail ---- */

static unsigned countdown;

void fuzz_fail_allocation(unsigned n) { countdown = n; }

#ifdef __linux__
/* The Makefile links with --wrap, so that assay's calls come here. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
char *__wrap_strdup(const char *s);

static bool fails_now(void) { return countdown > 0 && --countdown == 0; }

void *__wrap_malloc(size_t size) { return fails_now() ? NULL : __real_malloc(size); }
void *__wrap_calloc(size_t n, size_t size) { return fails_now() ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t size) { return fails_now() ? NULL : __real_realloc(p, size); }
char *__wrap_strdup(const char *s) { return fails_now() ? NULL : __real_strdup(s); }
#endif
