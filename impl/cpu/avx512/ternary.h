/* The digits of TQ1_0. */
#ifndef ASSAY_IMPL_CPU_AVX512_TERNARY_H
#define ASSAY_IMPL_CPU_AVX512_TERNARY_H

#include "simd.h"

enum { TERNARY_UNIT = 64 }; /* digits come as multiples of this */

/* The next ternary digit of each byte, times TERNARY_UNIT; *p goes on to the one after it. The
 * bytes are fractions of 256 in base 3: a digit is ⌊3p/256⌋, what follows it is 3p mod 256. */
ASSAY_INLINE __m512i ternary_digit(__m512i *p) {
    /* ⌊3p/4⌋ has the digit in its top two bits. The averages round up, which p - 1 makes good
     * wherever the digit changes. */
    __m512i q = _mm512_subs_epu8(*p, _mm512_set1_epi8(1));
    q = _mm512_avg_epu8(q, _mm512_avg_epu8(q, _mm512_setzero_si512()));
    *p = _mm512_add_epi8(*p, _mm512_add_epi8(*p, *p));
    return _mm512_and_si512(q, _mm512_set1_epi8((char)0xc0));
}

#endif
