/* The backend vtable. A backend is one row; registry.c lists the rows. */
#ifndef ASSAY_IMPL_BACKEND_H
#define ASSAY_IMPL_BACKEND_H

#include "gemm_quant.h"
#include "routing.h"

/* What every context starts with; a backend's own context struct embeds it as first member.
 * assay_ctx_create fills it in after the backend's ctx_create has returned. */
struct assay_ctx {
    const struct assay_backend *backend;
    enum assay_isa isa; /* resolved: scalar for backends that have no choice */
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

/* A part of a fused product: columns first … first + rows - 1 of y. */
struct assay_part_product {
    const struct assay_store *w;
    size_t first;
};

struct assay_backend {
    const char *name;
    const char *alias; /* a second name that finds it; NULL: none */
    const char *summary;
    bool uses_isa;
    bool peer;       /* another project's code, or an emulation: judged where asked for by name */
    bool emulated;   /* runs on a software device: hundreds of times slower than its kernels are */
    unsigned claims; /* enum assay_claim */

    /* NULL: always available. */
    bool (*available)(char *why, size_t n);
    /* NULL: the types of the bit set `types` (bit i: GGUF type number i). */
    bool (*supports)(const struct assay_type_traits *t);
    uint64_t types;

    /* Arguments are validated by the caller (context.c, store.c): non-NULL, shape consistent, type
     * supported, no overflow; in *p isa and threads are resolved and variant is not NULL. On
     * failure nothing is left allocated and err is filled in. */
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

    /* All fail before they write y or not at all: whatever they need is allocated first. m, the
     * store's rows and count are not 0. */
    enum assay_status (*gemm)(struct assay_ctx *ctx, const struct assay_store *w, const float *x,
                              size_t m, float *y, size_t ldy, struct assay_error *err);
    /* Indexed product over `count` stores of one type and shape; the ids are in range. NULL:
     * assay_gemm_id_grouped. */
    enum assay_status (*gemm_id)(struct assay_ctx *ctx, const struct assay_store *const *experts,
                                 size_t count, const struct assay_routing *r, const float *x,
                                 float *y, size_t ldy, struct assay_error *err);
    /* Products of one x with several stores at once, each to its own columns of y. NULL: one after
     * the other by gemm. */
    enum assay_status (*gemm_parts)(struct assay_ctx *ctx, const struct assay_part_product *parts,
                                    size_t n, const float *x, size_t m, float *y, size_t ldy,
                                    struct assay_error *err);
    /* Decodes rows ids[] into y[count × in]; ids are in range. NULL: the backend has no lookup. */
    enum assay_status (*rows)(struct assay_ctx *ctx, const struct assay_store *w,
                              const int64_t *ids, size_t count, float *y, struct assay_error *err);
    /* NULL: its threads soon sleep by themselves. */
    void (*rest)(struct assay_ctx *ctx);
    /* NULL: no device but the CPU. */
    void (*device_use)(const struct assay_ctx *ctx, struct assay_device_use *use);
};

/* The registered backends (registry.c). */
extern const struct assay_backend assay_backend_scalar, assay_backend_cpu, assay_backend_eager_f32,
    assay_backend_eager_f16, assay_backend_transient_f16, assay_backend_ggml, assay_backend_ik,
    assay_backend_metal;

/* Adds a backend to the end of the list, for the rest of the program's life; *b is borrowed. False
 * if its name is taken or ASSAY_MAX_BACKENDS are there already. */
#define ASSAY_MAX_BACKENDS 64
bool assay_backend_register(const struct assay_backend *b);

/* ---- Parts that several backends share (plain.c) --------------------------------------------- */

static inline const uint8_t *assay_store_row(const struct assay_store *s, size_t row) {
    return s->bytes + row * s->row_bytes;
}

/* supports: whatever assay can decode. */
bool assay_plain_supports(const struct assay_type_traits *t);

/* A context that is only its head. Refuses every variant. */
enum assay_status assay_plain_ctx_create(const struct assay_ctx_params *p, struct assay_ctx **out,
                                         struct assay_error *err);
void assay_plain_ctx_free(struct assay_ctx *ctx);

/* A store that is only its head, and borrows the blocks. */
enum assay_status assay_plain_store_create(struct assay_ctx *ctx, const struct assay_store *head,
                                           struct assay_store **out, struct assay_error *err);
void assay_plain_store_free(struct assay_store *s);

/* rows: decodes from the blocks. */
enum assay_status assay_plain_rows(struct assay_ctx *ctx, const struct assay_store *w,
                                   const int64_t *ids, size_t count, float *y,
                                   struct assay_error *err);

/* gemm_id: one product by gemm for each expert in use (experts.c). */
enum assay_status assay_gemm_id_grouped(struct assay_ctx *ctx,
                                        const struct assay_store *const *experts, size_t count,
                                        const struct assay_routing *r, const float *x, float *y,
                                        size_t ldy, struct assay_error *err);

/* ---- Errors ---------------------------------------------------------------------------------- */

/* Fills *err (if not NULL) and returns `status`, so that `return assay_fail(err, ASSAY_EINVAL, …)`
 * is the one idiom for errors. */
enum assay_status assay_fail(struct assay_error *err, enum assay_status status, const char *fmt,
                             ...) __attribute__((format(printf, 3, 4)));

#endif
