#include "counters.h"

#ifdef __linux__

#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int open_counter(uint64_t what, int group) {
    struct perf_event_attr attr = {
        .type = PERF_TYPE_HARDWARE,
        .size = sizeof attr,
        .config = what,
        .disabled = group < 0,
        .exclude_kernel = 1,
        .exclude_hv = 1,
        .read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
    };
    return (int)syscall(SYS_perf_event_open, &attr, 0, -1, group, PERF_FLAG_FD_CLOEXEC);
}

bool assay_counters_open(struct assay_counters *c) {
    c->fd[0] = open_counter(PERF_COUNT_HW_CPU_CYCLES, -1);
    c->fd[1] = c->fd[0] < 0 ? -1 : open_counter(PERF_COUNT_HW_INSTRUCTIONS, c->fd[0]);
    if (c->fd[1] >= 0)
        return true;
    assay_counters_close(c);
    return false;
}

void assay_counters_close(struct assay_counters *c) {
    for (int i = 0; i < 2; i++)
        if (c->fd[i] >= 0)
            close(c->fd[i]);
    c->fd[0] = c->fd[1] = -1;
}

void assay_counters_start(const struct assay_counters *c) {
    ioctl(c->fd[0], PERF_EVENT_IOC_RESET, PERF_IOC_FLAG_GROUP);
    ioctl(c->fd[0], PERF_EVENT_IOC_ENABLE, PERF_IOC_FLAG_GROUP);
}

static bool read_counter(int fd, uint64_t *value) {
    uint64_t v[3]; /* value, time enabled, time running */

    if (read(fd, v, sizeof v) != (ssize_t)sizeof v || v[2] == 0 || v[1] != v[2])
        return false;
    *value = v[0];
    return true;
}

bool assay_counters_stop(const struct assay_counters *c, struct assay_counts *counts) {
    ioctl(c->fd[0], PERF_EVENT_IOC_DISABLE, PERF_IOC_FLAG_GROUP);
    return read_counter(c->fd[0], &counts->cycles) && read_counter(c->fd[1], &counts->instructions);
}

#else

bool assay_counters_open(struct assay_counters *c) {
    c->fd[0] = c->fd[1] = -1;
    return false;
}

void assay_counters_close(struct assay_counters *c) { (void)c; }

void assay_counters_start(const struct assay_counters *c) { (void)c; }

bool assay_counters_stop(const struct assay_counters *c, struct assay_counts *counts) {
    (void)c, (void)counts;
    return false;
}

#endif
