/* Kernel templates of the types with blocks of 32 and int8 activations in blocks of 32.
 *
 * A type is a constant struct block32_type; the functions below are inlined into its instances. The
 * 32 products of a block sum exactly in integers (exact_run 32). Scales then come in fp32 in the
 * order ((sum·d) + m·Σq)·d_act, in which no intermediate overflows. */
#ifndef ASSAY_IMPL_CPU_AVX2_BLOCK32_H
#define ASSAY_IMPL_CPU_AVX2_BLOCK32_H

#include "kernels.h"
#include "panel.h"
#include "simd.h"

struct block32_type {
    size_t bytes; /* of a block */
    size_t d_at;  /* binary16 scale */
    size_t m_at;  /* binary16 additive term, if has_m */
    bool has_m;

    /* Codes are signed bytes, or unsigned ones of which `offset` is subtracted. Unsigned codes are
     * at most 31: a 16-bit sum of 8 products is at most 8·31·127 = 31496. */
    bool is_signed;
    int offset;

    /* Unsigned codes: vectors of interleaved codes, four k each, whose products sum in 16 bits. A
     * 16-bit lane then holds 2·run products. Without offset 2·run·127·max code <= 32767; with an
     * offset and run 8 the unsigned sum may wrap, but the final signed one may not:
     * 16·127·16 = 32512. */
    int run;

    /* Codes of one block in order. */
    __m256i (*row_codes)(const uint8_t *block);
    /* out[i] = codes 4i…4i+3 of eight blocks, one block a 32-bit lane. */
    void (*panel_codes)(const uint8_t *const block[PANEL_ROWS], __m256i out[8]);
};

/* ---- One to three rows of activations: dot products straight from the blocks ----------------- */

/* Eight blocks of one row, or the first `count` of them, times m activation rows. `count` is a
 * constant 8 but for the last blocks of a row. */
ASSAY_INLINE void block32_dot_group(const struct block32_type *t, const struct assay_act *act,
                                    const uint8_t *block, size_t b, int count, const int m,
                                    __m256 *acc) {
    __m256i p[DOT_MAX][8];
    __m256 d, add = _mm256_setzero_ps();
    __m256i live = _mm256_set1_epi32(-1);
    if (count == 8) {
        const uint8_t *at[8];
        ASSAY_UNROLL
        for (int i = 0; i < 8; i++)
            at[i] = block + (size_t)i * t->bytes;
        d = gather_halves(at, t->d_at);
        if (t->has_m)
            add = gather_halves(at, t->m_at);
    } else {
        float ds[8] = {0}, adds[8] = {0};
        for (int i = 0; i < count; i++) {
            ds[i] = _mm256_cvtss_f32(broadcast_half(block + (size_t)i * t->bytes + t->d_at));
            if (t->has_m)
                adds[i] = _mm256_cvtss_f32(broadcast_half(block + (size_t)i * t->bytes + t->m_at));
        }
        d = _mm256_loadu_ps(ds);
        add = _mm256_loadu_ps(adds);
        live =
            _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    }
    ASSAY_UNROLL
    for (int i = 0; i < 8; i++) {
        if (i >= count) {
            for (int r = 0; r < m; r++)
                p[r][i] = _mm256_setzero_si256();
            continue;
        }
        __m256i code = t->row_codes(block + (size_t)i * t->bytes);
        ASSAY_UNROLL
        for (int r = 0; r < m; r++) {
            __m256i x = load256(act->q + (size_t)r * act->q_stride + (b + (size_t)i) * 32);
            p[r][i] = t->is_signed
                          ? _mm256_madd_epi16(pair_products_signed(code, x), _mm256_set1_epi16(1))
                          : _mm256_maddubs_epi16(code, x);
        }
    }
    ASSAY_UNROLL
    for (int r = 0; r < m; r++) {
        __m256i sum = t->is_signed ? sum_each32(p[r]) : sum_each16(p[r]);
        __m256i sums = load256(act->sums + (size_t)r * act->sums_stride + b * 2);
        if (t->offset)
            sum =
                _mm256_sub_epi32(sum, _mm256_madd_epi16(sums, _mm256_set1_epi16((short)t->offset)));
        __m256 v = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), d);
        if (t->has_m) {
            sums = _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
            v = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), add, v);
        }
        const float *da = act->d + (size_t)r * act->d_stride + b;
        acc[r] = _mm256_fmadd_ps(v, count == 8 ? _mm256_loadu_ps(da) : _mm256_maskload_ps(da, live),
                                 acc[r]);
    }
}

ASSAY_INLINE void block32_dot(const struct block32_type *t, const struct assay_cpu_args *a,
                              const int m) {
    size_t blocks = a->k / 32;
    for (size_t j = 0; j < a->n; j++) {
        const uint8_t *row = a->w + j * a->row_bytes;
        __m256 acc[DOT_MAX];
        for (int r = 0; r < m; r++)
            acc[r] = _mm256_setzero_ps();
        size_t b = 0;
        for (; b + 8 <= blocks; b += 8) {
            prefetch_ahead(row + b * t->bytes, 8 * t->bytes);
            block32_dot_group(t, a->act, row + b * t->bytes, b, 8, m, acc);
        }
        if (b < blocks)
            block32_dot_group(t, a->act, row + b * t->bytes, b, (int)(blocks - b), m, acc);
        for (int r = 0; r < m; r++)
            a->y[(size_t)r * a->ldy + j] = sum_lanes(acc[r]);
    }
}

ASSAY_INLINE void block32_dot_any(const struct block32_type *t, const struct assay_cpu_args *a) {
    switch (a->act->m) {
    case 1:
        block32_dot(t, a, 1);
        break;
    case 2:
        block32_dot(t, a, 2);
        break;
    case 3:
        block32_dot(t, a, 3);
        break;
    }
}

/* ---- Panels -----------------------------------------------------------------------------------
 * An unpacked unit: 8 code vectors, d, m. */

enum { UNIT32_D = 8 * 32, UNIT32_M = UNIT32_D + 32 };

ASSAY_INLINE size_t block32_unit_bytes(const struct block32_type *t) {
    return t->has_m ? UNIT32_M + 32 : UNIT32_M;
}

ASSAY_INLINE void block32_pack(const struct block32_type *t, const uint8_t *const block[PANEL_ROWS],
                               uint8_t *unit) {
    __m256i code[8];
    t->panel_codes(block, code);
    ASSAY_UNROLL
    for (int i = 0; i < 8; i++)
        store256(unit + 32 * i, code[i]);
    _mm256_storeu_ps((float *)(unit + UNIT32_D), gather_halves(block, t->d_at));
    if (t->has_m)
        _mm256_storeu_ps((float *)(unit + UNIT32_M), gather_halves(block, t->m_at));
}

/* aux: with an offset, the 16-bit pair that starts the sums at -offset·Σq of the elements that the
 * two lanes of a row will see (0, 1 and 2, 3 modulo 4); with m, Σq as fp32. */
ASSAY_INLINE size_t block32_unit_aux(const struct block32_type *t) {
    return t->offset || t->has_m ? 1 : 0;
}

ASSAY_INLINE void block32_prepare(const struct block32_type *t, const int8_t *q,
                                  const int16_t *sums, int32_t *aux) {
    if (t->has_m) {
        float sum = (float)(sums[0] + sums[1]);
        memcpy(aux, &sum, sizeof *aux);
    } else {
        __m256i v = _mm256_maddubs_epi16(_mm256_set1_epi8(1), load256(q));
        __m128i pair = _mm_add_epi16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
        pair = _mm_add_epi16(pair, _mm_unpackhi_epi64(pair, pair));
        pair = _mm_add_epi16(pair, _mm_srli_si128(pair, 4));
        pair = _mm_mullo_epi16(pair, _mm_set1_epi16((short)-t->offset));
        *aux = _mm_cvtsi128_si32(pair);
    }
}

ASSAY_INLINE void block32_tile(const struct block32_type *t, const struct panel_tile *a,
                               const int mr) {
    const uint8_t *w[2] = {a->panel, a->panel + a->panel_stride};
    size_t unit_bytes = block32_unit_bytes(t);
    const __m256i one = _mm256_set1_epi16(1);
    __m256 acc[TILE_ROWS][2];
    ASSAY_UNROLL
    for (int r = 0; r < mr; r++) {
        acc[r][0] = _mm256_loadu_ps(a->acc + r * PANEL_PAIR);
        acc[r][1] = _mm256_loadu_ps(a->acc + r * PANEL_PAIR + PANEL_ROWS);
    }
    for (size_t b = 0; b < a->units; b++) {
        const int8_t *q = a->q + b * 32;
        const int32_t *aux = a->aux + b;
        __m256i part[TILE_ROWS][2], sum[TILE_ROWS][2];
        ASSAY_UNROLL
        for (int i = 0; i < 8; i++) {
            __m256i c0 = load256(w[0] + 32 * i), c1 = load256(w[1] + 32 * i);
            ASSAY_UNROLL
            for (int r = 0; r < mr; r++) {
                __m256i x = broadcast32(q + (size_t)r * a->q_stride + 4 * i), p0, p1;
                if (t->is_signed) {
                    p0 = _mm256_madd_epi16(pair_products_signed(c0, x), one);
                    p1 = _mm256_madd_epi16(pair_products_signed(c1, x), one);
                    sum[r][0] = pin(i ? _mm256_add_epi32(sum[r][0], p0) : p0);
                    sum[r][1] = pin(i ? _mm256_add_epi32(sum[r][1], p1) : p1);
                    continue;
                }
                p0 = _mm256_maddubs_epi16(c0, x);
                p1 = _mm256_maddubs_epi16(c1, x);
                if (i % t->run) {
                    p0 = _mm256_add_epi16(p0, part[r][0]);
                    p1 = _mm256_add_epi16(p1, part[r][1]);
                } else if (t->offset) {
                    __m256i start = broadcast32(aux + (size_t)r * a->aux_stride);
                    p0 = _mm256_add_epi16(p0, start);
                    p1 = _mm256_add_epi16(p1, start);
                }
                part[r][0] = pin(p0);
                part[r][1] = pin(p1);
                if ((i + 1) % t->run == 0) {
                    p0 = _mm256_madd_epi16(p0, one);
                    p1 = _mm256_madd_epi16(p1, one);
                    sum[r][0] = i < t->run ? p0 : _mm256_add_epi32(sum[r][0], p0);
                    sum[r][1] = i < t->run ? p1 : _mm256_add_epi32(sum[r][1], p1);
                }
            }
        }
        ASSAY_UNROLL
        for (int r = 0; r < mr; r++) {
            __m256 da = _mm256_broadcast_ss(a->d + (size_t)r * a->d_stride + b);
            ASSAY_UNROLL
            for (int p = 0; p < 2; p++) {
                const float *d = (const float *)(w[p] + UNIT32_D);
                __m256 v = _mm256_mul_ps(_mm256_cvtepi32_ps(sum[r][p]), _mm256_loadu_ps(d));
                if (t->has_m) {
                    __m256 sums = _mm256_castsi256_ps(broadcast32(aux + (size_t)r * a->aux_stride));
                    v = _mm256_fmadd_ps(sums, _mm256_loadu_ps(d + 8), v);
                }
                acc[r][p] = _mm256_fmadd_ps(v, da, acc[r][p]);
            }
        }
        w[0] += unit_bytes;
        w[1] += unit_bytes;
    }
    ASSAY_UNROLL
    for (int r = 0; r < mr; r++) {
        _mm256_storeu_ps(a->acc + r * PANEL_PAIR, acc[r][0]);
        _mm256_storeu_ps(a->acc + r * PANEL_PAIR + PANEL_ROWS, acc[r][1]);
    }
}

ASSAY_INLINE void block32_tile_any(const struct block32_type *t, const struct panel_tile *a,
                                   size_t mr) {
    switch (mr) {
    case 1:
        block32_tile(t, a, 1);
        break;
    case 2:
        block32_tile(t, a, 2);
        break;
    case 3:
        block32_tile(t, a, 3);
        break;
    case 4:
        block32_tile(t, a, 4);
        break;
    }
}

/* The kernels of one type: thin instances of the templates. */
#define ASSAY_BLOCK32_KERNELS(name)                                                                \
    static void name##_pack(const uint8_t *const block[PANEL_ROWS], uint8_t *unit) {               \
        block32_pack(&name, block, unit);                                                          \
    }                                                                                              \
    static void name##_prepare(const int8_t *q, const int16_t *sums, int32_t *aux) {               \
        block32_prepare(&name, q, sums, aux);                                                      \
    }                                                                                              \
    static void name##_tile(const struct panel_tile *t, size_t mr) {                               \
        block32_tile_any(&name, t, mr);                                                            \
    }                                                                                              \
    void gemm_##name##_q8_0__avx2_4x16(const struct assay_cpu_args *a) {                           \
        const struct panel_ops ops = {32,                                                          \
                                      sizeof(struct assay_block_##name),                           \
                                      block32_unit_bytes(&name),                                   \
                                      block32_unit_aux(&name),                                     \
                                      name##_pack,                                                 \
                                      name##_prepare,                                              \
                                      name##_tile};                                                \
        assay_avx2_panel_gemm(&ops, a);                                                            \
    }                                                                                              \
    void gemm_##name##_q8_0__avx2_dot(const struct assay_cpu_args *a) { block32_dot_any(&name, a); }

#endif
