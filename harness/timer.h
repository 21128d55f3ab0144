/* Clocks of this process and this machine. */
#ifndef ASSAY_HARNESS_TIMER_H
#define ASSAY_HARNESS_TIMER_H

#include <stdint.h>

/* Nanoseconds of a clock that neither steps nor is slewed. */
uint64_t assay_now_ns(void);

/* CPU time of all threads of this process, and of the calling thread. */
uint64_t assay_cpu_ns(void);
uint64_t assay_thread_cpu_ns(void);

/* Returns once the process's other threads have gone to sleep, or after limit_ns. Thread pools spin
 * for a while after their work is done (OpenBLAS some 25 ms), and on a machine with as many threads
 * as cores such a spinner is charged to whoever is measured next. */
void assay_wait_until_idle(uint64_t limit_ns);

#endif
