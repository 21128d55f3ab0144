/* Plugins (impl/plugin.h): reading and checking what a library exports, and a backend around it. */
#ifndef ASSAY_IMPL_PLUGIN_LOADER_H
#define ASSAY_IMPL_PLUGIN_LOADER_H

#include "impl/backend.h"

#define ASSAY_PLUGIN_MAX_CLASSES 256

struct assay_plugin_arith {
    uint32_t type; /* GGUF number */
    uint32_t min_m;
    struct assay_arith arith;
};

/* What is known of a plugin without holding its library. Plain data, all of it zero-filled first,
 * so that it can be copied between processes and compared byte by byte. */
struct assay_plugin_info {
    char name[32];
    char description[120];
    unsigned claims;
    uint32_t max_threads;
    bool has_rows;
    uint64_t types; /* bit i: GGUF type i */
    uint32_t n_classes;
    struct assay_plugin_arith classes[ASSAY_PLUGIN_MAX_CLASSES];
};

/* Loads a library into this process, for good, and checks what it says. Returns false with one line
 * in err, without the path. A library can crash the process or hang it: see harness/plugin.h. */
bool assay_plugin_read(const char *path, struct assay_plugin_info *info, char *err,
                       size_t err_size);

/* A backend that loads the library when its first context is made, in the process that makes it;
 * there the library must still say what `info` says. Both are copied. The backend lives as long as
 * the program. NULL if memory ran out. */
const struct assay_backend *assay_plugin_backend_new(const char *path,
                                                     const struct assay_plugin_info *info);

/* The library of a backend made by the above, NULL for every other backend. */
const char *assay_plugin_backend_path(const struct assay_backend *b);

#endif
