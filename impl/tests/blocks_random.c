#include "blocks_random.h"

#include <math.h>
#include <stdlib.h>

static bool tame(const struct assay_type_traits *t, const uint8_t *block) {
    float w[ASSAY_MAX_BLOCK_LEN];
    t->dequant(block, w);
    for (uint32_t i = 0; i < t->block_len; i++)
        if (!(fabsf(w[i]) <= 64.0f))
            return false;
    return true;
}

void random_blocks(struct assay_rng *r, const struct assay_type_traits *t, size_t nblocks,
                   uint8_t *out) {
    for (size_t i = 0; i < nblocks; i++)
        do
            assay_rng_bytes(r, out + i * t->block_bytes, t->block_bytes);
        while (!tame(t, out + i * t->block_bytes));
}

uint8_t *random_matrix(struct assay_rng *r, const struct assay_type_traits *t, size_t rows,
                       size_t in, size_t *nbytes) {
    size_t nblocks = rows * (in / t->block_len);
    *nbytes = nblocks * t->block_bytes;
    uint8_t *w = malloc(*nbytes + 1);
    random_blocks(r, t, nblocks, w);
    return w;
}

float *random_floats(struct assay_rng *r, size_t n) {
    float *x = malloc((n + 1) * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)assay_rng_normal(r);
    return x;
}
