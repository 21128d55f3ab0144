#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/rng.h"
#include "impl/decode.h"
#include "impl/half.h"
#include "ref/half.h"
#include "ref/types.h"

/* Equal bits, or both NaN. */
static bool same(float a, float b) {
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

/* Decodes nblocks blocks at once and compares each weight with the reference. */
static void compare(const struct assay_type_traits *t, const uint8_t *blocks, size_t nblocks) {
    float *got = malloc(nblocks * t->block_len * sizeof *got);
    assay_decoder(t)(blocks, nblocks, got);
    for (size_t b = 0; b < nblocks; b++) {
        float want[ASSAY_MAX_BLOCK_LEN];
        t->dequant(blocks + b * t->block_bytes, want);
        for (size_t i = 0; i < t->block_len; i++) {
            float g = got[b * t->block_len + i];
            cr_assert(same(g, want[i]), "%s block %zu weight %zu: got %a, expected %a", t->name, b,
                      i, (double)g, (double)want[i]);
        }
    }
    free(got);
}

Test(decode, has_a_decoder_exactly_where_the_reference_has) {
    for (size_t i = 0; i < assay_type_count(); i++) {
        const struct assay_type_traits *t = assay_type_at(i);
        cr_expect_eq(assay_decoder(t) != NULL, t->dequant != NULL, "%s", t->name);
    }
}

Test(decode, random_blocks_are_bit_identical_to_the_reference) {
    struct assay_rng r;
    assay_rng_seed(&r, 1);
    for (size_t i = 0; i < assay_type_count(); i++) {
        const struct assay_type_traits *t = assay_type_at(i);
        if (!t->dequant)
            continue;
        size_t nblocks = 200000 / t->block_len;
        uint8_t *bytes = malloc(nblocks * t->block_bytes + 1);
        uint8_t *blocks = bytes + 1; /* no alignment, as in a file */
        assay_rng_bytes(&r, blocks, nblocks * t->block_bytes);
        compare(t, blocks, nblocks);
        free(bytes);
    }
}

/* Puts each class of scale at every place of a block, so at every scale of every type. */
Test(decode, special_scales_are_bit_identical_to_the_reference) {
    static const uint16_t special[] = {0x0000, 0x8000, 0x0001, 0x83ff, 0x0400,
                                       0x7bff, 0x7c00, 0xfc00, 0x7e01, 0xffff};
    enum { SPECIALS = sizeof special / sizeof special[0] };
    struct assay_rng r;
    assay_rng_seed(&r, 2);
    for (size_t i = 0; i < assay_type_count(); i++) {
        const struct assay_type_traits *t = assay_type_at(i);
        if (!t->dequant)
            continue;
        size_t nblocks = 0;
        uint8_t *blocks = malloc((size_t)t->block_bytes * (t->block_bytes * SPECIALS + 2));
        for (size_t at = 0; at + 2 <= t->block_bytes; at++)
            for (int s = 0; s < SPECIALS; s++) {
                uint8_t *block = blocks + nblocks++ * t->block_bytes;
                assay_rng_bytes(&r, block, t->block_bytes);
                memcpy(block + at, &special[s], sizeof special[s]);
            }
        memset(blocks + nblocks++ * t->block_bytes, 0x00, t->block_bytes);
        memset(blocks + nblocks++ * t->block_bytes, 0xff, t->block_bytes);
        compare(t, blocks, nblocks);
        free(blocks);
    }
}

Test(decode, each_byte_of_a_tiny_float_block_is_covered) {
    const struct assay_type_traits *mxfp4 = assay_type_traits(ASSAY_TYPE_MXFP4);
    const struct assay_type_traits *nvfp4 = assay_type_traits(ASSAY_TYPE_NVFP4);
    for (int e = 0; e < 256; e++) {
        uint8_t block[36];
        for (size_t i = 0; i < sizeof block; i++)
            block[i] = (uint8_t)(i * 16 + 15 - i % 16);
        block[0] = (uint8_t)e;
        compare(mxfp4, block, 1);
        block[1] = block[2] = block[3] = (uint8_t)(e + 85);
        compare(nvfp4, block, 1);
    }
}

Test(half, every_pattern_widens_as_in_the_reference) {
    enum { N = 65536 };
    uint16_t *h = malloc(N * sizeof *h);
    float *f = malloc(N * sizeof *f);
    for (unsigned i = 0; i < N; i++)
        h[i] = (uint16_t)i;
    assay_f16_to_f32_n(h, f, N);
    for (unsigned i = 0; i < N; i++) {
        float want = assay_ref_from_fp16(h[i]), scalar = assay_f16_to_f32(h[i]);
        cr_assert(same(scalar, want), "0x%04x: got %a, expected %a", i, (double)scalar,
                  (double)want);
        cr_assert(same(f[i], want), "0x%04x in an array: got %a, expected %a", i, (double)f[i],
                  (double)want);
    }
    free(f);
    free(h);
}

/* A binary16 NaN keeps only that it is one. */
static bool same_half(uint16_t a, uint16_t b) {
    return a == b || ((a & 0x7fff) > 0x7c00 && (b & 0x7fff) > 0x7c00);
}

static void narrow(const float *f, size_t n) {
    uint16_t *h = malloc(n * sizeof *h);
    assay_f32_to_f16_n(f, h, n);
    for (size_t i = 0; i < n; i++) {
        uint16_t want = assay_ref_to_fp16(f[i]), scalar = assay_f32_to_f16(f[i]);
        cr_assert(same_half(scalar, want), "%a: got 0x%04x, expected 0x%04x", (double)f[i], scalar,
                  want);
        cr_assert(same_half(h[i], want), "%a in an array: got 0x%04x, expected 0x%04x",
                  (double)f[i], h[i], want);
    }
    free(h);
}

Test(half, random_numbers_narrow_as_in_the_reference) {
    enum { N = 100003 };
    struct assay_rng r;
    assay_rng_seed(&r, 3);
    float *f = malloc(N * sizeof *f);
    assay_rng_bytes(&r, f, N * sizeof *f);
    narrow(f, N);
    free(f);
}

/* Halfway between neighbours, and the fp32 numbers beside that: where rounding decides. */
Test(half, ties_narrow_to_even) {
    float *f = malloc(0x7c00 * 6 * sizeof *f);
    size_t n = 0;
    for (uint16_t h = 0; h < 0x7c00; h++) {
        float lo = assay_ref_from_fp16(h);
        float hi = h + 1 < 0x7c00 ? assay_ref_from_fp16((uint16_t)(h + 1)) : 65536.0f;
        float mid = (lo + hi) / 2;
        const float near[3] = {nextafterf(mid, 0.0f), mid, nextafterf(mid, INFINITY)};
        for (int i = 0; i < 3; i++) {
            f[n++] = near[i];
            f[n++] = -near[i];
        }
    }
    narrow(f, n);
    free(f);
}
