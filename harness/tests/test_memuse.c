#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "harness/memuse.h"

#define MIB ((uint64_t)1 << 20)

/* Between two exact readings only stdio's buffers and, under a sanitizer, its shadow memory (an
 * eighth of what is touched) come on top. */
#define SLACK(bytes) ((bytes) / 8 + MIB)

static uint8_t *touched(size_t bytes) {
    uint8_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    cr_assert(p != MAP_FAILED);
    for (size_t i = 0; i < bytes; i += 4096)
        p[i] = 1;
    return p;
}

static void expect_rise(const char *what, uint64_t before, uint64_t after, uint64_t bytes) {
    cr_assert(after >= before + bytes && after <= before + bytes + SLACK(bytes),
              "%s rose by %lld bytes, not %llu", what, (long long)(after - before),
              (unsigned long long)bytes);
}

Test(memuse, written_memory_is_anonymous) {
    struct assay_memuse before, after;
    cr_assert(assay_memuse_exact(&before));
    uint8_t *p = touched(64 * MIB);
    cr_assert(assay_memuse_exact(&after));
    expect_rise("anon", before.anon, after.anon, 64 * MIB);
    cr_assert_leq(after.file, before.file + SLACK(0));
    munmap(p, 64 * MIB);
}

Test(memuse, reserved_memory_is_not_resident) {
    struct assay_memuse before, after;
    cr_assert(assay_memuse_exact(&before));
    uint8_t *p = mmap(NULL, 64 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    cr_assert(assay_memuse_exact(&after));
    cr_assert_leq(after.resident, before.resident + SLACK(0));
    munmap(p, 64 * MIB);
}

/* A file of `bytes` zeros, mapped read-only and read through. */
static uint8_t *mapped_file(size_t bytes) {
    char path[] = "/tmp/assay-memuse-XXXXXX";
    int fd = mkstemp(path);
    char block[65536] = {0};

    cr_assert(fd >= 0);
    unlink(path);
    for (size_t done = 0; done < bytes; done += sizeof block)
        cr_assert_eq(write(fd, block, sizeof block), (ssize_t)sizeof block);
    uint8_t *p = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    cr_assert(p != MAP_FAILED);
    close(fd);
    for (size_t i = 0; i < bytes; i += 4096)
        cr_assert_eq(*(volatile uint8_t *)(p + i), 0);
    return p;
}

Test(memuse, a_mapped_file_that_was_read_is_not_anonymous) {
    struct assay_memuse before, after;
    cr_assert(assay_memuse_exact(&before));
    uint8_t *p = mapped_file(32 * MIB);
    cr_assert(assay_memuse_exact(&after));
    /* Where /tmp is memory, its pages count as shared memory. */
    expect_rise("file + shmem", before.file + before.shmem, after.file + after.shmem, 32 * MIB);
    cr_assert_leq(after.anon, before.anon + SLACK(0));
    munmap(p, 32 * MIB);
}

#ifdef __linux__
/* 64 pages a CPU or thread for each of the three counts, as the header says. */
Test(memuse, the_quick_reading_agrees_with_the_exact_one) {
    struct assay_memuse quick, exact;
    uint8_t *p = touched(16 * MIB);
    uint64_t slack = 3 * 64 * (uint64_t)sysconf(_SC_NPROCESSORS_ONLN) * 4096 + SLACK(0);

    cr_assert(assay_memuse_exact(&exact));
    cr_assert(assay_memuse_now(&quick));
    cr_assert_leq(quick.anon, exact.anon + slack);
    cr_assert_leq(exact.anon, quick.anon + slack);
    cr_assert_leq(quick.file, exact.file + slack);
    cr_assert_leq(exact.file, quick.file + slack);
    munmap(p, 16 * MIB);
}

Test(memuse, the_peak_remembers_memory_that_is_gone) {
    struct assay_memuse before, after;
    uint64_t slack = 3 * 64 * (uint64_t)sysconf(_SC_NPROCESSORS_ONLN) * 4096;

    cr_assert(assay_memuse_exact(&before));
    munmap(touched(96 * MIB), 96 * MIB);
    cr_assert(assay_memuse_exact(&after));
    cr_assert_geq(after.peak + slack, before.resident + 96 * MIB);
    cr_assert_lt(after.resident, before.resident + 48 * MIB);
}

Test(memuse, the_available_memory_is_known_and_below_what_is_installed) {
    uint64_t installed = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    cr_assert_gt(assay_memory_available(), 0);
    cr_assert_leq(assay_memory_available(), installed);
}
#endif

#ifdef __linux__
Test(memuse, the_peak_of_a_stretch_is_its_own) {
    struct assay_memuse before, after;
    uint64_t slack = 3 * 64 * (uint64_t)sysconf(_SC_NPROCESSORS_ONLN) * 4096;

    munmap(touched(96 * MIB), 96 * MIB);
    if (!assay_memuse_reset_peak())
        cr_skip_test("the peak can't be reset here");
    cr_assert(assay_memuse_exact(&before));
    munmap(touched(32 * MIB), 32 * MIB);
    cr_assert(assay_memuse_exact(&after));
    cr_assert_geq(after.peak + slack, before.resident + 32 * MIB);
    cr_assert_lt(after.peak, before.resident + 64 * MIB, "the 96 MiB before it are in it");
}

static void put(const char *dir, const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    fputs(text, f);
    fclose(f);
}

Test(memuse, the_tightest_control_group_above_counts) {
    char root[] = "/tmp/assay-cgroup-XXXXXX", a[64], b[64], command[96];

    cr_assert_not_null(mkdtemp(root));
    snprintf(a, sizeof a, "%s/a", root);
    snprintf(b, sizeof b, "%s/a/b", root);
    cr_assert(mkdir(a, 0700) == 0 && mkdir(b, 0700) == 0);
    put(root, "memory.stat", "anon 5\n"); /* the root has no memory.max */
    put(a, "memory.max", "1000\n");
    put(a, "memory.stat", "file 900\nanon 300\n");
    put(b, "memory.max", "max\n");
    put(b, "memory.stat", "anon 200\n");
    cr_expect_eq(assay_cgroup_headroom(root, "/a/b"), 700);
    put(b, "memory.max", "650\n");
    cr_expect_eq(assay_cgroup_headroom(root, "/a/b"), 450);
    cr_expect_eq(assay_cgroup_headroom(root, "/a"), 700);
    cr_expect_eq(assay_cgroup_headroom(root, ""), UINT64_MAX);
    put(b, "memory.stat", "anon 651\n");
    cr_expect_eq(assay_cgroup_headroom(root, "/a/b"), 0);
    snprintf(command, sizeof command, "rm -rf %s", root);
    cr_assert_eq(system(command), 0);
}
#endif

Test(memuse, the_timeline_shows_when_memory_came_and_went) {
    static struct assay_mempoint points[ASSAY_MEMWATCH_POINTS];
    struct assay_memuse before, max;
    const struct timespec while_ = {0, 50 * 1000000};

    cr_assert(assay_memuse_exact(&before));
    struct assay_memwatch *w = assay_memwatch_start();
    cr_assert_not_null(w);
    nanosleep(&while_, NULL);
    uint8_t *p = touched(64 * MIB);
    nanosleep(&while_, NULL);
    munmap(p, 64 * MIB);
    nanosleep(&while_, NULL);
    size_t n = assay_memwatch_points(w, points);
    assay_memwatch_stop(w, &max);
    cr_assert_geq(n, 3);
    uint64_t highest = 0;
    for (size_t i = 0; i < n; i++) {
        cr_assert(i == 0 || points[i].seconds > points[i - 1].seconds);
        highest = points[i].anon > highest ? points[i].anon : highest;
    }
    cr_expect_geq(highest + 2 * MIB, before.anon + 64 * MIB);
    cr_expect_lt(points[0].anon, before.anon + 32 * MIB, "not there yet");
    cr_expect_lt(points[n - 1].anon, before.anon + 32 * MIB, "gone again");
}

Test(memuse, the_watcher_keeps_what_was_there_for_a_while) {
    struct assay_memuse before, max;
    const struct timespec while_ = {0, 100 * 1000000}; /* a hundred looks of the watcher */

    struct assay_memwatch *w = assay_memwatch_start();
    cr_assert_not_null(w);
    cr_assert(assay_memuse_exact(&before));
    uint8_t *p = touched(64 * MIB);
    nanosleep(&while_, NULL);
    munmap(p, 64 * MIB);
    assay_memwatch_stop(w, &max);
    cr_assert_geq(max.anon + 2 * MIB, before.anon + 64 * MIB);
}
