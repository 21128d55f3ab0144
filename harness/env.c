#include "env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#ifdef __APPLE__
#include <sys/sysctl.h>
#endif
#ifdef __linux__
#include <sched.h>
#endif

#include "impl/gemm_quant.h"

/* The Makefile defines these for this file alone. */
#ifndef ASSAY_VERSION
#define ASSAY_VERSION "0.0.0"
#endif
#ifndef ASSAY_COMMIT
#define ASSAY_COMMIT "unknown"
#endif
#ifndef ASSAY_DIRTY
#define ASSAY_DIRTY 0
#endif
#ifndef ASSAY_BRANCH
#define ASSAY_BRANCH ""
#endif
#ifndef ASSAY_COMMIT_DATE
#define ASSAY_COMMIT_DATE ""
#endif
#ifndef ASSAY_CFLAGS
#define ASSAY_CFLAGS "unknown"
#endif

#define STRINGIFY_(x) #x
#define STRINGIFY(x) STRINGIFY_(x)
#if defined(__clang__)
#define COMPILER                                                                                   \
    "clang " STRINGIFY(__clang_major__) "." STRINGIFY(__clang_minor__) "." STRINGIFY(              \
        __clang_patchlevel__)
#elif defined(__GNUC__)
#define COMPILER                                                                                   \
    "gcc " STRINGIFY(__GNUC__) "." STRINGIFY(__GNUC_MINOR__) "." STRINGIFY(__GNUC_PATCHLEVEL__)
#else
#define COMPILER "unknown"
#endif

#ifdef __linux__

/* The value of the first "key : value" line of /proc/cpuinfo with this key. */
static bool cpuinfo_value(const char *key, char *out, size_t size) {
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[4096];
    bool found = false;

    if (f == NULL)
        return false;
    while (!found && fgets(line, sizeof line, f) != NULL) {
        char *colon = strchr(line, ':');
        size_t len = strlen(key);
        if (colon == NULL || strncmp(line, key, len) != 0 ||
            strspn(line + len, " \t") != (size_t)(colon - line) - len)
            continue;
        colon += 1 + strspn(colon + 1, " \t");
        colon[strcspn(colon, "\n")] = '\0';
        snprintf(out, size, "%s", colon);
        found = true;
    }
    fclose(f);
    return found;
}

/* Those of `names` that stand in the blank-separated list `flags`. */
static void select_features(const char *flags, char *out, size_t size) {
    static const char *const names[] = {
        "sse4_2",   "avx",      "avx2",     "fma",      "f16c",       "bmi2",        "avx_vnni",
        "avx512f",  "avx512bw", "avx512vl", "avx512dq", "avx512vbmi", "avx512_vnni", "avx512_bf16",
        "amx_int8", "asimd",    "asimddp",  "i8mm",     "sve",        "fphp",        "bf16",
    };
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t len = strlen(names[i]);
        for (const char *p = strstr(flags, names[i]); p != NULL; p = strstr(p + 1, names[i])) {
            bool starts = p == flags || p[-1] == ' ';
            if (starts && (p[len] == ' ' || p[len] == '\0') && used + len + 2 < size) {
                used += (size_t)snprintf(out + used, size - used, "%s%s", used > 0 ? " " : "",
                                         names[i]);
                break;
            }
        }
    }
}

static void read_cpu(struct assay_env *e) {
    char flags[4096];

    if (!cpuinfo_value("model name", e->cpu_model, sizeof e->cpu_model))
        snprintf(e->cpu_model, sizeof e->cpu_model, "unknown");
    if (cpuinfo_value("flags", flags, sizeof flags) ||
        cpuinfo_value("Features", flags, sizeof flags))
        select_features(flags, e->cpu_features, sizeof e->cpu_features);
}

static int count_cores(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return CPU_COUNT(&set);
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

static uint64_t memory_bytes(void) {
    return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* "48K", "2M" or "" from a one-line file of sysfs. */
static uint64_t read_size(const char *path) {
    FILE *f = fopen(path, "r");
    unsigned long long n = 0;
    char unit = 0;

    if (f == NULL)
        return 0;
    if (fscanf(f, "%llu%c", &n, &unit) < 1)
        n = 0;
    fclose(f);
    return unit == 'K' ? n << 10 : unit == 'M' ? n << 20 : n;
}

static void read_governor(struct assay_env *e) {
    FILE *f = fopen("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "r");

    if (f == NULL)
        return;
    if (fscanf(f, "%31s", e->governor) != 1)
        e->governor[0] = '\0';
    fclose(f);
}

static void read_caches(struct assay_env *e) {
    for (int i = 0; i < 8; i++) {
        char path[96], type[32] = "";
        FILE *f;
        int level = 0;

        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/type", i);
        if ((f = fopen(path, "r")) == NULL)
            return;
        if (fscanf(f, "%31s", type) != 1)
            type[0] = '\0';
        fclose(f);
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/level", i);
        level = (int)read_size(path);
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", i);
        if (strcmp(type, "Instruction") == 0)
            continue;
        if (level == 1)
            e->l1d_bytes = read_size(path);
        else if (level == 2)
            e->l2_bytes = read_size(path);
        else if (level == 3)
            e->l3_bytes = read_size(path);
    }
}

#elif defined(__APPLE__)

static uint64_t sysctl_u64(const char *name) {
    uint64_t v = 0;
    size_t size = sizeof v;
    return sysctlbyname(name, &v, &size, NULL, 0) == 0 ? v : 0;
}

static void read_cpu(struct assay_env *e) {
    size_t size = sizeof e->cpu_model;
    if (sysctlbyname("machdep.cpu.brand_string", e->cpu_model, &size, NULL, 0) != 0)
        snprintf(e->cpu_model, sizeof e->cpu_model, "unknown");
}

static int count_cores(void) { return (int)sysconf(_SC_NPROCESSORS_ONLN); }

static uint64_t memory_bytes(void) { return sysctl_u64("hw.memsize"); }

static void read_caches(struct assay_env *e) {
    e->l1d_bytes = sysctl_u64("hw.l1dcachesize");
    e->l2_bytes = sysctl_u64("hw.l2cachesize");
    e->l3_bytes = sysctl_u64("hw.l3cachesize");
}

static void read_governor(struct assay_env *e) { (void)e; /* the system has no such choice */ }

#endif

static const char *best_isa(void) {
    for (int isa = ASSAY_ISA_COUNT - 1; isa > ASSAY_ISA_SCALAR; isa--)
        if (assay_isa_runs_here((enum assay_isa)isa))
            return assay_isa_name((enum assay_isa)isa);
    return assay_isa_name(ASSAY_ISA_SCALAR);
}

const struct assay_env *assay_env_get(void) {
    static struct assay_env env;
    static bool filled;
    struct utsname u;

    if (filled)
        return &env;
    env.version = ASSAY_VERSION;
    env.commit = ASSAY_COMMIT;
    env.dirty = ASSAY_DIRTY;
    env.branch = ASSAY_BRANCH;
    env.commit_date = ASSAY_COMMIT_DATE;
    env.compiler = COMPILER;
    env.cflags = ASSAY_CFLAGS;
    read_cpu(&env);
    snprintf(env.isa, sizeof env.isa, "%s", best_isa());
    env.cores = count_cores();
    if (env.cores < 1)
        env.cores = 1;
    env.memory_bytes = memory_bytes();
    read_caches(&env);
    read_governor(&env);
    if (uname(&u) == 0)
        snprintf(env.os, sizeof env.os, "%.32s %.64s %.24s", u.sysname, u.release, u.machine);
    filled = true;
    return &env;
}
