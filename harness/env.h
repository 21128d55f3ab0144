/* What this build and this machine are. */
#ifndef ASSAY_HARNESS_ENV_H
#define ASSAY_HARNESS_ENV_H

#include <stdbool.h>
#include <stdint.h>

struct assay_env {
    const char *version;     /* "0.1.0" */
    const char *commit;      /* full hash at build time, or "unknown" */
    bool dirty;              /* the work tree had changes */
    const char *branch;      /* at build time; "" if unknown or detached */
    const char *commit_date; /* of the committer, UTC, ISO 8601; "" if unknown */
    const char *compiler;    /* "gcc 12.2.0" */
    const char *cflags;
    char cpu_model[128];
    char cpu_features[256]; /* those that matter here: "avx2 fma f16c avx512f avx512_vnni …" */
    char isa[16];           /* best assay_isa that runs here */
    int cores;              /* CPUs this process may run on */
    uint64_t memory_bytes;
    uint64_t l1d_bytes, l2_bytes, l3_bytes; /* 0: unknown */
    char os[128];                           /* "Linux 6.1.0 x86_64" */
    char governor[32];                      /* of the first CPU's frequency; "" if unknown */
};

const struct assay_env *assay_env_get(void); /* filled in once */

#endif
