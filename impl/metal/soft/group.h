/* One OS thread's threadgroup in execution. */
#ifndef ASSAY_IMPL_METAL_SOFT_GROUP_H
#define ASSAY_IMPL_METAL_SOFT_GROUP_H

#include "fibre.h"
#include "library.h"

struct assay_soft_shadow;

enum { SOFT_VARIABLES = 64, SOFT_ARENA = 65536, SOFT_GAP = 64 };

/* Counters that grow with every barrier that orders device or threadgroup memory. */
struct soft_epochs {
    uint32_t device, threadgroup;
};

enum soft_state { SOFT_READY, SOFT_AT_BARRIER, SOFT_AT_SIMD, SOFT_RETURNED };

struct soft_fibre {
    void *sp;
    enum soft_state state;
    struct msl_site at;   /* where it waits */
    uint64_t matrix_hash; /* of the matrix operations that it came by */
    struct msl_thread thread;
};

struct soft_simdgroup {
    unsigned lanes, arrived;
    unsigned turn; /* which exchange is in use */
    struct msl_site at;
    unsigned memory; /* of a simdgroup barrier */
    struct msl_exchange exchange[2];
    struct soft_epochs epochs;
};

struct soft_group {
    const struct assay_soft_dispatch *dispatch;
    struct assay_soft_stacks stacks;
    struct soft_fibre fibres[ASSAY_SOFT_MAX_THREADS];
    struct soft_simdgroup simdgroups[ASSAY_SOFT_MAX_THREADS / MSL_LANES];
    uint16_t ready[ASSAY_SOFT_MAX_THREADS];
    unsigned ready_first, n_ready;
    unsigned n_threads, returned, arrived;
    struct msl_site barrier;
    unsigned barrier_memory;
    struct soft_epochs epochs;
    unsigned current;
    void *main_sp;
    uint64_t random;
    uint32_t number, position[3]; /* of the threadgroup in the grid */
    void *buffers[MSL_MAX_BUFFERS], *arguments[MSL_MAX_BUFFERS];
    char *arena;        /* threadgroup memory */
    size_t arena_used;  /* with gaps */
    size_t arena_bytes; /* without: what the limit is for */
    void *variables[SOFT_VARIABLES];
    struct assay_soft_shadow *shadow; /* NULL in fast mode */
    bool failed;
    char error[1024];
    struct soft_group *next; /* in the list of idle ones */
};

/* NULL: no memory. Kept for later dispatches by assay_soft_group_put. */
struct soft_group *assay_soft_group_get(unsigned threads);
void assay_soft_group_put(struct soft_group *g);

/* Runs threadgroup `number` of the dispatch, which lies at `position` and has `size` threads in
 * each direction. False: g->error says why. */
bool assay_soft_group_run(struct soft_group *g, const struct assay_soft_dispatch *d,
                          uint32_t number, const uint32_t position[3], const uint32_t size[3]);

/* Ends the threadgroup from within a fibre. */
__attribute__((format(printf, 2, 3), noreturn)) void assay_soft_group_fail(struct soft_group *g,
                                                                           const char *fmt, ...);

#endif
