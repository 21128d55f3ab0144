/* As much of the Metal Shading Language in CUDA as impl/metal/kernels/ uses: a warp is a simdgroup. */
#ifndef ASSAY_METAL_CUDA_MSL_CUH
#define ASSAY_METAL_CUDA_MSL_CUH

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "impl/metal/cuda/kernels.h"

typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;
typedef signed char msl_char;
#define char msl_char /* MSL's is signed */

struct msl_uint2 {
    uint x, y;
    __device__ msl_uint2(uint a, uint b) : x(a), y(b) {}
};
struct msl_ulong2 {
    ulong x, y;
    __device__ msl_ulong2(ulong a, ulong b) : x(a), y(b) {}
};
#define uint2  msl_uint2
#define ulong2 msl_ulong2

#define MSL_INLINE static __device__ __forceinline__

enum class mem_flags { mem_threadgroup };
MSL_INLINE void threadgroup_barrier(mem_flags) { __syncthreads(); }

template <typename To, typename From> MSL_INLINE To as_type(From v) {
    static_assert(sizeof(To) == sizeof(From), "as_type of another size");
    To to;
    memcpy(&to, &v, sizeof to);
    return to;
}

MSL_INLINE uint popcount(uint v) { return __popc(v); }

MSL_INLINE float simd_sum(float v) {
    for (int step = 16; step > 0; step /= 2)
        v += __shfl_xor_sync(0xffffffffu, v, step);
    return v;
}

MSL_INLINE uint simd_max(uint v) { return __reduce_max_sync(0xffffffffu, v); }

/* 8 x 8: lane l holds row l/4, columns 2(l%4) and the next. */
template <typename T> struct simdgroup_matrix8x8 {
    T element[2];
};
typedef simdgroup_matrix8x8<half> simdgroup_half8x8;
typedef simdgroup_matrix8x8<float> simdgroup_float8x8;

MSL_INLINE uint matrix_row() { return threadIdx.x % 32 / 4; }
MSL_INLINE uint matrix_column() { return threadIdx.x % 4 * 2; }

template <typename T, int rows, int columns>
MSL_INLINE simdgroup_matrix8x8<T> make_filled_simdgroup_matrix(T v) {
    static_assert(rows == 8 && columns == 8, "matrices are 8 x 8");
    return {{v, v}};
}

template <typename T>
MSL_INLINE void simdgroup_load(simdgroup_matrix8x8<T> &m, const T *from, ulong stride,
                           ulong2 origin = ulong2(0, 0), bool transpose = false) {
    from += origin.y * stride + origin.x;
    for (uint i = 0; i < 2; i++) {
        uint row = matrix_row(), column = matrix_column() + i;
        m.element[i] = transpose ? from[column * stride + row] : from[row * stride + column];
    }
}

template <typename T>
MSL_INLINE void simdgroup_store(const simdgroup_matrix8x8<T> &m, T *to, ulong stride) {
    for (uint i = 0; i < 2; i++)
        to[matrix_row() * stride + matrix_column() + i] = m.element[i];
}

/* d = a·b + c. All lanes of the warp take part. */
MSL_INLINE void simdgroup_multiply_accumulate(simdgroup_float8x8 &d, const simdgroup_half8x8 &a,
                                          const simdgroup_half8x8 &b, const simdgroup_float8x8 &c) {
    float sum[2] = {c.element[0], c.element[1]};
    for (uint k = 0; k < 8; k++) {
        uint from_row = matrix_row() * 4 + k / 2, from_column = k * 4 + matrix_column() / 2;
        float x = float(__shfl_sync(0xffffffffu, a.element[k % 2], from_row));
        for (uint i = 0; i < 2; i++)
            sum[i] = fma(x, float(__shfl_sync(0xffffffffu, b.element[i], from_column)), sum[i]);
    }
    d.element[0] = sum[0];
    d.element[1] = sum[1];
}

/* The host's handle on the kernels of a type. */
#define METAL_ON_CUDA_KERNELS(TYPE)                                                                \
    extern "C" const struct cuda_kernels cuda_kernels_##TYPE = {                                   \
        (const void *)gemv_##TYPE,    (const void *)gemv8_##TYPE,   (const void *)gemv_id_##TYPE,  \
        (const void *)gemm_##TYPE,    (const void *)gemm_id_##TYPE, (const void *)dequant_##TYPE,  \
        (const void *)rows_##TYPE};

/* And on those of common.metal. */
#define METAL_ON_CUDA_COMMON                                                                       \
    extern "C" const void *const cuda_round_rows = (const void *)round_rows;

#endif
