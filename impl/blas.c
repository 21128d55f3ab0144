#include "blas.h"

#include <limits.h>
#include <stdio.h>

#ifdef ASSAY_HAVE_OPENBLAS

#include <cblas.h>

bool assay_blas_available(char *why, size_t n) {
    (void)why;
    (void)n;
    return true;
}

int assay_blas_set_threads(int threads) {
    int before = openblas_get_num_threads();
    if (threads != before)
        openblas_set_num_threads(threads);
    return before;
}

void assay_blas_gemm(const float *x, size_t m, const float *w, size_t n, size_t k, float *y,
                     size_t ldy) {
    blasint rows = (blasint)n, inner = (blasint)k;
    if (m == 1)
        cblas_sgemv(CblasRowMajor, CblasNoTrans, rows, inner, 1.0f, w, inner, x, 1, 0.0f, y, 1);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)m, rows, inner, 1.0f, x,
                    inner, w, inner, 0.0f, y, (blasint)ldy);
}

#else

bool assay_blas_available(char *why, size_t n) {
    snprintf(why, n, "built without OpenBLAS");
    return false;
}

/* Needed to link, never called: context.c makes no context of a backend that is not available. */
int assay_blas_set_threads(int threads) { return threads; }

void assay_blas_gemm(const float *x, size_t m, const float *w, size_t n, size_t k, float *y,
                     size_t ldy) {
    (void)x, (void)m, (void)w, (void)n, (void)k, (void)y, (void)ldy;
}

#endif

/* blasint is 32 bits wide unless OpenBLAS was built otherwise; the smaller limit serves both. */
bool assay_blas_fits(size_t m, size_t n, size_t k, size_t ldy) {
    return m <= INT_MAX && n <= INT_MAX && k <= INT_MAX && ldy <= INT_MAX;
}
