/* GEMV of Q8_0, Q4_0 and IQ4_NL: two blocks of 32 at a time, each with its own two scales. */
#include "gemv.h"
#include "impl/blocks.h"
#include "kernels.h"

enum legacy_type { LEGACY_Q8_0, LEGACY_Q4_0, LEGACY_IQ4_NL };

/* The values of IQ4_NL (ref/dequant_iquants.c) plus 128. */
ASSAY_INLINE __m512i iq4_codes(__m512i index) {
    const __m512i table = _mm512_broadcast_i32x4(
        _mm_setr_epi8(1, 24, 45, 63, 79, 93, 106, 118, (char)129, (char)141, (char)153, (char)166,
                      (char)181, (char)197, (char)217, (char)241));
    return _mm512_shuffle_epi8(table, index);
}

ASSAY_INLINE size_t legacy_bytes(enum legacy_type t) {
    return t == LEGACY_Q8_0 ? sizeof(struct assay_block_q8_0) : sizeof(struct assay_block_q4_0);
}

_Static_assert(sizeof(struct assay_block_q4_0) == sizeof(struct assay_block_iq4_nl) &&
                   offsetof(struct assay_block_q4_0, qs) == offsetof(struct assay_block_iq4_nl, qs),
               "Q4_0 and IQ4_NL differ in their code values only");

/* 64 unsigned codes of the blocks at p and behind it; `pair` false: only the first exists and the
 * second half is not read. */
ASSAY_INLINE __m512i legacy_codes(enum legacy_type t, const uint8_t *p, const bool pair) {
    const size_t qs = 2, next = legacy_bytes(t);
    if (t == LEGACY_Q8_0) {
        __m256i hi = pair ? load256(p + next + qs) : _mm256_setzero_si256();
        return _mm512_xor_si512(join256(load256(p + qs), hi), _mm512_set1_epi8((char)0x80));
    }
    __m128i hi = pair ? load128(p + next + qs) : _mm_setzero_si128();
    __m256i q = _mm256_inserti128_si256(_mm256_castsi128_si256(load128(p + qs)), hi, 1);
    /* Each 16 bytes twice: low nibbles are weights 0…15, high nibbles 16…31. */
    __m512i v = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 1, 0, 1, 2, 3, 2, 3),
                                         _mm512_castsi256_si512(q));
    v = _mm512_srlv_epi64(v, _mm512_setr_epi64(0, 0, 4, 4, 0, 0, 4, 4));
    v = _mm512_and_si512(v, _mm512_set1_epi8(0x0f));
    return t == LEGACY_IQ4_NL ? iq4_codes(v) : v;
}

/* The scale of the first block in lanes 0…7, of the second in lanes 8…15 (0 without a pair). */
ASSAY_INLINE __m512 legacy_scales(enum legacy_type t, const uint8_t *p, const bool pair) {
    /* The first bytes of the pair, long enough to reach the second scale, never past the pair. */
    __m512i head = pair ? t == LEGACY_Q8_0 ? load512(p) : _mm512_castsi256_si512(load256(p))
                        : _mm512_maskz_loadu_epi8(3, p);
    const short second = (short)(pair ? legacy_bytes(t) / 2 : 1);
    __m512i index = _mm512_castsi256_si512(
        _mm256_inserti128_si256(_mm256_setzero_si256(), _mm_set1_epi16(second), 1));
    return _mm512_cvtph_ps(_mm512_castsi512_si256(_mm512_permutexvar_epi16(index, head)));
}

ASSAY_INLINE void legacy_step(enum legacy_type t, const struct assay_cpu_args *a,
                              const struct gemv_rows *g, size_t b, const bool pair, const int m,
                              __m512 sum[GEMV_MAX_M][GEMV_ROWS]) {
    const int offset = t == LEGACY_Q4_0 ? 8 : 128;
    __m512i x[GEMV_MAX_M], init[GEMV_MAX_M];
    __m512 d[GEMV_MAX_M];
    for (int i = 0; i < m; i++) {
        const float *scales = a->act->d + (size_t)i * a->act->d_stride + b;
        x[i] = load512(a->act->q + (size_t)i * a->act->q_stride + 32 * b);
        init[i] = gemv_offset(x[i], offset);
        d[i] = _mm512_insertf32x8(_mm512_set1_ps(scales[0]), _mm256_set1_ps(scales[1]), 1);
    }
#pragma GCC unroll 4
    for (int r = 0; r < GEMV_ROWS; r++) {
        const uint8_t *p = g->row[r] + b * legacy_bytes(t);
        gemv_prefetch(a, p, 2 * legacy_bytes(t));
        __m512i c = legacy_codes(t, p, pair);
        __m512 w = legacy_scales(t, p, pair);
        for (int i = 0; i < m; i++)
            sum[i][r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_dpbusd_epi32(init[i], c, x[i])),
                                        _mm512_mul_ps(w, d[i]), sum[i][r]);
    }
}

ASSAY_INLINE void gemv_legacy(enum legacy_type t, const struct assay_cpu_args *a, const int m) {
    size_t blocks = a->k / 32;
    for (size_t n0 = 0; n0 < a->n; n0 += GEMV_ROWS) {
        struct gemv_rows g = gemv_rows_at(a, n0);
        __m512 sum[GEMV_MAX_M][GEMV_ROWS];
        for (int i = 0; i < m; i++)
            for (int r = 0; r < GEMV_ROWS; r++)
                sum[i][r] = _mm512_setzero_ps();
        size_t b = 0;
        for (; b + 2 <= blocks; b += 2)
            legacy_step(t, a, &g, b, true, m, sum);
        if (b < blocks)
            legacy_step(t, a, &g, b, false, m, sum);
        for (int i = 0; i < m; i++) {
            float out[GEMV_ROWS];
            for (int r = 0; r < GEMV_ROWS; r++)
                out[r] = _mm512_reduce_add_ps(sum[i][r]);
            gemv_store(a, n0, &g, (size_t)i, out);
        }
    }
}

ASSAY_INLINE void gemv_legacy_m(enum legacy_type t, const struct assay_cpu_args *a) {
    switch (a->act->m) {
    case 1: gemv_legacy(t, a, 1); break;
    case 2: gemv_legacy(t, a, 2); break;
    default: gemv_legacy(t, a, 3);
    }
}

void gemm_q8_0_q8_32__avx512_gemv(const struct assay_cpu_args *a) { gemv_legacy_m(LEGACY_Q8_0, a); }

void gemm_q4_0_q8_32__avx512_gemv(const struct assay_cpu_args *a) { gemv_legacy_m(LEGACY_Q4_0, a); }

void gemm_iq4_nl_q8_32__avx512_gemv(const struct assay_cpu_args *a) {
    gemv_legacy_m(LEGACY_IQ4_NL, a);
}
