#include "ggml_oracle.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char reason[4500];

static const char *const default_dir = "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64";

void *ggml_symbol(const char *library, const char *name, const char **why) {
    const char *dir = getenv("ASSAY_GGML_DIR");
    char path[4096];

    *why = reason;
    if (!dir || !*dir)
        dir = default_dir;
    /* With a slash, so that dlopen takes the path and not its search path. */
    snprintf(path, sizeof path, "%s%s/%s", dir[0] == '/' ? "" : "./", dir, library);
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        snprintf(reason, sizeof reason, "ggml is not installed here: %s", dlerror());
        return NULL;
    }
    void *symbol = dlsym(handle, name);
    if (!symbol)
        snprintf(reason, sizeof reason, "%s has no symbol %s", path, name);
    return symbol;
}

ggml_dequant_fn ggml_dequantiser(const struct assay_type_traits *t, const char **why) {
    char name[64];

    /* ggml writes the K-quants' K in upper case: dequantize_row_q4_K. */
    snprintf(name, sizeof name, "dequantize_row_%s", t->name);
    size_t n = strlen(name);
    if (name[n - 2] == '_' && name[n - 1] == 'k')
        name[n - 1] = 'K';
    if (t->block_len == 1) /* ggml_fp16_to_fp32_row, ggml_bf16_to_fp32_row */
        snprintf(name, sizeof name, "ggml_%s_to_fp32_row",
                 t->type == ASSAY_TYPE_F16 ? "fp16" : t->name);

    void *symbol = ggml_symbol("libggml-base.so", name, why);
    ggml_dequant_fn fn = NULL;
    memcpy(&fn, &symbol, sizeof fn); /* ISO C has no conversion from object to function pointers */
    return fn;
}
