/* All that a kernel plugin of assay includes: C11 or C++11, standard headers only.
 *
 * A plugin is a shared object that exports one object, assay_plugin_v1. `assay verify --plugin
 * ./mine.so` judges its products, `assay bench` times them, `assay mem` measures what they hold:
 *
 *   y[m × rows] = x[m × in] · Wᵀ
 *
 * W is `rows` rows of GGUF blocks of one type, `in` weights each, row-major and without padding; x
 * and y are fp32, row-major. impl/example/skeleton.c is a whole plugin; impl/example/README.md is
 * the guide.
 *
 * Where it runs. assay loads the library (RTLD_NOW | RTLD_LOCAL) in child processes only: once to
 * read the struct, then in the workers that call it. A crash, a hang, abort or exit ends that child
 * and becomes a finding. Libraries are not unloaded. What a plugin prints goes to standard error.
 * One thread calls; calls never overlap. The plugin may start threads of its own.
 *
 * Ownership and alignment. Every pointer that assay passes is aligned to its element type only:
 * weights to one byte, x and y to four. Weights and x may be read-only and may end at a page
 * without access, so not a byte beyond them may be read. Weights stay as they are until destroy, or
 * until create returns where store_bytes says that the store keeps a copy; x, ids and y are
 * borrowed for the call. Strings and tables of the struct live as long as the library.
 *
 * Errors. A function that fails returns an enum assay_plugin_status other than 0 and should write a
 * line of at most err_size bytes, NUL included, to err. It must not have written y by then. */
#ifndef ASSAY_IMPL_PLUGIN_H
#define ASSAY_IMPL_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ASSAY_PLUGIN_MAGIC 0x47505341u /* "ASPG" in little-endian bytes */
#define ASSAY_PLUGIN_ABI 1u /* grows with every incompatible change, as the symbol does */

enum assay_plugin_status {
    ASSAY_PLUGIN_OK = 0,
    ASSAY_PLUGIN_EINVAL = 1,
    ASSAY_PLUGIN_EUNSUPPORTED = 2, /* a shape or machine that the kernel does not take */
    ASSAY_PLUGIN_EOVERFLOW = 3,
    ASSAY_PLUGIN_ENOMEM = 4,
    ASSAY_PLUGIN_EFAILED = 5, /* anything else */
};

/* GGUF type numbers, as in the file format. */
enum assay_plugin_type {
    ASSAY_PLUGIN_F32 = 0,
    ASSAY_PLUGIN_F16 = 1,
    ASSAY_PLUGIN_Q4_0 = 2,
    ASSAY_PLUGIN_Q4_1 = 3,
    ASSAY_PLUGIN_Q5_0 = 6,
    ASSAY_PLUGIN_Q5_1 = 7,
    ASSAY_PLUGIN_Q8_0 = 8,
    ASSAY_PLUGIN_Q2_K = 10,
    ASSAY_PLUGIN_Q3_K = 11,
    ASSAY_PLUGIN_Q4_K = 12,
    ASSAY_PLUGIN_Q5_K = 13,
    ASSAY_PLUGIN_Q6_K = 14,
    ASSAY_PLUGIN_Q8_K = 15,
    ASSAY_PLUGIN_IQ2_XXS = 16,
    ASSAY_PLUGIN_IQ2_XS = 17,
    ASSAY_PLUGIN_IQ3_XXS = 18,
    ASSAY_PLUGIN_IQ1_S = 19,
    ASSAY_PLUGIN_IQ4_NL = 20,
    ASSAY_PLUGIN_IQ3_S = 21,
    ASSAY_PLUGIN_IQ2_S = 22,
    ASSAY_PLUGIN_IQ4_XS = 23,
    ASSAY_PLUGIN_IQ1_M = 29,
    ASSAY_PLUGIN_BF16 = 30,
    ASSAY_PLUGIN_TQ1_0 = 34,
    ASSAY_PLUGIN_TQ2_0 = 35,
    ASSAY_PLUGIN_MXFP4 = 39,
    ASSAY_PLUGIN_NVFP4 = 40,
    ASSAY_PLUGIN_Q1_0 = 41,
    ASSAY_PLUGIN_Q2_0 = 42,
};

/* How the weights enter the products. */
enum assay_plugin_weight {
    ASSAY_PLUGIN_WEIGHT_F32 = 0, /* decoded in fp32, or integer codes under fp32 scales */
    ASSAY_PLUGIN_WEIGHT_F16 = 1, /* decoded, then rounded to IEEE binary16 */
};

/* How the activations enter the products. The int8 rules, for one block of act_block elements (the
 * last block of a row may be shorter), in fp32 with round() to the nearest, ties to even:
 *   Q8      d = max|x| / 127, q = round(x · (127 / max|x|))
 *   Q8_F16  the same with d rounded to binary16 (ggml's Q8_0 and Q8_1)
 *   Q8K     c = -127 / x_max, x_max the first element of largest magnitude, with its sign;
 *           q = round(c · x), d = 1 / c (ggml's Q8_K)
 *   F16     binary16 under a power of two for the whole row: with 2^e that of the largest finite
 *           element, or 2^-112 if that is less, fp16(x · 2^(14-e)) · 2^(e-14); no infinity comes of
 *           a finite x */
enum assay_plugin_act {
    ASSAY_PLUGIN_ACT_F32 = 0, /* as given */
    ASSAY_PLUGIN_ACT_Q8 = 1,
    ASSAY_PLUGIN_ACT_Q8_F16 = 2,
    ASSAY_PLUGIN_ACT_Q8K = 3,
    ASSAY_PLUGIN_ACT_F16 = 4,
};

/* A type that the plugin takes, and the arithmetic of its products: the error bound follows from
 * it. Accumulation is fp32, in any order. Where the arithmetic depends on m, a type has several
 * rows, in order of growing min_m; the last one with min_m <= m holds. The first has min_m 0. */
struct assay_plugin_class {
    uint32_t type;      /* enum assay_plugin_type */
    uint32_t min_m;     /* rows of x from which on this row holds */
    uint32_t weight;    /* enum assay_plugin_weight */
    uint32_t act;       /* enum assay_plugin_act */
    uint32_t act_block; /* elements per activation block; 0 with ACT_F32 and ACT_F16 */
    uint32_t exact_run; /* elements whose products are summed exactly, in integers, under one scale;
                           1 if every product is rounded */
    uint32_t reserved[2]; /* 0 */
};

/* Properties beyond being right. What is claimed is enforced; what is not is not asked for. */
enum assay_plugin_claim {
    ASSAY_PLUGIN_REPEATABLE = 1,       /* the same call gives the same bits */
    ASSAY_PLUGIN_THREAD_INVARIANT = 2, /* so do other thread counts */
    ASSAY_PLUGIN_BATCH_INVARIANT = 4,  /* row i of y depends on row i of x alone, not on m */
    ASSAY_PLUGIN_SLICE_INVARIANT = 8,  /* column j of y depends on row j of W alone, not on rows */
    ASSAY_PLUGIN_IEEE_SPECIALS = 16,   /* an inf or NaN reaches the outputs that it belongs to, and
                                          no other */
};

/* The struct may be filled in by a constructor of the library, for example with the types that this
 * machine can run. Members are only ever added at the end; what lies beyond `size` counts as 0. */
struct assay_plugin {
    uint32_t magic;  /* ASSAY_PLUGIN_MAGIC */
    uint32_t abi;    /* ASSAY_PLUGIN_ABI */
    uint32_t size;   /* sizeof(struct assay_plugin) */
    uint32_t claims; /* enum assay_plugin_claim, or-ed */

    const char *name; /* 1 to 31 of a-z, 0-9, '.', '_', '-'; no name of assay's own backends */
    const char *description; /* one line; may be NULL */

    const struct assay_plugin_class *classes;
    uint32_t n_classes;   /* 1 to 256 */
    uint32_t max_threads; /* threads that a product may use: 1 the caller's alone, 0 any number */

    /* Makes a store of a matrix. nbytes is rows times the bytes of a row; rows >= 1; in is a
     * multiple of the type's block length; 1 <= threads, and <= max_threads if that is not 0. Sets
     * *store to whatever the other functions are to get. On failure nothing is left allocated. */
    int (*create)(uint32_t type, const void *bytes, size_t nbytes, size_t rows, size_t in,
                  int threads, void **store, char *err, size_t err_size);
    /* y[i*ldy + j] = Σ_k x[i*in + k] · W[j,k] for i < m, j < rows, with m >= 1 and ldy >= rows.
     * What lies between the rows of y must be kept. */
    int (*forward)(void *store, const float *x, size_t m, float *y, size_t ldy, char *err,
                   size_t err_size);
    void (*destroy)(void *store);

    /* The rest may be NULL. */

    /* Row lookup: writes the decoded rows ids[0 … count-1] of W to y[count × in], bit for bit what
     * ggml's own decoders give, signs of zeros included (rounded to binary16 where the store has a
     * copy of its own and its class is WEIGHT_F16). Ids are in range and may repeat; count >= 1.
     * `assay mem` needs it for the embedding. */
    int (*rows)(void *store, const int64_t *ids, size_t count, float *y, char *err,
                size_t err_size);
    /* Bytes of the store's own copy of the weights. 0, or no function: it multiplies from the bytes
     * that create was given. */
    size_t (*store_bytes)(const void *store);
};

#if defined(__GNUC__)
#define ASSAY_PLUGIN_EXPORT __attribute__((visibility("default")))
#elif defined(_WIN32)
#define ASSAY_PLUGIN_EXPORT __declspec(dllexport)
#else
#define ASSAY_PLUGIN_EXPORT
#endif

/* What a plugin defines. */
extern ASSAY_PLUGIN_EXPORT struct assay_plugin assay_plugin_v1;

#ifdef __cplusplus
}
#endif

#endif
