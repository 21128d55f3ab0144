/* Backend "transient-f16": each product dequantises the whole matrix into an fp16 buffer that lives
 * until the product is done. Small at rest, but its peak holds a matrix more, and every call pays
 * for the decoding. */
#include <stdlib.h>
#include <sys/mman.h>

#include "impl/backend.h"
#include "impl/blas.h"
#include "impl/f16_gemm.h"

/* Pages of its own, not the heap: what is freed must really leave the process. */
static void *pages_new(size_t bytes) {
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static enum assay_status gemm(struct assay_ctx *ctx, const struct assay_store *s, const float *x,
                              size_t m, float *y, size_t ldy, struct assay_error *err) {
    size_t bytes;
    if (!assay_blas_fits(m, s->rows, s->in, ldy) ||
        __builtin_mul_overflow(s->rows * s->in, sizeof(uint16_t), &bytes))
        return assay_fail(err, ASSAY_EOVERFLOW,
                          "transient-f16: %zu x %zu weights, m %zu or ldy %zu is beyond OpenBLAS's "
                          "integers",
                          s->rows, s->in, m, ldy);
    float *scratch = assay_f16_gemm_scratch(s, ctx->threads);
    uint16_t *w = pages_new(bytes);
    enum assay_status status = ASSAY_OK;
    if (!scratch || !w) {
        status = assay_fail(err, ASSAY_ENOMEM,
                            "transient-f16: out of memory for %zu bytes of weights", bytes);
    } else {
        assay_f16_decode(s, ctx->threads, w);
        assay_f16_gemm(s, w, ctx->threads, scratch, x, m, y, ldy);
    }
    if (w)
        munmap(w, bytes);
    free(scratch);
    return status;
}

static const char *kernel(const struct assay_ctx *ctx, const struct assay_type_traits *t,
                          size_t m) {
    (void)ctx;
    (void)t;
    return m == 1 ? "gemv_f16_f32__openblas" : "gemm_f16_f32__openblas";
}

const struct assay_backend assay_backend_transient_f16 = {
    .name = "transient-f16",
    .summary = "dequantise to a transient fp16 buffer in every product",
    .claims = ASSAY_CLAIM_REPEATABLE | ASSAY_CLAIM_THREAD_INVARIANT,
    .available = assay_blas_available,
    .supports = assay_plain_supports,
    .ctx_create = assay_plain_ctx_create,
    .ctx_free = assay_plain_ctx_free,
    .arith = assay_f16_arith,
    .kernel = kernel,
    .store_create = assay_plain_store_create,
    .store_free = assay_plain_store_free,
    .gemm = gemm,
    .rows = assay_plain_rows,
};
