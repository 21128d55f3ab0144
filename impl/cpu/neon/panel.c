#include "panel.h"

#include <string.h>

/* Upper bounds over all forms. Eight rows take 2752 bytes per 256 weights in Q6_K; a row of
 * activations 384 per 256 in Q4_1, and a tile counts as four rows. */
enum { UNIT_BYTES_PER_256 = 2752, ACT_BYTES_PER_256 = 384 };

static size_t strip_bytes(void) { return (size_t)STRIP * (PANEL_K / 256) * UNIT_BYTES_PER_256; }
static size_t padded_rows(size_t m) { return (m + PANEL_MR - 1) / PANEL_MR * PANEL_MR; }

size_t assay_neon_panel_scratch(size_t k, size_t m) {
    size_t per_row = (k + 255) / 256 * ACT_BYTES_PER_256 + STRIP * PANEL_ROWS * sizeof(float);
    return strip_bytes() + padded_rows(m) * per_row;
}

/* `size` bytes of a row to their place among those of four rows. */
static void interleave(const void *row, size_t size, size_t step, size_t r, uint8_t *out) {
    for (size_t at = 0; at < size; at += step)
        memcpy(out + at * PANEL_MR + r * step, (const char *)row + at, step);
}

static void store_twice(float v, size_t r, uint8_t *out) {
    const float two[2] = {v, v};
    memcpy(out + r * sizeof two, two, sizeof two);
}

/* Row i of the activations as row r of a tile's unit u. */
static void pack_act_row(const struct panel_ops *ops, const struct assay_act *act, size_t i,
                         size_t u, size_t r, uint8_t *out) {
    const struct panel_form *f = ops->form;
    const int16_t *sums = act->sums + i * act->sums_stride + u * f->unit_k / 16;
    const int8_t *q = act->q + i * act->q_stride + u * f->unit_k;
    /* Constant sizes, so that the copies are single instructions. */
    if (ops->act_step == 16)
        interleave(q, f->unit_k, 16, r, out);
    else
        interleave(q, f->unit_k, 8, r, out);
    if (f->mins) {
        int8_t half[2 * 16];
        size_t each = 16 / (size_t)f->mins; /* sums of 16 for one min */
        for (size_t g = 0; g < (size_t)f->mins; g++) {
            int s = sums[g * each] + (each == 2 ? sums[g * each + 1] : 0);
            int h = (s + 64) >> 7;
            half[g] = (int8_t)h;
            half[(size_t)f->mins + g] = (int8_t)(s - 128 * h);
        }
        interleave(half, 2 * (size_t)f->mins, ops->act_step, r, out + act_halves_at(f));
    }
    store_twice(act->d[i * act->d_stride + u], r, out + act_d_at(f));
    if (f->float_mins)
        store_twice((float)(sums[0] + sums[1]), r, out + act_sums_at(f));
}

static void pack_act(const struct panel_ops *ops, const struct assay_act *act, size_t units,
                     uint8_t *out) {
    size_t bytes = act_bytes(ops->form);
    for (size_t i0 = 0; i0 < act->m; i0 += PANEL_MR)
        for (size_t u = 0; u < units; u++, out += bytes) {
            if (act->m - i0 < PANEL_MR)
                memset(out, 0, bytes);
            for (size_t r = 0; r < PANEL_MR && i0 + r < act->m; r++)
                pack_act_row(ops, act, i0 + r, u, r, out);
        }
}

/* Units u0…u0+nu-1 of rows j…j+7; past the end of W its last row is repeated. */
static void pack_panel(const struct panel_ops *ops, const struct assay_cpu_args *a, size_t j,
                       size_t u0, size_t nu, uint8_t *out) {
    const uint8_t *block[PANEL_ROWS];
    for (size_t r = 0; r < PANEL_ROWS; r++)
        block[r] = a->w + (j + r < a->n ? j + r : a->n - 1) * a->row_bytes + u0 * ops->block_bytes;
    for (size_t u = 0; u < nu; u++) {
        ops->pack(block, out + u * unit_bytes(ops->form));
        for (size_t r = 0; r < PANEL_ROWS; r++)
            block[r] += ops->block_bytes;
    }
}

/* acc: [tile][panel][4][8], to the columns of y that exist. */
static void store_strip(const float *acc, size_t panels, const struct assay_cpu_args *a, size_t j) {
    for (size_t i = 0; i < a->act->m; i++)
        for (size_t p = 0; p < panels; p++) {
            size_t at = j + p * PANEL_ROWS, n = a->n - at < PANEL_ROWS ? a->n - at : PANEL_ROWS;
            memcpy(a->y + i * a->ldy + at,
                   acc + ((i / PANEL_MR * panels + p) * PANEL_MR + i % PANEL_MR) * PANEL_ROWS,
                   n * sizeof(float));
        }
}

void assay_neon_panel_gemm(const struct panel_ops *ops, const struct assay_cpu_args *a) {
    size_t m = a->act->m, unit_k = ops->form->unit_k, units = a->k / unit_k;
    size_t w_bytes = unit_bytes(ops->form), x_bytes = act_bytes(ops->form);
    const size_t chunk = PANEL_K / unit_k;
    uint8_t *strip = a->scratch;
    float *acc = (float *)(void *)(strip + strip_bytes());
    uint8_t *x = (uint8_t *)(acc + padded_rows(m) * STRIP * PANEL_ROWS);
    pack_act(ops, a->act, units, x);

    for (size_t j = 0; j < a->n; j += STRIP * PANEL_ROWS) {
        size_t panels = (a->n - j + PANEL_ROWS - 1) / PANEL_ROWS;
        panels = panels < STRIP ? panels : STRIP;
        memset(acc, 0, padded_rows(m) * panels * PANEL_ROWS * sizeof *acc);
        for (size_t u0 = 0; u0 < units; u0 += chunk) {
            size_t nu = units - u0 < chunk ? units - u0 : chunk;
            for (size_t p = 0; p < panels; p++)
                pack_panel(ops, a, j + p * PANEL_ROWS, u0, nu, strip + p * nu * w_bytes);
            for (size_t i = 0; i < m; i += PANEL_MR)
                for (size_t p = 0; p < panels; p++) {
                    struct panel_tile t = {.w = strip + p * nu * w_bytes,
                                           .x = x + (i / PANEL_MR * units + u0) * x_bytes,
                                           .units = nu,
                                           .acc = acc + (i * panels + p * PANEL_MR) * PANEL_ROWS};
                    ops->tile(&t, m - i < PANEL_MR ? m - i : PANEL_MR);
                }
        }
        store_strip(acc, panels, a, j);
    }
}
