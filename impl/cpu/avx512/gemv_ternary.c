/* GEMV of the types with codes of one or two bits or ternary digits, and one scale for many of
 * them: TQ1_0, TQ2_0, Q2_0 and Q1_0. Code v of each byte is one vector of weights; the activations
 * are put in that order first. */
#include "apart.h"
#include "gemv.h"
#include "impl/blocks.h"
#include "kernels.h"
#include "ternary.h"

enum low_type { LOW_TQ1_0, LOW_TQ2_0, LOW_Q2_0 };

/* ---- TQ1_0, TQ2_0 and Q2_0: 256 columns of a row in one vector of bytes ---- */

ASSAY_INLINE int low_codes(enum low_type t) { return t == LOW_TQ1_0 ? 5 : 4; }

/* What bytes of TQ1_0 hold: five digits as two bits each, three in `first`, two in `last`. One
 * look-up in tables of 256 entries costs less than five multiplications of fractions. */
struct digit_tables {
    __m512i first[4], last[4];
    __m512i code[3]; /* two bits at bit 2i of six */
};

ASSAY_INLINE struct digit_tables digit_tables(void) {
    struct digit_tables t;
    uint8_t byte[64], code[3][64];
    for (int i = 0; i < 64; i++) {
        byte[i] = (uint8_t)i;
        for (int j = 0; j < 3; j++)
            code[j][i] = (uint8_t)(i >> 2 * j & 3);
    }
    for (int i = 0; i < 4; i++) {
        __m512i p = _mm512_add_epi8(load512(byte), _mm512_set1_epi8((char)(64 * i)));
        __m512i v = _mm512_srli_epi16(ternary_digit(&p), 6);
        v = _mm512_or_si512(v, _mm512_srli_epi16(ternary_digit(&p), 4));
        t.first[i] = _mm512_or_si512(v, _mm512_srli_epi16(ternary_digit(&p), 2));
        v = _mm512_srli_epi16(ternary_digit(&p), 6);
        t.last[i] = _mm512_or_si512(v, _mm512_srli_epi16(ternary_digit(&p), 4));
    }
    for (int j = 0; j < 3; j++)
        t.code[j] = load512(code[j]);
    return t;
}

/* Entries of a table of 256 for the bytes of q. */
ASSAY_INLINE __m512i table_256(const __m512i t[4], __m512i q) {
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(q), _mm512_permutex2var_epi8(t[0], q, t[1]),
                                  _mm512_permutex2var_epi8(t[2], q, t[3]));
}

/* The activations of 256 columns as low_codes() vectors. */
ASSAY_INLINE void low_acts(enum low_type t, const struct assay_act *act, int8_t *out) {
    if (t == LOW_Q2_0) {
        take_apart(act, 4, out);
        return;
    }
    for (size_t i = 0; i < act->m; i++)
        for (size_t k = 0; k < act->k; k += 256) {
            const int8_t *q = act->q + i * act->q_stride + k;
            for (size_t v = 0; v < (size_t)low_codes(t); v++, out += 64) {
                if (t == LOW_TQ2_0) {
                    memcpy(out, q + 32 * v, 32);
                    memcpy(out + 32, q + 128 + 32 * v, 32);
                    continue;
                }
                /* Bytes 0…31, 32…47 and the four of qh, which have four digits only. */
                memset(out + 48, 0, 16);
                memcpy(out, q + 32 * v, 32);
                memcpy(out + 32, q + 160 + 16 * v, 16);
                if (v < 4)
                    memcpy(out + 48, q + 240 + 4 * v, 4);
            }
        }
}

/* Bytes of the codes of 256 columns at p, of which `columns` exist. */
ASSAY_INLINE __m512i low_bytes(enum low_type t, const uint8_t *p, size_t columns, __m512i place) {
    if (t == LOW_TQ1_0)
        return _mm512_maskz_loadu_epi8((1ull << 52) - 1,
                                       p + offsetof(struct assay_block_tq1_0, qs));
    if (t == LOW_TQ2_0)
        return load512(p + offsetof(struct assay_block_tq2_0, qs));
    const size_t step = 4 * sizeof(struct assay_block_q2_0);
    if (columns == 256)
        return _mm512_permutex2var_epi8(load512(p), place, load512(p + step - 64));
    /* Three blocks at most, which the first 64 bytes hold. */
    __mmask64 some = (1ull << columns / 64 * sizeof(struct assay_block_q2_0)) - 1;
    return _mm512_permutex2var_epi8(_mm512_maskz_loadu_epi8(some, p), place,
                                    _mm512_setzero_si512());
}

_Static_assert(offsetof(struct assay_block_tq1_0, qh) ==
                   offsetof(struct assay_block_tq1_0, qs) + 48,
               "low_bytes reads qs and qh at once");

/* The codes of 64 bytes: 0, 1 and 2 are the weights -1, 0 and 1. */
ASSAY_INLINE void low_unpack(enum low_type t, const struct digit_tables *tables, __m512i q,
                             __m512i code[5]) {
    if (t == LOW_TQ1_0) {
        __m512i first = table_256(tables->first, q), last = table_256(tables->last, q);
        for (int v = 0; v < 5; v++)
            code[v] = _mm512_permutexvar_epi8(v < 3 ? first : last, tables->code[v % 3]);
        return;
    }
    for (int v = 0; v < 4; v++)
        code[v] =
            _mm512_and_si512(v ? _mm512_srli_epi16(q, (unsigned)(2 * v)) : q, _mm512_set1_epi8(3));
}

/* Scales: one a row (TQ1_0, TQ2_0), or of each block of 64 in the four lanes that it has. */
ASSAY_INLINE __m512 low_scales(enum low_type t, const uint8_t *p, size_t columns) {
    if (t != LOW_Q2_0) {
        uint16_t d;
        memcpy(&d,
               p + (t == LOW_TQ1_0 ? offsetof(struct assay_block_tq1_0, d)
                                   : offsetof(struct assay_block_tq2_0, d)),
               sizeof d);
        return _mm512_set1_ps(_cvtsh_ss(d));
    }
    const __m512i place = _mm512_castsi256_si512(
        _mm256_setr_epi16(0, 0, 0, 0, 9, 9, 9, 9, 18, 18, 18, 18, 27, 27, 27, 27));
    __mmask64 some =
        columns == 256 ? ~0ull : (1ull << columns / 64 * sizeof(struct assay_block_q2_0)) - 1;
    return _mm512_cvtph_ps(
        _mm512_castsi512_si256(_mm512_permutexvar_epi16(place, _mm512_maskz_loadu_epi8(some, p))));
}

ASSAY_INLINE void low_step(enum low_type t, const struct assay_cpu_args *a,
                           const struct gemv_rows *g, size_t k, size_t columns, __m512i place,
                           const struct digit_tables *tables, const int m,
                           __m512 sum[GEMV_MAX_M][GEMV_ROWS]) {
    const size_t bytes = t == LOW_TQ1_0   ? sizeof(struct assay_block_tq1_0)
                         : t == LOW_TQ2_0 ? sizeof(struct assay_block_tq2_0)
                                          : 4 * sizeof(struct assay_block_q2_0);
    const int codes = low_codes(t);
    const size_t steps = (a->k + 255) / 256;
    const int8_t *acts = a->scratch;
    __m512i x[GEMV_MAX_M][5], init[GEMV_MAX_M];
    __m512 d[GEMV_MAX_M];
    for (int i = 0; i < m; i++) {
        init[i] = _mm512_setzero_si512();
        for (int v = 0; v < codes; v++) {
            x[i][v] =
                load512(acts + (((size_t)i * steps + k / 256) * (size_t)codes + (size_t)v) * 64);
            init[i] = _mm512_add_epi32(init[i], gemv_offset(x[i][v], 1));
        }
        const float *di = a->act->d + (size_t)i * a->act->d_stride;
        d[i] = t != LOW_Q2_0
                   ? _mm512_set1_ps(di[k / 256])
                   : _mm512_permutexvar_ps(
                         _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7),
                         _mm512_castps256_ps512(_mm256_loadu_ps(di + k / 32)));
    }
    ASSAY_UNROLL
    for (int r = 0; r < GEMV_ROWS; r++) {
        const uint8_t *p = g->row[r] + k / 256 * bytes;
        gemv_prefetch(a, p, bytes);
        __m512i code[5], acc[GEMV_MAX_M];
        low_unpack(t, tables, low_bytes(t, p, columns, place), code);
        __m512 scale = low_scales(t, p, columns);
        for (int i = 0; i < m; i++)
            acc[i] = init[i];
        ASSAY_UNROLL
        for (int v = 0; v < codes; v++)
            for (int i = 0; i < m; i++)
                acc[i] = _mm512_dpbusd_epi32(acc[i], code[v], x[i][v]);
        for (int i = 0; i < m; i++)
            sum[i][r] =
                _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[i]), _mm512_mul_ps(scale, d[i]), sum[i][r]);
    }
}

ASSAY_INLINE void gemv_low(enum low_type t, const struct assay_cpu_args *a, const int m) {
    uint8_t order[64]; /* the code bytes of four blocks of Q2_0, from its first and last 64 */
    for (size_t i = 0; i < 64; i++) {
        size_t at = i / 16 * sizeof(struct assay_block_q2_0) +
                    offsetof(struct assay_block_q2_0, qs) + i % 16;
        order[i] = (uint8_t)(at < 64 ? at : 64 + at - (4 * sizeof(struct assay_block_q2_0) - 64));
    }
    const __m512i place = load512(order);
    const struct digit_tables tables = digit_tables();
    for (size_t n0 = 0; n0 < a->n; n0 += GEMV_ROWS) {
        struct gemv_rows g = gemv_rows_at(a, n0);
        __m512 sum[GEMV_MAX_M][GEMV_ROWS];
        for (int i = 0; i < m; i++)
            for (int r = 0; r < GEMV_ROWS; r++)
                sum[i][r] = _mm512_setzero_ps();
        size_t k = 0;
        for (; k + 256 <= a->k; k += 256)
            low_step(t, a, &g, k, 256, place, &tables, m, sum);
        if (k < a->k)
            low_step(t, a, &g, k, a->k - k, place, &tables, m, sum);
        gemv_reduce_store(a, n0, &g, m, sum);
    }
}

/* ---- Q1_0: 256 columns of two rows in one vector ---- */

/* The two blocks at p, of which the second exists if `pair`. */
ASSAY_INLINE __m512i q1_0_load(const uint8_t *p, const bool pair) {
    return _mm512_maskz_loadu_epi8((1ull << (pair ? 2 : 1) * sizeof(struct assay_block_q1_0)) - 1,
                                   p);
}

ASSAY_INLINE void q1_0_step(const struct assay_cpu_args *a, const struct gemv_rows *g, size_t k,
                            const bool pair, const int m, __m512 sum[GEMV_MAX_M][2]) {
    /* Bytes 2…17 and 20…35 of each row; the scales at 0 and 18, a block in four lanes. */
    const __m512i bytes = _mm512_setr_epi64(
        0x0908070605040302, 0x11100f0e0d0c0b0a, 0x1b1a191817161514, 0x232221201f1e1d1c,
        0x4948474645444342, 0x51504f4e4d4c4b4a, 0x5b5a595857565554, 0x636261605f5e5d5c);
    const __m512i words = _mm512_castsi256_si512(
        _mm256_setr_epi16(0, 0, 0, 0, 9, 9, 9, 9, 32, 32, 32, 32, 41, 41, 41, 41));
    const size_t at = k / 128 * sizeof(struct assay_block_q1_0), padded = (a->k + 255) / 256 * 256;
    const int8_t *acts = a->scratch;
    __m512i q[2];
    __m512 scale[2];
    for (int v = 0; v < 2; v++) {
        const uint8_t *p0 = g->row[2 * v] + at, *p1 = g->row[2 * v + 1] + at;
        gemv_prefetch(a, p0, 2 * sizeof(struct assay_block_q1_0));
        gemv_prefetch(a, p1, 2 * sizeof(struct assay_block_q1_0));
        __m512i b0 = q1_0_load(p0, pair), b1 = q1_0_load(p1, pair);
        q[v] = _mm512_permutex2var_epi8(b0, bytes, b1);
        scale[v] =
            _mm512_cvtph_ps(_mm512_castsi512_si256(_mm512_permutex2var_epi16(b0, words, b1)));
    }
    for (int i = 0; i < m; i++) {
        const int8_t *x = acts + (size_t)i * padded + k;
        __m512 d = _mm512_castsi512_ps(
            _mm512_broadcast_i64x4(load256(a->act->d + (size_t)i * a->act->d_stride + k / 32)));
        __m512i acc[2], plain = _mm512_setzero_si512();
        acc[0] = acc[1] = _mm512_setzero_si512();
        ASSAY_UNROLL
        for (int v = 0; v < 8; v++) {
            __m512i xv = _mm512_broadcast_i64x4(load256(x + 32 * v));
            plain = _mm512_dpbusd_epi32(plain, _mm512_set1_epi8(1), xv);
            for (int r = 0; r < 2; r++) {
                /* Twice bit v: the weights are 2·bit - 1. */
                __m512i bits = v == 0 ? _mm512_add_epi8(q[r], q[r])
                                      : _mm512_srli_epi16(q[r], (unsigned)(v - 1));
                acc[r] =
                    _mm512_dpbusd_epi32(acc[r], _mm512_and_si512(bits, _mm512_set1_epi8(2)), xv);
            }
        }
        for (int r = 0; r < 2; r++)
            sum[i][r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(acc[r], plain)),
                                        _mm512_mul_ps(scale[r], d), sum[i][r]);
    }
}

ASSAY_INLINE void gemv_q1_0(const struct assay_cpu_args *a, const int m) {
    for (size_t n0 = 0; n0 < a->n; n0 += GEMV_ROWS) {
        struct gemv_rows g = gemv_rows_at(a, n0);
        __m512 sum[GEMV_MAX_M][2];
        for (int i = 0; i < m; i++)
            sum[i][0] = sum[i][1] = _mm512_setzero_ps();
        size_t k = 0;
        for (; k + 256 <= a->k; k += 256)
            q1_0_step(a, &g, k, true, m, sum);
        if (k < a->k)
            q1_0_step(a, &g, k, false, m, sum);
        for (int i = 0; i < m; i++) {
            float out[GEMV_ROWS];
            for (int r = 0; r < GEMV_ROWS; r++)
                out[r] =
                    _mm512_mask_reduce_add_ps((__mmask16)(r % 2 ? 0xff00 : 0x00ff), sum[i][r / 2]);
            gemv_store(a, n0, &g, (size_t)i, out);
        }
    }
}

#define KERNEL(name, TYPE, ACT)                                                                    \
    void gemm_##name##_q8_##ACT##__avx512_gemv(const struct assay_cpu_args *a) {                   \
        low_acts(TYPE, a->act, a->scratch);                                                        \
        if (a->act->m == 1)                                                                        \
            gemv_low(TYPE, a, 1);                                                                  \
        else                                                                                       \
            gemv_low(TYPE, a, 2);                                                                  \
    }

KERNEL(tq1_0, LOW_TQ1_0, 256)
KERNEL(tq2_0, LOW_TQ2_0, 256)
KERNEL(q2_0, LOW_Q2_0, 32)

void gemm_q1_0_q8_32__avx512_gemv(const struct assay_cpu_args *a) {
    take_apart(a->act, 8, a->scratch);
    if (a->act->m == 1)
        gemv_q1_0(a, 1);
    else
        gemv_q1_0(a, 2);
}
