/* xoshiro256++ and the distributions drawn from it. Only IEEE operations that are exact or
 * correctly rounded are used (no libm log or cos), and no statement both multiplies and adds, so
 * that neither the C library nor a fused multiply-add changes a value. */
#include "rng.h"

#include <math.h>
#include <string.h>

static uint64_t rotl(uint64_t x, int k) { return x << k | x >> (64 - k); }

static uint64_t splitmix64(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

void assay_rng_seed(struct assay_rng *r, uint64_t seed) {
    for (int i = 0; i < 4; i++)
        r->s[i] = splitmix64(&seed);
}

uint64_t assay_rng_u64(struct assay_rng *r) {
    uint64_t *s = r->s;
    uint64_t result = rotl(s[0] + s[3], 23) + s[0];
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint32_t assay_rng_below(struct assay_rng *r, uint32_t n) {
    /* Lemire's multiply-shift; a low half below 2^32 mod n would make some results likelier. */
    uint32_t reject = (0u - n) % n;
    for (;;) {
        uint64_t m = (assay_rng_u64(r) >> 32) * n;
        if ((uint32_t)m >= reject)
            return (uint32_t)(m >> 32);
    }
}

double assay_rng_unit(struct assay_rng *r) { return (double)(assay_rng_u64(r) >> 11) * 0x1p-53; }

/* Natural logarithm of a normal x, to a few ulp: x = m·2^e with m in [√½, √2), and
 * ln m = 2·artanh(s), s = (m-1)/(m+1), whose series in s² <= 0.0295 needs 10 terms. */
static double portable_log(double x) {
    static const double odd_reciprocals[10] = {1.0 / 19, 1.0 / 17, 1.0 / 15, 1.0 / 13, 1.0 / 11,
                                               1.0 / 9,  1.0 / 7,  1.0 / 5,  1.0 / 3,  1.0};
    const double ln2 = 0x1.62e42fefa39efp-1;
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    /* Adding 1 - √½ in the bits moves the binade's border from 1 to √½. */
    bits += UINT64_C(0x3ff0000000000000) - UINT64_C(0x3fe6a09e667f3bcd);
    int e = (int)(bits >> 52) - 1023;
    bits = (bits & UINT64_C(0xfffffffffffff)) + UINT64_C(0x3fe6a09e667f3bcd);
    double m;
    memcpy(&m, &bits, sizeof m);
    double s = (m - 1) / (m + 1);
    double s2 = s * s;
    double sum = 0;
    for (int i = 0; i < 10; i++) {
        sum *= s2;
        sum += odd_reciprocals[i];
    }
    double mantissa_part = 2 * s * sum;
    double exponent_part = e * ln2;
    return exponent_part + mantissa_part;
}

double assay_rng_normal(struct assay_rng *r) {
    /* Marsaglia's polar method; the second value of the pair is dropped to keep the state small. */
    for (;;) {
        double u = 2 * assay_rng_unit(r);
        double v = 2 * assay_rng_unit(r);
        u -= 1;
        v -= 1;
        double u2 = u * u;
        double v2 = v * v;
        double q = u2 + v2;
        if (q > 0 && q < 1)
            return u * sqrt(-2 * portable_log(q) / q);
    }
}

double assay_rng_student(struct assay_rng *r, int nu) {
    double z = assay_rng_normal(r);
    double chi2 = 0;
    for (int i = 0; i < nu / 2; i++) { /* two squared normals are an exponential of mean 2 */
        double u = 1 - assay_rng_unit(r);
        double two = -2 * portable_log(u);
        chi2 += two;
    }
    if (nu % 2 == 1) {
        double n = assay_rng_normal(r);
        double n2 = n * n;
        chi2 += n2;
    }
    return z / sqrt(chi2 / nu);
}

static void store_le64(uint8_t *p, uint64_t v) {
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

void assay_rng_bytes(struct assay_rng *r, void *buf, size_t n) {
    uint8_t *p = buf;
    struct assay_rng local = *r; /* stays in registers: stores through p cannot alias it */
    for (; n >= 8; n -= 8, p += 8)
        store_le64(p, assay_rng_u64(&local));
    if (n > 0) {
        uint8_t last[8];
        store_le64(last, assay_rng_u64(&local));
        for (size_t i = 0; i < n; i++)
            p[i] = last[i];
    }
    *r = local;
}
