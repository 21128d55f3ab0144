/* Every pattern of every two-byte field that holds a floating-point scale, against ggml. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>
#include <string.h>

#include "ggml_oracle.h"
#include "random.h"
#include "ref/half.h"
#include "ref/types.h"

enum { PATTERNS = 1 << 16, BATCH = 64 };

static size_t rows[64];

/* Parameters are rows of the type table: indices, as Criterion copies them to another process. */
ParameterizedTestParameters(scales, every_two_byte_pattern_decodes_as_in_ggml) {
    size_t n = 0;
    for (size_t i = 0; i < assay_type_count(); i++)
        if (assay_type_at(i)->dequant != NULL && assay_type_at(i)->type != ASSAY_TYPE_F32)
            rows[n++] = i;
    return cr_make_param_array(size_t, rows, n);
}

/* Two bytes at every even place of a block take every value, whether they are a scale or codes: it
 * takes no list of fields that could be wrong. Blocks are otherwise random. Long blocks have places
 * enough that those after the first and last 8 are left to test_dequant.c. */
ParameterizedTest(size_t *row, scales, every_two_byte_pattern_decodes_as_in_ggml) {
    static uint8_t blocks[BATCH * 300];
    static float want[BATCH * ASSAY_MAX_BLOCK_LEN], got[BATCH * ASSAY_MAX_BLOCK_LEN];
    const struct assay_type_traits *t = assay_type_at(*row);
    const char *why;
    uint64_t state = *row;
    ggml_dequant_fn witness = ggml_dequantiser(t, &why);
    if (witness == NULL)
        cr_skip_test("%s", why);

    for (uint32_t at = 0; at + 2 <= t->block_bytes; at += 2) {
        if (at >= 8 && at + 8 < t->block_bytes)
            continue;
        random_bytes(&state, blocks, BATCH * t->block_bytes);
        for (uint32_t p = 0; p < PATTERNS; p += BATCH) {
            for (uint32_t i = 0; i < BATCH; i++) {
                blocks[i * t->block_bytes + at] = (uint8_t)(p + i);
                blocks[i * t->block_bytes + at + 1] = (uint8_t)((p + i) >> 8);
            }
            witness(blocks, want, BATCH * t->block_len);
            assay_dequant_row(t, blocks, BATCH * t->block_len, got);
            if (memcmp(want, got, BATCH * t->block_len * sizeof *got) == 0)
                continue;
            for (uint32_t i = 0; i < BATCH * t->block_len; i++)
                cr_assert(assay_ref_float_bits(got[i]) == assay_ref_float_bits(want[i]) ||
                              (isnan(got[i]) && isnan(want[i])),
                          "%s: pattern %04x at byte %u, weight %u: %a, ggml %a", t->name,
                          p + i / t->block_len, at, i % t->block_len, (double)got[i],
                          (double)want[i]);
        }
    }
}
