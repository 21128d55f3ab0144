/* Decoders of the K-quants: unpack all codes of a super-block, then scale its sub-blocks. */
#include "blocks.h"
#include "decode.h"
#include "half.h"

static inline void scale_codes(const int8_t *restrict q, int n, float d, float *restrict out) {
    for (int i = 0; i < n; i++)
        out[i] = d * (float)q[i];
}

static inline void scale_less_min(const int8_t *restrict q, int n, float d, float m,
                                  float *restrict out) {
    for (int i = 0; i < n; i++)
        out[i] = d * (float)q[i] - m;
}

/* The layout of 2-bit codes that q2_k and q3_k share. */
static inline void unpack_pairs(const uint8_t qs[64], int8_t q[256]) {
    for (int half = 0; half < 2; half++)
        for (int j = 0; j < 4; j++)
            for (int i = 0; i < 32; i++)
                q[128 * half + 32 * j + i] = (int8_t)(qs[32 * half + i] >> 2 * j & 3);
}

/* The layout of nibbles that q4_k and q5_k share. */
static inline void unpack_nibbles(const uint8_t qs[128], int8_t q[256]) {
    for (int j = 0; j < 4; j++)
        for (int i = 0; i < 32; i++) {
            q[64 * j + i] = qs[32 * j + i] & 15;
            q[64 * j + 32 + i] = (int8_t)(qs[32 * j + i] >> 4);
        }
}

void assay_decode_q2_k(const void *blocks, size_t nblocks, float *out) {
    const struct assay_block_q2_k *b = blocks;
    for (; nblocks; nblocks--, b++, out += 256) {
        float d = assay_f16_to_f32(b->d), dmin = assay_f16_to_f32(b->dmin);
        int8_t q[256];
        unpack_pairs(b->qs, q);
        for (int j = 0; j < 16; j++)
            scale_less_min(q + 16 * j, 16, d * (float)(b->scales[j] & 15),
                           dmin * (float)(b->scales[j] >> 4), out + 16 * j);
    }
}

void assay_decode_q3_k(const void *blocks, size_t nblocks, float *out) {
    const struct assay_block_q3_k *b = blocks;
    for (; nblocks; nblocks--, b++, out += 256) {
        float d = assay_f16_to_f32(b->d);
        int8_t q[256], s[16];
        unpack_pairs(b->qs, q);
        for (int j = 0; j < 8; j++)
            for (int i = 0; i < 32; i++)
                q[32 * j + i] = (int8_t)((q[32 * j + i] | (b->hmask[i] >> j & 1) << 2) - 4);
        assay_unpack_q3_k_scales(b->scales, s);
        for (int j = 0; j < 16; j++)
            scale_codes(q + 16 * j, 16, d * (float)s[j], out + 16 * j);
    }
}

/* Scales eight sub-blocks of 32 with 6-bit scales and mins. */
static inline void scale_k4(const uint8_t scales[12], float d, float dmin, const int8_t q[256],
                            float *out) {
    uint8_t s[8], m[8];
    assay_unpack_k4_scales(scales, s, m);
    for (int j = 0; j < 8; j++)
        scale_less_min(q + 32 * j, 32, d * (float)s[j], dmin * (float)m[j], out + 32 * j);
}

void assay_decode_q4_k(const void *blocks, size_t nblocks, float *out) {
    const struct assay_block_q4_k *b = blocks;
    for (; nblocks; nblocks--, b++, out += 256) {
        int8_t q[256];
        unpack_nibbles(b->qs, q);
        scale_k4(b->scales, assay_f16_to_f32(b->d), assay_f16_to_f32(b->dmin), q, out);
    }
}

void assay_decode_q5_k(const void *blocks, size_t nblocks, float *out) {
    const struct assay_block_q5_k *b = blocks;
    for (; nblocks; nblocks--, b++, out += 256) {
        int8_t q[256];
        unpack_nibbles(b->qs, q);
        for (int j = 0; j < 8; j++)
            for (int i = 0; i < 32; i++)
                q[32 * j + i] = (int8_t)(q[32 * j + i] | (b->qh[i] >> j & 1) << 4);
        scale_k4(b->scales, assay_f16_to_f32(b->d), assay_f16_to_f32(b->dmin), q, out);
    }
}

void assay_decode_q6_k(const void *blocks, size_t nblocks, float *out) {
    const struct assay_block_q6_k *b = blocks;
    for (; nblocks; nblocks--, b++, out += 256) {
        float d = assay_f16_to_f32(b->d);
        int8_t q[256];
        for (int half = 0; half < 2; half++)
            for (int j = 0; j < 4; j++)
                for (int i = 0; i < 32; i++) {
                    int low = b->ql[64 * half + 32 * (j % 2) + i] >> 4 * (j / 2) & 15;
                    int high = b->qh[32 * half + i] >> 2 * j & 3;
                    q[128 * half + 32 * j + i] = (int8_t)((low | high << 4) - 32);
                }
        for (int j = 0; j < 16; j++)
            scale_codes(q + 16 * j, 16, d * (float)b->scales[j], out + 16 * j);
    }
}

void assay_decode_q8_k(const void *blocks, size_t nblocks, float *out) {
    const struct assay_block_q8_k *b = blocks;
    for (; nblocks; nblocks--, b++, out += 256)
        scale_codes(b->qs, 256, b->d, out);
}
