/* Size arithmetic that can't wrap. */
#ifndef ASSAY_IMPL_SIZE_H
#define ASSAY_IMPL_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True if a · b floats are an object that C can address. */
static inline bool assay_floats_fit(size_t a, size_t b) {
    size_t n;
    return !__builtin_mul_overflow(a, b, &n) && n <= PTRDIFF_MAX / sizeof(float);
}

#endif
