/* metal-on-cuda-every [TYPE…]: every kernel of every type once, in one process, against the reference and
 * its bounds, on shapes with ragged edges. For compute-sanitizer, under which each of the many processes
 * of `assay verify` takes seconds to start, and for the indexed kernels, which the interface of
 * plugins has no call for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vector>

#include "impl/metal/cuda/launch.cuh"

extern "C" {
#include "datasets/generate.h"
#include "ref/bounds.h"
#include "ref/gemm.h"
}

/* Columns of y beyond a multiple of GEMM_N, rows of x beyond one of GEMM_M, and a matrix that begins
 * within its buffer. */
enum { EXPERTS = 3, N = GEMM_N + 6, K = 512, M = GEMM_M + 8, OFFSET = 4, GAP = 3, LDY = N + GAP };
/* Rows of the indexed products: two for each row of x. One expert takes more than a tile. */
enum { SHARE = 2, ROUTED = SHARE * M };

static void check(cudaError_t e, const char *what) {
    if (e == cudaSuccess)
        return;
    fprintf(stderr, "every: %s: %s\n", what, cudaGetErrorString(e));
    exit(1);
}

static void upload(device_buffer *to, const void *from, size_t bytes) {
    check(to->alloc(bytes), "memory of the GPU");
    check(cudaMemcpy(to->p, from, bytes, cudaMemcpyHostToDevice), "copy");
}

enum rounding { EXACT, HALF };
static const struct assay_arith ariths[] = {{ASSAY_WEIGHT_F32, ASSAY_ACT_F32, 0, 1},
                                            {ASSAY_WEIGHT_F16, ASSAY_ACT_F16, 0, 1}};

/* A type's matrices, one below the other, and all products of their rows with those of x. */
struct subject {
    const struct assay_type_traits *type;
    const struct cuda_kernels *kernels, *f16;
    size_t row_bytes;
    std::vector<uint8_t> w;
    std::vector<float> x;
    std::vector<struct assay_ref_elem> reference[2]; /* by enum rounding: M × (EXPERTS·N) */
    device_buffer device_w, device_x, x16, unscale, w16;
    int wrong;
};

static void report(struct subject *s, const char *kernel, const char *what) {
    printf("FAIL %s_%s: %s\n", kernel, s->type->name, what);
    s->wrong++;
}

/* y[m × LDY], kept a gap of GAP columns; row i is of row x_of(i) of x and of expert expert_of(i). */
template <typename XOf, typename ExpertOf>
static void judge(struct subject *s, const char *kernel, enum rounding how, const device_buffer &dy,
                  size_t m, XOf x_of, ExpertOf expert_of) {
    std::vector<float> y(m * LDY);
    char what[160];
    check(cudaDeviceSynchronize(), kernel);
    check(cudaMemcpy(y.data(), dy.p, y.size() * sizeof(float), cudaMemcpyDeviceToHost), "copy");
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < LDY; j++) {
            float got = y[i * LDY + j];
            uint32_t bits;
            memcpy(&bits, &got, sizeof bits);
            if (j >= N) {
                if (bits != 0xffffffffu) {
                    snprintf(what, sizeof what, "writes beyond row %zu of y", i);
                    return report(s, kernel, what);
                }
                continue;
            }
            const struct assay_ref_elem *e =
                &s->reference[how][x_of(i) * (EXPERTS * N) + expert_of(i) * N + j];
            double excess, bound = assay_bound(&ariths[how], s->type, K, e);
            if (!assay_within_bound(e, bound, got, &excess)) {
                snprintf(what, sizeof what, "y[%zu][%zu] is %.9g, not %.9g: %.3g times the bound",
                         i, j, got, e->yq, excess);
                return report(s, kernel, what);
            }
        }
}

static void poisoned(device_buffer *y, size_t m) {
    check(y->alloc(m * LDY * sizeof(float)), "memory of the GPU");
    check(cudaMemset(y->p, 0xff, m * LDY * sizeof(float)), "memset");
}

/* The kernels of plain products, on the last expert's matrix. */
static void plain(struct subject *s, const char *kernel, enum metal_path path, size_t m) {
    struct cuda_product p = {};
    device_buffer y;
    poisoned(&y, m);
    p.kernels = s->kernels;
    p.f16 = s->f16;
    p.w = (const char *)s->device_w.p + OFFSET + (EXPERTS - 1) * N * s->row_bytes;
    p.x = (const float *)s->device_x.p;
    p.x16 = s->x16.p;
    p.unscale = (float *)s->unscale.p;
    p.w16 = s->w16.p;
    p.y = (float *)y.p;
    p.m = m, p.n = N, p.k = K, p.ldy = LDY, p.row_bytes = s->row_bytes;
    check(path == METAL_GEMV ? cuda_gemv(&p) : cuda_gemm(&p, path), kernel);
    judge(s, kernel, path == METAL_GEMV ? EXACT : HALF, y, m, [](size_t i) { return i; },
          [](size_t) { return (size_t)EXPERTS - 1; });
}

/* Row 7 by the last expert, a quarter of the others by the first, the rest by the second. */
static size_t expert_of(size_t row) { return row == 7 ? EXPERTS - 1 : row % 4 == 0 ? 0 : 1; }

static product_args indexed_args(const struct subject *s) {
    product_args args = {OFFSET, s->row_bytes, N * s->row_bytes, 1, N, K, LDY, SHARE};
    return args;
}

static void gemv_id(struct subject *s) {
    product_args args = indexed_args(s);
    std::vector<expert_row> list;
    for (unsigned i = 0; i < ROUTED; i++)
        list.push_back({(unsigned)expert_of(i), i});
    device_buffer y, rows;
    poisoned(&y, ROUTED);
    upload(&rows, list.data(), list.size() * sizeof list[0]);
    void *parameters[] = {&s->device_w.p, &s->device_x.p, &y.p, &args, &rows.p};
    check(cudaLaunchKernel(s->kernels->gemv_id, dim3(ceil_div(N, GEMV_SIMDS * GEMV_ROWS), ROUTED),
                           dim3(GEMV_SIMDS * SIMD_WIDTH), parameters, 0, 0),
          "gemv_id");
    judge(s, "gemv_id", EXACT, y, ROUTED, [](size_t i) { return i / SHARE; }, expert_of);
}

/* After a product by gemm, which has left x in binary16. */
static void gemm_id(struct subject *s) {
    product_args args = indexed_args(s);
    std::vector<expert_tile> tiles;
    std::vector<unsigned> list;
    for (unsigned e = 0; e < EXPERTS; e++)
        for (unsigned i = 0, count = 0; i < ROUTED; i++) {
            if (expert_of(i) != e)
                continue;
            if (count++ % GEMM_M == 0)
                tiles.push_back({e, (unsigned)list.size(), 0});
            tiles.back().count++;
            list.push_back(i);
        }
    device_buffer y, device_tiles, device_list;
    poisoned(&y, ROUTED);
    upload(&device_tiles, tiles.data(), tiles.size() * sizeof tiles[0]);
    upload(&device_list, list.data(), list.size() * sizeof list[0]);
    void *parameters[] = {&s->device_w.p, &s->x16.p,       &s->unscale.p, &y.p,
                          &args,          &device_tiles.p, &device_list.p};
    check(cudaLaunchKernel(s->kernels->gemm_id, dim3(ceil_div(N, GEMM_N), (unsigned)tiles.size()),
                           dim3(GEMM_THREADS), parameters, 0, 0),
          "gemm_id");
    judge(s, "gemm_id", HALF, y, ROUTED, [](size_t i) { return i / SHARE; }, expert_of);
}

/* Row look-up gives the reference's bits. */
static void rows(struct subject *s) {
    static const unsigned ids[] = {N - 1, 0, 17, 17};
    enum { COUNT = sizeof ids / sizeof ids[0] };
    device_buffer numbers, out;
    float expected[K], got[COUNT][K];
    upload(&numbers, ids, sizeof ids);
    check(out.alloc(sizeof got), "memory of the GPU");
    decode_args args = {OFFSET, s->row_bytes, COUNT, K};
    void *parameters[] = {&s->device_w.p, &numbers.p, &out.p, &args};
    check(cudaLaunchKernel(s->kernels->rows, dim3(COUNT, ceil_div(K, EACH_THREADS * CHUNK)),
                           dim3(EACH_THREADS), parameters, 0, 0),
          "rows");
    check(cudaDeviceSynchronize(), "rows");
    check(cudaMemcpy(got, out.p, sizeof got, cudaMemcpyDeviceToHost), "copy");
    for (int i = 0; i < COUNT; i++) {
        assay_dequant_row(s->type, s->w.data() + ids[i] * s->row_bytes, K, expected);
        if (memcmp(got[i], expected, sizeof expected) != 0)
            return report(s, "rows", "not the bits of the reference");
    }
}

static void prepare(struct subject *s) {
    assay_row_bytes(s->type, K, &s->row_bytes);
    s->w.resize(EXPERTS * N * s->row_bytes);
    assay_generate_weights(s->type, ASSAY_WGEN_UNIFORM, 1, EXPERTS * N, K, s->w.data());
    s->x.resize((size_t)M * K);
    assay_generate_acts(ASSAY_AGEN_NORMAL, 2, M, K, s->x.data());
    for (int how = EXACT; how <= HALF; how++) {
        s->reference[how].resize((size_t)M * EXPERTS * N);
        if (assay_ref_gemm(s->type, s->w.data(), s->row_bytes, EXPERTS * N, K, s->x.data(), M,
                           &ariths[how], s->reference[how].data()) != 0) {
            fprintf(stderr, "every: out of memory for the reference\n");
            exit(1);
        }
    }
    std::vector<uint8_t> shifted(OFFSET);
    shifted.insert(shifted.end(), s->w.begin(), s->w.end());
    upload(&s->device_w, shifted.data(), shifted.size());
    upload(&s->device_x, s->x.data(), s->x.size() * sizeof(float));
    check(s->x16.alloc((size_t)M * K * 2), "memory of the GPU");
    check(s->unscale.alloc(M * sizeof(float)), "memory of the GPU");
    check(s->w16.alloc((size_t)N * K * 2), "memory of the GPU");
}

static const struct cuda_kernels *kernels_of(const char *name) {
    for (int i = 0; i < CUDA_TYPES; i++)
        if (strcmp(cuda_types[i].name, name) == 0)
            return cuda_types[i].kernels;
    return nullptr;
}

static bool wanted(const char *name, int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return argc == 1;
}

int main(int argc, char **argv) {
    int wrong = 0, types = 0;
    for (size_t i = 0; i < assay_type_count(); i++) {
        struct subject s = {};
        s.type = assay_type_at(i);
        s.kernels = kernels_of(s.type->name);
        s.f16 = kernels_of("f16");
        if (s.kernels == nullptr || !wanted(s.type->name, argc, argv))
            continue;
        prepare(&s);
        plain(&s, "gemv", METAL_GEMV, 1);
        plain(&s, "gemv8", METAL_GEMV, GEMV8_BATCH - 3);
        plain(&s, "gemm", METAL_GEMM, M);
        gemv_id(&s);
        gemm_id(&s);
        plain(&s, "dequant", METAL_TRANSIENT, M);
        rows(&s);
        wrong += s.wrong;
        types++;
    }
    printf("%d types by 7 kernels: %d wrong\n", types, wrong);
    return wrong > 0 || types == 0;
}
