/* What the files of the GGUF reader share. */
#ifndef ASSAY_DATASETS_GGUF_INTERNAL_H
#define ASSAY_DATASETS_GGUF_INTERNAL_H

#include "gguf.h"

#define ASSAY_GGUF_KIND_COUNT 13
#define ASSAY_GGUF_NAME_MAX 63          /* ggml's limit: its 64-byte field includes the NUL */
#define ASSAY_GGUF_KEY_MAX 65535        /* the specification's limit */
#define ASSAY_GGUF_LENGTH_MAX (1 << 30) /* ggml's limit on string bytes and array elements */
#define ASSAY_GGUF_ALIGNMENT_DEFAULT 32
#define ASSAY_GGUF_ALIGNMENT_MIN 8 /* the specification wants a multiple of 8 */
#define ASSAY_GGUF_ALIGNMENT_MAX (1 << 20)
#define ASSAY_GGUF_ARRAY_DEPTH_MAX 8
#define ASSAY_GGUF_DIMS_MAX 4

/* One mapped file: a whole model or one of its splits. */
struct assay_gguf_part {
    struct assay_gguf_mapping *mapping; /* of map; NULL: not mapped */
    char *path;
    const uint8_t *map;
    size_t size;
    uint32_t version;
    uint32_t alignment;
    size_t n_kv;
    struct assay_gguf_kv *kv;
    const struct assay_gguf_kv **kv_by_key; /* sorted */
    size_t n_tensors;
    struct assay_gguf_tensor *tensors; /* in file order */
};

/* Where an error message goes. */
struct assay_gguf_err {
    char *buf;
    size_t size;
};

/* Writes "PATH: offset N: REASON" and returns false. */
bool assay_gguf_fail(struct assay_gguf_err err, const char *path, uint64_t offset, const char *fmt,
                     ...) __attribute__((format(printf, 4, 5)));

/* A name in quotes, made printable for a message; long enough for any escaped tensor name. */
struct assay_gguf_quoted {
    char s[4 * ASSAY_GGUF_NAME_MAX + 8];
};
struct assay_gguf_quoted assay_gguf_quote(struct assay_gguf_str name);

/* Parses and checks the header of part->map. Fills everything but path, map and size; the arrays
 * are the caller's to free, on failure too. */
bool assay_gguf_parse(struct assay_gguf_part *part, struct assay_gguf_err err);

/* Bytes of a scalar kind in the file; 0 for strings and arrays. */
uint32_t assay_gguf_kind_bytes(enum assay_gguf_kind kind);

/* -1, 0, 1 by bytes, then by length. */
int assay_gguf_str_cmp(struct assay_gguf_str a, struct assay_gguf_str b);

/* The key in a part's metadata, or NULL. */
const struct assay_gguf_kv *assay_gguf_part_find(const struct assay_gguf_part *part,
                                                 const char *key);

/* Little-endian loads from any address. */
static inline uint16_t assay_load_le16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static inline uint32_t assay_load_le32(const uint8_t *p) {
    return assay_load_le16(p) | (uint32_t)assay_load_le16(p + 2) << 16;
}
static inline uint64_t assay_load_le64(const uint8_t *p) {
    return assay_load_le32(p) | (uint64_t)assay_load_le32(p + 4) << 32;
}

#endif
