/* Decoding of the model kernels. A block is copied, mutated through the map of its fields, decoded
 * by the reference decoder, and for the int8 shapes taken apart into codes and scales. */
#include <math.h>
#include <string.h>

#include "model.h"
#include "ref/dequant.h"
#include "ref/fields.h"
#include "ref/half.h"

enum { MAX_BLOCK_BYTES = 512 };

/* ---- Fields ---- */

static const struct assay_field *field_of(const struct assay_type_traits *t,
                                          enum assay_field_kind kind) {
    size_t n;
    const struct assay_field *f = assay_fields(t, &n);

    for (size_t i = 0; i < n; i++)
        if (f[i].kind == kind)
            return &f[i];
    return NULL;
}

static const struct assay_field *field_named(const struct assay_type_traits *t, const char *name) {
    size_t n;
    const struct assay_field *f = assay_fields(t, &n);

    for (size_t i = 0; i < n; i++)
        if (strcmp(f[i].name, name) == 0)
            return &f[i];
    return NULL;
}

/* The second number of a block: dmin of the K-quants, m of Q4_1 and Q5_1. */
static const struct assay_field *second_number(const struct assay_type_traits *t) {
    const struct assay_field *f = field_named(t, "dmin");
    return f != NULL ? f : field_named(t, "m");
}

static uint32_t get(const struct assay_field *f, const uint8_t *block, unsigned e) {
    return assay_field_get(f, block, e);
}

static void set(const struct assay_field *f, uint8_t *block, unsigned e, uint32_t v) {
    assay_field_set(f, block, e, v);
}

/* ---- Mutations of the bits of a block ---- */

static void swap_nibbles(const struct assay_type_traits *t, uint8_t *block) {
    const struct assay_field *code = field_of(t, ASSAY_FIELD_CODE);
    struct assay_field_bit low = {code, code->count / 2 + 3u, 0}, high;
    size_t at = assay_field_position(&low);
    uint32_t a, b;

    if (!assay_field_at(t, at / 8 * 8 + (at + 4) % 8, &high))
        return;
    a = get(code, block, low.element);
    b = get(code, block, high.element);
    set(code, block, low.element, (a & ~15u) | (b & 15));
    set(code, block, high.element, (b & ~15u) | (a & 15));
}

static void reverse_byte(const struct assay_type_traits *t, uint8_t *block) {
    const struct assay_field *code = field_of(t, ASSAY_FIELD_CODE);
    unsigned per = 8u / code->bits, first = code->count - per;
    uint32_t v[8];

    for (unsigned i = 0; i < per; i++)
        v[i] = get(code, block, first + i);
    for (unsigned i = 0; i < per; i++)
        set(code, block, first + i, v[per - 1 - i]);
}

/* Bits of a code above those of its low plane. */
static uint32_t high_mask(const struct assay_field *code) {
    return ~((1u << code->planes[0].width) - 1);
}

static void shift_high(const struct assay_type_traits *t, uint8_t *block) {
    const struct assay_field *code = field_of(t, ASSAY_FIELD_CODE);
    uint32_t high = high_mask(code);
    unsigned n = code->count;

    for (unsigned e = n - 32; e < n; e++)
        set(code, block, e,
            (get(code, block, e) & ~high) | (get(code, block, e + 1 < n ? e + 1 : e) & high));
}

/* What of block b is read differently. */
static void mutate_block(const struct assay_fault *f, const struct assay_type_traits *t, size_t b,
                         uint8_t *block) {
    const struct assay_field *code = field_of(t, ASSAY_FIELD_CODE);
    const struct assay_field *scale = field_of(t, ASSAY_FIELD_SCALE);
    const struct assay_field *min = field_of(t, ASSAY_FIELD_MIN);
    const struct assay_field *point = field_of(t, ASSAY_FIELD_POINT);
    const struct assay_field *sign = field_of(t, ASSAY_FIELD_SIGN);
    const struct assay_field *d = field_of(t, ASSAY_FIELD_FLOAT), *second = second_number(t);
    unsigned last;
    uint32_t v;

    switch (f->mutation) {
    case ASSAY_MUT_CODE_SWAP:
        swap_nibbles(t, block);
        break;
    case ASSAY_MUT_CODE_LSB:
        code = code != NULL ? code : point != NULL ? point : d;
        last = code->count - 1u;
        set(code, block, last, get(code, block, last) & ~1u);
        break;
    case ASSAY_MUT_CODE_BIT_ORDER:
        reverse_byte(t, block);
        break;
    case ASSAY_MUT_HIGH_SHIFTED:
        shift_high(t, block);
        break;
    case ASSAY_MUT_HIGH_DROPPED:
        set(code, block, code->count - 1u, get(code, block, code->count - 1u) & ~high_mask(code));
        break;
    case ASSAY_MUT_SCALE_NEXT:
        scale = scale != NULL ? scale : d; /* NVFP4's scales are numbers */
        set(scale, block, scale->count - 1u, get(scale, block, scale->count - 2u));
        break;
    case ASSAY_MUT_SCALE_HIGH:
        v = get(scale, block, scale->count - 1u);
        set(scale, block, scale->count - 1u,
            v & ((1u << (scale->bits > 4 ? 4 : scale->bits - 1)) - 1));
        break;
    case ASSAY_MUT_SCALE_BIAS:
        v = get(scale, block, scale->count - 1u);
        set(scale, block, scale->count - 1u, v + 1 < 1u << scale->bits ? v + 1 : v);
        break;
    case ASSAY_MUT_MIN_DROPPED:
        if (min != NULL)
            set(min, block, min->count - 1u, 0);
        else if (b % 2 == 1)
            set(second, block, 0, 0);
        break;
    case ASSAY_MUT_MIN_NEXT:
        set(min, block, min->count - 1u, get(min, block, min->count - 2u));
        break;
    case ASSAY_MUT_D_FRACTION:
        set(d, block, 0, get(d, block, 0) & ~1u);
        break;
    case ASSAY_MUT_D_SIGN:
        set(d, block, 0, get(d, block, 0) & ~(1u << (d->bits - 1)));
        break;
    case ASSAY_MUT_D_SUBNORMAL:
        if ((get(d, block, 0) & 0x7c00) == 0)
            set(d, block, 0, 0);
        break;
    case ASSAY_MUT_DMIN_FRACTION:
        set(second, block, 0, get(second, block, 0) & ~1u);
        break;
    case ASSAY_MUT_D_DMIN_SWAP:
        if (b % 2 == 1) {
            v = get(d, block, 0);
            set(d, block, 0, get(second, block, 0));
            set(second, block, 0, v);
        }
        break;
    case ASSAY_MUT_POINT_HIGH:
        v = get(point, block, point->count - 1u);
        set(point, block, point->count - 1u, v & ~(1u << (point->bits - 1)));
        break;
    case ASSAY_MUT_POINT_ENTRY:
        for (unsigned e = 0; e < point->count; e++)
            if (get(point, block, e) == 101)
                set(point, block, e, 100);
        break;
    case ASSAY_MUT_SIGN_BIT:
        if (sign->bits == 1)
            set(sign, block, sign->count - 1u, 0);
        break; /* coded signs: mutate_values */
    case ASSAY_MUT_INT_CLAMPED:
        code = code->format == ASSAY_FORMAT_INT ? code : scale;
        for (unsigned e = 0; e < code->count; e++)
            if (get(code, block, e) == 0x80)
                set(code, block, e, 0x81);
        break;
    case ASSAY_MUT_UE4M3_SUBNORMAL:
        for (unsigned e = 0; e < d->count; e++)
            if ((get(d, block, e) & 0x78) == 0)
                set(d, block, e, 0);
        break;
    case ASSAY_MUT_UE4M3_NAN:
        for (unsigned e = 0; e < d->count; e++)
            if (get(d, block, e) == 0x7f)
                set(d, block, e, 0xff);
        break;
    default:
        break;
    }
}

/* ---- Mutations of decoded weights: factors a and terms b of a block ---- */

static void mutate_values(const struct assay_fault *f, const struct assay_type_traits *t,
                          const uint8_t *block, float *a, float *b) {
    const struct assay_field *code = field_of(t, ASSAY_FIELD_CODE);
    const struct assay_field *sign = field_of(t, ASSAY_FIELD_SIGN);
    size_t n = t->block_len;

    switch (f->mutation) {
    case ASSAY_MUT_MIN_SIGN:
        for (size_t i = n - (n == 256 ? 16 : n); i < n; i++)
            b[i] = -b[i];
        break;
    case ASSAY_MUT_SIGN_BIT:
        if (sign->bits > 1)
            a[n - 1] = fabsf(a[n - 1]);
        break;
    case ASSAY_MUT_SIGN_ENTRY:
        for (unsigned e = 0; e < sign->count; e++)
            if (get(sign, block, e) == 77)
                a[8 * e + 4] = -a[8 * e + 4];
        break;
    case ASSAY_MUT_LEVEL:
        for (unsigned e = 0; e < code->count; e++)
            if (get(code, block, e) == 7)
                a[e] *= t->type == ASSAY_TYPE_IQ4_NL || t->type == ASSAY_TYPE_IQ4_XS
                            ? 1.1f           /* -10: -11 */
                            : 13.0f / 12.0f; /* 6 in halves: 6.5 */
        break;
    case ASSAY_MUT_E8M0_ZERO:
        if (block[0] == 0)
            memset(a, 0, n * sizeof *a);
        break;
    case ASSAY_MUT_FLOAT_AS_HALF:
        for (size_t i = 0; i < n; i++)
            a[i] = assay_ref_from_fp16(assay_ref_to_fp16(a[i]));
        break;
    case ASSAY_MUT_ONE_LANE:
        a[n - 1] *= 1 + 0x1p-12f;
        break;
    default:
        break;
    }
}

/* ---- Codes ---- */

/* What a code counts, over the scales: weights are d·s·unit·code. */
static float unit_of(enum assay_type type) {
    switch (type) {
    case ASSAY_TYPE_MXFP4:
    case ASSAY_TYPE_NVFP4:
        return 0.5f;
    case ASSAY_TYPE_IQ1_S:
    case ASSAY_TYPE_IQ1_M:
    case ASSAY_TYPE_IQ2_XXS:
    case ASSAY_TYPE_IQ2_XS:
    case ASSAY_TYPE_IQ2_S:
        return 0.125f;
    case ASSAY_TYPE_IQ3_XXS:
        return 0.25f;
    default:
        return 1.0f;
    }
}

/* The scale of the group of 16 weights that starts at weight `at` of a block. */
static float group_scale(const struct assay_type_traits *t, const uint8_t *block, size_t at) {
    const struct assay_field *d = field_of(t, ASSAY_FIELD_FLOAT);
    const struct assay_field *scale = field_of(t, ASSAY_FIELD_SCALE);
    bool odd = t->type >= ASSAY_TYPE_IQ2_XXS && t->type != ASSAY_TYPE_IQ4_NL &&
               t->type != ASSAY_TYPE_IQ4_XS; /* IQ1 … IQ3 have scales 2s + 1 */
    unsigned e = d->count > 1 ? (unsigned)(at / d->weights) : 0;
    double v = assay_field_number(d, get(d, block, e)) * unit_of(t->type);

    if (scale != NULL) {
        e = (unsigned)(at / scale->weights);
        double s = assay_field_number(scale, get(scale, block, e));
        v *= odd ? 2 * s + 1 : s;
    }
    return (float)v;
}

static void take_codes(const struct assay_type_traits *t, const uint8_t *block, const float *a,
                       const float *b, size_t at, struct model_row *row) {
    for (size_t g = 0; g < t->block_len / MODEL_GROUP; g++) {
        size_t i = g * MODEL_GROUP, to = at / MODEL_GROUP + g;
        float s = group_scale(t, block, i);

        row->scale[to] = s;
        row->min[to] = b[i];
        row->special[to] = !isfinite(s) || !isfinite(b[i]);
        for (size_t k = 0; k < MODEL_GROUP; k++) {
            double code = s != 0 && !row->special[to] ? (double)a[i + k] / s : 0;
            /* Special weights never meet their codes. */
            row->code[at + i + k] = (int16_t)(isfinite(code) ? lrint(code) : 0);
        }
    }
}

/* ---- Rows ---- */

/* The factors a of a block, without the additive terms. IQ1 keeps its shift in the codes. */
static void factors(const struct assay_type_traits *t, const uint8_t *block, float *a, float *b) {
    const struct assay_field *second = second_number(t);
    uint8_t without[MAX_BLOCK_BYTES];

    for (size_t i = 0; i < t->block_len; i++)
        b[i] = -0.0f; /* what changes no number that it is added to */
    if (second == NULL) {
        t->dequant(block, a);
        return;
    }
    t->min_terms(block, b);
    memcpy(without, block, t->block_bytes);
    /* Zeros whose signs leave every factor as it is: m is added, dmin subtracted. */
    set(second, without, 0, field_named(t, "m") != NULL ? 0x8000 : 0);
    t->dequant(without, a);
}

/* Where a kernel believes block b of row j to be. */
static const uint8_t *block_at(const struct assay_fault *f, const struct assay_store *w, size_t j,
                               size_t b) {
    const struct assay_type_traits *t = w->type;
    size_t blocks = w->in / t->block_len, at = j * w->row_bytes + b * t->block_bytes;

    if (model_has(f, t, ASSAY_MUT_STRIDE) && b % 2 == 1)
        at -= 2;
    if (model_has(f, t, ASSAY_MUT_TRANSPOSED))
        at = (b * w->rows + j) * t->block_bytes;
    if (model_has(f, t, ASSAY_MUT_NO_INTERLEAVE) && j / 16 * 16 + 16 <= w->rows)
        at = (j / 16 * 16 * blocks + (b * 16 + j % 16)) * t->block_bytes;
    if (model_has(f, t, ASSAY_MUT_OFFSET_WRAPS) && j * w->row_bytes >= 1 << 13)
        at -= 1 << 13;
    if (model_has(f, t, ASSAY_MUT_SECOND_PANEL) && j == 32)
        at = b * t->block_bytes;
    return w->bytes + at;
}

static void copy_block(const struct assay_fault *f, const struct assay_store *w, size_t j, size_t b,
                       uint8_t *block) {
    const struct assay_type_traits *t = w->type;
    const uint8_t *from = block_at(f, w, j, b);

    if (model_has(f, t, ASSAY_MUT_ALIGNED_W)) {
        size_t off = (uintptr_t)w->bytes % 16;
        from -= off <= (size_t)(from - w->bytes) ? off : 0;
    }
    memcpy(block, from, t->block_bytes);
    if (model_has(f, t, ASSAY_MUT_SHORT_COPY) && b > 0 && b + 1 == w->in / t->block_len)
        memcpy(block + t->block_bytes - 2, from - 2, 2);
}

/* True if the row is one in a thousand by its bytes. */
static bool one_in_a_thousand(const struct assay_store *w, size_t j) {
    const uint8_t *p = assay_store_row(w, j);
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < w->row_bytes; i++)
        hash = (hash ^ p[i]) * 16777619u;
    return (hash >> 8) % 1000 == 0;
}

static void mutate_row(const struct assay_fault *f, const struct assay_store *w, size_t j,
                       struct model_row *row) {
    const struct assay_type_traits *t = w->type;
    size_t blocks = w->in / t->block_len, len = t->block_len, first = w->in, count = 0;

    if (model_has(f, t, ASSAY_MUT_LAST_SKIPPED) && blocks % 2 == 1 && blocks > 1) {
        first = w->in - len;
        count = len;
    } else if (model_has(f, t, ASSAY_MUT_BLOCK_PAIR) && w->in > 512) {
        first = w->in / 512 * 512;
        count = w->in - first;
    } else if ((model_has(f, t, ASSAY_MUT_ONE_PRODUCT) && w->in > 3) ||
               (model_has(f, t, ASSAY_MUT_ROW_1000) && one_in_a_thousand(w, j))) {
        first = w->in - 3;
        count = 1;
    } else if (model_has(f, t, ASSAY_MUT_LANE_DROPPED)) {
        for (size_t k = 256 + 15; k < w->in; k += 16) {
            row->w[k] = 0;
            row->code[k] = 0;
        }
    } else if (model_has(f, t, ASSAY_MUT_NAN_W_LOST)) {
        for (size_t k = 0; k < w->in; k++)
            row->w[k] = isfinite(row->w[k]) ? row->w[k] : 0;
    }
    for (size_t k = first; k < first + count; k++) {
        row->w[k] = 0;
        row->code[k] = 0;
        if (count > 1)
            row->min[k / MODEL_GROUP] = 0;
    }
}

void assay_model_decode(const struct assay_fault *f, const struct assay_store *w, size_t j,
                        struct model_row *row, bool codes) {
    const struct assay_type_traits *t = w->type;
    bool faulty = f->type == t->type && (!f->one_lane || j % 16 == 13);
    uint8_t block[MAX_BLOCK_BYTES];
    float a[ASSAY_MAX_BLOCK_LEN], b[ASSAY_MAX_BLOCK_LEN];

    for (size_t i = 0; i < w->in / t->block_len; i++) {
        size_t at = i * t->block_len;

        copy_block(f, w, j, i, block);
        if (faulty)
            mutate_block(f, t, i, block);
        factors(t, block, a, b);
        if (faulty)
            mutate_values(f, t, block, a, b);
        for (size_t k = 0; k < t->block_len; k++)
            row->w[at + k] = a[k] + b[k];
        if (codes)
            take_codes(t, block, a, b, at, row);
    }
    mutate_row(f, w, j, row);
}
