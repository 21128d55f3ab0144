#include "fields.h"

#include <math.h>
#include <string.h>

#include "dequant.h"

/* clang-format off */

/* Reach: one weight an element; runs of n weights an element; all n weights. */
#define EACH      0, 1, 1, 1
#define RUNS(n)   0, n, n, 1
#define ALL(n)    0, 0, n, 1

/* A field whose elements lie whole, `stride` bits apart from bit `at`. */
#define WHOLE(elements, width, at, stride) {{0, elements, 0, width, at, {{elements, stride}}}}
#define BYTES(n) (8 * (n))

#define UINT_FIELD(name, kind, bits, bias, elements, reach, ...) \
    {name, ASSAY_FIELD_##kind, ASSAY_FORMAT_UINT, bits, bias, elements, 0, reach, __VA_ARGS__}
#define INT_FIELD(name, kind, elements, reach, byte) \
    {name, ASSAY_FIELD_##kind, ASSAY_FORMAT_INT, 8, 0, elements, 0, reach, \
     WHOLE(elements, 8, BYTES(byte), 8)}
#define HALF_FIELD(name, byte, weights) \
    {name, ASSAY_FIELD_FLOAT, ASSAY_FORMAT_HALF, 16, 0, 1, 0, ALL(weights), \
     WHOLE(1, 16, BYTES(byte), 16)}
#define FLOAT_FIELD(name, format, bits, weights) \
    {name, ASSAY_FIELD_FLOAT, ASSAY_FORMAT_##format, bits, 0, 1, 0, ALL(weights), \
     WHOLE(1, bits, 0, bits)}

/* Planes of codes, by the name that the decoders' comments give the arrangement. */
#define NIBBLES32(byte)  {0, 32, 0, 4, BYTES(byte), {{16, 8}, {2, 4}}}
#define NIBBLES256(byte) {0, 256, 0, 4, BYTES(byte), {{32, 8}, {2, 4}, {4, BYTES(32)}}}
#define PAIRS256(byte, low) {0, 256, low, 2, BYTES(byte), {{32, 8}, {4, 2}, {2, BYTES(32)}}}
#define BITS32(byte, low)   {0, 32, low, 1, BYTES(byte), {{32, 1}}}
#define BITS256(byte, low)  {0, 256, low, 1, BYTES(byte), {{32, 8}, {8, 1}}}

/* The 12 bytes at 4 of Q4_K and Q5_K. */
#define K_SCALES \
    UINT_FIELD("scale", SCALE, 6, 0, 8, RUNS(32), \
               {{0, 4, 0, 6, BYTES(4), {{4, 8}}}, \
                {4, 4, 0, 4, BYTES(12), {{4, 8}}}, \
                {4, 4, 4, 2, BYTES(4) + 6, {{4, 8}}}}), \
    UINT_FIELD("min", MIN, 6, 0, 8, RUNS(32), \
               {{0, 4, 0, 6, BYTES(8), {{4, 8}}}, \
                {4, 4, 0, 4, BYTES(12) + 4, {{4, 8}}}, \
                {4, 4, 4, 2, BYTES(8) + 6, {{4, 8}}}})

/* TQ1_0: byte `first` + e holds a digit of `digits` weights, `stride` apart from weight0 + e. */
#define DIGITS(first, elements, weight0, digits, stride) \
    {"digits", ASSAY_FIELD_CODE, ASSAY_FORMAT_UINT, 8, 0, elements, first, \
     weight0, 1, digits, stride, WHOLE(elements, 8, BYTES(first), 8)}

static const struct assay_field f32_fields[] = {FLOAT_FIELD("value", FLOAT, 32, 1)};
static const struct assay_field f16_fields[] = {FLOAT_FIELD("value", HALF, 16, 1)};
static const struct assay_field bf16_fields[] = {FLOAT_FIELD("value", BF16, 16, 1)};

static const struct assay_field q1_0_fields[] = {
    HALF_FIELD("d", 0, 128),
    UINT_FIELD("code", CODE, 1, 0, 128, EACH, WHOLE(128, 1, BYTES(2), 1)),
};
static const struct assay_field q2_0_fields[] = {
    HALF_FIELD("d", 0, 64),
    UINT_FIELD("code", CODE, 2, 1, 64, EACH, WHOLE(64, 2, BYTES(2), 2)),
};
static const struct assay_field q4_0_fields[] = {
    HALF_FIELD("d", 0, 32),
    UINT_FIELD("code", CODE, 4, 8, 32, EACH, {NIBBLES32(2)}),
};
static const struct assay_field q4_1_fields[] = {
    HALF_FIELD("d", 0, 32),
    HALF_FIELD("m", 2, 32),
    UINT_FIELD("code", CODE, 4, 0, 32, EACH, {NIBBLES32(4)}),
};
static const struct assay_field q5_0_fields[] = {
    HALF_FIELD("d", 0, 32),
    UINT_FIELD("code", CODE, 5, 16, 32, EACH, {NIBBLES32(6), BITS32(2, 4)}),
};
static const struct assay_field q5_1_fields[] = {
    HALF_FIELD("d", 0, 32),
    HALF_FIELD("m", 2, 32),
    UINT_FIELD("code", CODE, 5, 0, 32, EACH, {NIBBLES32(8), BITS32(4, 4)}),
};
static const struct assay_field q8_0_fields[] = {
    HALF_FIELD("d", 0, 32),
    INT_FIELD("code", CODE, 32, EACH, 2),
};
static const struct assay_field q2_k_fields[] = {
    HALF_FIELD("d", 80, 256),
    HALF_FIELD("dmin", 82, 256),
    UINT_FIELD("scale", SCALE, 4, 0, 16, RUNS(16), WHOLE(16, 4, 0, 8)),
    UINT_FIELD("min", MIN, 4, 0, 16, RUNS(16), WHOLE(16, 4, 4, 8)),
    UINT_FIELD("code", CODE, 2, 0, 256, EACH, {PAIRS256(16, 0)}),
};
static const struct assay_field q3_k_fields[] = {
    HALF_FIELD("d", 108, 256),
    UINT_FIELD("scale", SCALE, 6, 32, 16, RUNS(16),
               {{0, 16, 0, 4, BYTES(96), {{8, 8}, {2, 4}}},
                {0, 16, 4, 2, BYTES(104), {{4, 8}, {4, 2}}}}),
    UINT_FIELD("code", CODE, 3, 4, 256, EACH, {PAIRS256(32, 0), BITS256(0, 2)}),
};
static const struct assay_field q4_k_fields[] = {
    HALF_FIELD("d", 0, 256),
    HALF_FIELD("dmin", 2, 256),
    K_SCALES,
    UINT_FIELD("code", CODE, 4, 0, 256, EACH, {NIBBLES256(16)}),
};
static const struct assay_field q5_k_fields[] = {
    HALF_FIELD("d", 0, 256),
    HALF_FIELD("dmin", 2, 256),
    K_SCALES,
    UINT_FIELD("code", CODE, 5, 0, 256, EACH, {NIBBLES256(48), BITS256(16, 4)}),
};
static const struct assay_field q6_k_fields[] = {
    HALF_FIELD("d", 208, 256),
    INT_FIELD("scale", SCALE, 16, RUNS(16), 192),
    UINT_FIELD("code", CODE, 6, 32, 256, EACH,
               {{0, 256, 0, 4, 0, {{64, 8}, {2, 4}, {2, BYTES(64)}}}, PAIRS256(128, 4)}),
};
static const struct assay_field q8_k_fields[] = {
    FLOAT_FIELD("d", FLOAT, 32, 256),
    INT_FIELD("code", CODE, 256, EACH, 4),
    {"bsum", ASSAY_FIELD_DERIVED, ASSAY_FORMAT_INT, 16, 0, 16, 0, 0, 0, 0, 0,
     WHOLE(16, 16, BYTES(260), 16)},
};
static const struct assay_field iq1_s_fields[] = {
    HALF_FIELD("d", 0, 256),
    UINT_FIELD("scale", SCALE, 3, 0, 8, RUNS(32), WHOLE(8, 3, BYTES(34) + 12, 16)),
    UINT_FIELD("shift", SIGN, 1, 0, 8, RUNS(32), WHOLE(8, 1, BYTES(34) + 15, 16)),
    UINT_FIELD("point", POINT, 11, 0, 32, RUNS(8),
               {{0, 32, 0, 8, BYTES(2), {{32, 8}}}, {0, 32, 8, 3, BYTES(34), {{4, 3}, {8, 16}}}}),
};
static const struct assay_field iq1_m_fields[] = {
    {"d", ASSAY_FIELD_FLOAT, ASSAY_FORMAT_HALF, 16, 0, 1, 0, ALL(256),
     {{0, 1, 0, 4, BYTES(48) + 12, {{1, 4}}}, {0, 1, 4, 4, BYTES(50) + 12, {{1, 4}}},
      {0, 1, 8, 4, BYTES(52) + 12, {{1, 4}}}, {0, 1, 12, 4, BYTES(54) + 12, {{1, 4}}}}},
    UINT_FIELD("scale", SCALE, 3, 0, 16, RUNS(16), {{0, 16, 0, 3, BYTES(48), {{4, 3}, {4, 16}}}}),
    UINT_FIELD("shift", SIGN, 1, 0, 32, RUNS(8), WHOLE(32, 1, BYTES(32) + 3, 4)),
    UINT_FIELD("point", POINT, 11, 0, 32, RUNS(8),
               {{0, 32, 0, 8, 0, {{32, 8}}}, {0, 32, 8, 3, BYTES(32), {{32, 4}}}}),
};
static const struct assay_field iq2_xxs_fields[] = {
    HALF_FIELD("d", 0, 256),
    UINT_FIELD("scale", SCALE, 4, 0, 8, RUNS(32), WHOLE(8, 4, BYTES(6) + 28, 64)),
    UINT_FIELD("signs", SIGN, 7, 0, 32, RUNS(8), {{0, 32, 0, 7, BYTES(6), {{4, 7}, {8, 64}}}}),
    UINT_FIELD("point", POINT, 8, 0, 32, RUNS(8), {{0, 32, 0, 8, BYTES(2), {{4, 8}, {8, 64}}}}),
};
static const struct assay_field iq2_xs_fields[] = {
    HALF_FIELD("d", 0, 256),
    UINT_FIELD("scale", SCALE, 4, 0, 16, RUNS(16), WHOLE(16, 4, BYTES(66), 4)),
    UINT_FIELD("signs", SIGN, 7, 0, 32, RUNS(8), WHOLE(32, 7, BYTES(2) + 9, 16)),
    UINT_FIELD("point", POINT, 9, 0, 32, RUNS(8), WHOLE(32, 9, BYTES(2), 16)),
};
static const struct assay_field iq2_s_fields[] = {
    HALF_FIELD("d", 0, 256),
    UINT_FIELD("scale", SCALE, 4, 0, 16, RUNS(16), WHOLE(16, 4, BYTES(74), 4)),
    UINT_FIELD("sign", SIGN, 1, 0, 256, EACH, WHOLE(256, 1, BYTES(34), 1)),
    UINT_FIELD("point", POINT, 10, 0, 32, RUNS(8),
               {{0, 32, 0, 8, BYTES(2), {{32, 8}}}, {0, 32, 8, 2, BYTES(66), {{32, 2}}}}),
};
static const struct assay_field iq3_xxs_fields[] = {
    HALF_FIELD("d", 0, 256),
    UINT_FIELD("scale", SCALE, 4, 0, 8, RUNS(32), WHOLE(8, 4, BYTES(66) + 28, 32)),
    UINT_FIELD("signs", SIGN, 7, 0, 32, RUNS(8), {{0, 32, 0, 7, BYTES(66), {{4, 7}, {8, 32}}}}),
    UINT_FIELD("point", POINT, 8, 0, 64, RUNS(4), WHOLE(64, 8, BYTES(2), 8)),
};
static const struct assay_field iq3_s_fields[] = {
    HALF_FIELD("d", 0, 256),
    UINT_FIELD("scale", SCALE, 4, 0, 8, RUNS(32), WHOLE(8, 4, BYTES(106), 4)),
    UINT_FIELD("sign", SIGN, 1, 0, 256, EACH, WHOLE(256, 1, BYTES(74), 1)),
    UINT_FIELD("point", POINT, 9, 0, 64, RUNS(4),
               {{0, 64, 0, 8, BYTES(2), {{64, 8}}}, {0, 64, 8, 1, BYTES(66), {{64, 1}}}}),
};
static const struct assay_field iq4_nl_fields[] = {
    HALF_FIELD("d", 0, 32),
    UINT_FIELD("code", CODE, 4, 0, 32, EACH, {NIBBLES32(2)}),
};
static const struct assay_field iq4_xs_fields[] = {
    HALF_FIELD("d", 0, 256),
    UINT_FIELD("scale", SCALE, 6, 32, 8, RUNS(32),
               {{0, 8, 0, 4, BYTES(4), {{8, 4}}}, {0, 8, 4, 2, BYTES(2), {{8, 2}}}}),
    UINT_FIELD("code", CODE, 4, 0, 256, EACH,
               {{0, 256, 0, 4, BYTES(8), {{16, 8}, {2, 4}, {8, BYTES(16)}}}}),
};
static const struct assay_field tq1_0_fields[] = {
    HALF_FIELD("d", 52, 256),
    DIGITS(0, 32, 0, 5, 32),
    DIGITS(32, 16, 160, 5, 16),
    DIGITS(48, 4, 240, 4, 4),
};
static const struct assay_field tq2_0_fields[] = {
    HALF_FIELD("d", 64, 256),
    UINT_FIELD("code", CODE, 2, 1, 256, EACH, {PAIRS256(0, 0)}),
};
static const struct assay_field mxfp4_fields[] = {
    FLOAT_FIELD("e", E8M0, 8, 32),
    UINT_FIELD("code", CODE, 4, 0, 32, EACH, {NIBBLES32(1)}),
};
static const struct assay_field nvfp4_fields[] = {
    {"scale", ASSAY_FIELD_FLOAT, ASSAY_FORMAT_UE4M3, 8, 0, 4, 0, RUNS(16), WHOLE(4, 8, 0, 8)},
    UINT_FIELD("code", CODE, 4, 0, 64, EACH,
               {{0, 64, 0, 4, BYTES(4), {{8, 8}, {2, 4}, {4, BYTES(8)}}}}),
};

#define ROW(ENUM, name) [ASSAY_TYPE_##ENUM] = {name##_fields, sizeof name##_fields / sizeof *name##_fields}
static const struct {
    const struct assay_field *fields;
    size_t n;
} types[] = {
    ROW(F32, f32), ROW(F16, f16), ROW(BF16, bf16),
    ROW(Q1_0, q1_0), ROW(Q2_0, q2_0), ROW(Q4_0, q4_0), ROW(Q4_1, q4_1), ROW(Q5_0, q5_0),
    ROW(Q5_1, q5_1), ROW(Q8_0, q8_0),
    ROW(Q2_K, q2_k), ROW(Q3_K, q3_k), ROW(Q4_K, q4_k), ROW(Q5_K, q5_k), ROW(Q6_K, q6_k),
    ROW(Q8_K, q8_k),
    ROW(IQ1_S, iq1_s), ROW(IQ1_M, iq1_m), ROW(IQ2_XXS, iq2_xxs), ROW(IQ2_XS, iq2_xs),
    ROW(IQ2_S, iq2_s), ROW(IQ3_XXS, iq3_xxs), ROW(IQ3_S, iq3_s), ROW(IQ4_NL, iq4_nl),
    ROW(IQ4_XS, iq4_xs),
    ROW(TQ1_0, tq1_0), ROW(TQ2_0, tq2_0), ROW(MXFP4, mxfp4), ROW(NVFP4, nvfp4),
};
/* clang-format on */

const struct assay_field *assay_fields(const struct assay_type_traits *t, size_t *n) {
    if ((size_t)t->type >= sizeof types / sizeof *types) {
        *n = 0;
        return NULL;
    }
    *n = types[t->type].n;
    return types[t->type].fields;
}

enum { MAX_DIMS = 3 };

/* Position of element first + e of a plane. */
static size_t plane_position(const struct assay_field_plane *p, size_t e) {
    size_t at = p->at;
    for (int i = 0; i < MAX_DIMS && p->dims[i].n != 0; i++) {
        at += e % p->dims[i].n * p->dims[i].stride;
        e /= p->dims[i].n;
    }
    return at;
}

/* The reverse: the element and the bit of the plane at a position. The strides are nested, so that
 * taking the digits out from the largest stride down is exact. */
static bool plane_find(const struct assay_field_plane *p, size_t position, unsigned *element,
                       unsigned *bit) {
    size_t weight[MAX_DIMS], e = 0, rest, radix = 1;
    bool taken[MAX_DIMS] = {false};

    if (p->count == 0 || position < p->at)
        return false;
    rest = position - p->at;
    for (int i = 0; i < MAX_DIMS; i++) {
        weight[i] = radix;
        radix *= p->dims[i].n != 0 ? p->dims[i].n : 1;
    }
    for (int round = 0; round < MAX_DIMS; round++) {
        int largest = -1;
        for (int i = 0; i < MAX_DIMS; i++)
            if (!taken[i] && p->dims[i].n != 0 &&
                (largest < 0 || p->dims[i].stride > p->dims[largest].stride))
                largest = i;
        if (largest < 0)
            break;
        taken[largest] = true;
        size_t digit = rest / p->dims[largest].stride;
        if (digit >= p->dims[largest].n)
            return false;
        rest -= digit * p->dims[largest].stride;
        e += digit * weight[largest];
    }
    *element = p->first + (unsigned)e;
    *bit = p->low + (unsigned)rest;
    return rest < p->width;
}

bool assay_field_at(const struct assay_type_traits *t, size_t position,
                    struct assay_field_bit *out) {
    size_t n;
    const struct assay_field *fields = assay_fields(t, &n);

    for (size_t i = 0; i < n; i++)
        for (int j = 0; j < ASSAY_FIELD_PLANES; j++)
            if (plane_find(&fields[i].planes[j], position, &out->element, &out->bit)) {
                out->field = &fields[i];
                return true;
            }
    return false;
}

static bool plane_holds(const struct assay_field_plane *p, unsigned element) {
    return element >= p->first && element - p->first < p->count;
}

size_t assay_field_position(const struct assay_field_bit *b) {
    for (const struct assay_field_plane *p = b->field->planes;; p++)
        if (plane_holds(p, b->element) && b->bit >= p->low && b->bit - p->low < p->width)
            return plane_position(p, b->element - p->first) + b->bit - p->low;
}

uint32_t assay_field_get(const struct assay_field *f, const uint8_t *block, unsigned element) {
    uint32_t value = 0;

    for (int j = 0; j < ASSAY_FIELD_PLANES; j++) {
        const struct assay_field_plane *p = &f->planes[j];
        if (!plane_holds(p, element))
            continue;
        size_t at = plane_position(p, element - p->first);
        for (unsigned b = 0; b < p->width; b++)
            value |= (uint32_t)(block[(at + b) / 8] >> (at + b) % 8 & 1) << (p->low + b);
    }
    return value;
}

void assay_field_set(const struct assay_field *f, uint8_t *block, unsigned element,
                     uint32_t value) {
    for (int j = 0; j < ASSAY_FIELD_PLANES; j++) {
        const struct assay_field_plane *p = &f->planes[j];
        if (!plane_holds(p, element))
            continue;
        size_t at = plane_position(p, element - p->first);
        for (unsigned b = 0; b < p->width; b++) {
            uint8_t *byte = &block[(at + b) / 8];
            unsigned shift = (unsigned)(at + b) % 8;
            *byte = (uint8_t)((*byte & ~(1u << shift)) | (value >> (p->low + b) & 1) << shift);
        }
    }
}

double assay_field_number(const struct assay_field *f, uint32_t value) {
    switch (f->format) {
    case ASSAY_FORMAT_UINT:
        return (double)value - f->bias;
    case ASSAY_FORMAT_INT:
        return (double)value - (value >> (f->bits - 1) != 0 ? ldexp(1, f->bits) : 0);
    case ASSAY_FORMAT_HALF:
        return assay_ref_from_fp16((uint16_t)value);
    case ASSAY_FORMAT_BF16:
        return assay_ref_from_bf16((uint16_t)value);
    case ASSAY_FORMAT_FLOAT:
        return assay_ref_float_from_bits(value);
    case ASSAY_FORMAT_E8M0:
        return 2 * (double)assay_ref_from_e8m0_half((uint8_t)value);
    case ASSAY_FORMAT_UE4M3:
        return 2 * (double)assay_ref_from_ue4m3_half((uint8_t)value);
    }
    return NAN;
}

bool assay_field_reaches(const struct assay_field *f, unsigned element, size_t weight) {
    size_t first = (size_t)f->weight0 + (size_t)f->weight_step * element;

    return f->weights != 0 && weight >= first && (weight - first) % f->weight_stride == 0 &&
           (weight - first) / f->weight_stride < f->weights;
}

void assay_fields_derive(const struct assay_type_traits *t, uint8_t *block) {
    const struct assay_field *code = &q8_k_fields[1], *bsum = &q8_k_fields[2];

    if (t->type != ASSAY_TYPE_Q8_K)
        return;
    for (unsigned s = 0; s < bsum->count; s++) {
        double sum = 0;
        for (unsigned i = 0; i < 16; i++)
            sum += assay_field_number(code, assay_field_get(code, block, 16 * s + i));
        assay_field_set(bsum, block, s, (uint32_t)(int32_t)sum);
    }
}

char *assay_field_name(const struct assay_field *f, unsigned element, char *buf, size_t size) {
    if (f->count == 1)
        snprintf(buf, size, "%s", f->name);
    else
        snprintf(buf, size, "%s[%u]", f->name, f->first + element);
    return buf;
}
