/* Products with weights kept in IEEE binary16: what the eager-f16 and transient-f16 backends share.
 */
#ifndef ASSAY_IMPL_F16_GEMM_H
#define ASSAY_IMPL_F16_GEMM_H

#include "backend.h"

/* Decodes all weights of `head` and rounds them to binary16 into out[rows × in]. */
void assay_f16_decode(const struct assay_store *head, int threads, uint16_t *out);

/* Threads' tiles of fp32 weights for one product, or NULL if memory ran out. Free with free(). */
float *assay_f16_gemm_scratch(const struct assay_store *s, int threads);

/* y = x · Wᵀ with W = w[rows × in] of the shape of `s`. */
void assay_f16_gemm(const struct assay_store *s, const uint16_t *w, int threads, float *scratch,
                    const float *x, size_t m, float *y, size_t ldy);

/* The class of such a product: `arith` of the vtable. */
void assay_f16_arith(const struct assay_ctx *ctx, const struct assay_type_traits *t, size_t m,
                     struct assay_arith *out);

#endif
