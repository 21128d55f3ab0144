/* Indexed products: one command buffer for all experts. Rows of an expert that has few of them are
 * multiplied one by one, straight from the blocks; experts with many rows take them in tiles. */
#include "metal.h"

#include <string.h>

#include "impl/routing.h"

static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

/* The experts' matrices as one buffer: the stack they were cut from if they still lie so, else a
 * copy for this call. */
struct stack {
    struct metal_buffer *buffer, *copy;
    size_t offset;
};

static bool find_stack(struct metal_ctx *c, const struct assay_store *const *experts, size_t count,
                       struct stack *out) {
    struct metal_store *first = (struct metal_store *)(uintptr_t)experts[0];
    size_t bytes = experts[0]->rows * experts[0]->row_bytes;
    bool contiguous = experts[0]->bytes != NULL;
    for (size_t e = 1; e < count && contiguous; e++)
        contiguous = experts[e]->bytes == experts[0]->bytes + e * bytes;
    if (contiguous && !first->stack)
        first->stack =
            c->host->buffer_wrap(c->device, experts[0]->bytes, count * bytes, &first->stack_offset);
    *out = (struct stack){first->stack, NULL, first->stack_offset};
    if (first->stack)
        return true;
    out->buffer = out->copy = c->host->buffer_new(c->device, count * bytes);
    for (size_t e = 0; e < count && out->copy; e++) {
        const struct metal_store *s = (const struct metal_store *)experts[e];
        memcpy((uint8_t *)c->host->contents(out->copy) + e * bytes,
               (const uint8_t *)c->host->contents(s->buffer) + s->offset, bytes);
    }
    return out->copy != NULL;
}

/* What goes which way. */
struct plan {
    size_t rows, tiles; /* single rows; tiles of up to GEMM_M */
};

static bool make_plan(struct metal_ctx *c, const struct assay_route_groups *g, size_t m,
                      struct plan *p) {
    *p = (struct plan){0, 0};
    for (size_t i = 0; i < g->n; i++) {
        if (metal_choose(c->forced, g->groups[i].m) == METAL_GEMV)
            p->rows += g->groups[i].m;
        else
            p->tiles += ceil_div(g->groups[i].m, GEMM_M);
    }
    if ((p->rows && !assay_metal_scratch(c, SCRATCH_ROWS, p->rows * sizeof(struct expert_row))) ||
        (p->tiles &&
         (!assay_metal_scratch(c, SCRATCH_TILES, p->tiles * sizeof(struct expert_tile)) ||
          !assay_metal_scratch(c, SCRATCH_LIST, m * sizeof(uint32_t)))))
        return false;
    struct expert_row *row = p->rows ? c->host->contents(c->scratch[SCRATCH_ROWS].buffer) : NULL;
    struct expert_tile *tile =
        p->tiles ? c->host->contents(c->scratch[SCRATCH_TILES].buffer) : NULL;
    uint32_t *list = p->tiles ? c->host->contents(c->scratch[SCRATCH_LIST].buffer) : NULL;
    for (size_t i = 0; i < m && list; i++)
        list[i] = (uint32_t)g->order[i];
    for (size_t i = 0; i < g->n; i++) {
        const struct assay_route_group *group = &g->groups[i];
        bool single = metal_choose(c->forced, group->m) == METAL_GEMV;
        for (size_t at = 0; at < group->m && single; at++)
            *row++ =
                (struct expert_row){(unsigned)group->expert, (unsigned)g->order[group->first + at]};
        for (size_t at = 0; at < group->m && !single; at += GEMM_M)
            *tile++ =
                (struct expert_tile){(unsigned)group->expert, (unsigned)(group->first + at),
                                     (unsigned)(group->m - at < GEMM_M ? group->m - at : GEMM_M)};
    }
    return true;
}

static void dispatch(struct metal_job *job, const struct assay_store *any,
                     const struct stack *stack, const struct plan *p, size_t share) {
    struct metal_ctx *c = job->c;
    const struct product_args args = {.offset = stack->offset,
                                      .row_bytes = any->row_bytes,
                                      .expert_bytes = any->rows * any->row_bytes,
                                      .m = 1,
                                      .n = (unsigned)any->rows,
                                      .k = (unsigned)any->in,
                                      .ldy = (unsigned)any->rows,
                                      .share = (unsigned)share};
    const struct metal_binding w = {stack->buffer, 0}, y = {c->scratch[SCRATCH_Y].buffer, 0};
    if (p->rows)
        assay_metal_dispatch(job, "gemv_id", any->type->name,
                             (struct metal_binding[]){w,
                                                      {c->scratch[SCRATCH_X].buffer, 0},
                                                      y,
                                                      {NULL, 0},
                                                      {c->scratch[SCRATCH_ROWS].buffer, 0}},
                             5, &args, sizeof args, ceil_div(any->rows, GEMV_SIMDS * GEMV_ROWS),
                             p->rows, GEMV_SIMDS * SIMD_WIDTH);
    if (p->tiles)
        assay_metal_dispatch(job, "gemm_id", any->type->name,
                             (struct metal_binding[]){w,
                                                      {c->scratch[SCRATCH_X16].buffer, 0},
                                                      {c->scratch[SCRATCH_UNSCALE].buffer, 0},
                                                      y,
                                                      {NULL, 0},
                                                      {c->scratch[SCRATCH_TILES].buffer, 0},
                                                      {c->scratch[SCRATCH_LIST].buffer, 0}},
                             7, &args, sizeof args, ceil_div(any->rows, GEMM_N), p->tiles,
                             GEMM_THREADS);
}

enum assay_status assay_metal_gemm_id(struct assay_ctx *ctx,
                                      const struct assay_store *const *experts, size_t count,
                                      const struct assay_routing *r, const float *x, float *y,
                                      size_t ldy, struct assay_error *err) {
    struct metal_ctx *c = (struct metal_ctx *)ctx;
    const struct assay_store *any = experts[0];
    size_t x_rows = (r->m + r->share - 1) / r->share;
    struct assay_route_groups g;
    struct stack stack = {NULL, NULL, 0};
    struct plan plan = {0, 0};
    struct metal_job job;
    if (r->m > INT32_MAX || r->share > INT32_MAX || count > INT32_MAX)
        return assay_fail(err, ASSAY_EOVERFLOW, "metal: %zu routed rows are beyond its 31 bits",
                          r->m);
    enum assay_status status = ASSAY_OK;
    if (!assay_route_groups_new(&g, r, count) || !make_plan(c, &g, r->m, &plan) ||
        !find_stack(c, experts, count, &stack) ||
        !assay_metal_begin(&job, c, x, x_rows, any->in, r->m * any->rows, plan.tiles > 0))
        status = assay_fail(err, ASSAY_ENOMEM, "metal: no buffers for %zu routed rows", r->m);
    if (!status) {
        dispatch(&job, any, &stack, &plan, r->share);
        status = assay_metal_end(&job, err);
    }
    const float *from = status ? NULL : c->host->contents(c->scratch[SCRATCH_Y].buffer);
    for (size_t i = 0; i < r->m && !status; i++)
        memcpy(y + i * ldy, from + i * any->rows, any->rows * sizeof *y);
    c->host->buffer_free(stack.copy);
    assay_route_groups_free(&g);
    return status;
}
