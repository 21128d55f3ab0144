/* Checked mode: what every access is held against. One dispatch, one OS thread. */
#ifndef ASSAY_IMPL_METAL_SOFT_SHADOW_H
#define ASSAY_IMPL_METAL_SOFT_SHADOW_H

#include "group.h"

/* NULL: no memory. */
struct assay_soft_shadow *assay_soft_shadow_create(const struct assay_soft_dispatch *d);
void assay_soft_shadow_free(struct assay_soft_shadow *s);

/* A new threadgroup begins: its threadgroup memory is not there yet. */
void assay_soft_shadow_group(struct assay_soft_shadow *s);
/* Threadgroup memory at `base`, which nobody has written. */
void assay_soft_shadow_threadgroup(struct assay_soft_shadow *s, const char *base, size_t size,
                                   const char *name);

/* The current fibre of g is about to access memory; ends the threadgroup if it must not. */
void assay_soft_shadow_access(struct soft_group *g, uintptr_t address, size_t size, unsigned align,
                              bool write, bool atomic, uintptr_t pc);
/* The same for all lanes of the current simdgroup at once. */
void assay_soft_shadow_matrix(struct soft_group *g, uintptr_t address, size_t size, bool write,
                              unsigned line);

#endif
