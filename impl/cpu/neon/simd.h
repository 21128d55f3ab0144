/* Vector idioms that the AArch64 kernels share. */
#ifndef ASSAY_IMPL_CPU_NEON_SIMD_H
#define ASSAY_IMPL_CPU_NEON_SIMD_H

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

/* The kernel templates are functions whose type description is a constant: they must be inlined
 * into each instance for the compiler to resolve it. */
#define ASSAY_INLINE static inline __attribute__((always_inline))

/* Before a loop over registers, which must be unrolled whatever the compiler thinks of its size;
 * and before a loop around such loops. */
#ifdef __clang__
#define ASSAY_UNROLL _Pragma("clang loop unroll(full)")
#define ASSAY_NO_UNROLL _Pragma("clang loop unroll(disable)")
#else
#define ASSAY_UNROLL _Pragma("GCC unroll 32")
#define ASSAY_NO_UNROLL _Pragma("GCC unroll 1")
#endif

ASSAY_INLINE uint16_t load16(const uint8_t *p) {
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

ASSAY_INLINE uint32_t load32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

ASSAY_INLINE uint64_t load64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

ASSAY_INLINE uint8x16_t low_nibbles(uint8x16_t v) { return vandq_u8(v, vdupq_n_u8(15)); }
ASSAY_INLINE uint8x16_t high_nibbles(uint8x16_t v) { return vshrq_n_u8(v, 4); }

/* Bits at…at+width-1 of every byte; at and width are constants. */
ASSAY_INLINE uint8x16_t byte_bits(uint8x16_t v, int at, int width) {
    if (at > 0)
        v = v >> vdupq_n_u8((uint8_t)at);
    return at + width == 8 ? v : vandq_u8(v, vdupq_n_u8((uint8_t)((1 << width) - 1)));
}

/* A vector with the levels of IQ4_NL and IQ4_XS for the numbers 0…15. */
ASSAY_INLINE int8x16_t iq4_levels(uint8x16_t number) {
    static const int8_t level[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                     1,    13,   25,  38,  53,  69,  89,  113};
    return vqtbl1q_s8(vld1q_s8(level), number);
}

/* Σ of the lanes of v[i] to lane i. */
ASSAY_INLINE int32x4_t sum_each(const int32x4_t v[4]) {
    return vpaddq_s32(vpaddq_s32(v[0], v[1]), vpaddq_s32(v[2], v[3]));
}

/* The binary16 numbers at p[i] + at of four rows. */
ASSAY_INLINE float32x4_t gather_halves(const uint8_t *const p[4], size_t at) {
    const uint16_t h[4] = {load16(p[0] + at), load16(p[1] + at), load16(p[2] + at),
                           load16(p[3] + at)};
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(h)));
}

/* Rows of W that a dot product takes at a time: its sums then fill the lanes of a vector. */
enum { GEMV_ROWS = 4, GEMV_MAX_M = 2 };

/* Rows j…j+3 of W; past the end the last row is repeated and its results are not stored. */
ASSAY_INLINE void gemv_rows(const uint8_t *w, size_t row_bytes, size_t j, size_t n,
                            const uint8_t *row[GEMV_ROWS]) {
    for (size_t r = 0; r < GEMV_ROWS; r++)
        row[r] = w + (j + r < n ? j + r : n - 1) * row_bytes;
}

ASSAY_INLINE void gemv_store(float32x4_t v, float *y, size_t count) {
    float lane[GEMV_ROWS];
    if (count >= GEMV_ROWS) {
        vst1q_f32(y, v);
        return;
    }
    vst1q_f32(lane, v);
    memcpy(y, lane, count * sizeof *y);
}

/* Asks for the bytes that follow four rows further on, where the dot product goes next: a row is
 * too short for the hardware to learn its stream. To L2, whose miss buffers are many. Past the end
 * of the weights a prefetch does nothing. */
ASSAY_INLINE void gemv_prefetch(const uint8_t *p, size_t row_bytes, size_t size) {
    for (size_t at = 0; at < size; at += 64)
        __builtin_prefetch((const void *)((uintptr_t)p + GEMV_ROWS * row_bytes + at), 0, 2);
}

#endif
