/* assay verify: the command line of the verify engine. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "env.h"
#include "explain.h"
#include "isolate.h"
#include "options.h"
#include "plugin.h"
#include "record.h"
#include "suggest.h"
#include "term.h"
#include "verify.h"

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
    {"verbose", 'v', NULL, NULL, "one line a case"},
    {NULL, 0, NULL, NULL, NULL},
};

/* Everything that the options select; the arrays that params points to. */
struct selection {
    const struct assay_command *command;
    struct assay_verify_params params;
    struct assay_plugins plugins;
    const struct assay_backend *backends[32];
    const struct assay_type_traits *types[64];
    struct assay_shape shapes[256];
    int threads[16];
};

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

static bool bad_item(const struct selection *s, const char *option, const char *what,
                     const char *item, const char *near, const char *valid) {
    if (near != NULL)
        assay_usage_error(s->command, "option '--%s': unknown %s '%s'; did you mean '%s'?", option,
                          what, item, near);
    else
        assay_usage_error(s->command, "option '--%s': unknown %s '%s'; there are: %s", option, what,
                          item, valid);
    return false;
}

/* "a, b, c" of n names. */
static const char *name_list(const char *(*name_at)(size_t i, void *user), size_t n, void *user) {
    static char text[1024];
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        const char *name = name_at(i, user);
        if (used + strlen(name) + 3 < sizeof text)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", used > 0 ? ", " : "",
                                     name);
    }
    return text;
}

static bool too_many(const struct selection *s, const char *option) {
    assay_usage_error(s->command, "option '--%s': too many items", option);
    return false;
}

/* ---- One item of each list option ---- */

static const char *type_name_at(size_t i, void *user) {
    (void)user;
    return assay_type_at(i)->name;
}

static const char *decodable_name_at(size_t i, void *user) {
    (void)user;
    for (size_t at = 0; at < assay_type_count(); at++)
        if (assay_type_at(at)->dequant != NULL && i-- == 0)
            return assay_type_at(at)->name;
    return "";
}

static size_t decodable_count(void) {
    size_t n = 0;
    for (size_t i = 0; i < assay_type_count(); i++)
        n += assay_type_at(i)->dequant != NULL;
    return n;
}

static bool add_type(const char *item, void *user) {
    struct selection *s = user;
    const struct assay_type_traits *t = assay_type_by_name(item);

    if (t == NULL)
        return bad_item(s, "type", "type", item,
                        assay_suggest(item, type_name_at, assay_type_count(), NULL),
                        name_list(decodable_name_at, decodable_count(), NULL));
    if (t->dequant == NULL) {
        assay_usage_error(s->command, "option '--type': assay does not decode '%s'", item);
        return false;
    }
    if (s->params.n_types == LENGTH(s->types))
        return too_many(s, "type");
    s->types[s->params.n_types++] = t;
    return true;
}

static const char *backend_name_at(size_t i, void *user) {
    (void)user;
    return assay_backend_name(assay_backend_at(i));
}

static void add_all_backends(struct selection *s) {
    s->params.n_backends = 0;
    for (size_t i = 0; i < assay_backend_count() && i < LENGTH(s->backends); i++)
        s->backends[s->params.n_backends++] = assay_backend_at(i);
}

static bool add_backend(const char *item, void *user) {
    struct selection *s = user;
    const struct assay_backend *b = assay_backend_by_name(item);

    if (strcmp(item, "all") == 0) {
        add_all_backends(s);
        return true;
    }
    for (size_t i = 0; i < s->params.n_backends; i++)
        if (s->backends[i] == b)
            return true;
    if (b == NULL)
        return bad_item(s, "backend", "backend", item,
                        assay_suggest(item, backend_name_at, assay_backend_count(), NULL),
                        name_list(backend_name_at, assay_backend_count(), NULL));
    if (s->params.n_backends == LENGTH(s->backends))
        return too_many(s, "backend");
    s->backends[s->params.n_backends++] = b;
    return true;
}

static const char *isa_name_at(size_t i, void *user) {
    (void)user;
    return assay_isa_name((enum assay_isa)(ASSAY_ISA_SCALAR + i));
}

static bool add_isa(const char *item, void *user) {
    struct selection *s = user;
    enum assay_isa isa;

    if (!assay_isa_parse(item, &isa) || isa == ASSAY_ISA_AUTO)
        return bad_item(s, "isa", "instruction set", item, NULL,
                        name_list(isa_name_at, ASSAY_ISA_COUNT - ASSAY_ISA_SCALAR, NULL));
    s->params.isas |= 1u << isa;
    return true;
}

static const char *weights_name_at(size_t i, void *user) {
    (void)user;
    return assay_weights_gen_name((enum assay_weights_gen)i);
}

static bool add_weights(const char *item, void *user) {
    struct selection *s = user;
    enum assay_weights_gen g;

    if (!assay_weights_gen_parse(item, &g))
        return bad_item(s, "weights", "generator", item,
                        assay_suggest(item, weights_name_at, ASSAY_WGEN_COUNT, NULL),
                        name_list(weights_name_at, ASSAY_WGEN_COUNT, NULL));
    s->params.weights |= 1u << g;
    return true;
}

static const char *acts_name_at(size_t i, void *user) {
    (void)user;
    return assay_acts_gen_name((enum assay_acts_gen)i);
}

static bool add_acts(const char *item, void *user) {
    struct selection *s = user;
    enum assay_acts_gen g;

    if (!assay_acts_gen_parse(item, &g))
        return bad_item(s, "acts", "generator", item,
                        assay_suggest(item, acts_name_at, ASSAY_AGEN_COUNT, NULL),
                        name_list(acts_name_at, ASSAY_AGEN_COUNT, NULL));
    s->params.acts |= 1u << g;
    return true;
}

/* Reads a decimal number of at most 9 digits; NULL if there is none or it is 0. */
static const char *read_count(const char *s, size_t *v) {
    size_t digits = strspn(s, "0123456789");

    *v = 0;
    if (digits == 0 || digits > 9)
        return NULL;
    for (size_t i = 0; i < digits; i++)
        *v = 10 * *v + (size_t)(s[i] - '0');
    return *v > 0 ? s + digits : NULL;
}

static bool add_shape(const char *item, void *user) {
    struct selection *s = user;
    struct assay_shape shape;
    const char *p = read_count(item, &shape.m);

    p = p != NULL && *p == 'x' ? read_count(p + 1, &shape.n) : NULL;
    p = p != NULL && *p == 'x' ? read_count(p + 1, &shape.k) : NULL;
    if (p == NULL || *p != '\0') {
        assay_usage_error(
            s->command, "option '--shape': '%s' is not MxNxK with each from 1 to 999999999", item);
        return false;
    }
    /* Keeps every buffer of a case (24 bytes an element of the reference) below 2^40 bytes. */
    if ((double)shape.m * (double)shape.n > 4e10 || (double)shape.m * (double)shape.k > 1e11 ||
        (double)shape.n * (double)shape.k > 1e11) {
        assay_usage_error(s->command, "option '--shape': '%s' is too large", item);
        return false;
    }
    if (s->params.n_shapes == LENGTH(s->shapes))
        return too_many(s, "shape");
    s->shapes[s->params.n_shapes++] = shape;
    return true;
}

static const char *check_name_at(size_t i, void *user) {
    (void)user;
    return assay_checks[i]->name;
}

static size_t check_count(void) {
    size_t n = 0;
    while (assay_checks[n] != NULL)
        n++;
    return n;
}

static bool add_check(const char *item, void *user) {
    struct selection *s = user;

    for (size_t i = 0; assay_checks[i] != NULL; i++)
        if (strcmp(assay_checks[i]->name, item) == 0) {
            s->params.checks |= 1u << i;
            return true;
        }
    if (strcmp(item, "none") == 0)
        return true;
    return bad_item(s, "check", "check", item,
                    assay_suggest(item, check_name_at, check_count(), NULL),
                    name_list(check_name_at, check_count(), NULL));
}

static bool add_threads(const char *item, void *user) {
    struct selection *s = user;
    size_t n;
    const char *end = read_count(item, &n);

    if (end == NULL || *end != '\0' || n > 1024) {
        assay_usage_error(s->command, "option '--threads': '%s' is not from 1 to 1024", item);
        return false;
    }
    if (s->params.n_threads == LENGTH(s->threads))
        return too_many(s, "threads");
    s->threads[s->params.n_threads++] = (int)n;
    return true;
}

/* ---- The selection ---- */

/* What is judged where --backend does not say: what came with the command line, else assay's own
 * backends. A case names its backend itself. */
static void select_backends(struct selection *s, const struct assay_args *args) {
    if (s->params.n_backends > 0)
        return;
    if (assay_args_get(args, "case") != NULL) {
        add_all_backends(s);
        return;
    }
    for (size_t i = 0; i < s->plugins.n; i++)
        s->backends[s->params.n_backends++] = s->plugins.backends[i];
    if (assay_args_get(args, "ggml") != NULL)
        s->backends[s->params.n_backends++] = assay_backend_by_name("ggml");
    if (s->params.n_backends > 0)
        return;
    for (size_t i = 0; i < assay_backend_count() && i < LENGTH(s->backends); i++)
        if (!assay_backend_is_peer(assay_backend_at(i)))
            s->backends[s->params.n_backends++] = assay_backend_at(i);
}

/* A kernel from outside often takes a few types only: the others are no skips worth a line. */
static void select_types(struct selection *s) {
    if (s->params.n_types > 0 || s->plugins.n == 0)
        return;
    for (size_t t = 0; t < assay_type_count(); t++) {
        const struct assay_type_traits *type = assay_type_at(t);
        bool taken = false;
        for (size_t b = 0; b < s->params.n_backends; b++)
            taken = taken || assay_backend_supports(s->backends[b], type);
        if (taken && type->dequant != NULL)
            s->types[s->params.n_types++] = type;
    }
}

static bool select_variant(struct selection *s, const struct assay_args *args) {
    const char *name = assay_args_get(args, "variant");

    if (name == NULL)
        return true;
    s->params.variant = strcmp(name, "default") == 0 ? "" : name;
    for (size_t i = 0; i < s->params.n_backends; i++)
        for (const char *const *v = assay_backend_variants(s->backends[i]); *v != NULL; v++)
            if (strcmp(*v, s->params.variant) == 0)
                return true;
    assay_usage_error(s->command, "option '--variant': no selected backend has '%s'", name);
    return false;
}

static bool select_seed_and_timeout(struct selection *s, const struct assay_args *args) {
    unsigned long long seed = 0, timeout = 0;

    if (!assay_args_u64(args, "seed", &seed, 0, INT64_MAX) ||
        !assay_args_u64(args, "timeout", &timeout, 1, 86400))
        return false;
    s->params.seed = seed;
    s->params.timeout_s = (int)timeout;
    return true;
}

/* Checks run unless the options are about products. */
static bool select_checks(struct selection *s, const struct assay_args *args) {
    static const char *const of_products[] = {"shape", "weights", "acts", "tensors-only"};

    if (assay_args_get(args, "check") != NULL)
        return assay_args_list(args, "check", add_check, s);
    for (size_t i = 0; i < LENGTH(of_products); i++)
        if (assay_args_get(args, of_products[i]) != NULL)
            return true;
    for (size_t i = 0; assay_checks[i] != NULL; i++)
        if (!s->params.quick || strcmp(assay_checks[i]->name, "decode") == 0 ||
            strcmp(assay_checks[i]->name, "exact") == 0)
            s->params.checks |= 1u << i;
    return true;
}

static bool select_budget(struct selection *s, const struct assay_args *args) {
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"s", 1}, {"m", 60}, {"h", 3600}};
    const char *text = assay_args_get(args, "budget");
    char *end;
    double number;

    if (text == NULL)
        return true;
    number = text[0] >= '0' && text[0] <= '9' ? strtod(text, &end) : 0;
    for (size_t i = 0; number > 0 && number < 1e6 && i < LENGTH(units); i++)
        if (strcmp(end, units[i].unit) == 0) {
            s->params.budget_s = number * units[i].seconds;
            return true;
        }
    assay_usage_error(s->command, "option '--budget': '%s' is no duration such as 30s, 2m or 1h",
                      text);
    return false;
}

static bool select_jobs(struct selection *s, const struct assay_args *args) {
    unsigned long long jobs = (unsigned long long)assay_env_get()->cores;

    /* Each keeps the data of a case. */
    jobs = jobs > 16 ? 16 : jobs;
    if (!assay_args_u64(args, "jobs", &jobs, 1, 64))
        return false;
    s->params.jobs = (int)jobs;
    return true;
}

static bool check_combinations(const struct selection *s, const struct assay_args *args) {
    static const char *const exclusive[] = {
        "type",  "backend", "variant",      "isa",   "shape",       "weights", "acts",
        "quick", "threads", "tensors-only", "check", "checks-only", "budget",  "list"};
    static const char *const pairs[][2] = {
        {"quick", "full"}, {"checks-only", "tensors-only"}, {"checks-only", "shape"}};

    for (size_t i = 0; i < LENGTH(exclusive); i++)
        if (assay_args_get(args, "case") != NULL && assay_args_get(args, exclusive[i]) != NULL) {
            assay_usage_error(s->command, "option '--case' names one case; '--%s' can't change it",
                              exclusive[i]);
            return false;
        }
    for (size_t i = 0; i < LENGTH(pairs); i++)
        if (assay_args_get(args, pairs[i][0]) != NULL &&
            assay_args_get(args, pairs[i][1]) != NULL) {
            assay_usage_error(s->command, "options '--%s' and '--%s' exclude each other",
                              pairs[i][0], pairs[i][1]);
            return false;
        }
    if (assay_args_flag(args, "tensors-only") && assay_args_get(args, "gguf") == NULL) {
        assay_usage_error(s->command, "option '--tensors-only' needs '--gguf'");
        return false;
    }
    return true;
}

static bool select_all(struct selection *s, const struct assay_args *args) {
    int cores = assay_env_get()->cores;

    if (!check_combinations(s, args) || !assay_args_list(args, "type", add_type, s) ||
        !assay_args_list(args, "backend", add_backend, s) ||
        !assay_args_list(args, "isa", add_isa, s) ||
        !assay_args_list(args, "weights", add_weights, s) ||
        !assay_args_list(args, "acts", add_acts, s) ||
        !assay_args_list(args, "shape", add_shape, s) ||
        !assay_args_list(args, "threads", add_threads, s) || !select_seed_and_timeout(s, args) ||
        !select_budget(s, args) || !select_jobs(s, args))
        return false;
    select_backends(s, args);
    select_types(s);
    s->params.thin_threads = s->params.n_threads == 0;
    if (s->params.n_threads == 0) {
        s->threads[s->params.n_threads++] = 1;
        if (cores > 1)
            s->threads[s->params.n_threads++] = cores;
    }
    s->params.backends = s->backends;
    s->params.types = s->types;
    s->params.shapes = s->shapes;
    s->params.threads = s->threads;
    s->params.quick = assay_args_flag(args, "quick");
    s->params.full = assay_args_flag(args, "full");
    s->params.tensors_only = assay_args_flag(args, "tensors-only");
    s->params.checks_only = assay_args_flag(args, "checks-only");
    return select_checks(s, args) && select_variant(s, args);
}

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
                        const char *path) {
    json_t *record =
        assay_record_new("verify", args->argc, args->argv,
                         r->params->threads[r->params->n_threads - 1], r->params->seed);
    int code = ASSAY_EXIT_OK;

    if (record == NULL || !assay_verify_record(record, r))
        code = assay_usage_error(args->command, "out of memory for the record");
    else if (!assay_record_write(record, path))
        code = ASSAY_EXIT_USAGE;
    json_decref(record);
    return code;
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

static int run_plan(const struct assay_args *args, const struct selection *s,
                    const struct assay_plan *plan) {
    struct assay_verify_result *results = calloc(plan->n_cases, sizeof *results);
    const char *json = assay_args_get(args, "json");
    unsigned long long max_failures = 0, explained = 0;
    struct assay_verify_report report = {plan, &s->params, results, assay_args_get(args, "gguf")};
    /* A record on standard output keeps it to itself. */
    FILE *out = json != NULL && strcmp(json, "-") == 0 ? stderr : stdout;
    struct live live = {&report, out, assay_args_flag(args, "verbose")};
    struct assay_verify_observer observer = {show_progress, show_result, &live, json != NULL};
    struct assay_verify_totals totals;
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
    if (!assay_verify_run(plan, &s->params, &observer, results)) {
        assay_progress_clear();
        code = assay_usage_error(args->command, "can't start a child process");
        goto out;
    }
    assay_progress_clear();
    assay_verify_print_summary(out, &report, (size_t)max_failures);
    totals = assay_verify_count(plan, results);
    code = totals.failed > 0 ? ASSAY_EXIT_MISMATCH : ASSAY_EXIT_OK;
    if (totals.passed + totals.failed == 0)
        code = assay_usage_error(args->command, "every case was skipped: nothing is verified");
    if (!explain_failures(args, out, &report, (size_t)explained))
        code = ASSAY_EXIT_USAGE;
    if (json != NULL && write_record(args, &report, json) != ASSAY_EXIT_OK)
        code = ASSAY_EXIT_USAGE;
out:
    if (results != NULL)
        assay_verify_results_free(results, plan->n_cases);
    return code;
}

static int plan_and_run(const struct assay_args *args, const struct selection *s) {
    const char *id = assay_args_get(args, "case");
    struct assay_plan plan;
    char err[320];
    int code;

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
    } else if (assay_args_flag(args, "list")) {
        list_cases(&plan);
        code = ASSAY_EXIT_OK;
    } else {
        code = run_plan(args, s, &plan);
    }
    assay_plan_free(&plan);
    return code;
}

static int run(const struct assay_args *args) {
    struct selection s = {.command = args->command};
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
    if (!assay_plugins_from_args(args, &s.plugins))
        return ASSAY_EXIT_USAGE;
    if (s.plugins.failed > 0 && s.plugins.n == 0 && assay_args_get(args, "backend") == NULL)
        return assay_plugins_exit(&s.plugins, ASSAY_EXIT_OK);
    if (!select_all(&s, args))
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
        "input error, or if nothing was verified.",
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
