#include "memuse.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef __APPLE__
#include <mach/mach.h>
#endif

#include "timer.h"

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
        {"RssFile:", &m->file}, {"RssShmem:", &m->shmem}, {"VmPTE:", &m->page_tables},
    };
    return read_fields("/proc/self/status", fields, 6) == 6;
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

bool assay_memuse_reset_peak(void) {
    FILE *f = fopen("/proc/self/clear_refs", "we");
    bool ok;

    if (!f)
        return false;
    ok = fputs("5", f) >= 0; /* CLEAR_REFS_MM_HIWATER_RSS */
    return fclose(f) == 0 && ok;
}

uint64_t assay_cgroup_headroom(const char *root, const char *group) {
    uint64_t least = UINT64_MAX;
    char dir[2048], path[2112];

    if (snprintf(dir, sizeof dir, "%s%s", root, group) >= (int)sizeof dir)
        return least;
    for (;;) {
        snprintf(path, sizeof path, "%s/memory.max", dir);
        uint64_t limit = number_in(path, "");
        snprintf(path, sizeof path, "%s/memory.stat", dir);
        uint64_t used = number_in(path, "anon ");
        if (limit != UINT64_MAX && used != UINT64_MAX) {
            uint64_t left = limit > used ? limit - used : 0;
            least = left < least ? left : least;
        }
        char *slash = strrchr(dir, '/');
        if (strlen(dir) <= strlen(root) || !slash)
            return least;
        *slash = '\0';
    }
}

/* The cgroup of this process in the v2 hierarchy ("0::/a/b"), "" if there is none. */
static void own_cgroup(char *group, size_t size) {
    FILE *f = fopen("/proc/self/cgroup", "re");
    char line[2048];

    *group = '\0';
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "0::", 3) == 0) {
            line[strcspn(line, "\n")] = '\0';
            snprintf(group, size, "%s", strcmp(line + 3, "/") == 0 ? "" : line + 3);
        }
    if (f)
        fclose(f);
}

uint64_t assay_memory_available(void) {
    char group[2048];
    uint64_t available = 0, headroom;
    const struct field field = {"MemAvailable:", &available};

    own_cgroup(group, sizeof group);
    headroom = assay_cgroup_headroom("/sys/fs/cgroup", group);
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

bool assay_memuse_reset_peak(void) { return false; }

uint64_t assay_cgroup_headroom(const char *root, const char *group) {
    (void)root, (void)group;
    return UINT64_MAX;
}

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

bool assay_memuse_reset_peak(void) { return false; }

uint64_t assay_cgroup_headroom(const char *root, const char *group) {
    (void)root, (void)group;
    return UINT64_MAX;
}

uint64_t assay_memory_available(void) { return 0; }

#endif

struct assay_memwatch {
    pthread_t thread;
    pthread_mutex_t lock; /* of points, n and stretch */
    atomic_bool stop;
    struct assay_memuse max; /* the thread's until it has been joined */
    uint64_t start_ns;
    double stretch; /* seconds a point stands for */
    size_t n;
    struct assay_mempoint points[ASSAY_MEMWATCH_POINTS];
};

static void keep_max(struct assay_memuse *max, const struct assay_memuse *m) {
    uint64_t *a[] = {&max->resident, &max->anon,        &max->file,
                     &max->shmem,    &max->page_tables, &max->peak};
    const uint64_t b[] = {m->resident, m->anon, m->file, m->shmem, m->page_tables, m->peak};

    for (int i = 0; i < 6; i++)
        if (*a[i] < b[i])
            *a[i] = b[i];
}

static void merge_point(struct assay_mempoint *to, const struct assay_mempoint *p) {
    uint64_t *a[] = {&to->resident, &to->anon, &to->file, &to->page_tables};
    const uint64_t b[] = {p->resident, p->anon, p->file, p->page_tables};

    for (int i = 0; i < 4; i++)
        if (*a[i] < b[i])
            *a[i] = b[i];
}

/* Adds a reading: to the last point, if it falls into its stretch, else as a new one. */
static void add_point(struct assay_memwatch *w, double seconds, const struct assay_memuse *m) {
    struct assay_mempoint p = {seconds, m->resident, m->anon, m->file, m->page_tables};

    if (w->n == ASSAY_MEMWATCH_POINTS) {
        size_t kept = 0;
        w->stretch *= 2;
        for (size_t i = 0; i < w->n; i++) {
            double end = (floor(w->points[i].seconds / w->stretch) + 1) * w->stretch;
            if (kept > 0 && w->points[kept - 1].seconds == end) {
                merge_point(&w->points[kept - 1], &w->points[i]);
            } else {
                w->points[kept] = w->points[i];
                w->points[kept++].seconds = end;
            }
        }
        w->n = kept;
    }
    if (w->n > 0 && seconds < w->points[w->n - 1].seconds) {
        merge_point(&w->points[w->n - 1], &p);
    } else {
        p.seconds = (floor(seconds / w->stretch) + 1) * w->stretch;
        w->points[w->n++] = p;
    }
}

static void *watch(void *arg) {
    struct assay_memwatch *w = arg;
    const struct timespec ms = {0, 1000000};
    struct assay_memuse m;

    while (!atomic_load(&w->stop)) {
        if (assay_memuse_now(&m)) {
            keep_max(&w->max, &m);
            pthread_mutex_lock(&w->lock);
            add_point(w, 1e-9 * (double)(assay_now_ns() - w->start_ns), &m);
            pthread_mutex_unlock(&w->lock);
        }
        nanosleep(&ms, NULL);
    }
    return NULL;
}

struct assay_memwatch *assay_memwatch_start(void) {
    struct assay_memwatch *w = calloc(1, sizeof *w);

    if (!w)
        return NULL;
    atomic_init(&w->stop, false);
    pthread_mutex_init(&w->lock, NULL);
    w->stretch = 1e-3;
    w->start_ns = assay_now_ns();
    if (pthread_create(&w->thread, NULL, watch, w) != 0) {
        free(w);
        return NULL;
    }
    return w;
}

size_t assay_memwatch_points(struct assay_memwatch *w, struct assay_mempoint *points) {
    pthread_mutex_lock(&w->lock);
    size_t n = w->n;
    memcpy(points, w->points, n * sizeof *points);
    pthread_mutex_unlock(&w->lock);
    return n;
}

void assay_memwatch_stop(struct assay_memwatch *w, struct assay_memuse *max) {
    struct assay_memuse last;

    atomic_store(&w->stop, true);
    pthread_join(w->thread, NULL);
    pthread_mutex_destroy(&w->lock);
    if (assay_memuse_now(&last))
        keep_max(&w->max, &last);
    *max = w->max;
    free(w);
}
