#include "timer.h"

#include <time.h>

/* macOS has CLOCK_MONOTONIC_RAW as well, with the same meaning. */
#ifdef CLOCK_MONOTONIC_RAW
#define CLOCK CLOCK_MONOTONIC_RAW
#else
#define CLOCK CLOCK_MONOTONIC
#endif

static uint64_t read_clock(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t assay_now_ns(void) { return read_clock(CLOCK); }

uint64_t assay_cpu_ns(void) { return read_clock(CLOCK_PROCESS_CPUTIME_ID); }

uint64_t assay_thread_cpu_ns(void) { return read_clock(CLOCK_THREAD_CPUTIME_ID); }

void assay_wait_until_idle(uint64_t limit_ns) {
    const uint64_t start = assay_now_ns();

    for (;;) {
        const struct timespec nap = {.tv_nsec = 200000};
        const uint64_t wall = assay_now_ns(), cpu = assay_cpu_ns();
        uint64_t now;

        nanosleep(&nap, NULL);
        now = assay_now_ns();
        /* A spinner takes a whole core's time; this thread slept and took next to none. */
        if (assay_cpu_ns() - cpu < (now - wall) / 4 || now - start >= limit_ns)
            return;
    }
}
