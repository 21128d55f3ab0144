/* A plugin whose kernels are another plugin's, one type's slowed by a chain of dependent
 * multiplications: what the gate's self-test injects. The environment says what:
 *   ASSAY_SLOWED_PLUGIN  the other plugin
 *   ASSAY_SLOWED_TYPE    GGUF number of the type
 *   ASSAY_SLOWED_SPIN    multiplications per product
 * Without the first it takes no type and is refused. */
#include <dlfcn.h>
#include <stdlib.h>

#include "impl/plugin.h"

static struct assay_plugin inner;
static unsigned long slowed_type, spin;
static const char *(*inner_kernel)(uint32_t, size_t);
static volatile uint64_t sink; /* keeps the chain */

struct matrix {
    void *store;
    uint32_t type;
};

ASSAY_PLUGIN_EXPORT struct assay_plugin assay_plugin_v1;
ASSAY_PLUGIN_EXPORT const char *assay_gate_kernel(uint32_t type, size_t m);

static int create(uint32_t type, const void *bytes, size_t nbytes, size_t rows, size_t in,
                  int threads, void **store, char *err, size_t err_size) {
    struct matrix *w = malloc(sizeof *w);
    int code;

    if (w == NULL)
        return ASSAY_PLUGIN_ENOMEM;
    w->type = type;
    code = inner.create(type, bytes, nbytes, rows, in, threads, &w->store, err, err_size);
    if (code != ASSAY_PLUGIN_OK)
        free(w);
    else
        *store = w;
    return code;
}

static int forward(void *store, const float *x, size_t m, float *y, size_t ldy, char *err,
                   size_t err_size) {
    const struct matrix *w = store;
    uint64_t chain = sink;

    if (w->type == slowed_type) {
        for (unsigned long i = 0; i < spin; i++)
            chain = chain * 6364136223846793005u + 1442695040888963407u;
        sink = chain;
    }
    return inner.forward(w->store, x, m, y, ldy, err, err_size);
}

static void destroy(void *store) {
    struct matrix *w = store;
    inner.destroy(w->store);
    free(w);
}

static size_t store_bytes(const void *store) {
    return inner.store_bytes != NULL ? inner.store_bytes(((const struct matrix *)store)->store) : 0;
}

const char *assay_gate_kernel(uint32_t type, size_t m) {
    return inner_kernel != NULL ? inner_kernel(type, m) : "";
}

struct assay_plugin assay_plugin_v1 = {
    .magic = ASSAY_PLUGIN_MAGIC,
    .abi = ASSAY_PLUGIN_ABI,
    .size = sizeof assay_plugin_v1,
    .name = "slowed",
    .description = "another plugin, one type slowed",
    .create = create,
    .forward = forward,
    .destroy = destroy,
    .store_bytes = store_bytes,
};

static unsigned long number(const char *name) {
    const char *s = getenv(name);
    return s != NULL ? strtoul(s, NULL, 10) : 0;
}

__attribute__((constructor)) static void open_inner(void) {
    const char *path = getenv("ASSAY_SLOWED_PLUGIN");
    void *handle = path != NULL ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    const struct assay_plugin *p = handle != NULL ? dlsym(handle, "assay_plugin_v1") : NULL;

    if (p == NULL || p->size < sizeof inner)
        return;
    inner = *p;
    *(void **)&inner_kernel = dlsym(handle, "assay_gate_kernel");
    slowed_type = number("ASSAY_SLOWED_TYPE");
    spin = number("ASSAY_SLOWED_SPIN");
    assay_plugin_v1.classes = inner.classes;
    assay_plugin_v1.n_classes = inner.n_classes;
    assay_plugin_v1.max_threads = inner.max_threads;
}
