/* The types of the AArch64 kernels, and what their two lists (kernels.c here and in i8mm/) share.
 */
#ifndef ASSAY_IMPL_CPU_NEON_KERNELS_H
#define ASSAY_IMPL_CPU_NEON_KERNELS_H

#include "panel.h"

/* clang-format off */
/* X(ENUM, name, block of activations and exact run, form of the panels) */
#define ASSAY_NEON_TYPES(X)                                                                        \
    X(Q4_0,   q4_0,   32,  form_block)                                                             \
    X(Q4_1,   q4_1,   32,  form_block_m)                                                           \
    X(Q5_0,   q5_0,   32,  form_block)                                                             \
    X(Q5_1,   q5_1,   32,  form_block_m)                                                           \
    X(Q8_0,   q8_0,   32,  form_block)                                                             \
    X(IQ4_NL, iq4_nl, 32,  form_block)                                                             \
    X(Q2_K,   q2_k,   256, form_q2_k)                                                              \
    X(Q3_K,   q3_k,   256, form_q3_k)                                                              \
    X(Q4_K,   q4_k,   256, form_k4)                                                                \
    X(Q5_K,   q5_k,   256, form_k4)                                                                \
    X(Q6_K,   q6_k,   256, form_q6_k)                                                              \
    X(IQ4_XS, iq4_xs, 256, form_iq4_xs)
/* clang-format on */

/* gemv: one or two rows of activations, row by row straight from the blocks.
 * pack4, pack8: a unit of a panel (panel.h), of steps of four and eight k. */
#define ASSAY_DECLARE(ENUM, name, block, form)                                                     \
    void gemm_##name##_q8_##block##__neon_gemv(const struct assay_cpu_args *a);                    \
    void assay_pack4_##name(const uint8_t *const blocks[PANEL_ROWS], uint8_t *unit);               \
    void assay_pack8_##name(const uint8_t *const blocks[PANEL_ROWS], uint8_t *unit);
ASSAY_NEON_TYPES(ASSAY_DECLARE)
#undef ASSAY_DECLARE

/* Defines the panel kernel of a type. */
#define ASSAY_NEON_PANEL(name, block, form, isa, pack_, act_step_)                                 \
    static void gemm_##name##_q8_##block##__##isa##_panel(const struct assay_cpu_args *a) {        \
        static const struct panel_ops ops = {&form, ASSAY_BLOCK_BYTES_##name, act_step_,           \
                                             pack_##name, assay_##isa##_tile_##form};              \
        assay_neon_panel_gemm(&ops, a);                                                            \
    }

/* Its row in the list. */
#define ASSAY_NEON_PANEL_ROW(ENUM, type_name, block, isa_name, ISA, smallest)                      \
    {.name = "gemm_" #type_name "_q8_" #block "__" #isa_name "_panel",                             \
     .type = ASSAY_TYPE_##ENUM,                                                                    \
     .isa = ISA,                                                                                   \
     .act = ASSAY_ACTF_Q8_##block,                                                                 \
     .m_min = (smallest),                                                                          \
     .n_step = STRIP * PANEL_ROWS,                                                                 \
     .exact_run = (block),                                                                         \
     .scratch_bytes = assay_neon_panel_scratch,                                                    \
     .run = gemm_##type_name##_q8_##block##__##isa_name##_panel},

#endif
