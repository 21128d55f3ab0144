/* Random blocks for the tests of impl, without knowledge of any block's layout. */
#ifndef ASSAY_IMPL_TESTS_BLOCKS_RANDOM_H
#define ASSAY_IMPL_TESTS_BLOCKS_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#include "datasets/rng.h"
#include "ref/types.h"

/* Row of blocks of random bytes, each drawn anew until all of its weights lie within ±64. */
void random_blocks(struct assay_rng *r, const struct assay_type_traits *t, size_t nblocks,
                   uint8_t *out);

/* rows × in weights of such blocks on the heap; *nbytes their size. */
uint8_t *random_matrix(struct assay_rng *r, const struct assay_type_traits *t, size_t rows,
                       size_t in, size_t *nbytes);

/* n floats of N(0,1) on the heap. */
float *random_floats(struct assay_rng *r, size_t n);

#endif
