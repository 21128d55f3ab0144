/* Decoders of the types with one scale (and offset) per block, and of the small-float types. */
#include <math.h>

#include "blocks.h"
#include "decode.h"
#include "half.h"

/* E2M1 values times two; the block scales carry the factor 1/2. */
static const int8_t fp4_times_2[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static const int8_t iq4_codebook[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                        1,    13,   25,  38,  53,  69,  89,  113};

/* The 32 codes of a block of 16 bytes. */
static inline void unpack_nibbles(const uint8_t qs[16], int8_t q[32]) {
    for (int i = 0; i < 16; i++) {
        q[i] = qs[i] & 15;
        q[16 + i] = (int8_t)(qs[i] >> 4);
    }
}

/* Adds the fifth bit of each code. */
static inline void add_fifth_bits(uint32_t qh, int8_t q[32]) {
    for (int i = 0; i < 32; i++)
        q[i] = (int8_t)((uint8_t)q[i] | (qh >> i & 1) << 4);
}

static inline void scale_codes(const int8_t *restrict q, int n, float d, float *restrict out) {
    for (int i = 0; i < n; i++)
        out[i] = (float)q[i] * d;
}

static inline void scale_offset_codes(const int8_t q[restrict 32], float d, float m,
                                      float out[restrict 32]) {
    for (int i = 0; i < 32; i++)
        out[i] = (float)q[i] * d + m;
}

void assay_decode_q1_0(const void *blocks, size_t nblocks, float *out) {
    const struct assay_block_q1_0 *b = blocks;
    for (; nblocks; nblocks--, b++, out += 128) {
        float value[2];
        value[1] = assay_f16_to_f32(b->d);
        value[0] = -value[1];
        for (int i = 0; i < 16; i++)
            for (int j = 0; j < 8; j++)
                out[8 * i + j] = value[b->qs[i] >> j & 1];
    }
}

void assay_decode_q2_0(const void *blocks, size_t nblocks, float *out) {
    const struct assay_block_q2_0 *b = blocks;
    for (; nblocks; nblocks--, b++, out += 64) {
        int8_t q[64];
        for (int i = 0; i < 16; i++)
            for (int j = 0; j < 4; j++)
                q[4 * i + j] = (int8_t)((b->qs[i] >> 2 * j & 3) - 1);
        scale_codes(q, 64, assay_f16_to_f32(b->d), out);
    }
}

void assay_decode_q4_0(const void *blocks, size_t nblocks, float *out) {
    const struct assay_block_q4_0 *b = blocks;
    for (; nblocks; nblocks--, b++, out += 32) {
        int8_t q[32];
        unpack_nibbles(b->qs, q);
        for (int i = 0; i < 32; i++)
            q[i] = (int8_t)(q[i] - 8);
        scale_codes(q, 32, assay_f16_to_f32(b->d), out);
    }
}

void assay_decode_q4_1(const void *blocks, size_t nblocks, float *out) {
    const struct assay_block_q4_1 *b = blocks;
    for (; nblocks; nblocks--, b++, out += 32) {
        int8_t q[32];
        unpack_nibbles(b->qs, q);
        scale_offset_codes(q, assay_f16_to_f32(b->d), assay_f16_to_f32(b->m), out);
    }
}

void assay_decode_q5_0(const void *blocks, size_t nblocks, float *out) {
    const struct assay_block_q5_0 *b = blocks;
    for (; nblocks; nblocks--, b++, out += 32) {
        int8_t q[32];
        unpack_nibbles(b->qs, q);
        add_fifth_bits(b->qh, q);
        for (int i = 0; i < 32; i++)
            q[i] = (int8_t)(q[i] - 16);
        scale_codes(q, 32, assay_f16_to_f32(b->d), out);
    }
}

void assay_decode_q5_1(const void *blocks, size_t nblocks, float *out) {
    const struct assay_block_q5_1 *b = blocks;
    for (; nblocks; nblocks--, b++, out += 32) {
        int8_t q[32];
        unpack_nibbles(b->qs, q);
        add_fifth_bits(b->qh, q);
        scale_offset_codes(q, assay_f16_to_f32(b->d), assay_f16_to_f32(b->m), out);
    }
}

void assay_decode_q8_0(const void *blocks, size_t nblocks, float *out) {
    const struct assay_block_q8_0 *b = blocks;
    for (; nblocks; nblocks--, b++, out += 32)
        scale_codes(b->qs, 32, assay_f16_to_f32(b->d), out);
}

void assay_decode_iq4_nl(const void *blocks, size_t nblocks, float *out) {
    const struct assay_block_iq4_nl *b = blocks;
    for (; nblocks; nblocks--, b++, out += 32) {
        float d = assay_f16_to_f32(b->d);
        float scaled[16];
        scale_codes(iq4_codebook, 16, d, scaled);
        for (int i = 0; i < 16; i++) {
            out[i] = scaled[b->qs[i] & 15];
            out[16 + i] = scaled[b->qs[i] >> 4];
        }
    }
}

void assay_decode_iq4_xs(const void *blocks, size_t nblocks, float *out) {
    const struct assay_block_iq4_xs *b = blocks;
    for (; nblocks; nblocks--, b++) {
        float d = assay_f16_to_f32(b->d);
        for (int j = 0; j < 8; j++, out += 32) {
            int low = b->scales_l[j / 2] >> 4 * (j % 2) & 15;
            int high = b->scales_h >> 2 * j & 3;
            float scaled[16];
            scale_codes(iq4_codebook, 16, d * (float)((low | high << 4) - 32), scaled);
            for (int i = 0; i < 16; i++) {
                out[i] = scaled[b->qs[16 * j + i] & 15];
                out[16 + i] = scaled[b->qs[16 * j + i] >> 4];
            }
        }
    }
}

void assay_decode_mxfp4(const void *blocks, size_t nblocks, float *out) {
    const struct assay_block_mxfp4 *b = blocks;
    for (; nblocks; nblocks--, b++, out += 32) {
        float scaled[16];
        scale_codes(fp4_times_2, 16, ldexpf(1.0f, b->e - 128), scaled);
        for (int i = 0; i < 16; i++) {
            out[i] = scaled[b->qs[i] & 15];
            out[16 + i] = scaled[b->qs[i] >> 4];
        }
    }
}

/* Half the value of an unsigned E4M3 number (bit 7 ignored); the NaN code 0x7f counts as zero. */
static inline float half_ue4m3(uint8_t v) {
    uint32_t exponent = v >> 3 & 15, fraction = v & 7;
    if (v == 0x7f)
        return 0.0f;
    if (exponent == 0)
        return (float)fraction * 0x1p-10f;
    return assay_float_from_bits((exponent + 127 - 8) << 23 | fraction << 20);
}

void assay_decode_nvfp4(const void *blocks, size_t nblocks, float *out) {
    const struct assay_block_nvfp4 *b = blocks;
    for (; nblocks; nblocks--, b++) {
        for (int j = 0; j < 4; j++, out += 16) {
            float scaled[16];
            scale_codes(fp4_times_2, 16, half_ue4m3(b->d[j]), scaled);
            for (int i = 0; i < 8; i++) {
                out[i] = scaled[b->qs[8 * j + i] & 15];
                out[8 + i] = scaled[b->qs[8 * j + i] >> 4];
            }
        }
    }
}

/* Digit n (most significant first) of n bytes, minus one. A byte is the fraction byte/256 in base
 * 3: multiplying by 3^n modulo 256 drops the digits before, three times the rest carries out the
 * digit itself. */
static inline void ternary_digit(const uint8_t *restrict bytes, int count, int n,
                                 int8_t *restrict q) {
    static const uint8_t power[5] = {1, 3, 9, 27, 81};
    for (int i = 0; i < count; i++) {
        uint8_t rest = (uint8_t)(bytes[i] * power[n]);
        q[i] = (int8_t)((rest * 3 >> 8) - 1);
    }
}

void assay_decode_tq1_0(const void *blocks, size_t nblocks, float *out) {
    const struct assay_block_tq1_0 *b = blocks;
    for (; nblocks; nblocks--, b++, out += 256) {
        int8_t q[256];
        for (int n = 0; n < 5; n++) {
            ternary_digit(b->qs, 32, n, q + 32 * n);
            ternary_digit(b->qs + 32, 16, n, q + 160 + 16 * n);
        }
        for (int n = 0; n < 4; n++)
            ternary_digit(b->qh, 4, n, q + 240 + 4 * n);
        scale_codes(q, 256, assay_f16_to_f32(b->d), out);
    }
}

void assay_decode_tq2_0(const void *blocks, size_t nblocks, float *out) {
    const struct assay_block_tq2_0 *b = blocks;
    for (; nblocks; nblocks--, b++, out += 256) {
        int8_t q[256];
        for (int half = 0; half < 2; half++)
            for (int j = 0; j < 4; j++)
                for (int i = 0; i < 32; i++)
                    q[128 * half + 32 * j + i] = (int8_t)((b->qs[32 * half + i] >> 2 * j & 3) - 1);
        scale_codes(q, 256, assay_f16_to_f32(b->d), out);
    }
}
