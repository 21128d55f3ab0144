/* GGUF header parser: a cursor that checks every read against the end of the mapping. Counts and
 * lengths are compared with the bytes that remain before anything is allocated, so memory stays
 * proportional to the file's size. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gguf_internal.h"
#include "text.h"

bool assay_gguf_fail(struct assay_gguf_err err, const char *path, uint64_t offset, const char *fmt,
                     ...) {
    if (err.size == 0)
        return false;
    char reason[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(reason, sizeof reason, fmt, ap);
    va_end(ap);
    struct assay_text t = assay_text_init(err.buf, err.size);
    assay_text_escape(&t, path, strlen(path));
    assay_text_printf(&t, ": offset %" PRIu64 ": ", offset);
    assay_text_add(&t, reason, strlen(reason));
    assay_text_mark_cut(&t);
    return false;
}

struct cursor {
    const struct assay_gguf_part *part;
    uint64_t pos;
    struct assay_gguf_err err;
};

/* The comma tells the compiler that the value is false. */
#define FAIL(c, offset, ...)                                                                       \
    (assay_gguf_fail((c)->err, (c)->part->path, (offset), __VA_ARGS__), false)

static uint64_t remaining(const struct cursor *c) { return c->part->size - c->pos; }

struct assay_gguf_quoted assay_gguf_quote(struct assay_gguf_str name) {
    struct assay_gguf_quoted q;
    struct assay_text t = assay_text_init(q.s, sizeof q.s);
    assay_text_add(&t, "'", 1);
    assay_text_escape(&t, name.data, name.len);
    assay_text_add(&t, "'", 1);
    assay_text_mark_cut(&t);
    return q;
}

static bool take(struct cursor *c, uint64_t n, const char *what, const uint8_t **p) {
    if (n > remaining(c))
        return FAIL(c, c->pos, "truncated: %s needs %" PRIu64 " bytes, %" PRIu64 " remain", what, n,
                    remaining(c));
    *p = c->part->map + c->pos;
    c->pos += n;
    return true;
}

static bool take_u32(struct cursor *c, const char *what, uint32_t *v) {
    const uint8_t *p;
    if (!take(c, 4, what, &p))
        return false;
    *v = assay_load_le32(p);
    return true;
}

static bool take_u64(struct cursor *c, const char *what, uint64_t *v) {
    const uint8_t *p;
    if (!take(c, 8, what, &p))
        return false;
    *v = assay_load_le64(p);
    return true;
}

static bool take_str(struct cursor *c, const char *what, uint64_t max, struct assay_gguf_str *s) {
    uint64_t at = c->pos;
    const uint8_t *p;
    if (!take_u64(c, what, &s->len))
        return false;
    if (s->len > remaining(c))
        return FAIL(c, at, "%s length %" PRIu64 " exceeds the %" PRIu64 " bytes that remain", what,
                    s->len, remaining(c));
    if (s->len > max)
        return FAIL(c, at, "%s length %" PRIu64 " exceeds the limit of %" PRIu64, what, s->len,
                    max);
    if (!take(c, s->len, what, &p))
        return false;
    s->data = (const char *)p;
    return true;
}

/* Keys and names: not empty, and no NUL, which C programs would take for the end. */
static bool take_name(struct cursor *c, const char *what, uint64_t max, struct assay_gguf_str *s) {
    uint64_t at = c->pos;
    if (!take_str(c, what, max, s))
        return false;
    if (s->len == 0)
        return FAIL(c, at, "%s is empty", what);
    const char *nul = memchr(s->data, '\0', s->len);
    if (nul != NULL)
        return FAIL(c, at + 8 + (uint64_t)(nul - s->data), "%s holds a NUL byte", what);
    return true;
}

uint32_t assay_gguf_kind_bytes(enum assay_gguf_kind kind) {
    static const uint8_t bytes[ASSAY_GGUF_KIND_COUNT] = {
        [ASSAY_GGUF_U8] = 1,  [ASSAY_GGUF_I8] = 1,  [ASSAY_GGUF_U16] = 2, [ASSAY_GGUF_I16] = 2,
        [ASSAY_GGUF_U32] = 4, [ASSAY_GGUF_I32] = 4, [ASSAY_GGUF_F32] = 4, [ASSAY_GGUF_BOOL] = 1,
        [ASSAY_GGUF_U64] = 8, [ASSAY_GGUF_I64] = 8, [ASSAY_GGUF_F64] = 8,
    };
    return bytes[kind];
}

static bool take_kind(struct cursor *c, const char *what, enum assay_gguf_kind *kind) {
    uint64_t at = c->pos;
    uint32_t v;
    if (!take_u32(c, what, &v))
        return false;
    if (v >= ASSAY_GGUF_KIND_COUNT)
        return FAIL(c, at, "%s %" PRIu32 " is unknown (largest known: %d)", what, v,
                    ASSAY_GGUF_KIND_COUNT - 1);
    *kind = (enum assay_gguf_kind)v;
    return true;
}

static bool take_array_head(struct cursor *c, enum assay_gguf_kind *elem, uint64_t *count) {
    if (!take_kind(c, "array element type", elem))
        return false;
    uint64_t at = c->pos;
    if (!take_u64(c, "array length", count))
        return false;
    uint64_t least = *elem == ASSAY_GGUF_STRING  ? 8  /* its length */
                     : *elem == ASSAY_GGUF_ARRAY ? 12 /* its element type and length */
                                                 : assay_gguf_kind_bytes(*elem);
    if (*count > remaining(c) / least)
        return FAIL(c, at,
                    "array of %" PRIu64 " elements cannot fit in the %" PRIu64 " bytes that remain",
                    *count, remaining(c));
    if (*count > ASSAY_GGUF_LENGTH_MAX)
        return FAIL(c, at, "array of %" PRIu64 " elements exceeds the limit of %d", *count,
                    ASSAY_GGUF_LENGTH_MAX);
    return true;
}

/* Steps over `count` values of one kind; depth is the number of arrays they lie in. */
static bool skip_values(struct cursor *c, enum assay_gguf_kind kind, uint64_t count, int depth) {
    if (depth > ASSAY_GGUF_ARRAY_DEPTH_MAX)
        return FAIL(c, c->pos, "arrays nested deeper than %d", ASSAY_GGUF_ARRAY_DEPTH_MAX);
    if (kind == ASSAY_GGUF_STRING) {
        struct assay_gguf_str s;
        for (uint64_t i = 0; i < count; i++)
            if (!take_str(c, "string", ASSAY_GGUF_LENGTH_MAX, &s))
                return false;
        return true;
    }
    if (kind == ASSAY_GGUF_ARRAY) {
        for (uint64_t i = 0; i < count; i++) {
            enum assay_gguf_kind elem;
            uint64_t n;
            if (!take_array_head(c, &elem, &n) || !skip_values(c, elem, n, depth + 1))
                return false;
        }
        return true;
    }
    uint64_t at = c->pos;
    const uint8_t *p;
    if (!take(c, count * assay_gguf_kind_bytes(kind), "value", &p))
        return false;
    if (kind == ASSAY_GGUF_BOOL)
        for (uint64_t i = 0; i < count; i++)
            if (p[i] > 1)
                return FAIL(c, at + i, "bool value %d is neither 0 nor 1", p[i]);
    return true;
}

static bool parse_kv(struct cursor *c, struct assay_gguf_kv *kv) {
    if (!take_name(c, "key", ASSAY_GGUF_KEY_MAX, &kv->key) ||
        !take_kind(c, "value type", &kv->kind))
        return false;
    kv->elem_kind = kv->kind;
    kv->count = 1;
    int depth = 0;
    if (kv->kind == ASSAY_GGUF_ARRAY) {
        if (!take_array_head(c, &kv->elem_kind, &kv->count))
            return false;
        depth = 1;
    }
    uint64_t start = c->pos;
    if (!skip_values(c, kv->elem_kind, kv->count, depth))
        return false;
    kv->value = c->part->map + start;
    kv->value_bytes = c->pos - start;
    return true;
}

int assay_gguf_str_cmp(struct assay_gguf_str a, struct assay_gguf_str b) {
    int d = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
    return d != 0 ? d : (a.len > b.len) - (a.len < b.len);
}

/* By key, then by place in the file. */
static int kv_cmp(const void *pa, const void *pb) {
    const struct assay_gguf_kv *a = *(const struct assay_gguf_kv *const *)pa;
    const struct assay_gguf_kv *b = *(const struct assay_gguf_kv *const *)pb;
    int d = assay_gguf_str_cmp(a->key, b->key);
    return d != 0 ? d : (a > b) - (a < b);
}

const struct assay_gguf_kv *assay_gguf_part_find(const struct assay_gguf_part *part,
                                                 const char *key) {
    struct assay_gguf_str want = {key, strlen(key)};
    size_t lo = 0, hi = part->n_kv;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int d = assay_gguf_str_cmp(want, part->kv_by_key[mid]->key);
        if (d == 0)
            return part->kv_by_key[mid];
        if (d < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

static uint64_t offset_in(const struct assay_gguf_part *part, const void *p) {
    return (uint64_t)((const uint8_t *)p - part->map);
}

static bool sort_keys(struct cursor *c, struct assay_gguf_part *part) {
    for (size_t i = 0; i < part->n_kv; i++)
        part->kv_by_key[i] = &part->kv[i];
    qsort(part->kv_by_key, part->n_kv, sizeof *part->kv_by_key, kv_cmp);
    for (size_t i = 1; i < part->n_kv; i++) {
        const struct assay_gguf_kv *a = part->kv_by_key[i - 1], *b = part->kv_by_key[i];
        if (assay_gguf_str_cmp(a->key, b->key) == 0)
            return FAIL(c, offset_in(part, b->key.data) - 8,
                        "duplicate key %s, first at offset %" PRIu64, assay_gguf_quote(b->key).s,
                        offset_in(part, a->key.data) - 8);
    }
    return true;
}

static bool read_alignment(struct cursor *c, struct assay_gguf_part *part) {
    part->alignment = ASSAY_GGUF_ALIGNMENT_DEFAULT;
    const struct assay_gguf_kv *kv = assay_gguf_part_find(part, "general.alignment");
    if (kv == NULL)
        return true;
    uint64_t at = offset_in(part, kv->value);
    if (kv->kind != ASSAY_GGUF_U32)
        return FAIL(c, at, "general.alignment is not of type u32");
    uint32_t a = assay_load_le32(kv->value);
    if (a < ASSAY_GGUF_ALIGNMENT_MIN || a > ASSAY_GGUF_ALIGNMENT_MAX || (a & (a - 1)) != 0)
        return FAIL(c, at, "general.alignment %" PRIu32 " is no power of two from %d to %d", a,
                    ASSAY_GGUF_ALIGNMENT_MIN, ASSAY_GGUF_ALIGNMENT_MAX);
    part->alignment = a;
    return true;
}

/* Types that once had these numbers, so that the message can name them. */
static const char *removed_type(uint32_t id) {
    switch (id) {
    case 4:
        return "Q4_2";
    case 5:
        return "Q4_3";
    case 31:
        return "Q4_0_4_4";
    case 32:
        return "Q4_0_4_8";
    case 33:
        return "Q4_0_8_8";
    case 36:
        return "IQ4_NL_4_4";
    case 37:
        return "IQ4_NL_4_8";
    case 38:
        return "IQ4_NL_8_8";
    default:
        return NULL;
    }
}

static bool take_dims(struct cursor *c, const struct assay_gguf_quoted *name,
                      struct assay_gguf_tensor *t) {
    uint64_t at = c->pos;
    if (!take_u32(c, "tensor dimension count", &t->n_dims))
        return false;
    if (t->n_dims < 1 || t->n_dims > ASSAY_GGUF_DIMS_MAX)
        return FAIL(c, at, "tensor %s has %" PRIu32 " dimensions, not 1 to %d", name->s, t->n_dims,
                    ASSAY_GGUF_DIMS_MAX);
    uint64_t elements = 1;
    for (uint32_t i = 0; i < ASSAY_GGUF_DIMS_MAX; i++) {
        t->dims[i] = 1;
        at = c->pos;
        if (i < t->n_dims && !take_u64(c, "tensor dimension", &t->dims[i]))
            return false;
        if (t->dims[i] == 0)
            return FAIL(c, at, "tensor %s: dimension %" PRIu32 " is zero", name->s, i);
        if (t->dims[i] > INT64_MAX / elements)
            return FAIL(c, at,
                        "tensor %s: the element count overflows at dimension %" PRIu32 " (%" PRIu64
                        ")",
                        name->s, i, t->dims[i]);
        elements *= t->dims[i];
    }
    t->rows = elements / t->dims[0];
    return true;
}

static bool take_type(struct cursor *c, const struct assay_gguf_quoted *name,
                      struct assay_gguf_tensor *t) {
    uint64_t at = c->pos;
    uint32_t id;
    if (!take_u32(c, "tensor type", &id))
        return false;
    t->type = assay_type_traits(id);
    if (t->type == NULL && removed_type(id) != NULL)
        return FAIL(c, at, "tensor %s: type %" PRIu32 " (%s) was removed from the format", name->s,
                    id, removed_type(id));
    if (t->type == NULL)
        return FAIL(c, at, "tensor %s: type %" PRIu32 " is unknown", name->s, id);
    if (t->dims[0] % t->type->block_len != 0)
        return FAIL(c, at,
                    "tensor %s: row length %" PRIu64 " is no multiple of %s's block of %" PRIu32,
                    name->s, t->dims[0], t->type->display, t->type->block_len);
    size_t row_bytes;
    if (t->dims[0] > SIZE_MAX || !assay_row_bytes(t->type, (size_t)t->dims[0], &row_bytes) ||
        t->rows > UINT64_MAX / row_bytes)
        return FAIL(c, at, "tensor %s: the size in bytes overflows", name->s);
    t->bytes = t->rows * row_bytes;
    return true;
}

/* file_offset is left relative to the data section, whose start is not known yet. */
static bool parse_tensor(struct cursor *c, struct assay_gguf_tensor *t) {
    if (!take_name(c, "tensor name", ASSAY_GGUF_NAME_MAX, &t->name))
        return false;
    struct assay_gguf_quoted name = assay_gguf_quote(t->name);
    if (!take_dims(c, &name, t) || !take_type(c, &name, t))
        return false;
    uint64_t at = c->pos;
    if (!take_u64(c, "tensor offset", &t->file_offset))
        return false;
    if (t->file_offset % c->part->alignment != 0)
        return FAIL(c, at,
                    "tensor %s: data offset %" PRIu64 " is no multiple of the alignment %" PRIu32,
                    name.s, t->file_offset, c->part->alignment);
    return true;
}

static bool place_tensors(struct cursor *c, struct assay_gguf_part *part) {
    uint64_t data_start = (c->pos + part->alignment - 1) / part->alignment * part->alignment;
    for (size_t i = 0; i < part->n_tensors; i++) {
        struct assay_gguf_tensor *t = &part->tensors[i];
        if (t->file_offset > UINT64_MAX - data_start)
            return FAIL(c, offset_in(part, t->name.data) - 8,
                        "tensor %s: data offset %" PRIu64 " overflows", assay_gguf_quote(t->name).s,
                        t->file_offset);
        t->file_offset += data_start;
        if (t->file_offset > part->size || t->bytes > part->size - t->file_offset)
            return FAIL(c, t->file_offset,
                        "truncated: tensor %s needs %" PRIu64 " bytes here, the file ends at %zu",
                        assay_gguf_quote(t->name).s, t->bytes, part->size);
        t->data = part->map + t->file_offset;
    }
    return true;
}

static int place_cmp(const void *pa, const void *pb) {
    const struct assay_gguf_tensor *a = *(const struct assay_gguf_tensor *const *)pa;
    const struct assay_gguf_tensor *b = *(const struct assay_gguf_tensor *const *)pb;
    if (a->file_offset != b->file_offset)
        return a->file_offset < b->file_offset ? -1 : 1;
    return (a > b) - (a < b);
}

static bool check_overlap(struct cursor *c, const struct assay_gguf_part *part) {
    if (part->n_tensors == 0)
        return true;
    const struct assay_gguf_tensor **order = malloc(part->n_tensors * sizeof *order);
    if (order == NULL)
        return FAIL(c, 0, "out of memory");
    for (size_t i = 0; i < part->n_tensors; i++)
        order[i] = &part->tensors[i];
    qsort(order, part->n_tensors, sizeof *order, place_cmp);
    bool ok = true;
    for (size_t i = 1; i < part->n_tensors && ok; i++) {
        const struct assay_gguf_tensor *a = order[i - 1], *b = order[i];
        if (b->file_offset - a->file_offset < a->bytes)
            ok = FAIL(c, b->file_offset, "tensor %s overlaps tensor %s, which ends at %" PRIu64,
                      assay_gguf_quote(b->name).s, assay_gguf_quote(a->name).s,
                      a->file_offset + a->bytes);
    }
    free(order);
    return ok;
}

static bool parse_version(struct cursor *c, struct assay_gguf_part *part) {
    const uint8_t *magic;
    if (part->size == 0)
        return FAIL(c, 0, "empty file");
    if (!take(c, 4, "magic", &magic))
        return false;
    if (memcmp(magic, "GGUF", 4) != 0)
        return FAIL(c, 0, "not a GGUF file: magic %02x %02x %02x %02x, not 47 47 55 46", magic[0],
                    magic[1], magic[2], magic[3]);
    if (!take_u32(c, "version", &part->version))
        return false;
    uint32_t v = part->version;
    if (v != 0 && (v & 0xffff) == 0)
        return FAIL(c, 4,
                    "big-endian GGUF file (version bytes swapped); only little-endian is read");
    if (v == 1)
        return FAIL(c, 4,
                    "GGUF version 1 is no longer supported (32-bit counts); convert the file "
                    "to version 3");
    if (v < 2 || v > 3)
        return FAIL(c, 4, "GGUF version %" PRIu32 " is unknown; versions 2 and 3 are read", v);
    return true;
}

/* Reads both counts and rejects what cannot fit: the shortest key-value pair has a 1-byte key and a
 * 1-byte value, the shortest tensor record a 1-byte name and one dimension. */
static bool parse_counts(struct cursor *c, struct assay_gguf_part *part) {
    enum { KV_MIN = 8 + 1 + 4 + 1, TENSOR_MIN = 8 + 1 + 4 + 8 + 4 + 8 };
    uint64_t n_tensors, n_kv;
    if (!take_u64(c, "tensor count", &n_tensors) || !take_u64(c, "metadata count", &n_kv))
        return false;
    if (n_tensors > remaining(c) / TENSOR_MIN)
        return FAIL(c, 8, "%" PRIu64 " tensors cannot fit in the %" PRIu64 " bytes that remain",
                    n_tensors, remaining(c));
    if (n_kv > remaining(c) / KV_MIN)
        return FAIL(c, 16,
                    "%" PRIu64 " key-value pairs cannot fit in the %" PRIu64 " bytes that remain",
                    n_kv, remaining(c));
    part->n_tensors = (size_t)n_tensors;
    part->n_kv = (size_t)n_kv;
    return true;
}

bool assay_gguf_parse(struct assay_gguf_part *part, struct assay_gguf_err err) {
    struct cursor cursor = {.part = part, .err = err}, *c = &cursor;
    if (!parse_version(c, part) || !parse_counts(c, part))
        return false;
    /* One more than needed, so that malloc(0) cannot look like a failure. */
    part->kv = calloc(part->n_kv + 1, sizeof *part->kv);
    part->kv_by_key = calloc(part->n_kv + 1, sizeof *part->kv_by_key);
    part->tensors = calloc(part->n_tensors + 1, sizeof *part->tensors);
    if (part->kv == NULL || part->kv_by_key == NULL || part->tensors == NULL)
        return FAIL(c, 0, "out of memory");
    for (size_t i = 0; i < part->n_kv; i++)
        if (!parse_kv(c, &part->kv[i]))
            return false;
    if (!sort_keys(c, part) || !read_alignment(c, part))
        return false;
    for (size_t i = 0; i < part->n_tensors; i++)
        if (!parse_tensor(c, &part->tensors[i]))
            return false;
    return place_tensors(c, part) && check_overlap(c, part);
}
