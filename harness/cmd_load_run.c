/* Loads a model and runs one pass, nothing else: what hyperfine times as a whole process. */
#include <stdio.h>
#include <stdlib.h>

#include "model_pass.h"
#include "options.h"

static bool pass(struct assay_model *model, size_t tokens, char *err, size_t err_size) {
    size_t vocab = assay_model_info(model)->vocab;
    int64_t *ids = calloc(tokens, sizeof *ids); /* token 0 throughout */
    float *logits = malloc(tokens * (vocab ? vocab : 1) * sizeof *logits);
    bool ok = ids && logits && vocab > 0;

    if (ok)
        ok = assay_model_forward(model, ids, tokens, logits, err, err_size);
    else
        snprintf(err, err_size, "out of memory for the logits, or an empty vocabulary");
    free(ids);
    free(logits);
    return ok;
}

static int load_and_run(const struct assay_args *args, const struct assay_ctx_params *params,
                        size_t tokens) {
    const char *path = args->positional[0];
    char err[512];
    struct assay_ctx *ctx = NULL;
    struct assay_error error;
    struct assay_model *model = NULL;
    struct assay_gguf *g = assay_gguf_open(path, err, sizeof err);
    bool ok = g != NULL;

    if (ok && assay_ctx_create(params, &ctx, &error)) {
        snprintf(err, sizeof err, "%s", error.message);
        ok = false;
    }
    if (ok)
        model = assay_model_load(g, ctx, 0, err, sizeof err);
    ok = model && pass(model, tokens, err, sizeof err);
    assay_model_free(model);
    assay_ctx_free(ctx);
    assay_gguf_close(g);
    if (!ok)
        return assay_usage_error(args->command, "%s", err);
    return ASSAY_EXIT_OK;
}

static int run(const struct assay_args *args) {
    const char *backend = assay_args_get(args, "backend"), *isa = assay_args_get(args, "isa");
    struct assay_ctx_params params = {.backend = assay_backend_by_name(backend)};
    unsigned long long threads, tokens;
    char why[160];

    if (!params.backend)
        return assay_usage_error(args->command, "--backend: unknown backend '%s' (see assay types)",
                                 backend);
    if (!assay_backend_available(params.backend, why, sizeof why))
        return assay_usage_error(args->command, "--backend: %s: %s", backend, why);
    if (!assay_isa_parse(isa, &params.isa))
        return assay_usage_error(args->command, "--isa: unknown instruction set '%s'", isa);
    if (!assay_args_u64(args, "threads", &threads, 1, 1024) ||
        !assay_args_u64(args, "tokens", &tokens, 1, 65536))
        return ASSAY_EXIT_USAGE;
    params.threads = (int)threads;
    return load_and_run(args, &params, tokens);
}

static const struct assay_option options[] = {
    {"backend", 'b', "B", "cpu", "How to hold and multiply the weights (see assay types)."},
    {"tokens", 0, "N", "8", "Tokens of the forward pass."},
    {"threads", 'j', "N", "1", "Threads of the backend."},
    {"isa", 0, "ISA", "auto", "Instruction set of a backend that has a choice."},
    {0},
};

const struct assay_command assay_cmd_load_run = {
    .name = "load-run",
    .synopsis = "FILE.gguf [OPTIONS]",
    .summary = "Load a model, run one forward pass, end: to be timed from outside",
    .details = "The same loading and pass as mem's, in this process and without its measurements. "
               "Prints nothing. make bench-load times it with hyperfine.",
    .examples =
        "# Quantised against eager, start to end\n"
        "$ hyperfine 'assay load-run model.gguf' 'assay load-run -b eager-f32 model.gguf'\n",
    .options = options,
    .min_positional = 1,
    .max_positional = 1,
    .run = run,
};
