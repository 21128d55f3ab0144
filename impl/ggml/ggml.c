#include "ggml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "library.h"

/* ggml's own number of a type equals GGUF's, so enum assay_type serves for both. F16 and BF16 are
 * missing: ggml rounds their activations to 16-bit floats, which no arithmetic class describes, so
 * nothing could judge the result. */
struct type_class {
    enum assay_type type;
    enum assay_type act; /* type of the activations in the dot product */
    const char *dot;     /* the dot product's symbol: shows that the library has the type */
    struct assay_arith arith;
};

/* clang-format off */
#define F32_CLASS      {ASSAY_WEIGHT_F32, ASSAY_ACT_F32, 0, 1}
#define Q8_0_CLASS(n)  {ASSAY_WEIGHT_F32, ASSAY_ACT_Q8_F16, 32, (n)}
#define Q8_K_CLASS     {ASSAY_WEIGHT_F32, ASSAY_ACT_Q8K, 256, 256}
static const struct type_class classes[] = {
    {ASSAY_TYPE_F32,     ASSAY_TYPE_F32,  "ggml_vec_dot_f32",          F32_CLASS},
    {ASSAY_TYPE_Q1_0,    ASSAY_TYPE_Q8_0, "ggml_vec_dot_q1_0_q8_0",    Q8_0_CLASS(32)},
    {ASSAY_TYPE_Q2_0,    ASSAY_TYPE_Q8_0, "ggml_vec_dot_q2_0_q8_0",    Q8_0_CLASS(32)},
    {ASSAY_TYPE_Q4_0,    ASSAY_TYPE_Q8_0, "ggml_vec_dot_q4_0_q8_0",    Q8_0_CLASS(32)},
    {ASSAY_TYPE_Q5_0,    ASSAY_TYPE_Q8_0, "ggml_vec_dot_q5_0_q8_0",    Q8_0_CLASS(32)},
    {ASSAY_TYPE_Q8_0,    ASSAY_TYPE_Q8_0, "ggml_vec_dot_q8_0_q8_0",    Q8_0_CLASS(32)},
    {ASSAY_TYPE_Q4_1,    ASSAY_TYPE_Q8_1, "ggml_vec_dot_q4_1_q8_1",    Q8_0_CLASS(32)},
    {ASSAY_TYPE_Q5_1,    ASSAY_TYPE_Q8_1, "ggml_vec_dot_q5_1_q8_1",    Q8_0_CLASS(32)},
    {ASSAY_TYPE_IQ4_NL,  ASSAY_TYPE_Q8_0, "ggml_vec_dot_iq4_nl_q8_0",  Q8_0_CLASS(32)},
    {ASSAY_TYPE_MXFP4,   ASSAY_TYPE_Q8_0, "ggml_vec_dot_mxfp4_q8_0",   Q8_0_CLASS(32)},
    {ASSAY_TYPE_NVFP4,   ASSAY_TYPE_Q8_0, "ggml_vec_dot_nvfp4_q8_0",   Q8_0_CLASS(16)},
    {ASSAY_TYPE_Q2_K,    ASSAY_TYPE_Q8_K, "ggml_vec_dot_q2_K_q8_K",    Q8_K_CLASS},
    {ASSAY_TYPE_Q3_K,    ASSAY_TYPE_Q8_K, "ggml_vec_dot_q3_K_q8_K",    Q8_K_CLASS},
    {ASSAY_TYPE_Q4_K,    ASSAY_TYPE_Q8_K, "ggml_vec_dot_q4_K_q8_K",    Q8_K_CLASS},
    {ASSAY_TYPE_Q5_K,    ASSAY_TYPE_Q8_K, "ggml_vec_dot_q5_K_q8_K",    Q8_K_CLASS},
    {ASSAY_TYPE_Q6_K,    ASSAY_TYPE_Q8_K, "ggml_vec_dot_q6_K_q8_K",    Q8_K_CLASS},
    {ASSAY_TYPE_IQ1_S,   ASSAY_TYPE_Q8_K, "ggml_vec_dot_iq1_s_q8_K",   Q8_K_CLASS},
    {ASSAY_TYPE_IQ1_M,   ASSAY_TYPE_Q8_K, "ggml_vec_dot_iq1_m_q8_K",   Q8_K_CLASS},
    {ASSAY_TYPE_IQ2_XXS, ASSAY_TYPE_Q8_K, "ggml_vec_dot_iq2_xxs_q8_K", Q8_K_CLASS},
    {ASSAY_TYPE_IQ2_XS,  ASSAY_TYPE_Q8_K, "ggml_vec_dot_iq2_xs_q8_K",  Q8_K_CLASS},
    {ASSAY_TYPE_IQ2_S,   ASSAY_TYPE_Q8_K, "ggml_vec_dot_iq2_s_q8_K",   Q8_K_CLASS},
    {ASSAY_TYPE_IQ3_XXS, ASSAY_TYPE_Q8_K, "ggml_vec_dot_iq3_xxs_q8_K", Q8_K_CLASS},
    {ASSAY_TYPE_IQ3_S,   ASSAY_TYPE_Q8_K, "ggml_vec_dot_iq3_s_q8_K",   Q8_K_CLASS},
    {ASSAY_TYPE_IQ4_XS,  ASSAY_TYPE_Q8_K, "ggml_vec_dot_iq4_xs_q8_K",  Q8_K_CLASS},
    {ASSAY_TYPE_TQ1_0,   ASSAY_TYPE_Q8_K, "ggml_vec_dot_tq1_0_q8_K",   Q8_K_CLASS},
    {ASSAY_TYPE_TQ2_0,   ASSAY_TYPE_Q8_K, "ggml_vec_dot_tq2_0_q8_K",   Q8_K_CLASS},
};
/* clang-format on */

/* ggml asserts this of a buffer's address (its TENSOR_ALIGNMENT). */
#define BUFFER_ALIGNMENT 32

struct ggml_ctx {
    struct assay_ctx head;
    const struct assay_ggml_library *lib;
    struct ggml_backend *backend;
    struct ggml_threadpool *pool;                 /* NULL with one thread */
    struct ggml_backend_buffer_type *repack_buft; /* NULL: plain buffers */
    char kernel[64];
};

/* A graph of one product, for one m and one pair of addresses. A NULL x or y is staged: the given
 * address is not aligned, or the rows of y are not contiguous. Of an indexed product there are also
 * the stack that it multiplies with and the ids, which are copied before each call. */
struct product {
    size_t m;
    size_t share, experts; /* 0: not indexed */
    int32_t *ids;
    struct ggml_backend_buffer *stack_buffer, *ids_buffer;
    const float *x;
    float *y;
    float *x_stage, *y_stage;
    struct ggml_context *context;
    struct ggml_cgraph *graph;
    struct ggml_backend_buffer *x_buffer, *y_buffer;
};

#define CACHED_PRODUCTS 8

struct ggml_store {
    struct assay_store head;
    struct ggml_context *context;
    struct ggml_tensor *tensor; /* NULL if the matrix has no rows */
    struct ggml_backend_buffer *buffer;
    const uint8_t *rows; /* the blocks in file order; NULL once repacked */
    uint8_t *copy;       /* of unaligned bytes */
    struct product products[CACHED_PRODUCTS];
    size_t next_product;
};

static bool available(char *why, size_t n) {
    const char *reason;
    bool ok = assay_ggml_library_get(&reason) != NULL;

    if (!ok && n > 0)
        snprintf(why, n, "%s", reason);
    return ok;
}

static const struct type_class *class_of(const struct assay_type_traits *t) {
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        if (classes[i].type == t->type)
            return &classes[i];
    return NULL;
}

/* ggml's tables are indexed without a check, so a type's row is read only after the library has
 * shown by a symbol that it knows the type; then the row must say what the class says. */
static bool supports(const struct assay_type_traits *t) {
    const char *why;
    const struct assay_ggml_library *lib = assay_ggml_library_get(&why);
    const struct type_class *c = class_of(t);
    const struct ggml_type_traits_cpu *cpu;
    const struct ggml_type_traits *traits;
    void *dot;

    if (lib == NULL || c == NULL)
        return false;
    dot = assay_ggml_symbol(lib, c->dot);
    if (dot == NULL)
        return false;
    cpu = lib->get_type_traits_cpu((int)t->type);
    traits = lib->get_type_traits((int)t->type);
    return cpu->vec_dot == dot && cpu->vec_dot_type == (int)c->act &&
           traits->blck_size == (int64_t)t->block_len && traits->type_size == t->block_bytes;
}

static struct ggml_backend_buffer_type *find_repack(const struct assay_ggml_library *lib) {
    struct ggml_backend_buffer_type **bufts = lib->get_extra_bufts(lib->device);

    for (; bufts != NULL && *bufts != NULL; bufts++)
        if (strcmp(lib->buft_name(*bufts), "CPU_REPACK") == 0)
            return *bufts;
    return NULL;
}

/* "ggml_mul_mat__zen4_repack" from the path of libggml-cpu-zen4.so, "…__cpu" of libggml-cpu.so. */
static void name_kernel(struct ggml_ctx *c) {
    static const char many[] = "libggml-cpu-", one[] = "libggml-";
    const char *file = strrchr(c->lib->path, '/') + 1;

    file += strncmp(file, many, strlen(many)) == 0 ? strlen(many) : strlen(one);
    snprintf(c->kernel, sizeof c->kernel, "ggml_mul_mat__%.*s%s",
             (int)(strlen(file) - strlen(".so")), file, c->repack_buft != NULL ? "_repack" : "");
}

static void ctx_free(struct assay_ctx *ctx) {
    struct ggml_ctx *c = (struct ggml_ctx *)ctx;

    if (c->backend != NULL)
        c->lib->backend_free(c->backend);
    if (c->pool != NULL)
        c->lib->threadpool_free(c->pool);
    free(c);
}

/* ggml's threads poll for new work for some 100 ms. */
static void rest(struct assay_ctx *ctx) {
    struct ggml_ctx *c = (struct ggml_ctx *)ctx;

    if (c->pool != NULL)
        c->lib->threadpool_pause(c->pool);
}

static enum assay_status ctx_create(const struct assay_ctx_params *p, struct assay_ctx **out,
                                    struct assay_error *err) {
    bool repack = strcmp(p->variant, "repack") == 0;
    const char *why;
    const struct assay_ggml_library *lib = assay_ggml_library_get(&why);
    struct ggml_ctx *c;

    if (lib == NULL)
        return assay_fail(err, ASSAY_EUNSUPPORTED, "%s", why);
    if (p->variant[0] != '\0' && !repack)
        return assay_fail(err, ASSAY_EINVAL, "ggml: unknown variant '%s' (there is: repack)",
                          p->variant);
    c = calloc(1, sizeof *c);
    if (c == NULL)
        return assay_fail(err, ASSAY_ENOMEM, "ggml: out of memory");
    c->head.threads = p->threads;
    c->lib = lib;
    if (repack && (c->repack_buft = find_repack(lib)) == NULL) {
        free(c);
        return assay_fail(err, ASSAY_EUNSUPPORTED, "ggml: this library does not repack");
    }
    c->backend = lib->dev_init(lib->device, NULL);
    if (c->backend == NULL) {
        free(c);
        return assay_fail(err, ASSAY_EBACKEND, "ggml: the CPU backend did not start");
    }
    lib->set_n_threads(c->backend, c->head.threads);
    /* Without a pool of its own, ggml starts and joins its threads in every product. */
    if (c->head.threads > 1) {
        struct ggml_threadpool_params params;
        lib->threadpool_params_init(&params, c->head.threads);
        c->pool = lib->threadpool_new(&params);
        if (c->pool == NULL) {
            ctx_free(&c->head);
            return assay_fail(err, ASSAY_EBACKEND, "ggml: no thread pool of %d threads",
                              p->threads);
        }
        lib->set_threadpool(c->backend, c->pool);
    }
    name_kernel(c);
    *out = &c->head;
    return ASSAY_OK;
}

static void arith(const struct assay_ctx *ctx, const struct assay_type_traits *t, size_t m,
                  struct assay_arith *out) {
    /* The same for every m and for the repacked layout: batched paths (sgemm for the 32-blocks, row
     * panels for the IQ types) take the same quantised activations and sum whole blocks exactly. */
    (void)ctx;
    (void)m;
    *out = class_of(t)->arith;
}

static const char *kernel(const struct assay_ctx *ctx, const struct assay_type_traits *t,
                          size_t m) {
    (void)t;
    (void)m;
    return ((const struct ggml_ctx *)ctx)->kernel;
}

static void product_free(const struct assay_ggml_library *lib, struct product *p) {
    if (p->x_buffer != NULL)
        lib->buffer_free(p->x_buffer);
    if (p->y_buffer != NULL)
        lib->buffer_free(p->y_buffer);
    if (p->stack_buffer != NULL)
        lib->buffer_free(p->stack_buffer);
    if (p->ids_buffer != NULL)
        lib->buffer_free(p->ids_buffer);
    if (p->context != NULL)
        lib->free(p->context);
    free(p->ids);
    free(p->x_stage);
    free(p->y_stage);
    *p = (struct product){0};
}

static void store_free(struct assay_store *store) {
    struct ggml_store *s = (struct ggml_store *)store;
    const struct assay_ggml_library *lib = ((const struct ggml_ctx *)s->head.ctx)->lib;

    for (size_t i = 0; i < CACHED_PRODUCTS; i++)
        product_free(lib, &s->products[i]);
    if (s->buffer != NULL)
        lib->buffer_free(s->buffer);
    if (s->context != NULL)
        lib->free(s->context);
    free(s->copy);
    free(s);
}

/* A context that holds only the headers of `tensors` tensors and one small graph. */
static struct ggml_context *new_context(const struct assay_ggml_library *lib, size_t tensors,
                                        size_t graph_size) {
    struct ggml_init_params params = {
        .mem_size =
            tensors * lib->tensor_overhead() + lib->graph_overhead_custom(graph_size, false),
        .no_alloc = true,
    };
    return lib->init(params);
}

#define GRAPH_SIZE 4 /* nodes and leaves: one product of two leaves, or of three */

static bool place(const struct assay_ggml_library *lib, struct ggml_tensor *tensor, void *address,
                  size_t size, struct ggml_backend_buffer **buffer) {
    *buffer = lib->cpu_buffer_from_ptr(address, size);
    return *buffer != NULL && lib->tensor_alloc(*buffer, tensor, address) == 0;
}

static enum assay_status fill_plain(struct ggml_ctx *c, struct ggml_store *s,
                                    struct assay_error *err) {
    size_t size = s->head.rows * s->head.row_bytes;

    s->rows = s->head.bytes;
    if ((uintptr_t)s->rows % BUFFER_ALIGNMENT != 0) {
        size_t padded = (size + BUFFER_ALIGNMENT - 1) / BUFFER_ALIGNMENT * BUFFER_ALIGNMENT;
        s->copy = aligned_alloc(BUFFER_ALIGNMENT, padded);
        if (s->copy == NULL)
            return assay_fail(err, ASSAY_ENOMEM, "ggml: no memory for %zu weight bytes", size);
        memcpy(s->copy, s->rows, size);
        s->rows = s->copy;
        s->head.bytes = NULL;
        s->head.owns_weights = true;
    }
    /* ggml's interface has no const; mul_mat only reads its first source. */
    if (!place(c->lib, s->tensor, (void *)(uintptr_t)s->rows, size, &s->buffer))
        return assay_fail(err, ASSAY_EBACKEND, "ggml: no buffer over %zu weight bytes", size);
    s->head.resident = size;
    return ASSAY_OK;
}

/* ggml aborts when it is handed a matrix that it has no repacked layout for, so it is asked first,
 * with the product that would follow. */
static enum assay_status fill_repacked(struct ggml_ctx *c, struct ggml_store *s,
                                       struct assay_error *err) {
    const struct assay_ggml_library *lib = c->lib;
    size_t size = lib->buft_get_alloc_size(c->repack_buft, s->tensor);
    struct ggml_tensor *x, *y;

    s->buffer = lib->buft_alloc_buffer(c->repack_buft, size);
    if (s->buffer == NULL)
        return assay_fail(err, ASSAY_ENOMEM, "ggml: no memory for %zu weight bytes", size);
    if (lib->tensor_alloc(s->buffer, s->tensor, lib->buffer_get_base(s->buffer)) != 0)
        return assay_fail(err, ASSAY_EBACKEND, "ggml: the repacked buffer refused the matrix");
    x = lib->new_tensor_2d(s->context, ASSAY_TYPE_F32, (int64_t)s->head.in, 1);
    y = lib->mul_mat(s->context, s->tensor, x);
    if (!lib->dev_supports_op(lib->device, y))
        return assay_fail(err, ASSAY_EUNSUPPORTED,
                          "ggml: no repacked layout of such a %s matrix on this machine",
                          s->head.type->name);
    lib->tensor_set(s->tensor, s->head.bytes, 0, s->head.rows * s->head.row_bytes);
    s->head.bytes = NULL;
    s->head.owns_weights = true;
    s->head.resident = size;
    return ASSAY_OK;
}

static enum assay_status store_create(struct assay_ctx *ctx, const struct assay_store *head,
                                      struct assay_store **out, struct assay_error *err) {
    struct ggml_ctx *c = (struct ggml_ctx *)ctx;
    struct ggml_store *s = calloc(1, sizeof *s);
    enum assay_status status = ASSAY_OK;

    if (s == NULL)
        return assay_fail(err, ASSAY_ENOMEM, "ggml: out of memory");
    s->head = *head;
    s->head.owns_weights = false;
    s->head.resident = 0;
    if (head->rows > 0) {
        s->context = new_context(c->lib, 3, GRAPH_SIZE);
        if (s->context == NULL) {
            status = assay_fail(err, ASSAY_ENOMEM, "ggml: no memory for a tensor");
        } else {
            s->tensor = c->lib->new_tensor_2d(s->context, (int)head->type->type, (int64_t)head->in,
                                              (int64_t)head->rows);
            status = c->repack_buft != NULL ? fill_repacked(c, s, err) : fill_plain(c, s, err);
        }
    }
    if (status != ASSAY_OK) {
        store_free(&s->head);
        return status;
    }
    *out = &s->head;
    return ASSAY_OK;
}

/* Memory for a buffer of ggml's, or NULL. */
static void *stage(size_t bytes) {
    return aligned_alloc(BUFFER_ALIGNMENT,
                         (bytes + BUFFER_ALIGNMENT - 1) / BUFFER_ALIGNMENT * BUFFER_ALIGNMENT);
}

/* The node of an indexed product: share experts for each row of x, all in one stack. */
static struct ggml_tensor *indexed_node(const struct assay_ggml_library *lib,
                                        const struct ggml_store *s, struct product *p,
                                        struct ggml_tensor **x) {
    int64_t in = (int64_t)s->head.in, rows = (int64_t)s->head.rows;
    int64_t share = (int64_t)p->share, tokens = (int64_t)(p->m / p->share);
    struct ggml_tensor *ids, *stack;

    p->ids = stage(p->m * sizeof *p->ids);
    if (p->ids == NULL)
        return NULL;
    stack = lib->new_tensor_3d(p->context, (int)s->head.type->type, in, rows, (int64_t)p->experts);
    ids = lib->new_tensor_2d(p->context, ASSAY_TYPE_I32, share, tokens);
    *x = lib->new_tensor_3d(p->context, ASSAY_TYPE_F32, in, 1, tokens);
    if (!place(lib, stack, (void *)(uintptr_t)s->rows,
               p->experts * s->head.rows * s->head.row_bytes, &p->stack_buffer) ||
        !place(lib, ids, p->ids, p->m * sizeof *p->ids, &p->ids_buffer))
        return NULL;
    return lib->mul_mat_id(p->context, stack, *x, ids);
}

static bool product_build(const struct assay_ggml_library *lib, const struct ggml_store *s,
                          struct product *p) {
    size_t in = s->head.in, rows = s->head.rows, x_rows = p->share > 0 ? p->m / p->share : p->m;
    struct ggml_tensor *x, *y;
    void *x_at = (void *)(uintptr_t)p->x, *y_at = p->y;

    if (x_at == NULL)
        x_at = p->x_stage = stage(x_rows * in * sizeof(float));
    if (y_at == NULL)
        y_at = p->y_stage = stage(p->m * rows * sizeof(float));
    p->context = new_context(lib, 4, GRAPH_SIZE);
    if (x_at == NULL || y_at == NULL || p->context == NULL)
        return false;
    if (p->share > 0) {
        y = indexed_node(lib, s, p, &x);
    } else {
        x = lib->new_tensor_2d(p->context, ASSAY_TYPE_F32, (int64_t)in, (int64_t)p->m);
        y = lib->mul_mat(p->context, s->tensor, x);
    }
    if (y == NULL || !place(lib, x, x_at, x_rows * in * sizeof(float), &p->x_buffer) ||
        !place(lib, y, y_at, p->m * rows * sizeof(float), &p->y_buffer))
        return false;
    p->graph = lib->new_graph_custom(p->context, GRAPH_SIZE, false);
    if (p->graph == NULL)
        return false;
    lib->build_forward_expand(p->graph, y);
    return true;
}

/* The graph of the wanted product from the store's cache; built, in place of the oldest, if it is
 * new. */
static struct product *product_get(const struct assay_ggml_library *lib, struct ggml_store *s,
                                   struct product wanted, size_t ldy) {
    struct product *p;

    if ((uintptr_t)wanted.x % BUFFER_ALIGNMENT != 0)
        wanted.x = NULL;
    if ((uintptr_t)wanted.y % BUFFER_ALIGNMENT != 0 || (wanted.m > 1 && ldy != s->head.rows))
        wanted.y = NULL;
    for (size_t i = 0; i < CACHED_PRODUCTS; i++) {
        p = &s->products[i];
        if (p->graph != NULL && p->m == wanted.m && p->x == wanted.x && p->y == wanted.y &&
            p->share == wanted.share && p->experts == wanted.experts)
            return p;
    }
    p = &s->products[s->next_product];
    s->next_product = (s->next_product + 1) % CACHED_PRODUCTS;
    product_free(lib, p);
    *p = wanted;
    if (!product_build(lib, s, p)) {
        product_free(lib, p);
        return NULL;
    }
    return p;
}

/* Runs a product's graph: x_rows rows of x to p->m rows of y. */
static enum assay_status run(const struct ggml_ctx *c, const struct product *p,
                             const struct assay_store *w, const float *x, size_t x_rows, float *y,
                             size_t ldy, struct assay_error *err) {
    int status;

    if (p->x_stage != NULL)
        memcpy(p->x_stage, x, x_rows * w->in * sizeof *x);
    status = c->lib->graph_compute(c->backend, p->graph);
    if (status != 0)
        return assay_fail(err, ASSAY_EBACKEND, "ggml: graph_compute returned status %d", status);
    if (p->y_stage != NULL)
        for (size_t i = 0; i < p->m; i++)
            memcpy(y + i * ldy, p->y_stage + i * w->rows, w->rows * sizeof *y);
    return ASSAY_OK;
}

static enum assay_status no_product(size_t m, struct assay_error *err) {
    return assay_fail(err, ASSAY_ENOMEM, "ggml: no memory for a product of %zu rows", m);
}

static enum assay_status gemm(struct assay_ctx *ctx, const struct assay_store *w, const float *x,
                              size_t m, float *y, size_t ldy, struct assay_error *err) {
    struct ggml_ctx *c = (struct ggml_ctx *)ctx;
    struct ggml_store *s = (struct ggml_store *)(uintptr_t)w; /* its cache of graphs changes */
    struct product *p = product_get(c->lib, s, (struct product){.m = m, .x = x, .y = y}, ldy);

    return p == NULL ? no_product(m, err) : run(c, p, w, x, m, y, ldy, err);
}

/* ggml's own indexed product takes the experts as one tensor: those that lie one after the other,
 * as in a file. Repacked ones do not, each being a buffer of its own. */
static bool is_stack(const struct assay_store *const *experts, size_t count) {
    const struct ggml_store *first = (const struct ggml_store *)experts[0];

    for (size_t i = 0; i < count; i++)
        if (first->rows == NULL || ((const struct ggml_store *)experts[i])->rows !=
                                       first->rows + i * experts[0]->rows * experts[0]->row_bytes)
            return false;
    return true;
}

static enum assay_status gemm_id(struct assay_ctx *ctx, const struct assay_store *const *experts,
                                 size_t count, const struct assay_routing *r, const float *x,
                                 float *y, size_t ldy, struct assay_error *err) {
    struct ggml_ctx *c = (struct ggml_ctx *)ctx;
    struct ggml_store *s = (struct ggml_store *)(uintptr_t)experts[0];
    struct product *p;

    if (r->m % r->share != 0 || !is_stack(experts, count))
        return assay_gemm_id_grouped(ctx, experts, count, r, x, y, ldy, err);
    p = product_get(
        c->lib, s, (struct product){.m = r->m, .share = r->share, .experts = count, .x = x, .y = y},
        ldy);
    if (p == NULL)
        return no_product(r->m, err);
    for (size_t i = 0; i < r->m; i++)
        p->ids[i] = (int32_t)r->ids[i];
    return run(c, p, experts[0], x, r->m / r->share, y, ldy, err);
}

static enum assay_status rows(struct assay_ctx *ctx, const struct assay_store *w,
                              const int64_t *ids, size_t count, float *y, struct assay_error *err) {
    const struct ggml_store *s = (const struct ggml_store *)w;
    const struct assay_ggml_library *lib = ((const struct ggml_ctx *)ctx)->lib;
    const struct ggml_type_traits *traits = lib->get_type_traits((int)w->type->type);

    if (s->rows == NULL)
        return assay_fail(err, ASSAY_EUNSUPPORTED, "ggml: repacked rows can't be looked up");
    for (size_t i = 0; i < count; i++) {
        const uint8_t *row = s->rows + (size_t)ids[i] * w->row_bytes;
        if (w->type->type == ASSAY_TYPE_F32)
            memcpy(y + i * w->in, row, w->row_bytes);
        else
            traits->to_float(row, y + i * w->in, (int64_t)w->in);
    }
    return ASSAY_OK;
}

const struct assay_backend assay_backend_ggml = {
    .name = "ggml",
    .summary = "llama.cpp's CPU libraries, loaded at run time (variant: repack)",
    .peer = true,
    .claims = ASSAY_CLAIM_REPEATABLE,
    .available = available,
    .supports = supports,
    .ctx_create = ctx_create,
    .ctx_free = ctx_free,
    .arith = arith,
    .kernel = kernel,
    .store_create = store_create,
    .store_free = store_free,
    .gemm = gemm,
    .gemm_id = gemm_id,
    .rows = rows,
    .rest = rest,
};
