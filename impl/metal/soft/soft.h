/* The software Metal device, as C sees it. Functions that can fail return false and leave a message
 * in err, of at most err_size bytes. One dispatch runs at a time, whoever calls. */
#ifndef ASSAY_IMPL_METAL_SOFT_SOFT_H
#define ASSAY_IMPL_METAL_SOFT_SOFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi.h"

enum assay_soft_mode { ASSAY_SOFT_FAST, ASSAY_SOFT_CHECKED };

/* What the device says of itself, and holds dispatches to: an Apple7 GPU (M1), Metal feature set
 * tables. */
#define ASSAY_SOFT_MAX_THREADS 1024u      /* of a threadgroup */
#define ASSAY_SOFT_MAX_THREADGROUP 32768u /* bytes of threadgroup memory */
#define ASSAY_SOFT_MAX_BYTES 4096u        /* setBytes */

struct assay_soft_library;

/* The compiler that would be used; NULL, with the reason in `why`, if there is none. The string
 * lives as long as the program. */
const char *assay_soft_compiler(char *why, size_t n);

/* Compiles MSL, or takes what an earlier call left in the cache. `name` is the file's name in
 * diagnostics. err gets the compiler's diagnostics, of several lines. Before execution, the source
 * must pass the strict pass too. */
bool assay_soft_library_create(const char *source, const char *name, enum assay_soft_mode mode,
                               struct assay_soft_library **out, char *err, size_t err_size);

/* Compiles to the file `path`, for assay_soft_library_open. */
bool assay_soft_library_compile(const char *source, const char *name, enum assay_soft_mode mode,
                                const char *path, char *err, size_t err_size);
bool assay_soft_library_open(const char *path, struct assay_soft_library **out, char *err,
                             size_t err_size);
void assay_soft_library_free(struct assay_soft_library *lib); /* NULL is allowed */

const struct msl_module *assay_soft_module(const struct assay_soft_library *lib);
/* NULL if the library has no such kernel. */
const struct msl_kernel *assay_soft_kernel(const struct assay_soft_library *lib, const char *name);

/* What is bound to a buffer index: the kernel may touch [base + offset, base + length). */
struct assay_soft_binding {
    void *base;
    size_t length, offset;
    bool bytes; /* by setBytes: as long as the object, and not to be written */
};

struct assay_soft_dispatch {
    const struct assay_soft_library *library;
    const struct msl_kernel *kernel;
    struct assay_soft_binding buffers[MSL_MAX_BUFFERS];
    size_t threadgroup_bytes[MSL_MAX_BUFFERS];
    uint32_t threads[3]; /* of the whole grid; the last threadgroups may be smaller */
    uint32_t group[3];   /* threads of a threadgroup */
    uint64_t constants[MSL_MAX_CONSTANTS]; /* by function_constant(n): the value's bytes */
    bool constant_set[MSL_MAX_CONSTANTS];
    uint64_t seed;    /* 0: threads and threadgroups in turn; else in an order drawn from it */
    unsigned workers; /* OS threads, fast mode only; 0 counts as 1 */
};

/* Runs to the end. On failure the buffers hold whatever was written until then. */
bool assay_soft_run(const struct assay_soft_dispatch *d, char *err, size_t err_size);

#endif
