/* What the host tells a kernel; read by MSL and by C. */
#ifndef ASSAY_METAL_ARGS_H
#define ASSAY_METAL_ARGS_H

enum {
    CHUNK = 16, /* weights that one thread decodes at a time */
    SIMD_WIDTH = 32,
    GEMV_SIMDS = 4,  /* simdgroups of a GEMV threadgroup */
    GEMV_ROWS = 4,   /* rows of W for each simdgroup, one row of x */
    GEMV8_BATCH = 8, /* the most rows of x that gemv8 takes */
    GEMV8_ROWS = 2,  /* rows of W for each simdgroup there */
    GEMM_THREADS = 128,
    GEMM_M = 32, /* rows of x in a tile */
    GEMM_N = 64, /* rows of W in a tile */
    GEMM_K = 32,
    EACH_THREADS = 64 /* threadgroups of the kernels that decode a chunk a thread */
};

/* y[i*ldy + j] = sum over k of x[i*k + …]·W[j, …]; a row of W has row_bytes bytes and W begins at
 * `offset` in its buffer. */
struct product_args {
    unsigned long offset, row_bytes;
    unsigned long expert_bytes; /* from one expert's matrix to the next; 0 if there is one only */
    unsigned int m, n, k, ldy;
    unsigned int share; /* by experts: row i of y is of row i / share of x */
};

/* Rows of W, to be decoded. */
struct decode_args {
    unsigned long offset, row_bytes;
    unsigned int rows, k;
};

/* A row of y and its expert. */
struct expert_row {
    unsigned int expert, row;
};

/* Up to GEMM_M rows of y of one expert: entries first … of a list of rows. */
struct expert_tile {
    unsigned int expert, first, count;
};

#endif
