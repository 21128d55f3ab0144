/* Look-ups in the codebooks of IQ1, IQ2 and IQ3, 64 grid numbers at a time. The codebooks are
 * planes of packed codes (impl/iq_tables.h), short enough for VPERMI2B: a plane of 256 entries is
 * four registers. */
#ifndef ASSAY_IMPL_CPU_AVX512_GRIDS_H
#define ASSAY_IMPL_CPU_AVX512_GRIDS_H

#include "impl/iq_tables.h"
#include "simd.h"

/* 64 grid numbers: the low eight bits, and bits 7… as masks. */
struct grid_index {
    __m512i low;
    __mmask64 bit[4];
};

/* Numbers whose bits above the eighth are the low bits of the bytes of `high`. */
ASSAY_INLINE struct grid_index grid_index(__m512i low, __m512i high) {
    struct grid_index x = {.low = low, .bit[0] = _mm512_movepi8_mask(low)};
    for (int i = 0; i < 3; i++)
        x.bit[1 + i] = _mm512_test_epi8_mask(high, _mm512_set1_epi8((char)(1 << i)));
    return x;
}

/* Bytes of a plane of 2^7 entries for two vectors of numbers, which share the loads. */
ASSAY_INLINE void look_up_7(const uint8_t *plane, const struct grid_index x[2], __m512i out[2]) {
    __m512i t0 = load512(plane), t1 = load512(plane + 64);
    out[0] = _mm512_permutex2var_epi8(t0, x[0].low, t1);
    out[1] = _mm512_permutex2var_epi8(t0, x[1].low, t1);
}

/* Planes of twice the size: both halves, and one more bit that tells which is meant. */
#define LOOK_UP(bits, half)                                                                        \
    ASSAY_INLINE void look_up_##bits(const uint8_t *plane, const struct grid_index x[2],           \
                                     __m512i out[2]) {                                             \
        __m512i a[2], b[2];                                                                        \
        look_up_##half(plane, x, a);                                                               \
        look_up_##half(plane + (1 << (half)), x, b);                                               \
        out[0] = _mm512_mask_blend_epi8(x[0].bit[(half)-7], a[0], b[0]);                           \
        out[1] = _mm512_mask_blend_epi8(x[1].bit[(half)-7], a[1], b[1]);                           \
    }
LOOK_UP(8, 7)
LOOK_UP(9, 8)
LOOK_UP(10, 9)
LOOK_UP(11, 10)
#undef LOOK_UP

ASSAY_INLINE void look_up(const uint8_t *plane, const int bits, const struct grid_index x[2],
                          __m512i out[2]) {
    if (bits == 8)
        look_up_8(plane, x, out);
    else if (bits == 9)
        look_up_9(plane, x, out);
    else if (bits == 10)
        look_up_10(plane, x, out);
    else
        look_up_11(plane, x, out);
}

/* The sign bytes of sign numbers, bit 7 of which is ignored. */
ASSAY_INLINE __m512i sign_bytes(const struct assay_iq_tables *t, __m512i number) {
    return _mm512_permutex2var_epi8(load512(t->signs), number, load512(t->signs + 64));
}

#endif
