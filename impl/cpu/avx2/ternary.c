/* TQ1_0 and TQ2_0: how their codes unpack. */
#include "codebook.h"
#include "impl/blocks.h"
#include "kernels.h"

#define FIELD(type, member) offsetof(struct assay_block_##type, member)

/* Largest of the 16-bit sums: 16·127·1. */
#define TERNARY_FORM(name)                                                                         \
    { .bytes = sizeof(struct assay_block_##name), .offset = 1, .sub_block = 32, .run = 8 }

/* The next ternary digit of each byte; *p goes on to the one after it. The bytes are fractions of
 * 256 in base 3: a digit is ⌊3p/256⌋, what follows it is 3p mod 256. */
ASSAY_INLINE __m256i ternary_digit(__m256i *p) {
    /* ⌊3p/4⌋ has the digit in its top two bits. The averages round up, which p - 1 makes good
     * wherever the digit changes. */
    __m256i q = _mm256_subs_epu8(*p, _mm256_set1_epi8(1));
    q = _mm256_avg_epu8(q, _mm256_avg_epu8(q, _mm256_setzero_si256()));
    *p = _mm256_add_epi8(*p, _mm256_add_epi8(*p, *p));
    return _mm256_and_si256(_mm256_srli_epi16(q, 6), _mm256_set1_epi8(3));
}

ASSAY_INLINE void tq1_0_open(const uint8_t *block, struct codebook_block *o) {
    __m256i first = load256(block + FIELD(tq1_0, qs));
    __m256i next = _mm256_setr_m128i(load128(block + FIELD(tq1_0, qs) + 32),
                                     _mm_cvtsi32_si128((int)load32(block + FIELD(tq1_0, qh))));
    ASSAY_UNROLL
    for (int n = 0; n < 5; n++) {
        store256(o->codes + 32 * n, ternary_digit(&first));
        /* 16 of qs, then four of qh, of which the fifth digits are none. */
        __m256i v = ternary_digit(&next);
        _mm_storeu_si128((__m128i *)(void *)(o->codes + 160 + 16 * n), _mm256_castsi256_si128(v));
        int four = _mm_cvtsi128_si32(_mm256_extracti128_si256(v, 1));
        if (n < 4)
            memcpy(o->codes + 240 + 4 * n, &four, sizeof four);
    }
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
