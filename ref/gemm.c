#include "gemm.h"

#include <math.h>
#include <stdlib.h>

#include "act_quant.h"
#include "half.h"

/* Dot2 keeps LANES independent sums so that the latency of one addition does not set the pace. */
enum { LANES = 4 };

/* A sum and what its additions have lost so far. */
struct dot2 {
    double sum[LANES], lost[LANES];
};

/* Rounding error of s = fl(a + b) (Knuth's TwoSum). */
static double sum_error(double a, double b, double s) {
    double b_seen = s - a;
    return (a - (s - b_seen)) + (b - b_seen);
}

/* Without a finite compensation the sum itself is the result: where it is infinite or NaN, and
 * where an x beyond the range of fp32 (127·d can be) could not be cut into two parts. */
static double dot2_result(const struct dot2 *d) {
    double sum = d->sum[0], lost = d->lost[0];

    for (int l = 1; l < LANES; l++) {
        double s = sum + d->sum[l];
        lost += d->lost[l] + sum_error(sum, d->sum[l], s);
        sum = s;
    }
    return isfinite(lost) ? sum + lost : sum;
}

static inline void dot2_add(struct dot2 *d, size_t lane, double term, double term_error) {
    double s = d->sum[lane] + term;
    d->lost[lane] += sum_error(d->sum[lane], term, s) + term_error;
    d->sum[lane] = s;
}

/* One product w·x added: exact in fp64 where x is an fp32 number. */
static inline void add_f32(struct dot2 *d, size_t lane, float w, float x) {
    dot2_add(d, lane, (double)w * (double)x, 0.0);
}

/* The same for x = d·q of up to 32 significant bits: the product's rounding error comes from x cut
 * into two parts of at most 24 bits, each of whose products with w is exact. */
static inline void add_f64(struct dot2 *d, size_t lane, float w, double x) {
    double product = (double)w * x;
    double high = (double)(float)x, low = x - high;
    dot2_add(d, lane, product, ((double)w * high - product) + (double)w * low);
}

static double dot_f32(const float *w, const float *x, size_t k) {
    struct dot2 d = {{0}, {0}};
    size_t i = 0;

    for (; i + LANES <= k; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            add_f32(&d, lane, w[i + lane], x[i + lane]);
    for (; i < k; i++)
        add_f32(&d, 0, w[i], x[i]);
    return dot2_result(&d);
}

static double dot_f64(const float *w, const double *x, size_t k) {
    struct dot2 d = {{0}, {0}};
    size_t i = 0;

    for (; i + LANES <= k; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            add_f64(&d, lane, w[i + lane], x[i + lane]);
    for (; i < k; i++)
        add_f64(&d, 0, w[i], x[i]);
    return dot2_result(&d);
}

/* mag = Σ mag·|x| and sq = Σ (mag·x)². */
static void dot_magnitude(const double *mag, const double *x, size_t k, struct assay_ref_elem *e) {
    double sum[LANES] = {0}, sq[LANES] = {0};
    size_t i = 0;

    for (; i + LANES <= k; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++) {
            double term = mag[i + lane] * fabs(x[i + lane]);
            sum[lane] += term;
            sq[lane] += term * term;
        }
    for (; i < k; i++) {
        double term = mag[i] * fabs(x[i]);
        sum[0] += term;
        sq[0] += term * term;
    }
    e->mag = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    e->sq = (sq[0] + sq[1]) + (sq[2] + sq[3]);
}

/* A row of W in the forms that the sums need. */
struct row {
    float *w;       /* as decoded */
    float *rounded; /* as the class multiplies it; the same array if it is the same */
    float *b;       /* additive terms, where the class keeps them apart; else NULL */
    double *mag;    /* |a|+|b|, or |w| */
};

/* The activations as the class multiplies them. */
struct acts {
    double *x;      /* m × k */
    double *excess; /* m × blocks, see assay_act_sum_excess; NULL if it is zero or unused */
    double *xabs;   /* m */
    size_t blocks;
};

static void decode_row(const struct assay_type_traits *t, const uint8_t *w, size_t k,
                       struct row *r) {
    assay_dequant_row(t, w, k, r->w);
    if (r->rounded != r->w)
        for (size_t i = 0; i < k; i++)
            r->rounded[i] = assay_ref_from_fp16(assay_ref_to_fp16(r->w[i]));
    if (!r->b) {
        for (size_t i = 0; i < k; i++)
            r->mag[i] = fabs((double)r->rounded[i]);
        return;
    }
    for (size_t i = 0; i < k; i += t->block_len, w += t->block_bytes)
        t->min_terms(w, r->b + i);
    for (size_t i = 0; i < k; i++)
        r->mag[i] = fabs((double)r->w[i] - (double)r->b[i]) + fabs((double)r->b[i]);
}

static void prepare_acts(const struct assay_arith *arith, const float *x, size_t m, size_t k,
                         struct acts *acts) {
    for (size_t i = 0; i < m; i++) {
        double *xq = acts->x + i * k;
        assay_act_emulate(arith, x + i * k, k, xq);
        if (acts->excess)
            assay_act_sum_excess(arith, x + i * k, k, acts->excess + i * acts->blocks);
        acts->xabs[i] = 0.0;
        for (size_t j = 0; j < k; j++)
            acts->xabs[i] += fabs(xq[j]);
    }
}

static double coarse(const struct row *r, const double *xq, size_t k) {
    double sum = 0.0;

    for (size_t i = 0; i < k;) {
        size_t end = k - i < ASSAY_WEIGHT_GROUP ? k : i + ASSAY_WEIGHT_GROUP;
        double most = 0.0, xabs = 0.0;
        for (; i < end; i++) {
            most = fmax(most, fabs((double)r->w[i]));
            xabs += fabs(xq[i]);
        }
        sum += most * xabs;
    }
    return sum;
}

static void multiply(const struct assay_type_traits *t, const struct assay_arith *arith,
                     const struct row *r, const struct acts *acts, const float *x, size_t i,
                     size_t k, struct assay_ref_elem *e) {
    const double *xq = acts->x + i * k;

    e->y = dot_f32(r->w, x + i * k, k);
    e->yq = e->y;
    if (arith->act != ASSAY_ACT_F32)
        e->yq = dot_f64(r->rounded, xq, k);
    else if (r->rounded != r->w)
        e->yq = dot_f32(r->rounded, x + i * k, k);
    dot_magnitude(r->mag, xq, k, e);
    e->xabs = acts->xabs[i];
    e->coarse = arith->weight >= ASSAY_WEIGHT_SHIFTED ? coarse(r, xq, k) : 0.0;
    if (acts->excess)
        for (size_t block = 0; block < acts->blocks; block++) {
            double correction =
                (double)r->b[block * t->block_len] * acts->excess[i * acts->blocks + block];
            e->yq += correction;
            e->mag += fabs(correction);
            e->sq += correction * correction;
        }
}

/* malloc of count items, or NULL where the size overflows. Never asks for 0 bytes. */
static void *alloc_items(size_t count, size_t size) {
    return count > SIZE_MAX / size ? NULL : malloc(count ? count * size : 1);
}

int assay_ref_gemm(const struct assay_type_traits *t, const uint8_t *w, size_t row_stride, size_t n,
                   size_t k, const float *x, size_t m, const struct assay_arith *arith,
                   struct assay_ref_elem *out) {
    bool rounds = arith->weight == ASSAY_WEIGHT_F16;
    bool splits = t->min_terms && !rounds;
    bool has_excess = splits && arith->act == ASSAY_ACT_Q8_F16 && arith->act_block == t->block_len;
    struct row r = {0};
    struct acts acts = {.blocks = k / t->block_len};
    int status = -1;

    if (m != 0 && k > SIZE_MAX / m)
        return -1;
    r.w = alloc_items(k, sizeof *r.w);
    r.rounded = rounds ? alloc_items(k, sizeof *r.rounded) : r.w;
    r.b = splits ? alloc_items(k, sizeof *r.b) : NULL;
    r.mag = alloc_items(k, sizeof *r.mag);
    acts.x = alloc_items(m * k, sizeof *acts.x);
    acts.excess = has_excess ? alloc_items(m * acts.blocks, sizeof *acts.excess) : NULL;
    acts.xabs = alloc_items(m, sizeof *acts.xabs);
    if (!r.w || !r.rounded || (splits && !r.b) || !r.mag || !acts.x ||
        (has_excess && !acts.excess) || !acts.xabs)
        goto done;

    prepare_acts(arith, x, m, k, &acts);
    for (size_t j = 0; j < n; j++) {
        decode_row(t, w + j * row_stride, k, &r);
        for (size_t i = 0; i < m; i++)
            multiply(t, arith, &r, &acts, x, i, k, &out[i * n + j]);
    }
    status = 0;
done:
    if (rounds)
        free(r.rounded);
    free(r.w);
    free(r.b);
    free(r.mag);
    free(acts.x);
    free(acts.excess);
    free(acts.xabs);
    return status;
}
