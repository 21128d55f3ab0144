#include "ik.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "impl/threads.h"
#include "library.h"

#define EXACT 0 /* threshold of the types that no batch has rounded anew */

/* What a row of the table says holds where ik_llama.cpp has AVX2; its numbers of types are GGUF's.
 * F16 and BF16 are missing, whose activations it rounds to 16-bit floats, and F32, which it refuses
 * for most lengths. Batches from `coarse_m` rows on (by its AVX-512 build; others begin later or at
 * the same) are multiplied with weights that it makes anew, a tile at a time, as int8 codes. Types
 * without a minimum have their codes shifted for VPDPBUSD, by most kernels. */
struct type_class {
    enum assay_type type;
    enum ik_type act;
    int repacked; /* type of the interleaved rows, 0: none */
    enum ik_type repacked_act;
    uint32_t exact_run; /* weights under one scale */
    size_t coarse_m;
};

/* clang-format off */
static const struct type_class classes[] = {
    {ASSAY_TYPE_Q4_0,    IK_TYPE_Q8_2_X4, IK_TYPE_Q4_0_R8,    IK_TYPE_Q8_2_X4, 32, EXACT},
    {ASSAY_TYPE_Q4_1,    IK_TYPE_Q8_2_X4, 0,                  IK_TYPE_Q8_2_X4, 32, EXACT},
    {ASSAY_TYPE_Q5_0,    IK_TYPE_Q8_2_X4, IK_TYPE_Q5_0_R4,    IK_TYPE_Q8_2_X4, 32, EXACT},
    {ASSAY_TYPE_Q5_1,    IK_TYPE_Q8_2_X4, 0,                  IK_TYPE_Q8_2_X4, 32, EXACT},
    {ASSAY_TYPE_Q8_0,    IK_TYPE_Q8_2_X4, IK_TYPE_Q8_0_R8,    IK_TYPE_Q8_2_X4, 32, EXACT},
    {ASSAY_TYPE_IQ4_NL,  IK_TYPE_Q8_2_X4, IK_TYPE_IQ4_NL_R4,  IK_TYPE_Q8_2_X4, 32, EXACT},
    {ASSAY_TYPE_MXFP4,   IK_TYPE_Q8_2_X4, IK_TYPE_MXFP4_R8,   IK_TYPE_Q8_2_X4, 32, EXACT},
    {ASSAY_TYPE_Q2_K,    IK_TYPE_Q8_K,    IK_TYPE_Q2_K_R4,    IK_TYPE_Q8_K,    16, 32},
    {ASSAY_TYPE_Q3_K,    IK_TYPE_Q8_K,    IK_TYPE_Q3_K_R4,    IK_TYPE_Q8_K,    16, 32},
    {ASSAY_TYPE_Q4_K,    IK_TYPE_Q8_2_X4, IK_TYPE_Q4_K_R4,    IK_TYPE_Q8_K32,  32, 32},
    {ASSAY_TYPE_Q5_K,    IK_TYPE_Q8_2_X4, IK_TYPE_Q5_K_R4,    IK_TYPE_Q8_K32,  32, 32},
    {ASSAY_TYPE_Q6_K,    IK_TYPE_Q8_2_X4, IK_TYPE_Q6_K_R4,    IK_TYPE_Q8_K,    16, 64},
    {ASSAY_TYPE_IQ1_S,   IK_TYPE_Q8_K,    0,                  IK_TYPE_Q8_K,    32, 32},
    {ASSAY_TYPE_IQ1_M,   IK_TYPE_Q8_K,    0,                  IK_TYPE_Q8_K,    16, 32},
    {ASSAY_TYPE_IQ2_XXS, IK_TYPE_Q8_K,    IK_TYPE_IQ2_XXS_R4, IK_TYPE_Q8_K,    32, 32},
    {ASSAY_TYPE_IQ2_XS,  IK_TYPE_Q8_K,    IK_TYPE_IQ2_XS_R4,  IK_TYPE_Q8_K,    16, 32},
    {ASSAY_TYPE_IQ2_S,   IK_TYPE_Q8_K,    IK_TYPE_IQ2_S_R4,   IK_TYPE_Q8_K,    16, 16},
    {ASSAY_TYPE_IQ3_XXS, IK_TYPE_Q8_K,    IK_TYPE_IQ3_XXS_R4, IK_TYPE_Q8_K,    32, 32},
    {ASSAY_TYPE_IQ3_S,   IK_TYPE_Q8_K,    IK_TYPE_IQ3_S_R4,   IK_TYPE_Q8_K,    32, 32},
    {ASSAY_TYPE_IQ4_XS,  IK_TYPE_Q8_K,    IK_TYPE_IQ4_XS_R8,  IK_TYPE_Q8_K32,  32, 32},
};
/* clang-format on */

/* It asserts that the interleaved rows come in whole groups: of 16 where it has AVX-512. */
#define REPACKED_ROWS 16

struct ik_ctx {
    struct assay_ctx head;
    const struct assay_ik_library *lib;
    bool repack;
    void *act; /* quantised activations, grown on demand */
    size_t act_size;
};

struct ik_store {
    struct assay_store head;
    const struct type_class *class;
    int type; /* ik_llama.cpp's */
    enum ik_type act;
    const void *rows;
    size_t row_bytes;
    void *memory; /* of the interleaved rows, or NULL */
};

static const struct type_class *class_of(const struct assay_type_traits *t) {
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        if (classes[i].type == t->type)
            return &classes[i];
    return NULL;
}

static bool available(char *why, size_t n) {
    const char *reason;
    bool ok = assay_ik_library_get(&reason) != NULL;

#ifndef __x86_64__
    if (ok)
        reason = "ik: the classes of its arithmetic are known for x86-64 only";
    ok = false;
#endif
    if (!ok && n > 0)
        snprintf(why, n, "%s", reason);
    return ok;
}

static bool supports(const struct assay_type_traits *t) {
    const char *why;
    const struct assay_ik_library *lib = assay_ik_library_get(&why);

    return lib != NULL && class_of(t) != NULL &&
           lib->block_length((int)t->type) == (int64_t)t->block_len &&
           lib->row_size((int)t->type, (int64_t)t->block_len) == t->block_bytes;
}

static enum assay_status ctx_create(const struct assay_ctx_params *p, struct assay_ctx **out,
                                    struct assay_error *err) {
    bool repack = strcmp(p->variant, "repack") == 0;
    const char *why;
    const struct assay_ik_library *lib = assay_ik_library_get(&why);
    struct ggml_context *context;
    struct ik_ctx *c;

    if (lib == NULL)
        return assay_fail(err, ASSAY_EUNSUPPORTED, "%s", why);
    if (p->variant[0] != '\0' && !repack)
        return assay_fail(err, ASSAY_EINVAL, "ik: unknown variant '%s' (there is: repack)",
                          p->variant);
    /* The first context fills the library's tables. */
    context = lib->init((struct ik_init_params){.mem_size = 1024, .no_alloc = true});
    if (context == NULL)
        return assay_fail(err, ASSAY_EBACKEND, "ik: ggml_init failed");
    lib->free(context);
    c = calloc(1, sizeof *c);
    if (c == NULL)
        return assay_fail(err, ASSAY_ENOMEM, "ik: out of memory");
    c->lib = lib;
    c->repack = repack;
    *out = &c->head;
    return ASSAY_OK;
}

static void ctx_free(struct assay_ctx *ctx) {
    free(((struct ik_ctx *)ctx)->act);
    free(ctx);
}

static void arith(const struct assay_ctx *ctx, const struct assay_type_traits *t, size_t m,
                  struct assay_arith *out) {
    const struct type_class *c = class_of(t);
    bool repack = ((const struct ik_ctx *)ctx)->repack;
    enum ik_type act = repack ? c->repacked_act : c->act;

    if (!repack && c->coarse_m != EXACT && m >= c->coarse_m)
        out->weight = ASSAY_WEIGHT_Q8;
    else
        out->weight = t->min_terms != NULL ? ASSAY_WEIGHT_F32 : ASSAY_WEIGHT_SHIFTED;
    if (act == IK_TYPE_Q8_2_X4) {
        out->act = ASSAY_ACT_Q8_BF16;
        out->act_block = 32;
    } else { /* its Q8_K follows another rule than ggml's of that name */
        out->act = ASSAY_ACT_Q8;
        out->act_block = 256;
    }
    out->exact_run = c->exact_run;
}

static const char *kernel(const struct assay_ctx *ctx, const struct assay_type_traits *t,
                          size_t m) {
    (void)t;
    (void)m;
    return ((const struct ik_ctx *)ctx)->repack ? "iqk_mul_mat__repack" : "iqk_mul_mat__plain";
}

static void store_free(struct assay_store *store) {
    struct ik_store *s = (struct ik_store *)store;

    free(s->memory);
    free(s);
}

#define ALIGNMENT 64 /* of memory that its kernels work on */

static void *alloc_aligned(size_t size) {
    return aligned_alloc(ALIGNMENT, (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
}

static enum assay_status fill_repacked(const struct assay_ik_library *lib, struct ik_store *s,
                                       struct assay_error *err) {
    size_t size = s->head.rows * s->head.row_bytes;
    size_t with_header = size + lib->tensor_overhead() + ALIGNMENT;
    int repacked = s->class->repacked;
    struct ggml_context *context;
    struct ggml_tensor *tensor;

    if (repacked == 0 || s->head.rows % REPACKED_ROWS != 0)
        return assay_fail(err, ASSAY_EUNSUPPORTED, "ik: no interleaved layout of %zu rows of %s",
                          s->head.rows, s->head.type->name);
    /* It has room for few contexts at a time, so this one goes and leaves its memory. */
    s->memory = alloc_aligned(with_header);
    if (s->memory == NULL)
        return assay_fail(err, ASSAY_ENOMEM, "ik: no memory for %zu weight bytes", size);
    context = lib->init((struct ik_init_params){.mem_size = with_header, .mem_buffer = s->memory});
    if (context == NULL)
        return assay_fail(err, ASSAY_EBACKEND, "ik: ggml_init failed");
    tensor = lib->new_tensor_2d(context, (int)s->head.type->type, (int64_t)s->head.in,
                                (int64_t)s->head.rows);
    if (lib->repacked_type(tensor) != repacked) {
        lib->free(context);
        return assay_fail(err, ASSAY_EBACKEND, "ik: does not repack %s to its type %d",
                          s->head.type->name, repacked);
    }
    s->rows = memcpy(lib->get_data(tensor), s->head.bytes, size);
    lib->repack(tensor);
    lib->free(context);
    s->type = repacked;
    s->act = s->class->repacked_act;
    s->row_bytes = lib->row_size(s->type, (int64_t)s->head.in);
    s->head.bytes = NULL;
    s->head.owns_weights = true;
    s->head.resident = with_header;
    return ASSAY_OK;
}

static enum assay_status store_create(struct assay_ctx *ctx, const struct assay_store *head,
                                      struct assay_store **out, struct assay_error *err) {
    const struct ik_ctx *c = (const struct ik_ctx *)ctx;
    struct ik_store *s = calloc(1, sizeof *s);
    enum assay_status status = ASSAY_OK;

    if (s == NULL)
        return assay_fail(err, ASSAY_ENOMEM, "ik: out of memory");
    s->head = *head;
    s->class = class_of(head->type);
    s->type = (int)head->type->type;
    s->act = s->class->act;
    s->rows = head->bytes;
    s->row_bytes = head->row_bytes;
    if (c->repack && head->rows > 0)
        status = fill_repacked(c->lib, s, err);
    if (status != ASSAY_OK) {
        store_free(&s->head);
        return status;
    }
    *out = &s->head;
    return ASSAY_OK;
}

static ik_quantise_fn quantiser(const struct assay_ik_library *lib, enum ik_type act) {
    return act == IK_TYPE_Q8_2_X4  ? lib->quantise_q8_2
           : act == IK_TYPE_Q8_K32 ? lib->quantise_q8_k32
                                   : lib->quantise_q8_k;
}

static bool grow_act(struct ik_ctx *c, size_t size) {
    if (size <= c->act_size)
        return true;
    free(c->act);
    c->act = alloc_aligned(size);
    c->act_size = c->act != NULL ? size : 0;
    return c->act != NULL;
}

static enum assay_status gemm(struct assay_ctx *ctx, const struct assay_store *w, const float *x,
                              size_t m, float *y, size_t ldy, struct assay_error *err) {
    struct ik_ctx *c = (struct ik_ctx *)ctx;
    const struct ik_store *s = (const struct ik_store *)w;
    const struct assay_ik_library *lib = c->lib;
    ik_quantise_fn quantise = quantiser(lib, s->act);
    size_t in = w->in, act_bytes = lib->row_size((int)s->act, (int64_t)in);
    bool ok = true;

    if (!grow_act(c, m * act_bytes))
        return assay_fail(err, ASSAY_ENOMEM, "ik: no memory for %zu quantised rows of x", m);
#pragma omp parallel num_threads(ctx->threads) if (ctx->threads > 1) reduction(&& : ok)
    {
#pragma omp for schedule(static)
        for (size_t i = 0; i < m; i++)
            quantise(x + i * in, (char *)c->act + i * act_bytes, (int64_t)in);
        ok = lib->mul_mat((long)w->rows, (long)m, (long)in, s->type, s->rows, (long)s->row_bytes,
                          (int)s->act, c->act, (long)act_bytes, y, (long)ldy, omp_get_thread_num(),
                          omp_get_num_threads());
    }
    if (!ok)
        return assay_fail(err, ASSAY_EBACKEND, "ik: no product of %s (type %d) with type %d",
                          w->type->name, s->type, (int)s->act);
    return ASSAY_OK;
}

const struct assay_backend assay_backend_ik = {
    .name = "ik",
    .summary = "ik_llama.cpp's ggml, loaded at run time (variant: repack)",
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
};
