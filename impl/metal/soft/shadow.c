/* Shadow memory: for every byte that a dispatch can share, who wrote it last and who read it since.
 *
 * Two accesses of which one writes are a race unless something orders them: the same thread; a
 * threadgroup barrier between them whose flags name this kind of memory; for lanes of one simdgroup
 * a simdgroup barrier likewise; or both are atomic. Nothing orders threadgroups of one dispatch. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "shadow.h"

struct record {
    uint32_t group; /* number of the threadgroup + 1; 0: nobody */
    uint32_t place; /* offset of the code in the library, or LINE | line of the source */
    uint32_t epoch, simd_epoch;
    uint16_t thread; /* in the threadgroup, or WHOLE | simdgroup */
    uint16_t atomic;
};
#define LINE 0x80000000u
#define WHOLE 0x8000u

struct cell {
    struct record writer, reader[2];
};

/* Memory with cells: buffers that overlap share one. */
struct memory {
    uintptr_t lo, hi;
    struct cell *cells; /* zero pages until touched; NULL: nobody writes it */
};

struct region {
    uintptr_t lo, hi;
    bool writable, threadgroup;
    struct memory *memory;
    const char *name;
    unsigned index;
};

enum { REGIONS = MSL_MAX_BUFFERS * 2 + SOFT_VARIABLES };

struct assay_soft_shadow {
    struct region regions[REGIONS];
    unsigned n_buffers, n_regions, last;
    struct memory memories[MSL_MAX_BUFFERS], arena;
    unsigned n_memories;
};

static struct cell *map_cells(size_t bytes) {
    void *p = mmap(NULL, bytes * sizeof(struct cell), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static struct memory *add_memory(struct assay_soft_shadow *s, uintptr_t lo, uintptr_t hi) {
    for (unsigned i = 0; i < s->n_memories; i++) {
        struct memory *m = &s->memories[i];
        if (lo < m->hi && m->lo < hi) {
            m->lo = lo < m->lo ? lo : m->lo;
            m->hi = hi > m->hi ? hi : m->hi;
            return m;
        }
    }
    s->memories[s->n_memories] = (struct memory){lo, hi, NULL};
    return &s->memories[s->n_memories++];
}

struct assay_soft_shadow *assay_soft_shadow_create(const struct assay_soft_dispatch *d) {
    struct assay_soft_shadow *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    for (unsigned i = 0; i < d->kernel->n_params; i++) {
        const struct msl_param *p = &d->kernel->params[i];
        if (p->kind != MSL_BUFFER)
            continue;
        const struct assay_soft_binding *b = &d->buffers[p->index];
        uintptr_t base = (uintptr_t)b->base;
        s->regions[s->n_regions++] =
            (struct region){.lo = base + b->offset,
                            .hi = base + b->length,
                            .writable = p->writable && !b->bytes,
                            .memory = add_memory(s, base, base + b->length),
                            .name = p->name,
                            .index = p->index};
    }
    s->n_buffers = s->n_regions;
    for (unsigned i = 0; i < s->n_regions; i++) {
        struct memory *m = s->regions[i].memory;
        if (s->regions[i].writable && m->cells == NULL &&
            (m->cells = map_cells(m->hi - m->lo)) == NULL) {
            assay_soft_shadow_free(s);
            return NULL;
        }
    }
    return s;
}

void assay_soft_shadow_free(struct assay_soft_shadow *s) {
    if (s == NULL)
        return;
    for (unsigned i = 0; i < s->n_memories; i++)
        if (s->memories[i].cells != NULL)
            munmap(s->memories[i].cells,
                   (s->memories[i].hi - s->memories[i].lo) * sizeof(struct cell));
    if (s->arena.cells != NULL)
        munmap(s->arena.cells, SOFT_ARENA * sizeof(struct cell));
    free(s);
}

void assay_soft_shadow_group(struct assay_soft_shadow *s) {
    s->n_regions = s->n_buffers;
    s->last = 0;
    s->arena.lo = 0;
}

void assay_soft_shadow_threadgroup(struct assay_soft_shadow *s, const char *base, size_t size,
                                   const char *name) {
    if (s->arena.cells == NULL && (s->arena.cells = map_cells(SOFT_ARENA)) == NULL)
        return;             /* then the accesses count as out of bounds */
    if (s->arena.lo == 0) { /* the first of this threadgroup; none lies below it */
        s->arena.lo = (uintptr_t)base;
        s->arena.hi = s->arena.lo + SOFT_ARENA;
    }
    s->regions[s->n_regions++] = (struct region){.lo = (uintptr_t)base,
                                                 .hi = (uintptr_t)base + size,
                                                 .writable = true,
                                                 .threadgroup = true,
                                                 .memory = &s->arena,
                                                 .name = name};
}

/* ---- Reports ---- */

static void place_text(const struct soft_group *g, uint32_t place, char *out, size_t n) {
    if (place & LINE)
        snprintf(out, n, "line %u", place & ~LINE);
    else
        assay_soft_source_line(g->dispatch->library, g->dispatch->library->image + place, out, n);
}

static void who_text(const struct record *r, char *out, size_t n) {
    if (r->thread & WHOLE)
        snprintf(out, n, "simdgroup %u", r->thread & ~WHOLE);
    else
        snprintf(out, n, "thread %u", r->thread);
}

static void region_text(const struct region *r, char *out, size_t n) {
    if (r->threadgroup)
        snprintf(out, n, "threadgroup memory '%s'", r->name);
    else
        snprintf(out, n, "buffer(%u) '%s'", r->index, r->name);
}

__attribute__((noreturn)) static void report_bounds(struct soft_group *g, uintptr_t address,
                                                    size_t size, bool write, uint32_t place) {
    const struct assay_soft_shadow *s = g->shadow;
    char at[256], name[128];
    const char *verb = write ? "write" : "read";
    place_text(g, place, at, sizeof at);
    const struct region *near = NULL;
    uintptr_t distance = UINTPTR_MAX;
    for (unsigned i = 0; i < s->n_regions; i++) {
        const struct region *r = &s->regions[i];
        uintptr_t away = address < r->lo ? r->lo - address : address >= r->hi ? address - r->hi : 0;
        if (near == NULL || away < distance) {
            near = r;
            distance = away;
        }
    }
    const struct assay_soft_stacks *k = &g->stacks;
    if (address < 4096)
        assay_soft_group_fail(g, "%s of %zu bytes at a null pointer, at %s", verb, size, at);
    if (address - (uintptr_t)k->base < k->stride * k->count)
        assay_soft_group_fail(g, "%s of %zu bytes in another thread's memory, at %s", verb, size,
                              at);
    if (near == NULL)
        assay_soft_group_fail(g, "%s of %zu bytes of no buffer, at %s", verb, size, at);
    region_text(near, name, sizeof name);
    assay_soft_group_fail(g, "out-of-bounds %s of %zu bytes at byte %lld of %s of %zu bytes, at %s",
                          verb, size, (long long)(address - near->lo), name,
                          (size_t)(near->hi - near->lo), at);
}

__attribute__((noreturn)) static void report_race(struct soft_group *g, const struct region *r,
                                                  uintptr_t address, const struct record *mine,
                                                  bool write, const struct record *other,
                                                  bool other_write) {
    char here[256], there[256], name[128], me[32], you[32], where[48] = "";
    place_text(g, mine->place, here, sizeof here);
    place_text(g, other->place, there, sizeof there);
    region_text(r, name, sizeof name);
    who_text(mine, me, sizeof me);
    who_text(other, you, sizeof you);
    if (other->group != mine->group)
        snprintf(where, sizeof where, " of threadgroup number %u", other->group - 1);
    assay_soft_group_fail(g, "race at byte %zu of %s: %s %s it at %s; %s%s %s it at %s, unordered",
                          (size_t)(address - r->lo), name, me, write ? "writes" : "reads", here,
                          you, where, other_write ? "wrote" : "read", there);
}

/* ---- The check ---- */

static unsigned simdgroup_of(uint16_t thread) {
    return thread & WHOLE ? thread & ~WHOLE : thread / MSL_LANES;
}

static bool ordered(const struct record *r, const struct record *me) {
    if (r->group != me->group)
        return false;
    return r->thread == me->thread || r->epoch < me->epoch ||
           (simdgroup_of(r->thread) == simdgroup_of(me->thread) && r->simd_epoch < me->simd_epoch);
}

static bool clash(const struct record *r, const struct record *me, bool threadgroup) {
    if (r->group == 0 || (r->atomic && me->atomic))
        return false;
    if (threadgroup && r->group != me->group)
        return false; /* an earlier threadgroup's memory at the same address */
    return !ordered(r, me);
}

/* Two readers are remembered: of three, two are enough for one of them to be another thread than
 * the next writer. A reader of another threadgroup stays: a barrier can't make it harmless. */
static void note_reader(struct cell *c, const struct record *me) {
    for (unsigned i = 0; i < 2; i++)
        if (c->reader[i].group == me->group && c->reader[i].thread == me->thread) {
            c->reader[i] = *me;
            return;
        }
    unsigned i = c->reader[0].group == 0 || ordered(&c->reader[0], me) ? 0 : 1;
    c->reader[i] = *me;
}

static void check_bytes(struct soft_group *g, const struct region *r, uintptr_t address,
                        size_t size, bool write, const struct record *me) {
    struct cell *c = r->memory->cells + (address - r->memory->lo);
    for (size_t i = 0; i < size; i++, c++) {
        if (r->threadgroup && !write && c->writer.group != me->group) {
            char at[256], name[128];
            place_text(g, me->place, at, sizeof at);
            region_text(r, name, sizeof name);
            assay_soft_group_fail(g, "uninitialised read of byte %zu of %s at %s",
                                  (size_t)(address + i - r->lo), name, at);
        }
        if (clash(&c->writer, me, r->threadgroup))
            report_race(g, r, address + i, me, write, &c->writer, true);
        if (!write) {
            note_reader(c, me);
            continue;
        }
        for (unsigned k = 0; k < 2; k++)
            if (clash(&c->reader[k], me, r->threadgroup))
                report_race(g, r, address + i, me, true, &c->reader[k], false);
        c->writer = *me;
    }
}

/* Constants and what the compiler puts beside them. */
static void check_image(struct soft_group *g, uintptr_t address, size_t size, bool write,
                        uint32_t place) {
    const struct msl_globals *globals = g->dispatch->library->module->globals;
    char at[256];
    for (unsigned long i = 0; i < globals->count; i++) {
        const struct msl_global *v = &globals->first[i];
        uintptr_t lo = (uintptr_t)v->begin;
        if (address - lo >= v->size_with_redzone || address + size <= lo + v->size)
            continue;
        place_text(g, place, at, sizeof at);
        assay_soft_group_fail(
            g, "out-of-bounds read of %zu bytes at byte %zu of '%s' of %lu bytes, at %s", size,
            (size_t)(address - lo), v->name, v->size, at);
    }
    if (write) {
        place_text(g, place, at, sizeof at);
        assay_soft_group_fail(g, "write of %zu bytes to constant memory at %s", size, at);
    }
}

static void check(struct soft_group *g, uintptr_t address, size_t size, bool write,
                  struct record *me) {
    struct assay_soft_shadow *s = g->shadow;
    const struct region *r = &s->regions[s->last], *forbidden = NULL;
    unsigned i = s->last;
    for (unsigned tries = 0; tries < s->n_regions; tries++, i = i + 1 < s->n_regions ? i + 1 : 0) {
        r = &s->regions[i];
        if (address < r->lo || address >= r->hi || size > r->hi - address)
            continue;
        if (write && !r->writable) {
            forbidden = r;
            continue;
        }
        s->last = i;
        if (r->memory->cells == NULL)
            return;
        const struct soft_epochs *e = &g->simdgroups[g->current / MSL_LANES].epochs;
        me->epoch = r->threadgroup ? g->epochs.threadgroup : g->epochs.device;
        me->simd_epoch = r->threadgroup ? e->threadgroup : e->device;
        check_bytes(g, r, address, size, write, me);
        return;
    }
    if (forbidden != NULL) {
        char at[256], name[128];
        place_text(g, me->place, at, sizeof at);
        region_text(forbidden, name, sizeof name);
        assay_soft_group_fail(g, "write of %zu bytes to read-only %s at %s", size, name, at);
    }
    const struct assay_soft_library *lib = g->dispatch->library;
    if (address >= lib->image && address < lib->image_end)
        check_image(g, address, size, write, me->place);
    else
        report_bounds(g, address, size, write, me->place);
}

void assay_soft_shadow_access(struct soft_group *g, uintptr_t address, size_t size, unsigned align,
                              bool write, bool atomic, uintptr_t pc) {
    uintptr_t stack = (uintptr_t)assay_soft_stack(&g->stacks, g->current);
    if (address - stack < ASSAY_SOFT_STACK || size == 0)
        return;
    struct record me = {.group = g->number + 1,
                        .place = (uint32_t)(pc - g->dispatch->library->image),
                        .thread = (uint16_t)g->current,
                        .atomic = atomic};
    if (address % align != 0) {
        char at[256];
        place_text(g, me.place, at, sizeof at);
        assay_soft_group_fail(g, "misaligned %s: %zu bytes at an address %u bytes off, at %s",
                              write ? "write" : "read", size, (unsigned)(address % align), at);
    }
    check(g, address, size, write, &me);
}

void assay_soft_shadow_matrix(struct soft_group *g, uintptr_t address, size_t size, bool write,
                              unsigned line) {
    struct record me = {.group = g->number + 1,
                        .place = LINE | line,
                        .thread = (uint16_t)(WHOLE | g->current / MSL_LANES)};
    check(g, address, size, write, &me);
}
