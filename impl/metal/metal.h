/* Parts of the Metal backend in C: context, stores, and the products as dispatches. */
#ifndef ASSAY_METAL_METAL_H
#define ASSAY_METAL_METAL_H

#include "impl/backend.h"
#include "impl/metal/choice.h"
#include "impl/metal/host.h"

/* On Linux the device is the software one (soft/): whatever it shows is emulated. */
#ifdef __APPLE__
#define METAL_EMULATED 0
#define METAL_NAME "metal"
#define METAL_LABEL "metal"
#else
#define METAL_EMULATED 1
#define METAL_NAME "metal-emulated"
#define METAL_LABEL "metal_emulated"
#endif

/* Buffers that last from call to call, remade where another size is needed: a kernel that runs over
 * the end of its data is found only if the buffer ends there too. */
enum metal_scratch {
    SCRATCH_X,       /* fp32 rows of x */
    SCRATCH_Y,       /* fp32 rows of y */
    SCRATCH_X16,     /* x in binary16 … */
    SCRATCH_UNSCALE, /* … and what undoes its scales */
    SCRATCH_IDS,     /* ids of a row look-up */
    SCRATCH_ROWS,    /* rows of an indexed product with an expert each … */
    SCRATCH_TILES,   /* … or in tiles … */
    SCRATCH_LIST,    /* … of rows from a list */
    SCRATCHES,
};

struct metal_ctx {
    struct assay_ctx base;
    const struct metal_host *host;
    struct metal_device *device;
    enum metal_path forced; /* by the variant */
    double gpu_seconds;     /* of all products so far */
    struct {
        struct metal_buffer *buffer;
        size_t bytes;
    } scratch[SCRATCHES];
};

struct metal_store {
    struct assay_store head;
    struct metal_buffer *buffer;
    size_t offset;
    struct metal_buffer *stack; /* of the first of a stack of experts: all of them, once needed */
    size_t stack_offset;
};

/* The shared object and the folder of kernels beside the program (locate.c). Each returns false
 * with a reason where it can't be found or loaded. */
bool assay_metal_folder(char *folder, size_t size, char *why, size_t why_size);
const struct metal_host *assay_metal_load(const char *folder, char *why, size_t why_size);

/* A scratch buffer of just `bytes`; NULL without memory. */
struct metal_buffer *assay_metal_scratch(struct metal_ctx *c, enum metal_scratch which,
                                         size_t bytes);

/* product.c */

/* Products of one x, whose rows are in SCRATCH_X and whose results go to SCRATCH_Y: the commands
 * being filled, and the first thing that went wrong. */
struct metal_job {
    struct metal_ctx *c;
    struct metal_commands *commands;
    char why[200]; /* "": nothing */
};

/* Copies x[m × in] to the GPU and begins; false without memory or with job->why set, and nothing is
 * left to end. With x16, x is rounded to binary16 as well. */
bool assay_metal_begin(struct metal_job *job, struct metal_ctx *c, const float *x, size_t m,
                       size_t in, size_t y_floats, bool x16);
void assay_metal_dispatch(struct metal_job *job, const char *op, const char *type,
                          const struct metal_binding *bindings, size_t n_bindings, const void *args,
                          size_t args_size, size_t groups_x, size_t groups_y, size_t threads);
/* Runs what was dispatched, if all of it could be. */
enum assay_status assay_metal_end(struct metal_job *job, struct assay_error *err);

enum assay_status assay_metal_gemm(struct assay_ctx *ctx, const struct assay_store *w,
                                   const float *x, size_t m, float *y, size_t ldy,
                                   struct assay_error *err);
enum assay_status assay_metal_gemm_parts(struct assay_ctx *ctx,
                                         const struct assay_part_product *parts, size_t n,
                                         const float *x, size_t m, float *y, size_t ldy,
                                         struct assay_error *err);
enum assay_status assay_metal_rows(struct assay_ctx *ctx, const struct assay_store *w,
                                   const int64_t *ids, size_t count, float *y,
                                   struct assay_error *err);
/* indexed.c */
enum assay_status assay_metal_gemm_id(struct assay_ctx *ctx,
                                      const struct assay_store *const *experts, size_t count,
                                      const struct assay_routing *r, const float *x, float *y,
                                      size_t ldy, struct assay_error *err);

#endif
