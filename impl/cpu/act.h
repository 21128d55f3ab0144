/* Quantised activations of one product: buffer layout and the portable quantiser. */
#ifndef ASSAY_IMPL_CPU_ACT_H
#define ASSAY_IMPL_CPU_ACT_H

#include <stdbool.h>

#include "kernel.h"

/* Memory that a context keeps between products; grows, never shrinks before the context ends. */
struct assay_act_buffer {
    void *memory;
    size_t size;
};

/* Elements per activation block of a format (32 or 256; 0 for fp32). */
size_t assay_act_block(enum assay_act_format f);

/* Lays out *a for m rows of k activations at x in `buf`. Returns false if memory ran out or a size
 * overflowed; *a is then unusable. For fp32 nothing is allocated. */
bool assay_act_prepare(struct assay_act *a, struct assay_act_buffer *buf, enum assay_act_format f,
                       const float *x, size_t m, size_t k);

#endif
