/* IQ1, IQ2, IQ3 and IQ4_XS: how their codes and scales unpack. */
#include "codebook.h"
#include "impl/blocks.h"
#include "impl/half.h"
#include "kernels.h"
#include "nibbles.h"

#define FIELD(type, member) offsetof(struct assay_block_##type, member)

/* ---- Scales, signs and grid numbers ---------------------------------------------------------- */

ASSAY_INLINE float block_d(const uint8_t *d, float factor) {
    return factor * _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(load16(d))));
}

/* Scales of 32 weights, one a 32-bit lane. */
ASSAY_INLINE void store_scales32(struct codebook_block *o, __m256i s) {
    s = _mm256_and_si256(s, _mm256_set1_epi32(0xffff));
    store256(o->scale, _mm256_or_si256(s, _mm256_slli_epi32(s, 16)));
}

/* 2·v + 1 */
ASSAY_INLINE __m256i odd32(__m256i v) {
    return _mm256_add_epi32(_mm256_add_epi32(v, v), _mm256_set1_epi32(1));
}

/* Scales 2s + 1 of 16 weights each from eight bytes of nibbles s. */
ASSAY_INLINE void store_nibble_scales16(struct codebook_block *o, const uint8_t *scales) {
    __m128i v = _mm_loadl_epi64((const __m128i *)(const void *)scales);
    v = _mm_unpacklo_epi8(v, _mm_srli_epi16(v, 4));
    __m256i s = _mm256_cvtepu8_epi16(_mm_and_si128(v, _mm_set1_epi8(15)));
    store256(o->scale, _mm256_add_epi16(_mm256_add_epi16(s, s), _mm256_set1_epi16(1)));
}

/* Eight sign bits of seven stored ones, a byte each: bit 7 makes the number of minus signs even. */
ASSAY_INLINE __m256i even_signs(__m256i seven) {
    const __m256i odd = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, -128, -128, 0, -128, 0, 0, -128, -128, 0, 0, -128, 0, -128, -128, 0));
    __m256i folded = low_nibbles(_mm256_xor_si256(seven, _mm256_srli_epi16(seven, 4)));
    return _mm256_or_si256(seven, _mm256_shuffle_epi8(odd, folded));
}

/* Signs from the low 28 bits of eight words. */
ASSAY_INLINE void store_word_signs(struct codebook_block *o, __m256i words) {
    const __m256i field = _mm256_set1_epi32(0x7f);
    __m256i v = _mm256_and_si256(words, field);
    v = _mm256_or_si256(v,
                        _mm256_and_si256(_mm256_slli_epi32(words, 1), _mm256_slli_epi32(field, 8)));
    v = _mm256_or_si256(
        v, _mm256_and_si256(_mm256_slli_epi32(words, 2), _mm256_slli_epi32(field, 16)));
    v = _mm256_or_si256(
        v, _mm256_and_si256(_mm256_slli_epi32(words, 3), _mm256_slli_epi32(field, 24)));
    store256(o->signs, even_signs(v));
}

/* 32 grid numbers of which low has bits 0…7, high the others. */
ASSAY_INLINE void store_index(uint16_t *index, __m256i low, __m256i high) {
    __m256i a = _mm256_unpacklo_epi8(low, high), b = _mm256_unpackhi_epi8(low, high);
    store256(index, _mm256_permute2x128_si256(a, b, 0x20));
    store256(index + 16, _mm256_permute2x128_si256(a, b, 0x31));
}

/* ---- Groups ---------------------------------------------------------------------------------- */

/* Byte i of four for weights 8i … 8i + 7. */
ASSAY_INLINE __m256i each_for_eight(const uint8_t *four) {
    return _mm256_shuffle_epi8(
        broadcast32(four),
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303));
}

/* Negative where the bit of o->signs is set, else positive. */
ASSAY_INLINE __m256i group_signs(const struct codebook_block *o, int g) {
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    /* What takes each bit to the sign bit, and leaves a byte without it above zero. */
    const __m256i carry = _mm256_set1_epi64x(0x01406070787c7e7f);
    return _mm256_add_epi8(_mm256_and_si256(each_for_eight(o->signs + 4 * g), bit), carry);
}

/* Four entries of eight. VMOVHPS takes its half from memory. */
ASSAY_INLINE __m256i entries8(const int8_t *a, const int8_t *b, const int8_t *c, const int8_t *d) {
    __m128 low = _mm_castsi128_ps(_mm_loadl_epi64((const __m128i *)(const void *)a));
    __m128 high = _mm_castsi128_ps(_mm_loadl_epi64((const __m128i *)(const void *)c));
    low = _mm_loadh_pi(low, (const __m64 *)(const void *)b);
    high = _mm_loadh_pi(high, (const __m64 *)(const void *)d);
    return _mm256_castps_si256(_mm256_insertf128_ps(_mm256_castps128_ps256(low), high, 1));
}

/* Four entries of four. VPUNPCKLDQ takes its second half from memory, of which it reads twelve
 * bytes more than the entry; no codebook of struct assay_iq_tables is within as many of the end. */
ASSAY_INLINE __m128i entries4(const int8_t *a, const int8_t *b, const int8_t *c, const int8_t *d) {
    __m128i low = _mm_cvtsi32_si128((int)load32((const uint8_t *)a));
    __m128i high = _mm_cvtsi32_si128((int)load32((const uint8_t *)c));
    return _mm_unpacklo_epi64(_mm_unpacklo_epi32(low, load128(b)),
                              _mm_unpacklo_epi32(high, load128(d)));
}

/* ---- IQ2 ------------------------------------------------------------------------------------- */

enum { IQ2_OFFSET = 43 }; /* the largest level */

ASSAY_INLINE void iq2_xxs_open(const uint8_t *block, struct codebook_block *o) {
    const uint8_t *group = block + FIELD(iq2_xxs, group);
    __m256i words = _mm256_castps_si256(_mm256_shuffle_ps(
        _mm256_castsi256_ps(load256(group)), _mm256_castsi256_ps(load256(group + 32)), 0xdd));
    words = _mm256_permute4x64_epi64(words, 0xd8);
    store_word_signs(o, words);
    store_scales32(o, odd32(_mm256_srli_epi32(words, 28)));
    o->d = block_d(block + FIELD(iq2_xxs, d), 0.125f);
}
ASSAY_INLINE struct signed_codes iq2_xxs_codes(const struct assay_iq_tables *t,
                                               const uint8_t *block, const struct codebook_block *o,
                                               int g) {
    const uint8_t *n = block + FIELD(iq2_xxs, group) + 8 * g;
    return (struct signed_codes){
        entries8(t->iq2_xxs[n[0]], t->iq2_xxs[n[1]], t->iq2_xxs[n[2]], t->iq2_xxs[n[3]]),
        group_signs(o, g)};
}
static const struct codebook_type iq2_xxs = {
    .form = {.bytes = sizeof(struct assay_block_iq2_xxs),
             .offset = IQ2_OFFSET,
             .sub_block = 32,
             .run = 2}, /* 4·127·43 = 21844 */
    .open = iq2_xxs_open,
    .codes = iq2_xxs_codes,
};

ASSAY_INLINE void iq2_xs_open(const uint8_t *block, struct codebook_block *o) {
    __m256i a = load256(block + FIELD(iq2_xs, qs)), b = load256(block + FIELD(iq2_xs, qs) + 32);
    const __m256i number = _mm256_set1_epi16(511);
    store256(o->index, _mm256_and_si256(a, number));
    store256(o->index + 16, _mm256_and_si256(b, number));
    __m256i seven = _mm256_packus_epi16(_mm256_srli_epi16(a, 9), _mm256_srli_epi16(b, 9));
    store256(o->signs, even_signs(_mm256_permute4x64_epi64(seven, 0xd8)));
    store_nibble_scales16(o, block + FIELD(iq2_xs, scales));
    o->d = block_d(block + FIELD(iq2_xs, d), 0.125f);
}
ASSAY_INLINE struct signed_codes iq2_xs_codes(const struct assay_iq_tables *t, const uint8_t *block,
                                              const struct codebook_block *o, int g) {
    (void)block;
    const uint16_t *n = o->index + 4 * g;
    return (struct signed_codes){
        entries8(t->iq2_xs[n[0]], t->iq2_xs[n[1]], t->iq2_xs[n[2]], t->iq2_xs[n[3]]),
        group_signs(o, g)};
}
static const struct codebook_type iq2_xs = {
    .form = {.bytes = sizeof(struct assay_block_iq2_xs),
             .offset = IQ2_OFFSET,
             .sub_block = 16,
             .run = 2},
    .open = iq2_xs_open,
    .codes = iq2_xs_codes,
};

ASSAY_INLINE void iq2_s_open(const uint8_t *block, struct codebook_block *o) {
    __m128i high = _mm_loadl_epi64((const __m128i *)(const void *)(block + FIELD(iq2_s, qh)));
    store_index(o->index, load256(block + FIELD(iq2_s, qs)), spread_2bit(high));
    store256(o->signs, load256(block + FIELD(iq2_s, signs)));
    store_nibble_scales16(o, block + FIELD(iq2_s, scales));
    o->d = block_d(block + FIELD(iq2_s, d), 0.125f);
}
ASSAY_INLINE struct signed_codes iq2_s_codes(const struct assay_iq_tables *t, const uint8_t *block,
                                             const struct codebook_block *o, int g) {
    (void)block;
    const uint16_t *n = o->index + 4 * g;
    return (struct signed_codes){
        entries8(t->iq2_s[n[0]], t->iq2_s[n[1]], t->iq2_s[n[2]], t->iq2_s[n[3]]),
        group_signs(o, g)};
}
static const struct codebook_type iq2_s = {
    .form = {.bytes = sizeof(struct assay_block_iq2_s),
             .offset = IQ2_OFFSET,
             .sub_block = 16,
             .run = 2},
    .open = iq2_s_open,
    .codes = iq2_s_codes,
};

/* ---- IQ3 ------------------------------------------------------------------------------------- */

ASSAY_INLINE void iq3_xxs_open(const uint8_t *block, struct codebook_block *o) {
    __m256i words = load256(block + FIELD(iq3_xxs, signs_scale));
    store_word_signs(o, words);
    store_scales32(o, odd32(_mm256_srli_epi32(words, 28)));
    o->d = block_d(block + FIELD(iq3_xxs, d), 0.25f);
}
ASSAY_INLINE struct signed_codes iq3_xxs_codes(const struct assay_iq_tables *t,
                                               const uint8_t *block, const struct codebook_block *o,
                                               int g) {
    const uint8_t *n = block + FIELD(iq3_xxs, qs) + 8 * g;
    const int8_t(*e)[4] = t->iq3_xxs;
    return (struct signed_codes){_mm256_setr_m128i(entries4(e[n[0]], e[n[1]], e[n[2]], e[n[3]]),
                                                   entries4(e[n[4]], e[n[5]], e[n[6]], e[n[7]])),
                                 group_signs(o, g)};
}
static const struct codebook_type iq3_xxs = {
    .form = {.bytes = sizeof(struct assay_block_iq3_xxs),
             .offset = 62,
             .sub_block = 32,
             .run = 2}, /* 4·127·62 = 31496, as is 2·127·124 */
    .open = iq3_xxs_open,
    .codes = iq3_xxs_codes,
};

ASSAY_INLINE void iq3_s_open(const uint8_t *block, struct codebook_block *o) {
    const __m256i one = _mm256_set1_epi8(1);
    ASSAY_UNROLL
    for (size_t h = 0; h < 2; h++) {
        __m256i high = _mm256_and_si256(row_bits(block + FIELD(iq3_s, qh) + 4 * h), one);
        store_index(o->index + 32 * h, load256(block + FIELD(iq3_s, qs) + 32 * h), high);
    }
    store256(o->signs, load256(block + FIELD(iq3_s, signs)));
    __m256i s = broadcast32(block + FIELD(iq3_s, scales));
    s = _mm256_srlv_epi32(s, _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28));
    store_scales32(o, odd32(_mm256_and_si256(s, _mm256_set1_epi32(15))));
    o->d = block_d(block + FIELD(iq3_s, d), 1.0f);
}
ASSAY_INLINE struct signed_codes iq3_s_codes(const struct assay_iq_tables *t, const uint8_t *block,
                                             const struct codebook_block *o, int g) {
    (void)block;
    const uint16_t *n = o->index + 8 * g;
    const int8_t(*e)[4] = t->iq3_s;
    return (struct signed_codes){_mm256_setr_m128i(entries4(e[n[0]], e[n[1]], e[n[2]], e[n[3]]),
                                                   entries4(e[n[4]], e[n[5]], e[n[6]], e[n[7]])),
                                 group_signs(o, g)};
}
static const struct codebook_type iq3_s = {
    .form = {.bytes = sizeof(struct assay_block_iq3_s),
             .offset = 15,
             .sub_block = 32,
             .run = 8}, /* 16·127·15 = 30480 */
    .open = iq3_s_open,
    .codes = iq3_s_codes,
};

/* ---- IQ1: eight times the value plus the shift of ±1, and 1/8 in the scale ------------------- */

enum { IQ1_OFFSET = 9 };

ASSAY_INLINE struct signed_codes iq1_codes(const struct assay_iq_tables *t, const uint8_t *block,
                                           const struct codebook_block *o, int g) {
    (void)block;
    const uint16_t *n = o->index + 4 * g;
    __m256i v = entries8(t->iq1[n[0]], t->iq1[n[1]], t->iq1[n[2]], t->iq1[n[3]]);
    v = _mm256_and_si256(_mm256_slli_epi16(v, 3), _mm256_set1_epi8((char)0xf8));
    v = _mm256_add_epi8(v, each_for_eight(o->signs + 4 * g));
    return (struct signed_codes){_mm256_abs_epi8(v), v};
}

ASSAY_INLINE void iq1_s_open(const uint8_t *block, struct codebook_block *o) {
    __m256i v = _mm256_cvtepu16_epi32(load128(block + FIELD(iq1_s, qh)));
    const __m256i field = _mm256_set1_epi32(7);
    __m256i high = _mm256_and_si256(v, field);
    high = _mm256_or_si256(high,
                           _mm256_and_si256(_mm256_slli_epi32(v, 5), _mm256_slli_epi32(field, 8)));
    high = _mm256_or_si256(
        high, _mm256_and_si256(_mm256_slli_epi32(v, 10), _mm256_slli_epi32(field, 16)));
    high = _mm256_or_si256(
        high, _mm256_and_si256(_mm256_slli_epi32(v, 15), _mm256_slli_epi32(field, 24)));
    store_index(o->index, load256(block + FIELD(iq1_s, qs)), high);
    __m256i minus = _mm256_srai_epi32(_mm256_slli_epi32(v, 16), 31);
    store256(o->signs, _mm256_or_si256(minus, _mm256_set1_epi8(1)));
    store_scales32(o, odd32(_mm256_and_si256(_mm256_srli_epi32(v, 12), field)));
    o->d = block_d(block + FIELD(iq1_s, d), 0.125f);
}
static const struct codebook_type iq1_s = {
    .form = {.bytes = sizeof(struct assay_block_iq1_s),
             .offset = IQ1_OFFSET,
             .sub_block = 32,
             .run = 8},
    .open = iq1_s_open,
    .codes = iq1_codes,
};

ASSAY_INLINE void iq1_m_open(const uint8_t *block, struct codebook_block *o) {
    __m128i qh = load128(block + FIELD(iq1_m, qh)), upper = _mm_srli_epi16(qh, 4);
    __m256i nibbles =
        low_nibbles(_mm256_setr_m128i(_mm_unpacklo_epi8(qh, upper), _mm_unpackhi_epi8(qh, upper)));
    const __m256i eight = _mm256_set1_epi8(8);
    store_index(o->index, load256(block + FIELD(iq1_m, qs)),
                _mm256_and_si256(nibbles, _mm256_set1_epi8(7)));
    store256(o->signs, _mm256_or_si256(bits_set(nibbles, eight), _mm256_set1_epi8(1)));
    /* Word i has scales 4i … 4i + 3 of three bits each, then a nibble of d. */
    __m128i words = _mm_loadl_epi64((const __m128i *)(const void *)(block + FIELD(iq1_m, scales)));
    __m256i s = _mm256_permute4x64_epi64(_mm256_castsi128_si256(words), 0);
    s = _mm256_shuffle_epi8(s, _mm256_setr_epi64x(0x0100010001000100, 0x0302030203020302,
                                                  0x0504050405040504, 0x0706070607060706));
    s = _mm256_mullo_epi16(s, _mm256_set1_epi64x(0x0001000800400200)); /* to bits 9…11 */
    s = _mm256_and_si256(_mm256_srli_epi16(s, 8), _mm256_set1_epi16(14));
    store256(o->scale, _mm256_add_epi16(s, _mm256_set1_epi16(1)));
    uint64_t tops;
    memcpy(&tops, block + FIELD(iq1_m, scales), sizeof tops);
    uint64_t bits =
        (tops >> 12 & 0xf) | (tops >> 24 & 0xf0) | (tops >> 36 & 0xf00) | (tops >> 48 & 0xf000);
    uint8_t d[2] = {(uint8_t)bits, (uint8_t)(bits >> 8)};
    o->d = block_d(d, 0.125f);
}
static const struct codebook_type iq1_m = {
    .form = {.bytes = sizeof(struct assay_block_iq1_m),
             .offset = IQ1_OFFSET,
             .sub_block = 16,
             .run = 4},
    .open = iq1_m_open,
    .codes = iq1_codes,
};

/* ---- IQ4_XS ---------------------------------------------------------------------------------- */

ASSAY_INLINE void iq4_xs_open(const uint8_t *block, struct codebook_block *o) {
    __m256i low = broadcast32(block + FIELD(iq4_xs, scales_l));
    low = _mm256_srlv_epi32(low, _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28));
    __m256i high = _mm256_set1_epi32(load16(block + FIELD(iq4_xs, scales_h)));
    high =
        _mm256_srlv_epi32(_mm256_slli_epi32(high, 4), _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14));
    __m256i s = _mm256_or_si256(_mm256_and_si256(low, _mm256_set1_epi32(15)),
                                _mm256_and_si256(high, _mm256_set1_epi32(0x30)));
    store_scales32(o, _mm256_sub_epi32(s, _mm256_set1_epi32(32)));
    o->d = block_d(block + FIELD(iq4_xs, d), 1.0f);
}
ASSAY_INLINE struct signed_codes iq4_xs_codes(const struct assay_iq_tables *t, const uint8_t *block,
                                              const struct codebook_block *o, int g) {
    (void)t;
    (void)o;
    __m256i v = iq4_codebook(row_nibbles(block + FIELD(iq4_xs, qs) + 16 * g));
    return (struct signed_codes){_mm256_abs_epi8(v), v};
}
static const struct codebook_type iq4_xs = {
    .form = {.bytes = sizeof(struct assay_block_iq4_xs),
             .is_signed = true,
             .sub_block = 32,
             .run = 1},
    .open = iq4_xs_open,
    .codes = iq4_xs_codes,
};

ASSAY_CODEBOOK_KERNELS(iq1_s, codebook_dot)
ASSAY_CODEBOOK_KERNELS(iq1_m, codebook_dot)
ASSAY_CODEBOOK_KERNELS(iq2_xxs, codebook_dot)
ASSAY_CODEBOOK_KERNELS(iq2_xs, codebook_dot)
ASSAY_CODEBOOK_KERNELS(iq2_s, codebook_dot)
ASSAY_CODEBOOK_KERNELS(iq3_xxs, codebook_dot)
ASSAY_CODEBOOK_KERNELS(iq3_s, codebook_dot)
ASSAY_CODEBOOK_KERNELS(iq4_xs, codebook_dot)
