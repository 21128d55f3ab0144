/* Hardware counters of the calling thread: cycles and instructions in user mode. */
#ifndef ASSAY_HARNESS_GATE_COUNTERS_H
#define ASSAY_HARNESS_GATE_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

struct assay_counters {
    int fd[2]; /* cycles, instructions */
};

struct assay_counts {
    uint64_t cycles, instructions;
};

/* False where the machine has none or does not let this user read them (virtual machines,
 * /proc/sys/kernel/perf_event_paranoid above 2, other systems than Linux). */
bool assay_counters_open(struct assay_counters *c);
void assay_counters_close(struct assay_counters *c);

void assay_counters_start(const struct assay_counters *c);
/* Since the start; false if they could not be read, or did not count all of the time. */
bool assay_counters_stop(const struct assay_counters *c, struct assay_counts *counts);

#endif
