#include "memuse.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef __APPLE__
#include <mach/mach.h>
#endif

#ifdef __linux__

struct field {
    const char *key; /* with its colon */
    uint64_t *value;
};

/* Reads "Key:   123 kB" lines of a proc file; missing keys leave their value alone. Returns how
 * many were found. */
static int read_fields(const char *path, const struct field *fields, int n) {
    FILE *f = fopen(path, "re");
    char line[256];
    int found = 0;

    if (!f)
        return 0;
    while (fgets(line, sizeof line, f))
        for (int i = 0; i < n; i++) {
            size_t len = strlen(fields[i].key);
            unsigned long long kb;
            if (strncmp(line, fields[i].key, len) == 0 && sscanf(line + len, "%llu", &kb) == 1) {
                *fields[i].value = (uint64_t)kb * 1024;
                found++;
            }
        }
    fclose(f);
    return found;
}

bool assay_memuse_now(struct assay_memuse *m) {
    *m = (struct assay_memuse){0};
    const struct field fields[] = {
        {"VmHWM:", &m->peak},   {"VmRSS:", &m->resident}, {"RssAnon:", &m->anon},
        {"RssFile:", &m->file}, {"RssShmem:", &m->shmem},
    };
    return read_fields("/proc/self/status", fields, 5) == 5;
}

bool assay_memuse_exact(struct assay_memuse *m) {
    uint64_t rss = 0, anon = 0;
    const struct field fields[] = {{"Rss:", &rss}, {"Anonymous:", &anon}};

    if (!assay_memuse_now(m))
        return false;
    if (read_fields("/proc/self/smaps_rollup", fields, 2) == 2) {
        m->resident = rss;
        m->anon = anon;
        m->file = rss > anon + m->shmem ? rss - anon - m->shmem : 0;
    }
    if (m->peak < m->resident)
        m->peak = m->resident;
    return true;
}

/* The number in the first line that starts with `key`; UINT64_MAX if there is none. */
static uint64_t number_in(const char *path, const char *key) {
    FILE *f = fopen(path, "re");
    char line[256];
    unsigned long long v;
    uint64_t found = UINT64_MAX;

    if (!f)
        return found;
    while (found == UINT64_MAX && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0 && sscanf(line + strlen(key), "%llu", &v) == 1)
            found = v;
    fclose(f);
    return found;
}

/* What this control group still allows, its page cache counted as free; UINT64_MAX: no limit. */
static uint64_t cgroup_headroom(void) {
    uint64_t limit = number_in("/sys/fs/cgroup/memory.max", "");
    uint64_t used = number_in("/sys/fs/cgroup/memory.stat", "anon ");

    if (limit == UINT64_MAX || used == UINT64_MAX)
        return UINT64_MAX;
    return limit > used ? limit - used : 0;
}

uint64_t assay_memory_available(void) {
    uint64_t available = 0, headroom = cgroup_headroom();
    const struct field field = {"MemAvailable:", &available};

    read_fields("/proc/meminfo", &field, 1);
    return available < headroom ? available : headroom;
}

#elif defined(__APPLE__)

bool assay_memuse_now(struct assay_memuse *m) {
    task_vm_info_data_t info;
    mach_msg_type_number_t count = TASK_VM_INFO_COUNT;

    *m = (struct assay_memuse){0};
    if (task_info(mach_task_self(), TASK_VM_INFO, (task_info_t)&info, &count) != KERN_SUCCESS)
        return false;
    m->anon = info.phys_footprint;
    m->file = info.external;
    m->resident = m->anon + m->file;
    m->peak = info.resident_size_peak;
    return true;
}

bool assay_memuse_exact(struct assay_memuse *m) { return assay_memuse_now(m); }

uint64_t assay_memory_available(void) {
    vm_statistics64_data_t vm;
    mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;

    if (host_statistics64(mach_host_self(), HOST_VM_INFO64, (host_info64_t)&vm, &count) !=
        KERN_SUCCESS)
        return 0;
    return ((uint64_t)vm.free_count + vm.inactive_count) * vm_page_size;
}

#else

bool assay_memuse_now(struct assay_memuse *m) {
    *m = (struct assay_memuse){0};
    return false;
}

bool assay_memuse_exact(struct assay_memuse *m) { return assay_memuse_now(m); }

uint64_t assay_memory_available(void) { return 0; }

#endif

struct assay_memwatch {
    pthread_t thread;
    atomic_bool stop;
    struct assay_memuse max; /* the thread's until it has been joined */
};

static void keep_max(struct assay_memuse *max, const struct assay_memuse *m) {
    uint64_t *a[] = {&max->resident, &max->anon, &max->file, &max->shmem, &max->peak};
    const uint64_t b[] = {m->resident, m->anon, m->file, m->shmem, m->peak};

    for (int i = 0; i < 5; i++)
        if (*a[i] < b[i])
            *a[i] = b[i];
}

static void *watch(void *arg) {
    struct assay_memwatch *w = arg;
    const struct timespec ms = {0, 1000000};
    struct assay_memuse m;

    while (!atomic_load(&w->stop)) {
        if (assay_memuse_now(&m))
            keep_max(&w->max, &m);
        nanosleep(&ms, NULL);
    }
    return NULL;
}

struct assay_memwatch *assay_memwatch_start(void) {
    struct assay_memwatch *w = calloc(1, sizeof *w);

    if (!w)
        return NULL;
    atomic_init(&w->stop, false);
    if (pthread_create(&w->thread, NULL, watch, w) != 0) {
        free(w);
        return NULL;
    }
    return w;
}

void assay_memwatch_stop(struct assay_memwatch *w, struct assay_memuse *max) {
    struct assay_memuse last;

    atomic_store(&w->stop, true);
    pthread_join(w->thread, NULL);
    if (assay_memuse_now(&last))
        keep_max(&w->max, &last);
    *max = w->max;
    free(w);
}
