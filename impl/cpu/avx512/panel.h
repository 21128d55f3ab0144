/* The GEMM family of AVX-512: panels of 16 rows of W, unpacked once and used for every row of x.
 *
 * A panel holds 16 rows × all k as unsigned 8-bit codes in VNNI order: for each group of 4 columns,
 * 64 bytes = 16 rows × 4 codes, so that one VPDPBUSD against 4 broadcast activation bytes advances
 * 16 outputs by 4 columns and no horizontal sum is ever needed. A type gives only its unpack step.
 */
#ifndef ASSAY_IMPL_CPU_AVX512_PANEL_H
#define ASSAY_IMPL_CPU_AVX512_PANEL_H

#include <immintrin.h>
#include <string.h>

#include "impl/cpu/kernel.h"

#define ASSAY_INLINE static inline __attribute__((always_inline))

enum {
    PANEL_ROWS = 16,
    PANEL_MR = 8, /* rows of x at once: 8 integer, 8 partial and 8 total sums fill 24 registers */
};

/* What differs between the types, as compile-time constants. */
struct panel_form {
    size_t block_len;
    size_t group;     /* columns per weight scale: 16 or 32 */
    size_t act_block; /* columns per activation scale: 32 or 256 */
    int offset;       /* code - offset = signed weight code */
    bool mins;        /* super-blocks with a min per 32 columns (or per 16: mins16) */
};

/* Parts of a panel; every vector is 16 lanes = 16 rows. */
struct panel {
    uint8_t *codes;   /* [k/4][16][4] */
    float *scale;     /* [k/group][16] */
    int32_t *mins;    /* [k/32][16]: two int16 mins for columns 0…15 and 16…31 */
    float *min_scale; /* [k/256][16] */
    int32_t *init;    /* [PANEL_MR][k/group]: -offset·Σq of each group of activations */
};

/* Unpacks 256 columns (fewer at the end of a row, a multiple of block_len) of 16 rows. row[] points
 * at the blocks, which may repeat where n is short of 16. `at` is the column in the panel. */
typedef void (*panel_unpack_fn)(const struct panel *p, const uint8_t *const row[PANEL_ROWS],
                                size_t at, size_t columns);

ASSAY_INLINE struct panel panel_place(void *scratch, size_t k, struct panel_form f) {
    char *c = scratch;
    struct panel p;
    size_t kp = (k + 255) / 256 * 256;
    p.codes = (uint8_t *)c;
    c += kp * PANEL_ROWS;
    p.scale = (float *)(void *)c;
    c += kp / f.group * PANEL_ROWS * sizeof(float);
    p.mins = (int32_t *)(void *)c;
    c += f.mins ? kp / 32 * PANEL_ROWS * sizeof(int32_t) : 0;
    p.min_scale = (float *)(void *)c;
    c += f.mins ? kp / 256 * PANEL_ROWS * sizeof(float) : 0;
    p.init = (int32_t *)(void *)c;
    return p;
}

/* Large enough for every form. */
static inline size_t panel_scratch_bytes(size_t k, size_t m) {
    (void)m;
    size_t kp = (k + 255) / 256 * 256;
    return kp * PANEL_ROWS + kp / 16 * PANEL_ROWS * sizeof(float) +
           kp / 32 * PANEL_ROWS * sizeof(int32_t) + kp / 256 * PANEL_ROWS * sizeof(float) +
           kp / 16 * PANEL_MR * sizeof(int32_t) + 64;
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

/* One vector of codes: columns at…at+3 of the 16 rows. */
ASSAY_INLINE void panel_store(const struct panel *p, size_t at, __m512i codes) {
    _mm512_store_si512(p->codes + at * PANEL_ROWS, codes);
}

/* The binary16 at byte `offset` of each row, as fp32. */
ASSAY_INLINE __m512 panel_halves(const uint8_t *const row[PANEL_ROWS], size_t offset) {
    uint16_t h[PANEL_ROWS];
    for (int r = 0; r < PANEL_ROWS; r++)
        memcpy(&h[r], row[r] + offset, sizeof h[r]);
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)h));
}

/* Σ over k for `mr` rows of x from row i0, stored to `lanes` columns of y. */
ASSAY_INLINE void panel_multiply(struct panel_form f, const struct panel *p,
                                 const struct assay_cpu_args *a, size_t i0, const int mr, float *y,
                                 __mmask16 lanes) {
    const struct assay_act *act = a->act;
    const int8_t *q[PANEL_MR];
    const float *d[PANEL_MR];
    const int16_t *sums[PANEL_MR];
    __m512 total[PANEL_MR];
    size_t groups = a->k / f.group;
    for (int r = 0; r < mr; r++) {
        q[r] = act->q + (i0 + (size_t)r) * act->q_stride;
        d[r] = act->d + (i0 + (size_t)r) * act->d_stride;
        sums[r] = act->sums + (i0 + (size_t)r) * act->sums_stride;
        total[r] = _mm512_setzero_ps();
        if (f.offset)
            for (size_t g = 0; g < groups; g++) {
                int s = f.group == 16 ? sums[r][g] : sums[r][2 * g] + sums[r][2 * g + 1];
                p->init[(size_t)r * groups + g] = -f.offset * s;
            }
    }
    const size_t span = f.act_block; /* columns that share an activation scale */
    for (size_t k0 = 0; k0 < a->k; k0 += span) {
        __m512 part[PANEL_MR];
        for (int r = 0; r < mr; r++)
            part[r] = _mm512_setzero_ps();
        for (size_t g = k0 / f.group; g < (k0 + span) / f.group; g++) {
            __m512i acc[PANEL_MR];
            for (int r = 0; r < mr; r++)
                acc[r] = f.offset ? _mm512_set1_epi32(p->init[(size_t)r * groups + g])
                                  : _mm512_setzero_si512();
                /* Unrolled, the sums stay in their registers: rolled, gcc copies them round the
                 * loop. */
#pragma GCC unroll 8
            for (size_t c = 0; c < f.group; c += 4) {
                size_t k = g * f.group + c;
                __m512i w = _mm512_load_si512(p->codes + k * PANEL_ROWS);
                for (int r = 0; r < mr; r++) {
                    int32_t four;
                    memcpy(&four, q[r] + k, sizeof four);
                    acc[r] = _mm512_dpbusd_epi32(acc[r], w, _mm512_set1_epi32(four));
                }
            }
            __m512 scale = _mm512_load_ps(p->scale + g * PANEL_ROWS);
            for (int r = 0; r < mr; r++)
                part[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[r]), scale, part[r]);
        }
        if (f.mins) {
            __m512i acc[PANEL_MR];
            for (int r = 0; r < mr; r++)
                acc[r] = _mm512_setzero_si512();
            for (size_t j = k0 / 32; j < (k0 + span) / 32; j++) {
                __m512i mins = _mm512_load_si512(p->mins + j * PANEL_ROWS);
                for (int r = 0; r < mr; r++) {
                    int32_t pair;
                    memcpy(&pair, sums[r] + 2 * j, sizeof pair);
                    acc[r] = _mm512_dpwssd_epi32(acc[r], mins, _mm512_set1_epi32(pair));
                }
            }
            __m512 scale = _mm512_load_ps(p->min_scale + k0 / 256 * PANEL_ROWS);
            for (int r = 0; r < mr; r++)
                part[r] = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(acc[r]), scale, part[r]);
        }
        for (int r = 0; r < mr; r++)
            total[r] = _mm512_fmadd_ps(part[r], _mm512_set1_ps(d[r][k0 / span]), total[r]);
    }
    for (int r = 0; r < mr; r++)
        _mm512_mask_storeu_ps(y + (i0 + (size_t)r) * a->ldy, lanes, total[r]);
}

/* The kernel of one type: unpack a panel, run it against all rows of x, next panel. */
ASSAY_INLINE void panel_gemm(struct panel_form f, panel_unpack_fn unpack, size_t block_bytes,
                             const struct assay_cpu_args *a) {
    struct panel p = panel_place(a->scratch, a->k, f);
    for (size_t n0 = 0; n0 < a->n; n0 += PANEL_ROWS) {
        size_t rows = a->n - n0 < PANEL_ROWS ? a->n - n0 : PANEL_ROWS;
        for (size_t k = 0; k < a->k; k += 256) {
            const uint8_t *row[PANEL_ROWS];
            for (size_t r = 0; r < PANEL_ROWS; r++)
                row[r] = a->w + (n0 + (r < rows ? r : rows - 1)) * a->row_bytes +
                         k / f.block_len * block_bytes;
            unpack(&p, row, k, a->k - k < 256 ? a->k - k : 256);
        }
        __mmask16 lanes = (__mmask16)((1u << rows) - 1);
        float *y = a->y + n0;
        size_t m = a->act->m, i = 0;
        for (; i + PANEL_MR <= m; i += PANEL_MR)
            panel_multiply(f, &p, a, i, PANEL_MR, y, lanes);
        if (m - i >= 4) {
            panel_multiply(f, &p, a, i, 4, y, lanes);
            i += 4;
        }
        if (m - i >= 2) {
            panel_multiply(f, &p, a, i, 2, y, lanes);
            i += 2;
        }
        if (m - i >= 1)
            panel_multiply(f, &p, a, i, 1, y, lanes);
    }
}

#endif
