/* assay verify: the command line of the verify engine. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "explain.h"
#include "history/keep_record.h"
#include "interrupt.h"
#include "isolate.h"
#include "record.h"
#include "shard.h"
#include "term.h"
#include "verify_select.h"

static const struct assay_option options[] = {
    {"gguf", 'g', "FILE", NULL, "also verify every matrix of a GGUF file"},
    {"tensors-only", 0, NULL, NULL, "with --gguf: no generated blocks"},
    {"type", 't', "T,...", NULL, "types, in any case (default: all; see 'assay types')"},
    {"backend", 'b', "B,...", NULL, "backends (default: assay's own; 'all' adds its peers: ggml)"},
    ASSAY_PLUGIN_OPTION,
    ASSAY_GGML_OPTION,
    {"variant", 0, "V", NULL, "one variant of the backends that have it; 'default' for none"},
    {"isa", 0, "I,...", NULL, "instruction sets (default: all that this machine runs)"},
    {"check", 0, "NAME,...", NULL,
     "checks besides products; 'none' for no check (default: all, unless options choose products)"},
    {"list-checks", 0, NULL, NULL, "say what each check does, and run none"},
    {"checks-only", 0, NULL, NULL, "no products"},
    {"shape", 0, "MxNxK,...", NULL,
     "shapes of generated matrices (default: all pairs of classes of sizes and generators)"},
    {"weights", 0, "GEN,...", NULL,
     "generators of blocks: uniform, normal, heavy, extreme, alternating (default: all)"},
    {"acts", 0, "GEN,...", NULL,
     "generators of activations: normal, heavy, one-large, alternating, constant, sparse "
     "(default: all)"},
    {"threads", 'j', "N,...", NULL,
     "numbers of threads for every case (default: 1, and the number of cores once a shape)"},
    {"seed", 's', "S", "1", "base seed of everything random"},
    {"case", 0, "ID", NULL, "run one case, as a failure or --list names it"},
    {"list", 'l', NULL, NULL, "list the cases and run none"},
    {"quick", 'q', NULL, NULL, "fewer shapes and generators, the checks of decoding only"},
    {"full", 0, NULL, NULL, "all pairs of sizes, rows of real models, checks that take their time"},
    {"budget", 0, "DUR", NULL,
     "stop after 30s, 2m, 1h: the cases that tell most come first, and what was reached is said"},
    {"jobs", 0, "N", NULL, "processes at once (default: the number of cores)"},
    {"timeout", 0, "S", "30", "seconds a case may take (large matrices get more)"},
    {"max-failures", 0, "N", "10", "failures to print in full"},
    {"explain", 0, "N", "1", "failures to shrink and explain, some two seconds each"},
    {"keep", 0, "DIR", NULL, "save the explained cases there ('assay explain' replays them)"},
    {"json", 0, "FILE", NULL, "write a record ('-': standard output)"},
    ASSAY_RECORD_OPTIONS,
    ASSAY_SHARD_OPTION,
    {"verbose", 'v', NULL, NULL, "one line a case"},
    {NULL, 0, NULL, NULL, NULL},
};

/* ---- Running ---- */

struct live {
    const struct assay_verify_report *report;
    FILE *out;
    bool verbose;
};

static void show_progress(size_t i, void *user) {
    struct live *live = user;
    const struct assay_plan *plan = live->report->plan;
    char id[256];

    if (live->verbose)
        return;
    assay_case_id(&plan->problems[plan->cases[i].problem], &plan->cases[i].runner, id, sizeof id);
    assay_progress("verify", i, plan->n_cases, id);
}

static bool show_result(size_t i, const struct assay_verify_result *r, void *user) {
    struct live *live = user;
    (void)r;
    if (live->verbose)
        assay_verify_print_case(live->out, live->report, i);
    return true;
}

static void list_cases(const struct assay_plan *plan) {
    for (size_t i = 0; i < plan->n_cases; i++) {
        char id[1024];
        assay_case_id(&plan->problems[plan->cases[i].problem], &plan->cases[i].runner, id,
                      sizeof id);
        puts(id);
    }
}

static int write_record(const struct assay_args *args, const struct assay_verify_report *r,
                        const struct assay_shard *shard, const char *partial) {
    json_t *record =
        assay_record_new("verify", args->argc, args->argv,
                         r->params->threads[r->params->n_threads - 1], r->params->seed);
    int code = ASSAY_EXIT_OK;

    if (record == NULL || !assay_verify_record(record, r) ||
        (shard->count > 0 && json_object_set_new(record, "shard", assay_shard_json(shard)) != 0))
        code = assay_usage_error(args->command, "out of memory for the record");
    else {
        if (partial != NULL)
            assay_record_partial(record, partial);
        if (!assay_record_keep(args, record))
            code = ASSAY_EXIT_USAGE;
    }
    json_decref(record);
    return code;
}

/* Why the results are not those of the whole plan, or of no one file: NULL, an interrupt, or a
 * change of the model file, which goes to err. */
static const char *partial_reason(const struct assay_verify_report *r, char *err, size_t size) {
    if (r->params->gguf != NULL && !assay_gguf_unchanged(r->params->gguf, err, size))
        return err;
    return assay_interrupt_reason();
}

/* Explains the first failures that can be. False, with the error told, if one can't be kept. */
static bool explain_failures(const struct assay_args *args, FILE *out,
                             const struct assay_verify_report *r, size_t most) {
    for (size_t i = 0; i < r->plan->n_cases && most > 0; i++) {
        const struct assay_problem *p = &r->plan->problems[r->plan->cases[i].problem];
        if (r->results[i].verdict != ASSAY_FAIL || !assay_explains(p))
            continue;
        fputc('\n', out);
        assay_verify_print_case(out, r, i);
        if (!assay_explain_case(out, r, i, assay_args_get(args, "keep")))
            return false;
        most--;
    }
    return true;
}

static int run_plan(const struct assay_args *args, const struct assay_verify_selection *s,
                    const struct assay_plan *plan, const struct assay_shard *shard) {
    struct assay_verify_result *results = calloc(plan->n_cases + 1, sizeof *results);
    const char *json = assay_args_get(args, "json");
    unsigned long long max_failures = 0, explained = 0;
    struct assay_verify_report report = {plan, &s->params, results, assay_args_get(args, "gguf")};
    /* A record on standard output keeps it to itself. */
    FILE *out = json != NULL && strcmp(json, "-") == 0 ? stderr : stdout;
    struct live live = {&report, out, assay_args_flag(args, "verbose")};
    struct assay_verify_observer observer = {show_progress, show_result, &live,
                                             assay_record_wanted(args)};
    struct assay_verify_totals totals;
    const char *partial;
    char changed[512];
    int code;

    if (!assay_args_u64(args, "max-failures", &max_failures, 0, 1000000) ||
        !assay_args_u64(args, "explain", &explained, 0, 1000000)) {
        code = ASSAY_EXIT_USAGE;
        goto out;
    }
    if (results == NULL) {
        code = assay_usage_error(args->command, "out of memory");
        goto out;
    }
    assay_interrupt_catch();
    if (!assay_verify_run(plan, &s->params, &observer, results)) {
        assay_progress_clear();
        code = assay_usage_error(args->command, "can't start a child process");
        goto out;
    }
    assay_progress_clear();
    assay_verify_print_summary(out, &report, (size_t)max_failures);
    totals = assay_verify_count(plan, results);
    code = totals.failed > 0 ? ASSAY_EXIT_MISMATCH : ASSAY_EXIT_OK;
    partial = partial_reason(&report, changed, sizeof changed);
    if (partial != NULL)
        code = assay_usage_error(args->command, "%s: the results are partial, %zu of %zu cases ran",
                                 partial, totals.cases - totals.not_run, totals.cases);
    /* A part may be empty, where there are more parts than groups of cases. */
    else if (totals.passed + totals.failed == 0 && (shard->count == 0 || plan->n_cases > 0))
        code = assay_usage_error(args->command, "every case was skipped: nothing is verified");
    else if (!explain_failures(args, out, &report, (size_t)explained))
        code = ASSAY_EXIT_USAGE;
    if (assay_record_wanted(args) &&
        write_record(args, &report, shard, partial) != ASSAY_EXIT_OK)
        code = ASSAY_EXIT_USAGE;
    else
        code = assay_interrupt_exit(code);
out:
    if (results != NULL)
        assay_verify_results_free(results, plan->n_cases);
    return code;
}

static int plan_and_run(const struct assay_args *args, const struct assay_verify_selection *s) {
    const char *id = assay_args_get(args, "case");
    struct assay_plan plan;
    struct assay_shard shard;
    char err[320];
    int code;

    if (!assay_shard_from_args(args, &shard))
        return ASSAY_EXIT_USAGE;
    if (id != NULL && shard.count > 0)
        return assay_usage_error(args->command, "option '--shard': one case has no parts (--case)");
    if (id != NULL) {
        if (!assay_plan_make_one(&plan, &s->params, id, err, sizeof err)) {
            assay_plan_free(&plan);
            return assay_usage_error(args->command, "option '--case': %s", err);
        }
    } else if (!assay_plan_make(&plan, &s->params)) {
        assay_plan_free(&plan);
        return assay_usage_error(args->command, "out of memory");
    }
    if (plan.n_cases == 0) {
        for (size_t i = 0; i < plan.n_skips; i++)
            fprintf(stderr, "assay verify: skipped: %s: %s\n", plan.skips[i].what,
                    plan.skips[i].reason);
        code = assay_usage_error(args->command, "the options select no case");
    } else if (!assay_shard_verify(&shard, &plan, s->params.seed)) {
        code = assay_usage_error(args->command, "out of memory");
    } else if (assay_args_flag(args, "list")) {
        list_cases(&plan);
        code = ASSAY_EXIT_OK;
    } else {
        code = run_plan(args, s, &plan, &shard);
    }
    assay_shard_free(&shard);
    assay_plan_free(&plan);
    return code;
}

static int run(const struct assay_args *args) {
    struct assay_verify_selection s = {.command = args->command};
    const char *path = assay_args_get(args, "gguf");
    struct assay_gguf *gguf = NULL;
    char err[512];
    int code;

    if (assay_args_flag(args, "list-checks")) {
        for (size_t i = 0; assay_checks[i] != NULL; i++)
            printf("%-12s  %s\n", assay_checks[i]->name, assay_checks[i]->summary);
        return ASSAY_EXIT_OK;
    }
    /* Idle threads of OpenMP spin by default, and cost small products ten times what they need:
     * processes at work beside each other must not. */
    assay_isolate_restart((const char *const *)(uintptr_t)args->argv, "OMP_WAIT_POLICY", "passive");
    if (!assay_record_check(args) || !assay_plugins_from_args(args, &s.plugins))
        return ASSAY_EXIT_USAGE;
    if (s.plugins.failed > 0 && s.plugins.n == 0 && assay_args_get(args, "backend") == NULL)
        return assay_plugins_exit(&s.plugins, ASSAY_EXIT_OK);
    if (!assay_verify_select(&s, args))
        return ASSAY_EXIT_USAGE;
    if (path != NULL) {
        gguf = assay_gguf_open(path, err, sizeof err);
        if (gguf == NULL)
            return assay_usage_error(args->command, "%s", err);
        s.params.gguf = gguf;
    }
    code = plan_and_run(args, &s);
    assay_gguf_close(gguf);
    return assay_plugins_exit(&s.plugins, code);
}

const struct assay_command assay_cmd_verify = {
    .name = "verify",
    .synopsis = "[OPTIONS]",
    .summary = "compare backends with the scalar reference, element by element",
    .details =
        "Every selected backend (assay's own, unless --backend, --plugin or --ggml say otherwise) "
        "computes products of generated blocks of every type and, with "
        "--gguf, of every matrix of the file; each element is held to the error bound that its "
        "arithmetic class has at this very element. Cases run in child processes: a crash or a "
        "hang is a failure of its case, not the end of the run.\n\n"
        "Checks judge each type and backend by other means: weights and bits recovered one by one, "
        "exact and special data, statistics of many errors, invariance, memory. Properties that a "
        "backend does not claim are not asked of it: such checks are skipped and counted. "
        "--list-checks describes them.\n\n"
        "Each output is poisoned and fenced beforehand, inputs are read-only and end at a page "
        "without access, each product is computed twice, and row lookups must be bit-identical. "
        "What can't run is skipped with a reason and counted.\n\n"
        "Every failure ends with a command that reproduces it alone.\n\n"
        "Exit status: 0 if at least one case ran and all passed, 1 if one failed, 2 for a usage or "
        "input error, or if nothing was verified. Interrupted, it ends with the cases that "
        "it has, and says so: 130.",
    .examples = "# assay's own backends on generated blocks of every type\n"
                "$ assay verify\n"
                "# a kernel of your own (impl/example/README.md)\n"
                "$ assay verify --plugin ./mine.so\n"
                "# llama.cpp's kernels, from a build of your own\n"
                "$ assay verify --ggml llama.cpp/build/bin\n"
                "# a real model, every tensor, one line a case\n"
                "$ assay verify --gguf model.gguf --tensors-only -v\n"
                "# the half minute that tells most\n"
                "$ assay verify --budget 30s\n"
                "# one backend, two types, shapes of your own\n"
                "$ assay verify --backend cpu --type q4_k,q6_k --shape 1x4096x4096,7x33x512\n"
                "# one case, as a failure names it\n"
                "$ assay verify --seed 1 --case gemm/q4_k/1x33x512/uniform/normal/cpu/avx2/t1",
    .options = options,
    .run = run,
};
