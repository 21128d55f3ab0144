/* The fields of a block: which bits hold which part of which value, and which weights it reaches.
 * The map is written apart from the decoders and tested against them. */
#ifndef ASSAY_REF_FIELDS_H
#define ASSAY_REF_FIELDS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "types.h"

enum assay_field_kind {
    ASSAY_FIELD_CODE,    /* of one weight; TQ1_0: a byte of several base-3 digits */
    ASSAY_FIELD_POINT,   /* index of a codebook entry, for 4 or 8 weights */
    ASSAY_FIELD_SIGN,    /* bits that make weights negative; IQ1: the weights' common shift */
    ASSAY_FIELD_SCALE,   /* small number under `d`, of a sub-block */
    ASSAY_FIELD_MIN,     /* small number under `dmin`, of a sub-block */
    ASSAY_FIELD_FLOAT,   /* floating-point number: a scale or offset, or a plain type's weight */
    ASSAY_FIELD_DERIVED, /* follows from other fields and is not decoded (sums of Q8_K) */
};

enum assay_field_format {
    ASSAY_FORMAT_UINT,  /* unsigned, less `bias` */
    ASSAY_FORMAT_INT,   /* two's complement */
    ASSAY_FORMAT_HALF,  /* IEEE binary16 */
    ASSAY_FORMAT_BF16,  /* upper half of an IEEE binary32 number */
    ASSAY_FORMAT_FLOAT, /* IEEE binary32 */
    ASSAY_FORMAT_E8M0,  /* power of two, 2^(e-127) */
    ASSAY_FORMAT_UE4M3, /* unsigned, 4 exponent and 3 fraction bits */
};

/* Where bits low … low+width-1 of elements first … first+count-1 are. They lie together in the
 * block; those of element first + e begin at bit `at` (bit 0 of byte 0 is 0) plus Σ stride·digit,
 * where the digits are those of e in the mixed radix `dims`, the fastest first. */
struct assay_field_plane {
    uint16_t first, count;
    uint8_t low, width;
    uint16_t at;
    struct {
        uint16_t n, stride;
    } dims[3];
};

#define ASSAY_FIELD_PLANES 4

/* An array of values; element e of it is called name[first + e]. */
struct assay_field {
    const char *name; /* "d", "scale", "code" … as in the decoders' comments */
    enum assay_field_kind kind;
    enum assay_field_format format;
    uint8_t bits;   /* of a value */
    uint8_t bias;   /* ASSAY_FORMAT_UINT: the number meant is the value less this */
    uint16_t count; /* elements */
    uint16_t first; /* not 0 only where several rows share a name (TQ1_0) */
    /* Element e reaches the weights weight0 + weight_step·e + weight_stride·j, j < weights. */
    uint16_t weight0, weight_step, weights, weight_stride;
    struct assay_field_plane planes[ASSAY_FIELD_PLANES]; /* count 0: unused */
};

/* One bit of one value. */
struct assay_field_bit {
    const struct assay_field *field;
    unsigned element; /* from 0; the name's index is field->first + element */
    unsigned bit;     /* of the value, 0 is the lowest */
};

/* The fields of a type that assay decodes; *n of them. NULL and 0 for other types. */
const struct assay_field *assay_fields(const struct assay_type_traits *t, size_t *n);

/* What bit `position` of a block (bit position % 8 of byte position / 8) belongs to. False if it is
 * beyond the block. */
bool assay_field_at(const struct assay_type_traits *t, size_t position,
                    struct assay_field_bit *out);

/* The reverse: the position in the block. */
size_t assay_field_position(const struct assay_field_bit *b);

/* Reads and writes a raw value. */
uint32_t assay_field_get(const struct assay_field *f, const uint8_t *block, unsigned element);
void assay_field_set(const struct assay_field *f, uint8_t *block, unsigned element, uint32_t value);

/* The number that a raw value stands for. */
double assay_field_number(const struct assay_field *f, uint32_t value);

/* True if the element reaches weight `weight` of its block. */
bool assay_field_reaches(const struct assay_field *f, unsigned element, size_t weight);

/* Q8_K: makes the sums agree with the codes. Other types have nothing derived. */
void assay_fields_derive(const struct assay_type_traits *t, uint8_t *block);

/* "scale[3]", or the name alone where there is one element. Returns buf. */
char *assay_field_name(const struct assay_field *f, unsigned element, char *buf, size_t size);

/* Prints the block decoded, one field a paragraph, one sub-block a line; the element of `marked`
 * (NULL: none) in brackets. */
void assay_block_dump(FILE *out, const struct assay_type_traits *t, const uint8_t *block,
                      const struct assay_field_bit *marked);

#endif
