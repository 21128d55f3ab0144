#include "library.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ggml.h"
#include "impl/symbols.h"

#define PACKAGE_DIR "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64"
#define NOT_FOUND "ggml libraries not found (npm package @node-llama-cpp/linux-x64)"

static const char *chosen_dir;

void assay_ggml_set_dir(const char *dir) { chosen_dir = dir; }

const char *assay_ggml_dir(void) { return chosen_dir; }

/* clang-format off */
#define IN_LIBRARY(member) offsetof(struct assay_ggml_library, member)
static const struct assay_symbol base_symbols[] = {
    {"ggml_init",                           IN_LIBRARY(init)},
    {"ggml_free",                           IN_LIBRARY(free)},
    {"ggml_tensor_overhead",                IN_LIBRARY(tensor_overhead)},
    {"ggml_graph_overhead_custom",          IN_LIBRARY(graph_overhead_custom)},
    {"ggml_new_tensor_2d",                  IN_LIBRARY(new_tensor_2d)},
    {"ggml_new_tensor_3d",                  IN_LIBRARY(new_tensor_3d)},
    {"ggml_mul_mat",                        IN_LIBRARY(mul_mat)},
    {"ggml_mul_mat_id",                     IN_LIBRARY(mul_mat_id)},
    {"ggml_new_graph_custom",               IN_LIBRARY(new_graph_custom)},
    {"ggml_build_forward_expand",           IN_LIBRARY(build_forward_expand)},
    {"ggml_get_type_traits",                IN_LIBRARY(get_type_traits)},
    {"ggml_log_set",                        IN_LIBRARY(log_set)},
    {"ggml_threadpool_params_init",         IN_LIBRARY(threadpool_params_init)},
    {"ggml_backend_reg_dev_get",            IN_LIBRARY(reg_dev_get)},
    {"ggml_backend_reg_get_proc_address",   IN_LIBRARY(reg_get_proc_address)},
    {"ggml_backend_dev_init",               IN_LIBRARY(dev_init)},
    {"ggml_backend_dev_supports_op",        IN_LIBRARY(dev_supports_op)},
    {"ggml_backend_free",                   IN_LIBRARY(backend_free)},
    {"ggml_backend_graph_compute",          IN_LIBRARY(graph_compute)},
    {"ggml_backend_buft_name",              IN_LIBRARY(buft_name)},
    {"ggml_backend_buft_alloc_buffer",      IN_LIBRARY(buft_alloc_buffer)},
    {"ggml_backend_buft_get_alloc_size",    IN_LIBRARY(buft_get_alloc_size)},
    {"ggml_backend_buffer_get_base",        IN_LIBRARY(buffer_get_base)},
    {"ggml_backend_buffer_free",            IN_LIBRARY(buffer_free)},
    {"ggml_backend_cpu_buffer_from_ptr",    IN_LIBRARY(cpu_buffer_from_ptr)},
    {"ggml_backend_tensor_alloc",           IN_LIBRARY(tensor_alloc)},
    {"ggml_backend_tensor_set",             IN_LIBRARY(tensor_set)},
};
static const struct assay_symbol cpu_symbols[] = {
    {"ggml_get_type_traits_cpu",            IN_LIBRARY(get_type_traits_cpu)},
    {"ggml_threadpool_pause",               IN_LIBRARY(threadpool_pause)},
};
static const struct assay_symbol registry_symbols[] = {
    {"ggml_backend_set_n_threads",          IN_LIBRARY(set_n_threads)},
    {"ggml_backend_dev_get_extra_bufts",    IN_LIBRARY(get_extra_bufts)},
    {"ggml_threadpool_new",                 IN_LIBRARY(threadpool_new)},
    {"ggml_threadpool_free",                IN_LIBRARY(threadpool_free)},
    {"ggml_backend_cpu_set_threadpool",     IN_LIBRARY(set_threadpool)},
};
#undef IN_LIBRARY
/* clang-format on */

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* 0: does not run here. A build for one machine has no score. */
static int score_of(void *handle) {
    int (*score)(void);
    void *address = dlsym(handle, "ggml_backend_score");

    if (address == NULL)
        return 1;
    memcpy(&score, &address, sizeof score);
    return score();
}

/* The NAME of libggml-cpu-NAME.so, "" of libggml-cpu.so (a build for one machine); its length is
 * put in *len. NULL for every other file. */
static const char *cpu_library_name(const char *file, size_t *len) {
    static const char prefix[] = "libggml-cpu", suffix[] = ".so";
    size_t n = strlen(file);

    if (n < sizeof prefix + sizeof suffix - 2 || strncmp(file, prefix, sizeof prefix - 1) != 0 ||
        strcmp(file + n - (sizeof suffix - 1), suffix) != 0)
        return NULL;
    file += sizeof prefix - 1;
    *len = n - (sizeof prefix - 1) - (sizeof suffix - 1);
    if (*len == 0)
        return file;
    return *file == '-' && --*len > 0 ? file + 1 : NULL;
}

/* Opens the CPU library of `dir` that scores best on this machine, or the one that
 * $ASSAY_GGML_CPU names ("zen4"). NULL if none runs here. */
static void *open_cpu_library(const char *dir, char *path, size_t path_size) {
    const char *wanted = getenv("ASSAY_GGML_CPU");
    struct dirent *entry;
    void *best = NULL;
    int best_score = 0;
    DIR *d = opendir(dir);

    if (d == NULL)
        return NULL;
    while ((entry = readdir(d)) != NULL) {
        size_t len = 0;
        const char *name = cpu_library_name(entry->d_name, &len);
        char candidate[4096];
        void *handle;
        int score, n;

        if (name == NULL)
            continue;
        if (wanted != NULL && (strlen(wanted) != len || memcmp(wanted, name, len) != 0))
            continue;
        n = snprintf(candidate, sizeof candidate, "%s/%s", dir, entry->d_name);
        if (n < 0 || (size_t)n >= sizeof candidate)
            continue;
        handle = dlopen(candidate, RTLD_NOW | RTLD_LOCAL);
        if (handle == NULL)
            continue;
        score = score_of(handle);
        if (score > best_score) {
            if (best != NULL)
                dlclose(best);
            best = handle;
            best_score = score;
            snprintf(path, path_size, "%s", candidate);
        } else {
            dlclose(handle);
        }
    }
    closedir(d);
    return best;
}

static void discard_log(int level, const char *text, void *user) {
    (void)level;
    (void)text;
    (void)user;
}

static const char *connect_registry(struct assay_ggml_library *lib) {
    struct ggml_backend_reg *(*backend_init)(void);
    struct ggml_backend_reg *reg;
    /* The entry of a library made to be loaded at run time; else the one to link with. */
    void *address = dlsym(lib->cpu_handle, "ggml_backend_init");

    if (address == NULL)
        address = dlsym(lib->cpu_handle, "ggml_backend_cpu_reg");
    if (address == NULL)
        return "ggml_backend_init";
    memcpy(&backend_init, &address, sizeof backend_init);
    reg = backend_init();
    lib->device = lib->reg_dev_get(reg, 0);
    for (size_t i = 0; i < COUNT(registry_symbols); i++) {
        address = lib->reg_get_proc_address(reg, registry_symbols[i].name);
        if (address == NULL)
            return registry_symbols[i].name;
        assay_symbol_set(lib, registry_symbols[i].offset, address);
    }
    return NULL;
}

/* Returns NULL, or why it failed (static storage). The libraries are never unloaded: backends hold
 * threads and thread-local state of theirs. */
static const char *load(struct assay_ggml_library *lib) {
    /* A folder that was asked for is not replaced by another. */
    const char *const dirs[] = {chosen_dir, chosen_dir == NULL ? getenv("ASSAY_GGML_DIR") : NULL,
                                chosen_dir == NULL ? PACKAGE_DIR : NULL};
    static char why[128];

    for (size_t i = 0; i < COUNT(dirs); i++) {
        const char *missing;
        char path[4096];
        void *base;

        if (dirs[i] == NULL || dirs[i][0] == '\0')
            continue;
        snprintf(path, sizeof path, "%s/libggml-base.so", dirs[i]);
        base = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (base == NULL)
            continue;
        lib->cpu_handle = open_cpu_library(dirs[i], lib->path, sizeof lib->path);
        if (lib->cpu_handle == NULL)
            return "no ggml CPU library runs on this machine";
        missing = assay_symbols_load(lib, base, base_symbols, COUNT(base_symbols));
        if (missing == NULL)
            missing = assay_symbols_load(lib, lib->cpu_handle, cpu_symbols, COUNT(cpu_symbols));
        if (missing == NULL) {
            lib->log_set(discard_log, NULL);
            missing = connect_registry(lib);
        }
        if (missing != NULL) {
            snprintf(why, sizeof why, "ggml library lacks %s", missing);
            return why;
        }
        return NULL;
    }
    return NOT_FOUND;
}

const struct assay_ggml_library *assay_ggml_library_get(const char **why) {
    static struct assay_ggml_library library;
    static const char *failure;
    static bool tried;

    if (!tried) {
        failure = load(&library);
        tried = true;
    }
    *why = failure;
    return failure == NULL ? &library : NULL;
}

void *assay_ggml_symbol(const struct assay_ggml_library *lib, const char *name) {
    return dlsym(lib->cpu_handle, name);
}

const char *assay_ggml_library(void) {
    const char *why;
    const struct assay_ggml_library *lib = assay_ggml_library_get(&why);

    return lib != NULL ? strrchr(lib->path, '/') + 1 : NULL;
}

static const char *text_of(const struct assay_ggml_library *lib, const char *symbol) {
    const char *(*function)(void);
    void *address = assay_ggml_symbol(lib, symbol);

    if (address == NULL)
        return "unknown";
    memcpy(&function, &address, sizeof function);
    return function();
}

const char *assay_ggml_version(void) {
    static char text[80];
    const char *why;
    const struct assay_ggml_library *lib = assay_ggml_library_get(&why);

    if (lib == NULL)
        return NULL;
    snprintf(text, sizeof text, "%s (commit %s)", text_of(lib, "ggml_version"),
             text_of(lib, "ggml_commit"));
    return text;
}
