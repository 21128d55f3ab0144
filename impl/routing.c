#include "routing.h"

#include <stdlib.h>
#include <string.h>

bool assay_route_groups_new(struct assay_route_groups *g, const struct assay_routing *r,
                            size_t experts) {
    size_t at_most = r->m < experts ? r->m : experts;
    size_t counts, order, groups, bytes;
    *g = (struct assay_route_groups){.n = 0};
    if (__builtin_mul_overflow(experts, sizeof(size_t), &counts) ||
        __builtin_mul_overflow(r->m, sizeof(size_t), &order) ||
        __builtin_mul_overflow(at_most, sizeof *g->groups, &groups) ||
        __builtin_add_overflow(order, groups, &bytes) ||
        __builtin_add_overflow(bytes, counts, &bytes))
        return false;
    g->memory = malloc(bytes);
    if (!g->memory)
        return false;
    g->groups = g->memory;
    g->order = (size_t *)(void *)(g->groups + at_most);

    /* A counting sort: counts, then the place at which each expert's rows go on. */
    size_t *next = g->order + r->m;
    memset(next, 0, counts);
    for (size_t i = 0; i < r->m; i++)
        next[r->ids[i]]++;
    for (size_t e = 0, first = 0; e < experts; e++) {
        size_t m = next[e];
        if (m > 0)
            g->groups[g->n++] = (struct assay_route_group){e, first, m};
        next[e] = first;
        first += m;
    }
    for (size_t i = 0; i < r->m; i++)
        g->order[next[r->ids[i]]++] = i;
    return true;
}

void assay_route_groups_free(struct assay_route_groups *g) { free(g->memory); }

void assay_route_gather(const struct assay_route_groups *g, const struct assay_routing *r,
                        const float *x, size_t in, size_t first, size_t m, float *dst) {
    for (size_t i = 0; i < m; i++)
        memcpy(dst + i * in, x + g->order[first + i] / r->share * in, in * sizeof *dst);
}

void assay_route_scatter(const struct assay_route_groups *g, const float *src, size_t n,
                         size_t first, size_t m, float *y, size_t ldy) {
    for (size_t i = 0; i < m; i++)
        memcpy(y + g->order[first + i] * ldy, src + i * n, n * sizeof *src);
}
