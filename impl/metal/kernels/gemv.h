/* Products of a few rows of x, straight from the blocks: fp32 weights times fp32 activations. */

/* CHUNK elements of x from column `chunk` on. Rows of block types are whole chunks, aligned as
 * float4; those of plain types may end anywhere, and what is beyond counts as 0. */
template <typename T>
inline void load_x(device const float *x, uint chunk, uint k, thread float *v) {
    device const float *p = x + chunk * CHUNK;
    if (T::plain) {
        uint length = chunk_length(chunk, k);
#pragma unroll
        for (uint i = 0; i < CHUNK; i++)
            v[i] = i < length ? p[i] : 0.0f;
    } else {
#pragma unroll
        for (int i = 0; i < CHUNK; i += 4) {
            float4 four = *(device const float4 *)(p + i);
            v[i] = four.x;
            v[i + 1] = four.y;
            v[i + 2] = four.z;
            v[i + 3] = four.w;
        }
    }
}

/* One simdgroup: R rows of W from first_row on times up to M rows of x, each lane every 32nd chunk.
 * Rows beyond the last are read as the last and not stored. */
template <typename T, int M, int R>
inline void gemv(device const uchar *w, device const float *x, device float *y,
                 constant product_args &args, uint first_row, uint lane) {
    if (first_row >= args.n)
        return;
    float sum[R][M];
#pragma unroll
    for (int r = 0; r < R; r++)
#pragma unroll
        for (int i = 0; i < M; i++)
            sum[r][i] = 0.0f;

    for (uint chunk = lane; chunk * CHUNK < args.k; chunk += SIMD_WIDTH) {
        float q[R][CHUNK], scale[R], offset[R];
#pragma unroll
        for (int r = 0; r < R; r++) {
            uint row = min(first_row + r, args.n - 1);
            unpack_chunk<T>(w + row * args.row_bytes, chunk, args.k, q[r], scale[r], offset[r]);
        }
#pragma unroll
        for (int i = 0; i < M; i++) {
            if (uint(i) >= args.m)
                break;
            float v[CHUNK], total = 0.0f;
            load_x<T>(x + ulong(i) * args.k, chunk, args.k, v);
            if (T::has_offset) {
#pragma unroll
                for (int e = 0; e < CHUNK; e++)
                    total += v[e];
            }
#pragma unroll
            for (int r = 0; r < R; r++) {
                float dot = 0.0f;
#pragma unroll
                for (int e = 0; e < CHUNK; e++)
                    dot = fma(q[r][e], v[e], dot);
                sum[r][i] = fma(scale[r], dot, sum[r][i]);
                if (T::has_offset)
                    sum[r][i] = fma(offset[r], total, sum[r][i]);
            }
        }
    }

#pragma unroll
    for (int i = 0; i < M; i++) {
        if (uint(i) >= args.m)
            break;
#pragma unroll
        for (int r = 0; r < R; r++) {
            float all = simd_sum(sum[r][i]);
            if (lane == 0 && first_row + r < args.n)
                y[ulong(i) * args.ldy + first_row + r] = all;
        }
    }
}
