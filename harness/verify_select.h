/* From the options of assay verify to what the engine runs. */
#ifndef ASSAY_HARNESS_VERIFY_SELECT_H
#define ASSAY_HARNESS_VERIFY_SELECT_H

#include "options.h"
#include "plugin.h"
#include "verify.h"

/* Everything that the options select; the arrays that params points to. */
struct assay_verify_selection {
    const struct assay_command *command;
    struct assay_verify_params params;
    struct assay_plugins plugins;
    const struct assay_backend *backends[ASSAY_MAX_BACKENDS];
    const struct assay_type_traits *types[64];
    struct assay_shape shapes[256];
    int threads[16];
};

/* Fills in what the options select, after command and plugins are set; the GGUF file is left to the
 * caller. False, with the error told, on bad input. */
bool assay_verify_select(struct assay_verify_selection *s, const struct assay_args *args);

#endif
