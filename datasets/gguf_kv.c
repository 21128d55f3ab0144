/* Metadata values: as numbers and as text. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gguf_internal.h"
#include "text.h"

#define SHOWN_ELEMENTS 8 /* of an array, before the ellipsis */

static float load_f32(const uint8_t *p) {
    uint32_t u = assay_load_le32(p);
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static double load_f64(const uint8_t *p) {
    uint64_t u = assay_load_le64(p);
    double d;
    memcpy(&d, &u, sizeof d);
    return d;
}

/* Value of a signed kind. */
static bool load_signed(enum assay_gguf_kind kind, const uint8_t *p, int64_t *v) {
    switch (kind) {
    case ASSAY_GGUF_I8:
        *v = (int8_t)p[0];
        return true;
    case ASSAY_GGUF_I16:
        *v = (int16_t)assay_load_le16(p);
        return true;
    case ASSAY_GGUF_I32:
        *v = (int32_t)assay_load_le32(p);
        return true;
    case ASSAY_GGUF_I64:
        *v = (int64_t)assay_load_le64(p);
        return true;
    default:
        return false;
    }
}

static bool load_unsigned(enum assay_gguf_kind kind, const uint8_t *p, uint64_t *v) {
    switch (kind) {
    case ASSAY_GGUF_BOOL:
    case ASSAY_GGUF_U8:
        *v = p[0];
        return true;
    case ASSAY_GGUF_U16:
        *v = assay_load_le16(p);
        return true;
    case ASSAY_GGUF_U32:
        *v = assay_load_le32(p);
        return true;
    case ASSAY_GGUF_U64:
        *v = assay_load_le64(p);
        return true;
    default:
        return false;
    }
}

bool assay_gguf_kv_u64(const struct assay_gguf_kv *kv, uint64_t *v) {
    int64_t s;
    if (load_unsigned(kv->kind, kv->value, v))
        return true;
    if (!load_signed(kv->kind, kv->value, &s) || s < 0)
        return false;
    *v = (uint64_t)s;
    return true;
}

bool assay_gguf_kv_f64(const struct assay_gguf_kv *kv, double *v) {
    uint64_t u;
    int64_t s;
    if (kv->kind == ASSAY_GGUF_F32)
        *v = load_f32(kv->value);
    else if (kv->kind == ASSAY_GGUF_F64)
        *v = load_f64(kv->value);
    else if (load_unsigned(kv->kind, kv->value, &u))
        *v = (double)u;
    else if (load_signed(kv->kind, kv->value, &s))
        *v = (double)s;
    else
        return false;
    return true;
}

static const char *kind_name(enum assay_gguf_kind kind) {
    static const char *const names[ASSAY_GGUF_KIND_COUNT] = {
        [ASSAY_GGUF_U8] = "u8",       [ASSAY_GGUF_I8] = "i8",     [ASSAY_GGUF_U16] = "u16",
        [ASSAY_GGUF_I16] = "i16",     [ASSAY_GGUF_U32] = "u32",   [ASSAY_GGUF_I32] = "i32",
        [ASSAY_GGUF_F32] = "f32",     [ASSAY_GGUF_BOOL] = "bool", [ASSAY_GGUF_STRING] = "str",
        [ASSAY_GGUF_ARRAY] = "array", [ASSAY_GGUF_U64] = "u64",   [ASSAY_GGUF_I64] = "i64",
        [ASSAY_GGUF_F64] = "f64",
    };
    return names[kind];
}

/* The shortest of the usual precisions that reads back as the same number. */
static void add_float(struct assay_text *t, double v, bool single) {
    char s[40];
    for (int digits = single ? 6 : 15; digits <= (single ? 9 : 17); digits++) {
        snprintf(s, sizeof s, "%.*g", digits, v);
        if (single ? strtof(s, NULL) == (float)v : strtod(s, NULL) == v)
            break;
    }
    assay_text_add(t, s, strlen(s));
}

static const uint8_t *add_value(struct assay_text *t, enum assay_gguf_kind kind, const uint8_t *p);

/* Appends an array of which `p` is the first element and returns the byte behind it, or NULL if not
 * all elements were visited. */
static const uint8_t *add_array(struct assay_text *t, enum assay_gguf_kind elem, uint64_t count,
                                const uint8_t *p) {
    assay_text_printf(t, "[%s × %" PRIu64 "]", kind_name(elem), count);
    for (uint64_t i = 0; i < count; i++) {
        if (i == SHOWN_ELEMENTS || p == NULL) {
            assay_text_add(t, " …", strlen(" …"));
            return NULL;
        }
        assay_text_add(t, i == 0 ? " " : ", ", i == 0 ? 1 : 2);
        p = add_value(t, elem, p);
    }
    return p;
}

/* Appends one value and returns the byte behind it, or NULL (see add_array). */
static const uint8_t *add_value(struct assay_text *t, enum assay_gguf_kind kind, const uint8_t *p) {
    uint64_t u;
    int64_t s;
    if (kind == ASSAY_GGUF_STRING) {
        u = assay_load_le64(p);
        assay_text_add(t, "\"", 1);
        assay_text_escape(t, (const char *)p + 8, u);
        assay_text_add(t, "\"", 1);
        return p + 8 + u;
    }
    if (kind == ASSAY_GGUF_ARRAY) {
        assay_text_add(t, "(", 1);
        p = add_array(t, (enum assay_gguf_kind)assay_load_le32(p), assay_load_le64(p + 4), p + 12);
        assay_text_add(t, ")", 1);
        return p;
    }
    if (kind == ASSAY_GGUF_BOOL)
        assay_text_printf(t, "%s", *p ? "true" : "false");
    else if (kind == ASSAY_GGUF_F32)
        add_float(t, load_f32(p), true);
    else if (kind == ASSAY_GGUF_F64)
        add_float(t, load_f64(p), false);
    else if (load_unsigned(kind, p, &u))
        assay_text_printf(t, "%" PRIu64, u);
    else if (load_signed(kind, p, &s))
        assay_text_printf(t, "%" PRId64, s);
    return p + assay_gguf_kind_bytes(kind);
}

size_t assay_gguf_kv_format(const struct assay_gguf_kv *kv, char *buf, size_t size) {
    if (size == 0)
        return 0;
    struct assay_text t = assay_text_init(buf, size);
    if (kv->kind == ASSAY_GGUF_ARRAY)
        add_array(&t, kv->elem_kind, kv->count, kv->value);
    else
        add_value(&t, kv->kind, kv->value);
    assay_text_mark_cut(&t);
    return t.len;
}
