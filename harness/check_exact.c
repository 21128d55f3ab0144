/* exact: blocks and activations for which nothing rounds, so that every correct order of summation
 * gives the same number, and equality is demanded.
 *
 * Scales of blocks are powers of two, so every weight is an integer times a power of two, u, the
 * same for the whole matrix: d·s·q with integers s and q, or d/8 times integers for the codebook
 * types (2s + 1 over 4 or 8, points shifted by 1/8), or 2^e/8 for a UE4M3 scale. Activations are
 * integers times 2^j; the largest of each activation block is 127·2^j, so that the block's scale is
 * 2^j in every class and no other element rounds, but for halves where the class rounds: every
 * class takes ties to even. All sums that a kernel can form, over any part of the terms, are then
 * integers times u. They are exact in fp32 if they stay below 2^24·u, for which Σ (|a|+|b|)·|x| <=
 * 2^22·u is made to hold: the factor of four leaves room for kernels that multiply codes without
 * their offset and subtract it later. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/rng.h"
#include "probe.h"
#include "ref/fields.h"
#include "ref/half.h"

#define BUDGET 0x1p22

/* Rows of x, and the largest other than the 127 of a block. */
enum { ROWS_OF_X = 17, SMALL = 3 };

/* Activation blocks where the class has none. */
enum { FREE_BLOCK = 32 };

/* Columns of the longest rows: kernels that work through k in chunks of some thousand have several.
 */
enum { LONG_K = 8192 };

/* Beyond this many halvings the scales of any type are down to two values or so. */
enum { MAX_LEVEL = 6 };

static const struct shape {
    size_t blocks, n;
} shapes[] = {{1, 33}, {2, 19}, {3, 37}, {4, 9},  {5, 5},  {7, 3},
              {8, 33}, {9, 7},  {16, 3}, {17, 5}, {33, 1}, {64, 3}};

struct exact {
    struct assay_check_run *r;
    struct assay_rng rng;
    struct assay_probe_matrix w;
    bool f16;     /* weights are rounded to binary16: they must be exact in it */
    bool ties;    /* activations are rounded to integers: halves must go to even */
    double *cost; /* per column: the largest |a|+|b|, in u */
};

/* ---- Weights ---- */

/* A power of two, or (plain types) an integer; `spread` octaves about 1 at either side. */
static uint32_t power(const struct assay_field *f, struct assay_rng *rng, int spread) {
    int e = (int)assay_rng_below(rng, 2 * (uint32_t)spread + 1) - spread;
    uint32_t sign = assay_rng_below(rng, 2);

    switch (f->format) {
    case ASSAY_FORMAT_HALF:
        return sign << 15 | (uint32_t)(15 + e) << 10;
    case ASSAY_FORMAT_BF16:
        return sign << 15 | (uint32_t)(127 + e) << 7;
    case ASSAY_FORMAT_FLOAT:
        return sign << 31 | (uint32_t)(127 + e) << 23;
    case ASSAY_FORMAT_E8M0:
        return (uint32_t)(127 + e);
    default: /* UE4M3: any fraction, an integer of eighths */
        return (uint32_t)(7 + e) << 3 | assay_rng_below(rng, 8);
    }
}

static uint32_t integer(const struct assay_field *f, struct assay_rng *rng) {
    float v = (float)assay_rng_below(rng, 255) - 127;

    return f->format == ASSAY_FORMAT_HALF   ? assay_ref_to_fp16(v)
           : f->format == ASSAY_FORMAT_BF16 ? assay_ref_float_bits(v) >> 16
                                            : assay_ref_float_bits(v);
}

/* A random value whose number is halved `level` times, but not below two values. */
static uint32_t small_scale(const struct assay_field *f, struct assay_rng *rng, int level) {
    bool is_signed = f->bias != 0 || f->format == ASSAY_FORMAT_INT;
    int most = f->bits - (is_signed ? 2 : 1);
    double v = assay_field_number(f, (uint32_t)assay_rng_u64(rng) & ((1u << f->bits) - 1));

    v = trunc(ldexp(v, -(level < most ? level : most)));
    return (uint32_t)(int32_t)(v + f->bias);
}

static bool exact_in_f16(const struct assay_type_traits *t, const uint8_t *block) {
    float w[ASSAY_MAX_BLOCK_LEN];

    t->dequant(block, w);
    for (size_t i = 0; i < t->block_len; i++)
        if (assay_ref_from_fp16(assay_ref_to_fp16(w[i])) != w[i])
            return false;
    return true;
}

static void fill_block(struct exact *x, int level, uint8_t *block) {
    const struct assay_type_traits *t = x->w.type;
    size_t n;
    const struct assay_field *fields = assay_fields(t, &n);

    assay_rng_bytes(&x->rng, block, t->block_bytes); /* codes, points, signs: any */
    for (size_t i = 0; i < n; i++)
        for (unsigned e = 0; e < fields[i].count; e++) {
            const struct assay_field *f = &fields[i];
            if (t->block_len == 1)
                assay_field_set(f, block, e, integer(f, &x->rng));
            else if (f->kind == ASSAY_FIELD_FLOAT)
                assay_field_set(f, block, e, power(f, &x->rng, level < 2 ? 1 : 0));
            else if (f->kind == ASSAY_FIELD_SCALE || f->kind == ASSAY_FIELD_MIN)
                assay_field_set(f, block, e, small_scale(f, &x->rng, level));
        }
    assay_fields_derive(t, block);
}

static void fill_matrix(struct exact *x, int level) {
    for (size_t row = 0; row < x->w.n; row++)
        for (size_t b = 0; b < x->w.k / x->w.type->block_len; b++) {
            uint8_t *block = assay_probe_block(&x->w, row, b);
            int more = 0;
            do
                fill_block(x, level + more++, block);
            while (x->f16 && more <= MAX_LEVEL && !exact_in_f16(x->w.type, block));
        }
}

/* The base-2 exponent of the lowest set bit of a normal number; large for 0. */
static int lowest_bit(double v) {
    uint64_t bits;

    if (v == 0)
        return INT_MAX;
    memcpy(&bits, &v, sizeof bits);
    return (int)(bits >> 52 & 0x7ff) - 1023 - 52 + __builtin_ctzll(bits | UINT64_C(1) << 52);
}

/* x->cost of the matrix as it is. */
static void measure(struct exact *x) {
    const struct assay_type_traits *t = x->w.type;
    float w[ASSAY_MAX_BLOCK_LEN], term[ASSAY_MAX_BLOCK_LEN] = {0};
    int u = INT_MAX;

    for (size_t i = 0; i < x->w.k; i++)
        x->cost[i] = 0;
    for (size_t row = 0; row < x->w.n; row++)
        for (size_t at = 0; at < x->w.k; at += t->block_len) {
            const uint8_t *block = assay_probe_block(&x->w, row, at / t->block_len);
            t->dequant(block, w);
            if (t->min_terms != NULL)
                t->min_terms(block, term);
            for (size_t i = 0; i < t->block_len; i++) {
                double a = (double)w[i] - term[i];
                double mag = fabs(a) + fabs((double)term[i]);
                int low = lowest_bit(a), low_term = lowest_bit(term[i]);
                x->cost[at + i] = mag > x->cost[at + i] ? mag : x->cost[at + i];
                low = low < low_term ? low : low_term;
                u = low < u ? low : u;
            }
        }
    for (size_t i = 0; i < x->w.k; i++)
        x->cost[i] = u == INT_MAX ? 0 : ldexp(x->cost[i], -u);
}

/* ---- Activations ---- */

/* One activation block: small integers and one ±127, times 2^j. Returns what it costs. */
static double fill_acts(struct exact *x, float *v, const double *cost, size_t len, int j) {
    float unit = (float)(1 << j);
    double spent = 0;

    for (size_t i = 0; i < len; i++) {
        v[i] = unit * (float)((int)(assay_rng_u64(&x->rng) % (2 * SMALL + 1)) - SMALL);
        if (x->ties && i % 4 == 3)
            v[i] += 0.5f * unit;
    }
    v[assay_rng_below(&x->rng, (uint32_t)len)] =
        assay_rng_below(&x->rng, 2) ? 127 * unit : -127 * unit;
    for (size_t i = 0; i < len; i++)
        spent += cost[i] * unit * ceil(fabs((double)v[i]) / unit);
    return spent;
}

/* Blocks in an order that starts anywhere, as long as the budget lasts; the others are zero.
 * Returns how many could not be paid for. */
static size_t fill_row(struct exact *x, float *row, size_t act_block) {
    size_t blocks = (x->w.k + act_block - 1) / act_block, left_out = 0;
    size_t start = assay_rng_below(&x->rng, (uint32_t)blocks);
    double budget = BUDGET;

    for (size_t i = 0; i < blocks; i++) {
        size_t at = (start + i) % blocks * act_block;
        size_t len = x->w.k - at < act_block ? x->w.k - at : act_block;
        int j = (int)assay_rng_below(&x->rng, 3);
        double spent = fill_acts(x, row + at, x->cost + at, len, j);

        if (spent > budget && j > 0)
            spent = fill_acts(x, row + at, x->cost + at, len, 0);
        if (spent <= budget) {
            budget -= spent;
            continue;
        }
        memset(row + at, 0, len * sizeof *row);
        left_out++;
    }
    return left_out;
}

/* ---- Findings ---- */

/* Names the block of W whose terms make up the difference. */
static json_t *explain(const struct assay_probe_product *p, const struct assay_probe_miss *miss,
                       void *user) {
    size_t row = p->i0 + miss->row, len = p->w->type->block_len;
    size_t e = p->x->start[row], end = p->x->start[row + 1];
    const float *weight = p->w->weight + miss->column * p->w->k;
    double difference = (double)miss->got - miss->expected;
    json_t *j;

    (void)user;
    while (e < end) {
        size_t block = p->x->entry[e].at / len;
        double part = 0;
        for (; e < end && p->x->entry[e].at / len == block; e++)
            part += (double)weight[p->x->entry[e].at] * p->x->entry[e].x;
        if (part == 0 || fabs(difference) != fabs(part))
            continue;
        j = assay_check_fail("exact data: y is off by just what block %zu of row %zu of W gives: "
                             "it is %s",
                             block, miss->column,
                             difference == -part ? "left out" : "counted twice");
        json_object_set_new(j, "block", json_integer((json_int_t)block));
        return j;
    }
    return assay_check_fail("exact data: y is %g, and must be %g in any order of summation",
                            (double)miss->got, miss->expected);
}

/* ---- The check ---- */

static size_t act_block_of(struct exact *x, size_t m) {
    struct assay_arith arith;
    struct assay_error err;

    x->ties = assay_ctx_arith(x->r->ctx, x->r->env->type, m, &arith, &err) == ASSAY_OK &&
              arith.act_block > 0;
    return x->ties ? arith.act_block : FREE_BLOCK;
}

/* The largest scales, of a few sizes, for which all activation blocks of a row can be paid for. */
static void choose_weights(struct exact *x, size_t act_block, float *row) {
    size_t left_out;
    int level = 0;

    do {
        fill_matrix(x, level);
        measure(x);
        left_out = fill_row(x, row, act_block);
        level += level < 2 ? 1 : 2;
    } while (left_out > 0 && level <= MAX_LEVEL);
}

/* Every batch size; kernels that share an activation block share the rows. */
static void multiply(struct exact *x, const size_t *m, size_t paths) {
    struct assay_probe_rows rows = {.count = 0};
    size_t act_block = 0;

    for (size_t i = 0; i < paths && x->r->finding == NULL; i++) {
        bool ties = x->ties;
        size_t wanted = act_block_of(x, m[i]);
        if (wanted != act_block || x->ties != ties) {
            assay_probe_rows_free(&rows);
            act_block = wanted;
            if (!assay_probe_rows_new(&rows, x->r, ROWS_OF_X, x->w.k))
                return;
            rows.exact = true;
            for (size_t row = 0; row < rows.count; row++)
                fill_row(x, assay_probe_row(&rows, row), act_block);
        }
        assay_probe_run(x->r, &x->w, &rows, m[i], explain, NULL);
    }
    assay_probe_rows_free(&rows);
}

static void run_shape(struct exact *x, size_t n, size_t k, const size_t *m, size_t paths) {
    struct assay_check_run *r = x->r;
    float *row = malloc(k * sizeof *row);

    x->cost = malloc(k * sizeof *x->cost);
    if (row == NULL || x->cost == NULL) {
        assay_check_no_memory(r);
    } else if (assay_probe_matrix_new(&x->w, r, n, k)) {
        choose_weights(x, act_block_of(x, m[0]), row);
        if (assay_probe_matrix_seal(&x->w, r)) {
            multiply(x, m, paths);
        } else if (strcmp(json_string_value(json_object_get(r->finding, "verdict")), "skip") == 0) {
            /* A variant that takes whole tiles of rows only: other shapes may do. */
            json_decref(r->finding);
            r->finding = NULL;
        }
    }
    assay_probe_matrix_free(&x->w);
    free(x->cost);
    free(row);
}

static json_t *run(const struct assay_check_env *env) {
    struct assay_check_run r;
    size_t m[ASSAY_CHECK_PATHS + 1], paths;
    struct exact x = {.r = &r};

    if (!assay_check_begin(&r, env))
        return r.finding;
    assay_rng_seed(&x.rng, env->seed ^ (uint64_t)env->type->type << 40);
    paths = assay_check_paths(&r, 64, m);
    m[paths++] = ROWS_OF_X;
    x.f16 = assay_probe_weights(&r) == ASSAY_WEIGHT_F16;
    for (int round = 0; round < (env->full ? 10 : 1); round++)
        for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
            size_t blocks =
                env->type->block_len == 1 ? 16 * shapes[i].blocks + i : shapes[i].blocks;
            run_shape(&x, shapes[i].n, blocks * env->type->block_len, m, paths);
        }
    run_shape(&x, 3, (LONG_K / env->type->block_len + 1) * env->type->block_len, m, paths);
    return assay_check_end(&r);
}

const struct assay_check assay_check_exact_row = {
    .name = "exact",
    .summary = "data that no order of summation rounds: bit equality",
    .run = run,
};
