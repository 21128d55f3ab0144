#include "scale_classes.h"

#include "random.h"
#include "ref/half.h"

const char *const scale_class_names[SCALE_CLASSES] = {
    [SCALE_ZERO] = "zero",     [SCALE_SUBNORMAL] = "subnormal",
    [SCALE_NORMAL] = "normal", [SCALE_HUGE] = "huge",
    [SCALE_INF] = "inf",       [SCALE_NAN] = "nan",
};

/* Bit patterns lo…hi (without the sign) that make up a class. */
struct range {
    uint32_t lo, hi;
};

struct format {
    int bytes;
    uint32_t sign; /* the bit that may be set at random */
    uint32_t one;
    float (*value)(uint32_t bits);
    struct range classes[SCALE_CLASSES];
};

static float fp16_value(uint32_t bits) { return assay_ref_from_fp16((uint16_t)bits); }
static float bf16_value(uint32_t bits) { return assay_ref_from_bf16((uint16_t)bits); }
static float e8m0_value(uint32_t bits) { return assay_ref_from_e8m0_half((uint8_t)bits); }
static float ue4m3_value(uint32_t bits) { return assay_ref_from_ue4m3_half((uint8_t)bits); }

static const struct format fp32 = {
    4,
    0x80000000,
    0x3f800000,
    assay_ref_float_from_bits,
    {
        [SCALE_ZERO] = {0, 0},
        [SCALE_SUBNORMAL] = {1, 0x007fffff},
        [SCALE_NORMAL] = {0x38000000, 0x3f800000},
        [SCALE_HUGE] = {0x7f000000, 0x7f7fffff},
        [SCALE_INF] = {0x7f800000, 0x7f800000},
        [SCALE_NAN] = {0x7f800001, 0x7fffffff},
    },
};

static const struct format fp16 = {
    2,
    0x8000,
    0x3c00,
    fp16_value,
    {
        [SCALE_ZERO] = {0, 0},
        [SCALE_SUBNORMAL] = {1, 0x3ff},
        [SCALE_NORMAL] = {0x0c00, 0x3c00},
        [SCALE_HUGE] = {0x7800, 0x7bff},
        [SCALE_INF] = {0x7c00, 0x7c00},
        [SCALE_NAN] = {0x7c01, 0x7fff},
    },
};

static const struct format bf16 = {
    2,
    0x8000,
    0x3f80,
    bf16_value,
    {
        [SCALE_ZERO] = {0, 0},
        [SCALE_SUBNORMAL] = {1, 0x7f},
        [SCALE_NORMAL] = {0x3800, 0x3f80},
        [SCALE_HUGE] = {0x7f00, 0x7f7f},
        [SCALE_INF] = {0x7f80, 0x7f80},
        [SCALE_NAN] = {0x7f81, 0x7fff},
    },
};

static const struct format e8m0 = {
    1,
    0,
    128,
    e8m0_value,
    {
        [SCALE_ZERO] = {0, 0},
        [SCALE_SUBNORMAL] = {1, 2},
        [SCALE_NORMAL] = {110, 130},
        [SCALE_HUGE] = {250, 254},
        [SCALE_INF] = {255, 255},
        [SCALE_NAN] = {255, 255},
    },
};

static const struct format ue4m3 = {
    1,
    0x80,
    0x40,
    ue4m3_value,
    {
        [SCALE_ZERO] = {0, 0},
        [SCALE_SUBNORMAL] = {1, 7},
        [SCALE_NORMAL] = {8, 0x6f},
        [SCALE_HUGE] = {0x78, 0x7e},
        [SCALE_INF] = {0x7f, 0x7f},
        [SCALE_NAN] = {0x7f, 0x7f},
    },
};

static const struct field {
    enum assay_type type;
    const struct format *format;
    size_t offset;
} fields[] = {
    {ASSAY_TYPE_F32, &fp32, 0},    {ASSAY_TYPE_F16, &fp16, 0},    {ASSAY_TYPE_BF16, &bf16, 0},
    {ASSAY_TYPE_Q1_0, &fp16, 0},   {ASSAY_TYPE_Q2_0, &fp16, 0},   {ASSAY_TYPE_Q4_0, &fp16, 0},
    {ASSAY_TYPE_Q4_1, &fp16, 0},   {ASSAY_TYPE_Q4_1, &fp16, 2},   {ASSAY_TYPE_Q5_0, &fp16, 0},
    {ASSAY_TYPE_Q5_1, &fp16, 0},   {ASSAY_TYPE_Q5_1, &fp16, 2},   {ASSAY_TYPE_Q8_0, &fp16, 0},
    {ASSAY_TYPE_Q2_K, &fp16, 80},  {ASSAY_TYPE_Q2_K, &fp16, 82},  {ASSAY_TYPE_Q3_K, &fp16, 108},
    {ASSAY_TYPE_Q4_K, &fp16, 0},   {ASSAY_TYPE_Q4_K, &fp16, 2},   {ASSAY_TYPE_Q5_K, &fp16, 0},
    {ASSAY_TYPE_Q5_K, &fp16, 2},   {ASSAY_TYPE_Q6_K, &fp16, 208}, {ASSAY_TYPE_Q8_K, &fp32, 0},
    {ASSAY_TYPE_IQ1_S, &fp16, 0},  {ASSAY_TYPE_IQ1_M, &fp16, 48}, {ASSAY_TYPE_IQ2_XXS, &fp16, 0},
    {ASSAY_TYPE_IQ2_XS, &fp16, 0}, {ASSAY_TYPE_IQ2_S, &fp16, 0},  {ASSAY_TYPE_IQ3_XXS, &fp16, 0},
    {ASSAY_TYPE_IQ3_S, &fp16, 0},  {ASSAY_TYPE_IQ4_NL, &fp16, 0}, {ASSAY_TYPE_IQ4_XS, &fp16, 0},
    {ASSAY_TYPE_TQ1_0, &fp16, 52}, {ASSAY_TYPE_TQ2_0, &fp16, 64}, {ASSAY_TYPE_MXFP4, &e8m0, 0},
    {ASSAY_TYPE_NVFP4, &ue4m3, 0}, {ASSAY_TYPE_NVFP4, &ue4m3, 1}, {ASSAY_TYPE_NVFP4, &ue4m3, 2},
    {ASSAY_TYPE_NVFP4, &ue4m3, 3},
};

enum { FIELDS = sizeof fields / sizeof fields[0] };

static const struct field *field_of(const struct assay_type_traits *t, size_t i) {
    for (size_t f = 0; f < FIELDS; f++)
        if (fields[f].type == t->type && i-- == 0)
            return &fields[f];
    return NULL;
}

size_t scale_fields(const struct assay_type_traits *t) {
    size_t n = 0;
    while (field_of(t, n))
        n++;
    return n;
}

static void put_bits(const struct field *f, uint8_t *block, uint32_t bits) {
    if (f->type == ASSAY_TYPE_IQ1_M) { /* nibble n is the top nibble of the n-th uint16 */
        for (size_t n = 0; n < 4; n++) {
            uint8_t *top = &block[f->offset + 2 * n + 1];
            *top = (uint8_t)((*top & 15) | (bits >> 4 * n & 15) << 4);
        }
        return;
    }
    for (int byte = 0; byte < f->format->bytes; byte++)
        block[f->offset + (size_t)byte] = (uint8_t)(bits >> 8 * byte);
}

void set_scale(const struct assay_type_traits *t, uint8_t *block, size_t i, enum scale_class c,
               uint64_t *random_state) {
    const struct field *f = field_of(t, i);
    struct range r = f->format->classes[c];
    uint64_t random = random_u64(random_state);
    uint32_t bits = r.lo + (uint32_t)((random >> 32) % (r.hi - r.lo + 1));

    put_bits(f, block, random & 1 ? bits | f->format->sign : bits);
}

void set_scale_to_one(const struct assay_type_traits *t, uint8_t *block, size_t i) {
    const struct field *f = field_of(t, i);
    put_bits(f, block, f->format->one);
}

float scale_value(const struct assay_type_traits *t, const uint8_t *block, size_t i) {
    const struct field *f = field_of(t, i);
    uint32_t bits = 0;

    if (t->type == ASSAY_TYPE_IQ1_M) {
        for (size_t n = 0; n < 4; n++)
            bits |= (uint32_t)(block[f->offset + 2 * n + 1] >> 4) << 4 * n;
    } else {
        for (int byte = 0; byte < f->format->bytes; byte++)
            bits |= (uint32_t)block[f->offset + (size_t)byte] << 8 * byte;
    }
    return f->format->value(bits);
}
