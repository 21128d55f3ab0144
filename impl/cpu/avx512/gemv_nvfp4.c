/* GEMV of NVFP4, two blocks of 64 at a time. Byte j of the 8 of a sub-block of 16 has weights j and
 * 8 + j. */
#include "gemv.h"
#include "impl/blocks.h"
#include "kernels.h"
#include "nibbles.h"

enum {
    BYTES = sizeof(struct assay_block_nvfp4),
    QS = offsetof(struct assay_block_nvfp4, qs),
};

/* The nibbles of the blocks at p and behind it; `pair` false: only the first exists, and the second
 * counts as zero. */
ASSAY_INLINE __m512i nvfp4_nibbles(const uint8_t *p, const bool pair) {
    return join256(load256(p + QS), pair ? load256(p + BYTES + QS) : _mm256_setzero_si256());
}

/* The scales of rows 0 and 1 (out[0]) and of rows 2 and 3 (out[1]): eight lanes a row. */
ASSAY_INLINE void nvfp4_scales(const struct gemv_rows *g, size_t at, const bool pair,
                               __m512 out[2]) {
    const __mmask64 some = pair ? ~0ull : 0xf;
    /* The dwords of scales of both blocks of both rows. */
    const __m512i heads = _mm512_castsi128_si512(_mm_setr_epi32(0, BYTES / 4, 16, 16 + BYTES / 4));
    ASSAY_UNROLL
    for (int v = 0; v < 2; v++) {
        __m512i a = _mm512_maskz_loadu_epi8(some, g->row[2 * v] + at);
        __m512i b = _mm512_maskz_loadu_epi8(some, g->row[2 * v + 1] + at);
        out[v] = half_ue4m3(
            _mm512_cvtepu8_epi32(_mm512_castsi512_si128(_mm512_permutex2var_epi32(a, heads, b))));
    }
}

ASSAY_INLINE void nvfp4_step(const struct assay_cpu_args *a, const struct gemv_rows *g, size_t b,
                             const bool pair, const int m, __m512 sum[GEMV_MAX_M][GEMV_ROWS]) {
    const __m512i nibble = _mm512_set1_epi8(0x0f);
    const __m512i even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
    const __m512i odd = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
    __m512i low[GEMV_MAX_M], high[GEMV_MAX_M], init[GEMV_MAX_M];
    __m512 d[GEMV_MAX_M];
    for (int i = 0; i < m; i++) {
        const int8_t *q = a->act->q + (size_t)i * a->act->q_stride + 64 * b;
        __m512i x0 = load512(q), x1 = load512(q + 64);
        low[i] = _mm512_permutex2var_epi64(x0, even, x1);
        high[i] = _mm512_permutex2var_epi64(x0, odd, x1);
        init[i] = _mm512_add_epi32(gemv_offset(low[i], NIBBLE_OFFSET),
                                   gemv_offset(high[i], NIBBLE_OFFSET));
        d[i] = _mm512_permutexvar_ps(
            _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3),
            _mm512_castps128_ps512(_mm_loadu_ps(a->act->d + (size_t)i * a->act->d_stride + 2 * b)));
    }
    __m512 scales[2];
    nvfp4_scales(g, b * BYTES, pair, scales);
    ASSAY_UNROLL
    for (int r = 0; r < GEMV_ROWS; r++) {
        const uint8_t *p = g->row[r] + b * BYTES;
        gemv_prefetch(a, p, 2 * BYTES);
        __m512i q = nvfp4_nibbles(p, pair);
        __m512i lo = fp4_values(_mm512_and_si512(q, nibble));
        __m512i hi = fp4_values(_mm512_and_si512(_mm512_srli_epi16(q, 4), nibble));
        const __m512i lane =
            _mm512_add_epi32(_mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7),
                             _mm512_set1_epi32(8 * (r % 2)));
        __m512 scale = _mm512_permutexvar_ps(lane, scales[r / 2]);
        for (int i = 0; i < m; i++) {
            __m512i dot = _mm512_dpbusd_epi32(init[i], lo, low[i]);
            dot = _mm512_dpbusd_epi32(dot, hi, high[i]);
            sum[i][r] =
                _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_mul_ps(scale, d[i]), sum[i][r]);
        }
    }
}

ASSAY_INLINE void gemv_nvfp4(const struct assay_cpu_args *a, const int m) {
    const size_t blocks = a->k / 64;
    for (size_t n0 = 0; n0 < a->n; n0 += GEMV_ROWS) {
        struct gemv_rows g = gemv_rows_at(a, n0);
        __m512 sum[GEMV_MAX_M][GEMV_ROWS];
        for (int i = 0; i < m; i++)
            for (int r = 0; r < GEMV_ROWS; r++)
                sum[i][r] = _mm512_setzero_ps();
        size_t b = 0;
        for (; b + 2 <= blocks; b += 2)
            nvfp4_step(a, &g, b, true, m, sum);
        if (b < blocks)
            nvfp4_step(a, &g, b, false, m, sum);
        gemv_reduce_store(a, n0, &g, m, sum);
    }
}

void gemm_nvfp4_q8_32__avx512_gemv(const struct assay_cpu_args *a) {
    if (a->act->m == 1)
        gemv_nvfp4(a, 1);
    else
        gemv_nvfp4(a, 2);
}
