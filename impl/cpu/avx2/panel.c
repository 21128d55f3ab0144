#include "panel.h"

#include <string.h>

#include "simd.h"

/* Upper bounds over all ops, per weight of a row: a super-block of Q2_K takes 2048 + 512 + 256 + 64
 * bytes per 256, a block of Q5_1 320 bytes per 32, so 11.25 bytes for eight rows; aux takes at most
 * one word per 8. */
static size_t panel_bytes(void) { return (size_t)PANEL_K * 45 / 4; }
static size_t aux_words(size_t k) { return (k + 255) / 256 * 32; }

size_t assay_avx2_panel_scratch(size_t k, size_t m) {
    return 2 * panel_bytes() + m * PANEL_PAIR * sizeof(float) + m * aux_words(k) * sizeof(int32_t);
}

static void prepare_all(const struct panel_ops *ops, const struct assay_act *act, size_t units,
                        int32_t *aux, size_t aux_stride) {
    for (size_t i = 0; i < act->m; i++)
        for (size_t u = 0; u < units; u++)
            ops->prepare(act->q + i * act->q_stride + u * ops->unit_k,
                         act->sums + i * act->sums_stride + u * ops->unit_k / 16,
                         aux + i * aux_stride + u * ops->unit_aux);
}

/* Stores the first n <= 16 columns of acc[m][16] to y. */
static void store_columns(const float *acc, size_t m, size_t n, float *y, size_t ldy) {
    for (size_t i = 0; i < m; i++)
        memcpy(y + i * ldy, acc + i * PANEL_PAIR, n * sizeof *y);
}

void assay_avx2_panel_gemm(const struct panel_ops *ops, const struct assay_cpu_args *a) {
    const struct assay_act *act = a->act;
    size_t units = a->k / ops->unit_k, chunk = PANEL_K / ops->unit_k;
    uint8_t *panel = a->scratch;
    float *acc = (float *)(panel + 2 * panel_bytes());
    int32_t *aux = (int32_t *)(acc + act->m * PANEL_PAIR);
    size_t aux_stride = aux_words(a->k);
    if (ops->unit_aux)
        prepare_all(ops, act, units, aux, aux_stride);

    for (size_t j = 0; j < a->n; j += PANEL_PAIR) {
        size_t n = a->n - j < PANEL_PAIR ? a->n - j : PANEL_PAIR;
        memset(acc, 0, act->m * PANEL_PAIR * sizeof *acc);
        for (size_t u0 = 0; u0 < units; u0 += chunk) {
            size_t nu = units - u0 < chunk ? units - u0 : chunk;
            struct panel_tile t = {.panel = panel,
                                   .panel_stride = nu * ops->unit_bytes,
                                   .units = nu,
                                   .q_stride = act->q_stride,
                                   .d_stride = act->d_stride,
                                   .aux_stride = aux_stride};
            for (size_t u = 0; u < nu; u++) {
                size_t at = (u0 + u) / ops->block_units * ops->block_bytes;
                for (size_t half = 0; half < 2; half++) {
                    const uint8_t *block[PANEL_ROWS];
                    for (size_t r = 0; r < PANEL_ROWS; r++) {
                        /* A short panel repeats the last row; its columns are not stored. */
                        size_t row = half * PANEL_ROWS + r;
                        row = j + (row < n ? row : n - 1);
                        block[r] = a->w + row * a->row_bytes + at;
                    }
                    ops->pack(block, (u0 + u) % ops->block_units,
                              panel + half * t.panel_stride + u * ops->unit_bytes);
                }
            }
            for (size_t i = 0; i < act->m; i += TILE_ROWS) {
                t.q = act->q + i * act->q_stride + u0 * ops->unit_k;
                t.d = act->d + i * act->d_stride + u0;
                t.aux = aux + i * aux_stride + u0 * ops->unit_aux;
                t.acc = acc + i * PANEL_PAIR;
                ops->tile(&t, act->m - i < TILE_ROWS ? act->m - i : TILE_ROWS);
            }
        }
        store_columns(acc, act->m, n, a->y + j, a->ldy);
    }
}
