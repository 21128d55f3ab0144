/* Which rows of an indexed product (gemm_quant_id) go to which expert, grouped by expert so that
 * every expert in use is one product of several rows. */
#ifndef ASSAY_IMPL_ROUTING_H
#define ASSAY_IMPL_ROUTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct assay_routing {
    const int64_t *ids; /* expert of each of the m rows of y, in range */
    size_t m, share;    /* row i of y is of row i / share of x */
};

/* The rows of one expert: places [first, first + m) of the groups' order. */
struct assay_route_group {
    size_t expert, first, m;
};

struct assay_route_groups {
    size_t n; /* experts in use, at most m */
    struct assay_route_group *groups;
    size_t *order; /* row of y at each place; rows of one expert in ascending order */
    void *memory;
};

/* Groups the rows over `experts` experts. False if memory ran out; otherwise free with
 * assay_route_groups_free. */
bool assay_route_groups_new(struct assay_route_groups *g, const struct assay_routing *r,
                            size_t experts);
void assay_route_groups_free(struct assay_route_groups *g);

/* Copies the row of x (m / share rows of `in`) of every place [first, first + m) to dst[m × in]. */
void assay_route_gather(const struct assay_route_groups *g, const struct assay_routing *r,
                        const float *x, size_t in, size_t first, size_t m, float *dst);

/* Copies src[m × n], the rows of places [first, first + m), to where they belong in y. */
void assay_route_scatter(const struct assay_route_groups *g, const float *src, size_t n,
                         size_t first, size_t m, float *y, size_t ldy);

#endif
