/* The two versions that a gate compares: a plugin each, given as a file or built from a commit. */
#ifndef ASSAY_HARNESS_GATE_VERSION_H
#define ASSAY_HARNESS_GATE_VERSION_H

#include <stdbool.h>
#include <stddef.h>

#include "impl/backend.h"

struct assay_gate_version {
    char label[96];                      /* "base 1a2b3c4d5e6f", "head ./mine.so" */
    char commit[48];                     /* full hash; "" of a plugin that was given */
    char plugin[4096];                   /* the shared object */
    const struct assay_backend *backend; /* of that plugin; not registered */
};

/* Builds the kernels of the commit that `rev` names in the git repository of the current folder, as
 * a plugin in build/gate/ there, or finds the one that was built before. "worktree" is HEAD with
 * the changes of tracked files. Says what it does on standard error, as building takes minutes.
 * False with one line in err. */
bool assay_gate_build(const char *rev, struct assay_gate_version *v, char *err, size_t err_size);

/* Reads v->plugin in a child process and makes v->backend. */
bool assay_gate_open(struct assay_gate_version *v, char *err, size_t err_size);

#endif
