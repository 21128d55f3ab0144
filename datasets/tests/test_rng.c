#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/rng.h"

Test(rng, gives_the_published_sequence) {
    /* From the authors' xoshiro256plusplus.c, state {1, 2, 3, 4}: the first value is
     * rotl(1 + 4, 23) + 1. */
    struct assay_rng r = {{1, 2, 3, 4}};
    static const uint64_t want[] = {41943041,
                                    58720359,
                                    3588806011781223,
                                    3591011842654386,
                                    9228616714210784205u,
                                    9973669472204895162u};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        cr_assert_eq(assay_rng_u64(&r), want[i]);
}

Test(rng, seeds_with_splitmix64) {
    /* splitmix64 from state 0. */
    struct assay_rng r;
    assay_rng_seed(&r, 0);
    cr_assert_eq(r.s[0], UINT64_C(0xe220a8397b1dcdaf));
    cr_assert_eq(r.s[1], UINT64_C(0x6e789e6aa1b965f4));
    cr_assert_eq(r.s[2], UINT64_C(0x06c45d188009454f));
    cr_assert_eq(r.s[3], UINT64_C(0xf88bb8a8724c81ec));
}

Test(rng, bytes_are_the_words_little_endian) {
    struct assay_rng a, b;
    uint8_t bytes[21];
    assay_rng_seed(&a, 5);
    b = a;
    assay_rng_bytes(&a, bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i += 8) {
        uint64_t v = assay_rng_u64(&b);
        for (size_t j = i; j < i + 8 && j < sizeof bytes; j++)
            cr_assert_eq(bytes[j], (uint8_t)(v >> 8 * (j - i)));
    }
    cr_assert_eq(memcmp(&a, &b, sizeof a), 0);
}

Test(rng, below_is_uniform) {
    struct assay_rng r;
    unsigned count[7] = {0};
    assay_rng_seed(&r, 1);
    for (int i = 0; i < 70000; i++) {
        uint32_t v = assay_rng_below(&r, 7);
        cr_assert(v < 7);
        count[v]++;
    }
    /* Binomial: standard deviation sqrt(70000/7·6/7) = 93; seven counts within 5 of them. */
    for (int i = 0; i < 7; i++)
        cr_assert(count[i] > 10000 - 465 && count[i] < 10000 + 465, "%d: %u", i, count[i]);
    cr_assert_eq(assay_rng_below(&r, 1), 0);
}

Test(rng, values_are_the_same_on_every_platform) {
    struct assay_rng r;
    assay_rng_seed(&r, 42);
    static const double unit[] = {0x1.a0ec9a9e88ecdp-1, 0x1.467905d15dbccp-2, 0x1.f7c0f9f61849dp-1};
    static const double normal[] = {0x1.51a25efe6582fp-1, 0x1.dfa7fb0e60da8p-3,
                                    0x1.de3b76e7d264bp-2, 0x1.72f7688dcce17p-1};
    static const double student[] = {0x1.535c7bb3ff088p-1, 0x1.2e5d705f3008ap+1,
                                     0x1.3ddcaabc85d9fp+1, 0x1.3a180e924a214p-4};
    for (int i = 0; i < 3; i++)
        cr_assert_eq(assay_rng_unit(&r), unit[i]);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(assay_rng_normal(&r), normal[i]);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(assay_rng_student(&r, 3 + i), student[i]);
}

/* n values: mean 0, variance v and fourth moment m4 within 5 standard errors. */
static void check_moments(double (*next)(struct assay_rng *), double v, double m4, double m8) {
    enum { N = 200000 };
    struct assay_rng r;
    double s1 = 0, s2 = 0, s4 = 0;
    assay_rng_seed(&r, 9);
    for (int i = 0; i < N; i++) {
        double x = next(&r), x2 = x * x;
        s1 += x;
        s2 += x2;
        s4 += x2 * x2;
    }
    cr_assert(fabs(s1 / N) < 5 * sqrt(v / N), "mean %g", s1 / N);
    cr_assert(fabs(s2 / N - v) < 5 * sqrt((m4 - v * v) / N), "variance %g", s2 / N);
    cr_assert(fabs(s4 / N - m4) < 5 * sqrt((m8 - m4 * m4) / N), "fourth moment %g", s4 / N);
}

static double student20(struct assay_rng *r) { return assay_rng_student(r, 20); }

Test(rng, normal_has_the_moments_of_a_normal) { check_moments(assay_rng_normal, 1, 3, 105); }

Test(rng, student_has_the_moments_of_student_t) {
    /* nu = 20: E t² = nu/(nu-2), E t⁴ = 3nu²/((nu-2)(nu-4)),
     * E t⁸ = 105nu⁴/((nu-2)(nu-4)(nu-6)(nu-8)). */
    check_moments(student20, 20.0 / 18, 3 * 400.0 / (18 * 16),
                  105 * 160000.0 / (18.0 * 16 * 14 * 12));
}

Test(rng, student_3_has_heavy_tails) {
    struct assay_rng r;
    enum { N = 100000 };
    int beyond = 0;
    assay_rng_seed(&r, 3);
    for (int i = 0; i < N; i++)
        beyond += fabs(assay_rng_student(&r, 3)) > 5.841; /* two-sided 1 % point of t with nu = 3 */
    cr_assert(abs(beyond - N / 100) < 5 * 32, "%d", beyond); /* binomial: sd 31.5 */
}
