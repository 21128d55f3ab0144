#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fibre.h"

bool assay_soft_stacks_map(struct assay_soft_stacks *s, size_t count) {
    s->guard = (size_t)sysconf(_SC_PAGESIZE);
    s->stride = s->guard + ASSAY_SOFT_STACK;
    s->count = count;
    s->base = mmap(NULL, s->stride * count, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    if (s->base == MAP_FAILED) {
        s->base = NULL;
        return false;
    }
    for (size_t i = 0; i < count; i++)
        if (mprotect(assay_soft_stack(s, i), ASSAY_SOFT_STACK, PROT_READ | PROT_WRITE) != 0) {
            assay_soft_stacks_unmap(s);
            return false;
        }
    return true;
}

void assay_soft_stacks_unmap(struct assay_soft_stacks *s) {
    if (s->base != NULL)
        munmap(s->base, s->stride * s->count);
    s->base = NULL;
}

/* A fibre that was left for good leaves its frames' red zones behind. */
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define __asan_unpoison_memory_region(base, size) ((void)(base), (void)(size))
#endif

/* What the first switch pops: registers, then where to return. */
#if defined(__x86_64__)
/* Six registers and the return address; after that the stack is as if `entry` had been called, 8
 * bytes off a multiple of 16. */
enum { FRAME_WORDS = 8, RETURN_WORD = 6 };
#elif defined(__aarch64__)
enum { FRAME_WORDS = 20, RETURN_WORD = 11 };
#else
#error "the software Metal device has no fibre switch for this architecture"
#endif

void *assay_soft_fibre_begin(const struct assay_soft_stacks *s, size_t i, void (*entry)(void)) {
    uintptr_t *top = (uintptr_t *)(void *)(assay_soft_stack(s, i) + ASSAY_SOFT_STACK);
    uintptr_t *frame = top - FRAME_WORDS;
    __asan_unpoison_memory_region(assay_soft_stack(s, i), ASSAY_SOFT_STACK);
    memset(frame, 0, FRAME_WORDS * sizeof *frame);
    frame[RETURN_WORD] = (uintptr_t)entry;
    return frame;
}
