/* assay gate: the command line of the comparison of two versions. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gate/gate.h"
#include "gate/report.h"
#include "history/keep_record.h"
#include "isolate.h"
#include "options.h"
#include "record.h"
#include "timer.h"

static const struct assay_option options[] = {
    {"base", 0, "REV", NULL, "commit to compare with: its kernels are built in a git work tree"},
    {"head", 0, "REV", "HEAD", "commit to judge; 'worktree': HEAD and the changes to its files"},
    {"base-plugin", 0, "FILE", NULL, "a plugin to compare with, instead of a commit"},
    {"head-plugin", 0, "FILE", NULL, "a plugin to judge, instead of a commit"},
    {"type", 't', "T,...", NULL, "types (default: all that both take)"},
    {"m", 'm', "M,...", "1,16", "batch sizes"},
    {"shape", 0, "NxK", "256x2048", "rows and columns of the matrix"},
    {"threads", 'j', "N", "1", "threads"},
    {"min-effect", 0, "PERCENT", "3", "the least change that matters"},
    {"alpha", 0, "PERCENT", "1", "chance that a run accuses any case wrongly"},
    {"memory-slack", 0, "BYTES", "4k", "growth of a store and its scratch that is let through"},
    {"budget", 0, "DUR", "60s", "time for all cases; what is not decided by then is undecided"},
    {"metric", 0, "NAME", "time", "time, or instructions (hardware counters, else callgrind)"},
    {"clock", 0, "NAME", "auto",
     "wall, or auto: processor time with one thread, wall with several"},
    {"strict", 0, NULL, NULL, "exit with 3 if a case is undecided and none regressed"},
    {"seed", 's', "S", "1", "seed of data and order"},
    {"junit", 0, "FILE", NULL, "write JUnit XML"},
    {"github", 0, NULL, NULL,
     "print annotations and add to the job summary (default in GitHub Actions)"},
    {"benchmark-json", 0, "FILE", NULL, "write github-action-benchmark's customSmallerIsBetter"},
    {"bencher", 0, "FILE", NULL, "write Bencher Metric Format"},
    {"json", 0, "FILE", NULL, "write a record ('-': standard output)"},
    ASSAY_RECORD_OPTIONS,
    {NULL, 0, NULL, NULL, NULL},
};

#define MAX_CASES 512

struct gate {
    const struct assay_args *args;
    struct assay_gate_params params;
    const struct assay_type_traits *types[64];
    size_t n_types;
    size_t ms[16];
    size_t n_ms;
    size_t n, k;
    json_t *results;
    uint64_t started_ns;
    FILE *out;
};

static bool bad(const struct gate *g, const char *option, const char *what, const char *item) {
    assay_usage_error(g->args->command, "option '--%s': %s '%s'", option, what, item);
    return false;
}

/* ---- The selection --------------------------------------------------------------------------- */

static bool add_type(const char *item, void *user) {
    struct gate *g = user;
    const struct assay_type_traits *t = assay_type_by_name(item);

    if (t == NULL || t->dequant == NULL)
        return bad(g, "type", "unknown type", item);
    if (g->n_types == sizeof g->types / sizeof g->types[0])
        return bad(g, "type", "too many items at", item);
    g->types[g->n_types++] = t;
    return true;
}

static bool add_m(const char *item, void *user) {
    struct gate *g = user;
    char *end;
    unsigned long m = strtoul(item, &end, 10);

    if (item[0] < '0' || item[0] > '9' || *end != '\0' || m < 1 || m > 65536)
        return bad(g, "m", "not from 1 to 65536:", item);
    if (g->n_ms == sizeof g->ms / sizeof g->ms[0])
        return bad(g, "m", "too many items at", item);
    g->ms[g->n_ms++] = m;
    return true;
}

static bool select_shape(struct gate *g) {
    const char *shape = assay_args_get(g->args, "shape");
    char rest;

    if (strspn(shape, "0123456789x") != strlen(shape) || strlen(shape) > 20 ||
        sscanf(shape, "%zux%zu%c", &g->n, &g->k, &rest) != 2 || g->n < 1 || g->k < 1 ||
        g->n > 1 << 20 || g->k > 1 << 20)
        return bad(g, "shape", "not NxK:", shape);
    return true;
}

static bool select_choices(struct gate *g) {
    const char *metric = assay_args_get(g->args, "metric"),
               *clock = assay_args_get(g->args, "clock");

    if (strcmp(metric, "time") != 0 && strcmp(metric, "instructions") != 0)
        return bad(g, "metric", "not time or instructions:", metric);
    if (strcmp(clock, "auto") != 0 && strcmp(clock, "wall") != 0)
        return bad(g, "clock", "not auto or wall:", clock);
    g->params.metric = strcmp(metric, "time") == 0 ? ASSAY_GATE_TIME : ASSAY_GATE_INSTRUCTIONS;
    g->params.wall = strcmp(clock, "wall") == 0;
    if (g->params.metric == ASSAY_GATE_INSTRUCTIONS && g->params.threads > 1) {
        assay_usage_error(g->args->command,
                          "option '--metric': instructions are counted with one thread");
        return false;
    }
    return true;
}

static bool select_numbers(struct gate *g) {
    unsigned long long seed = 0, slack = 0, threads = 0;
    double effect = 0, alpha = 0;

    if (!assay_args_u64(g->args, "seed", &seed, 0, INT64_MAX) ||
        !assay_args_u64(g->args, "memory-slack", &slack, 0, INT64_MAX) ||
        !assay_args_u64(g->args, "threads", &threads, 1, 1024) ||
        !assay_args_double(g->args, "min-effect", &effect, 0.01, 1000) ||
        !assay_args_double(g->args, "alpha", &alpha, 1e-6, 50) ||
        !assay_args_duration(g->args, "budget", &g->params.budget_s))
        return false;
    g->params.seed = seed;
    g->params.memory_slack = slack;
    g->params.threads = (int)threads;
    g->params.min_effect = effect / 100;
    g->params.alpha = alpha / 100;
    return assay_args_list(g->args, "type", add_type, g) &&
           assay_args_list(g->args, "m", add_m, g) && select_shape(g) && select_choices(g);
}

/* The version that the options --REV or --REV-plugin name. */
static bool select_version(struct gate *g, int which, const char *rev_option,
                           const char *plugin_option) {
    struct assay_gate_version *v = &g->params.versions[which];
    const char *rev = assay_args_get(g->args, rev_option);
    const char *plugin = assay_args_get(g->args, plugin_option);
    char err[4600];

    if (plugin != NULL) {
        snprintf(v->plugin, sizeof v->plugin, "%s%s", strchr(plugin, '/') == NULL ? "./" : "",
                 plugin);
        snprintf(v->label, sizeof v->label, "%.90s", plugin);
    } else if (rev == NULL) {
        assay_usage_error(g->args->command, "give --%s REV or --%s FILE", rev_option,
                          plugin_option);
        return false;
    } else if (assay_gate_build(rev, v, err, sizeof err)) {
        char commit[13];
        snprintf(commit, sizeof commit, "%.12s", v->commit);
        snprintf(v->label, sizeof v->label, "%.40s (%s)", rev, commit);
    } else {
        assay_usage_error(g->args->command, "option '--%s': %s", rev_option, err);
        return false;
    }
    if (assay_gate_open(v, err, sizeof err))
        return true;
    assay_usage_error(g->args->command, "%s", err);
    return false;
}

static bool both_take(const struct gate *g, const struct assay_type_traits *t) {
    return assay_backend_supports(g->params.versions[0].backend, t) &&
           assay_backend_supports(g->params.versions[1].backend, t);
}

static bool select_cases(struct gate *g) {
    const bool all = g->n_types == 0;

    for (size_t i = 0; all && i < assay_type_count(); i++)
        if (both_take(g, assay_type_at(i)) && g->n_types < 64 &&
            g->k % assay_type_at(i)->block_len == 0)
            g->types[g->n_types++] = assay_type_at(i);
    for (size_t i = 0; i < g->n_types; i++) {
        if (g->k % g->types[i]->block_len != 0)
            return bad(g, "shape", "K is no multiple of the block length of", g->types[i]->name);
        for (size_t j = 0; j < g->n_ms && g->params.n_cases < MAX_CASES; j++)
            g->params.cases[g->params.n_cases++] =
                (struct assay_gate_case){.type = g->types[i], .m = g->ms[j], .n = g->n, .k = g->k};
    }
    if (g->params.n_cases > 0)
        return true;
    assay_usage_error(g->args->command, "there is no type that both versions take");
    return false;
}

/* ---- Outputs --------------------------------------------------------------------------------- */

static bool write_failed(const struct gate *g, const char *path) {
    assay_usage_error(g->args->command, "%s: %s", path, strerror(errno));
    return false;
}

static bool write_junit(const struct gate *g) {
    const char *path = assay_args_get(g->args, "junit");
    FILE *f = path != NULL ? fopen(path, "w") : NULL;
    bool ok;

    if (path == NULL)
        return true;
    if (f == NULL)
        return write_failed(g, path);
    ok = assay_gate_junit(f, &g->params, g->results,
                          1e-9 * (double)(assay_now_ns() - g->started_ns));
    return (fclose(f) == 0 && ok) || write_failed(g, path);
}

static bool write_json(const struct gate *g, const char *option,
                       json_t *(*make)(const json_t *results)) {
    const char *path = assay_args_get(g->args, option);
    json_t *j = path != NULL ? make(g->results) : NULL;
    bool ok;

    if (path == NULL)
        return true;
    ok = json_dump_file(j, path, JSON_INDENT(1)) == 0;
    json_decref(j);
    return ok || write_failed(g, path);
}

static bool tell_github(const struct gate *g) {
    const char *actions = getenv("GITHUB_ACTIONS"), *summary = getenv("GITHUB_STEP_SUMMARY");
    FILE *f;
    bool ok;

    if (!assay_args_flag(g->args, "github") && (actions == NULL || strcmp(actions, "true") != 0))
        return true;
    assay_gate_annotate(g->out, g->results);
    if (summary == NULL || summary[0] == '\0')
        return true;
    f = fopen(summary, "a");
    if (f == NULL)
        return write_failed(g, summary);
    ok = assay_gate_markdown(f, &g->params, g->results);
    return (fclose(f) == 0 && ok) || write_failed(g, summary);
}

static json_t *versions_json(const struct assay_gate_params *p) {
    return json_pack("{s{ss ss} s{ss ss}}", "base", "label", p->versions[0].label, "commit",
                     p->versions[0].commit, "head", "label", p->versions[1].label, "commit",
                     p->versions[1].commit);
}

static bool keep_record(const struct gate *g) {
    json_t *record;
    bool ok;

    if (!assay_record_wanted(g->args))
        return true;
    record =
        assay_record_new("gate", g->args->argc, g->args->argv, g->params.threads, g->params.seed);
    ok = record != NULL && json_object_set(record, "results", g->results) == 0 &&
         json_object_set_new(record, "versions", versions_json(&g->params)) == 0;
    if (!ok)
        assay_usage_error(g->args->command, "out of memory for the record");
    ok = ok && assay_record_keep(g->args, record);
    json_decref(record);
    return ok;
}

static int exit_code(const struct gate *g, bool written) {
    const struct assay_gate_counts n = assay_gate_count(g->results);

    if (n.regressed > 0)
        return ASSAY_EXIT_MISMATCH;
    if (!written || n.skipped == g->params.n_cases)
        return ASSAY_EXIT_USAGE;
    return n.undecided > 0 && assay_args_flag(g->args, "strict") ? ASSAY_EXIT_UNDECIDED
                                                                 : ASSAY_EXIT_OK;
}

static int run_cases(struct gate *g) {
    bool ok;

    g->started_ns = assay_now_ns();
    g->results = assay_gate_run(&g->params);
    if (g->results == NULL)
        return assay_usage_error(g->args->command, "can't start a child process, or out of memory");
    assay_gate_print(g->out, &g->params, g->results);
    /* Each of them is tried, whatever becomes of the others. */
    ok = tell_github(g);
    ok = write_junit(g) && ok;
    ok = write_json(g, "benchmark-json", assay_gate_benchmark_json) && ok;
    ok = write_json(g, "bencher", assay_gate_bencher_json) && ok;
    ok = keep_record(g) && ok;
    return exit_code(g, ok);
}

static int run(const struct assay_args *args) {
    const char *json = assay_args_get(args, "json");
    struct gate g = {.args = args, .out = stdout};
    int code = ASSAY_EXIT_USAGE;

    assay_isolate_restart((const char *const *)(uintptr_t)args->argv, "OMP_WAIT_POLICY", "passive");
    if (json != NULL && strcmp(json, "-") == 0)
        g.out = stderr;
    g.params.cases = calloc(MAX_CASES, sizeof *g.params.cases);
    if (g.params.cases == NULL)
        return assay_usage_error(args->command, "out of memory");
    if (assay_record_check(args) && select_numbers(&g) &&
        select_version(&g, ASSAY_GATE_BASE, "base", "base-plugin") &&
        select_version(&g, ASSAY_GATE_HEAD, "head", "head-plugin") && select_cases(&g))
        code = run_cases(&g);
    json_decref(g.results);
    free(g.params.cases);
    return code;
}

const struct assay_command assay_cmd_gate = {
    .name = "gate",
    .synopsis = "--base REV [OPTIONS]",
    .summary = "Decide whether one commit's kernels are slower, larger or wrong beside another's",
    .details =
        "Builds the kernels of both commits as plugins, each in a git work tree with its own "
        "Makefile (kept in build/gate/), or takes plugins as files. Head's products are judged "
        "against the reference first, on a sample of columns: one that is wrong fails. Then both "
        "versions take turns in one process, on the same buffers, in an order that a coin decides, "
        "until the interval of their ratio decides the case: regressed, improved, or the same. "
        "Where it doesn't, more pairs are taken, up to 1536 or until the budget is spent; then the "
        "case is undecided, which is no failure without --strict.\n\n"
        "The interval is exact (of the sign test) and holds for all looks at all cases together: a "
        "run in which nothing is slower by more than --min-effect fails in less than --alpha of "
        "all runs. With one thread, time is the processor time of the process, which other "
        "programs lengthen little.\n\n"
        "Memory is the bytes of the store, and those that it and one product's scratch take from "
        "the allocator: exact, and a failure beyond --memory-slack.\n\n"
        "With --metric instructions one count decides, from hardware counters or, where there are "
        "none, from callgrind; valgrind knows no AVX-512, so that it counts AVX2 kernels there.\n\n"
        "Exit status: 0 if nothing regressed, 1 if a case is slower, larger, wrong or crashed, 2 "
        "for a usage or input error, 3 with --strict if a case is undecided.",
    .examples = "# this branch against main\n"
                "$ assay gate --base main\n"
                "# before committing, two types only\n"
                "$ assay gate --base HEAD --head worktree --type q4_k,q6_k\n"
                "# two builds of a kernel of your own\n"
                "$ assay gate --base-plugin old/mine.so --head-plugin ./mine.so\n"
                "# in CI\n"
                "$ assay gate --base origin/main --junit gate.xml --benchmark-json gate.json\n",
    .options = options,
    .run = run,
};
