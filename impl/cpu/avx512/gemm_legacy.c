/* GEMM panels of types with 32-weight sub-blocks of plain or looked-up codes: Q8_0, Q4_0, Q5_0,
 * IQ4_NL, IQ4_XS, MXFP4 — and NVFP4, whose sub-blocks have 16. */
#include "impl/blocks.h"
#include "kernels.h"
#include "nibbles.h"
#include "panel.h"

enum nibble_codes { CODES_PLAIN, CODES_IQ4, CODES_FP4 };

/* 16 bytes of nibbles at `offset` in each row, byte i holding codes i and 16 + i, for the 32
 * columns at `at`; `high` (bit 4 of the codes in place) may be NULL. */
ASSAY_INLINE void unpack_nibbles(const struct panel *p, const uint8_t *const row[PANEL_ROWS],
                                 size_t offset, size_t at, enum nibble_codes codes,
                                 const __m512i high[8]) {
    const __m512i nibble = _mm512_set1_epi8(0x0f);
    __m256i in[PANEL_ROWS];
    __m512i v[8];
    for (int r = 0; r < PANEL_ROWS; r++)
        in[r] = _mm256_castsi128_si256(
            _mm_loadu_si128((const __m128i *)(const void *)(row[r] + offset)));
    panel_transpose(in, v);
    for (size_t j = 0; j < 4; j++) {
        __m512i lo = _mm512_and_si512(v[j], nibble);
        __m512i hi = _mm512_and_si512(_mm512_srli_epi16(v[j], 4), nibble);
        if (codes == CODES_IQ4) {
            lo = iq4_values(lo);
            hi = iq4_values(hi);
        } else if (codes == CODES_FP4) {
            lo = fp4_values(lo);
            hi = fp4_values(hi);
        }
        if (high) {
            lo = _mm512_or_si512(lo, high[j]);
            hi = _mm512_or_si512(hi, high[4 + j]);
        }
        panel_store(p, at + 4 * j, lo);
        panel_store(p, at + 16 + 4 * j, hi);
    }
}

/* The legacy types have a binary16 scale in front of each block of 32. */
ASSAY_INLINE void legacy_scale(const struct panel *p, const uint8_t *const row[PANEL_ROWS],
                               size_t base, size_t column) {
    _mm512_store_ps(p->scale + column / 32 * PANEL_ROWS, panel_halves(row, base));
}

static void unpack_q8_0(const struct panel *p, const uint8_t *const row[PANEL_ROWS], size_t at,
                        size_t columns) {
    const __m512i sign = _mm512_set1_epi8((char)0x80);
    for (size_t b = 0; b < columns / 32; b++) {
        size_t base = b * sizeof(struct assay_block_q8_0);
        __m512i v[8];
        legacy_scale(p, row, base, at + 32 * b);
        panel_load(row, base + offsetof(struct assay_block_q8_0, qs), v);
        for (size_t j = 0; j < 8; j++)
            panel_store(p, at + 32 * b + 4 * j, _mm512_xor_si512(v[j], sign));
    }
}

static void unpack_q4_0(const struct panel *p, const uint8_t *const row[PANEL_ROWS], size_t at,
                        size_t columns) {
    for (size_t b = 0; b < columns / 32; b++) {
        size_t base = b * sizeof(struct assay_block_q4_0);
        legacy_scale(p, row, base, at + 32 * b);
        unpack_nibbles(p, row, base + offsetof(struct assay_block_q4_0, qs), at + 32 * b,
                       CODES_PLAIN, NULL);
    }
}

static void unpack_q4_1(const struct panel *p, const uint8_t *const row[PANEL_ROWS], size_t at,
                        size_t columns) {
    for (size_t b = 0; b < columns / 32; b++) {
        size_t base = b * sizeof(struct assay_block_q4_1), c = at + 32 * b;
        legacy_scale(p, row, base, c);
        _mm512_store_ps(p->float_mins + c / 32 * PANEL_ROWS,
                        panel_halves(row, base + offsetof(struct assay_block_q4_1, m)));
        unpack_nibbles(p, row, base + offsetof(struct assay_block_q4_1, qs), c, CODES_PLAIN, NULL);
    }
}

static void unpack_iq4_nl(const struct panel *p, const uint8_t *const row[PANEL_ROWS], size_t at,
                          size_t columns) {
    for (size_t b = 0; b < columns / 32; b++) {
        size_t base = b * sizeof(struct assay_block_iq4_nl);
        legacy_scale(p, row, base, at + 32 * b);
        unpack_nibbles(p, row, base + offsetof(struct assay_block_iq4_nl, qs), at + 32 * b,
                       CODES_IQ4, NULL);
    }
}

/* The fifth bits of 32 codes from the dword at `offset`, at bit 4 of each code. */
ASSAY_INLINE void high_bits(const uint8_t *const row[PANEL_ROWS], size_t offset, __m512i high[8]) {
    uint32_t qh[PANEL_ROWS];
    for (int r = 0; r < PANEL_ROWS; r++)
        memcpy(&qh[r], row[r] + offset, sizeof qh[r]);
    __m512i bits = _mm512_loadu_si512(qh);
    for (int j = 0; j < 8; j++) {
        /* Bit 4j + i goes to bit 4 of byte i: the multiplication copies the four bits to distances
         * of seven, so that bit i comes to rest at bit 8i. */
        __m512i four = _mm512_and_si512(_mm512_srlv_epi32(bits, _mm512_set1_epi32(4 * j)),
                                        _mm512_set1_epi32(0xf));
        __m512i spread = _mm512_mullo_epi32(four, _mm512_set1_epi32(0x00204081));
        high[j] = _mm512_slli_epi32(_mm512_and_si512(spread, _mm512_set1_epi32(0x01010101)), 4);
    }
}

static void unpack_q5_0(const struct panel *p, const uint8_t *const row[PANEL_ROWS], size_t at,
                        size_t columns) {
    for (size_t b = 0; b < columns / 32; b++) {
        size_t base = b * sizeof(struct assay_block_q5_0), c = at + 32 * b;
        __m512i high[8];
        legacy_scale(p, row, base, c);
        high_bits(row, base + offsetof(struct assay_block_q5_0, qh), high);
        unpack_nibbles(p, row, base + offsetof(struct assay_block_q5_0, qs), c, CODES_PLAIN, high);
    }
}

static void unpack_q5_1(const struct panel *p, const uint8_t *const row[PANEL_ROWS], size_t at,
                        size_t columns) {
    for (size_t b = 0; b < columns / 32; b++) {
        size_t base = b * sizeof(struct assay_block_q5_1), c = at + 32 * b;
        __m512i high[8];
        legacy_scale(p, row, base, c);
        _mm512_store_ps(p->float_mins + c / 32 * PANEL_ROWS,
                        panel_halves(row, base + offsetof(struct assay_block_q5_1, m)));
        high_bits(row, base + offsetof(struct assay_block_q5_1, qh), high);
        unpack_nibbles(p, row, base + offsetof(struct assay_block_q5_1, qs), c, CODES_PLAIN, high);
    }
}

static void unpack_iq4_xs(const struct panel *p, const uint8_t *const row[PANEL_ROWS], size_t at,
                          size_t columns) {
    (void)columns;
    __m512 d = panel_halves(row, offsetof(struct assay_block_iq4_xs, d));
    uint32_t low[PANEL_ROWS];
    uint16_t high[PANEL_ROWS];
    for (int r = 0; r < PANEL_ROWS; r++) {
        memcpy(&low[r], row[r] + offsetof(struct assay_block_iq4_xs, scales_l), sizeof low[r]);
        memcpy(&high[r], row[r] + offsetof(struct assay_block_iq4_xs, scales_h), sizeof high[r]);
    }
    __m512i l = _mm512_loadu_si512(low);
    __m512i h = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)high));
    for (int g = 0; g < 8; g++) {
        __m512i s = _mm512_and_si512(_mm512_srlv_epi32(l, _mm512_set1_epi32(4 * g)),
                                     _mm512_set1_epi32(0x0f));
        __m512i s_hi = _mm512_and_si512(_mm512_srlv_epi32(h, _mm512_set1_epi32(2 * g)),
                                        _mm512_set1_epi32(0x03));
        s = _mm512_sub_epi32(_mm512_or_si512(s, _mm512_slli_epi32(s_hi, 4)), _mm512_set1_epi32(32));
        _mm512_store_ps(p->scale + (at / 32 + (size_t)g) * PANEL_ROWS,
                        _mm512_mul_ps(_mm512_cvtepi32_ps(s), d));
        unpack_nibbles(p, row, offsetof(struct assay_block_iq4_xs, qs) + 16 * (size_t)g,
                       at + 32 * (size_t)g, CODES_IQ4, NULL);
    }
}

static void unpack_mxfp4(const struct panel *p, const uint8_t *const row[PANEL_ROWS], size_t at,
                         size_t columns) {
    for (size_t b = 0; b < columns / 32; b++) {
        size_t base = b * sizeof(struct assay_block_mxfp4);
        uint8_t e[PANEL_ROWS];
        for (int r = 0; r < PANEL_ROWS; r++)
            e[r] = row[r][base + offsetof(struct assay_block_mxfp4, e)];
        _mm512_store_ps(p->scale + (at / 32 + b) * PANEL_ROWS,
                        half_e8m0(_mm512_cvtepu8_epi32(load128(e))));
        unpack_nibbles(p, row, base + offsetof(struct assay_block_mxfp4, qs), at + 32 * b,
                       CODES_FP4, NULL);
    }
}

static void unpack_nvfp4(const struct panel *p, const uint8_t *const row[PANEL_ROWS], size_t at,
                         size_t columns) {
    const __m512i nibble = _mm512_set1_epi8(0x0f);
    for (size_t k = 0; k < columns; k += 64) {
        size_t base = k / 64 * sizeof(struct assay_block_nvfp4);
        __m512i scales = panel_dwords(row, base + offsetof(struct assay_block_nvfp4, d));
        __m512i v[8];
        panel_load(row, base + offsetof(struct assay_block_nvfp4, qs), v);
        for (size_t j = 0; j < 4; j++) { /* 8 bytes: 8 columns of low nibbles, 8 of high ones */
            size_t c = at + k + 16 * j;
            __m512i byte = _mm512_and_si512(
                _mm512_srlv_epi32(scales, _mm512_set1_epi32(8 * (int)j)), _mm512_set1_epi32(0xff));
            _mm512_store_ps(p->scale + c / 16 * PANEL_ROWS, half_ue4m3(byte));
            for (size_t i = 0; i < 2; i++) {
                __m512i q = v[2 * j + i];
                panel_store(p, c + 4 * i, fp4_values(_mm512_and_si512(q, nibble)));
                panel_store(p, c + 8 + 4 * i,
                            fp4_values(_mm512_and_si512(_mm512_srli_epi16(q, 4), nibble)));
            }
        }
    }
}

static const struct panel_form form_min = {
    .block_len = 32, .group = 32, .act_block = 32, .float_mins = true};
static const struct panel_form form_q8_0 = {
    .block_len = 32, .group = 32, .act_block = 32, .offset = 128};
static const struct panel_form form_q4_0 = {
    .block_len = 32, .group = 32, .act_block = 32, .offset = 8};
static const struct panel_form form_q5_0 = {
    .block_len = 32, .group = 32, .act_block = 32, .offset = 16};
static const struct panel_form form_nvfp4 = {
    .block_len = 64, .group = 16, .act_block = 32, .offset = NIBBLE_OFFSET};
static const struct panel_form form_iq4_xs = {
    .block_len = 256, .group = 32, .act_block = 256, .offset = 128};

void gemm_q8_0_q8_32__avx512_panel(const struct assay_cpu_args *a) {
    panel_gemm(form_q8_0, unpack_q8_0, sizeof(struct assay_block_q8_0), a);
}

void gemm_q4_0_q8_32__avx512_panel(const struct assay_cpu_args *a) {
    panel_gemm(form_q4_0, unpack_q4_0, sizeof(struct assay_block_q4_0), a);
}

void gemm_q4_1_q8_32__avx512_panel(const struct assay_cpu_args *a) {
    panel_gemm(form_min, unpack_q4_1, sizeof(struct assay_block_q4_1), a);
}

void gemm_q5_1_q8_32__avx512_panel(const struct assay_cpu_args *a) {
    panel_gemm(form_min, unpack_q5_1, sizeof(struct assay_block_q5_1), a);
}

void gemm_q5_0_q8_32__avx512_panel(const struct assay_cpu_args *a) {
    panel_gemm(form_q5_0, unpack_q5_0, sizeof(struct assay_block_q5_0), a);
}

/* Codebooks plus 128 are unsigned: the same form as Q8_0. */
void gemm_iq4_nl_q8_32__avx512_panel(const struct assay_cpu_args *a) {
    panel_gemm(form_q8_0, unpack_iq4_nl, sizeof(struct assay_block_iq4_nl), a);
}

void gemm_mxfp4_q8_32__avx512_panel(const struct assay_cpu_args *a) {
    panel_gemm(form_q8_0, unpack_mxfp4, sizeof(struct assay_block_mxfp4), a);
}

void gemm_nvfp4_q8_32__avx512_panel(const struct assay_cpu_args *a) {
    panel_gemm(form_nvfp4, unpack_nvfp4, sizeof(struct assay_block_nvfp4), a);
}

void gemm_iq4_xs_q8_256__avx512_panel(const struct assay_cpu_args *a) {
    panel_gemm(form_iq4_xs, unpack_iq4_xs, sizeof(struct assay_block_iq4_xs), a);
}
