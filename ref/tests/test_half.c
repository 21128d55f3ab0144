#include <criterion/criterion.h>

#include <math.h>

#include "ref/half.h"

/* The value of a binary16 pattern from its definition. */
static double fp16_value(unsigned h) {
    int exponent = (int)(h >> 10 & 31);
    double fraction = (double)(h & 0x3ff);
    double magnitude = exponent ? ldexp(1024.0 + fraction, exponent - 25) : ldexp(fraction, -24);
    return h & 0x8000 ? -magnitude : magnitude;
}

Test(half, every_fp16_pattern_has_its_defined_value) {
    for (unsigned h = 0; h < 0x10000; h++) {
        float f = assay_ref_from_fp16((uint16_t)h);
        if ((h & 0x7c00) != 0x7c00) {
            cr_assert_eq((double)f, fp16_value(h), "0x%04x", h);
            cr_assert_eq(signbit(f) != 0, h >> 15, "0x%04x", h);
        } else if (h & 0x3ff) {
            cr_assert(isnan(f), "0x%04x", h);
        } else {
            cr_assert_eq(f, h & 0x8000 ? -INFINITY : INFINITY, "0x%04x", h);
        }
    }
}

Test(half, every_fp16_number_survives_the_round_trip) {
    for (unsigned h = 0; h < 0x10000; h++) {
        uint16_t back = assay_ref_to_fp16(assay_ref_from_fp16((uint16_t)h));
        if ((h & 0x7fff) > 0x7c00)
            cr_assert((back & 0x7fff) > 0x7c00, "NaN 0x%04x became 0x%04x", h, back);
        else
            cr_assert_eq(back, h, "0x%04x became 0x%04x", h, back);
    }
}

/* Between two neighbours: the midpoint goes to the even one, anything else to the nearer. */
Test(half, fp16_rounds_to_nearest_even) {
    for (unsigned h = 0; h < 0x7bff; h++) {
        float middle = (float)((fp16_value(h) + fp16_value(h + 1)) / 2);
        unsigned even = h & 1 ? h + 1 : h;
        cr_assert_eq(assay_ref_to_fp16(middle), even, "above 0x%04x", h);
        cr_assert_eq(assay_ref_to_fp16(nextafterf(middle, 0.0f)), h, "above 0x%04x", h);
        cr_assert_eq(assay_ref_to_fp16(nextafterf(middle, INFINITY)), h + 1, "above 0x%04x", h);
        cr_assert_eq(assay_ref_to_fp16(-middle), even | 0x8000, "below -0x%04x", h);
    }
}

Test(half, fp16_overflows_from_65520) {
    cr_expect_eq(assay_ref_to_fp16(nextafterf(65520.0f, 0.0f)), 0x7bff);
    cr_expect_eq(assay_ref_to_fp16(65520.0f), 0x7c00);
    cr_expect_eq(assay_ref_to_fp16(-3e38f), 0xfc00);
    cr_expect_eq(assay_ref_to_fp16(INFINITY), 0x7c00);
    cr_expect_eq(assay_ref_to_fp16(-0x1p-149f), 0x8000);
}

Test(half, e8m0_is_half_a_power_of_two) {
    for (int e = 0; e < 256; e++)
        cr_assert_eq((double)assay_ref_from_e8m0_half((uint8_t)e), ldexp(1.0, e - 128), "%d", e);
}

Test(half, ue4m3_is_halved_and_has_no_sign) {
    for (int e = 0; e < 256; e++) {
        int exponent = e >> 3 & 15, fraction = e & 7;
        double value = exponent ? ldexp(8 + fraction, exponent - 10) : ldexp(fraction, -9);
        if (e == 0x7f)
            value = 0;
        cr_assert_eq((double)assay_ref_from_ue4m3_half((uint8_t)e), value / 2, "0x%02x", e);
    }
}
