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
    int units;    /* of 32 weights in a block */
    size_t d_at;  /* binary16 scale, unless there is one of the next two functions */
    size_t m_at;  /* binary16 additive term, if has_m */
    bool has_m;

    /* Scales of eight blocks. */
    __m256 (*scales)(const uint8_t *const block[8]);
    /* Scales of the 16-weight halves of unit part[i] of block[i]: first halves in out[0]. Sums are
     * then exact over halves only (exact_run 16), and run is 4. */
    void (*half_scales)(const uint8_t *const block[8], const int part[8], __m256 out[2]);

    /* Codes are signed bytes, or unsigned ones of which `offset` is subtracted. Unsigned codes are
     * at most 31: a 16-bit sum of 8 products is at most 8·31·127 = 31496. */
    bool is_signed;
    int offset;

    /* Unsigned codes: vectors of interleaved codes, four k each, whose products sum in 16 bits. A
     * 16-bit lane then holds 2·run products. Without offset 2·run·127·max code <= 32767; with an
     * offset and run 8 the unsigned sum may wrap, but the final signed one may not:
     * 16·127·16 = 32512. */
    int run;

    /* Codes of one unit of a block in order. */
    __m256i (*row_codes)(const uint8_t *block, int part);
    /* out[i] = codes 4i…4i+3 of eight blocks, one block a 32-bit lane. NULL: from row_codes. */
    void (*panel_codes)(const uint8_t *const block[PANEL_ROWS], __m256i out[8]);
};

/* ---- One to three rows of activations: dot products straight from the blocks ----------------- */

ASSAY_INLINE __m256 block32_scales(const struct block32_type *t, const uint8_t *const block[8]) {
    return t->scales ? t->scales(block) : gather_halves(block, t->d_at);
}

/* Σ of halves of 16 of the 16-bit lanes of p[0…3], first halves to lanes 0…3, second ones to 4…7.
 */
ASSAY_INLINE __m256i sum_halves16(const __m256i p[4]) {
    return _mm256_madd_epi16(
        _mm256_hadd_epi16(_mm256_hadd_epi16(p[0], p[1]), _mm256_hadd_epi16(p[2], p[3])),
        _mm256_set1_epi16(1));
}

/* Products p of eight units with a scale for every half, scaled. sums: Σq of the sixteen halves;
 * da: the activation scales. */
ASSAY_INLINE __m256 block32_add_halves(const struct block32_type *t, const __m256i p[8],
                                       const __m256 scale[2], __m256i sums, __m256 da, __m256 acc) {
    /* Four units a step, as sum_halves16 leaves them. */
    __m256i first = _mm256_srai_epi32(_mm256_slli_epi32(sums, 16), 16);
    __m256i second = _mm256_srai_epi32(sums, 16);
    const __m256i offset = _mm256_set1_epi32(t->offset);
    __m256i low = _mm256_sub_epi32(
        sum_halves16(p),
        _mm256_mullo_epi32(_mm256_permute2x128_si256(first, second, 0x20), offset));
    __m256i high = _mm256_sub_epi32(
        sum_halves16(p + 4),
        _mm256_mullo_epi32(_mm256_permute2x128_si256(first, second, 0x31), offset));
    __m256 v =
        _mm256_mul_ps(_mm256_cvtepi32_ps(low), _mm256_permute2f128_ps(scale[0], scale[1], 0x20));
    acc = _mm256_fmadd_ps(v, _mm256_permute2f128_ps(da, da, 0x00), acc);
    v = _mm256_mul_ps(_mm256_cvtepi32_ps(high), _mm256_permute2f128_ps(scale[0], scale[1], 0x31));
    return _mm256_fmadd_ps(v, _mm256_permute2f128_ps(da, da, 0x11), acc);
}

/* Eight units of one row, or the first `count` of them, times m activation rows. `count` is a
 * constant 8 but for the last units of a row; `block` is where they begin. */
ASSAY_INLINE void block32_dot_group(const struct block32_type *t, const struct assay_act *act,
                                    const uint8_t *block, size_t b, int count, const int m,
                                    __m256 *acc) {
    __m256i p[DOT_MAX][8];
    __m256 d, half[2], add = _mm256_setzero_ps();
    const uint8_t *at[8];
    int part[8];
    ASSAY_UNROLL
    for (int i = 0; i < 8; i++) {
        int unit = i < count ? i : count - 1;
        at[i] = block + (size_t)(unit / t->units) * t->bytes;
        part[i] = unit % t->units;
    }
    const __m256i live =
        _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    if (t->half_scales)
        t->half_scales(at, part, half);
    else
        d = block32_scales(t, at);
    if (t->has_m)
        add = gather_halves(at, t->m_at);
    if (count < 8) { /* the scales of a unit that is not there may be infinite */
        d = _mm256_and_ps(d, _mm256_castsi256_ps(live));
        add = _mm256_and_ps(add, _mm256_castsi256_ps(live));
    }
    ASSAY_UNROLL
    for (int i = 0; i < 8; i++) {
        if (i >= count) {
            for (int r = 0; r < m; r++)
                p[r][i] = _mm256_setzero_si256();
            continue;
        }
        __m256i code = t->row_codes(at[i], part[i]);
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
        __m256i sums = load256(act->sums + (size_t)r * act->sums_stride + b * 2);
        const float *da_at = act->d + (size_t)r * act->d_stride + b;
        __m256 da = count == 8 ? _mm256_loadu_ps(da_at) : _mm256_maskload_ps(da_at, live);
        if (t->half_scales) {
            acc[r] = block32_add_halves(t, p[r], half, sums, da, acc[r]);
            continue;
        }
        __m256i sum = t->is_signed ? sum_each32(p[r]) : sum_each16(p[r]);
        if (t->offset)
            sum =
                _mm256_sub_epi32(sum, _mm256_madd_epi16(sums, _mm256_set1_epi16((short)t->offset)));
        __m256 v = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), d);
        if (t->has_m) {
            sums = _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
            v = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), add, v);
        }
        acc[r] = _mm256_fmadd_ps(v, da, acc[r]);
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
            const uint8_t *block = row + b / (size_t)t->units * t->bytes;
            prefetch_ahead(block, 8 / (size_t)t->units * t->bytes);
            block32_dot_group(t, a->act, block, b, 8, m, acc);
        }
        if (b < blocks)
            block32_dot_group(t, a->act, row + b / (size_t)t->units * t->bytes, b,
                              (int)(blocks - b), m, acc);
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
 * An unpacked unit: 8 code vectors, d (of the first half), m (or d of the second half). */

enum { UNIT32_D = 8 * 32, UNIT32_M = UNIT32_D + 32 };

ASSAY_INLINE size_t block32_unit_bytes(const struct block32_type *t) {
    return t->has_m || t->half_scales ? UNIT32_M + 32 : UNIT32_M;
}

ASSAY_INLINE void block32_pack(const struct block32_type *t, const uint8_t *const block[PANEL_ROWS],
                               size_t part, uint8_t *unit) {
    __m256i code[8];
    int parts[PANEL_ROWS];
    ASSAY_UNROLL
    for (int r = 0; r < PANEL_ROWS; r++)
        parts[r] = (int)part;
    if (t->panel_codes) {
        t->panel_codes(block, code);
    } else {
        __m256i row[PANEL_ROWS];
        ASSAY_UNROLL
        for (int r = 0; r < PANEL_ROWS; r++)
            row[r] = t->row_codes(block[r], (int)part);
        transpose32(row, code);
    }
    ASSAY_UNROLL
    for (int i = 0; i < 8; i++)
        store256(unit + 32 * i, code[i]);
    if (t->half_scales) {
        __m256 half[2];
        t->half_scales(block, parts, half);
        _mm256_storeu_ps((float *)(unit + UNIT32_D), half[0]);
        _mm256_storeu_ps((float *)(unit + UNIT32_M), half[1]);
        return;
    }
    _mm256_storeu_ps((float *)(unit + UNIT32_D), block32_scales(t, block));
    if (t->has_m)
        _mm256_storeu_ps((float *)(unit + UNIT32_M), gather_halves(block, t->m_at));
}

/* aux: with an offset, what the sums of each run start at; with m, Σq as fp32. */
ASSAY_INLINE size_t block32_unit_aux(const struct block32_type *t) {
    return t->offset ? 8 / (size_t)t->run : t->has_m ? 1 : 0;
}

ASSAY_INLINE void block32_prepare(const struct block32_type *t, const int8_t *q,
                                  const int16_t *sums, int32_t *aux) {
    if (t->has_m) {
        float sum = (float)(sums[0] + sums[1]);
        memcpy(aux, &sum, sizeof *aux);
    } else {
        offset_starts(q, 8 / t->run, t->run, t->offset, aux);
    }
}

/* acc + sum·d·da under the scales of the unit's first or second half. */
ASSAY_INLINE __m256 block32_add_scaled(__m256i sum, const uint8_t *unit, int half, __m256 da,
                                       __m256 acc) {
    const float *d = (const float *)(const void *)(unit + UNIT32_D + 32 * half);
    return _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_loadu_ps(d)), da, acc);
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
        const int32_t *aux = a->aux + b * block32_unit_aux(t);
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
                    __m256i start = broadcast32(aux + (size_t)r * a->aux_stride + i / t->run);
                    p0 = _mm256_add_epi16(p0, start);
                    p1 = _mm256_add_epi16(p1, start);
                }
                part[r][0] = pin(p0);
                part[r][1] = pin(p1);
                if ((i + 1) % t->run == 0) {
                    p0 = _mm256_madd_epi16(p0, one);
                    p1 = _mm256_madd_epi16(p1, one);
                    if (t->half_scales) {
                        __m256 da = _mm256_broadcast_ss(a->d + (size_t)r * a->d_stride + b);
                        acc[r][0] = block32_add_scaled(p0, w[0], i / t->run, da, acc[r][0]);
                        acc[r][1] = block32_add_scaled(p1, w[1], i / t->run, da, acc[r][1]);
                        continue;
                    }
                    sum[r][0] = i < t->run ? p0 : _mm256_add_epi32(sum[r][0], p0);
                    sum[r][1] = i < t->run ? p1 : _mm256_add_epi32(sum[r][1], p1);
                }
            }
        }
        if (t->half_scales) {
            w[0] += unit_bytes;
            w[1] += unit_bytes;
            continue;
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
    static void name##_pack(const uint8_t *const block[PANEL_ROWS], size_t part, uint8_t *unit) {  \
        block32_pack(&name, block, part, unit);                                                    \
    }                                                                                              \
    static void name##_prepare(const int8_t *q, const int16_t *sums, int32_t *aux) {               \
        block32_prepare(&name, q, sums, aux);                                                      \
    }                                                                                              \
    static void name##_tile(const struct panel_tile *t, size_t mr) {                               \
        block32_tile_any(&name, t, mr);                                                            \
    }                                                                                              \
    void gemm_##name##_q8_0__avx2_4x16(const struct assay_cpu_args *a) {                           \
        const struct panel_ops ops = {.unit_k = 32,                                                \
                                      .block_bytes = sizeof(struct assay_block_##name),            \
                                      .block_units = (size_t)name.units,                           \
                                      .unit_bytes = block32_unit_bytes(&name),                     \
                                      .unit_aux = block32_unit_aux(&name),                         \
                                      .pack = name##_pack,                                         \
                                      .prepare = name##_prepare,                                   \
                                      .tile = name##_tile};                                        \
        assay_avx2_panel_gemm(&ops, a);                                                            \
    }                                                                                              \
    void gemm_##name##_q8_0__avx2_dot(const struct assay_cpu_args *a) { block32_dot_any(&name, a); }

#endif
