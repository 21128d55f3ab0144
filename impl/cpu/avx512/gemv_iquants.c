/* GEMV of the codebook types IQ1, IQ2 and IQ3. A vector has the grid numbers of one or two whole
 * super-blocks, and the columns are taken in the order in which the look-ups give them: value t of
 * each entry is one vector of weights, against every eighth (IQ1, IQ2) or fourth (IQ3) activation,
 * which are put in that order first. */
#include "apart.h"
#include "gemv.h"
#include "grids.h"
#include "impl/blocks.h"
#include "kernels.h"
#include "ref/iq_grids.h"

enum iq_type { IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S };

/* -16·Σx of each 16 columns, both halves alike. */
ASSAY_INLINE __m512i minus_16_sums(const struct assay_act *act, size_t i, size_t b) {
    __m256i s = load256(act->sums + i * act->sums_stride + 16 * b);
    s = _mm256_sub_epi16(_mm256_setzero_si256(), _mm256_slli_epi16(s, 4));
    return _mm512_broadcast_i64x4(s);
}

/* ---- IQ1 and IQ2: two super-blocks a vector ---- */

/* Entries of eight 2-bit codes of two rows: byte 32r + e belongs to entry e of row r. */
struct grid8 {
    struct grid_index number;
    __m512i side;  /* IQ2: sign bytes; IQ1: 16 plus the shift times eight */
    __m512i scale; /* odd integers: a dword for each 32 columns, or a word for each 16 */
};

ASSAY_INLINE const uint8_t *grid8_planes(enum iq_type t, const struct assay_iq_tables *tab) {
    return t == IQ2_XXS  ? tab->planes_iq2_xxs[0]
           : t == IQ2_XS ? tab->planes_iq2_xs[0]
           : t == IQ2_S  ? tab->planes_iq2_s[0]
                         : tab->planes_iq1[0];
}

ASSAY_INLINE int grid8_bits(enum iq_type t) {
    return t == IQ2_XXS ? 8 : t == IQ2_XS ? 9 : t == IQ2_S ? 10 : 11;
}

/* Whether the scales are for 16 columns. */
ASSAY_INLINE bool fine_scales(enum iq_type t) { return t == IQ1_M || t == IQ2_XS || t == IQ2_S; }

ASSAY_INLINE __m128i two_qwords(const uint8_t *a, const uint8_t *b) {
    int64_t hi;
    memcpy(&hi, b, sizeof hi);
    return _mm_insert_epi64(_mm_loadl_epi64((const __m128i *)(const void *)a), hi, 1);
}

ASSAY_INLINE __m256i two_128(const uint8_t *a, const uint8_t *b) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(load128(a)), load128(b), 1);
}

ASSAY_INLINE __m512i two_256(const uint8_t *a, const uint8_t *b) {
    return join256(load256(a), load256(b));
}

/* 2v + 1 */
ASSAY_INLINE __m512i odd32(__m512i v) {
    return _mm512_add_epi32(_mm512_add_epi32(v, v), _mm512_set1_epi32(1));
}

ASSAY_INLINE __m512i odd16(__m512i v) {
    return _mm512_add_epi16(_mm512_add_epi16(v, v), _mm512_set1_epi16(1));
}

/* The two nibbles of each of 16 bytes as the words of a dword. */
ASSAY_INLINE __m512i nibble_words(__m128i bytes) {
    __m512i v = _mm512_cvtepu8_epi32(bytes);
    return _mm512_and_si512(_mm512_or_si512(v, _mm512_slli_epi32(v, 12)),
                            _mm512_set1_epi32(0x000f000f));
}

/* Bytes 2i + first of two vectors. */
ASSAY_INLINE __m512i every_other(__m512i a, __m512i b, int first) {
    const __m512i eight = _mm512_setr_epi64(
        0x0e0c0a0806040200, 0x1e1c1a1816141210, 0x2e2c2a2826242220, 0x3e3c3a3836343230,
        0x4e4c4a4846444240, 0x5e5c5a5856545250, 0x6e6c6a6866646260, 0x7e7c7a7876747270);
    return _mm512_permutex2var_epi8(a, _mm512_add_epi8(eight, _mm512_set1_epi8((char)first)), b);
}

ASSAY_INLINE struct grid8 grid8(enum iq_type t, const struct assay_iq_tables *tab, const uint8_t *a,
                                const uint8_t *b) {
    struct grid8 g;
    const __m512i plus = _mm512_set1_epi8(17), minus = _mm512_set1_epi8(15);
    if (t == IQ2_XXS) {
        const size_t at = offsetof(struct assay_block_iq2_xxs, group);
        const __m512i dwords =
            _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        __m512i va = load512(a + at), vb = load512(b + at);
        __m512i word =
            _mm512_permutex2var_epi32(va, _mm512_add_epi32(dwords, _mm512_set1_epi32(1)), vb);
        g.number = grid_index(_mm512_permutex2var_epi32(va, dwords, vb), _mm512_setzero_si512());
        g.side = sign_bytes(tab, spread_bits(word, 0, 7));
        g.scale = odd32(_mm512_srli_epi32(word, 28));
    } else if (t == IQ2_XS) {
        const size_t qs = offsetof(struct assay_block_iq2_xs, qs);
        const size_t scales = offsetof(struct assay_block_iq2_xs, scales);
        __m512i va = load512(a + qs), vb = load512(b + qs), top = every_other(va, vb, 1);
        g.number = grid_index(every_other(va, vb, 0), top);
        g.side = sign_bytes(tab, _mm512_srli_epi16(top, 1));
        g.scale = odd16(nibble_words(two_qwords(a + scales, b + scales)));
    } else if (t == IQ2_S) {
        const size_t qs = offsetof(struct assay_block_iq2_s, qs);
        const size_t qh = offsetof(struct assay_block_iq2_s, qh);
        const size_t signs = offsetof(struct assay_block_iq2_s, signs);
        const size_t scales = offsetof(struct assay_block_iq2_s, scales);
        __m512i high = _mm512_cvtepu8_epi32(two_qwords(a + qh, b + qh));
        g.number = grid_index(two_256(a + qs, b + qs), spread_bits(high, 0, 2));
        g.side = two_256(a + signs, b + signs);
        g.scale = odd16(nibble_words(two_qwords(a + scales, b + scales)));
    } else if (t == IQ1_S) {
        const size_t qs = offsetof(struct assay_block_iq1_s, qs);
        const size_t qh = offsetof(struct assay_block_iq1_s, qh);
        __m512i high = _mm512_cvtepu16_epi32(two_128(a + qh, b + qh));
        g.number = grid_index(two_256(a + qs, b + qs), spread_bits(high, 0, 3));
        g.side = _mm512_mask_blend_epi32(_mm512_test_epi32_mask(high, _mm512_set1_epi32(0x8000)),
                                         plus, minus);
        g.scale = odd32(_mm512_and_si512(_mm512_srli_epi32(high, 12), _mm512_set1_epi32(7)));
    } else {
        const size_t qs = offsetof(struct assay_block_iq1_m, qs);
        const size_t qh = offsetof(struct assay_block_iq1_m, qh);
        const size_t scales = offsetof(struct assay_block_iq1_m, scales);
        __m512i high = spread_bits(_mm512_cvtepu16_epi32(two_128(a + qh, b + qh)), 0, 4);
        g.number = grid_index(two_256(a + qs, b + qs), high);
        g.side =
            _mm512_mask_blend_epi8(_mm512_test_epi8_mask(high, _mm512_set1_epi8(8)), plus, minus);
        /* Each of four words has the scales of two groups of 32 columns. */
        __m512i s = _mm512_cvtepu16_epi64(two_qwords(a + scales, b + scales));
        s = _mm512_or_si512(s, _mm512_slli_epi64(s, 26)); /* six bits on, a dword further */
        s = _mm512_or_si512(_mm512_and_si512(s, _mm512_set1_epi32(7)),
                            _mm512_and_si512(_mm512_slli_epi32(s, 13), _mm512_set1_epi32(0x70000)));
        g.scale = odd16(s);
    }
    return g;
}

/* d of a block, as far as it is no plain binary16 number at its start. */
ASSAY_INLINE uint16_t iq_half(enum iq_type t, const uint8_t *block) {
    uint16_t h;
    if (t == IQ1_M) {
        uint64_t s;
        memcpy(&s, block + offsetof(struct assay_block_iq1_m, scales), sizeof s);
        return (uint16_t)(s >> 12 & 0xf) | (uint16_t)(s >> 24 & 0xf0) |
               (uint16_t)(s >> 36 & 0xf00) | (uint16_t)(s >> 48 & 0xf000);
    }
    memcpy(&h, block, sizeof h);
    return h;
}

_Static_assert(offsetof(struct assay_block_iq1_s, d) == 0 &&
                   offsetof(struct assay_block_iq2_xxs, d) == 0 &&
                   offsetof(struct assay_block_iq2_xs, d) == 0 &&
                   offsetof(struct assay_block_iq2_s, d) == 0 &&
                   offsetof(struct assay_block_iq3_xxs, d) == 0 &&
                   offsetof(struct assay_block_iq3_s, d) == 0,
               "iq_half reads the scale at the start of the block");

/* The scales of four rows, in the low four lanes. */
ASSAY_INLINE __m128 iq_scales(enum iq_type t, const uint8_t *const block[GEMV_ROWS]) {
    uint64_t h = 0;
    for (int r = 0; r < GEMV_ROWS; r++)
        h |= (uint64_t)iq_half(t, block[r]) << 16 * r;
    float unit = t == IQ3_S ? 1.0f : t == IQ3_XXS ? 0.25f : 0.125f;
    return _mm_mul_ps(_mm_cvtph_ps(_mm_cvtsi64_si128((long long)h)), _mm_set1_ps(unit));
}

/* Tables for VPERMB, which reads six bits: what a code of `width` bits at bit `at` stands for. */
ASSAY_INLINE __m512i level_table(const int8_t *levels, int at, int width, int factor) {
    int8_t v[64];
    for (int i = 0; i < 64; i++)
        v[i] = (int8_t)(levels[i >> at & ((1 << width) - 1)] * factor);
    return load512(v);
}

/* Adds Σ of the weights against each row of x to acc, a dword for each 32 columns. With fine scales
 * acc comes with them applied, else they are applied to the whole here. */
ASSAY_INLINE void grid8_dot(enum iq_type t, const struct grid8 *g, __m512i low, __m512i high,
                            const __m512i table[3], const int8_t *const x[GEMV_MAX_M], const int m,
                            __m512i acc[GEMV_MAX_M]) {
    const bool iq1 = t == IQ1_S || t == IQ1_M;
    __m512i words[GEMV_MAX_M];
    ASSAY_UNROLL
    for (int v = 0; v < 8; v++) {
        __m512i p = v < 4 ? low : high;
        if (v % 4 == 3)
            p = _mm512_srli_epi16(p, 4);
        __m512i w = _mm512_permutexvar_epi8(p, table[v % 4 == 3 ? 1 : v % 4]);
        if (iq1)
            w = _mm512_add_epi8(w, g->side);
        __mmask64 minus =
            iq1 ? 0 : _mm512_test_epi8_mask(g->side, _mm512_set1_epi8((char)(1 << v)));
        for (int i = 0; i < m; i++) {
            __m512i xv = _mm512_broadcast_i64x4(load256(x[i] + 32 * v));
            if (!iq1)
                xv = _mm512_mask_sub_epi8(xv, minus, _mm512_setzero_si512(), xv);
            if (!fine_scales(t)) {
                acc[i] = _mm512_dpbusd_epi32(acc[i], w, xv);
                continue;
            }
            /* Sums of two products, 43·127·2 = 10922 at most (IQ1: 25·127·2): three of them fit 16
             * bits. */
            __m512i two = _mm512_maddubs_epi16(w, xv);
            words[i] = v % 3 ? _mm512_add_epi16(words[i], two) : two;
            if (v % 3 == 2 || v == 7)
                acc[i] = _mm512_dpwssd_epi32(acc[i], words[i], g->scale);
        }
    }
    if (!fine_scales(t))
        for (int i = 0; i < m; i++)
            acc[i] = _mm512_mullo_epi32(acc[i], g->scale);
}

ASSAY_INLINE void gemv_grid8(enum iq_type t, const size_t block_bytes,
                             const struct assay_cpu_args *a, const int m) {
    const struct assay_iq_tables *tab = assay_iq_tables();
    const bool iq1 = t == IQ1_S || t == IQ1_M;
    const int8_t *levels = iq1 ? assay_iq1_levels : (const int8_t *)assay_iq2_levels;
    const int8_t *x = a->scratch;
    const uint8_t *planes = grid8_planes(t, tab);
    const int bits = grid8_bits(t);
    __m512i table[3];
    for (int i = 0; i < 3; i++)
        table[i] = level_table(levels, 2 * i, 2, iq1 ? 8 : 1);
    for (size_t n0 = 0; n0 < a->n; n0 += GEMV_ROWS) {
        struct gemv_rows g = gemv_rows_at(a, n0);
        __m512 sum[GEMV_MAX_M][2];
        for (int i = 0; i < m; i++)
            sum[i][0] = sum[i][1] = _mm512_setzero_ps();
        for (size_t b = 0; b < a->k / 256; b++) {
            const uint8_t *block[GEMV_ROWS];
            for (int r = 0; r < GEMV_ROWS; r++) {
                block[r] = g.row[r] + b * block_bytes;
                gemv_prefetch(a, block[r], block_bytes);
            }
            struct grid8 grid[2];
            struct grid_index number[2];
            for (int v = 0; v < 2; v++) {
                grid[v] = grid8(t, tab, block[2 * v], block[2 * v + 1]);
                number[v] = grid[v].number;
            }
            __m512i low[2], high[2];
            look_up(planes, bits, number, low);
            look_up(planes + (1 << bits), bits, number, high);
            __m128 d = iq_scales(t, block);
            const int8_t *xb[GEMV_MAX_M];
            __m512 dx[GEMV_MAX_M];
            __m512i init[GEMV_MAX_M];
            for (int i = 0; i < m; i++) {
                xb[i] = x + (size_t)i * a->k + 256 * b;
                dx[i] = _mm512_castps128_ps512(
                    _mm_mul_ps(d, _mm_set1_ps(a->act->d[(size_t)i * a->act->d_stride + b])));
                init[i] = iq1 ? minus_16_sums(a->act, (size_t)i, b) : _mm512_setzero_si512();
            }
            ASSAY_UNROLL
            for (int v = 0; v < 2; v++) {
                const __m512i lane = _mm512_add_epi32(
                    _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1),
                    _mm512_set1_epi32(2 * v));
                __m512i acc[GEMV_MAX_M];
                for (int i = 0; i < m; i++)
                    acc[i] = !iq1             ? _mm512_setzero_si512()
                             : fine_scales(t) ? _mm512_dpwssd_epi32(_mm512_setzero_si512(), init[i],
                                                                    grid[v].scale)
                                              : _mm512_madd_epi16(init[i], _mm512_set1_epi16(1));
                grid8_dot(t, &grid[v], low[v], high[v], table, xb, m, acc);
                for (int i = 0; i < m; i++)
                    sum[i][v] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[i]),
                                                _mm512_permutexvar_ps(lane, dx[i]), sum[i][v]);
            }
        }
        for (int i = 0; i < m; i++) {
            float out[GEMV_ROWS];
            for (int r = 0; r < GEMV_ROWS; r++)
                out[r] =
                    _mm512_mask_reduce_add_ps((__mmask16)(r % 2 ? 0xff00 : 0x00ff), sum[i][r / 2]);
            gemv_store(a, n0, &g, (size_t)i, out);
        }
    }
}

/* ---- IQ3: a super-block a vector ---- */

/* Entries of four 3-bit codes of a row: byte e belongs to entry e. */
struct grid4 {
    struct grid_index number;
    __m512i signs; /* each sign byte for two entries */
    __m512i scale; /* an odd integer for each 16 columns */
};

ASSAY_INLINE struct grid4 grid4(enum iq_type t, const struct assay_iq_tables *tab,
                                const uint8_t *block) {
    struct grid4 g;
    const __m512i pairs = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    if (t == IQ3_XXS) {
        __m512i word = _mm512_permutexvar_epi32(
            pairs, _mm512_castsi256_si512(
                       load256(block + offsetof(struct assay_block_iq3_xxs, signs_scale))));
        g.number = grid_index(load512(block + offsetof(struct assay_block_iq3_xxs, qs)),
                              _mm512_setzero_si512());
        g.signs = sign_bytes(
            tab, _mm512_multishift_epi64_epi8(_mm512_set1_epi64(0x35352e2e07070000), word));
        g.scale = odd32(_mm512_srli_epi32(word, 28));
    } else {
        uint64_t qh;
        int32_t scales;
        memcpy(&qh, block + offsetof(struct assay_block_iq3_s, qh), sizeof qh);
        memcpy(&scales, block + offsetof(struct assay_block_iq3_s, scales), sizeof scales);
        g.number = grid_index(load512(block + offsetof(struct assay_block_iq3_s, qs)),
                              _mm512_setzero_si512());
        g.number.bit[1] = qh;
        __m512i signs =
            _mm512_cvtepu8_epi16(load256(block + offsetof(struct assay_block_iq3_s, signs)));
        g.signs = _mm512_or_si512(signs, _mm512_slli_epi16(signs, 8));
        __m512i s = _mm512_srlv_epi32(_mm512_set1_epi32(scales), _mm512_slli_epi32(pairs, 2));
        g.scale = odd32(_mm512_and_si512(s, _mm512_set1_epi32(15)));
    }
    return g;
}

ASSAY_INLINE void gemv_grid4(enum iq_type t, const size_t block_bytes,
                             const struct assay_cpu_args *a, const int m) {
    const struct assay_iq_tables *tab = assay_iq_tables();
    const int8_t *levels = (const int8_t *)(t == IQ3_S ? assay_iq3_s_levels : assay_iq3_xxs_levels);
    const int8_t *x = a->scratch;
    const uint8_t *planes = t == IQ3_S ? tab->planes_iq3_s[0] : tab->planes_iq3_xxs[0];
    const int bits = t == IQ3_S ? 9 : 8;
    const __m512i table[2] = {level_table(levels, 0, 3, 1), level_table(levels, 3, 3, 1)};
    for (size_t n0 = 0; n0 < a->n; n0 += GEMV_ROWS) {
        struct gemv_rows g = gemv_rows_at(a, n0);
        __m512 sum[GEMV_MAX_M][GEMV_ROWS];
        for (int i = 0; i < m; i++)
            for (int r = 0; r < GEMV_ROWS; r++)
                sum[i][r] = _mm512_setzero_ps();
        for (size_t b = 0; b < a->k / 256; b++) {
            const uint8_t *block[GEMV_ROWS];
            for (int r = 0; r < GEMV_ROWS; r++) {
                block[r] = g.row[r] + b * block_bytes;
                gemv_prefetch(a, block[r], block_bytes);
            }
            __m128 d = iq_scales(t, block);
            ASSAY_UNROLL
            for (int r0 = 0; r0 < GEMV_ROWS; r0 += 2) {
                const struct grid4 grid[2] = {grid4(t, tab, block[r0]),
                                              grid4(t, tab, block[r0 + 1])};
                const struct grid_index number[2] = {grid[0].number, grid[1].number};
                __m512i low[2], high[2];
                look_up(planes, bits, number, low);
                look_up(planes + (1 << bits), bits, number, high);
                ASSAY_UNROLL
                for (int v = 0; v < 2; v++) {
                    __m512i acc[GEMV_MAX_M];
                    for (int i = 0; i < m; i++)
                        acc[i] = _mm512_setzero_si512();
                    ASSAY_UNROLL
                    for (int l = 0; l < 4; l++) {
                        __m512i w = _mm512_permutexvar_epi8(l < 2 ? low[v] : high[v], table[l % 2]);
                        __mmask64 minus = _mm512_test_epi8_mask(
                            grid[v].signs, _mm512_set1_epi16((short)(0x1001 << l)));
                        for (int i = 0; i < m; i++) {
                            __m512i xl = load512(x + (size_t)i * a->k + 256 * b + 64 * (size_t)l);
                            xl = _mm512_mask_sub_epi8(xl, minus, _mm512_setzero_si512(), xl);
                            acc[i] = _mm512_dpbusd_epi32(acc[i], w, xl);
                        }
                    }
                    for (int i = 0; i < m; i++) {
                        __m512 di = _mm512_castps128_ps512(_mm_mul_ps(
                            d, _mm_set1_ps(a->act->d[(size_t)i * a->act->d_stride + b])));
                        __m512i dot = _mm512_mullo_epi32(acc[i], grid[v].scale);
                        sum[i][r0 + v] = _mm512_fmadd_ps(
                            _mm512_cvtepi32_ps(dot),
                            _mm512_permutexvar_ps(_mm512_set1_epi32(r0 + v), di), sum[i][r0 + v]);
                    }
                }
            }
        }
        gemv_reduce_store(a, n0, &g, m, sum);
    }
}

#define KERNEL(name, ENUM, form, len)                                                              \
    void gemm_##name##_q8_256__avx512_gemv(const struct assay_cpu_args *a) {                       \
        take_apart(a->act, len, a->scratch);                                                       \
        if (a->act->m == 1)                                                                        \
            gemv_##form(ENUM, sizeof(struct assay_block_##name), a, 1);                            \
        else                                                                                       \
            gemv_##form(ENUM, sizeof(struct assay_block_##name), a, 2);                            \
    }

KERNEL(iq1_s, IQ1_S, grid8, 8)
KERNEL(iq1_m, IQ1_M, grid8, 8)
KERNEL(iq2_xxs, IQ2_XXS, grid8, 8)
KERNEL(iq2_xs, IQ2_XS, grid8, 8)
KERNEL(iq2_s, IQ2_S, grid8, 8)
KERNEL(iq3_xxs, IQ3_XXS, grid4, 4)
KERNEL(iq3_s, IQ3_S, grid4, 4)
