#include "guard.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

bool assay_guard_alloc(struct assay_guard *g, size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t body;
    char *map;

    *g = (struct assay_guard){NULL, 0, NULL, 0};
    if (size > SIZE_MAX - 3 * page)
        return false;
    body = (size + page - 1) / page * page;
    map = mmap(NULL, body + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return false;
    g->map = map;
    g->map_size = body + 2 * page;
    if (body > 0 && mprotect(map + page, body, PROT_READ | PROT_WRITE) != 0) {
        assay_guard_free(g);
        return false;
    }
    g->data = map + page + body - size;
    g->size = size;
    return true;
}

void assay_guard_read_only(struct assay_guard *g) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (g->map_size > 2 * page)
        mprotect((char *)g->map + page, g->map_size - 2 * page, PROT_READ);
}

void assay_guard_free(struct assay_guard *g) {
    if (g->map != NULL)
        munmap(g->map, g->map_size);
    *g = (struct assay_guard){NULL, 0, NULL, 0};
}
