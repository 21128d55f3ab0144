/* Backend "cpu": picks a kernel by type, ISA and m, quantises the activations once per product, and
 * splits the rows of W over the threads. */
#include <stdlib.h>
#include <string.h>

#include "act.h"
#include "impl/backend.h"
#include "impl/decode.h"
#include "impl/threads.h"

/* What one ISA level offers. A level without a kernel for a type falls back to the level below, and
 * the last resort of every level is its own tile kernel. */
struct isa_level {
    enum assay_isa isa;
    const struct assay_cpu_kernel *kernels; /* NULL: none */
    assay_act_quantise_fn quantise;
    struct assay_cpu_kernel tile;
};

#define TILE_KERNEL(isa_name)                                                                      \
    {                                                                                              \
        .name = "gemm_any_f32__" #isa_name, .act = ASSAY_ACTF_F32, .n_step = 8, .exact_run = 1,    \
        .scratch_bytes = assay_tile_f32_scratch, .run = assay_tile_f32_run__##isa_name,            \
    }

static const struct isa_level levels[] = {
    /* from the lowest */
    {ASSAY_ISA_SCALAR, NULL, assay_act_quantise__scalar, TILE_KERNEL(scalar)},
#ifdef __x86_64__
    {ASSAY_ISA_AVX2, assay_kernels_avx2, assay_act_quantise__avx2, TILE_KERNEL(avx2)},
    {ASSAY_ISA_AVX512, assay_kernels_avx512, assay_act_quantise__avx512, TILE_KERNEL(avx512)},
#elif defined(__aarch64__)
    {ASSAY_ISA_NEON, assay_kernels_neon, assay_act_quantise__neon, TILE_KERNEL(neon)},
    {ASSAY_ISA_I8MM, assay_kernels_i8mm, assay_act_quantise__neon, TILE_KERNEL(neon)},
#endif
};

struct cpu_ctx {
    struct assay_ctx base;
    size_t level; /* row of levels[] */
    bool exact;   /* fp32 activations only */
    struct assay_act_buffer act;
    void **scratch; /* per thread */
    size_t scratch_size;
};

static const struct cpu_ctx *cpu_ctx(const struct assay_ctx *ctx) {
    return (const struct cpu_ctx *)ctx;
}

static const struct assay_cpu_kernel *pick(const struct cpu_ctx *c,
                                           const struct assay_type_traits *t, size_t m) {
    if (!c->exact)
        for (size_t l = c->level + 1; l-- > 0;)
            for (const struct assay_cpu_kernel *k = levels[l].kernels; k && k->name; k++)
                if (k->type == t->type && m >= k->m_min && (k->m_max == 0 || m <= k->m_max))
                    return k;
    return &levels[c->level].tile;
}

static bool cpu_supports(const struct assay_type_traits *t) { return assay_decoder(t) != NULL; }

static void cpu_ctx_free(struct assay_ctx *ctx) {
    struct cpu_ctx *c = (struct cpu_ctx *)ctx;
    if (c->scratch)
        for (int i = 0; i < c->base.threads; i++)
            free(c->scratch[i]);
    free(c->scratch);
    free(c->act.memory);
    free(c);
}

static enum assay_status cpu_ctx_create(const struct assay_ctx_params *p, struct assay_ctx **out,
                                        struct assay_error *err) {
    const char *variant = p->variant ? p->variant : "";
    if (strcmp(variant, "") != 0 && strcmp(variant, "exact") != 0)
        return assay_fail(err, ASSAY_EINVAL, "backend cpu has no variant '%s' (only 'exact')",
                          variant);
    struct cpu_ctx *c = calloc(1, sizeof *c);
    if (!c)
        return assay_fail(err, ASSAY_ENOMEM, "out of memory");
    c->base = (struct assay_ctx){.backend = p->backend, .isa = p->isa, .threads = p->threads};
    c->exact = strcmp(variant, "exact") == 0;
    bool found = false;
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
        if (p->isa == ASSAY_ISA_AUTO ? assay_isa_runs_here(levels[i].isa)
                                     : levels[i].isa == p->isa) {
            c->level = i;
            found = true;
        }
    if (!found) {
        free(c);
        return assay_fail(err, ASSAY_EUNSUPPORTED, "backend cpu has no kernels for ISA %s",
                          assay_isa_name(p->isa));
    }
    c->base.isa = levels[c->level].isa;
    c->scratch = calloc((size_t)p->threads, sizeof *c->scratch);
    if (!c->scratch) {
        free(c);
        return assay_fail(err, ASSAY_ENOMEM, "out of memory");
    }
    *out = &c->base;
    return ASSAY_OK;
}

static void cpu_arith(const struct assay_ctx *ctx, const struct assay_type_traits *t, size_t m,
                      struct assay_arith *out) {
    const struct assay_cpu_kernel *k = pick(cpu_ctx(ctx), t, m);
    *out = (struct assay_arith){
        .weight = ASSAY_WEIGHT_F32,
        .act = k->act == ASSAY_ACTF_F32 ? ASSAY_ACT_F32 : ASSAY_ACT_Q8,
        .act_block = (uint32_t)assay_act_block(k->act),
        .exact_run = k->exact_run,
    };
}

static const char *cpu_kernel_name(const struct assay_ctx *ctx, const struct assay_type_traits *t,
                                   size_t m) {
    return pick(cpu_ctx(ctx), t, m)->name;
}

static enum assay_status cpu_store_create(struct assay_ctx *ctx, const struct assay_store *head,
                                          struct assay_store **out, struct assay_error *err) {
    (void)ctx;
    struct assay_store *s = malloc(sizeof *s);
    if (!s)
        return assay_fail(err, ASSAY_ENOMEM, "out of memory");
    *s = *head;
    s->resident = s->rows * s->row_bytes;
    *out = s;
    return ASSAY_OK;
}

static void cpu_store_free(struct assay_store *s) { free(s); }

static bool reserve_scratch(struct cpu_ctx *c, size_t size) {
    if (size <= c->scratch_size)
        return true;
    c->scratch_size = 0;
    for (int i = 0; i < c->base.threads; i++) {
        free(c->scratch[i]);
        if (posix_memalign(&c->scratch[i], 64, size) != 0) {
            c->scratch[i] = NULL;
            return false;
        }
    }
    c->scratch_size = size;
    return true;
}

/* Rows a thread takes at a time: several pieces a thread, so that one slow core does not hold up
 * the others, but never less than the kernel's step. */
static size_t piece_rows(size_t rows, int threads, size_t step) {
    if (threads == 1)
        return rows;
    size_t piece = rows / ((size_t)threads * 8);
    return piece < step ? step : piece / step * step;
}

/* Rows [r0, r0 + n) of W times the activations, or as many as are left. */
static void run_piece(const struct cpu_ctx *c, const struct assay_cpu_kernel *kernel,
                      const struct assay_store *w, const struct assay_act *act, size_t r0, size_t n,
                      float *y, size_t ldy) {
    kernel->run(&(struct assay_cpu_args){
        .type = w->type,
        .w = w->bytes + r0 * w->row_bytes,
        .row_bytes = w->row_bytes,
        .n = w->rows - r0 < n ? w->rows - r0 : n,
        .k = w->in,
        .act = act,
        .y = y + r0,
        .ldy = ldy,
        .scratch = c->scratch[omp_get_thread_num()],
    });
}

static size_t kernel_scratch(const struct assay_cpu_kernel *kernel, size_t k, size_t m) {
    return kernel->scratch_bytes ? kernel->scratch_bytes(k, m) : 0;
}

/* A few rows are quantised faster than threads can be woken for it. */
static bool quantise_alone(const struct cpu_ctx *c, size_t m) {
    return c->base.threads == 1 || m < 4;
}

static enum assay_status cpu_gemm(struct assay_ctx *ctx, const struct assay_store *w,
                                  const float *x, size_t m, float *y, size_t ldy,
                                  struct assay_error *err) {
    struct cpu_ctx *c = (struct cpu_ctx *)ctx;
    const struct assay_cpu_kernel *kernel = pick(c, w->type, m);
    struct assay_act act;
    if (!assay_act_prepare(&act, &c->act, kernel->act, x, m, w->in) ||
        !reserve_scratch(c, kernel_scratch(kernel, w->in, m)))
        return assay_fail(err, ASSAY_ENOMEM, "out of memory for the scratch of %s", kernel->name);

    int threads = ctx->threads;
    bool quantise = kernel->act != ASSAY_ACTF_F32;
    bool quantise_here = quantise && quantise_alone(c, m);
    if (quantise_here)
        levels[c->level].quantise(&act, 0, m);
    size_t piece = piece_rows(w->rows, threads, kernel->n_step);
    size_t pieces = (w->rows + piece - 1) / piece;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        if (quantise && !quantise_here) {
#pragma omp for schedule(static)
            for (size_t i = 0; i < m; i++)
                levels[c->level].quantise(&act, i, i + 1);
        }
#pragma omp for schedule(dynamic) nowait
        for (size_t p = 0; p < pieces; p++)
            run_piece(c, kernel, w, &act, p * piece, piece, y, ldy);
    }
    return ASSAY_OK;
}

/* ---- Indexed products ---- */

/* The activations of places [first, first + m) of *all. */
static struct assay_act act_slice(const struct assay_act *all, size_t first, size_t m) {
    struct assay_act a = *all;
    a.m = m;
    a.x += first * a.k;
    if (a.format != ASSAY_ACTF_F32) {
        a.q += first * a.q_stride;
        a.d += first * a.d_stride;
        a.sums += first * a.sums_stride;
    }
    return a;
}

/* One expert's product. A single row goes straight to its place in y; several lie side by side in
 * `staged` first. */
struct expert_product {
    const struct assay_store *w;
    const struct assay_cpu_kernel *kernel;
    struct assay_act act;
    float *y;
    size_t ldy;
    size_t piece, pieces_before; /* rows of W a piece; pieces of the products before */
};

/* An indexed product at work. Rows of x and y lie by expert. */
struct indexed {
    struct assay_route_groups routes;
    struct expert_product *products; /* one a group */
    struct assay_act act;
    float *x, *staged;
    size_t pieces;
};

static void indexed_free(struct indexed *ix) {
    assay_route_groups_free(&ix->routes);
    free(ix->products);
    free(ix->x);
    free(ix->staged);
}

static bool indexed_new(struct indexed *ix, struct cpu_ctx *c,
                        const struct assay_store *const *experts, size_t count,
                        const struct assay_routing *r, const float *x, float *y, size_t ldy) {
    const struct assay_store *any = experts[0];
    size_t scratch = 0, rows = any->rows;

    *ix = (struct indexed){.pieces = 0};
    /* Kernels of one type share a format (a test holds them to it): row 1's serves every m. */
    if (!assay_route_groups_new(&ix->routes, r, count) ||
        !(ix->products = malloc(ix->routes.n * sizeof *ix->products)) ||
        !(ix->x = malloc(r->m * any->in * sizeof *ix->x)) ||
        !(ix->staged = malloc(r->m * rows * sizeof *ix->staged)) ||
        !assay_act_prepare(&ix->act, &c->act, pick(c, any->type, 1)->act, ix->x, r->m, any->in))
        return false;
    assay_route_gather(&ix->routes, r, x, any->in, 0, r->m, ix->x);
    for (size_t i = 0; i < ix->routes.n; i++) {
        const struct assay_route_group *g = &ix->routes.groups[i];
        struct expert_product *p = &ix->products[i];
        const struct assay_cpu_kernel *kernel = pick(c, any->type, g->m);
        size_t need = kernel_scratch(kernel, any->in, g->m);
        *p = (struct expert_product){
            .w = experts[g->expert],
            .kernel = kernel,
            .act = act_slice(&ix->act, g->first, g->m),
            .y = g->m == 1 ? y + ix->routes.order[g->first] * ldy : ix->staged + g->first * rows,
            .ldy = g->m == 1 ? ldy : rows,
            .piece = piece_rows(rows, c->base.threads, kernel->n_step),
            .pieces_before = ix->pieces,
        };
        ix->pieces += (rows + p->piece - 1) / p->piece;
        scratch = need > scratch ? need : scratch;
    }
    return reserve_scratch(c, scratch);
}

static const struct expert_product *product_of_piece(const struct indexed *ix, size_t piece) {
    size_t low = 0, high = ix->routes.n; /* the last one that begins at or before the piece */
    while (high - low > 1) {
        size_t mid = low + (high - low) / 2;
        if (ix->products[mid].pieces_before <= piece)
            low = mid;
        else
            high = mid;
    }
    return &ix->products[low];
}

static enum assay_status cpu_gemm_id(struct assay_ctx *ctx,
                                     const struct assay_store *const *experts, size_t count,
                                     const struct assay_routing *r, const float *x, float *y,
                                     size_t ldy, struct assay_error *err) {
    struct cpu_ctx *c = (struct cpu_ctx *)ctx;
    struct indexed ix;
    if (!indexed_new(&ix, c, experts, count, r, x, y, ldy)) {
        indexed_free(&ix);
        return assay_fail(err, ASSAY_ENOMEM, "out of memory for %zu routed rows", r->m);
    }
    bool quantise = ix.act.format != ASSAY_ACTF_F32;
    bool quantise_here = quantise && quantise_alone(c, r->m);
    if (quantise_here)
        levels[c->level].quantise(&ix.act, 0, r->m);
        /* All experts' rows are shared out at once: one expert's alone are too few for the threads.
         */
#pragma omp parallel num_threads(ctx->threads) if (ctx->threads > 1)
    {
        if (quantise && !quantise_here) {
#pragma omp for schedule(static)
            for (size_t i = 0; i < r->m; i++)
                levels[c->level].quantise(&ix.act, i, i + 1);
        }
#pragma omp for schedule(dynamic)
        for (size_t i = 0; i < ix.pieces; i++) {
            const struct expert_product *p = product_of_piece(&ix, i);
            run_piece(c, p->kernel, p->w, &p->act, (i - p->pieces_before) * p->piece, p->piece,
                      p->y, p->ldy);
        }
#pragma omp for schedule(static) nowait
        for (size_t i = 0; i < ix.routes.n; i++) {
            const struct assay_route_group *g = &ix.routes.groups[i];
            if (g->m > 1)
                assay_route_scatter(&ix.routes, ix.products[i].y, experts[0]->rows, g->first, g->m,
                                    y, ldy);
        }
    }
    indexed_free(&ix);
    return ASSAY_OK;
}

static enum assay_status cpu_rows(struct assay_ctx *ctx, const struct assay_store *w,
                                  const int64_t *ids, size_t count, float *y,
                                  struct assay_error *err) {
    (void)err;
    assay_decode_fn decode = assay_decoder(w->type);
#pragma omp parallel for num_threads(ctx->threads) if (ctx->threads > 1 && count > 8)
    for (size_t i = 0; i < count; i++)
        decode(w->bytes + (size_t)ids[i] * w->row_bytes, w->in / w->type->block_len, y + i * w->in);
    return ASSAY_OK;
}

/* One or two rows of x take another kernel than many. On AArch64 both round alike. */
#ifdef __aarch64__
enum { BATCH_INVARIANT = ASSAY_CLAIM_BATCH_INVARIANT };
#else
enum { BATCH_INVARIANT = 0 };
#endif

const struct assay_backend assay_backend_cpu = {
    .name = "cpu",
    .summary = "SIMD kernels straight from quantised blocks (AVX2, AVX-512/VNNI, NEON/I8MM), "
               "run-time dispatch",
    .uses_isa = true,
    .claims = ASSAY_CLAIM_REPEATABLE | ASSAY_CLAIM_THREAD_INVARIANT | ASSAY_CLAIM_SLICE_INVARIANT |
              ASSAY_CLAIM_IEEE_SPECIALS | BATCH_INVARIANT,
    .supports = cpu_supports,
    .ctx_create = cpu_ctx_create,
    .ctx_free = cpu_ctx_free,
    .arith = cpu_arith,
    .kernel = cpu_kernel_name,
    .store_create = cpu_store_create,
    .store_free = cpu_store_free,
    .gemm = cpu_gemm,
    .gemm_id = cpu_gemm_id,
    .rows = cpu_rows,
};
