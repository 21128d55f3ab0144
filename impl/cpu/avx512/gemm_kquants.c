/* GEMM panels of the K-quants: unpack steps of Q4_K, Q5_K and Q6_K. */
#include "impl/blocks.h"
#include "kernels.h"
#include "panel.h"

/* Scales and mins of 16 rows from the 6-bit fields of Q4_K and Q5_K (ref/dequant_kquants.c has the
 * layout). */
ASSAY_INLINE void k4_scales(const struct panel *p, const uint8_t *const row[PANEL_ROWS], size_t at,
                            size_t offset_scales) {
    __m512i in[PANEL_ROWS], t[16];
    for (int r = 0; r < PANEL_ROWS; r++) {
        uint32_t u[3];
        memcpy(u, row[r] + offset_scales, sizeof u);
        __m128i bytes = _mm_setr_epi32(
            (int)(u[0] & 0x3f3f3f3f), (int)((u[2] & 0x0f0f0f0f) | (u[0] >> 2 & 0x30303030)),
            (int)(u[1] & 0x3f3f3f3f), (int)((u[2] >> 4 & 0x0f0f0f0f) | (u[1] >> 2 & 0x30303030)));
        in[r] = _mm512_cvtepu8_epi32(bytes);
    }
    __m512 d = panel_halves(row, offsetof(struct assay_block_q4_k, d));
    panel_transpose16(in, t);
    for (size_t g = 0; g < 8; g++)
        _mm512_store_ps(p->scale + (at / 32 + g) * PANEL_ROWS,
                        _mm512_mul_ps(_mm512_cvtepi32_ps(t[g]), d));
    for (size_t g = 0; g < 8; g += 2)
        _mm512_store_si512(p->mins + (at / 64 + g / 2) * PANEL_ROWS,
                           _mm512_or_si512(t[8 + g], _mm512_slli_epi32(t[9 + g], 16)));
    _mm512_store_ps(p->min_scale + at / 256 * PANEL_ROWS,
                    panel_halves(row, offsetof(struct assay_block_q4_k, dmin)));
}

_Static_assert(offsetof(struct assay_block_q4_k, d) == offsetof(struct assay_block_q5_k, d) &&
                   offsetof(struct assay_block_q4_k, dmin) ==
                       offsetof(struct assay_block_q5_k, dmin),
               "k4_scales reads both types");

static void unpack_q4_k(const struct panel *p, const uint8_t *const row[PANEL_ROWS], size_t at,
                        size_t columns) {
    (void)columns;
    const __m512i nibble = _mm512_set1_epi8(0x0f);
    k4_scales(p, row, at, offsetof(struct assay_block_q4_k, scales));
    for (size_t c = 0; c < 4; c++) { /* 32 bytes: sub-blocks 2c (low nibbles) and 2c + 1 (high) */
        __m512i v[8];
        panel_load(row, offsetof(struct assay_block_q4_k, qs) + 32 * c, v);
        for (size_t j = 0; j < 8; j++) {
            panel_store(p, at + 64 * c + 4 * j, _mm512_and_si512(v[j], nibble));
            panel_store(p, at + 64 * c + 32 + 4 * j,
                        _mm512_and_si512(_mm512_srli_epi16(v[j], 4), nibble));
        }
    }
}

static void unpack_q5_k(const struct panel *p, const uint8_t *const row[PANEL_ROWS], size_t at,
                        size_t columns) {
    (void)columns;
    const __m512i nibble = _mm512_set1_epi8(0x0f), bit4 = _mm512_set1_epi8(0x10);
    k4_scales(p, row, at, offsetof(struct assay_block_q5_k, scales));
    __m512i high[8];
    panel_load(row, offsetof(struct assay_block_q5_k, qh), high);
    for (size_t c = 0; c < 4; c++) {
        __m512i v[8];
        panel_load(row, offsetof(struct assay_block_q5_k, qs) + 32 * c, v);
        for (size_t j = 0; j < 8; j++) {
            /* Bit s of qh belongs to sub-block s: rotate it to bit 4 (it stays in its byte). */
            __m512i h0 = _mm512_rorv_epi32(high[j], _mm512_set1_epi32((2 * (int)c + 28) % 32));
            __m512i h1 = _mm512_rorv_epi32(high[j], _mm512_set1_epi32((2 * (int)c + 29) % 32));
            __m512i lo = _mm512_and_si512(v[j], nibble);
            __m512i hi = _mm512_and_si512(_mm512_srli_epi16(v[j], 4), nibble);
            /* lo | (h & bit4) */
            panel_store(p, at + 64 * c + 4 * j, _mm512_ternarylogic_epi32(lo, h0, bit4, 0xf8));
            panel_store(p, at + 64 * c + 32 + 4 * j, _mm512_ternarylogic_epi32(hi, h1, bit4, 0xf8));
        }
    }
}

static void unpack_q6_k(const struct panel *p, const uint8_t *const row[PANEL_ROWS], size_t at,
                        size_t columns) {
    (void)columns;
    const __m512i nibble = _mm512_set1_epi8(0x0f), bits45 = _mm512_set1_epi8(0x30);
    __m512 d = panel_halves(row, offsetof(struct assay_block_q6_k, d));
    __m512i in[PANEL_ROWS], t[16];
    for (int r = 0; r < PANEL_ROWS; r++)
        in[r] = _mm512_cvtepi8_epi32(_mm_loadu_si128(
            (const __m128i *)(const void *)(row[r] + offsetof(struct assay_block_q6_k, scales))));
    panel_transpose16(in, t);
    for (size_t g = 0; g < 16; g++)
        _mm512_store_ps(p->scale + (at / 16 + g) * PANEL_ROWS,
                        _mm512_mul_ps(_mm512_cvtepi32_ps(t[g]), d));
    for (size_t h = 0; h < 2; h++) { /* halves of 128 columns */
        __m512i a[8], b[8], q[8];
        panel_load(row, offsetof(struct assay_block_q6_k, ql) + 64 * h, a);
        panel_load(row, offsetof(struct assay_block_q6_k, ql) + 64 * h + 32, b);
        panel_load(row, offsetof(struct assay_block_q6_k, qh) + 32 * h, q);
        for (size_t j = 0; j < 8; j++) {
            size_t k = at + 128 * h + 4 * j;
            __m512i a_hi = _mm512_and_si512(_mm512_srli_epi16(a[j], 4), nibble);
            __m512i b_hi = _mm512_and_si512(_mm512_srli_epi16(b[j], 4), nibble);
            __m512i a_lo = _mm512_and_si512(a[j], nibble), b_lo = _mm512_and_si512(b[j], nibble);
            panel_store(p, k,
                        _mm512_ternarylogic_epi32(a_lo, _mm512_slli_epi16(q[j], 4), bits45, 0xf8));
            panel_store(p, k + 32,
                        _mm512_ternarylogic_epi32(b_lo, _mm512_slli_epi16(q[j], 2), bits45, 0xf8));
            panel_store(p, k + 64, _mm512_ternarylogic_epi32(a_hi, q[j], bits45, 0xf8));
            panel_store(p, k + 96,
                        _mm512_ternarylogic_epi32(b_hi, _mm512_srli_epi16(q[j], 2), bits45, 0xf8));
        }
    }
}

/* Two bits of each byte, four vectors of 32 columns from each 32 bytes: Q2_K, and the low bits of
 * Q3_K. `high` gives the third bit in place, or NULL. */
ASSAY_INLINE void unpack_crumbs(const struct panel *p, const uint8_t *const row[PANEL_ROWS],
                                size_t offset, size_t at, const __m512i *high) {
    for (int h = 0; h < 2; h++) { /* halves of 128 columns */
        __m512i q[8];
        panel_load(row, offset + 32 * (size_t)h, q);
        for (int c = 0; c < 4; c++)
            for (int j = 0; j < 8; j++) {
                __m512i v = _mm512_and_si512(_mm512_srlv_epi32(q[j], _mm512_set1_epi32(2 * c)),
                                             _mm512_set1_epi8(3));
                if (high) /* bit 4h + c of the byte, rotated to bit 2 */
                    v = _mm512_ternarylogic_epi32(
                        v, _mm512_rorv_epi32(high[j], _mm512_set1_epi32((4 * h + c + 30) % 32)),
                        _mm512_set1_epi8(4), 0xf8);
                panel_store(p, at + (size_t)(128 * h + 32 * c + 4 * j), v);
            }
    }
}

static void unpack_q2_k(const struct panel *p, const uint8_t *const row[PANEL_ROWS], size_t at,
                        size_t columns) {
    (void)columns;
    const __m512i nibble = _mm512_set1_epi32(0x0f);
    __m512 d = panel_halves(row, offsetof(struct assay_block_q2_k, d));
    __m512i in[PANEL_ROWS], t[16];
    for (int r = 0; r < PANEL_ROWS; r++)
        in[r] = _mm512_cvtepu8_epi32(_mm_loadu_si128(
            (const __m128i *)(const void *)(row[r] + offsetof(struct assay_block_q2_k, scales))));
    panel_transpose16(in, t);
    for (size_t g = 0; g < 16; g++)
        _mm512_store_ps(p->scale + (at / 16 + g) * PANEL_ROWS,
                        _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_and_si512(t[g], nibble)), d));
    for (size_t g = 0; g < 16; g += 2)
        _mm512_store_si512(p->mins + (at / 32 + g / 2) * PANEL_ROWS,
                           _mm512_or_si512(_mm512_srli_epi32(t[g], 4),
                                           _mm512_slli_epi32(_mm512_srli_epi32(t[g + 1], 4), 16)));
    _mm512_store_ps(p->min_scale + at / 256 * PANEL_ROWS,
                    panel_halves(row, offsetof(struct assay_block_q2_k, dmin)));
    unpack_crumbs(p, row, offsetof(struct assay_block_q2_k, qs), at, NULL);
}

static void unpack_q3_k(const struct panel *p, const uint8_t *const row[PANEL_ROWS], size_t at,
                        size_t columns) {
    (void)columns;
    __m512 d = panel_halves(row, offsetof(struct assay_block_q3_k, d));
    /* The dwords of scales: two of low nibbles, and one of pairs of high bits. */
    __m512i dword[4], high[8];
    panel_load16(row, offsetof(struct assay_block_q3_k, scales) - 4, dword);
    for (int g = 0; g < 16; g++) {
        __m512i low =
            _mm512_srlv_epi32(dword[1 + g / 4 % 2], _mm512_set1_epi32(8 * (g % 4) + 4 * (g / 8)));
        __m512i top =
            _mm512_rorv_epi32(dword[3], _mm512_set1_epi32((8 * (g % 4) + 2 * (g / 4) + 28) % 32));
        low = _mm512_and_si512(low, _mm512_set1_epi32(15));
        __m512i v =
            _mm512_sub_epi32(or_and(low, top, _mm512_set1_epi32(0x30)), _mm512_set1_epi32(32));
        _mm512_store_ps(p->scale + (at / 16 + (size_t)g) * PANEL_ROWS,
                        _mm512_mul_ps(_mm512_cvtepi32_ps(v), d));
    }
    panel_load(row, offsetof(struct assay_block_q3_k, hmask), high);
    unpack_crumbs(p, row, offsetof(struct assay_block_q3_k, qs), at, high);
}

static const struct panel_form form_q2_k = {
    .block_len = 256, .group = 16, .act_block = 256, .mins = true};
static const struct panel_form form_q3_k = {
    .block_len = 256, .group = 16, .act_block = 256, .offset = 4};
static const struct panel_form form_k4 = {
    .block_len = 256, .group = 32, .act_block = 256, .mins = true};
static const struct panel_form form_q6_k = {
    .block_len = 256, .group = 16, .act_block = 256, .offset = 32};

void gemm_q2_k_q8_256__avx512_panel(const struct assay_cpu_args *a) {
    panel_gemm(form_q2_k, unpack_q2_k, sizeof(struct assay_block_q2_k), a);
}

void gemm_q3_k_q8_256__avx512_panel(const struct assay_cpu_args *a) {
    panel_gemm(form_q3_k, unpack_q3_k, sizeof(struct assay_block_q3_k), a);
}

void gemm_q4_k_q8_256__avx512_panel(const struct assay_cpu_args *a) {
    panel_gemm(form_k4, unpack_q4_k, sizeof(struct assay_block_q4_k), a);
}

void gemm_q5_k_q8_256__avx512_panel(const struct assay_cpu_args *a) {
    panel_gemm(form_k4, unpack_q5_k, sizeof(struct assay_block_q5_k), a);
}

void gemm_q6_k_q8_256__avx512_panel(const struct assay_cpu_args *a) {
    panel_gemm(form_q6_k, unpack_q6_k, sizeof(struct assay_block_q6_k), a);
}
