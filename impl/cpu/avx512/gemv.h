/* The GEMV family of AVX-512: up to four rows of x against four rows of W at a time, straight from
 * the blocks, integer sums inside a super-block, one fp32 FMA per row and super-block. */
#ifndef ASSAY_IMPL_CPU_AVX512_GEMV_H
#define ASSAY_IMPL_CPU_AVX512_GEMV_H

#include "impl/cpu/kernel.h"
#include "simd.h"

enum { GEMV_ROWS = 4, GEMV_MAX_M = 4 };

/* Rows n0…n0+3 of W; past the end the last row is repeated and its results are not stored. */
struct gemv_rows {
    const uint8_t *row[GEMV_ROWS];
    size_t count;
};

ASSAY_INLINE struct gemv_rows gemv_rows_at(const struct assay_cpu_args *a, size_t n0) {
    struct gemv_rows g;
    g.count = a->n - n0 < GEMV_ROWS ? a->n - n0 : GEMV_ROWS;
    for (size_t r = 0; r < GEMV_ROWS; r++)
        g.row[r] = a->w + (n0 + (r < g.count ? r : g.count - 1)) * a->row_bytes;
    return g;
}

/* 16 bytes at `offset` of each of the four rows, one row a 128-bit lane. */
ASSAY_INLINE __m512i gemv_load_lanes(const struct gemv_rows *g, size_t offset) {
    __m256i lo = _mm256_inserti128_si256(_mm256_castsi128_si256(load128(g->row[0] + offset)),
                                         load128(g->row[1] + offset), 1);
    __m256i hi = _mm256_inserti128_si256(_mm256_castsi128_si256(load128(g->row[2] + offset)),
                                         load128(g->row[3] + offset), 1);
    return join256(lo, hi);
}

/* Asks for the bytes that follow four rows further on: a row is too short for the hardware to learn
 * its stream. To L2 only: asked for in L1, the few miss buffers there halve the rate from DRAM.
 * Past the end of W this is harmless, as a prefetch never faults. */
ASSAY_INLINE void gemv_prefetch(const struct assay_cpu_args *a, const uint8_t *p, size_t bytes) {
    uintptr_t next = (uintptr_t)p + GEMV_ROWS * a->row_bytes;
    for (size_t i = 0; i < bytes; i += 64)
        _mm_prefetch((const char *)(next + i), _MM_HINT_T1);
}

/* -offset times the sum of each 4 activations: what turns unsigned codes into signed ones. */
ASSAY_INLINE __m512i gemv_offset(__m512i acts, int offset) {
    __m512i s = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8((char)offset), acts);
    return _mm512_sub_epi32(_mm512_setzero_si512(), s);
}

ASSAY_INLINE void gemv_store(const struct assay_cpu_args *a, size_t n0, const struct gemv_rows *g,
                             size_t i, const float sum[GEMV_ROWS]) {
    for (size_t r = 0; r < g->count; r++)
        a->y[i * a->ldy + n0 + r] = sum[r];
}

/* The sums of m rows of x, a vector for each row of W, added up and stored. */
ASSAY_INLINE void gemv_reduce_store(const struct assay_cpu_args *a, size_t n0,
                                    const struct gemv_rows *g, const int m,
                                    __m512 sum[][GEMV_ROWS]) {
    for (int i = 0; i < m; i++) {
        float out[GEMV_ROWS];
        for (int r = 0; r < GEMV_ROWS; r++)
            out[r] = _mm512_reduce_add_ps(sum[i][r]);
        gemv_store(a, n0, g, (size_t)i, out);
    }
}

#endif
