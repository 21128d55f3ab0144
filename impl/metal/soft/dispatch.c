/* A dispatch: what the device would refuse, then workers over the threadgroups. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "group.h"
#include "shadow.h"

struct job {
    const struct assay_soft_dispatch *d;
    uint32_t groups[3];
    uint64_t n_groups, step, start; /* the order: start + i * step modulo n_groups */
    _Atomic uint64_t next;
    _Atomic bool failed;
    pthread_mutex_t lock; /* of what follows */
    uint64_t error_group;
    char *err;
    size_t err_size;
};

static uint64_t gcd(uint64_t a, uint64_t b) {
    while (b != 0) {
        uint64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

/* ---- What is refused ---- */

static bool check_buffer(const struct assay_soft_dispatch *d, const struct msl_param *p, char *err,
                         size_t n) {
    const struct assay_soft_binding *b = &d->buffers[p->index];
    const char *k = d->kernel->name;
    bool checked = assay_soft_module(d->library)->checked;
    if (b->base == NULL)
        snprintf(err, n, "%s: nothing is bound to buffer(%u) '%s'", k, p->index, p->name);
    else if (b->offset >= b->length)
        snprintf(err, n, "%s: buffer(%u) '%s': offset %zu of %zu bytes", k, p->index, p->name,
                 b->offset, b->length);
    else if (((uintptr_t)b->base + b->offset) % p->align != 0)
        snprintf(err, n, "%s: buffer(%u) '%s': offset %zu is not a multiple of %u", k, p->index,
                 p->name, b->offset, p->align);
    else if (p->reference && b->length - b->offset < p->size)
        snprintf(err, n, "%s: buffer(%u) '%s' of %u bytes is bound to %zu bytes", k, p->index,
                 p->name, p->size, b->length - b->offset);
    else if (checked && b->bytes && p->reference && b->length != p->size)
        snprintf(err, n, "%s: setBytes of %zu bytes to buffer(%u) '%s' of %u bytes", k, b->length,
                 p->index, p->name, p->size);
    else if (b->bytes && b->length > ASSAY_SOFT_MAX_BYTES)
        snprintf(err, n, "%s: setBytes of %zu bytes to buffer(%u), %u at most", k, b->length,
                 p->index, ASSAY_SOFT_MAX_BYTES);
    else if (b->bytes && p->writable)
        snprintf(err, n, "%s: buffer(%u) '%s' is writable, but bound by setBytes", k, p->index,
                 p->name);
    else
        return true;
    return false;
}

static bool check_constants(const struct assay_soft_dispatch *d, char *err, size_t n) {
    const struct msl_module *m = assay_soft_module(d->library);
    for (unsigned i = 0; i < m->n_constants; i++) {
        const struct msl_function_constant *c = &m->constants[i];
        if (!d->constant_set[c->index] && !c->optional) {
            snprintf(err, n, "%s: function_constant(%u) '%s' has no value", d->kernel->name,
                     c->index, c->name);
            return false;
        }
    }
    return true;
}

static bool check_dispatch(const struct assay_soft_dispatch *d, char *err, size_t n) {
    const struct msl_kernel *k = d->kernel;
    uint64_t threads = 1, shared = 0;
    unsigned limit = k->max_threads ? k->max_threads : ASSAY_SOFT_MAX_THREADS;
    if (limit > ASSAY_SOFT_MAX_THREADS)
        limit = ASSAY_SOFT_MAX_THREADS;
    for (unsigned i = 0; i < 3; i++) {
        if (d->group[i] == 0 || d->threads[i] == 0 || d->group[i] > ASSAY_SOFT_MAX_THREADS) {
            snprintf(err, n, "%s: dispatch of %ux%ux%u threads in threadgroups of %ux%ux%u",
                     k->name, d->threads[0], d->threads[1], d->threads[2], d->group[0], d->group[1],
                     d->group[2]);
            return false;
        }
        threads *= d->group[i];
    }
    if (threads > limit) {
        snprintf(err, n, "%s: %llu threads in a threadgroup, %u at most", k->name,
                 (unsigned long long)threads, limit);
        return false;
    }
    for (unsigned i = 0; i < k->n_params; i++) {
        const struct msl_param *p = &k->params[i];
        if (p->kind == MSL_BUFFER && !check_buffer(d, p, err, n))
            return false;
        if (p->kind != MSL_THREADGROUP)
            continue;
        size_t bytes = d->threadgroup_bytes[p->index];
        shared += bytes;
        if (bytes == 0 || bytes % 16 != 0) {
            snprintf(err, n, "%s: threadgroup(%u) '%s' has a length of %zu, not a multiple of 16",
                     k->name, p->index, p->name, bytes);
            return false;
        }
    }
    if (shared > ASSAY_SOFT_MAX_THREADGROUP) {
        snprintf(err, n, "%s: %llu bytes of threadgroup memory, %u at most", k->name,
                 (unsigned long long)shared, ASSAY_SOFT_MAX_THREADGROUP);
        return false;
    }
    return check_constants(d, err, n);
}

static void set_constants(const struct assay_soft_dispatch *d) {
    const struct msl_module *m = assay_soft_module(d->library);
    for (unsigned i = 0; i < m->n_constants; i++) {
        const struct msl_function_constant *c = &m->constants[i];
        *c->defined = d->constant_set[c->index];
        if (d->constant_set[c->index])
            memcpy(c->value, &d->constants[c->index], c->size);
        else
            memset(c->value, 0, c->size);
    }
}

/* ---- Workers ---- */

static void note_error(struct job *j, uint64_t group, const char *message) {
    pthread_mutex_lock(&j->lock);
    if (!atomic_load(&j->failed) || group < j->error_group) {
        j->error_group = group;
        snprintf(j->err, j->err_size, "%s", message);
    }
    atomic_store(&j->failed, true);
    pthread_mutex_unlock(&j->lock);
}

static void *work(void *user) {
    struct job *j = user;
    const struct assay_soft_dispatch *d = j->d;
    struct soft_group *g = assay_soft_group_get(d->group[0] * d->group[1] * d->group[2]);
    if (g == NULL) {
        note_error(j, UINT64_MAX, "no memory for the stacks of a threadgroup");
        return NULL;
    }
    if (assay_soft_module(d->library)->checked && (g->shadow = assay_soft_shadow_create(d)) == NULL)
        note_error(j, UINT64_MAX, "no memory for shadow memory");
    uint64_t i;
    while (!atomic_load(&j->failed) && (i = atomic_fetch_add(&j->next, 1)) < j->n_groups) {
        uint64_t k = (j->start + i * j->step) % j->n_groups;
        uint32_t at[3] = {(uint32_t)(k % j->groups[0]), (uint32_t)(k / j->groups[0] % j->groups[1]),
                          (uint32_t)(k / j->groups[0] / j->groups[1])};
        uint32_t size[3];
        for (unsigned a = 0; a < 3; a++) {
            uint32_t left = d->threads[a] - at[a] * d->group[a];
            size[a] = left < d->group[a] ? left : d->group[a];
        }
        if (!assay_soft_group_run(g, d, (uint32_t)k, at, size))
            note_error(j, k, g->error);
    }
    assay_soft_shadow_free(g->shadow);
    g->shadow = NULL;
    assay_soft_group_put(g);
    return NULL;
}

bool assay_soft_run(const struct assay_soft_dispatch *d, char *err, size_t err_size) {
    static pthread_mutex_t device = PTHREAD_MUTEX_INITIALIZER;
    enum { MAX_WORKERS = 64 };
    pthread_t threads[MAX_WORKERS];
    if (!check_dispatch(d, err, err_size))
        return false;
    struct job j = {.d = d,
                    .lock = PTHREAD_MUTEX_INITIALIZER,
                    .err = err,
                    .err_size = err_size,
                    .n_groups = 1,
                    .step = 1};
    for (unsigned a = 0; a < 3; a++) {
        j.groups[a] = (d->threads[a] + d->group[a] - 1) / d->group[a];
        j.n_groups *= j.groups[a];
    }
    if (j.n_groups >= UINT32_MAX) {
        snprintf(err, err_size, "%s: too many threadgroups", d->kernel->name);
        return false;
    }
    if (d->seed != 0) {
        j.start = d->seed * UINT64_C(0x9e3779b97f4a7c15) % j.n_groups;
        j.step = (d->seed >> 1 | 1) % j.n_groups;
        while (j.step == 0 || gcd(j.step, j.n_groups) != 1)
            j.step++;
    }
    unsigned workers = assay_soft_module(d->library)->checked || d->workers == 0 ? 1 : d->workers;
    workers = workers > MAX_WORKERS ? MAX_WORKERS : workers;
    if (workers > j.n_groups)
        workers = (unsigned)j.n_groups;
    pthread_mutex_lock(&device);
    set_constants(d);
    unsigned started = 0;
    while (started + 1 < workers && pthread_create(&threads[started], NULL, work, &j) == 0)
        started++;
    work(&j);
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_unlock(&device);
    pthread_mutex_destroy(&j.lock);
    return !atomic_load(&j.failed);
}
