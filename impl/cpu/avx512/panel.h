/* The GEMM family of AVX-512: panels of 16 rows of W, unpacked once and used for every row of x,
 * two panels at a time.
 *
 * A panel holds 16 rows × all k as unsigned 8-bit codes in VNNI order: for each group of 4 columns,
 * 64 bytes = 16 rows × 4 codes, so that one VPDPBUSD against 4 broadcast activation bytes advances
 * 16 outputs by 4 columns and no horizontal sum is ever needed. A type gives only its unpack step.
 */
#ifndef ASSAY_IMPL_CPU_AVX512_PANEL_H
#define ASSAY_IMPL_CPU_AVX512_PANEL_H

#include "impl/cpu/kernel.h"
#include "simd.h"

enum {
    PANEL_ROWS = 16,
    /* A tile is up to PANEL_MR rows of x by two panels: 12 integer and 12 fp32 sums, 2 vectors of
     * codes and a broadcast are 27 of the 32 registers. */
    PANEL_MR = 6,
    /* Columns unpacked at a time: two panels of 4096 columns are 128 KiB of codes and 40 KiB of
     * scales, small against a 1 MiB L2. */
    PANEL_K = 4096,
};

/* What differs between the types, as compile-time constants. */
struct panel_form {
    size_t block_len;
    size_t group;     /* columns per weight scale: 16 or 32 */
    size_t act_block; /* columns per activation scale: 32 or 256 */
    int offset;       /* code - offset = signed weight code */
    bool mins;        /* super-blocks with an integer min per group */
    bool float_mins;  /* blocks with an fp32 min per group, added: w = scale·code + min */
};

/* One panel; every vector is 16 lanes = 16 rows. */
struct panel {
    uint8_t *codes;    /* [k/4][16][4] */
    float *scale;      /* [k/group][16] */
    int32_t *mins;     /* [k/(2·group)][16]: the int16 mins of two groups */
    float *float_mins; /* [k/group][16], in the place of mins */
    float *min_scale;  /* [k/256][16] */
};

enum {
    PANEL_CODES = PANEL_K * PANEL_ROWS,
    PANEL_SCALES = PANEL_K / 16 * PANEL_ROWS * 4,
    PANEL_MINS = PANEL_K / 32 * PANEL_ROWS * 4,
    PANEL_BYTES = PANEL_CODES + PANEL_SCALES + PANEL_MINS + PANEL_K / 256 * PANEL_ROWS * 4,
};

/* Unpacks 256 columns (fewer at the end of a row, a multiple of block_len) of 16 rows. row[] points
 * at the blocks, which may repeat where n is short of 16. `at` is the column in the panel. */
typedef void (*panel_unpack_fn)(const struct panel *p, const uint8_t *const row[PANEL_ROWS],
                                size_t at, size_t columns);

ASSAY_INLINE struct panel panel_at(void *scratch, size_t index) {
    char *c = (char *)scratch + index * PANEL_BYTES;
    return (struct panel){
        .codes = (uint8_t *)c,
        .scale = (float *)(void *)(c + PANEL_CODES),
        .mins = (int32_t *)(void *)(c + PANEL_CODES + PANEL_SCALES),
        .float_mins = (float *)(void *)(c + PANEL_CODES + PANEL_SCALES),
        .min_scale = (float *)(void *)(c + PANEL_CODES + PANEL_SCALES + PANEL_MINS),
    };
}

/* Two panels, and for each row of x at most one int32 per 16 columns (panel_side). */
static inline size_t panel_scratch_bytes(size_t k, size_t m) {
    return 2 * PANEL_BYTES + m * (k + 255) / 256 * 256 / 16 * sizeof(int32_t);
}

/* Loads 32 bytes of each of 16 rows and transposes dwords: out[j] lane r = dword j of row r. */
ASSAY_INLINE void panel_transpose(const __m256i in[PANEL_ROWS], __m512i out[8]) {
    __m512i a[8], b[8], c[8];
    for (int i = 0; i < 8; i++)
        a[i] = _mm512_inserti64x4(_mm512_castsi256_si512(in[i]), in[i + 8], 1);
    for (int i = 0; i < 8; i += 2) {
        b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        c[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
        c[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
        c[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
        c[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
    }
    /* c[j] has dwords j and 4+j of rows 0…3 (and 8…11), c[4+j] of rows 4…7 (and 12…15). */
    const __m512i lo = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    const __m512i hi = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    for (int j = 0; j < 4; j++) {
        out[j] = _mm512_permutex2var_epi64(c[j], lo, c[j + 4]);
        out[j + 4] = _mm512_permutex2var_epi64(c[j], hi, c[j + 4]);
    }
}

ASSAY_INLINE void panel_load(const uint8_t *const row[PANEL_ROWS], size_t offset, __m512i out[8]) {
    __m256i in[PANEL_ROWS];
    for (int r = 0; r < PANEL_ROWS; r++)
        in[r] = _mm256_loadu_si256((const __m256i *)(const void *)(row[r] + offset));
    panel_transpose(in, out);
}

/* The same of 16, 8 and 4 bytes of each row. */
ASSAY_INLINE void panel_load16(const uint8_t *const row[PANEL_ROWS], size_t offset,
                               __m512i out[4]) {
    __m512i a[4], b[4];
    for (int i = 0; i < 4; i++) {
        __m512i v = _mm512_castsi128_si512(load128(row[i] + offset));
        v = _mm512_inserti32x4(v, load128(row[i + 4] + offset), 1);
        v = _mm512_inserti32x4(v, load128(row[i + 8] + offset), 2);
        a[i] = _mm512_inserti32x4(v, load128(row[i + 12] + offset), 3);
    }
    for (int i = 0; i < 4; i += 2) {
        b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        out[2 * i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
        out[2 * i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
    }
}

ASSAY_INLINE void panel_load8(const uint8_t *const row[PANEL_ROWS], size_t offset, __m512i out[2]) {
    __m128i pair[8];
    for (int i = 0; i < 8; i++) {
        int64_t hi;
        memcpy(&hi, row[2 * i + 1] + offset, sizeof hi);
        __m128i lo = _mm_loadl_epi64((const __m128i *)(const void *)(row[2 * i] + offset));
        pair[i] = _mm_insert_epi64(lo, hi, 1);
    }
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    __m512i v[2];
    for (int i = 0; i < 2; i++) {
        v[i] = _mm512_inserti32x4(_mm512_castsi128_si512(pair[4 * i]), pair[4 * i + 1], 1);
        v[i] = _mm512_inserti32x4(v[i], pair[4 * i + 2], 2);
        v[i] = _mm512_inserti32x4(v[i], pair[4 * i + 3], 3);
    }
    out[0] = _mm512_permutex2var_epi32(v[0], even, v[1]);
    out[1] = _mm512_permutex2var_epi32(v[0], _mm512_add_epi32(even, _mm512_set1_epi32(1)), v[1]);
}

ASSAY_INLINE __m512i panel_dwords(const uint8_t *const row[PANEL_ROWS], size_t offset) {
    int32_t v[PANEL_ROWS];
    for (int r = 0; r < PANEL_ROWS; r++)
        memcpy(&v[r], row[r] + offset, sizeof v[r]);
    return load512(v);
}

/* One vector of codes: columns at…at+3 of the 16 rows. */
ASSAY_INLINE void panel_store(const struct panel *p, size_t at, __m512i codes) {
    _mm512_store_si512(p->codes + at * PANEL_ROWS, codes);
}

/* 16 dwords of each row: out[j] lane r = dword j of row r. */
ASSAY_INLINE void panel_transpose16(const __m512i in[PANEL_ROWS], __m512i out[16]) {
    __m256i lo[PANEL_ROWS], hi[PANEL_ROWS];
    for (int r = 0; r < PANEL_ROWS; r++) {
        lo[r] = _mm512_castsi512_si256(in[r]);
        hi[r] = _mm512_extracti64x4_epi64(in[r], 1);
    }
    panel_transpose(lo, out);
    panel_transpose(hi, out + 8);
}

/* The binary16 at byte `offset` of each row, as fp32. */
ASSAY_INLINE __m512 panel_halves(const uint8_t *const row[PANEL_ROWS], size_t offset) {
    uint16_t h[PANEL_ROWS];
    for (int r = 0; r < PANEL_ROWS; r++)
        memcpy(&h[r], row[r] + offset, sizeof h[r]);
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)h));
}

/* Per row of x and group: -offset·Σq as int32, from which the integer sums start; with mins Σq as
 * int16; with fp32 mins d·Σq as fp32. */
ASSAY_INLINE void panel_side(struct panel_form f, const struct assay_act *act, void *side) {
    size_t groups = act->k / f.group;
    for (size_t i = 0; i < act->m; i++) {
        const int16_t *sums = act->sums + i * act->sums_stride;
        for (size_t g = 0; g < groups; g++) {
            int s = f.group == 16 ? sums[g] : sums[2 * g] + sums[2 * g + 1];
            if (f.offset)
                ((int32_t *)side)[i * groups + g] = -f.offset * s;
            else if (f.float_mins)
                ((float *)side)[i * groups + g] =
                    (float)s * act->d[i * act->d_stride + g * f.group / f.act_block];
            else
                ((int16_t *)side)[i * groups + g] = (int16_t)s;
        }
    }
}

/* Columns [k0, k0 + columns) of x rows i0…i0+mr-1 against nv panels, added to y (or stored). */
ASSAY_INLINE void panel_multiply(struct panel_form f, const struct panel *p, const int nv,
                                 const struct assay_cpu_args *a, const void *side, size_t i0,
                                 const int mr, size_t k0, size_t columns, float *y,
                                 const __mmask16 lanes[2]) {
    const struct assay_act *act = a->act;
    const size_t groups = a->k / f.group;
    const int8_t *q = act->q + i0 * act->q_stride + k0;
    const float *d = act->d + i0 * act->d_stride + k0 / f.act_block;
    const int32_t *init = (const int32_t *)side + i0 * groups + k0 / f.group;
    const int16_t *sums = (const int16_t *)side + i0 * groups + k0 / f.group;
    const float *fsums = (const float *)side + i0 * groups + k0 / f.group;
    __m512 total[PANEL_MR][2];
    for (int r = 0; r < mr; r++)
        for (int v = 0; v < nv; v++)
            total[r][v] = _mm512_setzero_ps();
    for (size_t b = 0; b < columns / f.act_block; b++) {
        __m512 part[PANEL_MR][2];
        for (int r = 0; r < mr; r++)
            for (int v = 0; v < nv; v++)
                part[r][v] = _mm512_setzero_ps();
        const size_t g1 = (b + 1) * f.act_block / f.group;
        for (size_t g = b * f.act_block / f.group; g < g1; g++) {
            __m512i acc[PANEL_MR][2];
            for (int r = 0; r < mr; r++)
                for (int v = 0; v < nv; v++)
                    acc[r][v] = f.offset ? _mm512_set1_epi32(init[(size_t)r * groups + g])
                                         : _mm512_setzero_si512();
                    /* Unrolled, the sums stay in their registers: rolled, gcc copies them round the
                     * loop. */
#pragma GCC unroll 8
            for (size_t c = 0; c < f.group; c += 4) {
                size_t k = g * f.group + c;
                __m512i w[2];
                for (int v = 0; v < nv; v++)
                    w[v] = _mm512_load_si512(p[v].codes + k * PANEL_ROWS);
                for (int r = 0; r < mr; r++) {
                    int32_t four;
                    memcpy(&four, q + (size_t)r * act->q_stride + k, sizeof four);
                    for (int v = 0; v < nv; v++)
                        acc[r][v] = _mm512_dpbusd_epi32(acc[r][v], w[v], _mm512_set1_epi32(four));
                }
            }
            for (int v = 0; v < nv; v++) {
                __m512 scale = _mm512_load_ps(p[v].scale + g * PANEL_ROWS);
                __m512 min =
                    f.float_mins ? _mm512_load_ps(p[v].float_mins + g * PANEL_ROWS) : scale;
                for (int r = 0; r < mr; r++) {
                    __m512 dot = _mm512_cvtepi32_ps(acc[r][v]);
                    if (f.act_block == 256) {
                        part[r][v] = _mm512_fmadd_ps(dot, scale, part[r][v]);
                        continue;
                    }
                    /* The scales meet first: dot times a scale with the range of fp32 might
                     * overflow where the result does not. */
                    __m512 both =
                        _mm512_mul_ps(scale, _mm512_set1_ps(d[(size_t)r * act->d_stride + b]));
                    total[r][v] = _mm512_fmadd_ps(dot, both, total[r][v]);
                    if (f.float_mins)
                        total[r][v] = _mm512_fmadd_ps(
                            min, _mm512_set1_ps(fsums[(size_t)r * groups + g]), total[r][v]);
                }
            }
        }
        if (f.act_block != 256)
            continue;
        if (f.mins)
            for (int v = 0; v < nv; v++) {
                __m512 scale = _mm512_load_ps(p[v].min_scale + b * PANEL_ROWS);
                const size_t pairs = f.act_block / f.group / 2;
                __m512i mins[8];
                for (size_t j = 0; j < pairs; j++)
                    mins[j] = _mm512_load_si512(p[v].mins + (pairs * b + j) * PANEL_ROWS);
                for (int r = 0; r < mr; r++) {
                    __m512i acc = _mm512_setzero_si512();
                    for (size_t j = 0; j < pairs; j++) {
                        int32_t pair;
                        memcpy(&pair, sums + (size_t)r * groups + 2 * (pairs * b + j), sizeof pair);
                        acc = _mm512_dpwssd_epi32(acc, mins[j], _mm512_set1_epi32(pair));
                    }
                    part[r][v] = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(acc), scale, part[r][v]);
                }
            }
        for (int r = 0; r < mr; r++)
            for (int v = 0; v < nv; v++)
                total[r][v] = _mm512_fmadd_ps(
                    part[r][v], _mm512_set1_ps(d[(size_t)r * act->d_stride + b]), total[r][v]);
    }
    for (int r = 0; r < mr; r++)
        for (int v = 0; v < nv; v++) {
            float *out = y + (i0 + (size_t)r) * a->ldy + v * PANEL_ROWS;
            if (k0 > 0)
                total[r][v] = _mm512_add_ps(total[r][v], _mm512_maskz_loadu_ps(lanes[v], out));
            _mm512_mask_storeu_ps(out, lanes[v], total[r][v]);
        }
}

/* All rows of x against nv panels. */
ASSAY_INLINE void panel_rows(struct panel_form f, const struct panel *p, const int nv,
                             const struct assay_cpu_args *a, const void *side, size_t k0,
                             size_t columns, float *y, const __mmask16 lanes[2]) {
    /* Passes of about equal size: one with a row left over would wait for its own sums. A panel
     * alone is the end of n, where smaller passes do. */
    const size_t m = a->act->m, most = nv == 2 ? PANEL_MR : PANEL_MR / 2;
    const size_t passes = (m + most - 1) / most;
    for (size_t pass = 0, i = 0; pass < passes; pass++) {
        size_t mr = (m - i + passes - pass - 1) / (passes - pass);
        if (mr == 1)
            panel_multiply(f, p, nv, a, side, i, 1, k0, columns, y, lanes);
        else if (mr == 2)
            panel_multiply(f, p, nv, a, side, i, 2, k0, columns, y, lanes);
        else if (mr == 3)
            panel_multiply(f, p, nv, a, side, i, 3, k0, columns, y, lanes);
        else if (nv == 2 && mr == 4)
            panel_multiply(f, p, nv, a, side, i, 4, k0, columns, y, lanes);
        else if (nv == 2 && mr == 5)
            panel_multiply(f, p, nv, a, side, i, 5, k0, columns, y, lanes);
        else if (nv == 2)
            panel_multiply(f, p, nv, a, side, i, 6, k0, columns, y, lanes);
        i += mr;
    }
}

/* The kernel of one type: unpack up to two panels, run them against all rows of x, go on. */
ASSAY_INLINE void panel_gemm(struct panel_form f, panel_unpack_fn unpack, size_t block_bytes,
                             const struct assay_cpu_args *a) {
    const struct panel p[2] = {panel_at(a->scratch, 0), panel_at(a->scratch, 1)};
    void *side = (char *)a->scratch + 2 * PANEL_BYTES;
    if (f.offset || f.mins || f.float_mins)
        panel_side(f, a->act, side);
    for (size_t n0 = 0; n0 < a->n; n0 += 2 * PANEL_ROWS) {
        size_t rows = a->n - n0 < 2 * PANEL_ROWS ? a->n - n0 : 2 * PANEL_ROWS;
        int nv = rows > PANEL_ROWS ? 2 : 1;
        const __mmask16 lanes[2] = {
            rows >= PANEL_ROWS ? 0xffff : (__mmask16)((1u << rows) - 1),
            (__mmask16)(nv == 2 ? (1u << (rows - PANEL_ROWS)) - 1 : 0),
        };
        for (size_t k0 = 0; k0 < a->k; k0 += PANEL_K) {
            size_t columns = a->k - k0 < PANEL_K ? a->k - k0 : PANEL_K;
            for (int v = 0; v < nv; v++)
                for (size_t k = 0; k < columns; k += 256) {
                    const uint8_t *row[PANEL_ROWS];
                    for (size_t r = 0; r < PANEL_ROWS; r++) {
                        size_t n = n0 + (size_t)v * PANEL_ROWS + r;
                        row[r] = a->w + (n < a->n ? n : a->n - 1) * a->row_bytes +
                                 (k0 + k) / f.block_len * block_bytes;
                    }
                    unpack(&p[v], row, k, columns - k < 256 ? columns - k : 256);
                }
            if (nv == 2)
                panel_rows(f, p, 2, a, side, k0, columns, a->y + n0, lanes);
            else
                panel_rows(f, p, 1, a, side, k0, columns, a->y + n0, lanes);
        }
    }
}

#endif
