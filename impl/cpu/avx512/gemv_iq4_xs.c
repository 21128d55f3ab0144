/* GEMV of IQ4_XS. Its 128 bytes of nibbles are two vectors of four sub-blocks of 32; byte j of the
 * 16 of a sub-block has weights j and 16 + j. */
#include "gemv.h"
#include "impl/blocks.h"
#include "kernels.h"
#include "nibbles.h"

_Static_assert(offsetof(struct assay_block_iq4_xs, d) == 0 &&
                   offsetof(struct assay_block_iq4_xs, scales_h) == 2 &&
                   offsetof(struct assay_block_iq4_xs, scales_l) == 4,
               "iq4_xs_scales reads d and the scales as one qword");

/* d·(s - 32) of the eight sub-blocks of the rows a (lanes 0…7) and b (lanes 8…15). */
ASSAY_INLINE __m512 iq4_xs_scales(const uint8_t *a, const uint8_t *b) {
    const __m512i sub = _mm512_broadcast_i64x4(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    int64_t head[2];
    memcpy(&head[0], a, sizeof head[0]);
    memcpy(&head[1], b, sizeof head[1]);
    __m512i h = join256(_mm256_set1_epi64x(head[0]), _mm256_set1_epi64x(head[1]));
    __m512i first = _mm512_shuffle_epi32(h, 0xa0), low = _mm512_shuffle_epi32(h, 0xf5);
    low =
        _mm512_and_si512(_mm512_srlv_epi32(low, _mm512_slli_epi32(sub, 2)), _mm512_set1_epi32(15));
    /* Bits 2j of scales_h, the upper half of the dword, to bit 4. */
    __m512i high = _mm512_srlv_epi32(
        first, _mm512_add_epi32(_mm512_add_epi32(sub, sub), _mm512_set1_epi32(12)));
    __m512i s = _mm512_sub_epi32(or_and(low, high, _mm512_set1_epi32(0x30)), _mm512_set1_epi32(32));
    /* d, as the low word of each dword. */
    __m512 d = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(first));
    return _mm512_mul_ps(_mm512_cvtepi32_ps(s), d);
}

ASSAY_INLINE void gemv_iq4_xs(const struct assay_cpu_args *a, const int m) {
    const __m512i nibble = _mm512_set1_epi8(0x0f);
    const size_t block_bytes = sizeof(struct assay_block_iq4_xs);
    for (size_t n0 = 0; n0 < a->n; n0 += GEMV_ROWS) {
        struct gemv_rows g = gemv_rows_at(a, n0);
        __m512 sum[GEMV_MAX_M][GEMV_ROWS];
        for (int i = 0; i < m; i++)
            for (int r = 0; r < GEMV_ROWS; r++)
                sum[i][r] = _mm512_setzero_ps();
        for (size_t b = 0; b < a->k / 256; b++) {
            /* Columns 0…15 and 16…31 of four sub-blocks each. */
            __m512i low[GEMV_MAX_M][2], high[GEMV_MAX_M][2], init[GEMV_MAX_M][2];
            __m512 d[GEMV_MAX_M], scale[2];
            for (int i = 0; i < m; i++) {
                const int8_t *q = a->act->q + (size_t)i * a->act->q_stride + 256 * b;
                for (int v = 0; v < 2; v++) {
                    __m512i x0 = load512(q + 128 * v), x1 = load512(q + 128 * v + 64);
                    low[i][v] = _mm512_shuffle_i64x2(x0, x1, 0x88);
                    high[i][v] = _mm512_shuffle_i64x2(x0, x1, 0xdd);
                    init[i][v] = _mm512_add_epi32(gemv_offset(low[i][v], NIBBLE_OFFSET),
                                                  gemv_offset(high[i][v], NIBBLE_OFFSET));
                }
                d[i] = _mm512_set1_ps(a->act->d[(size_t)i * a->act->d_stride + b]);
            }
            for (int r = 0; r < GEMV_ROWS; r += 2)
                scale[r / 2] =
                    iq4_xs_scales(g.row[r] + b * block_bytes, g.row[r + 1] + b * block_bytes);
            ASSAY_UNROLL
            for (int r = 0; r < GEMV_ROWS; r++) {
                const uint8_t *block = g.row[r] + b * block_bytes;
                gemv_prefetch(a, block, block_bytes);
                ASSAY_UNROLL
                for (int v = 0; v < 2; v++) {
                    __m512i q =
                        load512(block + offsetof(struct assay_block_iq4_xs, qs) + 64 * (size_t)v);
                    __m512i lo = iq4_values(_mm512_and_si512(q, nibble));
                    __m512i hi = iq4_values(_mm512_and_si512(_mm512_srli_epi16(q, 4), nibble));
                    const __m512i lane = _mm512_add_epi32(
                        _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3),
                        _mm512_set1_epi32(8 * (r % 2) + 4 * v));
                    __m512 s = _mm512_permutexvar_ps(lane, scale[r / 2]);
                    for (int i = 0; i < m; i++) {
                        __m512i dot = _mm512_dpbusd_epi32(init[i][v], lo, low[i][v]);
                        dot = _mm512_dpbusd_epi32(dot, hi, high[i][v]);
                        sum[i][r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_mul_ps(s, d[i]),
                                                    sum[i][r]);
                    }
                }
            }
        }
        gemv_reduce_store(a, n0, &g, m, sum);
    }
}

void gemm_iq4_xs_q8_256__avx512_gemv(const struct assay_cpu_args *a) {
    if (a->act->m == 1)
        gemv_iq4_xs(a, 1);
    else
        gemv_iq4_xs(a, 2);
}
