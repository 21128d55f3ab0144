/* GGUF v3 writer for synthetic models and test fixtures. */
#ifndef ASSAY_DATASETS_GGUF_WRITER_H
#define ASSAY_DATASETS_GGUF_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gguf.h"

struct assay_gguf_writer; /* opaque */

/* Adding is in memory and checks what it is given, but for duplicate names; nothing touches
 * the disk before _begin. Every call returns false on failure (bad argument, out of memory, I/O)
 * with the reason in assay_gguf_writer_error(). A writer writes one file.
 *
 * _new takes the alignment, a power of two from 8 on (0 means the default, 32); another one than 32
 * is recorded as general.alignment. NULL if memory ran out. */
struct assay_gguf_writer *assay_gguf_writer_new(uint32_t alignment);
void assay_gguf_writer_free(struct assay_gguf_writer *w);            /* removes an unfinished file */
const char *assay_gguf_writer_error(const struct assay_gguf_writer *w);

bool assay_gguf_writer_kv_u32(struct assay_gguf_writer *w, const char *key, uint32_t v);
bool assay_gguf_writer_kv_u64(struct assay_gguf_writer *w, const char *key, uint64_t v);
bool assay_gguf_writer_kv_f32(struct assay_gguf_writer *w, const char *key, float v);
bool assay_gguf_writer_kv_bool(struct assay_gguf_writer *w, const char *key, bool v);
bool assay_gguf_writer_kv_str(struct assay_gguf_writer *w, const char *key, const char *v);
/* Raw value of any kind: value[value_bytes] as it stands in the file. Arrays: elem_kind, count. */
bool assay_gguf_writer_kv_raw(struct assay_gguf_writer *w, const char *key,
                              enum assay_gguf_kind kind, enum assay_gguf_kind elem_kind,
                              uint64_t count, const void *value, size_t value_bytes);

bool assay_gguf_writer_tensor(struct assay_gguf_writer *w, const char *name, uint32_t type,
                              uint32_t n_dims, const uint64_t *dims);

/* Writes header and tensor table to `path` + ".part"; tensor data follow in the order added through
 * _data (any chunking); _finish checks that every byte came, fsyncs and renames to `path`. */
bool assay_gguf_writer_begin(struct assay_gguf_writer *w, const char *path);
bool assay_gguf_writer_data(struct assay_gguf_writer *w, const void *bytes, size_t n);
bool assay_gguf_writer_finish(struct assay_gguf_writer *w);

#endif
