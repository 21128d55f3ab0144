/* Products of many rows of x: binary16 weights times binary16 activations (round_rows in
 * common.metal), summed in fp32.
 *
 * A threadgroup of four simdgroups makes a tile of GEMM_M rows of x and GEMM_N rows of W, GEMM_K
 * columns at a time; each thread decodes one chunk of W a step. A simdgroup owns 16 x 32 of the tile
 * as 2 x 4 matrices of 8 x 8. The sums go through threadgroup memory, where edges are cut off and
 * the rows' scales undone. */

/* The tiles' rows are padded by 8 halves, so that the 8 rows of a matrix lie in different banks. */
enum { TILE_STRIDE = GEMM_K + 8, Y_STRIDE = GEMM_N };

/* Rows of x and y that a tile takes: consecutive ones, or those of one expert from a list. */
struct consecutive_rows {
    uint first;
    uint of_x(uint i) const { return first + i; }
    uint of_y(uint i) const { return first + i; }
};

struct listed_rows {
    device const uint *list;
    uint share;
    uint of_x(uint i) const { return list[i] / share; }
    uint of_y(uint i) const { return list[i]; }
};

/* One step's tile of x: each thread 8 elements of one row, zeros beyond m and k. */
template <typename Rows>
inline void fill_x_tile(device const half *x, Rows rows, uint m, uint k, uint k0, uint index,
                        threadgroup half *x_tile) {
    uint row = index / 4, column = index % 4 * 8;
    threadgroup half *to = x_tile + row * TILE_STRIDE + column;
    if (row >= m) {
        for (uint i = 0; i < 8; i++)
            to[i] = half(0.0f);
        return;
    }
    device const half *from = x + ulong(rows.of_x(row)) * k + k0 + column;
    for (uint i = 0; i < 8; i++)
        to[i] = k0 + column + i < k ? from[i] : half(0.0f);
}

/* One step's tile of W: each thread a chunk of one row; rows beyond n repeat the last. */
template <typename T>
inline void fill_w_tile(device const uchar *w, ulong row_bytes, uint n0, uint n, uint k, uint k0,
                        uint index, threadgroup half *w_tile) {
    uint row = index / 2, column = index % 2 * CHUNK;
    threadgroup half *to = w_tile + row * TILE_STRIDE + column;
    float decoded[CHUNK];
    if (k0 + column < k) {
        decode_chunk<T>(w + min(n0 + row, n - 1) * row_bytes, (k0 + column) / CHUNK, k, decoded);
    } else {
#pragma unroll
        for (int i = 0; i < CHUNK; i++)
            decoded[i] = 0.0f;
    }
#pragma unroll
    for (int i = 0; i < CHUNK; i++)
        to[i] = half(decoded[i]);
}

/* The tile of `m` <= GEMM_M rows of x and the rows of W from n0 on. */
template <typename T, typename Rows>
inline void gemm(device const uchar *w, device const half *x, device const float *unscale,
                 device float *y, constant product_args &args, Rows rows, uint m, uint n0,
                 uint index, uint simd, threadgroup half *x_tile, threadgroup half *w_tile,
                 threadgroup float *y_tile) {
    uint m_at = simd % 2 * 16, n_at = simd / 2 * 32;
    simdgroup_float8x8 sum[2][4];
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < 4; j++)
            sum[i][j] = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);

    for (uint k0 = 0; k0 < args.k; k0 += GEMM_K) {
        fill_x_tile(x, rows, m, args.k, k0, index, x_tile);
        fill_w_tile<T>(w, args.row_bytes, n0, args.n, args.k, k0, index, w_tile);
        threadgroup_barrier(mem_flags::mem_threadgroup);
#pragma unroll
        for (uint kk = 0; kk < GEMM_K; kk += 8) {
            simdgroup_half8x8 a[2], b[4];
#pragma unroll
            for (uint i = 0; i < 2; i++)
                simdgroup_load(a[i], x_tile + (m_at + 8 * i) * TILE_STRIDE + kk, TILE_STRIDE);
#pragma unroll
            for (uint j = 0; j < 4; j++) /* transposed: columns of k times columns of n */
                simdgroup_load(b[j], w_tile + (n_at + 8 * j) * TILE_STRIDE + kk, TILE_STRIDE,
                               ulong2(0, 0), true);
#pragma unroll
            for (int i = 0; i < 2; i++)
#pragma unroll
                for (int j = 0; j < 4; j++)
                    simdgroup_multiply_accumulate(sum[i][j], a[i], b[j], sum[i][j]);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }

#pragma unroll
    for (uint i = 0; i < 2; i++)
#pragma unroll
        for (uint j = 0; j < 4; j++)
            simdgroup_store(sum[i][j], y_tile + (m_at + 8 * i) * Y_STRIDE + n_at + 8 * j, Y_STRIDE);
    threadgroup_barrier(mem_flags::mem_threadgroup);

    for (uint at = index; at < GEMM_M * GEMM_N; at += GEMM_THREADS) {
        uint i = at / GEMM_N, j = at % GEMM_N;
        if (i < m && n0 + j < args.n) {
            y[ulong(rows.of_y(i)) * args.ldy + n0 + j] =
                y_tile[i * Y_STRIDE + j] * unscale[rows.of_x(i)];
        }
    }
}
