/* GEMV of Q8_0: two blocks of 32 at a time, each with its own two scales. */
#include "gemv.h"
#include "impl/blocks.h"
#include "kernels.h"

enum { BYTES = sizeof(struct assay_block_q8_0), QS = offsetof(struct assay_block_q8_0, qs) };

/* 64 codes plus 128 of the blocks at p and behind it; `pair` false: only the first exists and the
 * second half is not read. */
ASSAY_INLINE __m512i q8_codes(const uint8_t *p, const bool pair) {
    __m256i hi = pair ? load256(p + BYTES + QS) : _mm256_setzero_si256();
    return _mm512_xor_si512(join256(load256(p + QS), hi), _mm512_set1_epi8((char)0x80));
}

/* The scale of the first block in lanes 0…7, of the second in lanes 8…15 (0 without a pair). */
ASSAY_INLINE __m512 q8_scales(const uint8_t *p, const bool pair) {
    __m512i head = pair ? load512(p) : _mm512_maskz_loadu_epi8(3, p);
    const short second = (short)(pair ? BYTES / 2 : 1);
    __m512i index = _mm512_castsi256_si512(
        _mm256_inserti128_si256(_mm256_setzero_si256(), _mm_set1_epi16(second), 1));
    return _mm512_cvtph_ps(_mm512_castsi512_si256(_mm512_permutexvar_epi16(index, head)));
}

ASSAY_INLINE void q8_step(const struct assay_cpu_args *a, const struct gemv_rows *g, size_t b,
                          const bool pair, const int m, __m512 sum[GEMV_MAX_M][GEMV_ROWS]) {
    __m512i x[GEMV_MAX_M], init[GEMV_MAX_M];
    __m512 d[GEMV_MAX_M];
    for (int i = 0; i < m; i++) {
        const float *scales = a->act->d + (size_t)i * a->act->d_stride + b;
        x[i] = load512(a->act->q + (size_t)i * a->act->q_stride + 32 * b);
        init[i] = gemv_offset(x[i], 128);
        d[i] = _mm512_insertf32x8(_mm512_set1_ps(scales[0]), _mm256_set1_ps(scales[1]), 1);
    }
#pragma GCC unroll 4
    for (int r = 0; r < GEMV_ROWS; r++) {
        const uint8_t *p = g->row[r] + b * BYTES;
        gemv_prefetch(a, p, 2 * BYTES);
        __m512i c = q8_codes(p, pair);
        __m512 w = q8_scales(p, pair);
        for (int i = 0; i < m; i++)
            sum[i][r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_dpbusd_epi32(init[i], c, x[i])),
                                        _mm512_mul_ps(w, d[i]), sum[i][r]);
    }
}

ASSAY_INLINE void gemv_q8(const struct assay_cpu_args *a, const int m) {
    size_t blocks = a->k / 32;
    for (size_t n0 = 0; n0 < a->n; n0 += GEMV_ROWS) {
        struct gemv_rows g = gemv_rows_at(a, n0);
        __m512 sum[GEMV_MAX_M][GEMV_ROWS];
        for (int i = 0; i < m; i++)
            for (int r = 0; r < GEMV_ROWS; r++)
                sum[i][r] = _mm512_setzero_ps();
        size_t b = 0;
        for (; b + 2 <= blocks; b += 2)
            q8_step(a, &g, b, true, m, sum);
        if (b < blocks)
            q8_step(a, &g, b, false, m, sum);
        gemv_reduce_store(a, n0, &g, m, sum);
    }
}

void gemm_q8_0_q8_32__avx512_gemv(const struct assay_cpu_args *a) {
    switch (a->act->m) {
    case 1:
        gemv_q8(a, 1);
        break;
    case 2:
        gemv_q8(a, 2);
        break;
    default:
        gemv_q8(a, 3);
    }
}
