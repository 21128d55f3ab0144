/* Blocks for probes: sweeps through the values of every field. */
#include <string.h>

#include "probe.h"
#include "ref/fields.h"

/* A few well-mixed bits of two small numbers. */
static uint32_t mixed(size_t a, size_t b) {
    uint32_t h = (uint32_t)a * 0x9e3779b1u ^ (uint32_t)b * 0x85ebca6bu;

    h = (h ^ h >> 15) * 0x2c1b3c6du;
    return h ^ h >> 13;
}

/* Takes every value in each run of 2^bits phases, in an order of the element and the run: elements
 * that changed places would be seen. Of longer codebook indices the upper 8 bits do; neighbours
 * share the order of these and differ in the lower bits, so that together they take every value. */
static uint32_t rotating(const struct assay_field *f, size_t phase, unsigned element) {
    unsigned low = f->bits > 8 ? f->bits - 8u : 0, upper = f->bits - low;
    size_t place = (size_t)f->kind << 16 | (f->first + element) >> low;
    uint32_t order = mixed(place, phase >> upper);
    uint32_t mask = (1u << upper) - 1;
    uint32_t value = ((order | 1) * (uint32_t)phase + (order >> 16)) & mask;
    uint32_t rest = element + (uint32_t)(phase ^ phase >> 3);

    value = (value ^ value >> (upper + 1) / 2) * (order >> 8 | 1) & mask;
    return value << low | (rest & ((1u << low) - 1));
}

/* Exponents of scales: five octaves below `top`, or as wide as the format and the class allow. */
static unsigned exponent(size_t phase, unsigned lowest, unsigned count) {
    return lowest + (unsigned)(7 * phase + phase / 16) % count;
}

/* All ten fraction bits in turn and in mixture; the sign changes at another pace. */
static uint32_t fraction(size_t phase, unsigned element, unsigned bits) {
    return (uint32_t)(phase + 77 * element) * 0x9e3779b1u >> (32 - bits);
}

static uint32_t floating(const struct assay_field *f, bool f16, size_t phase, unsigned element) {
    uint32_t sign = (phase ^ phase >> 2 ^ element) & 1;
    /* Exponents beside the bias: with the largest codes times sub-block scales of any type, some
     * 2^12, weights stay below 2^15; formats with the range of fp32 go further. */
    unsigned low = f16 ? 20 : 60, high = f16 ? 2 : 60;

    switch (f->format) {
    case ASSAY_FORMAT_HALF:
        return sign << 15 | exponent(phase, 15 - 4, 6) << 10 | fraction(phase, element, 10);
    case ASSAY_FORMAT_BF16:
        return sign << 15 | exponent(phase, 127 - low, low + high) << 7 |
               fraction(phase, element, 7);
    case ASSAY_FORMAT_FLOAT:
        return sign << 31 | exponent(phase, 127 - low, low + high) << 23 |
               fraction(phase, element, 23);
    case ASSAY_FORMAT_E8M0:
        return exponent(phase, 127 - low, low + high);
    default:
        return (uint32_t)(5 * phase + 13 * element); /* UE4M3: all of its values */
    }
}

/* A 16-bit plain type has few enough numbers to try them all: `phase` is the pattern, whose
 * exponent is folded into the range that the class allows. */
static uint32_t plain(const struct assay_field *f, bool f16, size_t phase) {
    unsigned low = f16 ? 20 : 60, high = f16 ? 14 : 80;

    if (f->format == ASSAY_FORMAT_HALF)
        return (uint32_t)((phase & 0x7c00) == 0x7c00 ? phase & 0xbfff : phase);
    if (f->format == ASSAY_FORMAT_BF16)
        return (uint32_t)((phase & 0x8000) | (127 - low + (phase >> 7 & 0xff) % (low + high)) << 7 |
                          (phase & 0x7f));
    return floating(f, f16, phase, 0);
}

void assay_probe_sweep(const struct assay_type_traits *t, enum assay_weight_arith as, size_t phase,
                       uint8_t *block) {
    bool f16 = as == ASSAY_WEIGHT_F16;
    size_t n;
    const struct assay_field *fields = assay_fields(t, &n);

    for (size_t i = 0; i < n; i++) {
        const struct assay_field *f = &fields[i];
        for (unsigned e = 0; e < f->count; e++)
            if (t->block_len == 1)
                assay_field_set(f, block, e, plain(f, f16, phase));
            else if (f->kind == ASSAY_FIELD_FLOAT)
                assay_field_set(f, block, e, floating(f, f16, phase, e));
            else if (f->kind != ASSAY_FIELD_DERIVED)
                assay_field_set(f, block, e, rotating(f, phase, e));
    }
    assay_fields_derive(t, block);
}

size_t assay_probe_columns(const struct assay_type_traits *t, size_t blocks) {
    return t->block_len > 1 ? blocks * t->block_len : 16 * blocks;
}
