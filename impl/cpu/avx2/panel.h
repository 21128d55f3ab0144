/* Matrix product by panels of rows of W, unpacked once and used for every row of activations.
 *
 * Sixteen rows of W are unpacked chunk by chunk along k into two panels of eight rows. A panel is a
 * sequence of units (one super-block, or one block of 32); in a unit the codes are interleaved so
 * that one vector holds four consecutive k of eight rows. A tile product then needs no horizontal
 * sums: its 32-bit lanes are rows of W, and activations come in by four-byte broadcasts. */
#ifndef ASSAY_IMPL_CPU_AVX2_PANEL_H
#define ASSAY_IMPL_CPU_AVX2_PANEL_H

#include "impl/cpu/kernel.h"

enum {
    PANEL_ROWS = 8,
    PANEL_PAIR = 2 * PANEL_ROWS,
    PANEL_K = 1024, /* of a chunk: 16 KiB of codes, which stay in L1 with the activations */
    TILE_ROWS = 4,  /* activation rows a tile product takes at once */
};

/* One tile product: acc[r][0…15] += two panels × mr rows of activations, over `units` units. */
struct panel_tile {
    const uint8_t *panel; /* the second one follows at panel + panel_stride */
    size_t panel_stride;
    size_t units;
    const int8_t *q; /* activations at the chunk's first k */
    size_t q_stride;
    const float *d; /* one scale per unit */
    size_t d_stride;
    const int32_t *aux; /* from prepare() */
    size_t aux_stride;
    float *acc; /* PANEL_PAIR floats a row, contiguous */
};

struct panel_ops {
    size_t unit_k;      /* weights of a row in a unit */
    size_t block_bytes; /* of a block of W, which is block_units units of a row */
    size_t block_units;
    size_t unit_bytes; /* bytes of an unpacked unit, PANEL_ROWS rows */
    size_t unit_aux;   /* 32-bit words of aux per unit and activation row; 0: none */

    /* Unpacks unit `part` of the blocks of eight rows; block[r] may repeat. */
    void (*pack)(const uint8_t *const block[PANEL_ROWS], size_t part, uint8_t *unit);
    /* Derives from one unit of one activation row what the tile product needs of it. */
    void (*prepare)(const int8_t *q, const int16_t *sums, int32_t *aux);
    /* mr = 1 … TILE_ROWS */
    void (*tile)(const struct panel_tile *t, size_t mr);
};

void assay_avx2_panel_gemm(const struct panel_ops *ops, const struct assay_cpu_args *a);

/* Scratch that assay_avx2_panel_gemm needs, for any ops. */
size_t assay_avx2_panel_scratch(size_t k, size_t m);

#endif
