/* Special values: zero, subnormal and extreme scales and activations for every backend; infinities
 * and NaNs for those that claim to propagate them. Values are planted in every other row, so that
 * one product shows both whether they reach their own outputs and whether they touch others. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_kit.h"
#include "datasets/scale_fields.h"
#include "ref/bounds.h"

enum { MAX_VALUES = 12 };

/* Bit patterns of a floating-point format. */
struct values {
    size_t count;
    uint32_t bits[MAX_VALUES];
    size_t least; /* index of the largest subnormal, or what comes nearest to one */
};

/* clang-format off */
static const struct values finite_values[] = {
    [ASSAY_SCALE_HALF]  = {9, {0x0000, 0x8000, 0x0001, 0x8001, 0x03ff, 0x83ff, 0x0400, 0x7bff, 0xfbff}, 4},
    [ASSAY_SCALE_IQ1_M] = {9, {0x0000, 0x8000, 0x0001, 0x8001, 0x03ff, 0x83ff, 0x0400, 0x7bff, 0xfbff}, 4},
    [ASSAY_SCALE_BF16]  = {9, {0x0000, 0x8000, 0x0001, 0x8001, 0x007f, 0x807f, 0x0080, 0x7f7f, 0xff7f}, 4},
    [ASSAY_SCALE_FLOAT] = {9, {0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007fffff, 0x807fffff,
                               0x00800000, 0x7f7fffff, 0xff7fffff}, 4},
    [ASSAY_SCALE_E8M0]  = {8, {0, 1, 2, 3, 127, 220, 254, 255}, 0},
    /* 0x7f is a NaN in E4M3 and 0xff has a sign: the format's decoders define both as numbers. */
    [ASSAY_SCALE_UE4M3] = {8, {0x00, 0x01, 0x07, 0x08, 0x7e, 0x7f, 0x80, 0xff}, 2},
};

/* Infinities first, then quiet and signalling NaNs. Formats without them have none. */
static const struct values special_values[] = {
    [ASSAY_SCALE_HALF]  = {5, {0x7c00, 0xfc00, 0x7e00, 0x7c01, 0xffff}, 0},
    [ASSAY_SCALE_IQ1_M] = {5, {0x7c00, 0xfc00, 0x7e00, 0x7c01, 0xffff}, 0},
    [ASSAY_SCALE_BF16]  = {5, {0x7f80, 0xff80, 0x7fc0, 0x7f81, 0xffff}, 0},
    [ASSAY_SCALE_FLOAT] = {5, {0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0xffffffff}, 0},
    [ASSAY_SCALE_E8M0]  = {0, {0}, 0},
    [ASSAY_SCALE_UE4M3] = {0, {0}, 0},
};

static const size_t value_bytes[] = {
    [ASSAY_SCALE_HALF] = 2, [ASSAY_SCALE_IQ1_M] = 8, [ASSAY_SCALE_BF16] = 2,
    [ASSAY_SCALE_FLOAT] = 4, [ASSAY_SCALE_E8M0] = 1, [ASSAY_SCALE_UE4M3] = 1,
};
/* clang-format on */

enum { INFINITIES = 2 };

/* What has been planted in a row of W or x. */
enum planted {
    PLANTED_NOTHING,
    PLANTED_FINITE, /* weights may overflow in the decoder: such outputs are judged by nothing */
    PLANTED_INF,
    PLANTED_NAN, /* and NaN it must stay: no order of operations makes anything else of it */
};

struct plant {
    enum planted what;
    uint32_t bits;
    size_t block;  /* of W; the element of x */
    size_t offset; /* of the field in the block */
};

static void write_scale(const struct assay_scale_field *f, size_t index, uint32_t bits,
                        uint8_t *block) {
    uint8_t *p = block + f->offset;

    if (f->kind == ASSAY_SCALE_IQ1_M) { /* four bits on top of each word, the lowest first */
        for (int i = 0; i < 4; i++)
            p[2 * i + 1] = (uint8_t)((p[2 * i + 1] & 15) | (bits >> 4 * i & 15) << 4);
        return;
    }
    p += index * value_bytes[f->kind];
    for (size_t i = 0; i < value_bytes[f->kind]; i++)
        p[i] = (uint8_t)(bits >> 8 * i);
}

/* ---- Judging ---- */

static const char *plant_text(const struct plant *p) {
    static const char *const texts[] = {[PLANTED_NOTHING] = "",
                                        [PLANTED_FINITE] = "finite",
                                        [PLANTED_INF] = "infinite",
                                        [PLANTED_NAN] = "NaN"};
    return texts[p->what];
}

static void report(struct assay_check_run *r, const struct assay_product *p, size_t i, size_t j,
                   const struct plant *in_x, const struct plant *in_w,
                   const struct assay_ref_elem *e, double bound) {
    float got = p->y[i * p->ldy + j];

    if (in_x->what != PLANTED_NOTHING)
        r->finding = assay_check_fail("a row of x with a %s element (0x%08x at %zu): %s",
                                      plant_text(in_x), (unsigned)in_x->bits, in_x->block,
                                      in_x->what == PLANTED_FINITE ? "an output beyond its bound"
                                                                   : "it did not reach an output");
    else if (in_w->what != PLANTED_NOTHING)
        r->finding = assay_check_fail("a row of W with a %s scale (0x%x): %s", plant_text(in_w),
                                      (unsigned)in_w->bits,
                                      in_w->what == PLANTED_FINITE ? "an output beyond its bound"
                                                                   : "it did not reach an output");
    else
        r->finding = assay_check_fail(
            isfinite(got) ? "an output beyond its bound beside rows with special values"
                          : "a special value touched an output that it does not belong to");
    assay_check_shape(r, p->m, p->n, p->k);
    assay_check_element(r, i, j, &got, &e->yq, &bound);
    if (in_w->what != PLANTED_NOTHING) {
        json_object_set_new(r->finding, "block", json_integer((json_int_t)in_w->block));
        json_object_set_new(r->finding, "byte", json_integer((json_int_t)in_w->offset));
        json_object_set_new(r->finding, "field", json_string("scale"));
    }
}

static bool acceptable(const struct plant *in_x, const struct plant *in_w,
                       const struct assay_ref_elem *e, double bound, float got) {
    bool nan = in_x->what == PLANTED_NAN || in_w->what == PLANTED_NAN;
    bool inf = in_x->what == PLANTED_INF || in_w->what == PLANTED_INF;

    if (assay_check_poisoned(got))
        return false;
    if (nan)
        return isnan(got);
    if (inf)
        return !isfinite(got);
    return !isfinite(e->yq) || assay_check_acceptable(e, bound, got);
}

static const struct plant nothing = {PLANTED_NOTHING, 0, 0, 0};

/* All rows of x through each path, a batch at a time; the last batch ends with the last row. */
static void multiply_and_judge(struct assay_check_run *r, struct assay_operands *o,
                               const struct plant *x_plants, const struct plant *w_plants) {
    size_t paths[ASSAY_CHECK_PATHS], n_paths = assay_check_paths(r, o->m, paths);
    float *y = malloc(o->m * o->n * sizeof *y);

    if (y == NULL)
        assay_check_no_memory(r);
    for (size_t path = 0; y != NULL && path < n_paths; path++) {
        size_t m = paths[path];
        for (size_t start = 0; start < o->m; start += m) {
            size_t i0 = start + m <= o->m ? start : o->m - m;
            struct assay_product p = assay_operands_window(o, i0, m, 0, o->n, y);
            struct assay_arith arith;
            const struct assay_ref_elem *ref = assay_operands_reference(o, r, m, &arith);

            assay_check_poison(y, m * o->n);
            if (ref == NULL || !assay_check_product(r, r->ctx, &p))
                break;
            for (size_t i = 0; i < m; i++)
                for (size_t j = 0; j < o->n; j++) {
                    const struct assay_ref_elem *e = &ref[(i0 + i) * o->n + j];
                    const struct plant *in_x = x_plants != NULL ? &x_plants[i0 + i] : &nothing;
                    const struct plant *in_w = w_plants != NULL ? &w_plants[j] : &nothing;
                    double bound = assay_bound(&arith, o->type, o->k, e);
                    if (!acceptable(in_x, in_w, e, bound, y[i * o->n + j])) {
                        report(r, &p, i, j, in_x, in_w, e, bound);
                        free(y);
                        return;
                    }
                }
            r->tested += m * o->n;
        }
    }
    free(y);
}

/* ---- Scales ---- */

static size_t count_plants(const struct assay_type_traits *t, const struct values *table) {
    const struct assay_scale_field *f = assay_scale_fields(t);
    size_t count = 0;

    for (size_t i = 0; i < ASSAY_SCALE_FIELDS_MAX && f[i].kind != ASSAY_SCALE_NONE; i++)
        count += table[f[i].kind].count * (f[i].count > 1 ? 2 : 1);
    return count;
}

enum { FIRST_BLOCK, LAST_BLOCK, ALL_BLOCKS, PLACES_IN_ROW };

/* All fields of all blocks: beside others of ordinary size, a small scale would not be seen. */
static void plant_everywhere(const struct assay_operands *o, size_t row, uint32_t bits) {
    const struct assay_scale_field *f = assay_scale_fields(o->type);

    for (size_t at = 0; at < o->row_bytes; at += o->type->block_bytes)
        for (size_t i = 0; i < ASSAY_SCALE_FIELDS_MAX && f[i].kind != ASSAY_SCALE_NONE; i++)
            for (size_t index = 0; index < f[i].count; index++)
                write_scale(&f[i], index, bits, o->w + row * o->row_bytes + at);
}

/* Plants each value in the first block of a row, in the last of another, and all over a third. */
static void plant_scales(struct assay_operands *o, const struct values *table, bool finite,
                         struct plant *plants) {
    const struct assay_scale_field *f = assay_scale_fields(o->type);
    size_t blocks = o->k / o->type->block_len, row = 0;

    for (size_t i = 0; i < ASSAY_SCALE_FIELDS_MAX && f[i].kind != ASSAY_SCALE_NONE; i++)
        for (size_t index = 0; index<f[i].count; index += f[i].count> 1 ? f[i].count - 1 : 1)
            for (size_t v = 0; v < table[f[i].kind].count; v++)
                for (int place = 0; place < PLACES_IN_ROW; place++, row += 2) {
                    size_t block = place == LAST_BLOCK ? blocks - 1 : 0;
                    uint32_t bits = table[f[i].kind].bits[v];
                    if (place == ALL_BLOCKS)
                        plant_everywhere(o, row, bits);
                    write_scale(&f[i], index, bits,
                                o->w + row * o->row_bytes + block * o->type->block_bytes);
                    plants[row] =
                        (struct plant){finite           ? PLANTED_FINITE
                                       : v < INFINITIES ? PLANTED_INF
                                                        : PLANTED_NAN,
                                       bits, block, f[i].offset + index * value_bytes[f[i].kind]};
                }
}

/* The rows above are every second one. These follow, one for every lane of a tile. */
enum { LANES = 32 };

static void plant_lanes(struct assay_operands *o, const struct values *table, size_t row,
                        struct plant *plants) {
    const struct assay_scale_field *f = assay_scale_fields(o->type);

    for (; row < o->n; row++) {
        uint32_t bits = table[f[0].kind].bits[table[f[0].kind].least];
        plant_everywhere(o, row, bits);
        plants[row] = (struct plant){PLANTED_FINITE, bits, 0, f[0].offset};
    }
}

/* Rows of x at scales far apart, since what a tiny weight adds shows under a large one only. */
static void spread_rows(struct assay_operands *o) {
    for (size_t i = 0; i < o->m; i++)
        for (size_t k = 0; k < o->k; k++)
            o->x[i * o->k + k] = ldexpf(o->x[i * o->k + k], 20 * (int)(i % 5));
}

static void run_scales(struct assay_check_run *r, const struct values *table, bool finite) {
    size_t planted = PLACES_IN_ROW * count_plants(r->env->type, table),
           k = assay_check_k(r->env->type), rows;
    struct assay_operands o = {0};
    struct plant *plants;

    if (planted == 0)
        return;
    rows = assay_check_rows(r, r->env->type, 2 * planted + (finite ? LANES : 0) - 1, k);
    plants = calloc(rows, sizeof *plants);
    if (plants == NULL)
        assay_check_no_memory(r);
    if (plants != NULL &&
        assay_operands_new(&o, r, r->env->type, r->env->full ? 19 : 5, rows, k, finite ? 1 : 2)) {
        plant_scales(&o, table, finite, plants);
        if (finite) {
            plant_lanes(&o, table, 2 * planted - 1, plants);
            spread_rows(&o);
        } else { /* NaN times 0 is NaN still: a kernel must not pass over zeros */
            memset(o.x, 0, o.k * sizeof *o.x);
        }
        multiply_and_judge(r, &o, NULL, plants);
    }
    assay_operands_free(&o);
    free(plants);
}

/* Rows whose every scale is a zero: outputs that are exactly zero, beside others that are not. */
static void run_zero_rows(struct assay_check_run *r) {
    const struct assay_scale_field *f = assay_scale_fields(r->env->type);
    size_t k = assay_check_k(r->env->type), n = assay_check_rows(r, r->env->type, 9, k);
    struct assay_operands o = {0};

    if (assay_operands_new(&o, r, r->env->type, 5, n, k, 3)) {
        size_t blocks = o.k / o.type->block_len;
        for (size_t row = 0; row < o.n; row += 2)
            for (size_t b = 0; b < blocks; b++)
                for (size_t i = 0; i < ASSAY_SCALE_FIELDS_MAX && f[i].kind != ASSAY_SCALE_NONE; i++)
                    assay_extreme_scale(&f[i], row % 4 ? ASSAY_SCALE_NEG_ZERO : ASSAY_SCALE_ZERO,
                                        o.w + row * o.row_bytes + b * o.type->block_bytes);
        multiply_and_judge(r, &o, NULL, NULL);
    }
    assay_operands_free(&o);
}

/* ---- Activations ---- */

/* The last two stand on either side of the smallest block that ASSAY_ACT_Q8 does not flush. */
static const uint32_t finite_acts[] = {
    0x00000000, 0x80000000, 0x00000001, 0x807fffff, 0x00800000,
    0x7e000000, 0xfe000000, 0x0d7fffff, 0x0d800000,
};
static const uint32_t special_acts[] = {0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001};

enum {
    N_FINITE_ACTS = sizeof finite_acts / sizeof *finite_acts,
    N_SPECIAL_ACTS = sizeof special_acts / sizeof *special_acts,
};

/* Each value all over a row, and as the last element of a row of ordinary ones. */
static void run_finite_acts(struct assay_check_run *r) {
    enum { ROWS = 4 * N_FINITE_ACTS };
    struct plant plants[ROWS] = {{PLANTED_NOTHING, 0, 0, 0}};
    size_t k = assay_check_k(r->env->type), n = assay_check_rows(r, r->env->type, 9, k);
    struct assay_operands o = {0};

    if (assay_operands_new(&o, r, r->env->type, ROWS, n, k, 4)) {
        for (size_t v = 0; v < N_FINITE_ACTS; v++) {
            float value = assay_check_bits_float(finite_acts[v]);
            float *whole = o.x + 4 * v * o.k, *last = whole + 2 * o.k;
            for (size_t i = 0; i < o.k; i++)
                whole[i] = value;
            last[o.k - 1] = value;
            plants[4 * v] = (struct plant){PLANTED_FINITE, finite_acts[v], 0, 0};
            plants[4 * v + 2] = (struct plant){PLANTED_FINITE, finite_acts[v], o.k - 1, 0};
        }
        multiply_and_judge(r, &o, plants, NULL);
    }
    assay_operands_free(&o);
}

static void run_special_acts(struct assay_check_run *r) {
    enum { PLACES = 4, ROWS = 2 * N_SPECIAL_ACTS * PLACES - 1 };
    struct plant plants[ROWS] = {{PLANTED_NOTHING, 0, 0, 0}};
    size_t k = assay_check_k(r->env->type), n = assay_check_rows(r, r->env->type, 9, k);
    struct assay_operands o = {0};

    if (assay_operands_new(&o, r, r->env->type, ROWS, n, k, 5)) {
        const size_t places[PLACES] = {0, o.k - 1, o.k / 2, 3};
        for (size_t v = 0; v < N_SPECIAL_ACTS; v++)
            for (size_t place = 0; place < PLACES; place++) {
                size_t row = 2 * (v * PLACES + place), at = places[place];
                /* As bits: moving a signalling NaN through a register may quiet it. */
                memcpy(&o.x[row * o.k + at], &special_acts[v], sizeof special_acts[v]);
                plants[row] = (struct plant){v < INFINITIES ? PLANTED_INF : PLANTED_NAN,
                                             special_acts[v], at, 0};
            }
        multiply_and_judge(r, &o, plants, NULL);
    }
    assay_operands_free(&o);
}

/* ---- Rows of the table of checks ---- */

static json_t *run_special(const struct assay_check_env *env) {
    struct assay_check_run r;

    if (assay_check_begin(&r, env)) {
        run_scales(&r, finite_values, true);
        run_zero_rows(&r);
        run_finite_acts(&r);
    }
    return assay_check_end(&r);
}

static json_t *run_nonfinite(const struct assay_check_env *env) {
    struct assay_check_run r;
    json_t *skip;

    if (assay_check_unclaimed(env, ASSAY_CLAIM_IEEE_SPECIALS, &skip))
        return skip;
    if (assay_check_begin(&r, env)) {
        run_scales(&r, special_values, false);
        run_special_acts(&r);
    }
    return assay_check_end(&r);
}

const struct assay_check assay_check_special_row = {
    .name = "special",
    .summary = "zero, subnormal and extreme scales and activations within bound, zeros exact",
    .run = run_special,
};

const struct assay_check assay_check_nonfinite_row = {
    .name = "nonfinite",
    .summary = "an infinity or NaN reaches the outputs it belongs to, and no other",
    .claims = ASSAY_CLAIM_IEEE_SPECIALS,
    .run = run_nonfinite,
};
