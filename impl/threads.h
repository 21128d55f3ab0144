/* OpenMP's run time, or what it says where the compiler makes no threads (LIBC=musl). */
#ifndef ASSAY_IMPL_THREADS_H
#define ASSAY_IMPL_THREADS_H

#ifdef _OPENMP
#include <omp.h>
#else
static inline int omp_get_thread_num(void) { return 0; }
static inline int omp_get_num_threads(void) { return 1; }
#endif

#endif
