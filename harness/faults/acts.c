/* Activations of the model kernels: int8 blocks by the rule of ref/act_quant.h, and its mutations.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "ref/half.h"

size_t assay_model_act_block(const struct assay_type_traits *t) {
    return t->block_len == 256 ? 256 : 32;
}

static float to_bf16(float v) {
    return isnan(v) ? v
                    : assay_ref_float_from_bits((assay_ref_float_bits(v) + 0x8000) & 0xffff0000);
}

/* ---- x as the kernel reads it ---- */

static float taken(enum assay_mutation m, float v) {
    switch (m) {
    case ASSAY_MUT_NAN_X_LOST:
        return isnan(v) ? 0 : v;
    case ASSAY_MUT_INF_X_CLAMPED:
        return isinf(v) ? copysignf(3.402823466e+38f, v) : v;
    case ASSAY_MUT_ACT_BF16:
        return to_bf16(v);
    default:
        return v;
    }
}

/* Rows of the call before, for the faults that keep them. */
static const float *stale(const struct model_ctx *c, enum assay_mutation mut, const float *x,
                          size_t m, size_t k) {
    bool same = c->kept_x != NULL && c->kept_k == k;

    if (mut == ASSAY_MUT_STALE_X && same && c->kept_m == m && c->kept_at == x)
        return c->kept_x;
    if (mut == ASSAY_MUT_STALE_SLOTS && same && m % 8 != 0 && m > 1 && c->kept_m >= m)
        return c->kept_x;
    return NULL;
}

static void copy_x(const struct model_ctx *c, enum assay_mutation mut, struct model_acts *a) {
    const float *x = a->x, *old = stale(c, mut, x, a->m, a->k);
    size_t k = a->k, m = a->m;
    bool spreads = false;

    if (mut == ASSAY_MUT_ALIGNED_X)
        x -= (uintptr_t)x % 32 / sizeof *x;
    for (size_t i = 0; i < m * k; i++) {
        a->copy[i] = taken(mut, x[i]);
        spreads = spreads || !isfinite(x[i]);
    }
    if (mut == ASSAY_MUT_ODD_BATCH && m > 1 && m % 2 == 1)
        memcpy(a->copy + (m - 1) * k, a->copy + (m - 2) * k, k * sizeof *x);
    if (mut == ASSAY_MUT_INF_SPREADS && spreads)
        a->copy[0] = NAN;
    if (mut == ASSAY_MUT_STALE_X && old != NULL)
        memcpy(a->copy, old, m * k * sizeof *x);
    if (mut == ASSAY_MUT_STALE_SLOTS && old != NULL)
        memcpy(a->copy + (m - 1) * k, old + (m - 1) * k, k * sizeof *x);
}

static bool reads_otherwise(enum assay_mutation m) {
    return m == ASSAY_MUT_NAN_X_LOST || m == ASSAY_MUT_INF_X_CLAMPED || m == ASSAY_MUT_ACT_BF16 ||
           m == ASSAY_MUT_STALE_X || m == ASSAY_MUT_STALE_SLOTS || m == ASSAY_MUT_ALIGNED_X ||
           m == ASSAY_MUT_ODD_BATCH || m == ASSAY_MUT_INF_SPREADS;
}

/* ---- int8 ---- */

static float amax_of(const struct model_acts *a, enum assay_mutation m, const float *x, size_t n) {
    float most = 0;

    if (m == ASSAY_MUT_BATCH_SCALE) { /* of the same block in every row */
        size_t at = (size_t)(x - a->x) % a->k;
        x = a->x + at;
        for (size_t i = 0; i < a->m; i++)
            for (size_t j = 0; j < n; j++)
                most = fmaxf(most, fabsf(x[i * a->k + j]));
        return most;
    }
    for (size_t i = 0; i < n; i++)
        most = fmaxf(most, m == ASSAY_MUT_ACT_SIGNED_MAX ? x[i] : fabsf(x[i]));
    return most;
}

static float rounded(enum assay_mutation m, float v) {
    if (m == ASSAY_MUT_ACT_TRUNCATED)
        return truncf(v);
    if (m == ASSAY_MUT_ACT_HALF_AWAY)
        return roundf(v);
    return rintf(v);
}

/* n values from x to q. Returns the scale. */
static float quantise(const struct model_acts *a, enum assay_mutation m, const float *x, size_t n,
                      int8_t *q) {
    float amax = amax_of(a, m, x, n), least = m == ASSAY_MUT_ACT_FLUSHED ? 0x1p-20f : 0x1p-100f;
    float top = m == ASSAY_MUT_ACT_128 ? 128.0f : 127.0f, d, r;
    bool finite = true;

    for (size_t i = 0; i < n; i++)
        finite = finite && isfinite(x[i]);
    memset(q, 0, n);
    if (!finite)
        return NAN;
    if (amax < least)
        return 0;
    r = top / amax;
    d = amax / top;
    if (m == ASSAY_MUT_ACT_RECIPROCAL) /* what RCPPS promises */
        d *= 1 + 0x1p-12f;
    if (m == ASSAY_MUT_ACT_D_HALF)
        d = assay_ref_from_fp16(assay_ref_to_fp16(d));
    for (size_t i = 0; i < n; i++)
        q[i] = (int8_t)fmaxf(-128, fminf(127, rounded(m, x[i] * r)));
    return d;
}

static void sum_groups(const struct model_acts *a, enum assay_mutation mut, size_t i) {
    const int8_t *q = a->q + i * a->k;
    const float *x = a->x + i * a->k;
    size_t groups = a->k / MODEL_GROUP;

    for (size_t g = 0; g < groups; g++) {
        float sum = 0, of_x = 0, d = a->d[i * (a->k / a->block) + g * MODEL_GROUP / a->block];
        for (size_t k = g * MODEL_GROUP; k < (g + 1) * MODEL_GROUP; k++) {
            sum += q[k];
            of_x += x[k];
        }
        if (mut == ASSAY_MUT_ACT_SUM_FLOAT && d > 0)
            sum = of_x / d;
        if (mut == ASSAY_MUT_ACT_SUM_MISSING && g + 1 == groups)
            sum = 0;
        a->sums[i * groups + g] = sum;
    }
}

static void quantise_row(const struct model_acts *a, enum assay_mutation mut, size_t i) {
    size_t blocks = a->k / a->block;
    float *d = a->d + i * blocks;

    for (size_t b = 0; b < blocks; b++)
        d[b] = quantise(a, mut, a->x + i * a->k + b * a->block, a->block,
                        a->q + i * a->k + b * a->block);
    if (mut == ASSAY_MUT_ACT_D_INDEX && blocks > 1)
        d[blocks - 1] = d[blocks - 2];
    sum_groups(a, mut, i);
}

bool assay_model_acts(const struct model_ctx *c, const struct assay_type_traits *t, const float *x,
                      size_t m, size_t k, bool codes, struct model_acts *a) {
    enum assay_mutation mut = c->fault->type == t->type ? c->fault->mutation : ASSAY_MUT_NONE;

    *a = (struct model_acts){.x = x, .m = m, .k = k, .block = assay_model_act_block(t)};
    if (reads_otherwise(mut)) {
        a->copy = malloc(m * k * sizeof *x);
        if (a->copy == NULL)
            return false;
        copy_x(c, mut, a);
        a->x = a->copy;
    }
    if (!codes)
        return true;
    a->q = malloc(m * k);
    a->d = malloc(m * (k / a->block) * sizeof *a->d);
    a->sums = malloc(m * (k / MODEL_GROUP) * sizeof *a->sums);
    if (a->q == NULL || a->d == NULL || a->sums == NULL)
        return false;
    for (size_t i = 0; i < m; i++)
        quantise_row(a, mut, i);
    return true;
}

void assay_model_acts_free(struct model_acts *a) {
    free(a->q);
    free(a->d);
    free(a->sums);
    free(a->copy);
}
