/* GGUF tensor types and their traits: block length, bytes a block, reference decoder. */
#ifndef ASSAY_REF_TYPES_H
#define ASSAY_REF_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Enumerators equal the numbers of the GGUF file format. */
enum assay_type {
#define ASSAY_TYPE(ENUM, id, name, len, bytes, dequant, min_terms) ASSAY_TYPE_##ENUM = (id),
#include "types.def"
#undef ASSAY_TYPE
};

/* Decodes one block at `block` (block_bytes bytes, no alignment needed) into block_len floats.
 * `min_terms` decoders have the same shape: they write the additive term b_i of each weight
 * w_i = a_i + b_i, where a kernel may accumulate Σ a_i·x_i and Σ b_i·x_i apart. */
typedef void (*assay_dequant_fn)(const uint8_t *block, float *out);

struct assay_type_traits {
    enum assay_type type;
    const char *name;         /* lower case: "q4_k" */
    const char *display;      /* as written in model file names: "Q4_K" */
    uint32_t block_len;       /* weights per block */
    uint32_t block_bytes;     /* bytes per block */
    assay_dequant_fn dequant; /* NULL: size known, not decoded */
    assay_dequant_fn min_terms;
};

/* Longest block_len of any type: a caller's decode buffer of this many floats always suffices. */
#define ASSAY_MAX_BLOCK_LEN 256

/* Number of rows in the traits table; `assay_type_at(i)` is row i in table order, i < count. */
size_t assay_type_count(void);
const struct assay_type_traits *assay_type_at(size_t i);

/* Row of a GGUF type number, or NULL if unknown (removed and future types). */
const struct assay_type_traits *assay_type_traits(uint32_t gguf_id);

/* Row of a type name, case-insensitive ("q4_k", "Q4_K"), or NULL. */
const struct assay_type_traits *assay_type_by_name(const char *name);

/* True for block-quantised types that assay decodes: block_len > 1 and dequant != NULL. */
bool assay_type_is_quantised(const struct assay_type_traits *t);

/* Bytes of a row of `in` weights. Returns false if `in` is 0, no multiple of block_len, or the
 * product overflows size_t; *bytes is then untouched. */
bool assay_row_bytes(const struct assay_type_traits *t, size_t in, size_t *bytes);

/* Decodes `in` weights (a multiple of block_len) of one row into out[in]. t->dequant != NULL. */
void assay_dequant_row(const struct assay_type_traits *t, const uint8_t *row, size_t in,
                       float *out);

#endif
