/* The Objective-C part of the Metal backend as C sees it. It lies in a shared object beside the
 * program (assay-metal.so, symbol assay_metal_host), loaded where a context is created: neither
 * Apple's frameworks nor GNUstep's survive a fork, and verify forks for every case.
 *
 * One thread at a time. Functions that fail return false or NULL and write one line to err. */
#ifndef ASSAY_METAL_HOST_H
#define ASSAY_METAL_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct metal_device; /* a device with its queue, and the pipelines made so far */
struct metal_buffer;
struct metal_commands; /* a command buffer being filled */

/* A buffer from `offset` bytes on. NULL: the dispatch's args. */
struct metal_binding {
    struct metal_buffer *buffer;
    size_t offset;
};

struct metal_dispatch {
    const char *source; /* "q4_k": the file of kernels */
    const char *kernel; /* "gemv_q4_k" */
    const struct metal_binding *bindings;
    size_t n_bindings; /* buffer(0) … */
    const void *args;
    size_t args_size;
    size_t groups[2];
    size_t threads; /* in a group */
};

struct metal_host {
    /* The kernels are in the folder `sources`: NAME.metallib where there is one, NAME.metal
     * otherwise.
     */
    struct metal_device *(*open)(const char *sources, char *err, size_t err_size);
    void (*close)(struct metal_device *d);
    const char *(*name)(const struct metal_device *d);
    size_t (*allocated)(const struct metal_device *d); /* bytes that all buffers occupy */

    /* A buffer of its own, shared with the CPU; or the pages that hold [p, p + bytes), borrowed
     * until release, with the offset of p in them. NULL if the device can't. */
    struct metal_buffer *(*buffer_new)(struct metal_device *d, size_t bytes);
    struct metal_buffer *(*buffer_wrap)(struct metal_device *d, const void *p, size_t bytes,
                                        size_t *offset);
    void *(*contents)(struct metal_buffer *b);
    void (*buffer_free)(struct metal_buffer *b); /* NULL is allowed */

    /* Dispatches run one after the other. run ends the commands in any case: when it returns, all
     * is done, *seconds is what the GPU took, or err says what went wrong. */
    struct metal_commands *(*commands)(struct metal_device *d);
    bool (*dispatch)(struct metal_commands *c, const struct metal_dispatch *what, char *err,
                     size_t err_size);
    bool (*run)(struct metal_commands *c, double *seconds, char *err, size_t err_size);
    void (*discard)(struct metal_commands *c); /* instead of run */
};

extern const struct metal_host assay_metal_host;

#endif
