/* Where the floating-point scales of each type are, and bit patterns of every class for them. */
#ifndef ASSAY_REF_TESTS_SCALE_CLASSES_H
#define ASSAY_REF_TESTS_SCALE_CLASSES_H

#include <stddef.h>
#include <stdint.h>

#include "ref/types.h"

enum scale_class {
    SCALE_ZERO,
    SCALE_SUBNORMAL,
    SCALE_NORMAL, /* of a magnitude usual in models */
    SCALE_HUGE,   /* the largest finite exponent */
    SCALE_INF,
    SCALE_NAN,
    SCALE_CLASSES
};

extern const char *const scale_class_names[SCALE_CLASSES];

/* Number of scale fields of a block of this type (plain types: the number itself is one). */
size_t scale_fields(const struct assay_type_traits *t);

/* Writes a random pattern of the class into scale field i. Formats without infinities or NaNs get
 * their extreme patterns instead: E8M0 0xff, UE4M3 0xff and 0x7f. */
void set_scale(const struct assay_type_traits *t, uint8_t *block, size_t i, enum scale_class c,
               uint64_t *random_state);

/* Writes the pattern of 1 (E8M0 and UE4M3, which are stored doubled: of 2) into scale field i. */
void set_scale_to_one(const struct assay_type_traits *t, uint8_t *block, size_t i);

/* The number in scale field i. */
float scale_value(const struct assay_type_traits *t, const uint8_t *block, size_t i);

#endif
