/* Plain rounding quantisers of the K-quants: 256 weights, sub-block scales that are themselves
 * quantised against one or two binary16 super-block scales. */
#include <string.h>

#include "quantise_internal.h"

/* Quantised scales and minima of the affine types: w = d·sc·q - dmin·m, all factors >= 0. */
struct affine {
    float d, dmin;
    uint8_t sc[16], m[16];
};

/* n sub-blocks of 256 / n weights; codes 0..top, scales and minima 0..scale_top. */
static void fit_affine(const float *w, int n, int top, int scale_top, uint8_t *d_out,
                       uint8_t *dmin_out, struct affine *a) {
    float step[16], min[16];
    float step_max = 0, min_max = 0;
    for (int s = 0; s < n; s++) {
        const float *x = w + s * (256 / n);
        float lo = 0, hi = 0; /* the minimum can only be subtracted, so the range includes zero */
        for (int i = 0; i < 256 / n; i++) {
            lo = fminf(lo, x[i]);
            hi = fmaxf(hi, x[i]);
        }
        step[s] = (hi - lo) / (float)top;
        min[s] = -lo;
        step_max = fmaxf(step_max, step[s]);
        min_max = fmaxf(min_max, min[s]);
    }
    a->d = assay_store_half(d_out, step_max / (float)scale_top);
    a->dmin = assay_store_half(dmin_out, min_max / (float)scale_top);
    for (int s = 0; s < n; s++) {
        a->sc[s] = (uint8_t)assay_nearest_code(step[s], a->d, 0, scale_top);
        a->m[s] = (uint8_t)assay_nearest_code(min[s], a->dmin, 0, scale_top);
    }
}

static int affine_code(const struct affine *a, int s, float w, int top) {
    float min = a->dmin * (float)a->m[s];
    return assay_nearest_code(w + min, a->d * (float)a->sc[s], 0, top);
}

/* Quantised scales of the symmetric types: w = d·sc·q. Both the largest weight of a sub-block and
 * the largest sub-block scale become the most negative code, which has no positive twin. */
struct symmetric {
    float d;
    int8_t sc[16];
};

static void fit_symmetric(const float *w, int half, int scale_half, uint8_t *d_out,
                          struct symmetric *y) {
    float step[16];
    for (int s = 0; s < 16; s++)
        step[s] = assay_signed_max(w + 16 * s, 16) / (float)-half;
    y->d = assay_store_half(d_out, assay_signed_max(step, 16) / (float)-scale_half);
    for (int s = 0; s < 16; s++)
        y->sc[s] = (int8_t)assay_nearest_code(step[s], y->d, -scale_half, scale_half - 1);
}

static int symmetric_code(const struct symmetric *y, int s, float w, int half) {
    return assay_nearest_code(w, y->d * (float)y->sc[s], -half, half - 1);
}

/* Q2_K and Q3_K keep 2-bit codes so: weight 128n + 32j + l in byte 32n + l, bits 2j and 2j + 1. */
static void put_2bit(uint8_t *qs, int i, int q) {
    qs[i / 128 * 32 + i % 32] |= (uint8_t)(q << 2 * (i % 128 / 32));
}

void assay_quantise_q2_k(const float *w, uint8_t *block) {
    struct affine a;
    memset(block, 0, 84);
    fit_affine(w, 16, 3, 15, block + 80, block + 82, &a);
    for (int s = 0; s < 16; s++)
        block[s] = (uint8_t)(a.sc[s] | a.m[s] << 4);
    for (int i = 0; i < 256; i++)
        put_2bit(block + 16, i, affine_code(&a, i / 16, w[i], 3));
}

void assay_quantise_q3_k(const float *w, uint8_t *block) {
    struct symmetric y;
    uint8_t *hmask = block, *qs = block + 32, *scales = block + 96;
    memset(block, 0, 110);
    fit_symmetric(w, 4, 32, block + 108, &y);
    for (int s = 0; s < 16; s++) {
        int code = y.sc[s] + 32;
        scales[s % 8] |= (uint8_t)((code & 15) << 4 * (s / 8));
        scales[8 + s % 4] |= (uint8_t)((code >> 4) << 2 * (s / 4));
    }
    for (int i = 0; i < 256; i++) {
        int q = symmetric_code(&y, i / 16, w[i], 4) + 4;
        put_2bit(qs, i, q & 3);
        hmask[i % 32] |= (uint8_t)((q >> 2) << i / 32);
    }
}

/* 8 scales and 8 minima of 6 bits in 12 bytes: the last four have their high bits on top of the
 * first four. */
static void pack_6bit(const struct affine *a, uint8_t out[12]) {
    for (int s = 0; s < 4; s++) {
        out[s] = (uint8_t)(a->sc[s] | (a->sc[s + 4] >> 4) << 6);
        out[s + 4] = (uint8_t)(a->m[s] | (a->m[s + 4] >> 4) << 6);
        out[s + 8] = (uint8_t)((a->sc[s + 4] & 15) | (a->m[s + 4] & 15) << 4);
    }
}

void assay_quantise_q4_k(const float *w, uint8_t *block) {
    struct affine a;
    memset(block, 0, 144);
    fit_affine(w, 8, 15, 63, block, block + 2, &a);
    pack_6bit(&a, block + 4);
    for (int i = 0; i < 256; i++) {
        int q = affine_code(&a, i / 32, w[i], 15);
        block[16 + i / 64 * 32 + i % 32] |= (uint8_t)(q << 4 * (i % 64 / 32));
    }
}

void assay_quantise_q5_k(const float *w, uint8_t *block) {
    struct affine a;
    memset(block, 0, 176);
    fit_affine(w, 8, 31, 63, block, block + 2, &a);
    pack_6bit(&a, block + 4);
    for (int i = 0; i < 256; i++) {
        int q = affine_code(&a, i / 32, w[i], 31);
        block[16 + i % 32] |= (uint8_t)((q >> 4) << i / 32);
        block[48 + i / 64 * 32 + i % 32] |= (uint8_t)((q & 15) << 4 * (i % 64 / 32));
    }
}

void assay_quantise_q6_k(const float *w, uint8_t *block) {
    struct symmetric y;
    memset(block, 0, 210);
    fit_symmetric(w, 32, 128, block + 208, &y);
    for (int s = 0; s < 16; s++)
        block[192 + s] = (uint8_t)y.sc[s];
    for (int i = 0; i < 256; i++) {
        int q = symmetric_code(&y, i / 16, w[i], 32) + 32;
        int n = i / 128, j = i % 128 / 32, l = i % 32;
        block[64 * n + 32 * (j & 1) + l] |= (uint8_t)((q & 15) << 4 * (j >> 1));
        block[128 + 32 * n + l] |= (uint8_t)((q >> 4) << 2 * j);
    }
}

void assay_quantise_q8_k(const float *w, uint8_t *block) {
    float d = assay_signed_max(w, 256) / -127;
    assay_store_le32(block, assay_ref_float_bits(d));
    for (int s = 0; s < 16; s++) {
        int sum = 0;
        for (int i = 16 * s; i < 16 * s + 16; i++) {
            int q = assay_nearest_code(w[i], d, -127, 127);
            block[4 + i] = (uint8_t)q;
            sum += q;
        }
        assay_store_le16(block + 260 + 2 * s, (uint16_t)sum);
    }
}
