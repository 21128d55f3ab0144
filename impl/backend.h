/* The backend vtable. A backend is one row; registry.c lists the rows. */
#ifndef ASSAY_IMPL_BACKEND_H
#define ASSAY_IMPL_BACKEND_H

#include "gemm_quant.h"

/* What every context starts with; a backend's own context struct embeds it as first member. */
struct assay_ctx {
    const struct assay_backend *backend;
    enum assay_isa isa; /* resolved */
    int threads;        /* >= 1 */
};

/* What every store starts with; `bytes` is NULL once the backend owns a copy. */
struct assay_store {
    struct assay_ctx *ctx;
    const struct assay_type_traits *type;
    const uint8_t *bytes;
    size_t rows, in, row_bytes;
    size_t resident; /* bytes that the weights occupy */
    bool owns_weights;
};

struct assay_backend {
    const char *name;
    const char *summary;
    bool uses_isa;

    /* NULL: always available. */
    bool (*available)(char *why, size_t n);
    bool (*supports)(const struct assay_type_traits *t);

    /* Arguments are validated by the caller (context.c, store.c): non-NULL, shape consistent, type
     * supported, no overflow. On failure nothing is left allocated and err is filled in. */
    enum assay_status (*ctx_create)(const struct assay_ctx_params *p, struct assay_ctx **out,
                                    struct assay_error *err);
    void (*ctx_free)(struct assay_ctx *ctx);
    void (*arith)(const struct assay_ctx *ctx, const struct assay_type_traits *t, size_t m,
                  struct assay_arith *out);
    const char *(*kernel)(const struct assay_ctx *ctx, const struct assay_type_traits *t, size_t m);

    /* Allocates the backend's store struct, whose head is already given in *head (copy it). */
    enum assay_status (*store_create)(struct assay_ctx *ctx, const struct assay_store *head,
                                      struct assay_store **out, struct assay_error *err);
    void (*store_free)(struct assay_store *s);
    enum assay_status (*gemm)(struct assay_ctx *ctx, const struct assay_store *w, const float *x,
                              size_t m, float *y, size_t ldy, struct assay_error *err);
    /* Decodes rows ids[] into y[count × in]; ids are in range. */
    enum assay_status (*rows)(struct assay_ctx *ctx, const struct assay_store *w,
                              const int64_t *ids, size_t count, float *y, struct assay_error *err);
};

/* Fills *err (if not NULL) and returns `status`, so that `return assay_fail(err, ASSAY_EINVAL, …)`
 * is the one idiom for errors. */
enum assay_status assay_fail(struct assay_error *err, enum assay_status status, const char *fmt,
                             ...) __attribute__((format(printf, 3, 4)));

#endif
