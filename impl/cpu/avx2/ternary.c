/* TQ1_0 and TQ2_0: how their codes unpack. */
#include "codebook.h"
#include "impl/blocks.h"
#include "kernels.h"

#define FIELD(type, member) offsetof(struct assay_block_##type, member)

/* Largest of the 16-bit sums: 16·127·1. */
#define TERNARY_FORM(name)                                                                         \
    { .bytes = sizeof(struct assay_block_##name), .offset = 1, .sub_block = 32, .run = 8 }

/* The bytes of TQ1_0 are fractions of 256 in base 3: the digit of p is ⌊3p/256⌋, what follows it is
 * 3p mod 256. They are worked on as p - 128, as which they compare signed; that triples alike. */
ASSAY_INLINE __m256i ternary_digit(__m256i p) {
    __m256i zero = _mm256_cmpgt_epi8(_mm256_set1_epi8(86 - 128), p);
    __m256i two = _mm256_cmpgt_epi8(p, _mm256_set1_epi8(170 - 128));
    return _mm256_add_epi8(_mm256_sub_epi8(zero, two), _mm256_set1_epi8(1));
}

ASSAY_INLINE __m256i triple(__m256i p) { return _mm256_add_epi8(p, _mm256_add_epi8(p, p)); }

ASSAY_INLINE void tq1_0_open(const uint8_t *block, struct codebook_block *o) {
    const __m256i half = _mm256_set1_epi8(-128);
    /* 32 bytes of five digits, then 16 of five beside four of four. */
    __m256i first = load256(block + FIELD(tq1_0, qs)), p[5];
    p[0] = _mm256_setr_m128i(load128(block + FIELD(tq1_0, qs) + 32),
                             _mm_cvtsi32_si128((int)load32(block + FIELD(tq1_0, qh))));
    first = _mm256_xor_si256(first, half);
    p[0] = _mm256_xor_si256(p[0], half);
    ASSAY_UNROLL
    for (int n = 0; n < 5; n++) {
        store256(o->codes + 32 * n, ternary_digit(first));
        first = triple(first);
        if (n > 0)
            p[n] = triple(p[n - 1]);
    }
    store256(o->codes + 160, ternary_digit(_mm256_permute2x128_si256(p[0], p[1], 0x20)));
    store256(o->codes + 192, ternary_digit(_mm256_permute2x128_si256(p[2], p[3], 0x20)));
    __m256i fours =
        _mm256_unpacklo_epi64(_mm256_unpacklo_epi32(p[0], p[1]), _mm256_unpacklo_epi32(p[2], p[3]));
    store256(o->codes + 224, ternary_digit(_mm256_blend_epi32(p[4], fours, 0xf0)));
    o->d = _mm256_cvtss_f32(broadcast_half(block + FIELD(tq1_0, d)));
}
ASSAY_INLINE struct signed_codes tq1_0_codes(const struct assay_iq_tables *t, const uint8_t *block,
                                             const struct codebook_block *o, int g) {
    (void)t;
    (void)block;
    return (struct signed_codes){.magnitude = load256(o->codes + 32 * g)};
}
static const struct codebook_type tq1_0 = {
    .form = TERNARY_FORM(tq1_0),
    .plain = true,
    .open = tq1_0_open,
    .codes = tq1_0_codes,
};

ASSAY_INLINE void tq2_0_open(const uint8_t *block, struct codebook_block *o) {
    o->d = _mm256_cvtss_f32(broadcast_half(block + FIELD(tq2_0, d)));
}
ASSAY_INLINE struct signed_codes tq2_0_codes(const struct assay_iq_tables *t, const uint8_t *block,
                                             const struct codebook_block *o, int g) {
    (void)t;
    (void)o;
    __m256i q = load256(block + FIELD(tq2_0, qs) + 32 * (g / 4));
    return (struct signed_codes){
        .magnitude = _mm256_and_si256(_mm256_srli_epi16(q, 2 * (g % 4)), _mm256_set1_epi8(3))};
}
static const struct codebook_type tq2_0 = {
    .form = TERNARY_FORM(tq2_0),
    .plain = true,
    .open = tq2_0_open,
    .codes = tq2_0_codes,
};

ASSAY_CODEBOOK_KERNELS(tq1_0, codebook_plain_dot)
ASSAY_CODEBOOK_KERNELS(tq2_0, codebook_plain_dot)
