/* GEMM panels of the types with codes of one or two bits or ternary digits: TQ1_0, TQ2_0, Q2_0 and
 * Q1_0. */
#include "impl/blocks.h"
#include "kernels.h"
#include "panel.h"
#include "ternary.h"

/* One scale for `columns` columns from `at` on. */
ASSAY_INLINE void store_scale(const struct panel *p, size_t at, size_t columns, __m512 d) {
    for (size_t k = at; k < at + columns; k += 32)
        _mm512_store_ps(p->scale + k / 32 * PANEL_ROWS, d);
}

static void unpack_tq2_0(const struct panel *p, const uint8_t *const row[PANEL_ROWS], size_t at,
                         size_t columns) {
    store_scale(p, at, columns, panel_halves(row, offsetof(struct assay_block_tq2_0, d)));
    for (size_t h = 0; h < 2; h++) { /* halves of 128 columns */
        __m512i q[8];
        panel_load(row, offsetof(struct assay_block_tq2_0, qs) + 32 * h, q);
        for (size_t c = 0; c < 4; c++)
            for (size_t j = 0; j < 8; j++)
                panel_store(p, at + 128 * h + 32 * c + 4 * j,
                            _mm512_and_si512(_mm512_srlv_epi32(q[j], _mm512_set1_epi32(2 * (int)c)),
                                             _mm512_set1_epi8(3)));
    }
}

static void unpack_tq1_0(const struct panel *p, const uint8_t *const row[PANEL_ROWS], size_t at,
                         size_t columns) {
    const size_t qs = offsetof(struct assay_block_tq1_0, qs);
    __m512 d = panel_halves(row, offsetof(struct assay_block_tq1_0, d));
    store_scale(p, at, columns, _mm512_mul_ps(d, _mm512_set1_ps(1.0f / TERNARY_UNIT)));
    __m512i first[8], next[4];
    __m512i last = panel_dwords(row, offsetof(struct assay_block_tq1_0, qh));
    panel_load(row, qs, first);
    panel_load16(row, qs + 32, next);
    for (size_t n = 0; n < 5; n++) {
        for (size_t j = 0; j < 8; j++)
            panel_store(p, at + 32 * n + 4 * j, ternary_digit(&first[j]));
        for (size_t j = 0; j < 4; j++)
            panel_store(p, at + 160 + 16 * n + 4 * j, ternary_digit(&next[j]));
        if (n < 4)
            panel_store(p, at + 240 + 4 * n, ternary_digit(&last));
    }
}

static void unpack_q2_0(const struct panel *p, const uint8_t *const row[PANEL_ROWS], size_t at,
                        size_t columns) {
    for (size_t k = 0; k < columns; k += 64) {
        size_t base = k / 64 * sizeof(struct assay_block_q2_0);
        __m512i q[4];
        panel_load16(row, base + offsetof(struct assay_block_q2_0, qs), q);
        store_scale(p, at + k, 64, panel_halves(row, base + offsetof(struct assay_block_q2_0, d)));
        for (size_t j = 0; j < 16; j++) /* a byte has four columns */
            panel_store(
                p, at + k + 4 * j,
                _mm512_and_si512(spread_bits(q[j / 4], 8 * (int)(j % 4), 2), _mm512_set1_epi8(3)));
    }
}

static void unpack_q1_0(const struct panel *p, const uint8_t *const row[PANEL_ROWS], size_t at,
                        size_t columns) {
    for (size_t k = 0; k < columns; k += 128) {
        size_t base = k / 128 * sizeof(struct assay_block_q1_0);
        __m512i q[4];
        panel_load16(row, base + offsetof(struct assay_block_q1_0, qs), q);
        store_scale(p, at + k, 128, panel_halves(row, base + offsetof(struct assay_block_q1_0, d)));
        for (size_t j = 0; j < 32; j++) /* twice the bit: the weights are 2·bit - 1 */
            panel_store(p, at + k + 4 * j,
                        _mm512_and_si512(spread_bits(q[j / 8], 4 * (int)(j % 8) - 1, 1),
                                         _mm512_set1_epi8(2)));
    }
}

#define KERNEL(name, LEN, ACT, OFFSET)                                                             \
    void gemm_##name##_q8_##ACT##__avx512_panel(const struct assay_cpu_args *a) {                  \
        const struct panel_form form = {                                                           \
            .block_len = (LEN), .group = 32, .act_block = (ACT), .offset = (OFFSET)};              \
        panel_gemm(form, unpack_##name, sizeof(struct assay_block_##name), a);                     \
    }

KERNEL(tq1_0, 256, 256, TERNARY_UNIT)
KERNEL(tq2_0, 256, 256, 1)
KERNEL(q2_0, 64, 32, 1)
KERNEL(q1_0, 128, 32, 1)
