/* What bench measures: matrices × thread counts × batch sizes, and who competes. */
#ifndef ASSAY_HARNESS_BENCH_PLAN_H
#define ASSAY_HARNESS_BENCH_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "case.h"
#include "datasets/catalogue.h"
#include "datasets/generate.h"
#include "datasets/gguf.h"

struct assay_bench_contender {
    struct assay_runner runner; /* threads: the case's */
    char label[48];             /* "cpu", "cpu:exact", "ggml:repack", "cpu@avx2" */
};

struct assay_bench_matrix {
    char name[96]; /* "llama-3-8b attn_q", a tensor's name, or "" */
    const struct assay_type_traits *type;
    size_t n, k;
    const uint8_t *bytes; /* in the GGUF file; NULL: generated */
    size_t m;             /* the only batch size, or 0: those of the plan */

    /* Of a stack of experts, one of which is n × k: a token is multiplied by `used` of them. */
    size_t experts, used;
    bool own_rows; /* each expert reads a row of its own, not the token's */
};

/* Rows of W in all: those of every expert. */
size_t assay_bench_rows(const struct assay_bench_matrix *m);

struct assay_bench_case {
    size_t matrix; /* index */
    size_t m;
    int threads;
};

#define ASSAY_BENCH_MAX_CONTENDERS 24

struct assay_bench_plan {
    /* contenders[0] is the baseline. */
    struct assay_bench_contender contenders[ASSAY_BENCH_MAX_CONTENDERS];
    size_t n_contenders;
    struct assay_bench_matrix *matrices;
    size_t n_matrices;
    struct assay_bench_case *cases;
    size_t n_cases;

    uint64_t seed;
    enum assay_weights_gen weights; /* of matrices that no file has */
    size_t samples;
    double min_s, max_s;
    bool cold;   /* rotate copies of the weights that together exceed the last-level cache */
    bool verify; /* judge before timing */
};

/* Adds a contender "BACKEND[:VARIANT]", once per instruction set of the bit set `isas` (bit i: enum
 * assay_isa i; 0: the best) if the backend has a choice. One that is there already is not added
 * again. Returns false with a reason in err. */
bool assay_bench_add_contender(struct assay_bench_plan *p, const char *spec, unsigned isas,
                               char *err, size_t err_size);

/* Each returns false if memory ran out. Shapes that a type can't have (k no multiple of its block)
 * are left out. */
bool assay_bench_add_matrix(struct assay_bench_plan *p, const struct assay_bench_matrix *m);
bool assay_bench_add_model(struct assay_bench_plan *p, const struct assay_model_shape *model,
                           const struct assay_type_traits *type);
/* The distinct (type, shape)s among the file's matrices that are of one of the types; any quantised
 * type if n_types is 0. */
bool assay_bench_add_gguf(struct assay_bench_plan *p, const struct assay_gguf *g,
                          const struct assay_type_traits *const *types, size_t n_types);

/* The cases of all matrices, in order. */
bool assay_bench_make_cases(struct assay_bench_plan *p, const size_t *ms, size_t n_ms,
                            const int *threads, size_t n_threads);

void assay_bench_plan_free(struct assay_bench_plan *p);

/* Weights of matrix i: those of the file, or a new allocation of generated ones in *owned, of
 * bench_input_new. NULL if memory ran out. */
const uint8_t *assay_bench_weights(const struct assay_bench_plan *p, size_t i, uint8_t **owned);
size_t assay_bench_weight_bytes(const struct assay_bench_plan *p, size_t i);

/* Seed of one stream of random numbers of a matrix: of what it is, not of its place in the plan. */
uint64_t assay_bench_seed(const struct assay_bench_plan *p, const struct assay_bench_matrix *m);

#endif
