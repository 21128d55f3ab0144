/* assay explain: a failed case again, taken apart. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "explain.h"
#include "keep.h"
#include "options.h"
#include "plugin.h"

static const struct assay_option options[] = {
    {"gguf", 'g', "FILE", NULL, "the file whose tensors the case names"},
    ASSAY_PLUGIN_OPTION,
    ASSAY_GGML_OPTION,
    {"seed", 's', "S", "1", "base seed that the case failed with"},
    {"timeout", 0, "S", "30", "seconds the case may take (large matrices get more)"},
    {"keep", 0, "DIR", NULL, "save the shrunk case there: GGUF, C data, picture"},
    {NULL, 0, NULL, NULL, NULL},
};

static int explain_file(const struct assay_args *args, const char *path) {
    struct assay_specimen s;
    char err[512];
    bool fails = false, ok;

    if (!assay_keep_load(path, &s, err, sizeof err)) {
        assay_specimen_free(&s);
        return assay_usage_error(args->command, "%s", err);
    }
    printf("%s, kept in %s\n", s.id, path);
    ok = assay_explain_specimen(stdout, &s, assay_args_get(args, "keep"), &fails);
    if (ok && !fails)
        puts("passes now");
    assay_specimen_free(&s);
    return !ok ? ASSAY_EXIT_USAGE : fails ? ASSAY_EXIT_MISMATCH : ASSAY_EXIT_OK;
}

static int run_case(const struct assay_args *args, struct assay_verify_report *r) {
    struct assay_verify_result *result = calloc(1, sizeof *result);
    struct assay_verify_observer observer = {.keep_details = true};
    int code = ASSAY_EXIT_MISMATCH;

    r->results = result;
    if (result == NULL || !assay_verify_run(r->plan, r->params, &observer, result)) {
        free(result);
        return assay_usage_error(args->command, "can't start a child process");
    }
    if (result->verdict == ASSAY_FAIL) {
        assay_verify_print_failure(stdout, r, 0);
        if (!assay_explain_case(stdout, r, 0, assay_args_get(args, "keep")))
            code = ASSAY_EXIT_USAGE;
    } else if (result->verdict == ASSAY_PASS) {
        puts("passes now");
        code = ASSAY_EXIT_OK;
    } else {
        code = assay_usage_error(args->command, "the case can't be run here: it was skipped");
    }
    assay_verify_results_free(result, 1);
    return code;
}

static int explain_id(const struct assay_args *args, const char *id) {
    const char *path = assay_args_get(args, "gguf");
    const struct assay_backend *backends[32];
    const int one_thread = 1;
    struct assay_verify_params params = {
        .backends = backends, .threads = &one_thread, .n_threads = 1};
    unsigned long long seed = 0, timeout = 0;
    struct assay_gguf *gguf = NULL;
    struct assay_plan plan;
    struct assay_verify_report report = {&plan, &params, NULL, path};
    char err[512];
    int code;

    if (!assay_args_u64(args, "seed", &seed, 0, INT64_MAX) ||
        !assay_args_u64(args, "timeout", &timeout, 1, 86400))
        return ASSAY_EXIT_USAGE;
    params.seed = seed;
    params.timeout_s = (int)timeout;
    for (size_t i = 0; i < assay_backend_count() && i < sizeof backends / sizeof backends[0]; i++)
        backends[params.n_backends++] = assay_backend_at(i);
    if (path != NULL && (gguf = assay_gguf_open(path, err, sizeof err)) == NULL)
        return assay_usage_error(args->command, "%s", err);
    params.gguf = gguf;
    if (!assay_plan_make_one(&plan, &params, id, err, sizeof err))
        code = assay_usage_error(args->command, "%s", err);
    else if (plan.n_cases != 1)
        code = assay_usage_error(args->command, "the case can't be run here: %s",
                                 plan.n_skips > 0 ? plan.skips[0].reason : "no runner for it");
    else
        code = run_case(args, &report);
    assay_plan_free(&plan);
    assay_gguf_close(gguf);
    return code;
}

static int run(const struct assay_args *args) {
    const char *what = args->positional[0];
    size_t len = strlen(what);
    struct assay_plugins plugins;
    struct stat st;
    bool is_file = stat(what, &st) == 0 || (len > 5 && strcmp(what + len - 5, ".gguf") == 0);

    if (!assay_plugins_from_args(args, &plugins))
        return ASSAY_EXIT_USAGE;
    if (plugins.failed > 0)
        return assay_plugins_exit(&plugins, ASSAY_EXIT_OK);
    return is_file ? explain_file(args, what) : explain_id(args, what);
}

const struct assay_command assay_cmd_explain = {
    .name = "explain",
    .synopsis = "CASE|FILE.gguf [OPTIONS]",
    .summary = "shrink a failed case, take its block apart, guess the bug",
    .details =
        "Runs a case that 'assay verify' named, or one that --keep saved, and if it fails looks "
        "for the smallest product and the simplest data that still do. Prints the block as decoded "
        "fields with the wrong one marked, the terms of the sum, a map of the wrong outputs and "
        "what kind of bug the pattern speaks for. Every attempt is a child process.\n\n"
        "Exit status: 0 if the case passes, 1 if it still fails, 2 for a usage or input error.",
    .examples = "# a case of 'assay verify'\n"
                "$ assay explain --seed 1 gemm/q4_k/1x33x512/uniform/normal/cpu/avx2/t1\n"
                "# saved for the kernel's own project, and seen again later\n"
                "$ assay verify --plugin ./mine.so --keep cases\n"
                "$ assay explain --plugin ./mine.so cases/CASE.gguf",
    .options = options,
    .min_positional = 1,
    .max_positional = 1,
    .run = run,
};
