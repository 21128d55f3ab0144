/* What the translated sources export to the host part of metal-on-cuda. */
#ifndef ASSAY_METAL_CUDA_KERNELS_H
#define ASSAY_METAL_CUDA_KERNELS_H

/* Addresses for cudaLaunchKernel. */
struct cuda_kernels {
    const void *gemv, *gemv8, *gemv_id, *gemm, *gemm_id, *dequant, *rows;
};

extern "C" const void *const cuda_round_rows;

#endif
