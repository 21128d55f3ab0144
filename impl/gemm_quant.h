/* assay's public kernel interface: quant store, gemm_quant, QuantLinear, backends.
 *
 *   y[m × out] = x[m × in] · Wᵀ
 *
 * W is `out` rows of GGUF blocks, row-major; `in` is a multiple of the type's block length; x and y
 * are fp32, row-major. Every function that can fail returns an enum assay_status and, if err is not
 * NULL, fills in a one-line message; *err is left alone on success. Nothing aborts. Every error,
 * lack of memory included, is found before y is written. Output pointers (struct … **) are set on
 * success only. */
#ifndef ASSAY_IMPL_GEMM_QUANT_H
#define ASSAY_IMPL_GEMM_QUANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ref/arith.h"
#include "ref/types.h"

enum assay_status {
    ASSAY_OK = 0,
    ASSAY_EINVAL,       /* NULL pointer, bad shape, size that disagrees with the shape, bad id */
    ASSAY_EUNSUPPORTED, /* type, ISA or backend not available; never replaced silently */
    ASSAY_EOVERFLOW,    /* a size does not fit size_t */
    ASSAY_ENOMEM,
    ASSAY_EBACKEND, /* the backend's own library failed */
};

struct assay_error {
    enum assay_status status;
    char message[240]; /* one line, no newline */
};

/* Instruction sets, those of one architecture in order of preference. AUTO takes the best that this
 * machine runs. */
enum assay_isa {
    ASSAY_ISA_AUTO = 0,
    ASSAY_ISA_SCALAR,
    ASSAY_ISA_AVX2,   /* AVX2 + FMA + F16C */
    ASSAY_ISA_AVX512, /* AVX-512 F/BW/VL/DQ + VBMI + VNNI */
    ASSAY_ISA_NEON,   /* AArch64 with the dot product instructions (FEAT_DotProd) */
    ASSAY_ISA_I8MM,   /* and with int8 matrix multiplication (FEAT_I8MM) */
    ASSAY_ISA_COUNT,
};

/* "auto", "scalar", "avx2", "avx512", "neon", "i8mm" */
const char *assay_isa_name(enum assay_isa isa);
bool assay_isa_parse(const char *name, enum assay_isa *isa);
bool assay_isa_runs_here(enum assay_isa isa); /* AUTO and SCALAR always do */

/* True if the instruction set is one of the architecture that this build is for. */
bool assay_isa_of_this_build(enum assay_isa isa);

/* ---- Backends ------------------------------------------------------------------------------- */

struct assay_ctx;
struct assay_store;
struct assay_backend; /* the vtable: impl/backend.h */

/* Registered backends, in order: "scalar", "cpu", "eager-f32", "eager-f16", "transient-f16",
 * "ggml", "ik", "metal" ("metal-emulated" but on a Mac), then those added at run time (plugins). */
size_t assay_backend_count(void);
const struct assay_backend *assay_backend_at(size_t i);
/* NULL if unknown. An emulation is also found by the name of what it emulates ("metal"). */
const struct assay_backend *assay_backend_by_name(const char *name);
const char *assay_backend_name(const struct assay_backend *b);
const char *assay_backend_summary(const struct assay_backend *b);

/* False if the backend can't be used on this machine or in this build; `why` (size n) then says why
 * in a few words. */
bool assay_backend_available(const struct assay_backend *b, char *why, size_t n);

/* True if the backend multiplies with this type. */
bool assay_backend_supports(const struct assay_backend *b, const struct assay_type_traits *t);

/* True if the backend's result or speed depends on the ISA choice (so verify enumerates them). */
bool assay_backend_uses_isa(const struct assay_backend *b);

/* True if the backend looks rows up; otherwise assay_linear_rows fails with ASSAY_EUNSUPPORTED. */
bool assay_backend_has_rows(const struct assay_backend *b);

/* True for the kernels of another project (ggml, ik) and for emulations (metal, but on a Mac): a
 * subject only where it is asked for by name. */
bool assay_backend_is_peer(const struct assay_backend *b);

/* True if a software device runs the kernels. The backend's name says so too, so that every result
 * does. */
bool assay_backend_is_emulated(const struct assay_backend *b);

/* Properties that a backend may claim beyond being right; verify enforces what is claimed. */
enum assay_claim {
    ASSAY_CLAIM_REPEATABLE = 1 << 0,       /* the same call gives the same bits */
    ASSAY_CLAIM_THREAD_INVARIANT = 1 << 1, /* so do other thread counts */
    ASSAY_CLAIM_BATCH_INVARIANT = 1 << 2,  /* row i of y depends on row i of x alone, not on m */
    ASSAY_CLAIM_SLICE_INVARIANT = 1 << 3,  /* column j of y depends on row j of W alone, not on n */
    ASSAY_CLAIM_IEEE_SPECIALS = 1 << 4,    /* an inf or NaN reaches the outputs that it belongs to,
                                              and no other */
};
unsigned assay_backend_claims(const struct assay_backend *b);

struct assay_ctx_params {
    const struct assay_backend *backend; /* required */
    enum assay_isa isa;                  /* ignored by backends that have no choice */
    int threads;                         /* >= 1; 0 means 1 */
    const char *variant; /* backend-specific (cpu: "" or NULL = best, "exact" = fp32 activations;
                            ggml and ik: "" plain rows, "repack"; metal: "" by m, "gemv", "gemm",
                            "transient"); borrowed until create returns */
};

/* A context holds threads and scratch of one backend. It may be used by one thread at a time. */
enum assay_status assay_ctx_create(const struct assay_ctx_params *p, struct assay_ctx **out,
                                   struct assay_error *err);
void assay_ctx_free(struct assay_ctx *ctx);                /* NULL is allowed */
enum assay_isa assay_ctx_isa(const struct assay_ctx *ctx); /* the resolved ISA, never AUTO */

/* Sends threads that spin for more work to sleep; the next product wakes them. Not needed for
 * correctness: it frees their cores for others. */
void assay_ctx_rest(struct assay_ctx *ctx);

/* What a backend with a device of its own knows of it. */
struct assay_device_use {
    double seconds; /* that the device took for all products of the context so far, by its clock */
    uint64_t bytes; /* that the device has allocated now, weights that it borrows included */
};

/* False: the backend has no device but the CPU; *use is untouched. */
bool assay_ctx_device_use(const struct assay_ctx *ctx, struct assay_device_use *use);

/* The arithmetic class of a product of type `t` with m rows of x in this context. */
enum assay_status assay_ctx_arith(const struct assay_ctx *ctx, const struct assay_type_traits *t,
                                  size_t m, struct assay_arith *out, struct assay_error *err);

/* Name of the kernel that this product would run ("gemm_q4_k_q8_k__avx512"), for reports. */
const char *assay_ctx_kernel(const struct assay_ctx *ctx, const struct assay_type_traits *t,
                             size_t m);

/* ---- Quant store: one matrix ---------------------------------------------------------------- */

/* Makes a store of `rows` × `in` weights from GGUF bytes. The store borrows `bytes` (any alignment,
 * usually a file mapping), which must outlive it unless assay_store_owns_weights() is true. nbytes
 * must equal rows · row_bytes. rows may be 0. The store belongs to ctx: it multiplies in that
 * context only and must be freed before it. */
enum assay_status assay_store_create(struct assay_ctx *ctx, uint32_t type, const void *bytes,
                                     size_t nbytes, size_t rows, size_t in,
                                     struct assay_store **out, struct assay_error *err);
void assay_store_free(struct assay_store *s); /* NULL is allowed */

/* True if the backend keeps its own copy (eager), so the caller may release the bytes. */
bool assay_store_owns_weights(const struct assay_store *s);

/* Bytes that the weights occupy in memory: the blocks, or the backend's own copy. */
size_t assay_store_bytes(const struct assay_store *s);

/* y[i*ldy + j] = Σ_k x[i*in + k]·W[j,k] for i < m, j < rows. ldy >= rows, in floats. m = 0 or
 * rows = 0 is a no-op, whatever x, y and ldy are. x and y must not overlap. Elements of y beyond
 * column `rows` are kept. */
enum assay_status gemm_quant(struct assay_ctx *ctx, const struct assay_store *w, const float *x,
                             size_t m, float *y, size_t ldy, struct assay_error *err);

/* ---- QuantLinear: one projection of one or several parts ------------------------------------- */

struct assay_part {
    uint32_t type; /* GGUF type number */
    const void *bytes;
    size_t nbytes;
    size_t rows;
};

struct assay_linear;

enum assay_status assay_linear_create(struct assay_ctx *ctx, uint32_t type, const void *bytes,
                                      size_t nbytes, size_t out, size_t in,
                                      struct assay_linear **lin, struct assay_error *err);

/* Fused projection (e.g. q and k in Q4_K, v in Q6_K): each part stays in its own store; the outputs
 * lie side by side in part order, out = Σ rows. Zero-row parts are allowed, zero parts are not. */
enum assay_status assay_linear_create_fused(struct assay_ctx *ctx, const struct assay_part *parts,
                                            size_t nparts, size_t in, struct assay_linear **lin,
                                            struct assay_error *err);

/* Wraps an existing store; the linear takes ownership on success only. */
enum assay_status assay_linear_from_store(struct assay_ctx *ctx, struct assay_store *store,
                                          struct assay_linear **lin, struct assay_error *err);
void assay_linear_free(struct assay_linear *lin); /* NULL is allowed */

size_t assay_linear_in(const struct assay_linear *lin);
size_t assay_linear_out(const struct assay_linear *lin);
size_t assay_linear_bytes(const struct assay_linear *lin); /* Σ assay_store_bytes */

/* y[m × out] = x[m × in] · Wᵀ. m = 0 or out = 0 is a no-op. With several parts it needs scratch for
 * m rows of all parts but the largest: a part that fails must not leave y half written. */
enum assay_status assay_linear_forward(struct assay_ctx *ctx, const struct assay_linear *lin,
                                       const float *x, float *y, size_t m, struct assay_error *err);

/* Row lookup (embedding): writes rows ids[0..count) of W into y[count × in], in the precision that
 * the backend keeps (fp16 for eager-f16). Ids number the `out` rows of all parts in order and may
 * repeat; one out of range is an error. count = 0 is a no-op. */
enum assay_status assay_linear_rows(struct assay_ctx *ctx, const struct assay_linear *lin,
                                    const int64_t *ids, size_t count, float *y,
                                    struct assay_error *err);

/* ---- Stacked experts (mixture of experts) ---------------------------------------------------- */

struct assay_experts;

/* Makes stores of `count` matrices of rows × in each, which lie one after the other in `bytes` (a
 * GGUF tensor of three dimensions). As assay_store_create otherwise: the bytes are borrowed unless
 * assay_experts_own_weights() is true, and nbytes must equal count · rows · row_bytes. */
enum assay_status assay_experts_create(struct assay_ctx *ctx, uint32_t type, const void *bytes,
                                       size_t nbytes, size_t count, size_t rows, size_t in,
                                       struct assay_experts **out, struct assay_error *err);
void assay_experts_free(struct assay_experts *e); /* NULL is allowed */
bool assay_experts_own_weights(const struct assay_experts *e);
size_t assay_experts_bytes(const struct assay_experts *e); /* Σ assay_store_bytes */

/* Indexed product: row i of y is row i / share of x times expert ids[i],
 *   y[i*ldy + j] = Σ_k x[(i / share)*in + k] · W[ids[i]][j,k]   for i < m, j < rows.
 * With `top` experts a token: ids[tokens × top] and share = top where the experts read the token's
 * one row (gate and up), share = 1 where each reads a row of its own (down). Ids may repeat; one
 * out of range is an error. x has ⌈m / share⌉ rows. m = 0 or rows = 0 is a no-op. Each row is
 * computed in the arithmetic class (assay_ctx_arith) of a product of as many rows as its expert has
 * in ids. */
enum assay_status gemm_quant_id(struct assay_ctx *ctx, const struct assay_experts *e,
                                const int64_t *ids, size_t m, const float *x, size_t share,
                                float *y, size_t ldy, struct assay_error *err);

#endif
