/* One case of verify: what is computed (the problem) and by whom (the runner). Its id names it in
 * output, in records and on the command line, and everything random in it derives from the base
 * seed and the id, so that one case can be run again alone.
 *
 *   gemm/q4_k/3x33x512/uniform/normal/cpu+exact/avx512/t2     generated blocks, M×N×K
 *   fused/q4_k+q6_k/2x7x512/normal/heavy/scalar/-/t1          parts of N rows each
 *   fused/q4_k+q6_k/2x7+0x512/normal/heavy/scalar/-/t1        parts of 7 rows and of none
 *   rows/q6_k/9x8x512/extreme/cpu/avx2/t1                     M rows looked up of N
 *   experts/q4_k/9x5of7x512/normal/heavy/cpu/avx2/t1          M rows routed to 5 experts of N rows
 *   gemm/@blk.0.attn_q.weight/m3/heavy/cpu/avx2/t1            a tensor of the GGUF file
 *   fused/@blk.0.attn_q.weight+@blk.0.attn_v.weight/m1/normal/cpu/avx2/t1
 *   check/decode/q4_k/cpu+exact/avx512/t1                     a check (check.h) of one type
 *
 * Bytes of tensor names other than letters, digits, '.', '_' and '-' are written %XX, so an id
 * needs no quoting in a shell. */
#ifndef ASSAY_HARNESS_CASE_H
#define ASSAY_HARNESS_CASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datasets/generate.h"
#include "datasets/gguf.h"
#include "impl/gemm_quant.h"

enum assay_op {
    ASSAY_OP_GEMM,    /* one matrix */
    ASSAY_OP_FUSED,   /* several parts through assay_linear_create_fused */
    ASSAY_OP_ROWS,    /* row lookup, bit for bit */
    ASSAY_OP_EXPERTS, /* indexed product: the one part is a stack of experts */
    ASSAY_OP_CHECK,   /* a check: its type is the one part, of no rows */
};
const char *assay_op_name(enum assay_op op);

#define ASSAY_MAX_PARTS 4

struct assay_check;

struct assay_case_part {
    const struct assay_type_traits *type;
    const struct assay_gguf_tensor *tensor; /* NULL: generated */
    size_t rows;
};

/* Cases of one problem share weights, activations and reference. */
struct assay_problem {
    enum assay_op op;
    size_t n_parts;
    struct assay_case_part parts[ASSAY_MAX_PARTS];
    size_t m, k;
    size_t experts;                  /* of ASSAY_OP_EXPERTS: divides the rows of the part */
    enum assay_weights_gen weights;  /* of generated parts */
    enum assay_acts_gen acts;        /* not of ASSAY_OP_ROWS */
    const struct assay_check *check; /* of ASSAY_OP_CHECK, which has no shape and no generators */
};

struct assay_runner {
    const struct assay_backend *backend;
    const char *variant; /* "" for the backend's default */
    enum assay_isa isa;  /* ASSAY_ISA_AUTO for backends that have no choice */
    int threads;
};

size_t assay_problem_rows(const struct assay_problem *p); /* Σ rows of the parts */

/* Writes an id (cut to size, always terminated) and returns its full length. */
size_t assay_problem_id(const struct assay_problem *p, char *buf, size_t size);
size_t assay_case_id(const struct assay_problem *p, const struct assay_runner *r, char *buf,
                     size_t size);

/* Seed of one stream of random numbers ("weights", "acts") of a problem. */
uint64_t assay_problem_seed(const struct assay_problem *p, uint64_t base_seed, const char *stream);

/* Of ASSAY_OP_EXPERTS: rows of y for each row of x, the share of gemm_quant_id. Both ways in which
 * models use it occur: 2 if m is even, else 1. */
size_t assay_problem_share(const struct assay_problem *p);

/* The expert of each of the m rows, ids[m]: at random, but the first of several has none. */
void assay_problem_route(const struct assay_problem *p, uint64_t base_seed, int64_t *ids);

/* Row that place i of a row lookup asks for: from the last row down to the first. */
int64_t assay_problem_lookup(const struct assay_problem *p, size_t i);

/* What ids are resolved against. */
struct assay_case_scope {
    const struct assay_backend *const *backends;
    size_t n_backends;
    const struct assay_gguf *gguf; /* may be NULL */
};

/* Reads an id. Returns false with the reason in err. r->variant points to a string that lives as
 * long as the program. */
bool assay_case_parse(const char *id, const struct assay_case_scope *scope, struct assay_problem *p,
                      struct assay_runner *r, char *err, size_t err_size);

/* The variants of a backend, the default ("") first; the list ends with NULL. */
const char *const *assay_backend_variants(const struct assay_backend *b);
/* How many variants, right after the default, force a kernel that the default takes for some m. */
size_t assay_backend_variants_by_m(const struct assay_backend *b);

#endif
