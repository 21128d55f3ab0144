/* Where the Metal backend's shared object and kernels are: in the folder `metal` beside the
 * program, or in ASSAY_METAL_DIR. */
#include "metal.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __APPLE__
#include <mach-o/dyld.h>
#endif

#define HOST_FILE "assay-metal.so"

/* The program's own path; false where it is not known. */
static bool program_path(char *path, size_t size) {
#ifdef __APPLE__
    uint32_t room = (uint32_t)size;
    return _NSGetExecutablePath(path, &room) == 0;
#else
    ssize_t n = readlink("/proc/self/exe", path, size - 1);
    if (n <= 0)
        return false;
    path[n] = '\0';
    return true;
#endif
}

bool assay_metal_folder(char *folder, size_t size, char *why, size_t why_size) {
    const char *given = getenv("ASSAY_METAL_DIR");
    char file[4200];
    if (given && *given) {
        snprintf(folder, size, "%s", given);
    } else {
        char *slash = program_path(folder, size) ? strrchr(folder, '/') : NULL;
        if (!slash || (size_t)(slash - folder) + sizeof "/metal" > size) {
            snprintf(why, why_size, "the program's own folder is not known");
            return false;
        }
        strcpy(slash, "/metal");
    }
    snprintf(file, sizeof file, "%s/" HOST_FILE, folder);
    if (access(file, R_OK) == 0)
        return true;
    snprintf(why, why_size, "%s",
             given && *given ? "no " HOST_FILE " in ASSAY_METAL_DIR"
                             : "built without BACKENDS=metal");
    return false;
}

const struct metal_host *assay_metal_load(const char *folder, char *why, size_t why_size) {
    char file[4200];
    snprintf(file, sizeof file, "%s/" HOST_FILE, folder);
    void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    const struct metal_host *host = handle ? dlsym(handle, "assay_metal_host") : NULL;
    if (!host)
        snprintf(why, why_size, "%.190s", dlerror());
    return host;
}
