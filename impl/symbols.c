#include "symbols.h"

#include <dlfcn.h>
#include <string.h>

/* ISO C has no conversion from an object pointer to a function pointer; POSIX has the same bits. */
void assay_symbol_set(void *table, size_t offset, void *address) {
    memcpy((char *)table + offset, &address, sizeof address);
}

const char *assay_symbols_load(void *table, void *handle, const struct assay_symbol *symbols,
                               size_t n) {
    for (size_t i = 0; i < n; i++) {
        void *address = dlsym(handle, symbols[i].name);
        if (address == NULL)
            return symbols[i].name;
        assay_symbol_set(table, symbols[i].offset, address);
    }
    return NULL;
}
