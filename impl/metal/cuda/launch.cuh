/* Buffers, launches and the choice of kernels for the two programs of this folder. */
#ifndef ASSAY_METAL_CUDA_LAUNCH_CUH
#define ASSAY_METAL_CUDA_LAUNCH_CUH

#include <cuda_runtime.h>

#include <stddef.h>
#include <stdint.h>

#include "impl/metal/choice.h"
#include "impl/metal/cuda/kernels.h"

struct cuda_type {
    const char *name;
    const struct cuda_kernels *kernels;
};

/* The types of this build, from the Makefile: METAL_ON_CUDA_TYPES is X(q4_k) X(q5_k) … */
#define X(name) extern "C" const struct cuda_kernels cuda_kernels_##name;
METAL_ON_CUDA_TYPES
#undef X

static const struct cuda_type cuda_types[] = {
#define X(name) {#name, &cuda_kernels_##name},
    METAL_ON_CUDA_TYPES
#undef X
};
enum { CUDA_TYPES = sizeof cuda_types / sizeof cuda_types[0] };

/* Memory of the GPU, of just the size that is asked for, so that compute-sanitizer sees a kernel
 * overrun it. */
struct device_buffer {
    void *p = nullptr;
    ~device_buffer() { cudaFree(p); }
    cudaError_t alloc(size_t bytes) { return cudaMalloc(&p, bytes); }
};

static inline unsigned ceil_div(size_t a, size_t b) { return (unsigned)((a + b - 1) / b); }

/* y = x·Wᵀ on the GPU, all pointers its own; x16, unscale and w16 as far as the path needs them. */
struct cuda_product {
    const struct cuda_kernels *kernels;
    const void *w;
    const float *x;
    void *x16;
    float *unscale;
    void *w16;
    float *y;
    size_t m, n, k, ldy, row_bytes;
    const struct cuda_kernels *f16; /* for METAL_TRANSIENT */
};

static inline cudaError_t cuda_gemv(const struct cuda_product *p) {
    for (size_t i = 0; i < p->m; i += GEMV8_BATCH) {
        size_t m = p->m - i < GEMV8_BATCH ? p->m - i : GEMV8_BATCH;
        product_args args = {0,           p->row_bytes,  0, (unsigned)m, (unsigned)p->n,
                             (unsigned)p->k, (unsigned)p->ldy, 1};
        const float *x = p->x + i * p->k;
        float *y = p->y + i * p->ldy;
        void *parameters[] = {(void *)&p->w, &x, &y, &args};
        unsigned rows = GEMV_SIMDS * (m == 1 ? GEMV_ROWS : GEMV8_ROWS);
        cudaError_t e = cudaLaunchKernel(m == 1 ? p->kernels->gemv : p->kernels->gemv8,
                                         dim3(ceil_div(p->n, rows)), dim3(GEMV_SIMDS * SIMD_WIDTH),
                                         parameters, 0, 0);
        if (e != cudaSuccess)
            return e;
    }
    return cudaSuccess;
}

static inline cudaError_t cuda_gemm(const struct cuda_product *p, enum metal_path path) {
    decode_args x_rows = {0, 0, (unsigned)p->m, (unsigned)p->k};
    void *round[] = {(void *)&p->x, (void *)&p->x16, (void *)&p->unscale, &x_rows};
    cudaError_t e = cudaLaunchKernel(cuda_round_rows, dim3((unsigned)p->m), dim3(SIMD_WIDTH), round,
                                     0, 0);
    const struct cuda_kernels *kernels = p->kernels;
    const void *w = p->w;
    size_t row_bytes = p->row_bytes;
    if (e == cudaSuccess && path == METAL_TRANSIENT) {
        decode_args rows = {0, row_bytes, (unsigned)p->n, (unsigned)p->k};
        void *decode[] = {(void *)&p->w, (void *)&p->w16, &rows};
        e = cudaLaunchKernel(kernels->dequant,
                             dim3((unsigned)p->n, ceil_div(p->k, EACH_THREADS * CHUNK)),
                             dim3(EACH_THREADS), decode, 0, 0);
        kernels = p->f16;
        w = p->w16;
        row_bytes = p->k * 2;
    }
    if (e != cudaSuccess)
        return e;
    product_args args = {0,           row_bytes,      0, (unsigned)p->m, (unsigned)p->n,
                         (unsigned)p->k, (unsigned)p->ldy, 1};
    void *product[] = {&w, (void *)&p->x16, (void *)&p->unscale, (void *)&p->y, &args};
    return cudaLaunchKernel(kernels->gemm, dim3(ceil_div(p->n, GEMM_N), ceil_div(p->m, GEMM_M)),
                            dim3(GEMM_THREADS), product, 0, 0);
}

#endif
