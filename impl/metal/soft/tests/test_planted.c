/* Checked mode finds what is wrong, and says where. */
#include <criterion/criterion.h>
#include <string.h>

#include "soft_test.h"

/* What the message must hold. "planted.metal:" and "line" mean that it names the place. */
static const struct {
    const char *kernel, *says, *also;
    uint32_t threads; /* of the grid; 0: all */
} planted[] = {
    {"no_barrier", "uninitialised read", "at planted.metal:24", 0},
    {"device_flag", "race", "threadgroup memory 't'", 0},
    {"threadgroup_flag", "race", "buffer(1) 'y'", 0},
    {"none_flag", "race", "'t'", 0},
    {"simdgroup_only", "uninitialised read", "'t'", 0},
    {"second_tile", "race", "at planted.metal:56", 0},
    {"half_filled", "uninitialised read", "'t'", 0},
    {"unset_variable", "uninitialised read", "'sum'", 0},
    {"read_beyond", "out-of-bounds read of 4 bytes at byte 1024 of buffer(0) 'x'",
     "planted.metal:", 0},
    {"read_before", "out-of-bounds read of 4 bytes at byte -4 of buffer(0) 'x'", "", 0},
    {"write_beyond", "out-of-bounds write", "'y' of 1024 bytes", 0},
    {"threadgroup_beyond", "out-of-bounds write", "threadgroup memory 't' of 256 bytes", 0},
    {"struct_beyond", "out-of-bounds read", "'x'", 0},
    {"shared_counter", "race", "of threadgroup number 0", 0},
    {"overlap", "race", "wrote it at planted.metal:", 0},
    {"half_atomic", "race", "'y'", 0},
    {"some_barrier", "divergence", "threadgroup_barrier", 0},
    {"two_barriers", "divergence", "threadgroup_barrier", 0},
    {"early_return", "thread", "return", 0},
    {"some_lanes", "divergence", "simd_sum", 0},
    {"two_operations", "divergence", "simd_max", 0},
    {"missing_lane", "lane that is not there", "line", 80},
    {"write_const", "read-only buffer(0) 'x'", "planted.metal:", 0},
    {"misaligned", "misaligned read: 16 bytes", "planted.metal:", 0},
    {"table_beyond", "of 'table' of 32 bytes", "planted.metal:", 0},
    {"local_beyond", "array index out of bounds", "planted.metal:", 0},
    {"column_beyond", "array index out of bounds", "planted.metal:", 0},
    {"matrix_unset", "never set", "line", 0},
    {"matrix_no_barrier", "race", "simdgroup 0 reads", 0},
    {"matrix_twice", "race", "simdgroup 1 writes", 0},
    {"matrix_beyond", "out-of-bounds read of 32 bytes", "'x'", 0},
    {"matrix_lanes", "different simdgroup matrix operations", "", 0},
    {"divides_by_zero", "division by zero", "planted.metal:", 0},
    {"shifts_too_far", "shift", "planted.metal:", 0},
    {"too_much", "of 32768 at most", "big", 0},
};

Test(soft_planted, every_mistake_is_found_and_placed) {
    struct assay_soft_library *lib = soft_test_library("planted.metal", ASSAY_SOFT_CHECKED);
    if (lib == NULL)
        return;
    for (size_t i = 0; i < sizeof planted / sizeof *planted; i++)
        for (uint64_t seed = 0; seed < 3; seed++) {
            static struct soft_setup s;
            char err[2048] = "";
            soft_test_setup(&s, lib, planted[i].kernel);
            s.d.seed = seed;
            if (planted[i].threads != 0)
                s.d.threads[0] = planted[i].threads;
            bool ok = assay_soft_run(&s.d, err, sizeof err);
            cr_expect(!ok, "%s, seed %d: nothing found", planted[i].kernel, (int)seed);
            if (ok)
                continue;
            /* With a seed another byte may be the first; what it is stays the same. */
            bool told = strstr(err, planted[i].says) != NULL && strstr(err, planted[i].also);
            cr_expect(told || seed != 0, "%s: %s", planted[i].kernel, err);
        }
    assay_soft_library_free(lib);
}

/* Each changes a dispatch that is right. */
static void unbound(struct soft_setup *s) { s->d.buffers[1].base = NULL; }
static void short_bytes(struct soft_setup *s) { s->d.buffers[2].length = 2; }
static void long_bytes(struct soft_setup *s) { s->d.buffers[2].length = 8; }
static void many_bytes(struct soft_setup *s) {
    s->d.buffers[0].bytes = true, s->d.buffers[0].length = 4100;
}
static void written_bytes(struct soft_setup *s) { s->d.buffers[1].bytes = true; }
static void odd_offset(struct soft_setup *s) { s->d.buffers[0].offset = 2; }
static void far_offset(struct soft_setup *s) { s->d.buffers[0].offset = 1024; }
static void big_group(struct soft_setup *s) { s->d.group[0] = 64, s->d.group[1] = 17; }
static void empty_group(struct soft_setup *s) { s->d.group[2] = 0; }
static void no_threadgroup(struct soft_setup *s) { s->d.threadgroup_bytes[0] = 0; }
static void odd_threadgroup(struct soft_setup *s) { s->d.threadgroup_bytes[0] = 250; }
static void big_threadgroup(struct soft_setup *s) { s->d.threadgroup_bytes[0] = 32784; }

Test(soft_planted, dispatches_that_the_device_refuses) {
    static const struct {
        void (*spoil)(struct soft_setup *s);
        const char *says;
    } rows[] = {
        {unbound, "nothing is bound to buffer(1) 'y'"},
        {short_bytes, "buffer(2) 'a' of 4 bytes is bound to 2 bytes"},
        {long_bytes, "setBytes of 8 bytes to buffer(2) 'a' of 4 bytes"},
        {many_bytes, "4096 at most"},
        {written_bytes, "is writable"},
        {odd_offset, "not a multiple of 4"},
        {far_offset, "offset 1024 of 1024 bytes"},
        {big_group, "1088 threads in a threadgroup, 1024 at most"},
        {empty_group, "in threadgroups of 64x1x0"},
        {no_threadgroup, "has a length of 0"},
        {odd_threadgroup, "not a multiple of 16"},
        {big_threadgroup, "32768 at most"},
    };
    struct assay_soft_library *lib = soft_test_library("planted.metal", ASSAY_SOFT_CHECKED);
    if (lib == NULL)
        return;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        static struct soft_setup s;
        char err[2048] = "";
        soft_test_setup(&s, lib, "right");
        cr_expect(assay_soft_run(&s.d, err, sizeof err), "%s", err);
        rows[i].spoil(&s);
        cr_expect(!assay_soft_run(&s.d, err, sizeof err), "not refused: %s", rows[i].says);
        cr_expect(strstr(err, rows[i].says) != NULL, "%s: %s", rows[i].says, err);
    }
    assay_soft_library_free(lib);
}

/* Fast mode has no shadow memory, but the places where threads meet are the same. */
Test(soft_planted, fast_mode_finds_divergence) {
    static const char *const kernels[] = {"some_barrier", "two_barriers", "early_return",
                                          "some_lanes",   "matrix_unset", "matrix_lanes"};
    struct assay_soft_library *lib = soft_test_library("planted.metal", ASSAY_SOFT_FAST);
    if (lib == NULL)
        return;
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        static struct soft_setup s;
        char err[2048] = "";
        soft_test_setup(&s, lib, kernels[i]);
        s.d.workers = 2;
        cr_expect(!assay_soft_run(&s.d, err, sizeof err), "%s: nothing found", kernels[i]);
    }
    assay_soft_library_free(lib);
}
