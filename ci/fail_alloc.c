/* Linked into the program of ci/alloc.sh only, with the linker's --wrap: each allocation that
 * assay's own code and, by its hooks, the JSON library ask for is numbered, over the process and
 * its forked children, and one of them fails. What other libraries allocate for themselves is not
 * reached.
 *
 *   ASSAY_ALLOC_FAIL=K    the K-th fails
 *   ASSAY_ALLOC_LOG=FILE  at the end of the process that began, one line an allocation: its number
 * and its site, the two innermost callers in the program; with ASSAY_ALLOC_FAIL, at once, the one
 * that fails (threads may take turns in another order) */
#include <dirent.h>
#include <errno.h>
#include <execinfo.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

enum { MAX_LOGGED = 1 << 20 };

struct shared {
    unsigned long count;
    uintptr_t sites[MAX_LOGGED][2];
};

extern const char __executable_start, etext;

void *__real_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset);
FILE *__real_fopen(const char *path, const char *mode);

static struct shared *shared; /* NULL: nothing is numbered yet, or any more */
static unsigned long failing;
static const char *log_path;
static pid_t first;

__attribute__((constructor(101))) static void begin(void) {
    const char *k = getenv("ASSAY_ALLOC_FAIL");
    void *map = __real_mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    failing = k != NULL ? strtoul(k, NULL, 10) : 0;
    log_path = getenv("ASSAY_ALLOC_LOG");
    first = getpid();
    if (map != MAP_FAILED)
        shared = map;
}

__attribute__((destructor(101))) static void end(void) {
    struct shared *s = shared;
    FILE *f;

    shared = NULL;
    if (log_path == NULL || s == NULL || getpid() != first || failing != 0)
        return;
    f = __real_fopen(log_path, "w");
    if (f == NULL)
        return;
    for (unsigned long i = 0; i < s->count && i < MAX_LOGGED; i++)
        fprintf(f, "%lu %#lx %#lx\n", i + 1, (unsigned long)s->sites[i][0],
                (unsigned long)s->sites[i][1]);
    fclose(f);
}

/* For ci/coverage_exit.c: what the counting of lines allocates is nobody's. */
void assay_fail_alloc_end(void);
void assay_fail_alloc_end(void) { shared = NULL; }

static void log_site(unsigned long i) {
    const uintptr_t low = (uintptr_t)&__executable_start, high = (uintptr_t)&etext;
    void *frames[24];
    int n = backtrace(frames, 24), found = 0;

    /* The first two frames are this file's. */
    for (int f = 2; f < n && found < 2; f++) {
        uintptr_t at = (uintptr_t)frames[f];
        if (at >= low && at < high)
            shared->sites[i][found++] = at - low;
    }
}

static void tell(unsigned long number) {
    FILE *f = __real_fopen(log_path, "w");

    if (f == NULL)
        return;
    fprintf(f, "%lu %#lx %#lx\n", number, (unsigned long)shared->sites[number - 1][0],
            (unsigned long)shared->sites[number - 1][1]);
    fclose(f);
}

static int fails(void) {
    unsigned long number;

    if (shared == NULL)
        return 0;
    number = __atomic_add_fetch(&shared->count, 1, __ATOMIC_RELAXED);
    if (log_path != NULL && number <= MAX_LOGGED && (failing == 0 || number == failing))
        log_site(number - 1);
    if (number != failing)
        return 0;
    if (log_path != NULL)
        tell(number);
    errno = ENOMEM;
    return 1;
}

#define WRAP(type, name, parameters, arguments, failed)                                            \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters { return fails() ? failed : __real_##name arguments; }

WRAP(void *, malloc, (size_t n), (n), NULL)
WRAP(void *, calloc, (size_t n, size_t size), (n, size), NULL)
WRAP(void *, realloc, (void *p, size_t n), (p, n), NULL)
WRAP(void *, aligned_alloc, (size_t align, size_t n), (align, n), NULL)
WRAP(int, posix_memalign, (void **p, size_t align, size_t n), (p, align, n), ENOMEM)
WRAP(char *, strdup, (const char *s), (s), NULL)
WRAP(char *, strndup, (const char *s, size_t n), (s, n), NULL)
WRAP(char *, realpath, (const char *path, char *buf), (path, buf), NULL)
WRAP(void *, mmap, (void *a, size_t n, int prot, int flags, int fd, off_t o),
     (a, n, prot, flags, fd, o), MAP_FAILED)
WRAP(FILE *, fopen, (const char *path, const char *mode), (path, mode), NULL)
WRAP(FILE *, fdopen, (int fd, const char *mode), (fd, mode), NULL)
WRAP(FILE *, tmpfile, (void), (), NULL)
WRAP(FILE *, open_memstream, (char **p, size_t *n), (p, n), NULL)
WRAP(DIR *, opendir, (const char *path), (path), NULL)
