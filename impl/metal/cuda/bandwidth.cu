/* What part of the GPU's copy bandwidth the GEMV of each type reaches:
 *   bandwidth [N [K]]      (16384 x 8192)
 * The same matrix lies in memory several times, so that no launch finds it in a cache. Weights are
 * zeros: the kernels have no branch that depends on them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "impl/metal/cuda/launch.cuh"

enum { LAUNCHES = 40, ROUNDS = 5 };
static const size_t AT_LEAST = (size_t)2 << 30; /* bytes that the copies span */

static const struct {
    const char *name;
    size_t len, bytes;
} type_sizes[] = {
#define ASSAY_TYPE(ENUM, id, name, len, bytes, dequant, min_terms) {#name, len, bytes},
#include "ref/types.def"
#undef ASSAY_TYPE
};

static void check(cudaError_t e, const char *what) {
    if (e == cudaSuccess)
        return;
    fprintf(stderr, "bandwidth: %s: %s\n", what, cudaGetErrorString(e));
    exit(1);
}

/* Median of ROUNDS times of LAUNCHES calls of run(i), in seconds a call. */
template <typename Run> static double seconds(Run run) {
    float ms[ROUNDS];
    cudaEvent_t start, end;
    check(cudaEventCreate(&start), "event");
    check(cudaEventCreate(&end), "event");
    for (int r = -1; r < ROUNDS; r++) { /* one to warm up */
        cudaEventRecord(start);
        for (int i = 0; i < LAUNCHES; i++)
            check(run(i), "launch");
        cudaEventRecord(end);
        check(cudaEventSynchronize(end), "run");
        float t;
        cudaEventElapsedTime(&t, start, end);
        int at = r;
        for (; at > 0 && ms[at - 1] > t; at--)
            ms[at] = ms[at - 1];
        if (r >= 0)
            ms[at] = t;
    }
    cudaEventDestroy(start);
    cudaEventDestroy(end);
    return ms[ROUNDS / 2] / 1000 / LAUNCHES;
}

int main(int argc, char **argv) {
    size_t n = argc > 1 ? strtoul(argv[1], nullptr, 10) : 16384;
    size_t k = argc > 2 ? strtoul(argv[2], nullptr, 10) : 8192;
    struct cudaDeviceProp gpu;
    check(cudaGetDeviceProperties(&gpu, 0), "device");

    device_buffer from, to, x, y;
    check(from.alloc(AT_LEAST), "alloc");
    check(to.alloc(AT_LEAST), "alloc");
    check(cudaMemset(from.p, 0, AT_LEAST), "memset");
    double copy = seconds([&](int) {
        return cudaMemcpyAsync(to.p, from.p, AT_LEAST, cudaMemcpyDeviceToDevice, 0);
    });
    double peak = 2.0 * AT_LEAST / copy;
    printf("%s, metal-on-cuda gemv, %zu x %zu, m = 1\ncopy (read and write): %.0f GB/s\n", gpu.name,
           n, k, peak / 1e9);
    printf("%-8s %9s %9s %9s\n", "type", "us", "GB/s", "of copy");

    check(x.alloc(k * sizeof(float)), "alloc");
    check(cudaMemset(x.p, 0, k * sizeof(float)), "memset");
    check(y.alloc(n * sizeof(float)), "alloc");
    for (auto &t : type_sizes)
        for (int c = 0; c < CUDA_TYPES; c++) {
            if (strcmp(t.name, cuda_types[c].name) != 0)
                continue;
            size_t row_bytes = k / t.len * t.bytes, matrix = n * row_bytes;
            size_t stride = (matrix + 255) / 256 * 256, copies = AT_LEAST / stride;
            if (copies == 0)
                continue;
            double time = seconds([&](int i) {
                struct cuda_product p = {};
                p.kernels = cuda_types[c].kernels;
                p.w = (const char *)from.p + (size_t)i % copies * stride;
                p.x = (float *)x.p;
                p.y = (float *)y.p;
                p.m = 1, p.n = n, p.k = k, p.ldy = n, p.row_bytes = row_bytes;
                return cuda_gemv(&p);
            });
            printf("%-8s %9.1f %9.0f %8.1f%%\n", t.name, time * 1e6, matrix / time / 1e9,
                   100 * matrix / time / peak);
        }
    return 0;
}
