/* Matrix product by panels of eight rows of W, unpacked once and used for every row of activations.
 *
 * A panel is a sequence of units: one super-block of 256, or one block of 32, of eight rows. Codes
 * in it are signed bytes and interleaved by `step` consecutive k: [k/step][8 rows][step]. SDOT
 * takes steps of 4 (a vector is four rows), SMMLA steps of 8 (a vector is two rows), so neither
 * needs horizontal sums. Activations are interleaved the same way in tiles of four rows:
 * [k/16][4][16] for SDOT, which picks four of the 16 bytes by lane, and [k/8][4][8] for SMMLA. A
 * tile product then reads both operands as one stream each.
 *
 * All the sums within a unit are integers and exact. The scales follow in fp32 in the order of the
 * dot products of few rows (superblock.h, block32.h): both give the same bits. */
#ifndef ASSAY_IMPL_CPU_NEON_PANEL_H
#define ASSAY_IMPL_CPU_NEON_PANEL_H

#include "impl/cpu/kernel.h"

enum {
    PANEL_ROWS = 8,
    PANEL_MR = 4,  /* rows of activations in a tile: 8 sums and 8 scaled sums in registers */
    STRIP = 4,     /* panels that share a tile of activations while it is in L1 */
    PANEL_K = 1024 /* unpacked at a time: a strip then takes 44 KiB of an L1 of 64 KiB or more */
};

/* What the units of a type consist of. */
struct panel_form {
    size_t unit_k;   /* 32 or 256 */
    int group;       /* consecutive k whose products are summed before anything else happens */
    bool scales;     /* an integer scale per group and row */
    int mins;        /* integer mins per unit and row (0, 8, 16), to be multiplied with sums */
    bool float_mins; /* an fp32 min per unit and row, added: w = d·code + m */
};

/* ---- A unit of W: codes, scales as int32 [group][8], mins as codes are, d[8], dmin or m[8] -----
 */

static inline size_t unit_scales_at(const struct panel_form *f) { return f->unit_k * PANEL_ROWS; }
static inline size_t unit_mins_at(const struct panel_form *f) {
    return unit_scales_at(f) +
           (f->scales ? f->unit_k / (size_t)f->group * PANEL_ROWS * sizeof(int32_t) : 0);
}
static inline size_t unit_d_at(const struct panel_form *f) {
    return unit_mins_at(f) + (size_t)f->mins * PANEL_ROWS;
}
static inline size_t unit_dmin_at(const struct panel_form *f) {
    return unit_d_at(f) + PANEL_ROWS * sizeof(float);
}
static inline size_t unit_bytes(const struct panel_form *f) {
    return unit_dmin_at(f) + (f->mins || f->float_mins ? PANEL_ROWS * sizeof(float) : 0);
}

/* ---- A unit of four rows of activations: q, halves of sums, d[4], Σq[4] as fp32 ----------------
 * The fp32 numbers stand there twice each, as SMMLA's sums of two by two rows want them.
 *
 * The sums of 16 or 32 activations that the mins multiply have 12 and 13 bits. As 128·h + l with
 * signed bytes h and l they multiply with the same instructions as activations: first all the h,
 * then all the l. */

static inline size_t act_halves_at(const struct panel_form *f) { return f->unit_k * PANEL_MR; }
static inline size_t act_d_at(const struct panel_form *f) {
    return act_halves_at(f) + 2 * (size_t)f->mins * PANEL_MR;
}
static inline size_t act_sums_at(const struct panel_form *f) {
    return act_d_at(f) + 2 * PANEL_MR * sizeof(float);
}
static inline size_t act_bytes(const struct panel_form *f) {
    return act_sums_at(f) + (f->float_mins ? 2 * PANEL_MR * sizeof(float) : 0);
}

/* One tile product: acc[4][8] += units of a panel × the same units of mr rows of activations. */
struct panel_tile {
    const uint8_t *w, *x;
    size_t units;
    float *acc;
};

struct panel_ops {
    const struct panel_form *form;
    size_t block_bytes;
    size_t act_step; /* consecutive k of one row in a tile of activations: 8 or 16 */
    void (*pack)(const uint8_t *const block[PANEL_ROWS], uint8_t *unit);
    void (*tile)(const struct panel_tile *t, size_t mr);
};

size_t assay_neon_panel_scratch(size_t k, size_t m);
void assay_neon_panel_gemm(const struct panel_ops *ops, const struct assay_cpu_args *a);

/* ---- Forms ----------------------------------------------------------------------------------- */

/* Q2_K and Q3_K: codes and scales are so small that their product is a signed byte, and the units
 * hold that (negated: -4·-32 would not fit, 4·-32 does). Groups of 64 without scales then keep
 * chains of dependent sums short. */
#define ASSAY_PANEL_FORMS(X)                                                                       \
    X(form_q2_k, .unit_k = 256, .group = 64, .mins = 16)                                           \
    X(form_q3_k, .unit_k = 256, .group = 64)                                                       \
    X(form_k4, .unit_k = 256, .group = 32, .scales = true, .mins = 8)                              \
    X(form_q6_k, .unit_k = 256, .group = 16, .scales = true)                                       \
    X(form_iq4_xs, .unit_k = 256, .group = 32, .scales = true)                                     \
    X(form_block, .unit_k = 32, .group = 32)                                                       \
    X(form_block_m, .unit_k = 32, .group = 32, .float_mins = true)

/* form_… are constants for templates to resolve; tile_… the product for each, per ISA. */
#define ASSAY_FORM(name, ...)                                                                      \
    static const struct panel_form name __attribute__((unused)) = {__VA_ARGS__};                   \
    void assay_neon_tile_##name(const struct panel_tile *t, size_t mr);                            \
    void assay_i8mm_tile_##name(const struct panel_tile *t, size_t mr);
ASSAY_PANEL_FORMS(ASSAY_FORM)
#undef ASSAY_FORM

#endif
