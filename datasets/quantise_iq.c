/* Quantisers of the codebook types. Weights are first rounded to the codebook's levels, then the
 * rounded point is replaced by the nearest codebook entry; a few scales per sub-block are tried and
 * the one with the least squared error is kept.
 *
 * No statement both multiplies and adds floats, so that a compiler that fuses the two (AArch64)
 * makes the same blocks. */
#include <float.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "quantise_internal.h"
#include "ref/dequant.h"
#include "ref/iq_grids.h"

/* A codebook and, by packed point, the nearest entry + 1, filled in as points come up (0: not yet).
 * Threads may find the same entry twice; they store the same value. */
struct codebook {
    const uint16_t *grid;
    int entries;
    int dim;          /* values per entry */
    int bits;         /* of a packed level index */
    int n_levels;     /* levels[] in rising order */
    int8_t levels[8]; /* as in ref/iq_grids.c */
    _Atomic uint16_t *nearest;
};

static _Atomic uint16_t nearest_iq1[1 << 16], nearest_iq2_xxs[1 << 16], nearest_iq2_xs[1 << 16],
    nearest_iq2_s[1 << 16], nearest_iq3_xxs[1 << 12], nearest_iq3_s[1 << 12];

/* clang-format off */
static const struct codebook
    iq1     = {assay_iq1_grid,     2048, 8, 2, 3, {-1, 0, 1},                        nearest_iq1},
    iq2_xxs = {assay_iq2_xxs_grid,  256, 8, 2, 3, {8, 25, 43},                       nearest_iq2_xxs},
    iq2_xs  = {assay_iq2_xs_grid,   512, 8, 2, 3, {8, 25, 43},                       nearest_iq2_xs},
    iq2_s   = {assay_iq2_s_grid,   1024, 8, 2, 3, {8, 25, 43},                       nearest_iq2_s},
    iq3_xxs = {assay_iq3_xxs_grid,  256, 4, 3, 8, {4, 12, 20, 28, 36, 44, 52, 62},   nearest_iq3_xxs},
    iq3_s   = {assay_iq3_s_grid,    512, 4, 3, 8, {1, 3, 5, 7, 9, 11, 13, 15},       nearest_iq3_s};
/* clang-format on */

static int level_of(const struct codebook *cb, uint32_t packed, int j) {
    return cb->levels[packed >> cb->bits * j & ((1u << cb->bits) - 1)];
}

/* Index of the entry nearest to a packed point. */
static int nearest_entry(const struct codebook *cb, uint32_t point) {
    uint16_t known = atomic_load_explicit(&cb->nearest[point], memory_order_relaxed);
    if (known != 0)
        return known - 1;
    int best = 0, best_distance = INT32_MAX;
    for (int e = 0; e < cb->entries; e++) {
        int distance = 0;
        for (int j = 0; j < cb->dim && distance < best_distance; j++) {
            int diff = level_of(cb, cb->grid[e], j) - level_of(cb, point, j);
            distance += diff * diff;
        }
        if (distance < best_distance) {
            best = e;
            best_distance = distance;
        }
    }
    atomic_store_explicit(&cb->nearest[point], (uint16_t)(best + 1), memory_order_relaxed);
    return best;
}

/* Finds an entry for x[dim] ≈ scale·(entry + shift); returns the squared error. */
static double fit_entry(const struct codebook *cb, const float *x, float scale, float shift,
                        int *entry) {
    uint32_t point = 0;
    for (int j = 0; j < cb->dim; j++) {
        float v = x[j] / scale - shift;
        int l = 0;
        while (l + 1 < cb->n_levels && 2 * v > (float)(cb->levels[l] + cb->levels[l + 1]))
            l++;
        point |= (uint32_t)l << cb->bits * j;
    }
    *entry = nearest_entry(cb, point);
    double error = 0;
    for (int j = 0; j < cb->dim; j++) {
        float value = (float)level_of(cb, cb->grid[*entry], j) + shift;
        float approx = scale * value;
        float diff = x[j] - approx;
        double square = (double)diff * diff;
        error += square;
    }
    return error;
}

/* Scale codes s in 0..top mean the factor base + step·s on the super-block scale. */
struct scale_codes {
    float base, step;
    int top;
};

static float scale_factor(const struct scale_codes *sc, int s) {
    float up = sc->step * (float)s;
    return sc->base + up;
}

/* A sub-block: `groups` codebook entries that share one scale. */
struct sub_block {
    int scale; /* code */
    int entry[8];
};

/* The scale codes worth trying for an ideal scale; none if d is 0. */
struct scale_range {
    int first, last;
};

static struct scale_range near_ideal(const struct scale_codes *sc, float d, float ideal) {
    enum { BELOW = 3, ABOVE = 2 };
    if (d == 0)
        return (struct scale_range){1, 0};
    float factor = fminf(ideal / d, scale_factor(sc, sc->top));
    int near = (int)lrintf((factor - sc->base) / sc->step);
    int first = near - BELOW, last = near + ABOVE;
    return (struct scale_range){first < 0 ? 0 : first, last > sc->top ? sc->top : last};
}

/* Tries the scale codes around `ideal` for x[groups · dim], keeps the best, returns its error. */
static double fit_sub_block(const struct codebook *cb, const struct scale_codes *sc, const float *x,
                            int groups, float d, float ideal, float shift, struct sub_block *out) {
    double best = DBL_MAX;
    struct scale_range range = near_ideal(sc, d, ideal);
    *out = (struct sub_block){0};
    for (int s = range.first; s <= range.last; s++) {
        struct sub_block trial = {.scale = s};
        float scale = d * scale_factor(sc, s);
        double error = 0;
        for (int g = 0; g < groups; g++)
            error += fit_entry(cb, x + g * cb->dim, scale, shift, &trial.entry[g]);
        if (error < best) {
            best = error;
            *out = trial;
        }
    }
    return best;
}

/* Strips the signs of 8 weights: bit j of the result is set where x[j] was negative. With `even`
 * only even numbers of minus signs can be stored, so the weight that matters least may have to take
 * the wrong sign; its magnitude is then negative. */
static uint8_t strip_signs(float x[8], bool even) {
    uint8_t signs = 0;
    int least = 0, count = 0;
    for (int j = 0; j < 8; j++) {
        if (x[j] < 0) {
            signs |= (uint8_t)(1 << j);
            x[j] = -x[j];
            count++;
        }
        if (x[j] < x[least])
            least = j;
    }
    if (even && count % 2 == 1) {
        signs ^= (uint8_t)(1 << least);
        x[least] = -x[least];
    }
    return signs;
}

/* The signed codebook types, IQ2 and IQ3, after fitting: 256 / sub_len sub-blocks. */
struct signed_fit {
    uint8_t signs[32]; /* of each 8 weights */
    struct sub_block sub[16];
};

static void fit_signed(const struct codebook *cb, const struct scale_codes *sc, const float *w,
                       int sub_len, bool even, uint8_t *d_out, struct signed_fit *f) {
    float x[256], ideal[16], ideal_max = 0;
    const float top_level = (float)cb->levels[cb->n_levels - 1];
    memcpy(x, w, sizeof x);
    for (int g = 0; g < 32; g++)
        f->signs[g] = strip_signs(x + 8 * g, even);
    for (int s = 0; s < 256 / sub_len; s++) {
        ideal[s] = fabsf(assay_signed_max(w + s * sub_len, sub_len)) / top_level;
        ideal_max = fmaxf(ideal_max, ideal[s]);
    }
    float d = assay_store_half(d_out, ideal_max / scale_factor(sc, sc->top));
    for (int s = 0; s < 256 / sub_len; s++)
        fit_sub_block(cb, sc, x + s * sub_len, sub_len / cb->dim, d, ideal[s], 0, &f->sub[s]);
}

static const struct scale_codes iq2_scales = {0.125f, 0.25f, 15};
static const struct scale_codes iq3_xxs_scales = {0.25f, 0.5f, 15};
static const struct scale_codes iq3_s_scales = {1, 2, 15};
static const struct scale_codes iq1_scales = {1, 2, 7};

/* Four groups of seven sign bits and a scale, as IQ2_XXS and IQ3_XXS keep them. */
static uint32_t pack_signs_scale(const uint8_t signs[4], int scale) {
    uint32_t v = (uint32_t)scale << 28;
    for (int l = 0; l < 4; l++)
        v |= (uint32_t)(signs[l] & 127) << 7 * l;
    return v;
}

void assay_quantise_iq2_xxs(const float *w, uint8_t *block) {
    struct signed_fit f;
    fit_signed(&iq2_xxs, &iq2_scales, w, 32, true, block, &f);
    for (int s = 0; s < 8; s++) {
        uint8_t *p = block + 2 + 8 * s;
        for (int l = 0; l < 4; l++)
            p[l] = (uint8_t)f.sub[s].entry[l];
        assay_store_le32(p + 4, pack_signs_scale(f.signs + 4 * s, f.sub[s].scale));
    }
}

void assay_quantise_iq2_xs(const float *w, uint8_t *block) {
    struct signed_fit f;
    fit_signed(&iq2_xs, &iq2_scales, w, 16, true, block, &f);
    for (int g = 0; g < 32; g++)
        assay_store_le16(block + 2 + 2 * g,
                         (uint16_t)(f.sub[g / 2].entry[g % 2] | (f.signs[g] & 127) << 9));
    for (int s = 0; s < 8; s++)
        block[66 + s] = (uint8_t)(f.sub[2 * s].scale | f.sub[2 * s + 1].scale << 4);
}

void assay_quantise_iq2_s(const float *w, uint8_t *block) {
    struct signed_fit f;
    fit_signed(&iq2_s, &iq2_scales, w, 16, false, block, &f);
    memset(block + 66, 0, 8);
    for (int g = 0; g < 32; g++) {
        int entry = f.sub[g / 2].entry[g % 2];
        block[2 + g] = (uint8_t)entry;
        block[34 + g] = f.signs[g];
        block[66 + g / 4] |= (uint8_t)((entry >> 8) << 2 * (g % 4));
    }
    for (int s = 0; s < 8; s++)
        block[74 + s] = (uint8_t)(f.sub[2 * s].scale | f.sub[2 * s + 1].scale << 4);
}

void assay_quantise_iq3_xxs(const float *w, uint8_t *block) {
    struct signed_fit f;
    fit_signed(&iq3_xxs, &iq3_xxs_scales, w, 32, true, block, &f);
    for (int s = 0; s < 8; s++) {
        for (int l = 0; l < 8; l++)
            block[2 + 8 * s + l] = (uint8_t)f.sub[s].entry[l];
        assay_store_le32(block + 66 + 4 * s, pack_signs_scale(f.signs + 4 * s, f.sub[s].scale));
    }
}

void assay_quantise_iq3_s(const float *w, uint8_t *block) {
    struct signed_fit f;
    fit_signed(&iq3_s, &iq3_s_scales, w, 32, false, block, &f);
    memset(block + 66, 0, 8);
    memcpy(block + 74, f.signs, 32);
    for (int s = 0; s < 8; s++)
        for (int l = 0; l < 8; l++) {
            block[2 + 8 * s + l] = (uint8_t)f.sub[s].entry[l];
            block[66 + s] |= (uint8_t)((f.sub[s].entry[l] >> 8) << l);
        }
    for (int s = 0; s < 4; s++)
        block[106 + s] = (uint8_t)(f.sub[2 * s].scale | f.sub[2 * s + 1].scale << 4);
}

#define IQ1_DELTA 0.125f

/* A first guess at the scale of ternary weights: entries are mostly ±1 where weights are above
 * average, so the scale is somewhat more than the mean magnitude. The search does the rest. */
static float iq1_ideal(const float *x, int n) {
    float sum = 0;
    for (int i = 0; i < n; i++)
        sum += fabsf(x[i]);
    return 1.5f * sum / (float)n;
}

/* d such that the largest of the ideal scales has the largest code. */
static float iq1_super_scale(const float *w, int sub_len, float *ideal) {
    float ideal_max = 0;
    for (int s = 0; s < 256 / sub_len; s++) {
        ideal[s] = iq1_ideal(w + s * sub_len, sub_len);
        ideal_max = fmaxf(ideal_max, ideal[s]);
    }
    return ideal_max / scale_factor(&iq1_scales, iq1_scales.top);
}

void assay_quantise_iq1_s(const float *w, uint8_t *block) {
    float ideal[8];
    float d = assay_store_half(block, iq1_super_scale(w, 32, ideal));
    for (int s = 0; s < 8; s++) {
        struct sub_block up, down;
        const float *x = w + 32 * s;
        double e_up = fit_sub_block(&iq1, &iq1_scales, x, 4, d, ideal[s], IQ1_DELTA, &up);
        double e_down = fit_sub_block(&iq1, &iq1_scales, x, 4, d, ideal[s], -IQ1_DELTA, &down);
        const struct sub_block *best = e_down < e_up ? &down : &up;
        uint16_t high = (uint16_t)(best->scale << 12 | (e_down < e_up) << 15);
        for (int l = 0; l < 4; l++) {
            block[2 + 4 * s + l] = (uint8_t)best->entry[l];
            high |= (uint16_t)((best->entry[l] >> 8) << 3 * l);
        }
        assay_store_le16(block + 34 + 2 * s, high);
    }
}

/* Two groups of eight share a scale; each picks its own shift, of which down[] tells the sign. */
static void fit_iq1_m(const float *x, float d, float ideal, struct sub_block *out, bool down[2]) {
    double best = DBL_MAX;
    struct scale_range range = near_ideal(&iq1_scales, d, ideal);
    *out = (struct sub_block){0};
    down[0] = down[1] = false;
    for (int s = range.first; s <= range.last; s++) {
        struct sub_block trial = {.scale = s};
        bool trial_down[2];
        float scale = d * scale_factor(&iq1_scales, s);
        double error = 0;
        for (int g = 0; g < 2; g++) {
            int up_entry, down_entry;
            double e_up = fit_entry(&iq1, x + 8 * g, scale, IQ1_DELTA, &up_entry);
            double e_down = fit_entry(&iq1, x + 8 * g, scale, -IQ1_DELTA, &down_entry);
            trial_down[g] = e_down < e_up;
            trial.entry[g] = trial_down[g] ? down_entry : up_entry;
            error += fmin(e_up, e_down);
        }
        if (error < best) {
            best = error;
            *out = trial;
            memcpy(down, trial_down, sizeof trial_down);
        }
    }
}

void assay_quantise_iq1_m(const float *w, uint8_t *block) {
    float ideal[16];
    uint8_t d_bytes[2];
    float d = assay_store_half(d_bytes, iq1_super_scale(w, 16, ideal));
    uint16_t scales[4];
    memset(block + 32, 0, 16);
    for (int i = 0; i < 4; i++) /* the binary16 scale lies in the top four bits of each word */
        scales[i] = (uint16_t)((d_bytes[i / 2] >> 4 * (i % 2) & 15) << 12);
    for (int s = 0; s < 16; s++) {
        struct sub_block fit;
        bool down[2];
        fit_iq1_m(w + 16 * s, d, ideal[s], &fit, down);
        scales[s / 4] |= (uint16_t)(fit.scale << 3 * (s % 4));
        for (int g = 0; g < 2; g++) {
            block[2 * s + g] = (uint8_t)fit.entry[g];
            block[32 + s] |= (uint8_t)((fit.entry[g] >> 8 | down[g] << 3) << 4 * g);
        }
    }
    for (int i = 0; i < 4; i++)
        assay_store_le16(block + 48 + 2 * i, scales[i]);
}

/* Code of the IQ4 level nearest to x / scale. */
static uint8_t iq4_code(float x, float scale) {
    if (scale == 0)
        return 0;
    float v = x / scale;
    uint8_t code = 0;
    while (code < 15 &&
           2 * v > (float)(assay_ref_iq4_levels[code] + assay_ref_iq4_levels[code + 1]))
        code++;
    return code;
}

static void iq4_codes(const float *x, float scale, uint8_t out[16]) {
    for (int j = 0; j < 16; j++)
        out[j] = (uint8_t)(iq4_code(x[j], scale) | iq4_code(x[j + 16], scale) << 4);
}

/* The largest weight becomes the largest level, -127. */
void assay_quantise_iq4_nl(const float *w, uint8_t *block) {
    float d = assay_store_half(block, assay_signed_max(w, 32) / (float)assay_ref_iq4_levels[0]);
    iq4_codes(w, d, block + 2);
}

void assay_quantise_iq4_xs(const float *w, uint8_t *block) {
    float ideal[8];
    uint16_t high = 0;
    for (int s = 0; s < 8; s++)
        ideal[s] = assay_signed_max(w + 32 * s, 32) / (float)assay_ref_iq4_levels[0];
    float d = assay_store_half(block, assay_signed_max(ideal, 8) / -32);
    memset(block + 4, 0, 4);
    for (int s = 0; s < 8; s++) {
        int code = assay_nearest_code(ideal[s], d, -32, 31);
        iq4_codes(w + 32 * s, d * (float)code, block + 8 + 16 * s);
        block[4 + s / 2] |= (uint8_t)(((code + 32) & 15) << 4 * (s % 2));
        high |= (uint16_t)((code + 32) >> 4 << 2 * s);
    }
    assay_store_le16(block + 2, high);
}
