/* GEMV of the types whose blocks of 32 hold 16 bytes of nibbles under their own scale: Q4_0, Q4_1,
 * Q5_0, Q5_1, IQ4_NL and MXFP4. Four blocks a step: byte j of a block's 16 has weights j and 16 +
 * j, so two vectors of 64 weights, a block a 128-bit lane. */
#include "gemv.h"
#include "impl/blocks.h"
#include "kernels.h"
#include "nibbles.h"

enum nibble_type {
    NIBBLE_Q4_0,
    NIBBLE_Q4_1,
    NIBBLE_Q5_0,
    NIBBLE_Q5_1,
    NIBBLE_IQ4_NL,
    NIBBLE_MXFP4
};

enum { STEP = 4 }; /* blocks */

struct nibble_form {
    size_t bytes, qs; /* size of a block, offset of its nibbles */
    int offset;       /* code - offset = signed weight code */
    bool mins;        /* a binary16 min follows the scale */
    bool fifth;       /* the dword before the nibbles has a fifth bit of each code */
};

ASSAY_INLINE struct nibble_form nibble_form(enum nibble_type t) {
    const size_t bytes[] = {sizeof(struct assay_block_q4_0),   sizeof(struct assay_block_q4_1),
                            sizeof(struct assay_block_q5_0),   sizeof(struct assay_block_q5_1),
                            sizeof(struct assay_block_iq4_nl), sizeof(struct assay_block_mxfp4)};
    const int offset[] = {8, 0, 16, 0, NIBBLE_OFFSET, NIBBLE_OFFSET};
    return (struct nibble_form){
        .bytes = bytes[t],
        .qs = bytes[t] - 16,
        .offset = offset[t],
        .mins = t == NIBBLE_Q4_1 || t == NIBBLE_Q5_1,
        .fifth = t == NIBBLE_Q5_0 || t == NIBBLE_Q5_1,
    };
}

/* The bytes of a step: its first and its last 64, which overlap. */
struct step_bytes {
    __m512i first, last;
};

/* The place of byte `at` of a step for VPERMI2B. */
ASSAY_INLINE int step_place(struct nibble_form f, size_t at) {
    return (int)(at < 64 ? at : 64 + at - (STEP * f.bytes - 64));
}

/* `blocks` (at most STEP) exist; the bytes of the others read as zero. */
ASSAY_INLINE struct step_bytes step_load(struct nibble_form f, const uint8_t *p, size_t blocks) {
    const size_t last = STEP * f.bytes - 64;
    if (blocks == STEP)
        return (struct step_bytes){load512(p), load512(p + last)};
    size_t n = blocks * f.bytes;
    __mmask64 first = n >= 64 ? ~0ull : (1ull << n) - 1;
    __mmask64 rest = n > last ? (1ull << (n - last)) - 1 : 0;
    return (struct step_bytes){_mm512_maskz_loadu_epi8(first, p),
                               _mm512_maskz_loadu_epi8(rest, p + last)};
}

/* Places of a step's fields, computed once a product. */
struct step_places {
    __m512i nibbles, scales, mins, fifth;
};

ASSAY_INLINE struct step_places step_places(enum nibble_type t, struct nibble_form f) {
    uint8_t nibbles[64], fifth[64] = {0};
    uint8_t scale_bytes[64] = {0};
    uint16_t scale_words[32] = {0};
    for (size_t i = 0; i < 64; i++)
        nibbles[i] = (uint8_t)step_place(f, i / 16 * f.bytes + f.qs + i % 16);
    for (size_t i = 0; i < 16; i++) { /* a scale for the four lanes of a block */
        int place = step_place(f, i / 4 * f.bytes);
        scale_bytes[4 * i] = (uint8_t)place;
        scale_words[i] = (uint16_t)(place / 2);
        /* Low halves of the four dwords, then high halves. */
        fifth[i] = (uint8_t)step_place(f, i % 8 / 2 * f.bytes + f.qs - 4 + i / 8 * 2 + i % 2);
    }
    __m512i words = load512(scale_words);
    return (struct step_places){
        .nibbles = load512(nibbles),
        .scales = t == NIBBLE_MXFP4 ? load512(scale_bytes) : words,
        .mins = _mm512_add_epi16(words, _mm512_set1_epi16(1)),
        .fifth = load512(fifth),
    };
}

ASSAY_INLINE __m512 step_scales(enum nibble_type t, const struct step_places *at,
                                struct step_bytes s) {
    if (t == NIBBLE_MXFP4)
        return half_e8m0(
            _mm512_maskz_permutex2var_epi8(0x1111111111111111, s.first, at->scales, s.last));
    return _mm512_cvtph_ps(
        _mm512_castsi512_si256(_mm512_permutex2var_epi16(s.first, at->scales, s.last)));
}

/* The activations of a step for each row of x. */
struct step_acts {
    __m512i low[GEMV_MAX_M], high[GEMV_MAX_M]; /* columns 0…15 and 16…31 of each block */
    __m512i init[GEMV_MAX_M];
    __m512 d[GEMV_MAX_M], sums[GEMV_MAX_M]; /* scale, scale·Σx, alike in the lanes of a block */
};

ASSAY_INLINE struct step_acts step_acts(struct nibble_form f, const struct assay_act *act, size_t b,
                                        const int m) {
    const __m512i lane = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    struct step_acts x;
    for (int i = 0; i < m; i++) {
        const int8_t *q = act->q + (size_t)i * act->q_stride + 32 * b;
        __m512i v0 = load512(q), v1 = load512(q + 64);
        __m128 d = _mm_loadu_ps(act->d + (size_t)i * act->d_stride + b);
        x.low[i] = _mm512_shuffle_i64x2(v0, v1, 0x88);
        x.high[i] = _mm512_shuffle_i64x2(v0, v1, 0xdd);
        x.d[i] = _mm512_permutexvar_ps(lane, _mm512_castps128_ps512(d));
        if (f.offset) {
            __m512i o = _mm512_set1_epi8((char)f.offset), zero = _mm512_setzero_si512();
            x.init[i] = _mm512_sub_epi32(
                zero, _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(zero, o, x.low[i]), o, x.high[i]));
        } else {
            x.init[i] = _mm512_setzero_si512();
        }
        if (f.mins) {
            __m128i s = load128(act->sums + (size_t)i * act->sums_stride + 2 * b);
            s = _mm_madd_epi16(s, _mm_set1_epi16(1));
            x.sums[i] = _mm512_permutexvar_ps(
                lane, _mm512_castps128_ps512(_mm_mul_ps(_mm_cvtepi32_ps(s), d)));
        }
    }
    return x;
}

ASSAY_INLINE void nibble_step(enum nibble_type t, struct nibble_form f,
                              const struct step_places *at, const struct assay_cpu_args *a,
                              const struct gemv_rows *g, size_t b, size_t blocks, const int m,
                              __m512 sum[GEMV_MAX_M][GEMV_ROWS]) {
    const __m512i nibble = _mm512_set1_epi8(0x0f), bit4 = _mm512_set1_epi8(0x10);
    struct step_acts x = step_acts(f, a->act, b, m);
    ASSAY_UNROLL
    for (int r = 0; r < GEMV_ROWS; r++) {
        const uint8_t *p = g->row[r] + b * f.bytes;
        gemv_prefetch(a, p, STEP * f.bytes);
        struct step_bytes s = step_load(f, p, blocks);
        __m512i q = _mm512_permutex2var_epi8(s.first, at->nibbles, s.last);
        __m512i low = _mm512_and_si512(q, nibble);
        __m512i high = _mm512_and_si512(_mm512_srli_epi16(q, 4), nibble);
        if (t == NIBBLE_IQ4_NL) {
            low = iq4_values(low);
            high = iq4_values(high);
        } else if (t == NIBBLE_MXFP4) {
            low = fp4_values(low);
            high = fp4_values(high);
        }
        if (f.fifth) {
            __m128i bits =
                _mm512_castsi512_si128(_mm512_permutex2var_epi8(s.first, at->fifth, s.last));
            low = _mm512_mask_add_epi8(low, (uint64_t)_mm_cvtsi128_si64(bits), low, bit4);
            high = _mm512_mask_add_epi8(high, (uint64_t)_mm_extract_epi64(bits, 1), high, bit4);
        }
        __m512 d = step_scales(t, at, s);
        for (int i = 0; i < m; i++) {
            __m512i dot = _mm512_dpbusd_epi32(x.init[i], low, x.low[i]);
            dot = _mm512_dpbusd_epi32(dot, high, x.high[i]);
            sum[i][r] =
                _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_mul_ps(d, x.d[i]), sum[i][r]);
        }
        if (f.mins) {
            /* In one of the four lanes of a block. */
            __m512 mins = _mm512_cvtph_ps(_mm512_castsi512_si256(
                _mm512_maskz_permutex2var_epi16(0x1111, s.first, at->mins, s.last)));
            for (int i = 0; i < m; i++)
                sum[i][r] = _mm512_fmadd_ps(mins, x.sums[i], sum[i][r]);
        }
    }
}

ASSAY_INLINE void gemv_nibbles_m(enum nibble_type t, const struct assay_cpu_args *a, const int m) {
    const struct nibble_form f = nibble_form(t);
    const struct step_places at = step_places(t, f);
    const size_t blocks = a->k / 32;
    for (size_t n0 = 0; n0 < a->n; n0 += GEMV_ROWS) {
        struct gemv_rows g = gemv_rows_at(a, n0);
        __m512 sum[GEMV_MAX_M][GEMV_ROWS];
        for (int i = 0; i < m; i++)
            for (int r = 0; r < GEMV_ROWS; r++)
                sum[i][r] = _mm512_setzero_ps();
        size_t b = 0;
        for (; b + STEP <= blocks; b += STEP)
            nibble_step(t, f, &at, a, &g, b, STEP, m, sum);
        if (b < blocks)
            nibble_step(t, f, &at, a, &g, b, blocks - b, m, sum);
        gemv_reduce_store(a, n0, &g, m, sum);
    }
}

#define KERNEL(name, TYPE)                                                                         \
    void gemm_##name##_q8_32__avx512_gemv(const struct assay_cpu_args *a) {                        \
        if (a->act->m == 1)                                                                        \
            gemv_nibbles_m(TYPE, a, 1);                                                            \
        else                                                                                       \
            gemv_nibbles_m(TYPE, a, 2);                                                            \
    }

KERNEL(q4_0, NIBBLE_Q4_0)
KERNEL(q4_1, NIBBLE_Q4_1)
KERNEL(q5_0, NIBBLE_Q5_0)
KERNEL(q5_1, NIBBLE_Q5_1)
KERNEL(iq4_nl, NIBBLE_IQ4_NL)
KERNEL(mxfp4, NIBBLE_MXFP4)
