/* A plugin that does not load: it calls a function that nobody has. */
#include "impl/plugin.h"

int assay_test_nowhere_defined(void);

static int create(uint32_t type, const void *bytes, size_t nbytes, size_t rows, size_t in,
                  int threads, void **store, char *err, size_t err_size) {
    (void)type, (void)bytes, (void)nbytes, (void)rows, (void)in, (void)threads, (void)store;
    (void)err, (void)err_size;
    return assay_test_nowhere_defined();
}

struct assay_plugin assay_plugin_v1 = {.magic = ASSAY_PLUGIN_MAGIC, .create = create};
