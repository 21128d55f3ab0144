#include "half.h"

#include "gemm_quant.h"

static void to_f32_portable(const uint16_t *h, float *f, size_t n) {
    for (size_t i = 0; i < n; i++)
        f[i] = assay_f16_to_f32(h[i]);
}

static void from_f32_portable(const float *f, uint16_t *h, size_t n) {
    for (size_t i = 0; i < n; i++)
        h[i] = assay_f32_to_f16(f[i]);
}

#if defined(__x86_64__)

static bool have_f16c(void) { return assay_isa_runs_here(ASSAY_ISA_AVX2); }

void assay_f16_to_f32_n(const uint16_t *h, float *f, size_t n) {
    (have_f16c() ? assay_f16_to_f32__avx2 : to_f32_portable)(h, f, n);
}

void assay_f32_to_f16_n(const float *f, uint16_t *h, size_t n) {
    (have_f16c() ? assay_f32_to_f16__avx2 : from_f32_portable)(f, h, n);
}

#else

void assay_f16_to_f32_n(const uint16_t *h, float *f, size_t n) { to_f32_portable(h, f, n); }

void assay_f32_to_f16_n(const float *f, uint16_t *h, size_t n) { from_f32_portable(f, h, n); }

#endif
