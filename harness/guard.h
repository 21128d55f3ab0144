/* Input buffers that end at a page without access and can be made read-only: reading past the end
 * of an input, or writing to it, is then a SIGSEGV of the child that did it. */
#ifndef ASSAY_HARNESS_GUARD_H
#define ASSAY_HARNESS_GUARD_H

#include <stdbool.h>
#include <stddef.h>

struct assay_guard {
    void *data; /* size bytes, flush right; aligned only as far as the size is */
    size_t size;
    void *map;
    size_t map_size;
};

bool assay_guard_alloc(struct assay_guard *g, size_t size); /* false: out of memory */
void assay_guard_read_only(struct assay_guard *g);
void assay_guard_free(struct assay_guard *g); /* a zeroed struct is allowed */

#endif
