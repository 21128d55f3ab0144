/* From MSL to a loaded library: preprocess, scan, the strict pass, compile, cache, dlopen. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "headers.h"
#include "library.h"
#include "scan.h"
#include "text.h"

extern char **environ;

/* Compilers that round half at every operation: clang 16 is the first. */
static const char *const compilers[] = {"clang-16", "clang-17", "clang-18", "clang-19"};

/* One rounding per operation of half, no contraction: what MSL leaves to the compiler is taken at
 * its strictest. MSL has no aliasing rule that kernels keep; char is signed on every target. */
#define COMMON_FLAGS                                                                               \
    "-x", "c++", "-std=c++17", "-nostdinc", "-nostdinc++", "-fno-exceptions", "-fno-rtti",         \
        "-ffp-contract=off", "-fno-math-errno", "-fno-strict-aliasing", "-fsigned-char",           \
        "-fno-lax-vector-conversions", "-Wno-user-defined-literals",                               \
        "-Wno-duplicate-decl-specifier", "-Wno-unknown-pragmas", "-Werror=global-constructors",    \
        "-Werror=unknown-attributes", "-Werror=ignored-attributes", "-Werror=return-type",         \
        "-Wno-pass-failed", "-fPIC", "-shared", "-fvisibility=hidden", "-Wl,-z,defs",              \
        "-Wl,-Bsymbolic", "-Xclang", "-cl-single-precision-constant", "-Xclang",                   \
        "-ffloat16-excess-precision=none"
#if defined(__x86_64__)
#define TARGET_FLAGS "-mavx2", "-mf16c", "-mfma"
#elif defined(__aarch64__)
#define TARGET_FLAGS "-march=armv8.2-a+fp16"
#endif

static const char *const fast_flags[] = {COMMON_FLAGS, TARGET_FLAGS, "-O2", NULL};

/* Out-of-line callbacks before every access; granularity 16, so that an access may count as aligned
 * only where its type says so. Vectorised or merged accesses would hide which element is wrong. A
 * write that follows a read of the same address is told too: for a race it makes the difference. */
static const char *const checked_flags[] = {
    COMMON_FLAGS,
    TARGET_FLAGS,
    "-O1",
    "-gline-tables-only",
    "-DMSL_CHECKED=1",
    "-fno-vectorize",
    "-fno-slp-vectorize",
    "-fsanitize=kernel-address",
    "-fsanitize=array-bounds,shift-exponent,integer-divide-by-zero",
    "-Xclang",
    "-fsanitize-minimal-runtime",
    "-mllvm",
    "-asan-instrumentation-with-call-threshold=0",
    "-mllvm",
    "-asan-stack=0",
    "-mllvm",
    "-asan-globals=1",
    "-mllvm",
    "-asan-mapping-scale=4",
    "-mllvm",
    "-asan-opt-same-temp=0",
    "-mllvm",
    "-asan-kernel-mem-intrinsic-prefix=1",
    NULL};

/* The strict pass: types only, in OpenCL C++, whose address spaces are MSL's. Program-scope
 * variables must be constant, as in MSL; that feature takes the others with it. The generic address
 * space, which MSL lacks, stays on: without it this compiler can't copy structs; the scanner looks
 * for pointers that name no space instead. */
static const char *const strict_flags[] = {
    "-x",
    "clcpp",
    "-cl-no-stdinc",
    "-cl-std=clc++2021",
    "--target=spir64",
    "-fsyntax-only",
    "-fno-lax-vector-conversions",
    "-Wno-unknown-pragmas",
    "-DMSL_STRICT=1",
    "-Werror=unknown-attributes",
    "-Werror=return-type",
    "-Xclang",
    "-cl-ext=-__opencl_c_device_enqueue,-__opencl_c_program_scope_global_variables",
    NULL};

/* ---- Small helpers ---- */

static bool on_path(const char *program) {
    if (strchr(program, '/') != NULL)
        return access(program, X_OK) == 0;
    const char *path = getenv("PATH");
    for (const char *p = path ? path : "/usr/bin:/bin"; *p != 0;) {
        size_t n = strcspn(p, ":");
        char file[PATH_MAX];
        if (n > 0 &&
            snprintf(file, sizeof file, "%.*s/%s", (int)n, p, program) < (int)sizeof file &&
            access(file, X_OK) == 0)
            return true;
        p += n + (p[n] == ':');
    }
    return false;
}

const char *assay_soft_compiler(char *why, size_t n) {
    const char *chosen = getenv("ASSAY_METAL_CLANG");
    if (chosen != NULL && *chosen != 0) {
        if (on_path(chosen))
            return chosen;
        snprintf(why, n, "ASSAY_METAL_CLANG=%s is no program", chosen);
        return NULL;
    }
    for (size_t i = 0; i < sizeof compilers / sizeof *compilers; i++)
        if (on_path(compilers[i]))
            return compilers[i];
    snprintf(why, n, "no clang-16 or later to compile kernels with");
    return NULL;
}

static bool write_file(const char *dir, const char *name, const char *data, size_t n, char *err,
                       size_t err_size) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    bool ok = f != NULL && fwrite(data, 1, n, f) == n;
    if (f != NULL)
        ok = fclose(f) == 0 && ok;
    if (!ok)
        snprintf(err, err_size, "%s: cannot write: %s", path, strerror(errno));
    return ok;
}

static char *read_file(const char *path, size_t *len) {
    struct assay_text t = {0};
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return NULL;
    char block[65536];
    size_t n;
    while ((n = fread(block, 1, sizeof block, f)) > 0)
        assay_text_add(&t, block, n);
    fclose(f);
    assay_text_add(&t, "", 0);
    if (t.failed) {
        free(t.data);
        return NULL;
    }
    if (len != NULL)
        *len = t.len;
    return t.data;
}

/* Runs argv with standard output to `out` and standard error to `log` (paths). True if it
 * succeeded. */
static bool run(char **argv, const char *out, const char *log) {
    posix_spawn_file_actions_t fa;
    pid_t pid;
    int status = -1;
    if (posix_spawn_file_actions_init(&fa) != 0)
        return false;
    bool ok =
        posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0) == 0 &&
        posix_spawn_file_actions_addopen(&fa, 1, out, O_WRONLY | O_CREAT | O_TRUNC, 0600) == 0 &&
        posix_spawn_file_actions_addopen(&fa, 2, log, O_WRONLY | O_CREAT | O_TRUNC, 0600) == 0 &&
        posix_spawnp(&pid, argv[0], &fa, NULL, argv, environ) == 0;
    posix_spawn_file_actions_destroy(&fa);
    if (!ok)
        return false;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return false;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void remove_dir(const char *dir) {
    static const char *const names[] = {"in.metal", "in.i", "k.cpp", "strict.cl",
                                        "log",      "out",  "k.so"};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    for (size_t i = 0; i < assay_soft_n_headers; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, assay_soft_headers[i].name);
        unlink(path);
    }
    rmdir(dir);
}

/* The standard headers that a source may include: all of them are the one. */
static const char *const standard_headers[] = {
    "metal_stdlib", "metal_simdgroup", "metal_simdgroup_matrix",
    "metal_atomic", "metal_math",      "simd/simd.h"};

/* ---- Compilation ---- */

struct job {
    const char *clang, *name;
    enum assay_soft_mode mode;
    char dir[PATH_MAX - 64];
    char *err;
    size_t err_size;
};

/* The compiler's log as the error message. */
static bool diagnose(const struct job *j, const char *what) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/log", j->dir);
    size_t n = 0;
    char *log = read_file(path, &n);
    while (n > 0 && log[n - 1] == '\n')
        log[--n] = 0;
    if (n > 0)
        snprintf(j->err, j->err_size, "%s", log);
    else
        snprintf(j->err, j->err_size, "%s: %s failed and said nothing", what, j->clang);
    free(log);
    return false;
}

/* Blanks the includes of standard headers, so that the preprocessor meets MSL's own words as plain
 * identifiers; any other include is left for it to reject. */
static void blank_includes(char *source) {
    for (char *p = source; *p != 0; p += strcspn(p, "\n"), p += *p == '\n') {
        const char *q = p + strspn(p, " \t");
        if (*q != '#')
            continue;
        q++;
        q += strspn(q, " \t");
        if (strncmp(q, "include", 7) != 0)
            continue;
        q += 7;
        q += strspn(q, " \t");
        for (size_t i = 0; i < sizeof standard_headers / sizeof *standard_headers; i++) {
            size_t n = strlen(standard_headers[i]);
            if ((*q == '<' || *q == '"') && strncmp(q + 1, standard_headers[i], n) == 0 &&
                (q[n + 1] == '>' || q[n + 1] == '"'))
                memset(p, ' ', strcspn(p, "\n"));
        }
    }
}

static bool preprocess(const struct job *j, const char *source, char **out) {
    char in[PATH_MAX], to[PATH_MAX], log[PATH_MAX];
    struct assay_text t = {0};
    snprintf(in, sizeof in, "%s/in.metal", j->dir);
    snprintf(to, sizeof to, "%s/in.i", j->dir);
    snprintf(log, sizeof log, "%s/log", j->dir);
    assay_text_printf(&t, "# 1 \"%s\"\n", j->name);
    size_t head = t.len;
    assay_text_add(&t, source, strlen(source));
    bool ok = !t.failed;
    if (ok) {
        blank_includes(t.data + head);
        ok = write_file(j->dir, "in.metal", t.data, t.len, j->err, j->err_size);
    } else {
        snprintf(j->err, j->err_size, "no memory");
    }
    free(t.data);
    if (!ok)
        return false;
    char *argv[] = {(char *)j->clang,
                    "-x",
                    "c++",
                    "-std=c++17",
                    "-E",
                    "-undef",
                    "-nostdinc",
                    "-D__METAL__=1",
                    "-D__METAL_VERSION__=310",
                    "-D__METAL_MACOS__=1",
                    in,
                    NULL};
    if (!run(argv, to, log))
        return diagnose(j, "preprocessing");
    if ((*out = read_file(to, NULL)) != NULL)
        return true;
    snprintf(j->err, j->err_size, "%s: cannot read", to);
    return false;
}

/* Writes `file`: the library's declarations, then the translated source. */
static bool write_unit(const struct job *j, const char *file, const char *head, const char *text) {
    struct assay_text t = {0};
    assay_text_printf(&t, "%s#define MSL_SOURCE \"%s\"\n# 1 \"%s\"\n", head, j->name, j->name);
    assay_text_add(&t, text, strlen(text));
    bool ok = !t.failed && write_file(j->dir, file, t.data, t.len, j->err, j->err_size);
    if (t.failed)
        snprintf(j->err, j->err_size, "no memory");
    free(t.data);
    return ok;
}

static bool run_clang(const struct job *j, const char *const *flags, const char *file,
                      const char *so) {
    char include[PATH_MAX], in[PATH_MAX], out[PATH_MAX], log[PATH_MAX], *argv[96];
    size_t n = 0;
    snprintf(include, sizeof include, "-I%s", j->dir);
    snprintf(in, sizeof in, "%s/%s", j->dir, file);
    snprintf(log, sizeof log, "%s/log", j->dir);
    argv[n++] = (char *)j->clang;
    for (; *flags != NULL; flags++)
        argv[n++] = (char *)*flags;
    argv[n++] = include;
    argv[n++] = in;
    if (so != NULL) {
        snprintf(out, sizeof out, "%s/%s", j->dir, so);
        argv[n++] = "-o";
        argv[n++] = out;
        argv[n++] = "-lm";
    }
    argv[n] = NULL;
    return run(argv, "/dev/null", log) || diagnose(j, "compiling");
}

static bool strict_pass(const struct job *j, const char *text) {
    static const char head[] = "#include \"metal_stdlib\"\n"
                               "#define is_function_constant_defined(name) true\n";
    char *unit = NULL;
    bool ok = assay_soft_scan(text, true, &unit, j->err, j->err_size) &&
              write_unit(j, "strict.cl", head, unit) &&
              run_clang(j, strict_flags, "strict.cl", NULL);
    free(unit);
    return ok;
}

static bool compile_unit(const struct job *j, const char *text) {
    static const char head[] =
        "#include \"abi.h\"\n"
        "static const struct msl_runtime *msl_runtime;\n"
        "#include \"metal_stdlib\"\n"
        "#define is_function_constant_defined(name) (msl_defined_##name != 0)\n";
    char *unit = NULL;
    bool ok =
        assay_soft_scan(text, false, &unit, j->err, j->err_size) &&
        write_unit(j, "k.cpp", head, unit) &&
        run_clang(j, j->mode == ASSAY_SOFT_CHECKED ? checked_flags : fast_flags, "k.cpp", "k.so");
    free(unit);
    return ok;
}

static bool translate(const struct job *j, const char *source) {
    char *text = NULL;
    for (size_t i = 0; i < assay_soft_n_headers; i++)
        if (!write_file(j->dir, assay_soft_headers[i].name, assay_soft_headers[i].data,
                        assay_soft_headers[i].size, j->err, j->err_size))
            return false;
    bool ok = preprocess(j, source, &text) && strict_pass(j, text) && compile_unit(j, text);
    free(text);
    return ok;
}

/* ---- Cache ---- */

/* Two FNV-1a hashes of 64 bits with different beginnings. */
struct hash {
    uint64_t a, b;
};

static void mix(struct hash *h, const char *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        h->a = (h->a ^ (uint8_t)s[i]) * 0x100000001b3u;
        h->b = (h->b ^ (uint8_t)s[i]) * 0x100000001b3u + 0x9e3779b97f4a7c15u;
    }
}

static void mix_string(struct hash *h, const char *s) { mix(h, s, strlen(s) + 1); }

static bool make_dirs(const char *path, char *err, size_t err_size) {
    char part[PATH_MAX];
    size_t n = strlen(path);
    for (size_t i = 1; i <= n && n < sizeof part; i++)
        if (path[i] == '/' || path[i] == 0) {
            memcpy(part, path, i);
            part[i] = 0;
            if (mkdir(part, 0700) != 0 && errno != EEXIST) {
                snprintf(err, err_size, "%s: cannot make this cache directory: %s", part,
                         strerror(errno));
                return false;
            }
        }
    return true;
}

static bool cache_dir(char *dir, size_t n, char *err, size_t err_size) {
    const char *own = getenv("ASSAY_METAL_CACHE"), *xdg = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    if (own != NULL && *own != 0)
        snprintf(dir, n, "%s", own);
    else if (xdg != NULL && *xdg == '/')
        snprintf(dir, n, "%s/assay/metal", xdg);
    else if (home != NULL && *home == '/')
        snprintf(dir, n, "%s/.cache/assay/metal", home);
    else
        snprintf(dir, n, "/tmp/assay-metal-%u", (unsigned)getuid());
    return make_dirs(dir, err, err_size);
}

bool assay_soft_library_compile(const char *source, const char *name, enum assay_soft_mode mode,
                                const char *path, char *err, size_t err_size) {
    struct job j = {.name = name, .mode = mode, .err = err, .err_size = err_size};
    const char *slash = strrchr(path, '/');
    if ((j.clang = assay_soft_compiler(err, err_size)) == NULL)
        return false;
    if (strpbrk(name, "\"\\\n") != NULL) {
        snprintf(err, err_size, "%s: quotes and backslashes can't be in a source's name", name);
        return false;
    }
    /* Beside the result, so that it can be moved there in one step. */
    if (snprintf(j.dir, sizeof j.dir, "%.*smsl-XXXXXX", slash ? (int)(slash - path + 1) : 0,
                 path) >= (int)sizeof j.dir ||
        mkdtemp(j.dir) == NULL) {
        snprintf(err, err_size, "%s: cannot write there: %s", path, strerror(errno));
        return false;
    }
    char so[PATH_MAX];
    snprintf(so, sizeof so, "%s/k.so", j.dir);
    bool ok = translate(&j, source);
    if (ok && rename(so, path) != 0) {
        snprintf(err, err_size, "%s: cannot write: %s", path, strerror(errno));
        ok = false;
    }
    remove_dir(j.dir);
    return ok;
}

bool assay_soft_library_create(const char *source, const char *name, enum assay_soft_mode mode,
                               struct assay_soft_library **out, char *err, size_t err_size) {
    const char *clang = assay_soft_compiler(err, err_size);
    char dir[PATH_MAX - 64], path[PATH_MAX];
    if (clang == NULL || !cache_dir(dir, sizeof dir, err, err_size))
        return false;
    struct hash h = {0xcbf29ce484222325u, 0x84222325cbf29ce4u};
    mix_string(&h, clang);
    mix_string(&h, name);
    mix_string(&h, source);
    for (const char *const *f = mode == ASSAY_SOFT_CHECKED ? checked_flags : fast_flags; *f; f++)
        mix_string(&h, *f);
    for (size_t i = 0; i < assay_soft_n_headers; i++)
        mix(&h, assay_soft_headers[i].data, assay_soft_headers[i].size);
    snprintf(path, sizeof path, "%s/%016llx%016llx.so", dir, (unsigned long long)h.a,
             (unsigned long long)h.b);
    if (access(path, R_OK) != 0 &&
        !assay_soft_library_compile(source, name, mode, path, err, err_size))
        return false;
    return assay_soft_library_open(path, out, err, err_size);
}

/* ---- Loading ---- */

bool assay_soft_library_open(const char *path, struct assay_soft_library **out, char *err,
                             size_t err_size) {
    char local[PATH_MAX];
    if (strchr(path, '/') == NULL) { /* dlopen would search its own path */
        snprintf(local, sizeof local, "./%s", path);
        path = local;
    }
    struct assay_soft_library *lib = calloc(1, sizeof *lib);
    if (lib == NULL || (lib->path = strdup(path)) == NULL) {
        free(lib);
        snprintf(err, err_size, "no memory");
        return false;
    }
    lib->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    lib->module = lib->handle ? dlsym(lib->handle, "assay_msl_module") : NULL;
    if (lib->module == NULL)
        snprintf(err, err_size, "%s", dlerror());
    else if (lib->module->abi != MSL_ABI)
        snprintf(err, err_size, "%s: compiled for version %u of the device, this is %u", path,
                 lib->module->abi, MSL_ABI);
    if (lib->module == NULL || lib->module->abi != MSL_ABI) {
        assay_soft_library_free(lib);
        return false;
    }
    *lib->module->runtime = &assay_soft_runtime;
    assay_soft_find_image(lib);
    *out = lib;
    return true;
}

void assay_soft_library_free(struct assay_soft_library *lib) {
    if (lib == NULL)
        return;
    if (lib->handle != NULL)
        dlclose(lib->handle);
    free(lib->path);
    free(lib);
}

const struct msl_module *assay_soft_module(const struct assay_soft_library *lib) {
    return lib->module;
}

const struct msl_kernel *assay_soft_kernel(const struct assay_soft_library *lib, const char *name) {
    for (unsigned i = 0; i < lib->module->n_kernels; i++)
        if (strcmp(lib->module->kernels[i].name, name) == 0)
            return &lib->module->kernels[i];
    return NULL;
}
