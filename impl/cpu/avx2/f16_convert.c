/* Conversion of arrays between binary16 and fp32 by F16C. */
#include <immintrin.h>

#include "impl/half.h"

void assay_f16_to_f32__avx2(const uint16_t *h, float *f, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(f + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(h + i))));
    for (; i < n; i++)
        f[i] = _cvtsh_ss(h[i]);
}

void assay_f32_to_f16__avx2(const float *f, uint16_t *h, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(h + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(f + i), _MM_FROUND_TO_NEAREST_INT));
    for (; i < n; i++)
        h[i] = _cvtss_sh(f[i], _MM_FROUND_TO_NEAREST_INT);
}
