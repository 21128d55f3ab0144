/* The threads of a threadgroup as fibres of one OS thread, and the places where they meet. */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "group.h"
#include "shadow.h"

static _Thread_local struct soft_group *self;

/* ---- Scheduling ---- */

static uint64_t draw(struct soft_group *g) {
    /* xorshift64* (Vigna 2016) */
    uint64_t x = g->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    g->random = x;
    return x * 0x2545f4914f6cdd1du >> 32;
}

static void make_ready(struct soft_group *g, unsigned i) {
    g->fibres[i].state = SOFT_READY;
    g->ready[(g->ready_first + g->n_ready++) % ASSAY_SOFT_MAX_THREADS] = (uint16_t)i;
}

static unsigned take_ready(struct soft_group *g) {
    if (g->dispatch->seed != 0) { /* any of them: bring it to the front */
        unsigned k = (g->ready_first + (unsigned)(draw(g) % g->n_ready)) % ASSAY_SOFT_MAX_THREADS;
        uint16_t t = g->ready[k];
        g->ready[k] = g->ready[g->ready_first];
        g->ready[g->ready_first] = t;
    }
    unsigned i = g->ready[g->ready_first];
    g->ready_first = (g->ready_first + 1) % ASSAY_SOFT_MAX_THREADS;
    g->n_ready--;
    return i;
}

/* Leaves the current fibre for a ready one, or for the OS thread's own stack if there is none. */
static void leave(struct soft_group *g) {
    void **save = &g->fibres[g->current].sp;
    void *load = g->main_sp;
    if (g->n_ready > 0) {
        unsigned i = take_ready(g);
        if (i == g->current)
            return;
        g->current = i;
        load = g->fibres[i].sp;
    }
    assay_soft_switch(save, load);
}

void assay_soft_group_fail(struct soft_group *g, const char *fmt, ...) {
    char what[900];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    const uint32_t *p = g->position;
    snprintf(g->error, sizeof g->error, "%s, threadgroup (%u,%u,%u), thread %u: %s",
             g->dispatch->kernel->name, p[0], p[1], p[2], g->current, what);
    g->failed = true;
    void *nowhere;
    assay_soft_switch(&nowhere, g->main_sp);
    abort(); /* nobody comes back to a failed threadgroup */
}

static bool same_site(const struct msl_site *a, const struct msl_site *b) {
    return a->line == b->line && a->column == b->column && strcmp(a->what, b->what) == 0;
}

/* ---- Where threads meet ---- */

/* All lanes of a simdgroup must have come by the same matrix operations. */
static void compare_matrices(struct soft_group *g, unsigned simdgroup, const struct msl_site *at) {
    const struct soft_fibre *first = &g->fibres[simdgroup * MSL_LANES];
    for (unsigned i = 1; i < g->simdgroups[simdgroup].lanes; i++)
        if (first[i].matrix_hash != first->matrix_hash)
            assay_soft_group_fail(g,
                                  "%s at line %u: lanes 0 and %u of simdgroup %u came here by "
                                  "different simdgroup matrix operations",
                                  at->what, at->line, i, simdgroup);
}

static void threadgroup_barrier(struct msl_site at, unsigned memory) {
    struct soft_group *g = self;
    struct soft_fibre *f = &g->fibres[g->current];
    if (g->returned > 0)
        assay_soft_group_fail(g, "threadgroup_barrier at line %u: another thread has returned",
                              at.line);
    if (g->arrived == 0) {
        g->barrier = at;
        g->barrier_memory = memory;
    } else if (!same_site(&at, &g->barrier)) {
        assay_soft_group_fail(g,
                              "divergence: threadgroup_barrier at line %u while other threads wait "
                              "at the one of line %u",
                              at.line, g->barrier.line);
    } else if (memory != g->barrier_memory) {
        assay_soft_group_fail(g, "threadgroup_barrier at line %u: threads differ in mem_flags",
                              at.line);
    }
    f->at = at;
    f->state = SOFT_AT_BARRIER;
    if (++g->arrived < g->n_threads) {
        leave(g);
        return;
    }
    g->arrived = 0;
    for (unsigned k = 0; k * MSL_LANES < g->n_threads; k++)
        compare_matrices(g, k, &at);
    g->epochs.device += (memory & MSL_MEM_DEVICE) != 0;
    g->epochs.threadgroup += (memory & MSL_MEM_THREADGROUP) != 0;
    for (unsigned i = 0; i < g->n_threads; i++)
        make_ready(g, i);
    leave(g);
}

/* Returns once all lanes have come. */
static void meet(struct soft_group *g, const struct msl_site *at, unsigned memory) {
    unsigned index = g->current / MSL_LANES;
    struct soft_simdgroup *s = &g->simdgroups[index];
    struct soft_fibre *f = &g->fibres[g->current];
    if (s->arrived == 0) {
        s->at = *at;
        s->memory = memory;
    } else if (!same_site(at, &s->at)) {
        assay_soft_group_fail(g,
                              "divergence: %s at line %u while other lanes of simdgroup %u wait at "
                              "%s of line %u",
                              at->what, at->line, index, s->at.what, s->at.line);
    } else if (memory != s->memory) {
        assay_soft_group_fail(g, "%s at line %u: lanes differ in mem_flags", at->what, at->line);
    }
    f->at = *at;
    f->state = SOFT_AT_SIMD;
    if (++s->arrived < s->lanes) {
        leave(g);
        return;
    }
    compare_matrices(g, index, at);
    s->arrived = 0;
    s->turn ^= 1;
    s->epochs.device += (memory & MSL_MEM_DEVICE) != 0;
    s->epochs.threadgroup += (memory & MSL_MEM_THREADGROUP) != 0;
    for (unsigned i = 0; i < s->lanes; i++)
        if (index * MSL_LANES + i != g->current)
            make_ready(g, index * MSL_LANES + i);
    f->state = SOFT_READY;
}

static void simdgroup_barrier(struct msl_site at, unsigned memory) { meet(self, &at, memory); }

static struct msl_exchange *simd(struct msl_site at, const void *value, unsigned size) {
    struct soft_group *g = self;
    unsigned lane = g->current % MSL_LANES;
    struct soft_simdgroup *s = &g->simdgroups[g->current / MSL_LANES];
    /* Two exchanges in turn: nobody gets to the next but one before all have read this. */
    struct msl_exchange *x = &s->exchange[s->turn];
    if (s->arrived == 0) {
        x->present = 0;
        x->reduced = 0;
        x->order = g->dispatch->seed ? (unsigned)(draw(g) % (MSL_LANES + 1)) : 0;
    }
    memcpy(x->value[lane], value, size);
    x->present |= 1u << lane;
    meet(g, &at, 0);
    return x;
}

static unsigned lane(void) { return self->current % MSL_LANES; }

static int matrix(struct msl_site at, const void *address) {
    struct soft_group *g = self;
    struct soft_fibre *f = &g->fibres[g->current];
    unsigned index = g->current / MSL_LANES;
    if (g->simdgroups[index].lanes < MSL_LANES)
        assay_soft_group_fail(g, "%s at line %u in a simdgroup of %u threads", at.what, at.line,
                              g->simdgroups[index].lanes);
    uint64_t word = ((uint64_t)at.line << 40 ^ (uint64_t)at.column << 56) ^ (uintptr_t)address;
    f->matrix_hash = (f->matrix_hash ^ word) * 0x9e3779b97f4a7c15u;
    f->matrix_hash ^= f->matrix_hash >> 29;
    return g->current % MSL_LANES == 0;
}

static void fail(struct msl_site at, const char *message) {
    assay_soft_group_fail(self, "%s at line %u %s", at.what, at.line, message);
}

/* ---- Threadgroup memory ---- */

/* Takes bytes of the arena, filled with NaNs: a value that nobody wrote should do harm. */
static void *take(struct soft_group *g, size_t size, size_t align, const char *name) {
    size_t a = align < 16 ? 16 : align;
    size_t at = (g->arena_used + SOFT_GAP + a - 1) / a * a;
    g->arena_bytes = (g->arena_bytes + a - 1) / a * a + size;
    if (g->arena_bytes > ASSAY_SOFT_MAX_THREADGROUP || at + size + SOFT_GAP > SOFT_ARENA)
        return NULL;
    g->arena_used = at + size;
    memset(g->arena + at, 0xff, size);
    if (g->shadow != NULL)
        assay_soft_shadow_threadgroup(g->shadow, g->arena + at, size, name);
    return g->arena + at;
}

static void *threadgroup_variable(unsigned id, unsigned size, unsigned align, const char *name) {
    struct soft_group *g = self;
    if (id >= SOFT_VARIABLES)
        assay_soft_group_fail(g, "more than %d threadgroup variables", SOFT_VARIABLES);
    if (g->variables[id] == NULL && (g->variables[id] = take(g, size, align, name)) == NULL)
        assay_soft_group_fail(g, "threadgroup memory: %zu bytes with variable %s, of %u at most",
                              g->arena_bytes, name, ASSAY_SOFT_MAX_THREADGROUP);
    return g->variables[id];
}

/* ---- Checked mode ---- */

static void access_memory(const void *address, unsigned long size, unsigned align, int write,
                          int atomic, const void *pc) {
    assay_soft_shadow_access(self, (uintptr_t)address, size, align, write != 0, atomic != 0,
                             (uintptr_t)pc);
}

static void matrix_access(const void *address, unsigned long size, int write, struct msl_site at) {
    assay_soft_shadow_matrix(self, (uintptr_t)address, size, write != 0, at.line);
}

static void undefined(const char *what, const void *pc) {
    char line[256];
    assay_soft_source_line(self->dispatch->library, (uintptr_t)pc, line, sizeof line);
    assay_soft_group_fail(self, "%s at %s", what, line);
}

const struct msl_runtime assay_soft_runtime = {
    .threadgroup_barrier = threadgroup_barrier,
    .simdgroup_barrier = simdgroup_barrier,
    .simd = simd,
    .lane = lane,
    .matrix = matrix,
    .threadgroup_variable = threadgroup_variable,
    .fail = fail,
    .access = access_memory,
    .matrix_access = matrix_access,
    .undefined = undefined,
};

/* ---- A threadgroup ---- */

static void entry(void) {
    struct soft_group *g = self;
    struct soft_fibre *f = &g->fibres[g->current];
    g->dispatch->kernel->thunk(&f->thread);
    f->state = SOFT_RETURNED;
    g->returned++;
    leave(g);
    abort(); /* nobody comes back to a thread that returned */
}

static void set3(unsigned to[3], uint32_t x, uint32_t y, uint32_t z) {
    to[0] = x;
    to[1] = y;
    to[2] = z;
}

static void begin_thread(struct soft_group *g, unsigned i, const uint32_t size[3]) {
    const struct assay_soft_dispatch *d = g->dispatch;
    struct soft_fibre *f = &g->fibres[i];
    const uint32_t *p = g->position, *full = d->group;
    uint32_t x = i % size[0], y = i / size[0] % size[1], z = i / size[0] / size[1];
    f->matrix_hash = 0;
    f->thread.buffers = g->buffers;
    f->thread.threadgroups = g->arguments;
    unsigned(*b)[3] = f->thread.builtin;
    set3(b[MSL_THREAD_POSITION_IN_GRID], p[0] * full[0] + x, p[1] * full[1] + y,
         p[2] * full[2] + z);
    set3(b[MSL_THREADGROUP_POSITION_IN_GRID], p[0], p[1], p[2]);
    set3(b[MSL_THREAD_POSITION_IN_THREADGROUP], x, y, z);
    set3(b[MSL_THREAD_INDEX_IN_THREADGROUP], i, 0, 0);
    set3(b[MSL_THREAD_INDEX_IN_SIMDGROUP], i % MSL_LANES, 0, 0);
    set3(b[MSL_SIMDGROUP_INDEX_IN_THREADGROUP], i / MSL_LANES, 0, 0);
    set3(b[MSL_THREADS_PER_THREADGROUP], size[0], size[1], size[2]);
    set3(b[MSL_THREADS_PER_GRID], d->threads[0], d->threads[1], d->threads[2]);
    set3(b[MSL_THREADGROUPS_PER_GRID], (d->threads[0] + full[0] - 1) / full[0],
         (d->threads[1] + full[1] - 1) / full[1], (d->threads[2] + full[2] - 1) / full[2]);
    set3(b[MSL_THREADS_PER_SIMDGROUP], MSL_LANES, 0, 0);
    set3(b[MSL_SIMDGROUPS_PER_THREADGROUP], (g->n_threads + MSL_LANES - 1) / MSL_LANES, 0, 0);
    f->sp = assay_soft_fibre_begin(&g->stacks, i, entry);
    make_ready(g, i);
}

/* Threads are left, and none can go on. */
static void report_deadlock(struct soft_group *g) {
    const struct soft_fibre *at_barrier = NULL, *at_simd = NULL;
    unsigned i_barrier = 0, i_simd = 0;
    for (unsigned i = 0; i < g->n_threads; i++) {
        const struct soft_fibre *f = &g->fibres[i];
        if (f->state == SOFT_AT_BARRIER && at_barrier == NULL) {
            at_barrier = f;
            i_barrier = i;
        } else if (f->state == SOFT_AT_SIMD && at_simd == NULL) {
            at_simd = f;
            i_simd = i;
        }
    }
    const struct soft_fibre *f = at_simd ? at_simd : at_barrier;
    char other[160] = "the others have returned";
    if (at_simd != NULL && at_barrier != NULL)
        snprintf(other, sizeof other, "thread %u waits at threadgroup_barrier of line %u",
                 i_barrier, at_barrier->at.line);
    const uint32_t *p = g->position;
    snprintf(
        g->error, sizeof g->error,
        "%s, threadgroup (%u,%u,%u): divergence: thread %u waits for ever at %s of line %u; %s",
        g->dispatch->kernel->name, p[0], p[1], p[2], at_simd ? i_simd : i_barrier, f->at.what,
        f->at.line, other);
    g->failed = true;
}

bool assay_soft_group_run(struct soft_group *g, const struct assay_soft_dispatch *d,
                          uint32_t number, const uint32_t position[3], const uint32_t size[3]) {
    g->dispatch = d;
    g->number = number;
    memcpy(g->position, position, sizeof g->position);
    g->random = (d->seed ^ (number + 1) * UINT64_C(0x9e3779b97f4a7c15)) | 1;
    g->ready_first = g->n_ready = g->returned = g->arrived = 0;
    g->epochs = (struct soft_epochs){0, 0};
    g->n_threads = size[0] * size[1] * size[2];
    g->arena_used = g->arena_bytes = 0;
    g->failed = false;
    memset(g->variables, 0, sizeof g->variables);
    if (g->shadow != NULL)
        assay_soft_shadow_group(g->shadow);
    for (unsigned i = 0; i < d->kernel->n_params; i++) {
        const struct msl_param *p = &d->kernel->params[i];
        if (p->kind == MSL_THREADGROUP)
            g->arguments[p->index] = take(g, d->threadgroup_bytes[p->index], p->align, p->name);
        else if (p->kind == MSL_BUFFER)
            g->buffers[p->index] = (char *)d->buffers[p->index].base + d->buffers[p->index].offset;
    }
    for (unsigned k = 0; k * MSL_LANES < g->n_threads; k++) {
        struct soft_simdgroup *s = &g->simdgroups[k];
        unsigned left = g->n_threads - k * MSL_LANES;
        s->lanes = left < MSL_LANES ? left : MSL_LANES;
        s->arrived = s->turn = 0;
        s->epochs = (struct soft_epochs){0, 0};
    }
    for (unsigned i = 0; i < g->n_threads; i++)
        begin_thread(g, i, size);
    self = g;
    g->current = take_ready(g);
    assay_soft_switch(&g->main_sp, g->fibres[g->current].sp);
    if (!g->failed && g->returned < g->n_threads)
        report_deadlock(g);
    self = NULL;
    return !g->failed;
}

/* ---- Idle groups, kept with their stacks ---- */

static pthread_mutex_t idle_lock = PTHREAD_MUTEX_INITIALIZER;
static struct soft_group *idle;

struct soft_group *assay_soft_group_get(unsigned threads) {
    pthread_mutex_lock(&idle_lock);
    struct soft_group *g = idle;
    if (g != NULL)
        idle = g->next;
    pthread_mutex_unlock(&idle_lock);
    if (g == NULL && (g = calloc(1, sizeof *g)) == NULL)
        return NULL;
    if (g->arena == NULL)
        g->arena = aligned_alloc(256, SOFT_ARENA);
    if (g->stacks.base == NULL || g->stacks.count < threads) {
        assay_soft_stacks_unmap(&g->stacks);
        if (g->arena == NULL || !assay_soft_stacks_map(&g->stacks, threads)) {
            assay_soft_group_put(g);
            return NULL;
        }
    }
    g->shadow = NULL;
    return g;
}

void assay_soft_group_put(struct soft_group *g) {
    pthread_mutex_lock(&idle_lock);
    g->next = idle;
    idle = g;
    pthread_mutex_unlock(&idle_lock);
}
