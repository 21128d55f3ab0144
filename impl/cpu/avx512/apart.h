/* Activations in the order in which GEMV kernels meet their weights: where entry e or byte e of 256
 * columns has weights len·e …, value t of all of them together. */
#ifndef ASSAY_IMPL_CPU_AVX512_APART_H
#define ASSAY_IMPL_CPU_AVX512_APART_H

#include "impl/cpu/kernel.h"
#include "simd.h"

/* Element len·e + t of each 256 of a row goes to place 256/len·t + e of the same 256. out: m rows
 * of k padded to a multiple of 256. */
ASSAY_INLINE void take_apart(const struct assay_act *act, const size_t len, int8_t *out) {
    const size_t entries = 64 / len; /* in a vector */
    uint8_t order[64];
    for (size_t i = 0; i < 64; i++)
        order[i] = (uint8_t)(i % entries * len + i / entries);
    const __m512i index = load512(order);
    const size_t padded = (act->k + 255) / 256 * 256;
    for (size_t i = 0; i < act->m; i++)
        for (size_t k = 0; k < padded; k += 64) {
            int8_t v[64];
            int8_t *to = out + i * padded + k / 256 * 256 + k % 256 / len;
            _mm512_storeu_si512(
                v, _mm512_permutexvar_epi8(index, load512(act->q + i * act->q_stride + k)));
            for (size_t t = 0; t < len; t++)
                memcpy(to + 256 / len * t, v + entries * t, entries);
        }
}

#endif
