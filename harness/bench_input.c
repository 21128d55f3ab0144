/* Operands that kernels can't write to. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench_internal.h"

static size_t whole_pages(size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (size + page - 1) / page * page;
}

void *bench_input_new(size_t size) {
    return aligned_alloc((size_t)sysconf(_SC_PAGESIZE), whole_pages(size));
}

void bench_input_lock(void *input, size_t size) { mprotect(input, whole_pages(size), PROT_READ); }

void bench_input_unlock(void *input, size_t size) {
    mprotect(input, whole_pages(size), PROT_READ | PROT_WRITE);
}
