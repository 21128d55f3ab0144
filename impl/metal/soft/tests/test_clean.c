/* Right kernels give the right sums in both modes, whatever the order of threads, and nothing is
 * found. */
#include <criterion/criterion.h>

#include "soft_test.h"

static const char *const kernels[] = {"tree",       "simd_tree", "shuffles", "by_device",
                                      "by_atomics", "two_tiles", "matrices", "vectors"};

static void run_all(enum assay_soft_mode mode, uint64_t seeds, unsigned workers) {
    struct assay_soft_library *lib = soft_test_library("clean.metal", mode);
    if (lib == NULL)
        return;
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        for (uint64_t seed = 0; seed < seeds; seed++) {
            static struct soft_setup s;
            char err[2048] = "";
            soft_test_setup(&s, lib, kernels[i]);
            s.d.seed = seed;
            s.d.workers = workers;
            cr_assert(assay_soft_run(&s.d, err, sizeof err), "seed %d: %s", (int)seed, err);
            for (int k = 0; k < SOFT_N; k++) {
                /* Σ of 64 whole numbers from 64·group on: exact in float, in any order. */
                float want = (float)(64 * 64 * (k / 64) + 63 * 32);
                cr_assert(s.y[k] == want, "%s, seed %d: y[%d] = %g, not %g", kernels[i], (int)seed,
                          k, (double)s.y[k], (double)want);
            }
        }
    assay_soft_library_free(lib);
}

Test(soft_clean, fast_mode_over_seeds_and_workers) {
    run_all(ASSAY_SOFT_FAST, 32, 1);
    run_all(ASSAY_SOFT_FAST, 8, 3);
}

Test(soft_clean, checked_mode_finds_nothing_over_seeds) { run_all(ASSAY_SOFT_CHECKED, 16, 1); }

Test(soft_clean, function_constants_are_set_per_dispatch) {
    struct assay_soft_library *lib = soft_test_library("clean.metal", ASSAY_SOFT_FAST);
    if (lib == NULL)
        return;
    for (unsigned shift = 0; shift < 4; shift++) {
        static struct soft_setup s;
        char err[2048] = "";
        soft_test_setup(&s, lib, "vectors");
        s.d.constants[0] = shift;
        s.d.constants[1] = 1;
        cr_assert(assay_soft_run(&s.d, err, sizeof err), "%s", err);
        cr_assert(s.y[0] == (float)(2016 + shift), "%g", (double)s.y[0]);
    }
    static struct soft_setup s;
    char err[2048] = "";
    soft_test_setup(&s, lib, "vectors");
    s.d.constant_set[0] = false;
    cr_assert(!assay_soft_run(&s.d, err, sizeof err));
    assay_soft_library_free(lib);
}
