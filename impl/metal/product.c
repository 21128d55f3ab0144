/* Products and row look-ups as dispatches. */
#include "metal.h"

#include <stdio.h>
#include <string.h>

static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

/* ---- Jobs ---- */

void assay_metal_dispatch(struct metal_job *job, const char *op, const char *type,
                          const struct metal_binding *bindings, size_t n_bindings, const void *args,
                          size_t args_size, size_t groups_x, size_t groups_y, size_t threads) {
    char kernel[64];
    if (*job->why)
        return;
    snprintf(kernel, sizeof kernel, "%s%s%s", op, type ? "_" : "", type ? type : "");
    job->c->host->dispatch(job->commands,
                           &(struct metal_dispatch){.source = type ? type : "common",
                                                    .kernel = kernel,
                                                    .bindings = bindings,
                                                    .n_bindings = n_bindings,
                                                    .args = args,
                                                    .args_size = args_size,
                                                    .groups = {groups_x, groups_y},
                                                    .threads = threads},
                           job->why, sizeof job->why);
}

static bool begin(struct metal_job *job, struct metal_ctx *c) {
    *job = (struct metal_job){.c = c, .commands = c->host->commands(c->device)};
    return job->commands != NULL;
}

bool assay_metal_begin(struct metal_job *job, struct metal_ctx *c, const float *x, size_t m,
                       size_t in, size_t y_floats, bool x16) {
    struct metal_buffer *bx = assay_metal_scratch(c, SCRATCH_X, m * in * sizeof *x);
    struct metal_buffer *by = assay_metal_scratch(c, SCRATCH_Y, y_floats * sizeof *x);
    struct metal_buffer *b16 = x16 ? assay_metal_scratch(c, SCRATCH_X16, m * in * 2) : NULL;
    struct metal_buffer *bu = x16 ? assay_metal_scratch(c, SCRATCH_UNSCALE, m * 4) : NULL;
    if (!bx || !by || (x16 && (!b16 || !bu)) || !begin(job, c))
        return false;
    memcpy(c->host->contents(bx), x, m * in * sizeof *x);
    /* What no kernel writes is a NaN, not the result of the call before. */
    if (METAL_EMULATED)
        memset(c->host->contents(by), 0xff, y_floats * sizeof *x);
    if (x16)
        assay_metal_dispatch(job, "round_rows", NULL,
                             (struct metal_binding[]){{bx, 0}, {b16, 0}, {bu, 0}, {NULL, 0}}, 4,
                             &(struct decode_args){.rows = (unsigned)m, .k = (unsigned)in},
                             sizeof(struct decode_args), m, 1, SIMD_WIDTH);
    return true;
}

enum assay_status assay_metal_end(struct metal_job *job, struct assay_error *err) {
    double seconds;
    if (*job->why)
        job->c->host->discard(job->commands);
    else if (job->c->host->run(job->commands, &seconds, job->why, sizeof job->why)) {
        job->c->gpu_seconds += seconds;
        return ASSAY_OK;
    }
    return assay_fail(err, ASSAY_EBACKEND, "metal: %s", job->why);
}

static void copy_rows(float *y, size_t ldy, const float *from, size_t ld, size_t rows, size_t n) {
    for (size_t i = 0; i < rows; i++)
        memcpy(y + i * ldy, from + i * ld, n * sizeof *y);
}

/* ---- Products ---- */

static void gemv(struct metal_job *job, const struct metal_store *s, size_t m, size_t first,
                 size_t ldy) {
    struct metal_ctx *c = job->c;
    struct metal_buffer *bx = c->scratch[SCRATCH_X].buffer, *by = c->scratch[SCRATCH_Y].buffer;
    for (size_t i = 0; i < m; i += GEMV8_BATCH) {
        size_t batch = m - i < GEMV8_BATCH ? m - i : GEMV8_BATCH;
        size_t rows = GEMV_SIMDS * (batch == 1 ? GEMV_ROWS : GEMV8_ROWS);
        const struct product_args args = {.offset = s->offset,
                                          .row_bytes = s->head.row_bytes,
                                          .m = (unsigned)batch,
                                          .n = (unsigned)s->head.rows,
                                          .k = (unsigned)s->head.in,
                                          .ldy = (unsigned)ldy,
                                          .share = 1};
        const struct metal_binding bindings[] = {
            {s->buffer, 0},
            {bx, i * s->head.in * sizeof(float)},
            {by, (i * ldy + first) * sizeof(float)},
            {NULL, 0},
        };
        assay_metal_dispatch(job, batch == 1 ? "gemv" : "gemv8", s->head.type->name, bindings, 4,
                             &args, sizeof args, ceil_div(s->head.rows, rows), 1,
                             GEMV_SIMDS * SIMD_WIDTH);
    }
}

/* From the blocks, or from the matrix in binary16 that w16 is to hold. */
static void gemm(struct metal_job *job, const struct metal_store *s, struct metal_buffer *w16,
                 size_t m, size_t first, size_t ldy) {
    struct metal_ctx *c = job->c;
    size_t rows = s->head.rows, in = s->head.in;
    struct product_args args = {.offset = s->offset,
                                .row_bytes = s->head.row_bytes,
                                .m = (unsigned)m,
                                .n = (unsigned)rows,
                                .k = (unsigned)in,
                                .ldy = (unsigned)ldy,
                                .share = 1};
    if (w16) {
        const struct decode_args all = {.offset = s->offset,
                                        .row_bytes = s->head.row_bytes,
                                        .rows = (unsigned)rows,
                                        .k = (unsigned)in};
        const struct metal_binding decode[] = {{s->buffer, 0}, {w16, 0}, {NULL, 0}};
        assay_metal_dispatch(job, "dequant", s->head.type->name, decode, 3, &all, sizeof all, rows,
                             ceil_div(in, EACH_THREADS * CHUNK), EACH_THREADS);
        args.offset = 0;
        args.row_bytes = in * 2;
    }
    const struct metal_binding bindings[] = {
        {w16 ? w16 : s->buffer, 0},
        {c->scratch[SCRATCH_X16].buffer, 0},
        {c->scratch[SCRATCH_UNSCALE].buffer, 0},
        {c->scratch[SCRATCH_Y].buffer, first * sizeof(float)},
        {NULL, 0},
    };
    assay_metal_dispatch(job, "gemm", w16 ? "f16" : s->head.type->name, bindings, 5, &args,
                         sizeof args, ceil_div(rows, GEMM_N), ceil_div(m, GEMM_M), GEMM_THREADS);
}

static size_t total_rows(const struct assay_part_product *parts, size_t n) {
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += parts[i].w->rows;
    return total;
}

/* Each part with a binary16 copy of its own while the commands run. */
static void transient(struct metal_job *job, const struct assay_part_product *parts, size_t n,
                      size_t m, size_t ldy, struct metal_buffer **w16) {
    for (size_t i = 0, first = 0; i < n; first += parts[i++].w->rows) {
        w16[i] = job->c->host->buffer_new(job->c->device, parts[i].w->rows * parts[i].w->in * 2);
        if (!w16[i]) {
            snprintf(job->why, sizeof job->why, "no buffer for %zu x %zu weights in binary16",
                     parts[i].w->rows, parts[i].w->in);
            return;
        }
        gemm(job, (const struct metal_store *)parts[i].w, w16[i], m, first, ldy);
    }
}

enum { MAX_PARTS = 16 };

/* Parts that a command buffer takes; `total` is all their rows. */
static enum assay_status multiply(struct metal_ctx *c, const struct assay_part_product *parts,
                                  size_t n, const float *x, size_t m, float *y, size_t ldy,
                                  struct assay_error *err) {
    size_t total = total_rows(parts, n), in = parts[0].w->in;
    enum metal_path path = metal_choose(c->forced, m);
    struct metal_buffer *w16[MAX_PARTS] = {NULL};
    struct metal_job job;
    if (m > INT32_MAX || total > INT32_MAX)
        return assay_fail(err, ASSAY_EOVERFLOW, "metal: %zu x %zu outputs are beyond its 31 bits",
                          m, total);
    if (!assay_metal_begin(&job, c, x, m, in, m * total, path != METAL_GEMV))
        return assay_fail(err, ASSAY_ENOMEM, "metal: no buffers for %zu rows of x", m);
    if (path == METAL_TRANSIENT)
        transient(&job, parts, n, m, total, w16);
    for (size_t i = 0, first = 0; i < n && path != METAL_TRANSIENT; first += parts[i++].w->rows) {
        const struct metal_store *s = (const struct metal_store *)parts[i].w;
        if (path == METAL_GEMV)
            gemv(&job, s, m, first, total);
        else
            gemm(&job, s, NULL, m, first, total);
    }
    enum assay_status status = assay_metal_end(&job, err);
    for (size_t i = 0; i < n; i++)
        c->host->buffer_free(w16[i]);
    const float *from = c->host->contents(c->scratch[SCRATCH_Y].buffer);
    for (size_t i = 0; i < n && !status; i++) {
        copy_rows(y + parts[i].first, ldy, from, total, m, parts[i].w->rows);
        from += parts[i].w->rows;
    }
    return status;
}

enum assay_status assay_metal_gemm(struct assay_ctx *ctx, const struct assay_store *w,
                                   const float *x, size_t m, float *y, size_t ldy,
                                   struct assay_error *err) {
    const struct assay_part_product part = {w, 0};
    return multiply((struct metal_ctx *)ctx, &part, 1, x, m, y, ldy, err);
}

enum assay_status assay_metal_gemm_parts(struct assay_ctx *ctx,
                                         const struct assay_part_product *parts, size_t n,
                                         const float *x, size_t m, float *y, size_t ldy,
                                         struct assay_error *err) {
    if (n > MAX_PARTS)
        return assay_fail(err, ASSAY_EUNSUPPORTED, "metal: %zu fused parts, at most %d", n,
                          MAX_PARTS);
    return multiply((struct metal_ctx *)ctx, parts, n, x, m, y, ldy, err);
}

/* ---- Row look-up ---- */

enum assay_status assay_metal_rows(struct assay_ctx *ctx, const struct assay_store *w,
                                   const int64_t *ids, size_t count, float *y,
                                   struct assay_error *err) {
    struct metal_ctx *c = (struct metal_ctx *)ctx;
    const struct metal_store *s = (const struct metal_store *)w;
    size_t bytes = count * w->in * sizeof *y;
    struct metal_buffer *numbers = assay_metal_scratch(c, SCRATCH_IDS, count * sizeof(uint32_t));
    struct metal_buffer *out = assay_metal_scratch(c, SCRATCH_Y, bytes);
    struct metal_job job;
    if (count > INT32_MAX || !numbers || !out || !begin(&job, c))
        return assay_fail(err, ASSAY_ENOMEM, "metal: no buffers for %zu rows", count);
    uint32_t *small = c->host->contents(numbers);
    for (size_t i = 0; i < count; i++)
        small[i] = (uint32_t)ids[i];
    const struct decode_args args = {.offset = s->offset,
                                     .row_bytes = w->row_bytes,
                                     .rows = (unsigned)count,
                                     .k = (unsigned)w->in};
    assay_metal_dispatch(
        &job, "rows", w->type->name,
        (struct metal_binding[]){{s->buffer, 0}, {numbers, 0}, {out, 0}, {NULL, 0}}, 4, &args,
        sizeof args, count, ceil_div(w->in, EACH_THREADS * CHUNK), EACH_THREADS);
    enum assay_status status = assay_metal_end(&job, err);
    if (!status)
        memcpy(y, c->host->contents(out), bytes);
    return status;
}
