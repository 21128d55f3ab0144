/* Function tables filled from a shared library that is loaded at run time. */
#ifndef ASSAY_SYMBOLS_H
#define ASSAY_SYMBOLS_H

#include <stddef.h>

struct assay_symbol {
    const char *name;
    size_t offset; /* of the function pointer in the table */
};

/* Puts the address of a function at `offset` of `table`. */
void assay_symbol_set(void *table, size_t offset, void *address);

/* Looks the n symbols up in `handle`, of dlopen(), and puts them into `table`. Returns NULL, or the
 * name of the first that is missing. */
const char *assay_symbols_load(void *table, void *handle, const struct assay_symbol *symbols,
                               size_t n);

#endif
