/* Opening GGUF models: mapping files, joining splits, lookups. */
#include "gguf.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gguf_internal.h"

struct assay_gguf {
    uint32_t n_parts;
    struct assay_gguf_part *parts;
    size_t n_tensors;
    struct assay_gguf_tensor *tensors;                /* all splits, in file order */
    const struct assay_gguf_tensor **tensors_by_name; /* sorted */
};

/* ---- Mapped files ---- */

/* A node of the list that assay_gguf_where searches. */
struct assay_gguf_mapping {
    struct assay_gguf_mapping *next;
    const uint8_t *map;
    const char *path; /* the part's */
    struct stat opened;
};

static struct assay_gguf_mapping *mappings;

bool assay_gguf_where(const void *address, const char **path, uint64_t *offset) {
    const uint8_t *p = address;

    for (const struct assay_gguf_mapping *m = mappings; m != NULL; m = m->next)
        if (p >= m->map && p - m->map < m->opened.st_size) {
            *path = m->path;
            *offset = (uint64_t)(p - m->map);
            return true;
        }
    return false;
}

static bool remember_mapping(struct assay_gguf_part *part, const struct stat *st) {
    struct assay_gguf_mapping *m = malloc(sizeof *m);

    if (m == NULL)
        return false;
    *m = (struct assay_gguf_mapping){mappings, part->map, part->path, *st};
    part->mapping = mappings = m;
    return true;
}

static void forget_mapping(struct assay_gguf_mapping *mapping) {
    for (struct assay_gguf_mapping **m = &mappings; *m != NULL; m = &(*m)->next)
        if (*m == mapping) {
            *m = mapping->next;
            free(mapping);
            return;
        }
}

#ifdef __APPLE__
#define MTIME st_mtimespec
#else
#define MTIME st_mtim
#endif

static const char *change_of(const struct assay_gguf_mapping *m) {
    struct stat now;

    if (stat(m->path, &now) != 0 || now.st_ino != m->opened.st_ino ||
        now.st_dev != m->opened.st_dev)
        return NULL; /* removed or replaced */
    if (now.st_size < m->opened.st_size)
        return "was truncated while it was being read";
    if (now.st_size != m->opened.st_size || now.MTIME.tv_sec != m->opened.MTIME.tv_sec ||
        now.MTIME.tv_nsec != m->opened.MTIME.tv_nsec)
        return "was written to while it was being read";
    return NULL;
}

bool assay_gguf_unchanged(const struct assay_gguf *g, char *err, size_t err_size) {
    for (uint32_t i = 0; i < g->n_parts; i++) {
        const char *change = change_of(g->parts[i].mapping);
        if (change != NULL) {
            snprintf(err, err_size, "%s: %s", g->parts[i].path, change);
            return false;
        }
    }
    return true;
}

/* ---- Opening ---- */

static bool map_fd(struct assay_gguf_part *part, int fd, struct assay_gguf_err err) {
    struct stat st;
    if (fstat(fd, &st) != 0)
        return assay_gguf_fail(err, part->path, 0, "cannot stat: %s", strerror(errno));
    if (S_ISDIR(st.st_mode))
        return assay_gguf_fail(err, part->path, 0, "is a directory");
    if (!S_ISREG(st.st_mode))
        return assay_gguf_fail(err, part->path, 0, "is not a regular file");
    if ((uintmax_t)st.st_size > SIZE_MAX)
        return assay_gguf_fail(err, part->path, 0, "too large to map: %jd bytes",
                               (intmax_t)st.st_size);
    if (st.st_size == 0)
        return true; /* cannot be mapped; the parser reports it */
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return assay_gguf_fail(err, part->path, 0, "cannot map: %s", strerror(errno));
    part->map = map;
    part->size = (size_t)st.st_size;
    if (!remember_mapping(part, &st))
        return assay_gguf_fail(err, part->path, 0, "out of memory");
    return true;
}

static bool open_part(struct assay_gguf_part *part, const char *path, struct assay_gguf_err err) {
    part->path = strdup(path);
    if (part->path == NULL)
        return assay_gguf_fail(err, path, 0, "out of memory");
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block */
    if (fd < 0)
        return assay_gguf_fail(err, path, 0, "cannot open: %s", strerror(errno));
    bool ok = map_fd(part, fd, err);
    close(fd);
    return ok && assay_gguf_parse(part, err);
}

static void close_part(struct assay_gguf_part *part) {
    if (part->mapping != NULL)
        forget_mapping(part->mapping);
    if (part->map != NULL)
        munmap((void *)part->map, part->size);
    free(part->path);
    free(part->kv);
    free(part->kv_by_key);
    free(part->tensors);
}

/* An integer key of a part; false with a message if it is missing or of another type. */
static bool split_key(const struct assay_gguf_part *part, const char *key, uint64_t *v,
                      struct assay_gguf_err err) {
    const struct assay_gguf_kv *kv = assay_gguf_part_find(part, key);
    if (kv == NULL)
        return assay_gguf_fail(err, part->path, 24, "split file without the key %s", key);
    if (!assay_gguf_kv_u64(kv, v))
        return assay_gguf_fail(err, part->path, (uint64_t)(kv->value - part->map),
                               "%s is not a non-negative integer", key);
    return true;
}

/* Splits "PREFIX-0000I-of-0000N.gguf". */
static bool parse_split_name(const char *path, size_t *prefix_len, uint64_t *no, uint64_t *count) {
    static const char pattern[] = "-ddddd-of-ddddd.gguf";
    const size_t n = sizeof pattern - 1;
    size_t len = strlen(path);
    if (len < n)
        return false;
    const char *s = path + len - n;
    for (size_t i = 0; i < n; i++)
        if (pattern[i] == 'd' ? s[i] < '0' || s[i] > '9' : s[i] != pattern[i])
            return false;
    *prefix_len = len - n;
    *no = strtoul(s + 1, NULL, 10);
    *count = strtoul(s + 10, NULL, 10);
    return true;
}

/* Checks one split's own numbers; parts[i] is open. */
static bool check_split(const struct assay_gguf_part *part, uint64_t no, uint64_t count,
                        struct assay_gguf_err err) {
    uint64_t has_no = 0, has_count = 0;
    if (!split_key(part, "split.no", &has_no, err) ||
        !split_key(part, "split.count", &has_count, err))
        return false;
    const struct assay_gguf_kv *kv = assay_gguf_part_find(part, "split.no");
    if (has_no != no || has_count != count)
        return assay_gguf_fail(err, part->path, (uint64_t)(kv->value - part->map),
                               "split.no %" PRIu64 " of %" PRIu64 " does not match the file name",
                               has_no, has_count);
    return true;
}

/* Opens the whole set that g->parts[0] (the file given) belongs to, in order. */
static bool open_splits(struct assay_gguf *g, struct assay_gguf_err err) {
    const struct assay_gguf_part *given = &g->parts[0];
    const struct assay_gguf_kv *kv = assay_gguf_part_find(given, "split.count");
    uint64_t keyed_count = 0, no = 0, count = 0;
    if (kv == NULL)
        return true;
    if (!split_key(given, "split.count", &keyed_count, err))
        return false;
    if (keyed_count <= 1)
        return true;
    size_t prefix_len;
    if (!parse_split_name(given->path, &prefix_len, &no, &count) || no < 1 || no > count ||
        count != keyed_count)
        return assay_gguf_fail(err, given->path, (uint64_t)(kv->value - given->map),
                               "split.count is %" PRIu64
                               " but the file name does not end in -0000I-of-%05" PRIu64 ".gguf",
                               keyed_count, keyed_count);
    struct assay_gguf_part *parts = calloc(count, sizeof *parts);
    char *path = malloc(strlen(given->path) + 1);
    bool ok = parts != NULL && path != NULL;
    if (!ok) {
        free(parts);
        free(path);
        return assay_gguf_fail(err, given->path, 0, "out of memory");
    }
    /* The given file takes its place in the set; from here on `given` is stale. */
    parts[no - 1] = g->parts[0];
    free(g->parts);
    g->parts = parts;
    g->n_parts = (uint32_t)count;
    const char *prefix = parts[no - 1].path;
    for (uint32_t i = 0; i < count && ok; i++) {
        snprintf(path, strlen(prefix) + 1, "%.*s-%05" PRIu32 "-of-%05" PRIu64 ".gguf",
                 (int)prefix_len, prefix, i + 1, count);
        ok = (i == no - 1 || open_part(&parts[i], path, err)) &&
             check_split(&parts[i], i, count, err);
    }
    free(path);
    return ok;
}

/* By name, then by place in the model. */
static int name_cmp(const void *pa, const void *pb) {
    const struct assay_gguf_tensor *a = *(const struct assay_gguf_tensor *const *)pa;
    const struct assay_gguf_tensor *b = *(const struct assay_gguf_tensor *const *)pb;
    int d = assay_gguf_str_cmp(a->name, b->name);
    return d != 0 ? d : (a > b) - (a < b);
}

static uint64_t name_offset(const struct assay_gguf_part *part, const struct assay_gguf_tensor *t) {
    return (uint64_t)((const uint8_t *)t->name.data - part->map) - 8; /* of its length field */
}

static bool sort_tensors(struct assay_gguf *g, struct assay_gguf_err err) {
    for (size_t i = 0; i < g->n_tensors; i++)
        g->tensors_by_name[i] = &g->tensors[i];
    qsort(g->tensors_by_name, g->n_tensors, sizeof *g->tensors_by_name, name_cmp);
    for (size_t i = 1; i < g->n_tensors; i++) {
        const struct assay_gguf_tensor *a = g->tensors_by_name[i - 1], *b = g->tensors_by_name[i];
        if (assay_gguf_str_cmp(a->name, b->name) == 0) {
            const struct assay_gguf_part *part = &g->parts[b->split];
            return assay_gguf_fail(
                err, part->path, name_offset(part, b),
                "duplicate tensor name %s, first at offset %" PRIu64 " of split %" PRIu32,
                assay_gguf_quote(b->name).s, name_offset(&g->parts[a->split], a), a->split + 1);
        }
    }
    return true;
}

/* Moves the tensors of all parts into one array. */
static bool join_tensors(struct assay_gguf *g, struct assay_gguf_err err) {
    for (uint32_t i = 0; i < g->n_parts; i++)
        g->n_tensors += g->parts[i].n_tensors;
    const struct assay_gguf_part *first = &g->parts[0];
    const struct assay_gguf_kv *kv = assay_gguf_part_find(first, "split.tensors.count");
    uint64_t stated;
    if (g->n_parts > 1 && kv != NULL && assay_gguf_kv_u64(kv, &stated) && stated != g->n_tensors)
        return assay_gguf_fail(err, first->path, (uint64_t)(kv->value - first->map),
                               "split.tensors.count is %" PRIu64 ", the splits hold %zu", stated,
                               g->n_tensors);
    g->tensors = calloc(g->n_tensors + 1, sizeof *g->tensors);
    g->tensors_by_name = calloc(g->n_tensors + 1, sizeof *g->tensors_by_name);
    if (g->tensors == NULL || g->tensors_by_name == NULL)
        return assay_gguf_fail(err, first->path, 0, "out of memory");
    size_t n = 0;
    for (uint32_t i = 0; i < g->n_parts; i++) {
        struct assay_gguf_part *part = &g->parts[i];
        for (size_t j = 0; j < part->n_tensors; j++) {
            g->tensors[n] = part->tensors[j];
            g->tensors[n++].split = i;
        }
        free(part->tensors);
        part->tensors = NULL;
    }
    return sort_tensors(g, err);
}

struct assay_gguf *assay_gguf_open(const char *path, char *err_buf, size_t err_size) {
    struct assay_gguf_err err = {err_buf, err_size};
    struct assay_gguf *g = calloc(1, sizeof *g);
    struct assay_gguf_part *part = calloc(1, sizeof *part);
    if (g == NULL || part == NULL) {
        free(g);
        free(part);
        assay_gguf_fail(err, path, 0, "out of memory");
        return NULL;
    }
    g->parts = part;
    g->n_parts = 1;
    if (!open_part(part, path, err) || !open_splits(g, err) || !join_tensors(g, err)) {
        assay_gguf_close(g);
        return NULL;
    }
    return g;
}

void assay_gguf_close(struct assay_gguf *g) {
    if (g == NULL)
        return;
    for (uint32_t i = 0; i < g->n_parts; i++)
        close_part(&g->parts[i]);
    free(g->parts);
    free(g->tensors);
    free(g->tensors_by_name);
    free(g);
}

uint32_t assay_gguf_version(const struct assay_gguf *g) { return g->parts[0].version; }

uint32_t assay_gguf_alignment(const struct assay_gguf *g) { return g->parts[0].alignment; }

uint64_t assay_gguf_file_bytes(const struct assay_gguf *g) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < g->n_parts; i++)
        sum += g->parts[i].size;
    return sum;
}

uint32_t assay_gguf_split_count(const struct assay_gguf *g) { return g->n_parts; }

const char *assay_gguf_split_path(const struct assay_gguf *g, uint32_t i) {
    return g->parts[i].path;
}

size_t assay_gguf_kv_count(const struct assay_gguf *g) { return g->parts[0].n_kv; }

const struct assay_gguf_kv *assay_gguf_kv_at(const struct assay_gguf *g, size_t i) {
    return &g->parts[0].kv[i];
}

const struct assay_gguf_kv *assay_gguf_kv_find(const struct assay_gguf *g, const char *key) {
    return assay_gguf_part_find(&g->parts[0], key);
}

size_t assay_gguf_tensor_count(const struct assay_gguf *g) { return g->n_tensors; }

const struct assay_gguf_tensor *assay_gguf_tensor_at(const struct assay_gguf *g, size_t i) {
    return &g->tensors[i];
}

const struct assay_gguf_tensor *assay_gguf_tensor_find(const struct assay_gguf *g,
                                                       const char *name) {
    struct assay_gguf_str want = {name, strlen(name)};
    size_t lo = 0, hi = g->n_tensors;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int d = assay_gguf_str_cmp(want, g->tensors_by_name[mid]->name);
        if (d == 0)
            return g->tensors_by_name[mid];
        if (d < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

void assay_gguf_release_pages(const struct assay_gguf *g, const struct assay_gguf_tensor *t) {
    /* Whole pages, rounded outward: a neighbour's bytes on them are read again when needed. */
    const struct assay_gguf_part *part = &g->parts[t->split];
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t start = (size_t)t->file_offset / page * page;
    size_t end = (size_t)(t->file_offset + t->bytes);
    madvise((void *)(part->map + start), end - start, MADV_DONTNEED);
}
