/* No plugin of assay: for LD_PRELOAD, so that the gate's counters can be tried on a machine that
 * has none. Where hardware counters are asked for, the kernel's own clock of the task is opened in
 * their place: it counts nanoseconds, by the same calls. With ASSAY_TEST_COUNTERS=none there are
 * none. */
#ifdef __linux__
#include <dlfcn.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

long syscall(long number, ...); /* what this library stands before */

long syscall(long number, ...) {
    long (*next)(long, ...) = NULL;
    void *symbol = dlsym(RTLD_NEXT, "syscall");
    const char *mode = getenv("ASSAY_TEST_COUNTERS");
    long a[6];
    va_list ap;

    memcpy(&next, &symbol, sizeof next);
    va_start(ap, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    if (number == SYS_perf_event_open) {
        struct perf_event_attr attr;
        memcpy(&attr, (void *)a[0],
               sizeof attr); /* NOLINT: an address by the convention of calls */
        if (attr.type == PERF_TYPE_HARDWARE) {
            if (mode != NULL && strcmp(mode, "none") == 0) {
                errno = ENOENT;
                return -1;
            }
            attr.type = PERF_TYPE_SOFTWARE;
            attr.config = PERF_COUNT_SW_TASK_CLOCK;
            return next(number, &attr, a[1], a[2], a[3], a[4]);
        }
    }
    return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
#else
extern int assay_no_counters_here;
int assay_no_counters_here;
#endif
