#include "types.h"

#include "dequant.h"

static const struct assay_type_traits table[] = {
#define ASSAY_TYPE(ENUM, id, name, len, bytes, dequant, min_terms)                                 \
    {ASSAY_TYPE_##ENUM, #name, #ENUM, len, bytes, dequant, min_terms},
#include "types.def"
#undef ASSAY_TYPE
};

#define ASSAY_TYPE(ENUM, id, name, len, bytes, dequant, min_terms)                                 \
    _Static_assert((len) >= 1 && (len) <= ASSAY_MAX_BLOCK_LEN, "block length of " #name);
#include "types.def"
#undef ASSAY_TYPE

enum { TABLE_ROWS = sizeof table / sizeof table[0] };

size_t assay_type_count(void) { return TABLE_ROWS; }

const struct assay_type_traits *assay_type_at(size_t i) { return &table[i]; }

const struct assay_type_traits *assay_type_traits(uint32_t gguf_id) {
    for (size_t i = 0; i < TABLE_ROWS; i++)
        if ((uint32_t)table[i].type == gguf_id)
            return &table[i];
    return NULL;
}

/* Type names are ASCII; the C library's case folding depends on the locale. */
static char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

const struct assay_type_traits *assay_type_by_name(const char *name) {
    for (size_t i = 0; i < TABLE_ROWS; i++) {
        size_t n = 0;
        while (table[i].name[n] && ascii_lower(name[n]) == table[i].name[n])
            n++;
        if (!table[i].name[n] && !name[n])
            return &table[i];
    }
    return NULL;
}

bool assay_type_is_quantised(const struct assay_type_traits *t) {
    return t->block_len > 1 && t->dequant;
}

bool assay_row_bytes(const struct assay_type_traits *t, size_t in, size_t *bytes) {
    if (in == 0 || in % t->block_len != 0)
        return false;
    size_t blocks = in / t->block_len;
    if (blocks > SIZE_MAX / t->block_bytes)
        return false;
    *bytes = blocks * t->block_bytes;
    return true;
}

void assay_dequant_row(const struct assay_type_traits *t, const uint8_t *row, size_t in,
                       float *out) {
    for (size_t i = 0; i < in; i += t->block_len, row += t->block_bytes)
        t->dequant(row, out + i);
}
