/* GEMV of the K-quants: Q4_K and Q5_K share one template, Q6_K has scales per 16 weights. */
#include "gemv.h"
#include "impl/blocks.h"
#include "kernels.h"

_Static_assert(offsetof(struct assay_block_q4_k, scales) == 4 &&
                   offsetof(struct assay_block_q5_k, scales) == 4 &&
                   offsetof(struct assay_block_q4_k, d) == 0 &&
                   offsetof(struct assay_block_q5_k, d) == 0,
               "k4_header reads d, dmin and the 12 scale bytes as one 16-byte header");

/* Headers of four rows, one a lane. */
struct k4_header {
    __m512i fields; /* bytes of a lane: scales 0…3, mins 0…3, scales 4…7, mins 4…7 */
    __m256 d_dmin;  /* d and dmin of row 0, of row 1, … */
};

ASSAY_INLINE struct k4_header k4_header(const struct gemv_rows *g, size_t block) {
    const __m512i shift = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0, 0, 4));
    const __m512i low =
        _mm512_broadcast_i32x4(_mm_setr_epi32(0x3f3f3f3f, 0x3f3f3f3f, 0x0f0f0f0f, 0x0f0f0f0f));
    const __m512i high = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0, 0x30303030, 0x30303030));
    __m512i h = gemv_load_lanes(g, block);
    struct k4_header out;
    /* Dwords of a lane: d|dmin, u0, u1, u2. Fields: u0, u1, (u2 | u0's top bits), (u2 >> 4 | u1's).
     */
    __m512i a = _mm512_srlv_epi32(_mm512_shuffle_epi32(h, 0xf9), shift);
    __m512i b = _mm512_srli_epi32(_mm512_shuffle_epi32(h, 0x90), 2);
    out.fields = or_and(_mm512_and_si512(a, low), b, high);
    __m512i first =
        _mm512_permutexvar_epi32(_mm512_broadcast_i32x4(_mm_setr_epi32(0, 4, 8, 12)), h);
    out.d_dmin = _mm256_cvtph_ps(_mm512_castsi512_si128(first));
    return out;
}

/* Vector v of 64 codes of a super-block: low (even v) or high nibbles of 64 bytes; the first half
 * belongs to sub-block s, the second to s + 2. With a fifth bit for Q5_K. */
ASSAY_INLINE __m512i k4_codes(const uint8_t *block, int v, const bool q5) {
    size_t qs = q5 ? offsetof(struct assay_block_q5_k, qs) : offsetof(struct assay_block_q4_k, qs);
    __m512i q = load512(block + qs + 64 * (size_t)(v / 2));
    if (v % 2)
        q = _mm512_srli_epi16(q, 4);
    q = _mm512_and_si512(q, _mm512_set1_epi8(0x0f));
    if (q5) {
        int s = 4 * (v / 2) + v % 2;
        __m512i h = _mm512_broadcast_i64x4(load256(block + offsetof(struct assay_block_q5_k, qh)));
        __m512i bit = join256(_mm256_set1_epi8((char)(1 << s)), _mm256_set1_epi8((char)(4 << s)));
        q = _mm512_mask_add_epi8(q, _mm512_test_epi8_mask(h, bit), q, _mm512_set1_epi8(16));
    }
    return q;
}

/* Scales of sub-blocks for the packed sums of vectors 2w and 2w + 1 of row r: words of lanes 0 and
 * 1 are s, s + 1 four times each (s = 4w), of lanes 2 and 3 s + 2, s + 3. */
ASSAY_INLINE __m512i k4_scale_words(__m512i fields, int r, int w) {
    const __m128i pair = _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0);
    const __m256i first = _mm256_broadcastsi128_si256(pair);
    __m512i index = join256(first, _mm256_add_epi8(first, _mm256_set1_epi8(2)));
    index = _mm512_add_epi8(index, _mm512_set1_epi8((char)(16 * r + 8 * w)));
    return _mm512_maskz_permutexvar_epi8(0x5555555555555555, index, fields);
}

ASSAY_INLINE void gemv_k4(const struct assay_cpu_args *a, const bool q5, const int m) {
    const size_t block_bytes =
        q5 ? sizeof(struct assay_block_q5_k) : sizeof(struct assay_block_q4_k);
    /* The mins of a lane as eight words. */
    const __m512i min_words = _mm512_broadcast_i32x4(
        _mm_setr_epi8(4, -1, 5, -1, 6, -1, 7, -1, 12, -1, 13, -1, 14, -1, 15, -1));
    const __m512i dmin_lane = _mm512_setr_epi32(1, 1, 1, 1, 3, 3, 3, 3, 5, 5, 5, 5, 7, 7, 7, 7);
    for (size_t n0 = 0; n0 < a->n; n0 += GEMV_ROWS) {
        struct gemv_rows g = gemv_rows_at(a, n0);
        __m512 sum[GEMV_MAX_M][GEMV_ROWS], min_sum[GEMV_MAX_M];
        for (int i = 0; i < m; i++) {
            min_sum[i] = _mm512_setzero_ps();
            for (int r = 0; r < GEMV_ROWS; r++)
                sum[i][r] = _mm512_setzero_ps();
        }
        for (size_t b = 0; b < a->k / 256; b++) {
            struct k4_header h = k4_header(&g, b * block_bytes);
            __m512i x[GEMV_MAX_M][4];
            __m512 d[GEMV_MAX_M];
            for (int i = 0; i < m; i++) {
                const int8_t *q = a->act->q + (size_t)i * a->act->q_stride + 256 * b;
                for (int v = 0; v < 4; v++) {
                    const int8_t *s = q + 128 * (v / 2) + 32 * (v % 2);
                    x[i][v] = join256(load256(s), load256(s + 64));
                }
                __m256i s16 = load256(a->act->sums + (size_t)i * a->act->sums_stride + 16 * b);
                __m256i s32 = _mm256_madd_epi16(s16, _mm256_set1_epi16(1));
                __m512i s = _mm512_broadcast_i32x4(_mm256_cvtepi32_epi16(s32));
                __m256 dd = _mm256_mul_ps(
                    h.d_dmin, _mm256_set1_ps(a->act->d[(size_t)i * a->act->d_stride + b]));
                d[i] = _mm512_castps256_ps512(dd);
                __m512i mins = _mm512_madd_epi16(_mm512_shuffle_epi8(h.fields, min_words), s);
                min_sum[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(mins),
                                             _mm512_permutexvar_ps(dmin_lane, d[i]), min_sum[i]);
            }
#pragma GCC unroll 4
            for (int r = 0; r < GEMV_ROWS; r++) {
                const uint8_t *block = g.row[r] + b * block_bytes;
                gemv_prefetch(a, block, block_bytes);
                __m512i c[4];
                for (int v = 0; v < 4; v++)
                    c[v] = k4_codes(block, v, q5);
                __m512i s0 = k4_scale_words(h.fields, r, 0), s1 = k4_scale_words(h.fields, r, 1);
                for (int i = 0; i < m; i++) {
                    const __m512i zero = _mm512_setzero_si512();
                    /* Sums of 4 products: at most 4·31·127 = 15748, so 16 bits hold them. */
                    __m512i p0 = _mm512_packs_epi32(_mm512_dpbusd_epi32(zero, c[0], x[i][0]),
                                                    _mm512_dpbusd_epi32(zero, c[1], x[i][1]));
                    __m512i p1 = _mm512_packs_epi32(_mm512_dpbusd_epi32(zero, c[2], x[i][2]),
                                                    _mm512_dpbusd_epi32(zero, c[3], x[i][3]));
                    __m512i t = _mm512_dpwssd_epi32(_mm512_dpwssd_epi32(zero, p0, s0), p1, s1);
                    __m512 dr = _mm512_permutexvar_ps(_mm512_set1_epi32(2 * r), d[i]);
                    sum[i][r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(t), dr, sum[i][r]);
                }
            }
        }
        for (int i = 0; i < m; i++) {
            float out[GEMV_ROWS];
            for (int r = 0; r < GEMV_ROWS; r++)
                out[r] = _mm512_reduce_add_ps(sum[i][r]) -
                         _mm512_mask_reduce_add_ps((__mmask16)(0xf << 4 * r), min_sum[i]);
            gemv_store(a, n0, &g, (size_t)i, out);
        }
    }
}

/* Vector v of 64 codes of a Q6_K super-block, in order of weights. */
ASSAY_INLINE __m512i q6_codes(const uint8_t *block, int v) {
    size_t half = (size_t)(v / 2);
    __m512i q = load512(block + offsetof(struct assay_block_q6_k, ql) + 64 * half);
    if (v % 2)
        q = _mm512_srli_epi16(q, 4);
    q = _mm512_and_si512(q, _mm512_set1_epi8(0x0f));
    __m512i h =
        _mm512_broadcast_i64x4(load256(block + offsetof(struct assay_block_q6_k, qh) + 32 * half));
    /* Byte i of a qword rotated so that its two bits come to rest at bits 4 and 5. */
    const __m512i byte = _mm512_set1_epi64(0x3830282018100800);
    const __m256i lo = _mm256_set1_epi8(v % 2 ? 0 : 60), hi = _mm256_set1_epi8(v % 2 ? 2 : 62);
    h = _mm512_multishift_epi64_epi8(_mm512_add_epi8(byte, join256(lo, hi)), h);
    return or_and(q, h, _mm512_set1_epi8(0x30));
}

ASSAY_INLINE void gemv_q6_k(const struct assay_cpu_args *a, const int m) {
    /* Packed sums of vectors 0 and 1 (2 and 3): lane L holds sub-blocks L and 4 + L (8 + L, 12 +
     * L). */
    const __m512i words0 = _mm512_setr_epi64(
        0x0000000000000000, 0x0004000400040004, 0x0001000100010001, 0x0005000500050005,
        0x0002000200020002, 0x0006000600060006, 0x0003000300030003, 0x0007000700070007);
    const __m512i words1 = _mm512_add_epi16(words0, _mm512_set1_epi16(8));
    for (size_t n0 = 0; n0 < a->n; n0 += GEMV_ROWS) {
        struct gemv_rows g = gemv_rows_at(a, n0);
        __m512 sum[GEMV_MAX_M][GEMV_ROWS];
        for (int i = 0; i < m; i++)
            for (int r = 0; r < GEMV_ROWS; r++)
                sum[i][r] = _mm512_setzero_ps();
        for (size_t b = 0; b < a->k / 256; b++) {
            __m512i x[GEMV_MAX_M][4], init[GEMV_MAX_M][4];
            float d[GEMV_MAX_M];
            for (int i = 0; i < m; i++) {
                const int8_t *q = a->act->q + (size_t)i * a->act->q_stride + 256 * b;
                for (int v = 0; v < 4; v++) {
                    x[i][v] = load512(q + 64 * v);
                    init[i][v] = gemv_offset(x[i][v], 32);
                }
                d[i] = a->act->d[(size_t)i * a->act->d_stride + b];
            }
#pragma GCC unroll 4
            for (int r = 0; r < GEMV_ROWS; r++) {
                const uint8_t *block = g.row[r] + b * sizeof(struct assay_block_q6_k);
                gemv_prefetch(a, block, sizeof(struct assay_block_q6_k));
                __m512i c[4];
                for (int v = 0; v < 4; v++)
                    c[v] = q6_codes(block, v);
                __m512i scales = _mm512_castsi256_si512(_mm256_cvtepi8_epi16(
                    load128(block + offsetof(struct assay_block_q6_k, scales))));
                __m512i s0 = _mm512_permutexvar_epi16(words0, scales);
                __m512i s1 = _mm512_permutexvar_epi16(words1, scales);
                uint16_t half;
                memcpy(&half, block + offsetof(struct assay_block_q6_k, d), sizeof half);
                float dw = _cvtsh_ss(half);
                for (int i = 0; i < m; i++) {
                    /* Sums of 4 signed products: at most 4·32·127 = 16256. */
                    __m512i p0 = _mm512_packs_epi32(_mm512_dpbusd_epi32(init[i][0], c[0], x[i][0]),
                                                    _mm512_dpbusd_epi32(init[i][1], c[1], x[i][1]));
                    __m512i p1 = _mm512_packs_epi32(_mm512_dpbusd_epi32(init[i][2], c[2], x[i][2]),
                                                    _mm512_dpbusd_epi32(init[i][3], c[3], x[i][3]));
                    __m512i t = _mm512_dpwssd_epi32(_mm512_setzero_si512(), p0, s0);
                    t = _mm512_dpwssd_epi32(t, p1, s1);
                    sum[i][r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(t), _mm512_set1_ps(dw * d[i]),
                                                sum[i][r]);
                }
            }
        }
        gemv_reduce_store(a, n0, &g, m, sum);
    }
}

ASSAY_INLINE void gemv_k4_m(const struct assay_cpu_args *a, const bool q5) {
    switch (a->act->m) {
    case 1:
        gemv_k4(a, q5, 1);
        break;
    case 2:
        gemv_k4(a, q5, 2);
        break;
    default:
        gemv_k4(a, q5, 3);
    }
}

void gemm_q4_k_q8_256__avx512_gemv(const struct assay_cpu_args *a) { gemv_k4_m(a, false); }

void gemm_q5_k_q8_256__avx512_gemv(const struct assay_cpu_args *a) { gemv_k4_m(a, true); }

void gemm_q6_k_q8_256__avx512_gemv(const struct assay_cpu_args *a) {
    switch (a->act->m) {
    case 1:
        gemv_q6_k(a, 1);
        break;
    case 2:
        gemv_q6_k(a, 2);
        break;
    case 3:
        gemv_q6_k(a, 3);
        break;
    default:
        gemv_q6_k(a, 4);
    }
}
