/* Fibres: stacks between which one OS thread switches by hand. */
#ifndef ASSAY_IMPL_METAL_SOFT_FIBRE_H
#define ASSAY_IMPL_METAL_SOFT_FIBRE_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of a fibre's stack. A page without access lies below each. */
#define ASSAY_SOFT_STACK 65536u

struct assay_soft_stacks {
    char *base; /* the mapping */
    size_t stride, count, guard;
};

/* Maps `count` stacks; memory is taken as they are used. False: no memory. */
bool assay_soft_stacks_map(struct assay_soft_stacks *s, size_t count);
void assay_soft_stacks_unmap(struct assay_soft_stacks *s);

/* The lowest byte of stack i; it ends ASSAY_SOFT_STACK bytes above. */
static inline char *assay_soft_stack(const struct assay_soft_stacks *s, size_t i) {
    return s->base + i * s->stride + s->guard;
}

/* The stack pointer with which a switch to stack i calls `entry`, which must not return. */
void *assay_soft_fibre_begin(const struct assay_soft_stacks *s, size_t i, void (*entry)(void));

/* Leaves the stack pointer in *save, goes on with `load` (switch_*.S). */
void assay_soft_switch(void **save, void *load) __attribute__((visibility("hidden")));

#endif
