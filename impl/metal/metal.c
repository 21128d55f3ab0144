/* Backend "metal": context, stores and description. The products are in product.c and indexed.c. */
#include "metal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool available(char *why, size_t n) {
    char folder[4096];
    return assay_metal_folder(folder, sizeof folder, why, n);
}

static bool path_of(const char *variant, enum metal_path *path) {
    static const char *const names[] = {
        [METAL_BY_M] = "",
        [METAL_GEMV] = "gemv",
        [METAL_GEMM] = "gemm",
        [METAL_TRANSIENT] = "transient",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], variant) == 0) {
            *path = (enum metal_path)i;
            return true;
        }
    return false;
}

static enum assay_status ctx_create(const struct assay_ctx_params *p, struct assay_ctx **out,
                                    struct assay_error *err) {
    char folder[4096], why[200];
    enum metal_path forced;
    if (!path_of(p->variant, &forced))
        return assay_fail(err, ASSAY_EINVAL, "backend metal has no variant '%s'", p->variant);
    struct metal_ctx *c = calloc(1, sizeof *c);
    if (!c)
        return assay_fail(err, ASSAY_ENOMEM, "out of memory for a context");
    c->forced = forced;
    if (!assay_metal_folder(folder, sizeof folder, why, sizeof why) ||
        !(c->host = assay_metal_load(folder, why, sizeof why)) ||
        !(c->device = c->host->open(folder, why, sizeof why))) {
        free(c);
        return assay_fail(err, ASSAY_EUNSUPPORTED, "metal: %s", why);
    }
    *out = &c->base;
    return ASSAY_OK;
}

static void ctx_free(struct assay_ctx *ctx) {
    struct metal_ctx *c = (struct metal_ctx *)ctx;
    for (int i = 0; i < SCRATCHES; i++)
        c->host->buffer_free(c->scratch[i].buffer);
    c->host->close(c->device);
    free(c);
}

struct metal_buffer *assay_metal_scratch(struct metal_ctx *c, enum metal_scratch which,
                                         size_t bytes) {
    if (c->scratch[which].buffer && c->scratch[which].bytes == bytes)
        return c->scratch[which].buffer;
    c->host->buffer_free(c->scratch[which].buffer);
    c->scratch[which].buffer = c->host->buffer_new(c->device, bytes);
    c->scratch[which].bytes = bytes;
    return c->scratch[which].buffer;
}

/* ---- Stores ---- */

/* The widest loads that the kernels use on a type: what its block size allows, at most 4 bytes. */
static size_t load_width(const struct assay_type_traits *t) {
    return t->block_bytes % 4 == 0 ? 4 : t->block_bytes % 2 == 0 ? 2 : 1;
}

static enum assay_status store_create(struct assay_ctx *ctx, const struct assay_store *head,
                                      struct assay_store **out, struct assay_error *err) {
    struct metal_ctx *c = (struct metal_ctx *)ctx;
    struct metal_store *s = calloc(1, sizeof *s);
    size_t bytes = head->rows * head->row_bytes;
    if (!s)
        return assay_fail(err, ASSAY_ENOMEM, "out of memory for a store");
    s->head = *head;
    if (head->rows > INT32_MAX || head->in > INT32_MAX) {
        free(s);
        return assay_fail(err, ASSAY_EOVERFLOW, "metal: %zu x %zu weights are beyond its 31 bits",
                          head->rows, head->in);
    }
    if (bytes > 0 && (uintptr_t)head->bytes % load_width(head->type) == 0)
        s->buffer = c->host->buffer_wrap(c->device, head->bytes, bytes, &s->offset);
    if (bytes > 0 && !s->buffer) { /* badly aligned, or pages that the device does not take */
        s->buffer = c->host->buffer_new(c->device, bytes);
        if (!s->buffer) {
            free(s);
            return assay_fail(err, ASSAY_ENOMEM, "metal: no buffer for %zu bytes of weights",
                              bytes);
        }
        memcpy(c->host->contents(s->buffer), head->bytes, bytes);
        s->head.bytes = NULL;
        s->head.owns_weights = true;
        s->offset = 0;
    }
    *out = &s->head;
    return ASSAY_OK;
}

static void store_free(struct assay_store *head) {
    struct metal_store *s = (struct metal_store *)head;
    const struct metal_host *host = ((struct metal_ctx *)head->ctx)->host;
    host->buffer_free(s->stack);
    host->buffer_free(s->buffer);
    free(s);
}

/* ---- Description ---- */

static void arith(const struct assay_ctx *ctx, const struct assay_type_traits *t, size_t m,
                  struct assay_arith *out) {
    (void)t;
    bool exact = metal_choose(((const struct metal_ctx *)ctx)->forced, m) == METAL_GEMV;
    *out = (struct assay_arith){
        .weight = exact ? ASSAY_WEIGHT_F32 : ASSAY_WEIGHT_F16,
        .act = exact ? ASSAY_ACT_F32 : ASSAY_ACT_F16,
        .exact_run = 1,
    };
}

static void device_use(const struct assay_ctx *ctx, struct assay_device_use *use) {
    const struct metal_ctx *c = (const struct metal_ctx *)ctx;
    *use = (struct assay_device_use){c->gpu_seconds, c->host->allocated(c->device)};
}

struct kernel_names {
    const char *gemv, *gemv8, *gemm, *transient;
};

static const struct kernel_names names[] = {
#define ASSAY_TYPE(ENUM, id, name, len, bytes, dequant, min_terms)                                 \
    [id] = {"gemv_" #name "_f32__" METAL_LABEL, "gemv8_" #name "_f32__" METAL_LABEL,               \
            "gemm_" #name "_f16__" METAL_LABEL, "gemm_" #name "_f16__" METAL_LABEL "_transient"},
#include "ref/types.def"
#undef ASSAY_TYPE
};

static const char *kernel(const struct assay_ctx *ctx, const struct assay_type_traits *t,
                          size_t m) {
    const struct kernel_names *n = &names[t->type];
    enum metal_path path = metal_choose(((const struct metal_ctx *)ctx)->forced, m);
    return path == METAL_GEMM        ? n->gemm
           : path == METAL_TRANSIENT ? n->transient
           : m == 1                  ? n->gemv
                                     : n->gemv8;
}

const struct assay_backend assay_backend_metal = {
    .name = METAL_NAME,
    .alias = "metal",
    .summary = METAL_EMULATED ? "Metal kernels, emulated: the sources run on a software device"
                              : "Metal kernels on the default GPU",
    .peer = METAL_EMULATED,
    .emulated = METAL_EMULATED,
    .claims = ASSAY_CLAIM_REPEATABLE | ASSAY_CLAIM_THREAD_INVARIANT | ASSAY_CLAIM_SLICE_INVARIANT |
              ASSAY_CLAIM_IEEE_SPECIALS,
    .available = available,
    .supports = assay_plain_supports,
    .ctx_create = ctx_create,
    .ctx_free = ctx_free,
    .arith = arith,
    .kernel = kernel,
    .device_use = device_use,
    .store_create = store_create,
    .store_free = store_free,
    .gemm = assay_metal_gemm,
    .gemm_parts = assay_metal_gemm_parts,
    .gemm_id = assay_metal_gemm_id,
    .rows = assay_metal_rows,
};
