/* Seeded random numbers, the same on every platform: xoshiro256++ seeded by splitmix64 (Blackman
 * and Vigna, "Scrambled Linear Pseudorandom Number Generators", ACM TOMS 47(4), 2021). */
#ifndef ASSAY_DATASETS_RNG_H
#define ASSAY_DATASETS_RNG_H

#include <stddef.h>
#include <stdint.h>

struct assay_rng {
    uint64_t s[4];
};

void assay_rng_seed(struct assay_rng *r, uint64_t seed);
uint64_t assay_rng_u64(struct assay_rng *r);
uint32_t assay_rng_below(struct assay_rng *r, uint32_t n); /* uniform in [0,n), n >= 1, unbiased */
double assay_rng_unit(struct assay_rng *r);                /* [0,1), 53 bits */
double assay_rng_normal(struct assay_rng *r);              /* N(0,1) */
double assay_rng_student(struct assay_rng *r, int nu);     /* heavy-tailed */
void assay_rng_bytes(struct assay_rng *r, void *buf, size_t n);

#endif
