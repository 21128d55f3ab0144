/* GEMV and panels of the types with row unpackers: codebook (IQ1…IQ3), ternary, one- and two-bit
 * and fp4 types. */
#include <math.h>

#include "impl/blocks.h"
#include "impl/half.h"
#include "kernels.h"
#include "panel.h"
#include "rows.h"

/* ---- Row unpackers ---- */

/* One scale for every column from `first` on. */
ASSAY_INLINE void fill_scale(struct row_codes *out, size_t first, size_t columns, float d) {
    for (size_t g = first / 16; g < (first + columns) / 16; g++)
        out->scale[g] = d;
}

static void row_tq2_0(const uint8_t *block, size_t columns, struct row_codes *out) {
    const struct assay_block_tq2_0 *b = (const void *)block;
    for (int h = 0; h < 2; h++)
        for (int j = 0; j < 4; j++)
            for (int i = 0; i < 32; i++)
                out->code[128 * h + 32 * j + i] = (int8_t)((b->qs[32 * h + i] >> 2 * j & 3) - 1);
    fill_scale(out, 0, columns, assay_f16_to_f32(b->d));
}

/* Digit n of `count` base-3 fractions (ref/dequant_ternary.c), minus one. */
ASSAY_INLINE void ternary(const uint8_t *restrict bytes, int count, unsigned power,
                          int8_t *restrict out) {
    for (int i = 0; i < count; i++)
        out[i] = (int8_t)(((bytes[i] * power & 0xff) * 3 >> 8) - 1);
}

static void row_tq1_0(const uint8_t *block, size_t columns, struct row_codes *out) {
    const struct assay_block_tq1_0 *b = (const void *)block;
    unsigned power = 1;
    for (int n = 0; n < 5; n++, power *= 3) {
        ternary(b->qs, 32, power, out->code + 32 * n);
        ternary(b->qs + 32, 16, power, out->code + 160 + 16 * n);
        if (n < 4)
            ternary(b->qh, 4, power, out->code + 240 + 4 * n);
    }
    fill_scale(out, 0, columns, assay_f16_to_f32(b->d));
}

/* What lies past the end of a row counts as 0 with a scale of 0. */
ASSAY_INLINE void clear_tail(struct row_codes *out, size_t columns) {
    if (columns < 256) {
        memset(out->code + columns, 0, 256 - columns);
        fill_scale(out, columns, 256 - columns, 0.0f);
    }
}

static void row_q1_0(const uint8_t *block, size_t columns, struct row_codes *out) {
    const struct assay_block_q1_0 *b = (const void *)block;
    for (size_t k = 0; k < columns; k += 128, b++) {
        for (size_t h = 0; h < 128; h += 64) {
            uint64_t bits;
            memcpy(&bits, b->qs + h / 8, sizeof bits);
            __m512i v = _mm512_mask_blend_epi8(bits, _mm512_set1_epi8(-1), _mm512_set1_epi8(1));
            _mm512_store_si512(out->code + k + h, v);
        }
        fill_scale(out, k, 128, assay_f16_to_f32(b->d));
    }
    clear_tail(out, columns);
}

static void row_q2_0(const uint8_t *block, size_t columns, struct row_codes *out) {
    const struct assay_block_q2_0 *b = (const void *)block;
    for (size_t k = 0; k < columns; k += 64, b++) {
        /* Each byte to four bytes, each of which keeps its own two bits. */
        __m512i v = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)b->qs));
        v = _mm512_multishift_epi64_epi8(_mm512_set1_epi64(0x2624222006040200), v);
        v = _mm512_and_si512(v, _mm512_set1_epi8(3));
        _mm512_store_si512(out->code + k, _mm512_sub_epi8(v, _mm512_set1_epi8(1)));
        fill_scale(out, k, 64, assay_f16_to_f32(b->d));
    }
    clear_tail(out, columns);
}

/* Twice the values of the E2M1 codes. */
ASSAY_INLINE __m128i fp4_codes(__m128i index) {
    return _mm_shuffle_epi8(_mm_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12),
                            index);
}

static void row_mxfp4(const uint8_t *block, size_t columns, struct row_codes *out) {
    const struct assay_block_mxfp4 *b = (const void *)block;
    const __m128i nibble = _mm_set1_epi8(0x0f);
    for (size_t k = 0; k < columns; k += 32, b++) {
        __m128i q = _mm_loadu_si128((const __m128i *)(const void *)b->qs);
        __m128i *to = (__m128i *)(void *)(out->code + k);
        _mm_store_si128(to, fp4_codes(_mm_and_si128(q, nibble)));
        _mm_store_si128(to + 1, fp4_codes(_mm_and_si128(_mm_srli_epi16(q, 4), nibble)));
        fill_scale(out, k, 32, ldexpf(1.0f, b->e - 128));
    }
    clear_tail(out, columns);
}

/* Half the value of an unsigned E4M3 number, bit 7 ignored; 0x7f counts as zero. */
ASSAY_INLINE float half_ue4m3(uint8_t v) {
    int exponent = v >> 3 & 15, fraction = v & 7;
    if (v == 0x7f)
        return 0.0f;
    return exponent == 0 ? (float)fraction * 0x1p-10f
                         : ldexpf((float)(8 + fraction), exponent - 11);
}

static void row_nvfp4(const uint8_t *block, size_t columns, struct row_codes *out) {
    const struct assay_block_nvfp4 *b = (const void *)block;
    const __m128i nibble = _mm_set1_epi8(0x0f);
    for (size_t k = 0; k < columns; k += 64, b++)
        for (size_t j = 0; j < 4; j++) {
            __m128i q = _mm_loadl_epi64((const __m128i *)(const void *)(b->qs + 8 * j));
            q = _mm_and_si128(_mm_unpacklo_epi64(q, _mm_srli_epi16(q, 4)), nibble);
            _mm_store_si128((__m128i *)(void *)(out->code + k + 16 * j), fp4_codes(q));
            out->scale[k / 16 + j] = half_ue4m3(b->d[j]);
        }
    clear_tail(out, columns);
}

/* ---- Panels ---- */

ASSAY_INLINE void rows_panel(row_unpack_fn unpack, const struct panel *p,
                             const uint8_t *const row[PANEL_ROWS], size_t at, size_t columns) {
    struct row_codes c[PANEL_ROWS];
    __m512i scale[PANEL_ROWS], t[16];
    for (int r = 0; r < PANEL_ROWS; r++) {
        unpack(row[r], columns, &c[r]);
        scale[r] = load512(c[r].scale);
    }
    panel_transpose16(scale, t);
    for (size_t g = 0; g < columns / 16; g++)
        _mm512_store_si512(p->scale + (at / 16 + g) * PANEL_ROWS, t[g]);
    for (size_t k = 0; k < columns; k += 32) {
        __m256i in[PANEL_ROWS];
        __m512i v[8];
        for (int r = 0; r < PANEL_ROWS; r++)
            in[r] = load256(c[r].code + k);
        panel_transpose(in, v);
        for (size_t j = 0; j < 8; j++)
            panel_store(p, at + k + 4 * j, _mm512_xor_si512(v[j], _mm512_set1_epi8((char)0x80)));
    }
}

/* The kernel of a type. */
#define ROW_KERNELS(name, LEN, ACT)                                                                \
    static void unpack_##name(const struct panel *p, const uint8_t *const row[PANEL_ROWS],         \
                              size_t at, size_t columns) {                                         \
        rows_panel(row_##name, p, row, at, columns);                                               \
    }                                                                                              \
    void gemm_##name##_q8_##ACT##__avx512_panel(const struct assay_cpu_args *a) {                  \
        const struct panel_form form = {                                                           \
            .block_len = (LEN), .group = 16, .act_block = (ACT), .offset = 128};                   \
        panel_gemm(form, unpack_##name, sizeof(struct assay_block_##name), a);                     \
    }

ROW_KERNELS(tq1_0, 256, 256)
ROW_KERNELS(tq2_0, 256, 256)
ROW_KERNELS(q1_0, 128, 32)
ROW_KERNELS(q2_0, 64, 32)
ROW_KERNELS(mxfp4, 32, 32)
ROW_KERNELS(nvfp4, 64, 32)
