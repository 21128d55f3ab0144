/* What memory this process occupies, from the kernel, and its peak over a stretch of work.
 *
 * Linux: resident pages by kind (RssAnon, RssFile, RssShmem of /proc/self/status) and their
 * high-water mark (VmHWM). Since Linux 6.2 these counters are summed from per-CPU parts without a
 * lock, before that from per-thread parts: each may be off by up to 64 pages a CPU or thread.
 * macOS: the physical footprint and its ledger peak, internal and external pages. */
#ifndef ASSAY_HARNESS_MEMUSE_H
#define ASSAY_HARNESS_MEMUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct assay_memuse {
    uint64_t resident; /* anon + file + shmem (macOS: the physical footprint plus file) */
    uint64_t anon;     /* private memory: heap, stacks, what was written to */
    uint64_t file;     /* pages of mapped files: the model, the program, its libraries */
    uint64_t shmem;
    uint64_t page_tables; /* what maps them (VmPTE); not part of `resident`; 0 on macOS */
    uint64_t
        peak; /* highest `resident` since the process began, or since assay_memuse_reset_peak */
};

/* What the process occupies now. Returns false where the platform has no such count. */
bool assay_memuse_now(struct assay_memuse *m);

/* The same from the page tables themselves, exact to the page but slow (milliseconds a GB); falls
 * back to assay_memuse_now. */
bool assay_memuse_exact(struct assay_memuse *m);

/* Lets `peak` begin anew from what is resident now, so that it is that of one stretch of work
 * (/proc/self/clear_refs, Linux 4.0). Returns false where that can't be done. */
bool assay_memuse_reset_peak(void);

/* What the control group `group` ("/a/b") and those above it still allow below `root`, a mounted
 * cgroup v2 hierarchy: the least of memory.max less what is anonymous there, page cache counted as
 * free. UINT64_MAX: no limit. */
uint64_t assay_cgroup_headroom(const char *root, const char *group);

/* Memory that can be taken without swapping or meeting a control group's limit; 0: unknown. */
uint64_t assay_memory_available(void);

/* A thread that looks every millisecond and keeps the maximum of each count. The maxima of two
 * kinds need not fall together, so their sum may exceed the peak; what lives for less than a
 * millisecond is seen in `peak` only. */
struct assay_memwatch;
struct assay_memwatch *assay_memwatch_start(void); /* NULL: no thread or no memory */
void assay_memwatch_stop(struct assay_memwatch *w, struct assay_memuse *max); /* and frees it */

/* The course of it: each point holds the maxima of its stretch of time, all stretches of equal
 * length: a millisecond, doubled each time the points are full. */
enum { ASSAY_MEMWATCH_POINTS = 512 };
struct assay_mempoint {
    double seconds; /* end of the stretch, from the start of the watch */
    uint64_t resident, anon, file, page_tables;
};
/* Copies up to ASSAY_MEMWATCH_POINTS points so far and returns their number. Only between calls of
 * start and stop; the watch goes on. */
size_t assay_memwatch_points(struct assay_memwatch *w, struct assay_mempoint *points);

#endif
