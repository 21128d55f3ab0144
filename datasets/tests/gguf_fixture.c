#include "gguf_fixture.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datasets/gguf_internal.h"

struct fixture fixture_new(const char *name) {
    struct fixture f = {.dir = "/tmp/assay-test-XXXXXX"};
    cr_assert(mkdtemp(f.dir) != NULL);
    snprintf(f.path, sizeof f.path, "%s/%s", f.dir, name);
    return f;
}

void fixture_free(struct fixture *f) {
    DIR *d = opendir(f->dir);
    cr_assert(d != NULL);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", f->dir, e->d_name);
        if (e->d_name[0] != '.' && unlink(path) != 0)
            rmdir(path);
    }
    closedir(d);
    rmdir(f->dir);
    free(f->image);
    f->image = NULL;
}

static void read_image(struct fixture *f) {
    FILE *file = fopen(f->path, "rb");
    cr_assert(file != NULL);
    fseek(file, 0, SEEK_END);
    f->size = (size_t)ftell(file);
    rewind(file);
    free(f->image);
    f->image = malloc(f->size);
    cr_assert_eq(fread(f->image, 1, f->size, file), f->size);
    fclose(file);
}

void fixture_write(struct fixture *f, struct assay_gguf_writer *w, size_t data_bytes) {
    uint8_t *data = malloc(data_bytes + 1);
    for (size_t i = 0; i < data_bytes; i++)
        data[i] = (uint8_t)(i % 251);
    cr_assert(assay_gguf_writer_begin(w, f->path) && assay_gguf_writer_data(w, data, data_bytes) &&
                  assay_gguf_writer_finish(w),
              "%s", assay_gguf_writer_error(w));
    assay_gguf_writer_free(w);
    free(data);
    read_image(f);
}

struct fixture fixture_small(void) {
    static const uint8_t list[] = {1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0};
    struct fixture f = fixture_new("small.gguf");
    struct assay_gguf_writer *w = assay_gguf_writer_new(0);
    assay_gguf_writer_kv_str(w, "general.architecture", "test");
    assay_gguf_writer_kv_bool(w, "a.flag", true);
    assay_gguf_writer_kv_raw(w, "a.list", ASSAY_GGUF_ARRAY, ASSAY_GGUF_U32, 3, list, sizeof list);
    assay_gguf_writer_kv_str(w, "a.text", "hi");
    assay_gguf_writer_tensor(w, "first", ASSAY_TYPE_Q4_0, 2, (uint64_t[]){64, 2});
    assay_gguf_writer_tensor(w, "second", ASSAY_TYPE_F32, 1, (uint64_t[]){5});
    fixture_write(&f, w, FIXTURE_SMALL_DATA);
    return f;
}

size_t fixture_find(const struct fixture *f, const char *string) {
    size_t len = strlen(string);
    for (size_t i = 0; i + 8 + len <= f->size; i++)
        if (assay_load_le64(f->image + i) == len && memcmp(f->image + i + 8, string, len) == 0)
            return i;
    cr_assert_fail("no string '%s' in the image", string);
    return 0;
}

size_t fixture_kind(const struct fixture *f, const char *key) {
    return fixture_find(f, key) + 8 + strlen(key);
}

size_t fixture_dims(const struct fixture *f, const char *tensor) {
    return fixture_find(f, tensor) + 8 + strlen(tensor);
}

size_t fixture_type(const struct fixture *f, const char *tensor) {
    size_t at = fixture_dims(f, tensor);
    return at + 4 + 8 * assay_load_le32(f->image + at);
}

size_t fixture_offset(const struct fixture *f, const char *tensor) {
    return fixture_type(f, tensor) + 4;
}

void fixture_put32(struct fixture *f, size_t at, uint32_t v) {
    for (int i = 0; i < 4; i++)
        f->image[at + (size_t)i] = (uint8_t)(v >> 8 * i);
}

void fixture_put64(struct fixture *f, size_t at, uint64_t v) {
    fixture_put32(f, at, (uint32_t)v);
    fixture_put32(f, at + 4, (uint32_t)(v >> 32));
}

struct assay_gguf *fixture_open(const struct fixture *f, char *err, size_t err_size) {
    FILE *file = fopen(f->path, "wb");
    cr_assert(file != NULL);
    cr_assert_eq(fwrite(f->image, 1, f->size, file), f->size);
    fclose(file);
    return assay_gguf_open(f->path, err, err_size);
}

void fixture_expect_error(const struct fixture *f, uint64_t offset, const char *reason_fmt, ...) {
    char err[1024] = "", reason[512], expected[1024];
    va_list ap;
    va_start(ap, reason_fmt);
    vsnprintf(reason, sizeof reason, reason_fmt, ap);
    va_end(ap);
    snprintf(expected, sizeof expected, "%s: offset %" PRIu64 ": %s", f->path, offset, reason);
    struct assay_gguf *g = fixture_open(f, err, sizeof err);
    cr_assert(g == NULL, "opened a file that should give: %s", expected);
    cr_assert_str_eq(err, expected);
}
