/* GEMV of Q2_K and Q3_K: codes of two bits (and a third), sixteen sub-blocks of 16. A vector of
 * codes is bits 2v of the 64 bytes: sub-blocks 2v, 2v + 1, 8 + 2v and 9 + 2v, one a lane. */
#include "gemv.h"
#include "impl/blocks.h"
#include "kernels.h"

/* The scales of four rows, one a lane: bytes in order of sub-blocks, Q3_K's signed. */
ASSAY_INLINE __m512i k23_scales(const struct gemv_rows *g, size_t block, const bool q3) {
    if (!q3)
        return _mm512_and_si512(
            gemv_load_lanes(g, block + offsetof(struct assay_block_q2_k, scales)),
            _mm512_set1_epi8(0x0f));
    /* 16 bytes that end with the block: two of something else, the scales, d. */
    __m512i h = gemv_load_lanes(g, block + sizeof(struct assay_block_q3_k) - 16);
    const __m512i low_bytes =
        _mm512_broadcast_i32x4(_mm_setr_epi8(2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5, 6, 7, 8, 9));
    const __m512i high_bytes = _mm512_broadcast_i32x4(
        _mm_setr_epi8(10, 11, 12, 13, 10, 11, 12, 13, 10, 11, 12, 13, 10, 11, 12, 13));
    const __m512i nibble = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0, 4, 4));
    const __m512i to_bit4 = _mm512_broadcast_i32x4(_mm_setr_epi32(28, 30, 0, 2));
    __m512i low = _mm512_srlv_epi32(_mm512_shuffle_epi8(h, low_bytes), nibble);
    __m512i high = _mm512_rorv_epi32(_mm512_shuffle_epi8(h, high_bytes), to_bit4);
    low = _mm512_and_si512(low, _mm512_set1_epi8(0x0f));
    return _mm512_sub_epi8(or_and(low, high, _mm512_set1_epi8(0x30)), _mm512_set1_epi8(32));
}

_Static_assert(sizeof(struct assay_block_q3_k) == offsetof(struct assay_block_q3_k, scales) + 14,
               "k23_scales reads the scales from the end of the block");

/* Scales of row r times 256 for the packed sums of vectors 2w and 2w + 1: words of a lane are those
 * of one sub-block four times, of the one two further on four times. */
ASSAY_INLINE __m512i k23_scale_words(__m512i scales, int r, int w) {
    const __m128i pair = _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2);
    __m512i index = _mm512_add_epi8(_mm512_broadcast_i32x4(pair),
                                    _mm512_setr_epi64(0, 0, 0x0101010101010101, 0x0101010101010101,
                                                      0x0808080808080808, 0x0808080808080808,
                                                      0x0909090909090909, 0x0909090909090909));
    index = _mm512_add_epi8(index, _mm512_set1_epi8((char)(16 * r + 4 * w)));
    return _mm512_maskz_permutexvar_epi8(0xaaaaaaaaaaaaaaaa, index, scales);
}

/* d of each row (Q3_K), or d and dmin of each row in turn. */
ASSAY_INLINE __m512 k23_halves(const struct gemv_rows *g, size_t block, const bool q3) {
    __m128i h;
    if (q3) {
        uint16_t d[GEMV_ROWS];
        for (int r = 0; r < GEMV_ROWS; r++)
            memcpy(&d[r], g->row[r] + block + offsetof(struct assay_block_q3_k, d), sizeof d[r]);
        h = _mm_setr_epi16((short)d[0], 0, (short)d[1], 0, (short)d[2], 0, (short)d[3], 0);
    } else {
        int32_t d[GEMV_ROWS];
        for (int r = 0; r < GEMV_ROWS; r++)
            memcpy(&d[r], g->row[r] + block + offsetof(struct assay_block_q2_k, d), sizeof d[r]);
        h = _mm_setr_epi32(d[0], d[1], d[2], d[3]);
    }
    return _mm512_castps256_ps512(_mm256_cvtph_ps(h));
}

/* Vector v of codes. */
ASSAY_INLINE __m512i k23_codes(const uint8_t *block, int v, const bool q3) {
    size_t qs = q3 ? offsetof(struct assay_block_q3_k, qs) : offsetof(struct assay_block_q2_k, qs);
    __m512i q = load512(block + qs);
    if (v > 0)
        q = _mm512_srli_epi16(q, (unsigned)(2 * v));
    q = _mm512_and_si512(q, _mm512_set1_epi8(3));
    if (!q3)
        return q;
    /* The third bits: bit v of 32 bytes, and bit 4 + v of them. */
    __m256i h = load256(block + offsetof(struct assay_block_q3_k, hmask));
    __m512i third = join256(h, _mm256_srli_epi16(h, 4));
    third = v < 2   ? _mm512_slli_epi16(third, (unsigned)(2 - v))
            : v > 2 ? _mm512_srli_epi16(third, (unsigned)(v - 2))
                    : third;
    return or_and(q, third, _mm512_set1_epi8(4));
}

ASSAY_INLINE void gemv_k23(const struct assay_cpu_args *a, const bool q3, const int m) {
    const size_t block_bytes =
        q3 ? sizeof(struct assay_block_q3_k) : sizeof(struct assay_block_q2_k);
    const __m512i dmin_lane = _mm512_setr_epi32(1, 1, 1, 1, 3, 3, 3, 3, 5, 5, 5, 5, 7, 7, 7, 7);
    const __m512i zero = _mm512_setzero_si512();
    for (size_t n0 = 0; n0 < a->n; n0 += GEMV_ROWS) {
        struct gemv_rows g = gemv_rows_at(a, n0);
        __m512 sum[GEMV_MAX_M][GEMV_ROWS], min_sum[GEMV_MAX_M];
        for (int i = 0; i < m; i++) {
            min_sum[i] = _mm512_setzero_ps();
            for (int r = 0; r < GEMV_ROWS; r++)
                sum[i][r] = _mm512_setzero_ps();
        }
        for (size_t b = 0; b < a->k / 256; b++) {
            const __m512i scales = k23_scales(&g, b * block_bytes, q3);
            const __m512 halves = k23_halves(&g, b * block_bytes, q3);
            __m512i x[GEMV_MAX_M][4], init[GEMV_MAX_M][4];
            __m512 d[GEMV_MAX_M];
            for (int i = 0; i < m; i++) {
                const int8_t *q = a->act->q + (size_t)i * a->act->q_stride + 256 * b;
                for (int v = 0; v < 4; v++) {
                    x[i][v] = join256(load256(q + 32 * v), load256(q + 128 + 32 * v));
                    init[i][v] = q3 ? gemv_offset(x[i][v], 4) : zero;
                }
                d[i] = _mm512_mul_ps(halves,
                                     _mm512_set1_ps(a->act->d[(size_t)i * a->act->d_stride + b]));
                if (q3)
                    continue;
                const int16_t *sums = a->act->sums + (size_t)i * a->act->sums_stride + 16 * b;
                __m512i mins = gemv_load_lanes(&g, b * block_bytes +
                                                       offsetof(struct assay_block_q2_k, scales));
                mins = _mm512_and_si512(_mm512_srli_epi16(mins, 4), _mm512_set1_epi8(0x0f));
                __m512i t = _mm512_madd_epi16(_mm512_unpacklo_epi8(mins, zero),
                                              _mm512_broadcast_i32x4(load128(sums)));
                t = _mm512_dpwssd_epi32(t, _mm512_unpackhi_epi8(mins, zero),
                                        _mm512_broadcast_i32x4(load128(sums + 8)));
                min_sum[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(t),
                                             _mm512_permutexvar_ps(dmin_lane, d[i]), min_sum[i]);
            }
            ASSAY_UNROLL
            for (int r = 0; r < GEMV_ROWS; r++) {
                const uint8_t *block = g.row[r] + b * block_bytes;
                gemv_prefetch(a, block, block_bytes);
                __m512i c[4];
                for (int v = 0; v < 4; v++)
                    c[v] = k23_codes(block, v, q3);
                __m512i s0 = k23_scale_words(scales, r, 0), s1 = k23_scale_words(scales, r, 1);
                for (int i = 0; i < m; i++) {
                    /* Sums of 4 products: at most 4·4·127 = 2032, so 16 bits hold them. */
                    __m512i p0 = _mm512_packs_epi32(_mm512_dpbusd_epi32(init[i][0], c[0], x[i][0]),
                                                    _mm512_dpbusd_epi32(init[i][1], c[1], x[i][1]));
                    __m512i p1 = _mm512_packs_epi32(_mm512_dpbusd_epi32(init[i][2], c[2], x[i][2]),
                                                    _mm512_dpbusd_epi32(init[i][3], c[3], x[i][3]));
                    __m512i t = _mm512_dpwssd_epi32(_mm512_dpwssd_epi32(zero, p0, s0), p1, s1);
                    t = _mm512_srai_epi32(t, 8);
                    __m512 dr = _mm512_permutexvar_ps(_mm512_set1_epi32(2 * r), d[i]);
                    sum[i][r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(t), dr, sum[i][r]);
                }
            }
        }
        for (int i = 0; i < m; i++) {
            float out[GEMV_ROWS];
            for (int r = 0; r < GEMV_ROWS; r++) {
                out[r] = _mm512_reduce_add_ps(sum[i][r]);
                if (!q3)
                    out[r] -= _mm512_mask_reduce_add_ps((__mmask16)(0xf << 4 * r), min_sum[i]);
            }
            gemv_store(a, n0, &g, (size_t)i, out);
        }
    }
}

ASSAY_INLINE void gemv_k23_m(const struct assay_cpu_args *a, const bool q3) {
    switch (a->act->m) {
    case 1:
        gemv_k23(a, q3, 1);
        break;
    case 2:
        gemv_k23(a, q3, 2);
        break;
    default:
        gemv_k23(a, q3, 3);
    }
}

void gemm_q2_k_q8_256__avx512_gemv(const struct assay_cpu_args *a) { gemv_k23_m(a, false); }

void gemm_q3_k_q8_256__avx512_gemv(const struct assay_cpu_args *a) { gemv_k23_m(a, true); }
