/* OpenBLAS, where this build found it: the products of the eager and transient backends. */
#ifndef ASSAY_IMPL_BLAS_H
#define ASSAY_IMPL_BLAS_H

#include <stdbool.h>
#include <stddef.h>

/* OpenBLAS and not any cblas.h: the thread count is its own call. Define ASSAY_NO_OPENBLAS to build
 * without it. */
#if !defined(ASSAY_NO_OPENBLAS) && __has_include(<openblas_config.h>)
#define ASSAY_HAVE_OPENBLAS 1
#endif

/* The `available` of a backend that needs OpenBLAS. */
bool assay_blas_available(char *why, size_t n);

/* Sets the thread count, which is global to the process, and returns the one before. */
int assay_blas_set_threads(int threads);

/* True if OpenBLAS's integers hold these numbers. */
bool assay_blas_fits(size_t m, size_t n, size_t k, size_t ldy);

/* y[m × n, row stride ldy] = x[m × k] · Wᵀ with W[n × k]; everything fp32 and row-major. */
void assay_blas_gemm(const float *x, size_t m, const float *w, size_t n, size_t k, float *y,
                     size_t ldy);

#endif
