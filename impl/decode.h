/* impl's own block decoders (packed structs), for the scalar backend, row lookup, the tiles of
 * types without a dedicated kernel, and eager loading. Independent of ref/: ref decodes by byte
 * offset, impl by struct, so that one layout mistake can't hide in both. */
#ifndef ASSAY_IMPL_DECODE_H
#define ASSAY_IMPL_DECODE_H

#include <stddef.h>
#include <stdint.h>

#include "ref/types.h"

/* Decodes `nblocks` consecutive blocks to fp32, bit-identical to the reference decoder. */
typedef void (*assay_decode_fn)(const void *blocks, size_t nblocks, float *out);

/* Decoder of a type, or NULL. */
assay_decode_fn assay_decoder(const struct assay_type_traits *t);

#endif
