/* assay version */
#include <stdio.h>

#include "env.h"
#include "options.h"

static void print_size(const char *what, uint64_t bytes) {
    if (bytes >= 1 << 20)
        printf("%s %.1f MiB  ", what, (double)bytes / (1 << 20));
    else if (bytes > 0)
        printf("%s %.0f KiB  ", what, (double)bytes / (1 << 10));
}

static int run(const struct assay_args *args) {
    const struct assay_env *e = assay_env_get();

    (void)args;
    printf("assay %s\n", e->version);
    printf("commit    %s%s\n", e->commit, e->dirty ? " (with changes)" : "");
    printf("compiler  %s\n", e->compiler);
    printf("flags     %s\n", e->cflags);
    printf("machine   %s, %d cores, %.1f GiB\n", e->cpu_model, e->cores,
           (double)e->memory_bytes / (1 << 30));
    printf("caches    ");
    print_size("L1d", e->l1d_bytes);
    print_size("L2", e->l2_bytes);
    print_size("L3", e->l3_bytes);
    printf("\nfeatures  %s\n", e->cpu_features);
    printf("isa       %s\n", e->isa);
    printf("system    %s\n", e->os);
    return ASSAY_EXIT_OK;
}

static const struct assay_option options[] = {{NULL, 0, NULL, NULL, NULL}};

const struct assay_command assay_cmd_version = {
    .name = "version",
    .synopsis = "",
    .summary = "what this build and this machine are",
    .examples = "$ assay version",
    .options = options,
    .run = run,
};
