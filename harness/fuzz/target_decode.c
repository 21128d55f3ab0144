/* Invariant: of any bytes the reference's decoder, the kernels' decoder and, where it is installed,
 * ggml's decoder make the same weights, bit for bit (a NaN is a NaN), and none reads beyond the
 * block. Where a type has an additive term, the reference's terms are finite where its weights are.
 *
 * Input: the type's row in the table, then blocks; the last one is filled up with zeros. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "impl/decode.h"
#include "ref/half.h"
#include "ref/tests/ggml_oracle.h"

enum { MOST_BLOCKS = 4 };

static bool same(float a, float b) {
    return assay_ref_float_bits(a) == assay_ref_float_bits(b) || (isnan(a) && isnan(b));
}

/* Looked up once: NULL where ggml is not installed. */
static ggml_dequant_fn witness(const struct assay_type_traits *t) {
    static ggml_dequant_fn found[64];
    static bool looked[64];
    const char *why;

    if (t->type >= 64 || t->type == ASSAY_TYPE_F32)
        return NULL;
    if (!looked[t->type])
        found[t->type] = ggml_dequantiser(t, &why);
    looked[t->type] = true;
    return found[t->type];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_bytes in = {data, size};
    const struct assay_type_traits *t = assay_type_at(fuzz_take_u8(&in) % assay_type_count());
    if (t->dequant == NULL)
        return 0;
    size_t n = (in.left + t->block_bytes - 1) / t->block_bytes;
    n = n < 1 ? 1 : n > MOST_BLOCKS ? MOST_BLOCKS : n;
    size_t weights = n * t->block_len;
    uint8_t *blocks = malloc(n * t->block_bytes); /* exactly: the sanitizer sees a read beyond */
    float *ref = malloc(weights * sizeof *ref), *got = malloc(weights * sizeof *got);
    FUZZ_REQUIRE(blocks != NULL && ref != NULL && got != NULL, "memory");
    fuzz_take(&in, blocks, n * t->block_bytes);

    assay_dequant_row(t, blocks, weights, ref);
    assay_decoder(t)(blocks, n, got);
    for (size_t i = 0; i < weights; i++)
        FUZZ_REQUIRE(same(ref[i], got[i]), "%s weight %zu: impl %a, ref %a", t->name, i,
                     (double)got[i], (double)ref[i]);
    if (witness(t) != NULL) {
        witness(t)(blocks, got, (int64_t)weights);
        for (size_t i = 0; i < weights; i++)
            FUZZ_REQUIRE(same(ref[i], got[i]), "%s weight %zu: ggml %a, ref %a", t->name, i,
                         (double)got[i], (double)ref[i]);
    }
    if (t->min_terms != NULL) {
        t->min_terms(blocks, got);
        for (size_t i = 0; i < t->block_len; i++)
            FUZZ_REQUIRE(isfinite(got[i]) || !isfinite(ref[i]), "%s term %zu: %a of weight %a",
                         t->name, i, (double)got[i], (double)ref[i]);
    }
    free(blocks);
    free(ref);
    free(got);
    return 0;
}
