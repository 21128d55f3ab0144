/* What the files of the quantiser share. Each quantiser turns block_len weights into one block. */
#ifndef ASSAY_DATASETS_QUANTISE_INTERNAL_H
#define ASSAY_DATASETS_QUANTISE_INTERNAL_H

#include <math.h>
#include <stdint.h>

#include "ref/half.h"

typedef void (*assay_quantise_fn)(const float *w, uint8_t *block);

void assay_quantise_q2_k(const float *w, uint8_t *block);
void assay_quantise_q3_k(const float *w, uint8_t *block);
void assay_quantise_q4_k(const float *w, uint8_t *block);
void assay_quantise_q5_k(const float *w, uint8_t *block);
void assay_quantise_q6_k(const float *w, uint8_t *block);
void assay_quantise_q8_k(const float *w, uint8_t *block);

void assay_quantise_iq1_s(const float *w, uint8_t *block);
void assay_quantise_iq1_m(const float *w, uint8_t *block);
void assay_quantise_iq2_xxs(const float *w, uint8_t *block);
void assay_quantise_iq2_xs(const float *w, uint8_t *block);
void assay_quantise_iq2_s(const float *w, uint8_t *block);
void assay_quantise_iq3_xxs(const float *w, uint8_t *block);
void assay_quantise_iq3_s(const float *w, uint8_t *block);
void assay_quantise_iq4_nl(const float *w, uint8_t *block);
void assay_quantise_iq4_xs(const float *w, uint8_t *block);

static inline void assay_store_le16(uint8_t *p, uint16_t v) {
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void assay_store_le32(uint8_t *p, uint32_t v) {
    assay_store_le16(p, (uint16_t)v);
    assay_store_le16(p + 2, (uint16_t)(v >> 16));
}

/* Stores a number as binary16 and returns the value that decoders will see. Beyond the range it
 * saturates to ±65504, so that a scale is always finite. */
static inline float assay_store_half(uint8_t *p, float v) {
    uint16_t h = assay_ref_to_fp16(fminf(fmaxf(v, -65504), 65504));
    assay_store_le16(p, h);
    return assay_ref_from_fp16(h);
}

/* The code nearest to x / step in [lo, hi]; 0, which must be in it, if step is 0. */
static inline int assay_nearest_code(float x, float step, int lo, int hi) {
    if (step == 0)
        return 0;
    float v = x / step;
    if (!(v > (float)lo))
        return lo;
    if (v > (float)hi)
        return hi;
    return (int)lrintf(v);
}

/* The element of largest magnitude, with its sign. */
static inline float assay_signed_max(const float *w, int n) {
    float best = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(w[i]) > fabsf(best))
            best = w[i];
    return best;
}

#endif
