#include "gguf_writer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gguf_internal.h"

/* A growing byte string. */
struct bytes {
    uint8_t *data;
    size_t len, cap;
};

struct assay_gguf_writer {
    uint32_t alignment;
    uint64_t n_kv, n_tensors;
    struct bytes kv, tensors; /* records as they will stand in the file */
    uint64_t *sizes;          /* data bytes of each tensor */
    size_t sizes_cap;
    uint64_t data_end; /* end of the last tensor's padded data, in the data section */

    FILE *file; /* between _begin and _finish */
    char *path, *part_path;
    uint64_t current, written; /* tensor being written and how much of it is */
    char error[256];
};

static void set_error(struct assay_gguf_writer *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void set_error(struct assay_gguf_writer *w, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(w->error, sizeof w->error, fmt, ap);
    va_end(ap);
}

#define FAIL(w, ...) (set_error((w), __VA_ARGS__), false)

static bool put(struct assay_gguf_writer *w, struct bytes *b, const void *data, size_t n) {
    if (n > b->cap - b->len) {
        size_t cap = b->cap + b->cap / 2 + n + 64;
        uint8_t *grown = realloc(b->data, cap);
        if (grown == NULL)
            return FAIL(w, "out of memory");
        b->data = grown;
        b->cap = cap;
    }
    if (n > 0)
        memcpy(b->data + b->len, data, n);
    b->len += n;
    return true;
}

/* The low n bytes of v, little-endian. */
static bool put_le(struct assay_gguf_writer *w, struct bytes *b, uint64_t v, size_t n) {
    uint8_t le[8];
    for (size_t i = 0; i < n; i++)
        le[i] = (uint8_t)(v >> 8 * i);
    return put(w, b, le, n);
}

static bool put_str(struct assay_gguf_writer *w, struct bytes *b, const char *s) {
    size_t n = strlen(s);
    return put_le(w, b, n, 8) && put(w, b, s, n);
}

struct assay_gguf_writer *assay_gguf_writer_new(uint32_t alignment) {
    struct assay_gguf_writer *w = calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    w->alignment = alignment == 0 ? ASSAY_GGUF_ALIGNMENT_DEFAULT : alignment;
    if (w->alignment != ASSAY_GGUF_ALIGNMENT_DEFAULT &&
        !assay_gguf_writer_kv_u32(w, "general.alignment", w->alignment)) {
        assay_gguf_writer_free(w);
        return NULL;
    }
    return w;
}

void assay_gguf_writer_free(struct assay_gguf_writer *w) {
    if (w == NULL)
        return;
    if (w->file != NULL) {
        fclose(w->file);
        unlink(w->part_path);
    }
    free(w->path);
    free(w->part_path);
    free(w->kv.data);
    free(w->tensors.data);
    free(w->sizes);
    free(w);
}

const char *assay_gguf_writer_error(const struct assay_gguf_writer *w) { return w->error; }

bool assay_gguf_writer_kv_raw(struct assay_gguf_writer *w, const char *key,
                              enum assay_gguf_kind kind, enum assay_gguf_kind elem_kind,
                              uint64_t count, const void *value, size_t value_bytes) {
    size_t key_len = strlen(key);
    if (key_len == 0 || key_len > ASSAY_GGUF_KEY_MAX)
        return FAIL(w, "key of %zu bytes, not 1 to %d", key_len, ASSAY_GGUF_KEY_MAX);
    bool ok = put_str(w, &w->kv, key) && put_le(w, &w->kv, kind, 4);
    if (ok && kind == ASSAY_GGUF_ARRAY)
        ok = put_le(w, &w->kv, elem_kind, 4) && put_le(w, &w->kv, count, 8);
    if (!ok || !put(w, &w->kv, value, value_bytes))
        return false;
    w->n_kv++;
    return true;
}

/* A scalar of n bytes. */
static bool kv_scalar(struct assay_gguf_writer *w, const char *key, enum assay_gguf_kind kind,
                      uint64_t v, size_t n) {
    uint8_t le[8];
    for (size_t i = 0; i < n; i++)
        le[i] = (uint8_t)(v >> 8 * i);
    return assay_gguf_writer_kv_raw(w, key, kind, kind, 1, le, n);
}

bool assay_gguf_writer_kv_u32(struct assay_gguf_writer *w, const char *key, uint32_t v) {
    return kv_scalar(w, key, ASSAY_GGUF_U32, v, 4);
}

bool assay_gguf_writer_kv_u64(struct assay_gguf_writer *w, const char *key, uint64_t v) {
    return kv_scalar(w, key, ASSAY_GGUF_U64, v, 8);
}

bool assay_gguf_writer_kv_f32(struct assay_gguf_writer *w, const char *key, float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return kv_scalar(w, key, ASSAY_GGUF_F32, bits, 4);
}

bool assay_gguf_writer_kv_bool(struct assay_gguf_writer *w, const char *key, bool v) {
    return kv_scalar(w, key, ASSAY_GGUF_BOOL, v, 1);
}

bool assay_gguf_writer_kv_str(struct assay_gguf_writer *w, const char *key, const char *v) {
    struct bytes value = {0};
    bool ok = put_str(w, &value, v) &&
              assay_gguf_writer_kv_raw(w, key, ASSAY_GGUF_STRING, ASSAY_GGUF_STRING, 1, value.data,
                                       value.len);
    free(value.data);
    return ok;
}

static bool tensor_bytes(struct assay_gguf_writer *w, const char *name, uint32_t type,
                         uint32_t n_dims, const uint64_t *dims, uint64_t *bytes) {
    const struct assay_type_traits *t = assay_type_traits(type);
    if (t == NULL)
        return FAIL(w, "tensor %s: type %" PRIu32 " is unknown", name, type);
    size_t row;
    if (dims[0] > SIZE_MAX || !assay_row_bytes(t, (size_t)dims[0], &row))
        return FAIL(w, "tensor %s: row length %" PRIu64 " is no multiple of %s's block of %" PRIu32,
                    name, dims[0], t->display, t->block_len);
    *bytes = row;
    for (uint32_t i = 1; i < n_dims; i++) {
        if (dims[i] == 0 || *bytes > INT64_MAX / dims[i])
            return FAIL(w, "tensor %s: dimension %" PRIu32 " (%" PRIu64 ") is zero or overflows",
                        name, i, dims[i]);
        *bytes *= dims[i];
    }
    return true;
}

static bool grow_sizes(struct assay_gguf_writer *w) {
    if (w->n_tensors < w->sizes_cap)
        return true;
    size_t cap = w->sizes_cap * 2 + 64;
    uint64_t *grown = realloc(w->sizes, cap * sizeof *grown);
    if (grown == NULL)
        return FAIL(w, "out of memory");
    w->sizes = grown;
    w->sizes_cap = cap;
    return true;
}

static uint64_t padding(const struct assay_gguf_writer *w, uint64_t n) {
    return (w->alignment - n % w->alignment) % w->alignment;
}

bool assay_gguf_writer_tensor(struct assay_gguf_writer *w, const char *name, uint32_t type,
                              uint32_t n_dims, const uint64_t *dims) {
    size_t name_len = strlen(name);
    uint64_t bytes;
    if (name_len == 0 || name_len > ASSAY_GGUF_NAME_MAX)
        return FAIL(w, "tensor name of %zu bytes, not 1 to %d", name_len, ASSAY_GGUF_NAME_MAX);
    if (n_dims < 1 || n_dims > ASSAY_GGUF_DIMS_MAX)
        return FAIL(w, "tensor %s: %" PRIu32 " dimensions, not 1 to %d", name, n_dims,
                    ASSAY_GGUF_DIMS_MAX);
    if (!tensor_bytes(w, name, type, n_dims, dims, &bytes) || !grow_sizes(w))
        return false;
    if (bytes + padding(w, bytes) > INT64_MAX - w->data_end)
        return FAIL(w, "tensor %s: the file size overflows", name);
    bool ok = put_str(w, &w->tensors, name) && put_le(w, &w->tensors, n_dims, 4);
    for (uint32_t i = 0; i < n_dims && ok; i++)
        ok = put_le(w, &w->tensors, dims[i], 8);
    if (!ok || !put_le(w, &w->tensors, type, 4) || !put_le(w, &w->tensors, w->data_end, 8))
        return false;
    w->sizes[w->n_tensors++] = bytes;
    w->data_end += bytes + padding(w, bytes);
    return true;
}

static bool write_out(struct assay_gguf_writer *w, const void *data, size_t n) {
    if (n > 0 && fwrite(data, 1, n, w->file) != n)
        return FAIL(w, "%s: cannot write: %s", w->part_path, strerror(errno));
    return true;
}

static bool write_zeros(struct assay_gguf_writer *w, uint64_t n) {
    static const uint8_t zeros[4096];
    for (; n > sizeof zeros; n -= sizeof zeros)
        if (!write_out(w, zeros, sizeof zeros))
            return false;
    return write_out(w, zeros, (size_t)n);
}

static bool write_header(struct assay_gguf_writer *w) {
    struct bytes head = {0};
    bool ok = put(w, &head, "GGUF", 4) && put_le(w, &head, 3, 4) &&
              put_le(w, &head, w->n_tensors, 8) && put_le(w, &head, w->n_kv, 8) &&
              write_out(w, head.data, head.len) && write_out(w, w->kv.data, w->kv.len) &&
              write_out(w, w->tensors.data, w->tensors.len) &&
              write_zeros(w, padding(w, head.len + w->kv.len + w->tensors.len));
    free(head.data);
    return ok;
}

bool assay_gguf_writer_begin(struct assay_gguf_writer *w, const char *path) {
    static const char suffix[] = ".part";
    if (w->file != NULL || w->path != NULL)
        return FAIL(w, "the writer has been used already");
    w->path = strdup(path);
    w->part_path = malloc(strlen(path) + sizeof suffix);
    if (w->path == NULL || w->part_path == NULL)
        return FAIL(w, "out of memory");
    sprintf(w->part_path, "%s%s", path, suffix);
    w->file = fopen(w->part_path, "wb");
    if (w->file == NULL)
        return FAIL(w, "%s: cannot create: %s", w->part_path, strerror(errno));
    return write_header(w);
}

bool assay_gguf_writer_data(struct assay_gguf_writer *w, const void *bytes, size_t n) {
    const uint8_t *p = bytes;
    if (w->file == NULL)
        return FAIL(w, "tensor data without a file");
    while (n > 0) {
        if (w->current == w->n_tensors)
            return FAIL(w, "%zu bytes of tensor data too many", n);
        uint64_t wanted = w->sizes[w->current] - w->written;
        size_t piece = n < wanted ? n : (size_t)wanted;
        if (!write_out(w, p, piece))
            return false;
        p += piece;
        n -= piece;
        w->written += piece;
        if (piece == wanted) {
            /* The last tensor is padded too: ggml reads the padding. */
            if (!write_zeros(w, padding(w, w->sizes[w->current])))
                return false;
            w->current++;
            w->written = 0;
        }
    }
    return true;
}

bool assay_gguf_writer_finish(struct assay_gguf_writer *w) {
    if (w->file == NULL)
        return FAIL(w, "finishing without a file");
    if (w->current != w->n_tensors)
        return FAIL(w, "tensor data missing: %" PRIu64 " of %" PRIu64 " tensors written",
                    w->current, w->n_tensors);
    if (fflush(w->file) != 0 || fsync(fileno(w->file)) != 0)
        return FAIL(w, "%s: cannot write: %s", w->part_path, strerror(errno));
    int rc = fclose(w->file);
    w->file = NULL;
    if (rc != 0 || rename(w->part_path, w->path) != 0) {
        set_error(w, "%s: cannot finish: %s", w->path, strerror(errno));
        unlink(w->part_path);
        return false;
    }
    return true;
}
