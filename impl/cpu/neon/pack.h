/* Interleaving of eight rows, as panels (panel.h) want it. */
#ifndef ASSAY_IMPL_CPU_NEON_PACK_H
#define ASSAY_IMPL_CPU_NEON_PACK_H

#include "panel.h"
#include "simd.h"

ASSAY_INLINE uint8x16_t zip64(uint8x16_t a, uint8x16_t b, int half) {
    uint64x2_t x = vreinterpretq_u64_u8(a), y = vreinterpretq_u64_u8(b);
    return vreinterpretq_u8_u64(half ? vzip2q_u64(x, y) : vzip1q_u64(x, y));
}

ASSAY_INLINE uint8x16_t trn32(uint8x16_t a, uint8x16_t b, int odd) {
    uint32x4_t x = vreinterpretq_u32_u8(a), y = vreinterpretq_u32_u8(b);
    return vreinterpretq_u8_u32(odd ? vtrn2q_u32(x, y) : vtrn1q_u32(x, y));
}

/* 16 bytes of each of eight rows to [16/step][8][step]: vectors in the order of memory. */
ASSAY_INLINE void interleave_rows(const int step, const uint8x16_t row[PANEL_ROWS],
                                  uint8x16_t out[PANEL_ROWS]) {
    if (step == 8) {
        ASSAY_UNROLL
        for (int i = 0; i < 8; i++)
            out[i] = zip64(row[2 * (i % 4)], row[2 * (i % 4) + 1], i / 4);
        return;
    }
    ASSAY_UNROLL
    for (int half = 0; half < 2; half++) {
        const uint8x16_t *r = row + 4 * half;
        ASSAY_UNROLL
        for (int odd = 0; odd < 2; odd++) {
            uint8x16_t a = trn32(r[0], r[1], odd), b = trn32(r[2], r[3], odd);
            out[2 * odd + half] = zip64(a, b, 0);
            out[2 * (odd + 2) + half] = zip64(a, b, 1);
        }
    }
}

/* Bytes [8 rows][16] to [16][8 rows]: three times every other byte from the lower half. */
ASSAY_INLINE void transpose_bytes(uint8x16_t v[PANEL_ROWS]) {
    ASSAY_UNROLL
    for (int stage = 0; stage < 3; stage++) {
        uint8x16_t t[PANEL_ROWS];
        ASSAY_UNROLL
        for (int i = 0; i < 4; i++) {
            t[2 * i] = vzip1q_u8(v[i], v[i + 4]);
            t[2 * i + 1] = vzip2q_u8(v[i], v[i + 4]);
        }
        ASSAY_UNROLL
        for (int i = 0; i < PANEL_ROWS; i++)
            v[i] = t[i];
    }
}

/* The binary16 numbers at `at` of eight blocks, as fp32. */
ASSAY_INLINE void pack_halves(const uint8_t *const block[PANEL_ROWS], size_t at, bool negate,
                              uint8_t *out) {
    ASSAY_UNROLL
    for (int i = 0; i < PANEL_ROWS; i += 4) {
        float32x4_t v = gather_halves(block + i, at);
        vst1q_f32((float *)(void *)out + i, negate ? vnegq_f32(v) : v);
    }
}

/* The kernels of one type, thin instances of the templates family##_gemv and family##_pack; `acts`
 * names the activations' blocks, q8_32 or q8_256. */
#define ASSAY_NEON_KERNELS(family, name, acts)                                                     \
    void gemm_##name##_##acts##__neon_gemv(const struct assay_cpu_args *a) {                       \
        if (a->act->m == 1)                                                                        \
            family##_gemv(&name, a, 1);                                                            \
        else                                                                                       \
            family##_gemv(&name, a, 2);                                                            \
    }                                                                                              \
    void assay_pack4_##name(const uint8_t *const block[PANEL_ROWS], uint8_t *unit) {               \
        family##_pack(&name, 4, block, unit);                                                      \
    }                                                                                              \
    void assay_pack8_##name(const uint8_t *const block[PANEL_ROWS], uint8_t *unit) {               \
        family##_pack(&name, 8, block, unit);                                                      \
    }

#endif
