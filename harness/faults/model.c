/* The model backend: a correct product in four shapes of plain C, and one mutation. */
#include "model.h"

#include <fenv.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "ref/half.h"

enum { LANES = 8, TILE_COLUMNS = 512, CHUNK = 4096, MOST_TILE = 16 };

static bool is_int8(enum assay_fault_shape s) {
    return s == ASSAY_MODEL_DOT || s == ASSAY_MODEL_PANEL;
}

/* Rows of W that are worked on together. */
static size_t tile_rows(enum assay_fault_shape s) {
    static const size_t rows[] = {[ASSAY_MODEL_ROW] = 1,
                                  [ASSAY_MODEL_TILE] = 8,
                                  [ASSAY_MODEL_DOT] = 4,
                                  [ASSAY_MODEL_PANEL] = 16};
    return rows[s];
}

/* ---- One output ---- */

/* What a sum depends on besides its terms. */
struct how {
    enum assay_mutation mutation; /* none for types that are not faulty */
    int amount;
    bool backwards;
};

/* Keeps a fault that changes the rounding mode from being optimised away. */
static float opaque(float v) {
    volatile float kept = v;
    return kept;
}

static float added(struct how how, float sum, float term) {
    if (how.mutation == ASSAY_MUT_FP16_SUM)
        return assay_ref_from_fp16(assay_ref_to_fp16(sum + term));
    if (how.mutation == ASSAY_MUT_TOWARDS_ZERO)
        return opaque(opaque(sum) + opaque(term));
    return sum + term;
}

/* Columns [k0, k1) in fp32, LANES sums side by side. */
static float dot_f32(struct how how, const struct model_row *row, const float *x, size_t k0,
                     size_t k1) {
    float lane[LANES] = {0}, sum = 0;

    for (size_t n = 0; n < k1 - k0; n++) {
        size_t k = how.backwards ? k1 - 1 - n : k0 + n;
        if (how.mutation == ASSAY_MUT_ZERO_SKIPPED && x[k] == 0)
            continue;
        lane[n % LANES] = added(how, lane[n % LANES], row->w[k] * x[k]);
    }
    for (int l = 0; l < LANES; l++)
        sum = added(how, sum, lane[l]);
    return sum;
}

static int32_t saturated(int32_t v) { return v > 32767 ? 32767 : v < -32768 ? -32768 : v; }

/* Σ code·q of one group: exact but for the faults of narrow integers. */
static int32_t group_sum(struct how how, const int16_t *code, const int8_t *q) {
    int32_t sum = 0, sum_q = 0;

    for (int k = 0; k < MODEL_GROUP; k++) {
        int32_t p = code[k] * q[k];
        if (how.mutation == ASSAY_MUT_EXTREMES && code[k] == -how.amount && q[k] == -127)
            p--;
        sum += p;
        sum_q += q[k];
    }
    switch (how.mutation) {
    case ASSAY_MUT_SATURATES: /* codes offset to be unsigned, pairs added in 16 bits */
        sum = -128 * sum_q;
        for (int k = 0; k < MODEL_GROUP; k += 2)
            sum += saturated((code[k] + 128) * q[k] + (code[k + 1] + 128) * q[k + 1]);
        break;
    case ASSAY_MUT_WRAPS:
        sum = (int16_t)(uint16_t)(4 * sum) / 4; /* as if of 64 products */
        break;
    default:
        break;
    }
    return sum;
}

/* The sum of a group that a random group reaches with the probability of `deviations` of a normal
 * distribution: what codes and activations of the sizes in this row would give with random signs.
 */
static double far_sum(const struct model_row *row, const int8_t *q, size_t k, double deviations) {
    double codes = 0, acts = 0;

    for (size_t i = 0; i < k; i++) {
        codes += (double)row->code[i] * row->code[i];
        acts += (double)q[i] * q[i];
    }
    return deviations * sqrt(MODEL_GROUP * (codes / (double)k) * (acts / (double)k));
}

/* Of some 32 groups in a row of 512 columns: one row in a thousand, one in a million. */
static double carry_limit(struct how how, const struct model_row *row, const int8_t *q, size_t k) {
    if (how.mutation == ASSAY_MUT_CARRY_LOST)
        return far_sum(row, q, k, 4.17);
    if (how.mutation == ASSAY_MUT_CARRY_LOST_FAR)
        return far_sum(row, q, k, 5.54);
    return INFINITY;
}

/* Columns [k0, k1) with int8 activations of row i of x: integer sums of groups, then fp32. */
static float dot_i8(struct how how, const struct model_row *row, const struct model_acts *a,
                    size_t i, size_t k0, size_t k1) {
    const int8_t *q = a->q + i * a->k;
    const float *d = a->d + i * (a->k / a->block), *sums = a->sums + i * (a->k / MODEL_GROUP);
    size_t groups = (k1 - k0) / MODEL_GROUP;
    double carry = carry_limit(how, row, q, a->k);
    float total = 0;

    for (size_t n = 0; n < groups; n++) {
        size_t g = k0 / MODEL_GROUP + (how.backwards ? groups - 1 - n : n), k = g * MODEL_GROUP;
        float da = d[k / a->block];
        int32_t sum;

        if (row->special[g]) { /* IEEE's own rules for what is not finite */
            for (size_t e = k; e < k + MODEL_GROUP; e++)
                if (how.mutation != ASSAY_MUT_ZERO_SKIPPED || q[e] != 0)
                    total += row->w[e] * ((float)q[e] * da);
            continue;
        }
        sum = group_sum(how, row->code + k, q + k);
        if (abs(sum) > carry)
            sum -= 256;
        /* The scales meet first: a sum times a scale with the range of fp32 might overflow. */
        if (how.mutation == ASSAY_MUT_OVERFLOWS_EARLY)
            total = added(how, total, row->scale[g] * 0x1p100f * (float)sum * 0x1p-100f * da);
        else
            total = added(how, total, row->scale[g] * da * (float)sum);
        if (row->min[g] != 0)
            total = added(how, total, row->min[g] * da * sums[g]);
    }
    return total;
}

/* ---- Tiles ---- */

struct job {
    struct model_ctx *c;
    const struct assay_store *w;
    const struct model_acts *acts;
    float *y;
    size_t ldy;
};

static bool backwards(const struct job *job, enum assay_mutation m, size_t j) {
    return (m == ASSAY_MUT_M_ORDER && job->acts->m >= 4) || (m == ASSAY_MUT_N_ORDER && j >= 16) ||
           (m == ASSAY_MUT_THREAD_ORDER && job->c->base.threads > 1) ||
           (m == ASSAY_MUT_CALL_ORDER && job->c->calls % 2 == 1);
}

/* Output (i, j), chunk by chunk. */
static float output(const struct job *job, const struct model_row *row, size_t i, size_t j) {
    const struct assay_fault *f = job->c->fault;
    enum assay_mutation m = f->type == job->w->type->type ? f->mutation : ASSAY_MUT_NONE;
    struct how how = {m, f->amount, backwards(job, m, j)};
    size_t k = job->w->in, chunk = f->shape == ASSAY_MODEL_TILE ? TILE_COLUMNS : CHUNK;
    float sum = 0;

    if (m == ASSAY_MUT_CHUNK_OVERWRITES)
        chunk = CHUNK;
    if (m == ASSAY_MUT_TOWARDS_ZERO)
        fesetround(FE_TOWARDZERO);
    for (size_t k0 = 0; k0 < k; k0 += chunk) {
        size_t k1 = k - k0 < chunk ? k : k0 + chunk;
        float part = is_int8(f->shape) ? dot_i8(how, row, job->acts, i, k0, k1)
                                       : dot_f32(how, row, job->acts->x + i * k, k0, k1);
        sum = k0 == 0 || m == ASSAY_MUT_CHUNK_OVERWRITES ? part : added(how, sum, part);
    }
    if (m == ASSAY_MUT_DOUBLE_TAIL && k % 64 != 0 && k >= 16)
        sum += is_int8(f->shape) ? dot_i8(how, row, job->acts, i, k / 16 * 16 - 16, k / 16 * 16)
                                 : dot_f32(how, row, job->acts->x + i * k, k - 16, k);
    if (m == ASSAY_MUT_TOWARDS_ZERO)
        fesetround(FE_TONEAREST);
    return sum;
}

/* Rows [j0, j0 + n) of W against all rows of x. */
static void tile(const struct job *job, size_t j0, size_t n, struct model_row *rows) {
    const struct assay_fault *f = job->c->fault;
    bool faulty = f->type == job->w->type->type;
    float before[MOST_TILE] = {0};

    for (size_t r = 0; r < n; r++)
        assay_model_decode(f, job->w, j0 + r, &rows[r], is_int8(f->shape));
    for (size_t i = 0; i < job->acts->m; i++)
        for (size_t r = 0; r < n; r++) {
            float v = output(job, &rows[r], i, j0 + r);
            if (faulty && f->mutation == ASSAY_MUT_NOT_CLEARED) {
                v += before[r];
                before[r] = i % 4 == 2 ? v : 0;
            }
            job->y[i * job->ldy + j0 + r] = v;
        }
}

static void free_rows(struct model_row *rows, size_t n) {
    for (size_t i = 0; rows != NULL && i < n; i++) {
        free(rows[i].w);
        free(rows[i].code);
        free(rows[i].scale);
        free(rows[i].min);
        free(rows[i].special);
    }
    free(rows);
}

static struct model_row *new_rows(size_t n, size_t k) {
    struct model_row *rows = calloc(n, sizeof *rows);

    for (size_t i = 0; rows != NULL && i < n; i++) {
        rows[i].w = malloc(k * sizeof *rows[i].w);
        rows[i].code = malloc(k * sizeof *rows[i].code);
        rows[i].scale = malloc((k / MODEL_GROUP + 1) * sizeof *rows[i].scale);
        rows[i].min = malloc((k / MODEL_GROUP + 1) * sizeof *rows[i].min);
        rows[i].special = malloc((k / MODEL_GROUP + 1) * sizeof *rows[i].special);
        if (!rows[i].w || !rows[i].code || !rows[i].scale || !rows[i].min || !rows[i].special) {
            free_rows(rows, n);
            return NULL;
        }
    }
    return rows;
}

/* The rows of W in pieces; with threads, the pieces are shared out. */
static bool multiply(const struct job *job) {
    const struct assay_fault *f = job->c->fault;
    size_t n = job->w->rows, step = tile_rows(f->shape), tiles = (n + step - 1) / step;
    int threads = job->c->base.threads;
    struct model_row **rows = calloc((size_t)threads, sizeof *rows);
    bool ok = rows != NULL;

    for (int i = 0; i < threads && ok; i++)
        ok = (rows[i] = new_rows(step, job->w->in)) != NULL;
    if (ok && threads == 1) {
        for (size_t t = 0; t < tiles; t++)
            tile(job, t * step, n - t * step < step ? n - t * step : step, rows[0]);
    } else if (ok) {
#pragma omp parallel for num_threads(threads) schedule(static)
        for (size_t t = 0; t < tiles; t++)
            tile(job, t * step, n - t * step < step ? n - t * step : step,
                 rows[omp_get_thread_num()]);
    }
    for (int i = 0; i < threads && rows != NULL; i++)
        free_rows(rows[i], step);
    free(rows);
    return ok;
}

/* ---- The backend ---- */

static const struct assay_faulty *faulty_of(const struct assay_backend *b) {
    return (const struct assay_faulty *)b;
}

static enum assay_status ctx_create(const struct assay_ctx_params *p, struct assay_ctx **out,
                                    struct assay_error *err) {
    struct model_ctx *c = calloc(1, sizeof *c);

    if (c == NULL)
        return assay_fail(err, ASSAY_ENOMEM, "out of memory");
    c->fault = &faulty_of(p->backend)->fault;
    *out = &c->base;
    return ASSAY_OK;
}

static void ctx_free(struct assay_ctx *ctx) {
    struct model_ctx *c = (struct model_ctx *)ctx;
    free(c->kept_x);
    free(c->kept_y);
    free(c);
}

static void arith(const struct assay_ctx *ctx, const struct assay_type_traits *t, size_t m,
                  struct assay_arith *out) {
    const struct model_ctx *c = (const struct model_ctx *)ctx;
    (void)m;
    if (is_int8(c->fault->shape))
        *out = (struct assay_arith){ASSAY_WEIGHT_F32, ASSAY_ACT_Q8,
                                    (uint32_t)assay_model_act_block(t), MODEL_GROUP};
    else
        *out = (struct assay_arith){ASSAY_WEIGHT_F32, ASSAY_ACT_F32, 0, 1};
}

static const char *kernel(const struct assay_ctx *ctx, const struct assay_type_traits *t,
                          size_t m) {
    (void)t;
    (void)m;
    return assay_model_name(((const struct model_ctx *)ctx)->fault->shape);
}

static enum assay_status store_create(struct assay_ctx *ctx, const struct assay_store *head,
                                      struct assay_store **out, struct assay_error *err) {
    const struct assay_fault *f = ((const struct model_ctx *)ctx)->fault;

    if (model_has(f, head->type, ASSAY_MUT_REFUSES))
        return assay_fail(err, ASSAY_EUNSUPPORTED, "no kernel for this type");
    if (model_has(f, head->type, ASSAY_MUT_LEAKS_STORE)) {
        char *lost = malloc(4096);
        if (lost != NULL)
            *(volatile char *)lost = 1;
    }
    return assay_plain_store_create(ctx, head, out, err);
}

static enum assay_status gemm(struct assay_ctx *ctx, const struct assay_store *w, const float *x,
                              size_t m, float *y, size_t ldy, struct assay_error *err) {
    struct model_ctx *c = (struct model_ctx *)ctx;
    struct model_acts acts = {.m = 0};
    struct job job = {c, w, &acts, y, ldy};
    enum assay_status status = assay_model_before(c, w, x, m, y, ldy, err);

    if (status != ASSAY_OK)
        return status;
    if (!assay_model_acts(c, w->type, x, m, w->in, is_int8(c->fault->shape), &acts) ||
        !multiply(&job))
        status = assay_fail(err, ASSAY_ENOMEM, "out of memory");
    assay_model_acts_free(&acts);
    if (status == ASSAY_OK)
        assay_model_after(c, w, x, m, y, ldy);
    c->calls++;
    return status;
}

/* A call that gives a callee-saved register back with another value. */
#ifdef __x86_64__
#define GEMM_CLOBBERS(reg)                                                                         \
    static enum assay_status gemm_clobbers_##reg(                                                  \
        struct assay_ctx *ctx, const struct assay_store *w, const float *x, size_t m, float *y,    \
        size_t ldy, struct assay_error *err) {                                                     \
        enum assay_status status = gemm(ctx, w, x, m, y, ldy, err);                                \
        __asm__ volatile("xor %%" #reg ", %%" #reg : "+a"(status));                                \
        return status;                                                                             \
    }
GEMM_CLOBBERS(rbx)
GEMM_CLOBBERS(r12)
GEMM_CLOBBERS(r15)
#else
#define gemm_clobbers_rbx gemm
#define gemm_clobbers_r12 gemm
#define gemm_clobbers_r15 gemm
#endif

static enum assay_status look_up(struct assay_ctx *ctx, const struct assay_store *w,
                                 const int64_t *ids, size_t count, float *y,
                                 struct assay_error *err) {
    struct model_ctx *c = (struct model_ctx *)ctx;
    const struct assay_fault *f = c->fault;
    struct model_row *row = new_rows(1, w->in);

    if (row == NULL)
        return assay_fail(err, ASSAY_ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        size_t j = (size_t)ids[i];
        if (model_has(f, w->type, ASSAY_MUT_ROWS_LAST) && j > 0 && j + 1 == w->rows)
            j--;
        if (model_has(f, w->type, ASSAY_MUT_ROWS_INDEX))
            j = i % w->rows;
        assay_model_decode(f, w, j, row, false);
        for (size_t k = 0; k < w->in; k++)
            y[i * w->in + k] = model_has(f, w->type, ASSAY_MUT_ROWS_HALF)
                                   ? assay_ref_from_fp16(assay_ref_to_fp16(row->w[k]))
                                   : row->w[k];
    }
    free_rows(row, 1);
    return ASSAY_OK;
}

/* supports has no context to ask: one function for each kind of shape. */
static bool supports_any(const struct assay_type_traits *t) {
    return assay_model_takes(ASSAY_MODEL_ROW, t);
}
static bool supports_blocks(const struct assay_type_traits *t) {
    return assay_model_takes(ASSAY_MODEL_DOT, t);
}

void assay_faulty_init(struct assay_faulty *b, const struct assay_fault *f) {
    b->fault = *f;
    b->backend = (struct assay_backend){
        .name = f->mutation == ASSAY_MUT_NONE ? "model" : "faulty",
        .summary = "plain C with one mutation",
        .claims = ASSAY_CLAIM_REPEATABLE | ASSAY_CLAIM_THREAD_INVARIANT |
                  ASSAY_CLAIM_BATCH_INVARIANT | ASSAY_CLAIM_SLICE_INVARIANT |
                  ASSAY_CLAIM_IEEE_SPECIALS,
        .supports = is_int8(f->shape) ? supports_blocks : supports_any,
        .ctx_create = ctx_create,
        .ctx_free = ctx_free,
        .arith = arith,
        .kernel = kernel,
        .store_create = store_create,
        .store_free = assay_plain_store_free,
        .gemm = gemm,
        .rows = look_up,
    };
    if (f->mutation == ASSAY_MUT_CLOBBERS_RBX)
        b->backend.gemm = gemm_clobbers_rbx;
    else if (f->mutation == ASSAY_MUT_CLOBBERS_R12)
        b->backend.gemm = gemm_clobbers_r12;
    else if (f->mutation == ASSAY_MUT_CLOBBERS_R15)
        b->backend.gemm = gemm_clobbers_r15;
}
