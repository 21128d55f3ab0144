/* Decoders of the codebook types IQ1, IQ2 and IQ3. */
#include <string.h>

#include "blocks.h"
#include "decode.h"
#include "half.h"
#include "iq_tables.h"

/* Eight codebook values with their signs (bit j set: value j is negative), scaled. */
static inline void put8(const int8_t g[8], uint8_t signs, float d, float *restrict out) {
    for (int j = 0; j < 8; j++) {
        int minus = signs >> j & 1;
        out[j] = d * (float)((g[j] ^ -minus) + minus);
    }
}

/* Two entries of four. */
static inline void put4x2(const int8_t lo[4], const int8_t hi[4], uint8_t signs, float d,
                          float *restrict out) {
    int8_t g[8];
    memcpy(g, lo, 4);
    memcpy(g + 4, hi, 4);
    put8(g, signs, d, out);
}

/* An IQ1 entry, shifted. */
static inline void put_shifted(const int8_t g[8], bool negative, float d, float *restrict out) {
    float shift = negative ? -0.125f : 0.125f;
    for (int j = 0; j < 8; j++)
        out[j] = d * ((float)g[j] + shift);
}

void assay_decode_iq1_s(const void *blocks, size_t nblocks, float *out) {
    const struct assay_iq_tables *tab = assay_iq_tables();
    const struct assay_block_iq1_s *b = blocks;
    for (; nblocks; nblocks--, b++) {
        float d = assay_f16_to_f32(b->d);
        for (int i = 0; i < 8; i++) {
            unsigned qh = b->qh[i];
            float scale = d * (float)(2 * (qh >> 12 & 7) + 1);
            for (int l = 0; l < 4; l++, out += 8)
                put_shifted(tab->iq1[b->qs[4 * i + l] | (qh >> 3 * l & 7) << 8], qh >> 15, scale,
                            out);
        }
    }
}

void assay_decode_iq1_m(const void *blocks, size_t nblocks, float *out) {
    const struct assay_iq_tables *tab = assay_iq_tables();
    const struct assay_block_iq1_m *b = blocks;
    for (; nblocks; nblocks--, b++) {
        unsigned bits = (unsigned)b->scales[0] >> 12 | (unsigned)b->scales[1] >> 12 << 4 |
                        (unsigned)b->scales[2] >> 12 << 8 | (unsigned)b->scales[3] >> 12 << 12;
        float d = assay_f16_to_f32((uint16_t)bits);
        for (int i = 0; i < 16; i++) { /* 16 weights, two entries, one byte of qh */
            float scale = d * (float)(2 * (b->scales[i / 4] >> 3 * (i % 4) & 7) + 1);
            unsigned qh = b->qh[i];
            for (int l = 0; l < 2; l++, out += 8, qh >>= 4)
                put_shifted(tab->iq1[b->qs[2 * i + l] | (qh & 7) << 8], qh & 8, scale, out);
        }
    }
}

void assay_decode_iq2_xxs(const void *blocks, size_t nblocks, float *out) {
    const struct assay_iq_tables *tab = assay_iq_tables();
    const struct assay_block_iq2_xxs *b = blocks;
    for (; nblocks; nblocks--, b++) {
        float d = assay_f16_to_f32(b->d);
        for (int i = 0; i < 8; i++) {
            uint32_t word = b->group[i].signs_scale;
            float scale = d * (0.5f + (float)(word >> 28)) * 0.25f;
            for (int l = 0; l < 4; l++, out += 8)
                put8(tab->iq2_xxs[b->group[i].grid[l]], tab->signs[word >> 7 * l & 127], scale,
                     out);
        }
    }
}

/* The scale of 16 weights from a nibble of the byte for 32. */
static inline float iq2_scale(float d, uint8_t scales, int upper) {
    return d * (0.5f + (float)(scales >> (upper ? 4 : 0) & 15)) * 0.25f;
}

void assay_decode_iq2_xs(const void *blocks, size_t nblocks, float *out) {
    const struct assay_iq_tables *tab = assay_iq_tables();
    const struct assay_block_iq2_xs *b = blocks;
    for (; nblocks; nblocks--, b++) {
        float d = assay_f16_to_f32(b->d);
        for (int i = 0; i < 32; i++, out += 8) {
            unsigned q = b->qs[i];
            put8(tab->iq2_xs[q & 511], tab->signs[q >> 9],
                 iq2_scale(d, b->scales[i / 4], i / 2 % 2), out);
        }
    }
}

void assay_decode_iq2_s(const void *blocks, size_t nblocks, float *out) {
    const struct assay_iq_tables *tab = assay_iq_tables();
    const struct assay_block_iq2_s *b = blocks;
    for (; nblocks; nblocks--, b++) {
        float d = assay_f16_to_f32(b->d);
        for (int i = 0; i < 32; i++, out += 8) {
            unsigned high = b->qh[i / 4] >> 2 * (i % 4) & 3;
            put8(tab->iq2_s[b->qs[i] | high << 8], b->signs[i],
                 iq2_scale(d, b->scales[i / 4], i / 2 % 2), out);
        }
    }
}

void assay_decode_iq3_xxs(const void *blocks, size_t nblocks, float *out) {
    const struct assay_iq_tables *tab = assay_iq_tables();
    const struct assay_block_iq3_xxs *b = blocks;
    for (; nblocks; nblocks--, b++) {
        float d = assay_f16_to_f32(b->d);
        for (int i = 0; i < 8; i++) {
            uint32_t word = b->signs_scale[i];
            float scale = d * (0.5f + (float)(word >> 28)) * 0.5f;
            const uint8_t *qs = b->qs + 8 * i;
            for (int l = 0; l < 4; l++, out += 8)
                put4x2(tab->iq3_xxs[qs[2 * l]], tab->iq3_xxs[qs[2 * l + 1]],
                       tab->signs[word >> 7 * l & 127], scale, out);
        }
    }
}

void assay_decode_iq3_s(const void *blocks, size_t nblocks, float *out) {
    const struct assay_iq_tables *tab = assay_iq_tables();
    const struct assay_block_iq3_s *b = blocks;
    for (; nblocks; nblocks--, b++) {
        float d = assay_f16_to_f32(b->d);
        for (int i = 0; i < 32; i++, out += 8) {
            unsigned high = b->qh[i / 4] >> 2 * (i % 4) & 3;
            int s = b->scales[i / 8] >> 4 * (i / 4 % 2) & 15;
            put4x2(tab->iq3_s[b->qs[2 * i] | (high & 1) << 8],
                   tab->iq3_s[b->qs[2 * i + 1] | (high >> 1) << 8], b->signs[i],
                   d * (float)(1 + 2 * s), out);
        }
    }
}
