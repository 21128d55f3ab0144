/* Invariant: of any set of files the GGUF reader opens either nothing, with one line that names a
 * file of the set, or a model that every lookup agrees on and that the writer writes again as one
 * file with the same keys and tensors. An allocation that fails is such a refusal too.
 *
 * Input: the file to open (of those below), the number of files (0: one file of an ordinary name),
 * the allocation to fail (0: none), then each file as a 32-bit length and its bytes; the last one
 * may be shorter than it says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datasets/gguf_internal.h"
#include "datasets/gguf_writer.h"
#include "fuzz.h"

enum { MOST_FILES = 4, REWRITE_MOST = 1 << 16 };

static void file_path(char *path, size_t room, unsigned i, unsigned n) {
    if (n == 0)
        snprintf(path, room, "%s/model.gguf", fuzz_scratch());
    else
        snprintf(path, room, "%s/model-%05u-of-%05u.gguf", fuzz_scratch(), i + 1, n);
}

/* The name as a C string; a name has no NUL. */
static char *text_of(struct assay_gguf_str s) {
    char *t = malloc(s.len + 1);
    FUZZ_REQUIRE(t != NULL, "memory");
    memcpy(t, s.data, s.len);
    t[s.len] = '\0';
    return t;
}

static bool same_str(struct assay_gguf_str a, struct assay_gguf_str b) {
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

static void check_lookups(const struct assay_gguf *g) {
    for (size_t i = 0; i < assay_gguf_kv_count(g); i++) {
        char *key = text_of(assay_gguf_kv_at(g, i)->key);
        FUZZ_REQUIRE(assay_gguf_kv_find(g, key) == assay_gguf_kv_at(g, i), "'%s'", key);
        free(key);
    }
    for (size_t i = 0; i < assay_gguf_tensor_count(g); i++) {
        const struct assay_gguf_tensor *t = assay_gguf_tensor_at(g, i);
        char *name = text_of(t->name);
        FUZZ_REQUIRE(assay_gguf_tensor_find(g, name) == t, "'%s'", name);
        FUZZ_REQUIRE(t->split < assay_gguf_split_count(g), "'%s'", name);
        assay_gguf_release_pages(g, t);
        FUZZ_REQUIRE(t->data[0] + t->data[t->bytes - 1] >= 0, "can be read again");
        free(name);
    }
    FUZZ_REQUIRE(assay_gguf_kv_find(g, "no.such.key\x01") == NULL, "a key that no file has");
}

static void compare(const struct assay_gguf *a, const struct assay_gguf *b) {
    FUZZ_REQUIRE(assay_gguf_tensor_count(a) == assay_gguf_tensor_count(b), "tensor counts");
    for (size_t i = 0; i < assay_gguf_tensor_count(a); i++) {
        const struct assay_gguf_tensor *t = assay_gguf_tensor_at(a, i);
        const struct assay_gguf_tensor *u = assay_gguf_tensor_at(b, i);
        FUZZ_REQUIRE(same_str(t->name, u->name) && t->n_dims == u->n_dims && t->type == u->type &&
                         memcmp(t->dims, u->dims, sizeof t->dims) == 0 && t->bytes == u->bytes,
                     "tensor %zu", i);
        FUZZ_REQUIRE(memcmp(t->data, u->data, t->bytes) == 0, "data of tensor %zu", i);
    }
    for (size_t i = 0; i < assay_gguf_kv_count(a); i++) {
        char *key = text_of(assay_gguf_kv_at(a, i)->key);
        const struct assay_gguf_kv *kv = assay_gguf_kv_at(a, i), *w = assay_gguf_kv_find(b, key);
        if (strcmp(key, "general.alignment") != 0 && strncmp(key, "split.", 6) != 0)
            FUZZ_REQUIRE(w != NULL && kv->kind == w->kind && kv->elem_kind == w->elem_kind &&
                             kv->count == w->count && kv->value_bytes == w->value_bytes &&
                             memcmp(kv->value, w->value, kv->value_bytes) == 0,
                         "key '%s'", key);
        free(key);
    }
}

static void write_again(const struct assay_gguf *g) {
    char path[256], err[512] = "";
    struct assay_gguf_writer *w = assay_gguf_writer_new(assay_gguf_alignment(g));
    bool ok = w != NULL;

    for (size_t i = 0; ok && i < assay_gguf_kv_count(g); i++) {
        const struct assay_gguf_kv *kv = assay_gguf_kv_at(g, i);
        char *key = text_of(kv->key);
        if (strcmp(key, "general.alignment") != 0 && strncmp(key, "split.", 6) != 0)
            ok = assay_gguf_writer_kv_raw(w, key, kv->kind, kv->elem_kind, kv->count, kv->value,
                                          kv->value_bytes);
        free(key);
    }
    for (size_t i = 0; ok && i < assay_gguf_tensor_count(g); i++) {
        const struct assay_gguf_tensor *t = assay_gguf_tensor_at(g, i);
        char *name = text_of(t->name);
        ok = assay_gguf_writer_tensor(w, name, t->type->type, t->n_dims, t->dims);
        free(name);
    }
    snprintf(path, sizeof path, "%s/again.gguf", fuzz_scratch());
    ok = ok && assay_gguf_writer_begin(w, path);
    for (size_t i = 0; ok && i < assay_gguf_tensor_count(g); i++)
        ok = assay_gguf_writer_data(w, assay_gguf_tensor_at(g, i)->data,
                                    assay_gguf_tensor_at(g, i)->bytes);
    ok = ok && assay_gguf_writer_finish(w);
    FUZZ_REQUIRE(ok, "%s", w != NULL ? assay_gguf_writer_error(w) : "no memory");
    assay_gguf_writer_free(w);
    struct assay_gguf *again = assay_gguf_open(path, err, sizeof err);
    FUZZ_REQUIRE(again != NULL, "%s", err);
    compare(g, again);
    assay_gguf_close(again);
    unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_bytes in = {data, size};
    unsigned given = fuzz_take_u8(&in), n = fuzz_take_u8(&in) % (MOST_FILES + 1);
    unsigned failing = fuzz_take_u8(&in);
    unsigned files = n > 0 ? n : 1, written = 0;
    char path[256], err[1024] = "";

    for (unsigned i = 0; i < files && (i == 0 || in.left > 0); i++) {
        size_t len = fuzz_take_u32(&in);
        if (len > in.left)
            len = in.left;
        file_path(path, sizeof path, i, n);
        fuzz_write_file(path, in.p, len);
        in.p += len;
        in.left -= len;
        written++;
    }
    file_path(path, sizeof path, given % files, n);
    fuzz_fail_allocation(failing);
    struct assay_gguf *g = assay_gguf_open(path, err, sizeof err);
    fuzz_fail_allocation(0);
    if (g != NULL) {
        uint64_t header = 0;
        check_lookups(g);
        for (size_t i = 0; i < assay_gguf_tensor_count(g); i++)
            header += assay_gguf_tensor_at(g, i)->bytes;
        /* Padding and all, the file written again stays small. */
        if (header + assay_gguf_tensor_count(g) * assay_gguf_alignment(g) <= REWRITE_MOST)
            write_again(g);
    } else {
        const char *dir = fuzz_scratch();
        FUZZ_REQUIRE(fuzz_is_line(err) && strncmp(err, dir, strlen(dir)) == 0 &&
                         strstr(err, ": offset ") != NULL,
                     "'%s'", err);
    }
    assay_gguf_close(g);
    for (unsigned i = 0; i < written; i++) {
        file_path(path, sizeof path, i, n);
        unlink(path);
    }
    return 0;
}
