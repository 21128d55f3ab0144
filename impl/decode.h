/* impl's own block decoders (packed structs), for the scalar backend, row lookup, the tiles of
 * types without a dedicated kernel, and eager loading. Independent of ref/: ref decodes by byte
 * offset, impl by struct, so that one layout mistake can't hide in both. */
#ifndef ASSAY_IMPL_DECODE_H
#define ASSAY_IMPL_DECODE_H

#include <stddef.h>
#include <stdint.h>

#include "ref/types.h"

/* Decodes `nblocks` consecutive blocks to fp32, bit-identical to the reference decoder (of a NaN,
 * sign and payload may differ). The blocks need no alignment. */
typedef void (*assay_decode_fn)(const void *blocks, size_t nblocks, float *out);

/* Decoder of a type, or NULL. */
assay_decode_fn assay_decoder(const struct assay_type_traits *t);

/* clang-format off */
/* The decoders: assay_decode_q4_k and so on. */
#define ASSAY_DECODERS(X)                                                                          \
    X(F32, f32) X(F16, f16) X(BF16, bf16)                                                          \
    X(Q1_0, q1_0) X(Q2_0, q2_0) X(Q4_0, q4_0) X(Q4_1, q4_1) X(Q5_0, q5_0) X(Q5_1, q5_1)            \
    X(Q8_0, q8_0) X(MXFP4, mxfp4) X(NVFP4, nvfp4) X(TQ1_0, tq1_0) X(TQ2_0, tq2_0)                  \
    X(Q2_K, q2_k) X(Q3_K, q3_k) X(Q4_K, q4_k) X(Q5_K, q5_k) X(Q6_K, q6_k) X(Q8_K, q8_k)            \
    X(IQ1_S, iq1_s) X(IQ1_M, iq1_m) X(IQ2_XXS, iq2_xxs) X(IQ2_XS, iq2_xs) X(IQ2_S, iq2_s)          \
    X(IQ3_XXS, iq3_xxs) X(IQ3_S, iq3_s) X(IQ4_NL, iq4_nl) X(IQ4_XS, iq4_xs)
/* clang-format on */

#define ASSAY_DECLARE_DECODER(ENUM, name)                                                          \
    void assay_decode_##name(const void *blocks, size_t nblocks, float *out);
ASSAY_DECODERS(ASSAY_DECLARE_DECODER)
#undef ASSAY_DECLARE_DECODER

#endif
