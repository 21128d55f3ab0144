/* Row unpackers: 256 columns of one row as signed codes in memory, for types whose codes come from
 * tables. Used by the GEMV and the panels of gemm_rows.c. */
#ifndef ASSAY_IMPL_CPU_AVX512_ROWS_H
#define ASSAY_IMPL_CPU_AVX512_ROWS_H

#include <stddef.h>
#include <stdint.h>

/* 256 columns: weight k is scale[k / 16] · code[k]. */
struct row_codes {
    _Alignas(64) int8_t code[256];
    _Alignas(64) float scale[16];
};

/* Unpacks `columns` columns (256, or fewer at the end of a row: the rest becomes 0) from `block`.
 */
typedef void (*row_unpack_fn)(const uint8_t *block, size_t columns, struct row_codes *out);

#endif
