/* Kernel templates of the super-block types with int8 activations in blocks of 256.
 *
 * A type is a constant struct superblock_type; the functions below are inlined into its instances.
 * Within a super-block everything is integer and exact (exact_run 256): codes × activations sum in
 * 16 bits for as long as they can't overflow, VPMADDWD multiplies these sums by the sub-block
 * scales and adds them in 32 bits, where a super-block stays below 256·63·127·128 < 2^28. Then d
 * and the activation scale come in fp32, in the order (sum·d)·d_act, in which no intermediate
 * overflows. A non-finite d or dmin gives a non-finite sum whatever the codes are. */
#ifndef ASSAY_IMPL_CPU_AVX2_SUPERBLOCK_H
#define ASSAY_IMPL_CPU_AVX2_SUPERBLOCK_H

#include "kernels.h"
#include "panel.h"
#include "simd.h"

enum { SUPERBLOCK_MAX_PLANES = 6 };

struct superblock_type {
    size_t bytes; /* of a block */

    /* The codes: planes of 32 bytes at these offsets in the block. codes() makes of byte i of the
     * planes the code of weight 32g+i. It works on each byte position alone, so the same function
     * unpacks one row and eight interleaved rows. */
    int planes;
    size_t plane_at[SUPERBLOCK_MAX_PLANES];
    __m256i (*codes)(const __m256i *plane, int g);

    /* Scales and mins as signed bytes, one per 16 weights (types with sub-blocks of 32 repeat
     * each), from 16 raw bytes at scales_at. Two blocks at a time, one in each 128-bit lane. mins
     * is not written by types without. */
    size_t scales_at;
    void (*scales)(__m256i raw, __m256i *scales, __m256i *mins);
    size_t d_at, dmin_at;
    bool has_mins;

    int offset;     /* of the unpacked code: the weight's code is what is left; 0 with has_mins */
    bool is_signed; /* the unpacked codes are signed bytes, without offset or mins; run is 1 */
    int sub_block;  /* 16 or 32 weights share a scale */

    /* Vectors of interleaved codes, four k each, whose products are summed in 16 bits. A 16-bit
     * lane then holds 2·run products. Without offset 2·run·127·max code <= 32767. With an offset
     * the unsigned sum may wrap, but the final signed one, at most 2·run·127·offset, may not. */
    int run;
};

/* ---- One to three rows of activations: dot products straight from the blocks ----------------- */

/* What the dot products need of a batch of blocks besides their codes. Unpacked ahead of the codes,
 * so that the long dependency chains of single blocks overlap; as bytes, so that stores don't
 * limit. */
enum { BATCH = 16 };
struct superblock_heads {
    uint8_t scale[BATCH][16];   /* even sub-blocks of 16, then odd ones */
    uint8_t of_sums[BATCH][16]; /* what multiplies the sums: mins, or the scales for an offset */
    float d[BATCH][2];          /* d, dmin with mins; unspecified, d without */
};

/* count <= BATCH blocks. */
ASSAY_INLINE void superblock_heads(const struct superblock_type *t, const uint8_t *block,
                                   size_t count, struct superblock_heads *h) {
    const __m256i even_odd = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15));
    /* Four bytes with d in them that lie within the block. */
    size_t d_at = t->has_mins ? t->d_at : t->d_at - 2;
    for (size_t i = 0; i < count; i += 2) {
        const uint8_t *next = i + 1 < count ? block + t->bytes : block;
        __m256i scales, mins;
        t->scales(_mm256_inserti128_si256(_mm256_castsi128_si256(load128(block + t->scales_at)),
                                          load128(next + t->scales_at), 1),
                  &scales, &mins);
        store256(h->scale[i], _mm256_shuffle_epi8(scales, even_odd));
        store256(h->of_sums[i], t->has_mins ? mins : scales);
        __m128i d = _mm_cvtsi32_si128((int)load32(block + d_at));
        d = _mm_insert_epi32(d, (int)load32(next + d_at), 1);
        _mm_storeu_ps(h->d[i], _mm_cvtph_ps(d));
        block = next + t->bytes;
    }
}

/* The scale words of the sub-blocks of codes 32g … 32g+31, as their products want them. Shuffles
 * with an immediate: one more load each would make loads the bottleneck. */
ASSAY_INLINE __m256i superblock_scale(const __m256i scale[2], int g) {
    switch (g % 4) {
    case 0:
        return _mm256_shuffle_epi32(scale[g / 4], 0x00);
    case 1:
        return _mm256_shuffle_epi32(scale[g / 4], 0x55);
    case 2:
        return _mm256_shuffle_epi32(scale[g / 4], 0xaa);
    default:
        return _mm256_shuffle_epi32(scale[g / 4], 0xff);
    }
}

/* Codes of one block times m activation rows, scaled; each sum spread over eight lanes. */
ASSAY_INLINE void superblock_products(const struct superblock_type *t, const uint8_t *block,
                                      __m256i scale_words, const int8_t *q, size_t q_stride,
                                      const int m, __m256i *sum) {
    const __m256i scales[2] = {_mm256_unpacklo_epi16(scale_words, scale_words),
                               _mm256_unpackhi_epi16(scale_words, scale_words)};
    __m256i plane[SUPERBLOCK_MAX_PLANES];
    ASSAY_UNROLL
    for (int p = 0; p < t->planes; p++)
        plane[p] = pin(load256(block + t->plane_at[p]));
    ASSAY_UNROLL
    for (int g = 0; g < 8; g++) {
        __m256i scale = superblock_scale(scales, g), code = t->codes(plane, g);
        ASSAY_UNROLL
        for (int i = 0; i < m; i++) {
            __m256i x = load256(q + (size_t)i * q_stride + g * 32);
            __m256i p = _mm256_madd_epi16(_mm256_maddubs_epi16(code, x), scale);
            sum[i] = g == 0 ? p : _mm256_add_epi32(sum[i], p);
            if (m > 1) /* for m = 1, registers suffice and a tree is faster */
                sum[i] = pin(sum[i]);
        }
    }
}

/* acc += Σ whole[b]·d[b]·da[b] for b < count; lanes of acc are blocks modulo 8. */
ASSAY_INLINE __m256 superblock_add_whole(__m256i *whole, const float d[][2], const float *da,
                                         size_t count, __m256 acc) {
    for (size_t b = 0; b < count; b += 8) {
        for (size_t i = count; i < b + 8; i++)
            whole[i] = _mm256_setzero_si256();
        __m256i live = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(count - b)),
                                          _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
        __m256 odd = _mm256_shuffle_ps(_mm256_loadu_ps(d[b]), _mm256_loadu_ps(d[b + 4]), 0xdd);
        __m256d ds = _mm256_permute4x64_pd(_mm256_castps_pd(odd), 0xd8);
        __m256 dw = _mm256_and_ps(_mm256_castpd_ps(ds), _mm256_castsi256_ps(live));
        __m256 v = _mm256_mul_ps(_mm256_cvtepi32_ps(sum_each32(whole + b)), dw);
        acc = _mm256_fmadd_ps(v, _mm256_maskload_ps(da + b, live), acc);
    }
    return acc;
}

/* Rows [0,n) of W times m activation rows; m is a constant. */
ASSAY_INLINE void superblock_dot(const struct superblock_type *t, const struct assay_cpu_args *a,
                                 const int m) {
    const struct assay_act *act = a->act;
    const bool has_offset = t->offset != 0;
    size_t blocks = a->k / 256;
    struct superblock_heads heads;
    __m256i whole[DOT_MAX][BATCH];
    for (size_t j = 0; j < a->n; j++) {
        const uint8_t *block = a->w + j * a->row_bytes;
        const int8_t *q = act->q;
        const int16_t *sums = act->sums;
        const float *d = act->d;
        __m256 acc[DOT_MAX];
        ASSAY_UNROLL
        for (int i = 0; i < m; i++)
            acc[i] = _mm256_setzero_ps();
        for (size_t b = 0; b < blocks; b += BATCH) {
            size_t count = blocks - b < BATCH ? blocks - b : BATCH;
            superblock_heads(t, block, count, &heads);
            for (size_t h = 0; h < count; h++) {
                __m256i sum[DOT_MAX];
                prefetch_ahead(block, t->bytes);
                superblock_products(t, block, _mm256_cvtepi8_epi16(load128(heads.scale[h])), q,
                                    act->q_stride, m, sum);
                __m256i of_sums = _mm256_cvtepi8_epi16(load128(heads.of_sums[h]));
                __m256 dw = _mm256_broadcast_ss(heads.d[h]);
                ASSAY_UNROLL
                for (int i = 0; i < m; i++) {
                    __m256i part =
                        _mm256_madd_epi16(of_sums, load256(sums + (size_t)i * act->sums_stride));
                    if (has_offset) {
                        /* Only the sum of all lanes is Σ s·(code - offset)·q: lanes on their own
                         * may exceed it by far, and must not be rounded. */
                        whole[i][h] = _mm256_sub_epi32(
                            sum[i], _mm256_mullo_epi32(part, _mm256_set1_epi32(t->offset)));
                    } else {
                        __m256 v = _mm256_mul_ps(_mm256_cvtepi32_ps(sum[i]), dw);
                        v = _mm256_fnmadd_ps(_mm256_cvtepi32_ps(part),
                                             _mm256_broadcast_ss(heads.d[h] + 1), v);
                        __m256 da = _mm256_broadcast_ss(d + h + (size_t)i * act->d_stride);
                        acc[i] = _mm256_fmadd_ps(v, da, acc[i]);
                    }
                }
                block += t->bytes;
                q += 256;
                sums += 16;
            }
            if (has_offset) {
                ASSAY_UNROLL
                for (int i = 0; i < m; i++)
                    acc[i] = superblock_add_whole(whole[i], (const float(*)[2])heads.d,
                                                  d + (size_t)i * act->d_stride, count, acc[i]);
            }
            d += count;
        }
        ASSAY_UNROLL
        for (int i = 0; i < m; i++)
            a->y[(size_t)i * a->ldy + j] = sum_lanes(acc[i]);
    }
}

/* ---- Panels -----------------------------------------------------------------------------------
 * An unpacked unit: 64 code vectors; a vector of scale pairs per sub-block; mins as pairs of
 * neighbouring sub-blocks; d; dmin. */

enum { UNIT_CODES = 64 * 32 };

ASSAY_INLINE size_t unit_mins_at(const struct superblock_type *t) {
    return UNIT_CODES + 32 * 256 / (size_t)t->sub_block;
}
ASSAY_INLINE size_t unit_d_at(const struct superblock_type *t) {
    return unit_mins_at(t) + (t->has_mins ? 32 * 128 / (size_t)t->sub_block : 0);
}
ASSAY_INLINE size_t superblock_unit_bytes(const struct superblock_type *t) {
    return unit_d_at(t) + (t->has_mins ? 64 : 32);
}

/* Byte `from` of every 32-bit lane, sign-extended to both 16-bit halves of the lane. */
ASSAY_INLINE __m256i spread_byte(__m256i v, int from) {
    int hi = from << 8 | 0x80;
    __m256i s = _mm256_shuffle_epi8(
        v, _mm256_add_epi32(_mm256_set1_epi32((int)((uint32_t)hi << 16 | (uint32_t)hi)),
                            _mm256_setr_epi32(0x00000000, 0x04000400, 0x08000800, 0x0c000c00,
                                              0x00000000, 0x04000400, 0x08000800, 0x0c000c00)));
    return _mm256_srai_epi16(s, 8);
}

/* Scales of eight rows, a signed byte per 16 weights. */
ASSAY_INLINE void superblock_pack_scales(const struct superblock_type *t,
                                         const uint8_t *const row[PANEL_ROWS], uint8_t *unit) {
    __m256i v[4];
    transpose16(row, 0, v);
    ASSAY_UNROLL
    for (int s = 0; s < 256 / t->sub_block; s++) {
        int byte = s * t->sub_block / 16;
        store256(unit + UNIT_CODES + 32 * s, spread_byte(v[byte / 4], byte % 4));
    }
}

ASSAY_INLINE void superblock_pack(const struct superblock_type *t,
                                  const uint8_t *const block[PANEL_ROWS], uint8_t *unit) {
    ASSAY_UNROLL
    for (int half = 0; half < 2; half++) {
        __m256i part[SUPERBLOCK_MAX_PLANES][4];
        ASSAY_UNROLL
        for (int p = 0; p < t->planes; p++)
            transpose16(block, t->plane_at[p] + 16 * (size_t)half, part[p]);
        ASSAY_UNROLL
        for (int i = 0; i < 4; i++) {
            __m256i plane[SUPERBLOCK_MAX_PLANES];
            ASSAY_UNROLL
            for (int p = 0; p < t->planes; p++)
                plane[p] = part[p][i];
            ASSAY_UNROLL
            for (int g = 0; g < 8; g++)
                store256(unit + 32 * (8 * g + 4 * half + i), t->codes(plane, g));
        }
    }

    uint8_t scale_rows[PANEL_ROWS][16], min_rows[PANEL_ROWS][16];
    const uint8_t *scale_row[PANEL_ROWS], *min_row[PANEL_ROWS];
    ASSAY_UNROLL
    for (int r = 0; r < PANEL_ROWS; r += 2) {
        __m256i s, m;
        t->scales(_mm256_inserti128_si256(_mm256_castsi128_si256(load128(block[r] + t->scales_at)),
                                          load128(block[r + 1] + t->scales_at), 1),
                  &s, &m);
        store256(scale_rows[r], s);
        if (t->has_mins)
            store256(min_rows[r], m);
        scale_row[r] = scale_rows[r];
        scale_row[r + 1] = scale_rows[r + 1];
        min_row[r] = min_rows[r];
        min_row[r + 1] = min_rows[r + 1];
    }
    superblock_pack_scales(t, scale_row, unit);
    _mm256_storeu_ps((float *)(unit + unit_d_at(t)), gather_halves(block, t->d_at));
    if (!t->has_mins)
        return;
    __m256i v[4];
    transpose16(min_row, 0, v);
    ASSAY_UNROLL
    for (int s = 0; s < 128 / t->sub_block; s++) {
        int byte = 2 * s * t->sub_block / 16, next = byte + t->sub_block / 16;
        __m256i lo = spread_byte(v[byte / 4], byte % 4), hi = spread_byte(v[next / 4], next % 4);
        store256(unit + unit_mins_at(t) + 32 * s, _mm256_blend_epi16(lo, hi, 0xaa));
    }
    _mm256_storeu_ps((float *)(unit + unit_d_at(t) + 32), gather_halves(block, t->dmin_at));
}

/* aux: with an offset, what the sums of each run start at; with mins, the sums of the sub-blocks in
 * pairs. No type has both. */
ASSAY_INLINE size_t superblock_unit_aux(const struct superblock_type *t) {
    return t->offset ? 64 / (size_t)t->run : t->has_mins ? 128 / (size_t)t->sub_block : 0;
}

ASSAY_INLINE void superblock_prepare(const struct superblock_type *t, const int8_t *q,
                                     const int16_t *sums, int32_t *aux) {
    if (t->offset) {
        offset_starts(q, 64 / t->run, t->run, t->offset, aux);
    } else if (t->sub_block == 16) {
        memcpy(aux, sums, 8 * sizeof *aux);
    } else {
        __m256i s = _mm256_madd_epi16(load256(sums), _mm256_set1_epi16(1));
        __m128i v = _mm_packs_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
        _mm_storeu_si128((__m128i *)aux, v);
    }
}

ASSAY_INLINE __m256i tile_products(const struct superblock_type *t, __m256i code, __m256i x) {
    return t->is_signed ? pair_products_signed(code, x) : _mm256_maddubs_epi16(code, x);
}

ASSAY_INLINE void superblock_tile(const struct superblock_type *t, const struct panel_tile *a,
                                  const int mr) {
    const uint8_t *w[2] = {a->panel, a->panel + a->panel_stride};
    size_t unit_bytes = superblock_unit_bytes(t), unit_aux = superblock_unit_aux(t);
    const int runs = 64 / t->run, runs_per_sub = t->sub_block / (4 * t->run);
    for (size_t b = 0; b < a->units; b++) {
        __m256i sum[TILE_ROWS][2];
        ASSAY_UNROLL
        for (int r = 0; r < mr; r++)
            sum[r][0] = sum[r][1] = _mm256_setzero_si256();
        const int8_t *q = a->q + b * 256;
        const int32_t *aux = a->aux + b * unit_aux;
        ASSAY_NO_UNROLL
        for (int g = 0; g < runs; g++) {
            __m256i part[TILE_ROWS][2];
            ASSAY_UNROLL
            for (int i = 0; i < t->run; i++) {
                __m256i c0 = load256(w[0] + 32 * (g * t->run + i));
                __m256i c1 = load256(w[1] + 32 * (g * t->run + i));
                ASSAY_UNROLL
                for (int r = 0; r < mr; r++) {
                    __m256i x = broadcast32(q + (size_t)r * a->q_stride + 4 * (g * t->run + i));
                    __m256i p0 = tile_products(t, c0, x), p1 = tile_products(t, c1, x);
                    if (i > 0) {
                        p0 = _mm256_add_epi16(p0, part[r][0]);
                        p1 = _mm256_add_epi16(p1, part[r][1]);
                    } else if (t->offset) {
                        __m256i start = broadcast32(aux + (size_t)r * a->aux_stride + g);
                        p0 = _mm256_add_epi16(p0, start);
                        p1 = _mm256_add_epi16(p1, start);
                    }
                    part[r][0] = pin(p0);
                    part[r][1] = pin(p1);
                }
            }
            __m256i s0 = load256(w[0] + UNIT_CODES + 32 * (g / runs_per_sub));
            __m256i s1 = load256(w[1] + UNIT_CODES + 32 * (g / runs_per_sub));
            ASSAY_UNROLL
            for (int r = 0; r < mr; r++) {
                sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(part[r][0], s0));
                sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(part[r][1], s1));
            }
        }
        ASSAY_UNROLL
        for (int r = 0; r < mr; r++) {
            __m256 da = _mm256_broadcast_ss(a->d + (size_t)r * a->d_stride + b);
            ASSAY_UNROLL
            for (int p = 0; p < 2; p++) {
                const float *d = (const float *)(w[p] + unit_d_at(t));
                __m256 v = _mm256_mul_ps(_mm256_cvtepi32_ps(sum[r][p]), _mm256_loadu_ps(d));
                if (t->has_mins) {
                    __m256i ms = _mm256_setzero_si256();
                    ASSAY_UNROLL
                    for (size_t i = 0; i < unit_aux; i++)
                        ms = _mm256_add_epi32(
                            ms,
                            _mm256_madd_epi16(load256(w[p] + unit_mins_at(t) + 32 * i),
                                              broadcast32(aux + (size_t)r * a->aux_stride + i)));
                    v = _mm256_fnmadd_ps(_mm256_cvtepi32_ps(ms), _mm256_loadu_ps(d + 8), v);
                }
                float *acc = a->acc + r * PANEL_PAIR + p * PANEL_ROWS;
                _mm256_storeu_ps(acc, _mm256_fmadd_ps(v, da, _mm256_loadu_ps(acc)));
            }
        }
        w[0] += unit_bytes;
        w[1] += unit_bytes;
    }
}

ASSAY_INLINE void superblock_tile_any(const struct superblock_type *t, const struct panel_tile *a,
                                      size_t mr) {
    switch (mr) {
    case 1:
        superblock_tile(t, a, 1);
        break;
    case 2:
        superblock_tile(t, a, 2);
        break;
    case 3:
        superblock_tile(t, a, 3);
        break;
    case 4:
        superblock_tile(t, a, 4);
        break;
    }
}

/* The kernel by panels of one type: a thin instance of the templates. `form` is a constant struct
 * superblock_type *, `packing` a call that unpacks blocks block[] to `unit`. */
#define ASSAY_SUPERBLOCK_PANEL(name, form, packing)                                                \
    static void name##_pack(const uint8_t *const block[PANEL_ROWS], size_t part, uint8_t *unit) {  \
        (void)part;                                                                                \
        packing;                                                                                   \
    }                                                                                              \
    static void name##_prepare(const int8_t *q, const int16_t *sums, int32_t *aux) {               \
        superblock_prepare(form, q, sums, aux);                                                    \
    }                                                                                              \
    static void name##_tile(const struct panel_tile *t, size_t mr) {                               \
        superblock_tile_any(form, t, mr);                                                          \
    }                                                                                              \
    void gemm_##name##_q8_k__avx2_4x16(const struct assay_cpu_args *a) {                           \
        const struct panel_ops ops = {.unit_k = 256,                                               \
                                      .block_bytes = sizeof(struct assay_block_##name),            \
                                      .block_units = 1,                                            \
                                      .unit_bytes = superblock_unit_bytes(form),                   \
                                      .unit_aux = superblock_unit_aux(form),                       \
                                      .pack = name##_pack,                                         \
                                      .prepare = name##_prepare,                                   \
                                      .tile = name##_tile};                                        \
        assay_avx2_panel_gemm(&ops, a);                                                            \
    }

/* The kernel for few rows of activations of one type: `dot` is a template like superblock_dot. */
#define ASSAY_SUPERBLOCK_DOT(name, dot)                                                            \
    static void name##_dot1(const struct assay_cpu_args *a) { dot(&name, a, 1); }                  \
    static void name##_dot2(const struct assay_cpu_args *a) { dot(&name, a, 2); }                  \
    static void name##_dot3(const struct assay_cpu_args *a) { dot(&name, a, 3); }                  \
    void gemm_##name##_q8_k__avx2_dot(const struct assay_cpu_args *a) {                            \
        static void (*const of_m[DOT_MAX + 1])(const struct assay_cpu_args *) = {                  \
            NULL, name##_dot1, name##_dot2, name##_dot3};                                          \
        of_m[a->act->m](a);                                                                        \
    }

#define ASSAY_SUPERBLOCK_KERNELS(name)                                                             \
    ASSAY_SUPERBLOCK_PANEL(name, &name, superblock_pack(&name, block, unit))                       \
    ASSAY_SUPERBLOCK_DOT(name, superblock_dot)

#endif
