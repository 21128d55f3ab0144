/* What every kernel source begins with. */
#include <metal_stdlib>
using namespace metal;

#include "args.h"

/* Loads at the width that the block's alignment in its matrix allows: blocks of an odd size are read
 * in bytes, the others in 2 or 4 bytes (the host sees to the matrix's own alignment). */
inline uint load_u16(device const uchar *p) { return *(device const ushort *)p; }

inline uint load_u32(device const uchar *p) { return *(device const uint *)p; }

/* A 32-bit field that is aligned to 2 bytes only. */
inline uint load_u32_halves(device const uchar *p) { return load_u16(p) | load_u16(p + 2) << 16; }

inline float load_f16(device const uchar *p) { return float(*(device const half *)p); }

/* Codes of 4 weights from the bytes of a word, `bits` at `shift`. */
inline void codes4(uint word, uint shift, uint mask, thread float *q) {
    word >>= shift;
#pragma unroll
    for (int i = 0; i < 4; i++)
        q[i] = float(word >> 8 * i & mask);
}

/* The same from 16 bytes, read as 4 or 8 loads. */
inline void codes16(device const uchar *bytes, uint shift, uint mask, thread float *q) {
#pragma unroll
    for (int i = 0; i < 4; i++)
        codes4(load_u32(bytes + 4 * i), shift, mask, q + 4 * i);
}

inline void codes16_halves(device const uchar *bytes, uint shift, uint mask, thread float *q) {
#pragma unroll
    for (int i = 0; i < 4; i++)
        codes4(load_u32_halves(bytes + 4 * i), shift, mask, q + 4 * i);
}

/* Sixteen int8 codes. */
inline void signed16(device const uchar *bytes, thread float *q) {
#pragma unroll
    for (int i = 0; i < 8; i++) {
        uint pair = load_u16(bytes + 2 * i);
        q[2 * i] = float(char(pair & 255));
        q[2 * i + 1] = float(char(pair >> 8));
    }
}
