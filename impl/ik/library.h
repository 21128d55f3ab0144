/* ik_llama.cpp's ggml, opened at run time. Only exported C functions are used, declared here from
 * what its headers say of them; no struct of its own is read or written but the parameters of
 * ggml_init. */
#ifndef ASSAY_IMPL_IK_LIBRARY_H
#define ASSAY_IMPL_IK_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ggml_context;
struct ggml_tensor;

struct ik_init_params {
    size_t mem_size;
    void *mem_buffer; /* NULL: allocated */
    bool no_alloc;
};

/* ik_llama.cpp's own type numbers, those that GGUF does not have: of activations, and of rows of
 * weights that are interleaved by 4, 8 or 16. */
enum ik_type {
    IK_TYPE_Q8_K = 15,
    IK_TYPE_Q8_2_X4 = 99,
    IK_TYPE_Q8_K32 = 148,
    IK_TYPE_Q4_0_R8 = 202,
    IK_TYPE_Q5_0_R4 = 206,
    IK_TYPE_Q8_0_R8 = 208,
    IK_TYPE_Q2_K_R4 = 210,
    IK_TYPE_Q3_K_R4 = 211,
    IK_TYPE_Q4_K_R4 = 212,
    IK_TYPE_Q5_K_R4 = 213,
    IK_TYPE_Q6_K_R4 = 214,
    IK_TYPE_IQ2_XXS_R4 = 216,
    IK_TYPE_IQ2_XS_R4 = 217,
    IK_TYPE_IQ3_XXS_R4 = 218,
    IK_TYPE_IQ4_NL_R4 = 220,
    IK_TYPE_IQ3_S_R4 = 221,
    IK_TYPE_IQ2_S_R4 = 222,
    IK_TYPE_IQ4_XS_R8 = 223,
    IK_TYPE_MXFP4_R8 = 353,
};

/* Quantises a row of k floats. */
typedef void (*ik_quantise_fn)(const float *x, void *y, int64_t k);

struct assay_ik_library {
    const char *path;

    struct ggml_context *(*init)(struct ik_init_params params);
    void (*free)(struct ggml_context *context);
    size_t (*tensor_overhead)(void);
    struct ggml_tensor *(*new_tensor_2d)(struct ggml_context *context, int type, int64_t columns,
                                         int64_t rows);
    void *(*get_data)(const struct ggml_tensor *tensor);
    size_t (*row_size)(int type, int64_t columns); /* bytes */
    int64_t (*block_length)(int type);

    /* Rows [of W] of nx, rows [of x] of ny, of k columns; strides of a and b in bytes, of y in
     * floats. Thread `thread` of `threads` does its share. False, and nothing is done, if it has no
     * kernel for the pair of types or this k. */
    bool (*mul_mat)(long nx, long ny, long k, int type_a, const void *a, long stride_a, int type_b,
                    const void *b, long stride_b, float *y, long stride_y, int thread, int threads);
    /* The type that repack would make of the tensor; its own if none. */
    int (*repacked_type)(const struct ggml_tensor *tensor);
    void (*repack)(struct ggml_tensor *tensor); /* in place, on threads of its own */

    ik_quantise_fn quantise_q8_2, quantise_q8_k, quantise_q8_k32;
};

/* NULL, with *why set (static storage), if it could not be loaded. Loads at the first call: not to
 * be called by several threads then. */
const struct assay_ik_library *assay_ik_library_get(const char **why);

#endif
