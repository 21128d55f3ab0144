/* Contract of the cpu backend's kernels, and the table that lists them.
 *
 * The driver (cpu_backend.c) quantises the activations once per product, splits the rows of W over
 * the threads in multiples of the kernel's n_step, and calls the kernel on each piece. */
#ifndef ASSAY_IMPL_CPU_KERNEL_H
#define ASSAY_IMPL_CPU_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include "impl/gemm_quant.h"

/* Activation formats. The integer ones follow ASSAY_ACT_Q8 of ref/act_quant.h. */
enum assay_act_format {
    ASSAY_ACTF_F32,    /* fp32 as given */
    ASSAY_ACTF_Q8_32,  /* blocks of 32: legacy types, whose own blocks are 32 (or 64) long */
    ASSAY_ACTF_Q8_256, /* blocks of 256: super-block types */
};

/* Activations of one product, structure of arrays, each row contiguous and 64-byte aligned.
 * Strides are in elements. k is padded with zeros to a multiple of 256 in q and sums. */
struct assay_act {
    enum assay_act_format format;
    size_t m, k;
    const float *x; /* m rows, stride k: always present */
    int8_t *q;
    size_t q_stride;
    float *d; /* one scale per block of 32 or 256 */
    size_t d_stride;
    int16_t *sums; /* Σq over every 16 consecutive elements */
    size_t sums_stride;
};

/* One call: rows [0,n) of W from `w`, all m rows of `act`, into y[i*ldy + j]. */
struct assay_cpu_args {
    const struct assay_type_traits *type;
    const uint8_t *w; /* first row of this piece; no alignment */
    size_t row_bytes;
    size_t n;
    size_t k;
    const struct assay_act *act;
    float *y; /* column of this piece's first row */
    size_t ldy;
    void *scratch; /* scratch_bytes(k, m), 64-byte aligned, private to the thread */
};

struct assay_cpu_kernel {
    const char *name; /* gemm_<wtype>_<atype>__<isa>[_<variant>] */
    enum assay_type type;
    enum assay_isa isa;
    enum assay_act_format act;
    size_t m_min, m_max; /* smallest and largest m it takes (m_max 0: unbounded) */
    size_t n_step;       /* preferred multiple of n; any n is correct */
    uint32_t exact_run;  /* products summed exactly (struct assay_arith) */
    size_t (*scratch_bytes)(size_t k, size_t m); /* NULL: none */
    void (*run)(const struct assay_cpu_args *a);
};

/* Every kernel of one ISA folder; the arrays end with a row whose name is NULL. */
extern const struct assay_cpu_kernel assay_kernels_avx2[];
extern const struct assay_cpu_kernel assay_kernels_avx512[];
extern const struct assay_cpu_kernel assay_kernels_neon[];
extern const struct assay_cpu_kernel assay_kernels_i8mm[];

/* For any type, fp32 activations: decodes a tile of a few rows at a time (never more) and
 * multiplies in fp32. The exact variant, and the path of types without an integer kernel. */
void assay_tile_f32_run__scalar(const struct assay_cpu_args *a);
void assay_tile_f32_run__avx2(const struct assay_cpu_args *a);
void assay_tile_f32_run__avx512(const struct assay_cpu_args *a);
void assay_tile_f32_run__neon(const struct assay_cpu_args *a);
size_t assay_tile_f32_scratch(size_t k, size_t m);

/* Quantisers per ISA: x (m rows of k) into the arrays of *a, by the rule of ref/act_quant.h. Rows
 * [m0, m1) only, so that threads share the work. */
typedef void (*assay_act_quantise_fn)(struct assay_act *a, size_t m0, size_t m1);
void assay_act_quantise__scalar(struct assay_act *a, size_t m0, size_t m1);
void assay_act_quantise__avx2(struct assay_act *a, size_t m0, size_t m1);
void assay_act_quantise__avx512(struct assay_act *a, size_t m0, size_t m1);
void assay_act_quantise__neon(struct assay_act *a, size_t m0, size_t m1);

#endif
