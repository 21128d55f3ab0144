/* GGUF files for tests: written by the writer, patched in memory, opened from a scratch folder. */
#ifndef ASSAY_DATASETS_TESTS_GGUF_FIXTURE_H
#define ASSAY_DATASETS_TESTS_GGUF_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include "datasets/gguf.h"
#include "datasets/gguf_writer.h"

struct fixture {
    char dir[64];   /* scratch folder */
    char path[128]; /* the file in it */
    uint8_t *image; /* the file's bytes, free to patch */
    size_t size;
};

/* A scratch folder; path is DIR/NAME. No file yet. */
struct fixture fixture_new(const char *name);
/* Removes the folder with all that is in it. */
void fixture_free(struct fixture *f);

/* Finishes `w` as f->path (frees it) and reads the file back into f->image. `data` receives bytes
 * 0, 1, 2 … modulo 251. */
void fixture_write(struct fixture *f, struct assay_gguf_writer *w, size_t data_bytes);

/* A small model: 4 keys (general.architecture, a.flag, a.list, a.text) and 2 tensors (first: Q4_0
 * 64×2, second: F32 5). */
struct fixture fixture_small(void);
#define FIXTURE_SMALL_DATA (72 + 20)

/* Offset of the length field of a string in the image; the string must be there. */
size_t fixture_find(const struct fixture *f, const char *string);
/* Offset of a field of a tensor record. */
size_t fixture_dims(const struct fixture *f, const char *tensor);   /* n_dims */
size_t fixture_type(const struct fixture *f, const char *tensor);   /* type */
size_t fixture_offset(const struct fixture *f, const char *tensor); /* data offset */
/* Offset of the value type of a key. */
size_t fixture_kind(const struct fixture *f, const char *key);

void fixture_put32(struct fixture *f, size_t at, uint32_t v);
void fixture_put64(struct fixture *f, size_t at, uint64_t v);

/* Writes the image and opens it. */
struct assay_gguf *fixture_open(const struct fixture *f, char *err, size_t err_size);
/* Asserts that opening fails with "PATH: offset N: REASON". */
void fixture_expect_error(const struct fixture *f, uint64_t offset, const char *reason_fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
