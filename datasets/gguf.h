/* GGUF reader: v2 and v3, memory-mapped, zero copy, split files. Format: the GGUF specification,
 * docs/gguf.md of the ggml repository. */
#ifndef ASSAY_DATASETS_GGUF_H
#define ASSAY_DATASETS_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ref/types.h"

enum assay_gguf_kind { /* metadata value types, numbered as in the file */
    ASSAY_GGUF_U8 = 0, ASSAY_GGUF_I8, ASSAY_GGUF_U16, ASSAY_GGUF_I16, ASSAY_GGUF_U32,
    ASSAY_GGUF_I32, ASSAY_GGUF_F32, ASSAY_GGUF_BOOL, ASSAY_GGUF_STRING, ASSAY_GGUF_ARRAY,
    ASSAY_GGUF_U64, ASSAY_GGUF_I64, ASSAY_GGUF_F64,
};

/* A string of the file: not NUL-terminated, may hold any bytes; points into the mapping. */
struct assay_gguf_str {
    const char *data;
    uint64_t len;
};

struct assay_gguf_kv {
    struct assay_gguf_str key;
    enum assay_gguf_kind kind;
    enum assay_gguf_kind elem_kind; /* of arrays */
    uint64_t count;                 /* of arrays; 1 otherwise */
    const uint8_t *value;           /* first byte of the value (arrays: first element), unaligned */
    uint64_t value_bytes;           /* its length in the file */
};

struct assay_gguf_tensor {
    struct assay_gguf_str name;
    uint32_t n_dims;
    uint64_t dims[4];                     /* dims[0] is contiguous: `in`; unused are 1 */
    const struct assay_type_traits *type; /* never NULL */
    uint64_t rows;                        /* product of dims[1..] */
    uint64_t bytes;                       /* data size */
    uint64_t file_offset;                 /* absolute, within its split */
    uint32_t split;                       /* index of the file that holds it */
    const uint8_t *data;                  /* in the mapping */
};

struct assay_gguf; /* opaque: an opened model, one file or all its splits */

/* Opens a model and checks all of its structure: whatever it returns can be read without further
 * bounds checks. Stricter than some readers where the specification is: a bool is 0 or 1, names are
 * neither empty nor hold a NUL, no dimension is zero, tensors do not overlap. Given one file of a
 * split set (-0000I-of-0000N) it opens all of them. Reading what a file that shrank since no
 * longer holds raises SIGBUS. On
 * failure returns NULL and writes to err one line "FILE: offset N: REASON". */
struct assay_gguf *assay_gguf_open(const char *path, char *err, size_t err_size);
void assay_gguf_close(struct assay_gguf *g); /* NULL is allowed */

/* Whether the files are as they were when they were opened, by size and time of modification; a file
 * that another took the place of is, since the mapping keeps the old one. If not, err is one line
 * "FILE: REASON". */
bool assay_gguf_unchanged(const struct assay_gguf *g, char *err, size_t err_size);
/* The file, and the offset in it, that an address in an open model belongs to; false if in none.
 * Async-signal-safe, for handlers of SIGBUS. */
bool assay_gguf_where(const void *address, const char **path, uint64_t *offset);

uint32_t assay_gguf_version(const struct assay_gguf *g);
uint32_t assay_gguf_alignment(const struct assay_gguf *g);
uint64_t assay_gguf_file_bytes(const struct assay_gguf *g); /* Σ over splits */
uint32_t assay_gguf_split_count(const struct assay_gguf *g);
const char *assay_gguf_split_path(const struct assay_gguf *g, uint32_t i);

size_t assay_gguf_kv_count(const struct assay_gguf *g); /* metadata of the first split */
const struct assay_gguf_kv *assay_gguf_kv_at(const struct assay_gguf *g, size_t i);
const struct assay_gguf_kv *assay_gguf_kv_find(const struct assay_gguf *g, const char *key);
bool assay_gguf_kv_u64(const struct assay_gguf_kv *kv, uint64_t *v); /* non-negative integer, bool */
bool assay_gguf_kv_f64(const struct assay_gguf_kv *kv, double *v);   /* any scalar number */
/* Writes a printable form ("[u32 × 512] 1, 2, 3 …", strings quoted and escaped): one line of valid
 * UTF-8, cut with an ellipsis if it does not fit in buf[size]. Returns the length written. */
size_t assay_gguf_kv_format(const struct assay_gguf_kv *kv, char *buf, size_t size);

size_t assay_gguf_tensor_count(const struct assay_gguf *g);
const struct assay_gguf_tensor *assay_gguf_tensor_at(const struct assay_gguf *g, size_t i);
const struct assay_gguf_tensor *assay_gguf_tensor_find(const struct assay_gguf *g,
                                                       const char *name);

/* Tells the kernel that a tensor's pages will not be needed again (drops them from this process's
 * resident set; they can be read again from the file). */
void assay_gguf_release_pages(const struct assay_gguf *g, const struct assay_gguf_tensor *t);

#endif
