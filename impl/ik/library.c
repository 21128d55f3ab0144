#include "library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ik.h"
#include "impl/symbols.h"

#define BUILT_LIBRARY "build/peers/ik/libggml.so" /* where ci/peer-ik.sh puts it */

/* clang-format off */
#define IN_LIBRARY(member) offsetof(struct assay_ik_library, member)
static const struct assay_symbol symbols[] = {
    {"ggml_init",             IN_LIBRARY(init)},
    {"ggml_free",             IN_LIBRARY(free)},
    {"ggml_tensor_overhead",  IN_LIBRARY(tensor_overhead)},
    {"ggml_new_tensor_2d",    IN_LIBRARY(new_tensor_2d)},
    {"ggml_get_data",         IN_LIBRARY(get_data)},
    {"ggml_row_size",         IN_LIBRARY(row_size)},
    {"ggml_blck_size",        IN_LIBRARY(block_length)},
    {"iqk_mul_mat",           IN_LIBRARY(mul_mat)},
    {"iqk_repacked_type",     IN_LIBRARY(repacked_type)},
    {"iqk_repack_tensor",     IN_LIBRARY(repack)},
    {"quantize_row_q8_2_x4",  IN_LIBRARY(quantise_q8_2)},
    {"quantize_row_q8_K",     IN_LIBRARY(quantise_q8_k)},
    {"quantize_row_q8_K32",   IN_LIBRARY(quantise_q8_k32)},
};
#undef IN_LIBRARY
/* clang-format on */

/* Returns NULL, or why it failed (static storage). The library is never unloaded: its threads keep
 * state of their own. */
static const char *load(struct assay_ik_library *lib) {
    const char *asked = getenv("ASSAY_IK_LIB");
    static char why[256];
    const char *missing;
    void *handle;

    lib->path = asked != NULL && *asked != '\0' ? asked : BUILT_LIBRARY;
    if (lib->path != asked && access(lib->path, F_OK) != 0)
        return "no ik_llama.cpp library (make peers-ik builds one; ASSAY_IK_LIB)";
    /* Lazily: without its attention kernels, which take longest to build, some functions that
     * nothing here reaches are not there. */
    handle = dlopen(lib->path, RTLD_LAZY | RTLD_LOCAL);
    if (handle == NULL) {
        snprintf(why, sizeof why, "ik_llama.cpp library: %s", dlerror());
        return why;
    }
    missing = assay_symbols_load(lib, handle, symbols, sizeof symbols / sizeof symbols[0]);
    if (missing != NULL) {
        snprintf(why, sizeof why, "%s lacks %s", lib->path, missing);
        dlclose(handle);
        return why;
    }
    return NULL;
}

const struct assay_ik_library *assay_ik_library_get(const char **why) {
    static struct assay_ik_library library;
    static const char *failure;
    static bool tried;

    if (!tried) {
        failure = load(&library);
        tried = true;
    }
    *why = failure;
    return failure == NULL ? &library : NULL;
}

const char *assay_ik_library(void) {
    const char *why;
    const struct assay_ik_library *lib = assay_ik_library_get(&why);

    return lib != NULL ? lib->path : NULL;
}
