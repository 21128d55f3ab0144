/* A chunk of a row: CHUNK weights, w = scale·q + offset.
 *
 * Each type is a struct with these constants
 *   plain      1: a number a weight (F32, F16, BF16), rows of any length; 0: blocks
 *   bytes      of a block, or of a weight if plain
 *   chunks     of a block
 *   has_offset 0: offset is not set, w = scale·q
 * and
 *   unpack(p, part, q, scale, offset)
 * where p is the block and part the number of the chunk in it; for plain types p is the chunk's first
 * weight and part how many weights are left in the row: missing ones count as 0. No product scale·q
 * needs more than 24 bits (but Q8_K's, which the format rounds), so w is what the format defines,
 * fused or not. */

template <typename T>
inline void unpack_chunk(device const uchar *row, uint chunk, uint k, thread float *q,
                         thread float &scale, thread float &offset) {
    if (T::plain)
        T::unpack(row + ulong(chunk) * (CHUNK * T::bytes), min(uint(CHUNK), k - chunk * CHUNK), q,
                  scale, offset);
    else
        T::unpack(row + ulong(chunk / T::chunks) * T::bytes, chunk % T::chunks, q, scale, offset);
}

template <typename T>
inline void decode_chunk(device const uchar *row, uint chunk, uint k, thread float *w) {
    float q[CHUNK], scale, offset;
    unpack_chunk<T>(row, chunk, k, q, scale, offset);
#pragma unroll
    for (int i = 0; i < CHUNK; i++)
        w[i] = T::has_offset ? scale * q[i] + offset : scale * q[i];
}

/* Weights of chunk number `chunk` in a row of k. */
inline uint chunk_length(uint chunk, uint k) { return min(uint(CHUNK), k - chunk * CHUNK); }
