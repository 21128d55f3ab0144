#include "golden.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ref/half.h"

const struct golden golden_vectors[] = {
#include "golden.inc"
};

const size_t golden_count = sizeof golden_vectors / sizeof golden_vectors[0];

static size_t parse_block(const char *hex, uint8_t *block, size_t size) {
    size_t n = 0;
    for (; hex[0] && hex[1] && n < size; hex += 2) {
        char byte[3] = {hex[0], hex[1], 0};
        block[n++] = (uint8_t)strtoul(byte, NULL, 16);
    }
    return *hex ? 0 : n;
}

static size_t parse_floats(const char *text, uint32_t *bits, size_t size) {
    size_t n = 0;
    while (*text) {
        char *end;
        uint32_t value = (uint32_t)strtoul(text, &end, 16);
        unsigned long run = *end == '*' ? strtoul(end + 1, &end, 10) : 1;
        if (run > size - n)
            return 0;
        while (run--)
            bits[n++] = value;
        text = *end == ' ' ? end + 1 : end;
        if (text == end && *end)
            return 0;
    }
    return n;
}

int golden_mismatch(size_t i) {
    const struct golden *g = &golden_vectors[i];
    const struct assay_type_traits *t = assay_type_traits(g->type);
    uint8_t block[512];
    uint32_t want[ASSAY_MAX_BLOCK_LEN];
    float got[ASSAY_MAX_BLOCK_LEN];

    if (parse_block(g->block, block, sizeof block) != t->block_bytes ||
        parse_floats(g->floats, want, ASSAY_MAX_BLOCK_LEN) != t->block_len)
        return (int)t->block_len;
    t->dequant(block, got);
    for (uint32_t j = 0; j < t->block_len; j++) {
        bool same = isnan(got[j]) ? want[j] == 0x7fc00000 : assay_ref_float_bits(got[j]) == want[j];
        if (!same)
            return (int)j;
    }
    return -1;
}
