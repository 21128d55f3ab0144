/* Blocks for probes: sweeps through the values of every field. */
#include <string.h>

#include "probe.h"
#include "ref/fields.h"

/* Takes every value in 2^bits consecutive phases, and drifts, so that fields of different width do
 * not stay in step. The multipliers are odd and differ by kind and by element. */
static uint32_t rotating(const struct assay_field *f, size_t phase, unsigned element) {
    static const unsigned step[] = {
        [ASSAY_FIELD_CODE] = 5,   [ASSAY_FIELD_POINT] = 9, [ASSAY_FIELD_SIGN] = 3,
        [ASSAY_FIELD_SCALE] = 11, [ASSAY_FIELD_MIN] = 21,
    };
    size_t drift = 3 * (phase >> f->bits);
    unsigned neighbour = f->kind == ASSAY_FIELD_POINT ? 67 : 7;

    return (uint32_t)(step[f->kind] * phase + drift + (size_t)neighbour * (f->first + element));
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
