/* metal-on-cuda: the kernels of impl/metal/kernels/ on an NVIDIA GPU, as a plugin of assay. What it
 * shows is that the source is right on parallel hardware, not how Apple's compiler and GPUs treat it,
 * nor how fast they are.
 *
 * METAL_ON_CUDA_PATH=gemv|gemm|transient in the environment forces a path. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "impl/metal/cuda/launch.cuh"
#include "impl/plugin.h"

struct matrix {
    const struct cuda_kernels *kernels;
    const struct cuda_kernels *f16;
    device_buffer w;
    size_t rows, in, row_bytes;
};

static enum metal_path forced = METAL_BY_M;

static int failed(cudaError_t e, const char *what, char *err, size_t err_size) {
    if (e == cudaSuccess)
        return ASSAY_PLUGIN_OK;
    snprintf(err, err_size, "%s: %s", what, cudaGetErrorString(e));
    return e == cudaErrorMemoryAllocation ? ASSAY_PLUGIN_ENOMEM : ASSAY_PLUGIN_EFAILED;
}

static const struct cuda_kernels *kernels_of(const char *name) {
    for (int i = 0; i < CUDA_TYPES; i++)
        if (strcmp(cuda_types[i].name, name) == 0)
            return cuda_types[i].kernels;
    return nullptr;
}

static const struct {
    uint32_t type;
    const char *name;
} type_names[] = {
#define ASSAY_TYPE(ENUM, id, name, len, bytes, dequant, min_terms) {id, #name},
#include "ref/types.def"
#undef ASSAY_TYPE
};

static int create(uint32_t type, const void *bytes, size_t nbytes, size_t rows, size_t in,
                  int threads, void **store, char *err, size_t err_size) {
    (void)threads;
    matrix *w = new matrix;
    for (auto &t : type_names)
        if (t.type == type)
            w->kernels = kernels_of(t.name);
    w->f16 = kernels_of("f16");
    w->rows = rows;
    w->in = in;
    w->row_bytes = nbytes / rows;
    cudaError_t e = w->w.alloc(nbytes);
    if (e == cudaSuccess)
        e = cudaMemcpy(w->w.p, bytes, nbytes, cudaMemcpyHostToDevice);
    if (e != cudaSuccess)
        delete w;
    else
        *store = w;
    return failed(e, "copying the weights", err, err_size);
}

static void destroy(void *store) { delete (matrix *)store; }

static cudaError_t multiply(const matrix *w, const float *x, size_t m, float *y, size_t ldy) {
    enum metal_path path = metal_choose(forced, m);
    device_buffer dx, dy, x16, unscale, w16;
    cudaError_t e = dx.alloc(m * w->in * sizeof(float));
    if (e == cudaSuccess)
        e = dy.alloc(m * w->rows * sizeof(float));
    if (e == cudaSuccess && path != METAL_GEMV)
        e = x16.alloc(m * w->in * 2);
    if (e == cudaSuccess && path != METAL_GEMV)
        e = unscale.alloc(m * sizeof(float));
    if (e == cudaSuccess && path == METAL_TRANSIENT)
        e = w16.alloc(w->rows * w->in * 2);
    if (e == cudaSuccess)
        e = cudaMemcpy(dx.p, x, m * w->in * sizeof(float), cudaMemcpyHostToDevice);
    if (e != cudaSuccess)
        return e;

    struct cuda_product p = {w->kernels, w->w.p,        (float *)dx.p, x16.p, (float *)unscale.p,
                             w16.p,      (float *)dy.p, m,             w->rows, w->in,
                             w->rows,    w->row_bytes,  w->f16};
    e = path == METAL_GEMV ? cuda_gemv(&p) : cuda_gemm(&p, path);
    if (e == cudaSuccess)
        e = cudaDeviceSynchronize();
    if (e == cudaSuccess)
        e = cudaMemcpy2D(y, ldy * sizeof(float), dy.p, w->rows * sizeof(float),
                         w->rows * sizeof(float), m, cudaMemcpyDeviceToHost);
    return e;
}

static int forward(void *store, const float *x, size_t m, float *y, size_t ldy, char *err,
                   size_t err_size) {
    return failed(multiply((const matrix *)store, x, m, y, ldy), "the product", err, err_size);
}

static cudaError_t look_up(const matrix *w, const int64_t *ids, size_t count, float *y) {
    device_buffer numbers, out;
    unsigned *small = (unsigned *)malloc(count * sizeof *small);
    if (small == nullptr)
        return cudaErrorMemoryAllocation;
    for (size_t i = 0; i < count; i++)
        small[i] = (unsigned)ids[i];
    cudaError_t e = numbers.alloc(count * sizeof *small);
    if (e == cudaSuccess)
        e = out.alloc(count * w->in * sizeof(float));
    if (e == cudaSuccess)
        e = cudaMemcpy(numbers.p, small, count * sizeof *small, cudaMemcpyHostToDevice);
    free(small);
    if (e != cudaSuccess)
        return e;
    decode_args args = {0, w->row_bytes, (unsigned)count, (unsigned)w->in};
    void *parameters[] = {(void *)&w->w.p, &numbers.p, &out.p, &args};
    e = cudaLaunchKernel(w->kernels->rows,
                         dim3((unsigned)count, ceil_div(w->in, EACH_THREADS * CHUNK)),
                         dim3(EACH_THREADS), parameters, 0, 0);
    if (e == cudaSuccess)
        e = cudaDeviceSynchronize();
    if (e == cudaSuccess)
        e = cudaMemcpy(y, out.p, count * w->in * sizeof(float), cudaMemcpyDeviceToHost);
    return e;
}

static int rows(void *store, const int64_t *ids, size_t count, float *y, char *err,
                size_t err_size) {
    return failed(look_up((const matrix *)store, ids, count, y), "row look-up", err, err_size);
}

static struct assay_plugin_class classes[2 * CUDA_TYPES];

extern "C" struct assay_plugin assay_plugin_v1 = {
    ASSAY_PLUGIN_MAGIC,
    ASSAY_PLUGIN_ABI,
    sizeof(struct assay_plugin),
    ASSAY_PLUGIN_REPEATABLE | ASSAY_PLUGIN_THREAD_INVARIANT | ASSAY_PLUGIN_SLICE_INVARIANT |
        ASSAY_PLUGIN_IEEE_SPECIALS,
    "metal-on-cuda",
    "assay's Metal kernels, translated to CUDA, on an NVIDIA GPU",
    classes,
    0,
    1,
    create,
    forward,
    destroy,
    rows,
    nullptr,
};

/* The rows of classes[]: what metal_choose makes of small and of large batches. */
__attribute__((constructor)) static void fill_classes(void) {
    const char *path = getenv("METAL_ON_CUDA_PATH");
    if (path != nullptr)
        forced = strcmp(path, "gemv") == 0        ? METAL_GEMV
                 : strcmp(path, "gemm") == 0      ? METAL_GEMM
                 : strcmp(path, "transient") == 0 ? METAL_TRANSIENT
                                                  : METAL_BY_M;
    uint32_t n = 0;
    for (auto &t : type_names) {
        if (kernels_of(t.name) == nullptr)
            continue;
        const struct assay_plugin_class exact = {
            t.type, 0, ASSAY_PLUGIN_WEIGHT_F32, ASSAY_PLUGIN_ACT_F32, 0, 1, {0, 0}};
        struct assay_plugin_class half = {
            t.type, 0, ASSAY_PLUGIN_WEIGHT_F16, ASSAY_PLUGIN_ACT_F16, 0, 1, {0, 0}};
        if (metal_choose(forced, 1) == METAL_GEMV) {
            classes[n++] = exact;
            half.min_m = GEMV8_BATCH + 1;
        }
        if (metal_choose(forced, GEMV8_BATCH + 1) != METAL_GEMV)
            classes[n++] = half;
    }
    assay_plugin_v1.n_classes = n;
}
