/* What the tests of the software device share: 256 floats in, 256 out, 4 threadgroups of 64. */
#ifndef ASSAY_IMPL_METAL_SOFT_TESTS_SOFT_TEST_H
#define ASSAY_IMPL_METAL_SOFT_TESTS_SOFT_TEST_H

#include "impl/metal/soft/soft.h"

enum { SOFT_N = 256, SOFT_GROUP = 64 };

struct soft_setup {
    float x[SOFT_N];
    char gap_x[4096]; /* what runs over the end is no other buffer */
    float y[SOFT_N];
    char gap_y[4096];
    uint32_t n;
    struct assay_soft_dispatch d;
};

/* False, after saying SKIP and why, where no kernels can be compiled; sets the cache otherwise. */
bool soft_test_can_compile(const char *what);

/* The library of a .metal file beside the tests; NULL, after saying SKIP, where none can be
 * compiled. */
struct assay_soft_library *soft_test_library(const char *file, enum assay_soft_mode mode);

/* A dispatch of the kernel with everything bound; x counts 0, 1, 2, … */
void soft_test_setup(struct soft_setup *s, const struct assay_soft_library *lib,
                     const char *kernel);

#endif
