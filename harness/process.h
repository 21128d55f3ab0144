/* Child processes, and what they leave behind: the mechanics under isolate.h.
 *
 * A child leads a process group of its own, so that an interrupt at the terminal reaches only the
 * parent. When it has ended, what is left of its group is killed; on Linux the parent also adopts
 * processes that left the group and lost their parent, and kills those. A kernel that kills its
 * parent, or traces it, is out of scope: kernels are code that the user chose to run. */
#ifndef ASSAY_HARNESS_PROCESS_H
#define ASSAY_HARNESS_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* fork() of a child as above; in the child, what every one of them needs is done: default signals,
 * an empty standard input, no core file, death with the parent, preferred by the kernel when memory
 * runs out, and at most memory_bytes of private memory (0: no limit). Not to be called while
 * another thread runs. */
pid_t assay_process_fork(uint64_t memory_bytes);

/* Waits for a child of assay_process_fork, kills it if it has not ended after grace_s seconds
 * (*killed, may be NULL, says so), then kills what it left behind. Returns its wait status. */
int assay_process_end(pid_t pid, double grace_s, bool *killed);

/* Whether a child of assay_process_fork has ended; it remains to be waited for. */
bool assay_process_ended(pid_t pid);

/* In a child: kills its own children. Returns whether there was one, running or not waited for. */
bool assay_process_disown(void);

/* The limit for each of `jobs` children at once: what is available now, shared out. 0: unknown. */
uint64_t assay_process_memory(int jobs);

#endif
