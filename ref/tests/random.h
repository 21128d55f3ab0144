/* Random numbers of the ref tests: splitmix64 (Steele, Lea, Flood, OOPSLA 2014). */
#ifndef ASSAY_REF_TESTS_RANDOM_H
#define ASSAY_REF_TESTS_RANDOM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t random_u64(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline void random_bytes(uint64_t *state, uint8_t *out, size_t n) {
    for (size_t i = 0; i < n; i += 8) {
        uint64_t r = random_u64(state);
        memcpy(out + i, &r, n - i < 8 ? n - i : 8);
    }
}

/* Uniform in [-1, 1), a multiple of 2^-23. */
static inline float random_float(uint64_t *state) {
    return (float)(int32_t)(random_u64(state) >> 40) * 0x1p-23f - 1.0f;
}

#endif
