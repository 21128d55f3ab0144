/* GEMM panels of the codebook types IQ1, IQ2 and IQ3. A look-up (grids.h) serves 64 grid numbers:
 * four of each of the 16 rows of a panel, which the transposed blocks have in one dword a row. */
#include "grids.h"
#include "impl/blocks.h"
#include "kernels.h"
#include "panel.h"
#include "ref/iq_grids.h"

enum { ENTRIES = 4 }; /* grid numbers of a row in a vector, one a byte */

/* Byte `l` of each dword four times. */
ASSAY_INLINE __m512i repeat_byte(__m512i v, int l) {
    return _mm512_shuffle_epi8(v, _mm512_add_epi32(_mm512_broadcast_i32x4(_mm_setr_epi32(
                                                       0, 0x04040404, 0x08080808, 0x0c0c0c0c)),
                                                   _mm512_set1_epi32(l * 0x01010101)));
}

/* How the values of the codebook become weights. */
enum finish {
    FINISH_SIGNS, /* bit j of a byte of `side` negates value j of eight */
    FINISH_SHIFT, /* the byte of `side` is added to eight values */
};

/* Stores the 32 columns of a group. code[j] has the codes of columns 4j …, at the low bits of its
 * bytes; levels maps them, whatever noise stands above, to values plus 128. */
ASSAY_INLINE void store_group(const struct panel *p, size_t at, const __m512i code[8],
                              __m512i levels, enum finish finish, __m512i side) {
    ASSAY_UNROLL
    for (int l = 0; l < ENTRIES; l++) {
        __m512i s = repeat_byte(side, l);
        ASSAY_UNROLL
        for (int h = 0; h < 2; h++) {
            __m512i v = _mm512_permutexvar_epi8(code[2 * l + h], levels);
            if (finish == FINISH_SHIFT) {
                v = _mm512_add_epi8(v, s);
            } else {
                __mmask64 minus =
                    _mm512_test_epi8_mask(s, _mm512_set1_epi32(h ? (int)0x80402010 : 0x08040201));
                v = _mm512_mask_sub_epi8(v, minus, _mm512_setzero_si512(), v);
            }
            panel_store(p, at + 8 * (size_t)l + 4 * (size_t)h, v);
        }
    }
}

/* Two groups of 32 columns whose entries of eight 2-bit codes have the numbers x. */
ASSAY_INLINE void store_grid8(const struct panel *p, size_t at, const uint8_t *planes,
                              const int bits, const struct grid_index x[2], __m512i levels,
                              enum finish finish, const __m512i side[2]) {
    __m512i low[2], high[2];
    look_up(planes, bits, x, low);
    look_up(planes + (1 << bits), bits, x, high);
    ASSAY_UNROLL
    for (int v = 0; v < 2; v++) {
        __m512i code[8];
        for (int l = 0; l < ENTRIES; l++) {
            code[2 * l] = spread_bits(low[v], 8 * l, 2);
            code[2 * l + 1] = spread_bits(high[v], 8 * l, 2);
        }
        store_group(p, at + 32 * (size_t)v, code, levels, finish, side[v]);
    }
}

/* A group of 32 columns whose entries of four 3-bit codes, two a plane, have the numbers x. */
ASSAY_INLINE void store_grid4(const struct panel *p, size_t at, const uint8_t *planes,
                              const int bits, const struct grid_index x[2], __m512i levels,
                              __m512i signs) {
    __m512i low[2], high[2], code[8];
    look_up(planes, bits, x, low);
    look_up(planes + (1 << bits), bits, x, high);
    for (int v = 0; v < 2; v++)
        for (int l = 0; l < ENTRIES; l++) {
            const __m512i shift = _mm512_add_epi64(_mm512_set1_epi64(0x2320232003000300),
                                                   _mm512_set1_epi8((char)(8 * l)));
            code[4 * v + l] = _mm512_mask_multishift_epi64_epi8(
                _mm512_multishift_epi64_epi8(shift, low[v]), 0xcccccccccccccccc, shift, high[v]);
        }
    store_group(p, at, code, levels, FINISH_SIGNS, signs);
}

ASSAY_INLINE __m512i levels_2bit(const uint8_t levels[4]) {
    int32_t v;
    memcpy(&v, levels, sizeof v);
    return _mm512_xor_si512(_mm512_set1_epi32(v), _mm512_set1_epi8((char)0x80));
}

ASSAY_INLINE __m512i levels_3bit(const uint8_t levels[8]) {
    int64_t v;
    memcpy(&v, levels, sizeof v);
    return _mm512_xor_si512(_mm512_set1_epi64(v), _mm512_set1_epi8((char)0x80));
}

/* d·(s + 1/2) for the field of four bits at `shift` */
ASSAY_INLINE __m512 half_scale(__m512 d, __m512i fields, int shift) {
    __m512i s = _mm512_and_si512(_mm512_srlv_epi32(fields, _mm512_set1_epi32(shift)),
                                 _mm512_set1_epi32(15));
    return _mm512_mul_ps(_mm512_add_ps(_mm512_cvtepi32_ps(s), _mm512_set1_ps(0.5f)), d);
}

static void unpack_iq2_xxs(const struct panel *p, const uint8_t *const row[PANEL_ROWS], size_t at,
                           size_t columns) {
    (void)columns;
    const struct assay_iq_tables *t = assay_iq_tables();
    const __m512i levels = levels_2bit(assay_iq2_levels), none = _mm512_setzero_si512();
    __m512 d = _mm512_mul_ps(panel_halves(row, offsetof(struct assay_block_iq2_xxs, d)),
                             _mm512_set1_ps(0.25f));
    for (size_t h = 0; h < 2; h++) {
        __m512i v[8];
        panel_load(row, offsetof(struct assay_block_iq2_xxs, group) + 32 * h, v);
        for (size_t g = 0; g < 4; g += 2) {
            size_t k = at + 128 * h + 32 * g;
            struct grid_index x[2];
            __m512i signs[2];
            for (size_t i = 0; i < 2; i++) {
                __m512i word = v[2 * (g + i) + 1];
                x[i] = grid_index(v[2 * (g + i)], none);
                signs[i] = sign_bytes(t, spread_bits(word, 0, 7));
                _mm512_store_ps(p->scale + (k / 32 + i) * PANEL_ROWS, half_scale(d, word, 28));
            }
            store_grid8(p, k, t->planes_iq2_xxs[0], 8, x, levels, FINISH_SIGNS, signs);
        }
    }
}

/* Scales of 16 columns from the nibbles of the byte for 32: byte `g` of the dwords. */
ASSAY_INLINE void nibble_scales(const struct panel *p, size_t at, __m512 d, __m512i bytes, int g) {
    float *to = p->scale + at / 16 * PANEL_ROWS;
    _mm512_store_ps(to, half_scale(d, bytes, 8 * g));
    _mm512_store_ps(to + PANEL_ROWS, half_scale(d, bytes, 8 * g + 4));
}

static void unpack_iq2_xs(const struct panel *p, const uint8_t *const row[PANEL_ROWS], size_t at,
                          size_t columns) {
    (void)columns;
    const struct assay_iq_tables *t = assay_iq_tables();
    const __m512i levels = levels_2bit(assay_iq2_levels);
    /* Even bytes of the dwords of a lane of two vectors. */
    const __m512i lane =
        _mm512_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c, 0x10101010, 0x14141414, 0x18181818,
                          0x1c1c1c1c, 0x20202020, 0x24242424, 0x28282828, 0x2c2c2c2c, 0x30303030,
                          0x34343434, 0x38383838, 0x3c3c3c3c);
    const __m512i even = _mm512_add_epi8(lane, _mm512_set1_epi32(0x42400200));
    const __m512i odd = _mm512_add_epi8(lane, _mm512_set1_epi32(0x43410301));
    __m512 d = _mm512_mul_ps(panel_halves(row, offsetof(struct assay_block_iq2_xs, d)),
                             _mm512_set1_ps(0.25f));
    __m512i scales[2];
    panel_load8(row, offsetof(struct assay_block_iq2_xs, scales), scales);
    for (size_t h = 0; h < 2; h++) {
        __m512i v[8];
        panel_load(row, offsetof(struct assay_block_iq2_xs, qs) + 32 * h, v);
        for (size_t g = 0; g < 4; g += 2) {
            size_t k = at + 128 * h + 32 * g;
            struct grid_index x[2];
            __m512i signs[2];
            for (size_t i = 0; i < 2; i++) {
                __m512i a = v[2 * (g + i)], b = v[2 * (g + i) + 1];
                __m512i top = _mm512_permutex2var_epi8(a, odd, b);
                x[i] = grid_index(_mm512_permutex2var_epi8(a, even, b), top);
                signs[i] = sign_bytes(t, _mm512_srli_epi16(top, 1));
                nibble_scales(p, k + 32 * i, d, scales[h], (int)(g + i));
            }
            store_grid8(p, k, t->planes_iq2_xs[0], 9, x, levels, FINISH_SIGNS, signs);
        }
    }
}

static void unpack_iq2_s(const struct panel *p, const uint8_t *const row[PANEL_ROWS], size_t at,
                         size_t columns) {
    (void)columns;
    const struct assay_iq_tables *t = assay_iq_tables();
    const __m512i levels = levels_2bit(assay_iq2_levels);
    __m512 d = _mm512_mul_ps(panel_halves(row, offsetof(struct assay_block_iq2_s, d)),
                             _mm512_set1_ps(0.25f));
    __m512i high[2], scales[2], low[8], signs[8];
    panel_load8(row, offsetof(struct assay_block_iq2_s, qh), high);
    panel_load8(row, offsetof(struct assay_block_iq2_s, scales), scales);
    panel_load(row, offsetof(struct assay_block_iq2_s, qs), low);
    panel_load(row, offsetof(struct assay_block_iq2_s, signs), signs);
    for (size_t g = 0; g < 8; g += 2) {
        struct grid_index x[2];
        for (size_t i = 0; i < 2; i++) {
            int byte = (int)(g + i) % 4;
            x[i] = grid_index(low[g + i], spread_bits(high[g / 4], 8 * byte, 2));
            nibble_scales(p, at + 32 * (g + i), d, scales[g / 4], byte);
        }
        store_grid8(p, at + 32 * g, t->planes_iq2_s[0], 10, x, levels, FINISH_SIGNS, signs + g);
    }
}

static void unpack_iq3_xxs(const struct panel *p, const uint8_t *const row[PANEL_ROWS], size_t at,
                           size_t columns) {
    (void)columns;
    const struct assay_iq_tables *t = assay_iq_tables();
    const __m512i levels = levels_3bit(assay_iq3_xxs_levels), none = _mm512_setzero_si512();
    __m512 d = _mm512_mul_ps(panel_halves(row, offsetof(struct assay_block_iq3_xxs, d)),
                             _mm512_set1_ps(0.5f));
    __m512i word[8];
    panel_load(row, offsetof(struct assay_block_iq3_xxs, signs_scale), word);
    for (size_t h = 0; h < 2; h++) {
        __m512i v[8];
        panel_load(row, offsetof(struct assay_block_iq3_xxs, qs) + 32 * h, v);
        for (size_t g = 0; g < 4; g++) {
            size_t k = at + 128 * h + 32 * g;
            __m512i w = word[4 * h + g];
            const struct grid_index x[2] = {grid_index(v[2 * g], none),
                                            grid_index(v[2 * g + 1], none)};
            _mm512_store_ps(p->scale + k / 32 * PANEL_ROWS, half_scale(d, w, 28));
            store_grid4(p, k, t->planes_iq3_xxs[0], 8, x, levels,
                        sign_bytes(t, spread_bits(w, 0, 7)));
        }
    }
}

/* d·(2s + 1) for the field of `mask` at `shift` */
ASSAY_INLINE __m512 odd_scale(__m512 d, __m512i fields, int shift, int mask) {
    __m512i s = _mm512_and_si512(_mm512_srlv_epi32(fields, _mm512_set1_epi32(shift)),
                                 _mm512_set1_epi32(mask));
    s = _mm512_add_epi32(_mm512_add_epi32(s, s), _mm512_set1_epi32(1));
    return _mm512_mul_ps(_mm512_cvtepi32_ps(s), d);
}

static void unpack_iq3_s(const struct panel *p, const uint8_t *const row[PANEL_ROWS], size_t at,
                         size_t columns) {
    (void)columns;
    const struct assay_iq_tables *t = assay_iq_tables();
    const __m512i levels = levels_3bit(assay_iq3_s_levels);
    __m512 d = panel_halves(row, offsetof(struct assay_block_iq3_s, d));
    __m512i high[2], signs[8];
    __m512i scales = panel_dwords(row, offsetof(struct assay_block_iq3_s, scales));
    panel_load8(row, offsetof(struct assay_block_iq3_s, qh), high);
    panel_load(row, offsetof(struct assay_block_iq3_s, signs), signs);
    for (size_t h = 0; h < 2; h++) {
        __m512i v[8];
        panel_load(row, offsetof(struct assay_block_iq3_s, qs) + 32 * h, v);
        for (size_t g = 0; g < 4; g++) {
            size_t k = at + 128 * h + 32 * g;
            const struct grid_index x[2] = {
                grid_index(v[2 * g], spread_bits(high[h], 8 * (int)g, 1)),
                grid_index(v[2 * g + 1], spread_bits(high[h], 8 * (int)g + 4, 1))};
            _mm512_store_ps(p->scale + k / 32 * PANEL_ROWS,
                            odd_scale(d, scales, (int)(16 * h + 4 * g), 15));
            store_grid4(p, k, t->planes_iq3_s[0], 9, x, levels, signs[4 * h + g]);
        }
    }
}

/* Eight times the values of IQ1 plus 128: the shift of ±1/8 becomes ±1, and 1/8 goes into the
 * scale. */
ASSAY_INLINE __m512i levels_iq1(void) {
    int32_t v;
    memcpy(&v, assay_iq1_levels, sizeof v);
    __m512i eight =
        _mm512_slli_epi32(_mm512_and_si512(_mm512_set1_epi32(v), _mm512_set1_epi8(31)), 3);
    return _mm512_xor_si512(eight, _mm512_set1_epi8((char)0x80));
}

static void unpack_iq1_s(const struct panel *p, const uint8_t *const row[PANEL_ROWS], size_t at,
                         size_t columns) {
    (void)columns;
    const struct assay_iq_tables *t = assay_iq_tables();
    const __m512i levels = levels_iq1(), one = _mm512_set1_epi8(1), minus = _mm512_set1_epi8(-1);
    __m512 d = _mm512_mul_ps(panel_halves(row, offsetof(struct assay_block_iq1_s, d)),
                             _mm512_set1_ps(0.125f));
    __m512i low[8], high[4];
    panel_load(row, offsetof(struct assay_block_iq1_s, qs), low);
    panel_load16(row, offsetof(struct assay_block_iq1_s, qh), high);
    for (size_t g = 0; g < 8; g += 2) {
        struct grid_index x[2];
        __m512i shift[2];
        for (int i = 0; i < 2; i++) {
            __m512i qh = high[g / 2];
            x[i] = grid_index(low[g + (size_t)i], spread_bits(qh, 16 * i, 3));
            __mmask16 negative =
                _mm512_test_epi32_mask(qh, _mm512_set1_epi32((int)(0x8000u << 16 * i)));
            shift[i] = _mm512_mask_blend_epi32(negative, one, minus);
            _mm512_store_ps(p->scale + (at / 32 + g + (size_t)i) * PANEL_ROWS,
                            odd_scale(d, qh, 16 * i + 12, 7));
        }
        store_grid8(p, at + 32 * g, t->planes_iq1[0], 11, x, levels, FINISH_SHIFT, shift);
    }
}

static void unpack_iq1_m(const struct panel *p, const uint8_t *const row[PANEL_ROWS], size_t at,
                         size_t columns) {
    (void)columns;
    const struct assay_iq_tables *t = assay_iq_tables();
    const __m512i levels = levels_iq1(), one = _mm512_set1_epi8(1), minus = _mm512_set1_epi8(-1);
    __m512i low[8], high[4], scales[2];
    panel_load(row, offsetof(struct assay_block_iq1_m, qs), low);
    panel_load16(row, offsetof(struct assay_block_iq1_m, qh), high);
    panel_load8(row, offsetof(struct assay_block_iq1_m, scales), scales);
    /* d: a nibble at the top of each half of the two dwords. */
    const __m512i nibble = _mm512_set1_epi32(0xf);
    __m512i bits = _mm512_srli_epi32(_mm512_and_si512(scales[0], _mm512_set1_epi32(0xf000)), 12);
    bits = _mm512_or_si512(bits, _mm512_slli_epi32(_mm512_srli_epi32(scales[0], 28), 4));
    bits = _mm512_or_si512(
        bits, _mm512_slli_epi32(_mm512_and_si512(_mm512_srli_epi32(scales[1], 12), nibble), 8));
    bits = _mm512_or_si512(bits, _mm512_slli_epi32(_mm512_srli_epi32(scales[1], 28), 12));
    __m512 d = _mm512_mul_ps(_mm512_cvtph_ps(_mm512_cvtepi32_epi16(bits)), _mm512_set1_ps(0.125f));
    for (size_t g = 0; g < 8; g += 2) {
        struct grid_index x[2];
        __m512i shift[2];
        for (int i = 0; i < 2; i++) {
            __m512i nibbles = spread_bits(high[g / 2], 16 * i, 4);
            x[i] = grid_index(low[g + (size_t)i], nibbles);
            __mmask64 negative = _mm512_test_epi8_mask(nibbles, _mm512_set1_epi8(8));
            shift[i] = _mm512_mask_blend_epi8(negative, one, minus);
            for (int s = 0; s < 2; s++) { /* scales 2(g + i) + s, four of them a word */
                int n = 2 * ((int)g + i) + s;
                _mm512_store_ps(p->scale + (at / 16 + (size_t)n) * PANEL_ROWS,
                                odd_scale(d, scales[n / 8], n / 4 % 2 * 16 + n % 4 * 3, 7));
            }
        }
        store_grid8(p, at + 32 * g, t->planes_iq1[0], 11, x, levels, FINISH_SHIFT, shift);
    }
}

static const struct panel_form form_group32 = {
    .block_len = 256, .group = 32, .act_block = 256, .offset = 128};
static const struct panel_form form_group16 = {
    .block_len = 256, .group = 16, .act_block = 256, .offset = 128};

#define KERNELS(name, form)                                                                        \
    void gemm_##name##_q8_256__avx512_panel(const struct assay_cpu_args *a) {                      \
        panel_gemm(form, unpack_##name, sizeof(struct assay_block_##name), a);                     \
    }

KERNELS(iq1_s, form_group32)
KERNELS(iq1_m, form_group16)
KERNELS(iq2_xxs, form_group32)
KERNELS(iq2_xs, form_group16)
KERNELS(iq2_s, form_group16)
KERNELS(iq3_xxs, form_group32)
KERNELS(iq3_s, form_group32)
