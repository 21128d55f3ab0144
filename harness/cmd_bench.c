/* assay bench: the command line of the measurements. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench_case.h"
#include "bench_measure.h"
#include "bench_report.h"
#include "env.h"
#include "history/keep_record.h"
#include "interrupt.h"
#include "isolate.h"
#include "options.h"
#include "plugin.h"
#include "process.h"
#include "record.h"
#include "shard.h"
#include "suggest.h"
#include "term.h"

#define DEFAULT_MODEL "llama-3-8b"
static const char *const default_backends[] = {"cpu", "transient-f16", "ggml", "ggml:repack"};

static const struct assay_option options[] = {
    {"model", 0, "NAME,...", NULL, "all matrices of models of the catalogue, e.g. " DEFAULT_MODEL},
    {"gguf", 'g', "FILE", NULL, "the distinct matrices of a GGUF file, with its own weights"},
    {"shape", 0, "[Mx]NxK,...", NULL, "shapes of your own; without M, with each batch size"},
    {"type", 't', "T,...", NULL,
     "types (default: q4_k; with --plugin: all that it takes; with --gguf: all of the file)"},
    {"backend", 'b', "B,...", NULL,
     "backends, each BACKEND or BACKEND:VARIANT (default: cpu,transient-f16,ggml,ggml:repack)"},
    ASSAY_PLUGIN_OPTION,
    ASSAY_GGML_OPTION,
    {"isa", 0, "I,...", NULL,
     "instruction sets of the backends that have a choice (default: best)"},
    {"m", 'm', "M,...", NULL, "batch sizes (default: 1,8,64; with a model or file: 1,8,512)"},
    {"threads", 'j', "N,...", NULL, "numbers of threads (default: the number of cores)"},
    {"weights", 0, "GEN", "uniform",
     "generator of weights: uniform (every byte random), normal, heavy, extreme, alternating "
     "(quantised, which takes a while)"},
    {"baseline", 0, "B", "eager-f32", "the backend that speed-ups are over; always measured"},
    {"cold", 0, NULL, NULL,
     "rotate copies of the weights that together exceed the last-level cache, so that they come "
     "from memory as they do in a whole model"},
    {"samples", 0, "N", "25", "rounds per case"},
    {"min-time", 0, "S", "0", "go on with a case for at least this many seconds"},
    {"max-time", 0, "S", "10", "end a case after this many seconds (and three rounds)"},
    {"no-verify", 0, NULL, NULL, "time without judging first"},
    {"seed", 's', "S", "1", "seed of weights, activations and order"},
    {"timeout", 0, "S", "600", "seconds a case may take in all"},
    {"json", 0, "FILE", NULL, "write a record ('-': standard output)"},
    ASSAY_RECORD_OPTIONS,
    ASSAY_SHARD_OPTION,
    {NULL, 0, NULL, NULL, NULL},
};

/* Everything that the options select. */
struct selection {
    const struct assay_args *args;
    struct assay_bench_plan plan;
    struct assay_plugins plugins;
    const struct assay_type_traits *types[64];
    size_t n_types;
    size_t ms[64];
    size_t n_ms;
    int threads[32];
    size_t n_threads;
    unsigned isas;
    unsigned long long timeout_s;
    struct assay_shard shard;
    double load; /* of the machine before the run */
    FILE *out;
};

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

static bool bad(const struct selection *s, const char *option, const char *what, const char *item) {
    assay_usage_error(s->args->command, "option '--%s': %s '%s'", option, what, item);
    return false;
}

static bool no_memory(const struct selection *s) {
    assay_usage_error(s->args->command, "out of memory");
    return false;
}

/* ---- One item of each list option ------------------------------------------------------------ */

static bool add_type(const char *item, void *user) {
    struct selection *s = user;
    const struct assay_type_traits *t = assay_type_by_name(item);

    if (t == NULL)
        return bad(s, "type", "unknown type", item);
    if (t->dequant == NULL)
        return bad(s, "type", "assay does not decode", item);
    if (s->n_types == LENGTH(s->types))
        return bad(s, "type", "too many items at", item);
    s->types[s->n_types++] = t;
    return true;
}

static bool add_isa(const char *item, void *user) {
    struct selection *s = user;
    enum assay_isa isa;

    if (!assay_isa_parse(item, &isa) || isa == ASSAY_ISA_AUTO)
        return bad(s, "isa", "unknown instruction set", item);
    s->isas |= 1u << isa;
    return true;
}

static bool add_backend(const char *item, void *user) {
    struct selection *s = user;
    char err[160];

    if (assay_bench_add_contender(&s->plan, item, s->isas, err, sizeof err))
        return true;
    assay_usage_error(s->args->command, "option '--backend': %s", err);
    return false;
}

/* Reads a decimal number from 1 to 999999999; NULL if there is none. */
static const char *read_count(const char *text, size_t *v) {
    size_t digits = strspn(text, "0123456789");

    *v = 0;
    if (digits > 9)
        return NULL;
    for (size_t i = 0; i < digits; i++)
        *v = 10 * *v + (size_t)(text[i] - '0');
    return *v > 0 ? text + digits : NULL;
}

static bool add_m(const char *item, void *user) {
    struct selection *s = user;
    size_t m;
    const char *end = read_count(item, &m);

    if (end == NULL || *end != '\0' || m > 1000000)
        return bad(s, "m", "not from 1 to 1000000:", item);
    if (s->n_ms == LENGTH(s->ms))
        return bad(s, "m", "too many items at", item);
    s->ms[s->n_ms++] = m;
    return true;
}

static bool add_threads(const char *item, void *user) {
    struct selection *s = user;
    size_t n;
    const char *end = read_count(item, &n);

    if (end == NULL || *end != '\0' || n > 1024)
        return bad(s, "threads", "not from 1 to 1024:", item);
    if (s->n_threads == LENGTH(s->threads))
        return bad(s, "threads", "too many items at", item);
    s->threads[s->n_threads++] = (int)n;
    return true;
}

static bool add_shape(const char *item, void *user) {
    struct selection *s = user;
    struct assay_bench_matrix matrix = {.n = 0};
    size_t number[3] = {0}, count = 0;
    const char *p = item;

    do
        p = read_count(p, &number[count]);
    while (p != NULL && ++count < 3 && *p++ == 'x');
    if (p == NULL || count < 2 || (count == 3 ? *p : p[-1]) != '\0')
        return bad(s, "shape", "not MxNxK or NxK:", item);
    matrix.m = count == 3 ? number[0] : 0;
    matrix.n = number[count - 2];
    matrix.k = number[count - 1];
    /* Keeps every buffer of a case below 2^40 bytes. */
    if ((double)matrix.n * (double)matrix.k > 1e11 || (double)matrix.m * (double)matrix.n > 1e11 ||
        (double)matrix.m * (double)matrix.k > 1e11)
        return bad(s, "shape", "too large:", item);
    for (size_t i = 0; i < s->n_types; i++) {
        matrix.type = s->types[i];
        if (matrix.k % matrix.type->block_len != 0) {
            assay_usage_error(s->args->command,
                              "option '--shape': K of '%s' is no multiple of %u, %s's block length",
                              item, matrix.type->block_len, matrix.type->name);
            return false;
        }
        if (!assay_bench_add_matrix(&s->plan, &matrix))
            return no_memory(s);
    }
    return true;
}

static const char *model_name_at(size_t i, void *user) {
    (void)user;
    return assay_catalogue_at(i)->name;
}

static bool add_model(const char *item, void *user) {
    struct selection *s = user;
    const struct assay_model_shape *model = assay_catalogue_find(item);

    if (model == NULL) {
        const char *near = assay_suggest(item, model_name_at, assay_catalogue_count(), NULL);
        assay_usage_error(s->args->command, "option '--model': unknown model '%s'%s%s%s", item,
                          near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                          near != NULL ? "'?" : "");
        return false;
    }
    for (size_t i = 0; i < s->n_types; i++)
        if (!assay_bench_add_model(&s->plan, model, s->types[i]))
            return no_memory(s);
    return true;
}

/* ---- The selection --------------------------------------------------------------------------- */

static bool select_numbers(struct selection *s) {
    struct assay_bench_plan *p = &s->plan;
    unsigned long long seed = 0, samples = 0;

    if (!assay_args_u64(s->args, "seed", &seed, 0, INT64_MAX) ||
        !assay_args_u64(s->args, "samples", &samples, ASSAY_MIN_ROUNDS, 100000) ||
        !assay_args_double(s->args, "min-time", &p->min_s, 0, 86400) ||
        !assay_args_double(s->args, "max-time", &p->max_s, 0, 86400) ||
        !assay_args_u64(s->args, "timeout", &s->timeout_s, 1, 86400))
        return false;
    if (!assay_weights_gen_parse(assay_args_get(s->args, "weights"), &p->weights))
        return bad(s, "weights", "unknown generator", assay_args_get(s->args, "weights"));
    p->max_s = p->max_s < p->min_s ? p->min_s : p->max_s;
    p->seed = seed;
    p->samples = (size_t)samples;
    p->cold = assay_args_flag(s->args, "cold");
    p->verify = !assay_args_flag(s->args, "no-verify");
    return true;
}

static bool select_contenders(struct selection *s) {
    char err[160];

    /* The baseline takes the best instruction set; --isa is about its challengers. */
    if (!assay_bench_add_contender(&s->plan, assay_args_get(s->args, "baseline"), 0, err,
                                   sizeof err)) {
        assay_usage_error(s->args->command, "option '--baseline': %s", err);
        return false;
    }
    if (!assay_args_list(s->args, "isa", add_isa, s) ||
        !assay_args_list(s->args, "backend", add_backend, s))
        return false;
    if (assay_args_get(s->args, "backend") != NULL)
        return true;
    for (size_t i = 0; i < s->plugins.n; i++)
        if (!add_backend(assay_backend_name(s->plugins.backends[i]), s))
            return false;
    for (size_t i = 0; s->plugins.n == 0 && i < LENGTH(default_backends); i++)
        if (!add_backend(default_backends[i], s))
            return false;
    return true;
}

/* The types of the matrices where neither --type nor a file says: those that the plugins take. */
static void default_types(struct selection *s) {
    for (size_t t = 0; t < assay_type_count(); t++) {
        const struct assay_type_traits *type = assay_type_at(t);
        bool taken = false;
        for (size_t i = 0; i < s->plugins.n; i++)
            taken = taken || assay_backend_supports(s->plugins.backends[i], type);
        if (taken)
            s->types[s->n_types++] = type;
    }
    if (s->n_types == 0)
        s->types[s->n_types++] = assay_type_traits(ASSAY_TYPE_Q4_K);
}

static bool select_matrices(struct selection *s, const struct assay_gguf *gguf) {
    const bool any = gguf != NULL || assay_args_get(s->args, "model") != NULL ||
                     assay_args_get(s->args, "shape") != NULL;

    if (!assay_args_list(s->args, "type", add_type, s))
        return false;
    if (gguf != NULL && !assay_bench_add_gguf(&s->plan, gguf, s->types, s->n_types))
        return no_memory(s);
    if (s->n_types == 0)
        default_types(s);
    if (!any) {
        for (size_t i = 0; i < s->n_types; i++) {
            struct assay_bench_matrix m = {
                .name = DEFAULT_MODEL " attn_q", .type = s->types[i], .n = 4096, .k = 4096};
            if (!assay_bench_add_matrix(&s->plan, &m))
                return no_memory(s);
        }
    }
    return assay_args_list(s->args, "model", add_model, s) &&
           assay_args_list(s->args, "shape", add_shape, s);
}

static bool select_cases(struct selection *s) {
    if (!assay_args_list(s->args, "m", add_m, s) ||
        !assay_args_list(s->args, "threads", add_threads, s))
        return false;
    if (s->n_ms == 0) {
        const bool quick =
            assay_args_get(s->args, "model") == NULL && assay_args_get(s->args, "gguf") == NULL;
        s->ms[s->n_ms++] = 1;
        s->ms[s->n_ms++] = 8;
        s->ms[s->n_ms++] = quick ? 64 : 512;
    }
    if (s->n_threads == 0)
        s->threads[s->n_threads++] = assay_env_get()->cores;
    if (!assay_bench_make_cases(&s->plan, s->ms, s->n_ms, s->threads, s->n_threads))
        return no_memory(s);
    if (s->plan.n_cases == 0) {
        assay_usage_error(s->args->command, "the options select no matrix");
        return false;
    }
    return assay_shard_bench(&s->shard, &s->plan) || no_memory(s);
}

/* ---- Running --------------------------------------------------------------------------------- */

struct live {
    const struct selection *s;
    json_t *results;
    volatile int *stage; /* shared with the child */
    char crashes[ASSAY_BENCH_MAX_CONTENDERS][40];
    const char *crashed[ASSAY_BENCH_MAX_CONTENDERS]; /* in the case at work: into crashes */
    bool bad, incomplete;
    const struct assay_gguf *gguf;
};

static json_t *work(size_t i, void *user) {
    struct live *live = user;
    return assay_bench_run_case(&live->s->plan, i, live->stage, live->crashed);
}

struct retry {
    struct live *live;
    size_t item;
};

static json_t *work_again(void *user) {
    const struct retry *retry = user;
    return work(retry->item, retry->live);
}

/* The result of a case whose child died: the case runs again without the contender at fault, until
 * it ends well or nobody is at fault. NULL: no child could be started, or an interrupt. */
static json_t *survivors(struct live *live, size_t i, const json_t *died) {
    json_t *result = json_deep_copy(died);
    struct retry retry = {live, i};

    memset(live->crashed, 0, sizeof live->crashed);
    for (;;) {
        const char *how = json_string_value(json_object_get(result, "crash"));
        int stage = *live->stage;

        *live->stage = -1;
        if (how == NULL || stage < 0 || live->crashed[stage] != NULL)
            break;
        snprintf(live->crashes[stage], sizeof live->crashes[stage], "%s", how);
        live->crashed[stage] = live->crashes[stage];
        json_decref(result);
        result = assay_isolate_once(work_again, &retry, (int)live->s->timeout_s);
    }
    memset(live->crashed, 0, sizeof live->crashed);
    return result;
}

static void show_progress(size_t i, void *user) {
    const struct live *live = user;
    const struct assay_bench_plan *p = &live->s->plan;
    const struct assay_bench_case *c = &p->cases[i];
    const struct assay_bench_matrix *m = &p->matrices[c->matrix];
    char what[80];

    snprintf(what, sizeof what, "%s %zux%zux%zu, %d threads", m->type->name, c->m, m->n, m->k,
             c->threads);
    assay_progress("bench", i, p->n_cases, what);
}

static bool keep_result(size_t i, const json_t *result, void *user) {
    struct live *live = user;
    const struct assay_bench_plan *p = &live->s->plan;
    bool crashed = json_object_get(result, "crash") != NULL;
    char changed[512];
    json_t *kept;

    /* No contender is at fault where the file went away under it. */
    if (crashed && live->gguf != NULL && !assay_gguf_unchanged(live->gguf, changed, sizeof changed))
        return false;
    kept = crashed ? survivors(live, i, result) : json_deep_copy(result);
    *live->stage = -1;
    if (kept == NULL)
        return false;
    if (json_object_get(kept, "crash") != NULL) { /* in nobody's code */
        json_t *crash = kept;
        kept = assay_bench_describe(p, i);
        json_object_update(kept, crash);
        json_decref(crash);
    }
    live->bad = live->bad || assay_bench_result_bad(kept);
    live->incomplete = json_array_append_new(live->results, kept) != 0;
    return !live->incomplete;
}

static int write_record(const struct selection *s, json_t *results, const char *partial) {
    json_t *record = assay_record_new("bench", s->args->argc, s->args->argv,
                                      s->threads[s->n_threads - 1], s->plan.seed);
    int code = ASSAY_EXIT_OK;

    if (record == NULL || json_object_set(record, "results", results) != 0 ||
        json_object_set_new(record, "load_before", assay_json_real(s->load)) != 0 ||
        (s->shard.count > 0 &&
         json_object_set_new(record, "shard", assay_shard_json(&s->shard)) != 0))
        code = assay_usage_error(s->args->command, "out of memory for the record");
    else {
        if (partial != NULL)
            assay_record_partial(record, partial);
        if (!assay_record_keep(s->args, record))
            code = ASSAY_EXIT_USAGE;
    }
    json_decref(record);
    return code;
}

/* The load that the machine carried before; negative: unknown. */
static double load_average(void) {
    double load;
    return getloadavg(&load, 1) == 1 ? load : -1;
}

static void say_what_runs(const struct selection *s) {
    const struct assay_bench_plan *p = &s->plan;

    fprintf(s->out, "bench: %zu case%s on %s; ", p->n_cases, p->n_cases == 1 ? "" : "s",
            assay_env_get()->cpu_model);
    for (size_t i = 0; i < p->n_contenders; i++)
        fprintf(s->out, "%s%s", i > 0 ? ", " : "", p->contenders[i].label);
    fprintf(s->out, "; %zu interleaved rounds a case, %s\n", p->samples,
            p->verify ? "each product verified first" : "not verified");
    if (s->load > 0.5)
        fprintf(s->out, "note: the machine is busy (load average %.1f); timings are of its rest\n",
                s->load);
    fflush(s->out);
}

static int run_cases(struct selection *s, const struct assay_gguf *gguf) {
    struct live live = {.s = s, .results = json_array(), .gguf = gguf};
    struct assay_isolate iso = {
        .count = s->plan.n_cases,
        .timeout_s = (int)s->timeout_s,
        .work = work,
        .done = keep_result,
        .before = show_progress,
        .fresh = s->plugins.n > 0, /* what one does to its process must not reach the next case */
        .memory_bytes = assay_process_memory(1),
        .user = &live,
    };
    int code = ASSAY_EXIT_USAGE;
    const char *partial;
    char changed[512];

    live.stage =
        mmap(NULL, sizeof *live.stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (live.results == NULL || live.stage == MAP_FAILED) {
        no_memory(s);
        goto out;
    }
    *live.stage = -1;
    say_what_runs(s);
    assay_interrupt_catch();
    if (!assay_isolate_run(&iso)) {
        assay_progress_clear();
        assay_usage_error(s->args->command, "can't start a child process");
        goto out;
    }
    assay_progress_clear();
    if (live.incomplete) {
        no_memory(s);
        goto out;
    }
    assay_bench_print(s->out, &s->plan, live.results, assay_args_get(s->args, "gguf"));
    code = live.bad ? ASSAY_EXIT_MISMATCH : ASSAY_EXIT_OK;
    partial = assay_interrupt_reason();
    if (gguf != NULL && !assay_gguf_unchanged(gguf, changed, sizeof changed))
        partial = changed;
    if (partial != NULL)
        code =
            assay_usage_error(s->args->command, "%s: the results are partial, %zu of %zu cases ran",
                              partial, json_array_size(live.results), s->plan.n_cases);
    if (assay_record_wanted(s->args) && write_record(s, live.results, partial) != ASSAY_EXIT_OK)
        code = ASSAY_EXIT_USAGE;
    else
        code = assay_interrupt_exit(code);
out:
    if (live.stage != MAP_FAILED)
        munmap((void *)(uintptr_t)live.stage, sizeof *live.stage);
    json_decref(live.results);
    return code;
}

static int run(const struct assay_args *args) {
    struct selection s = {.args = args, .load = load_average(), .out = stdout};
    const char *path = assay_args_get(args, "gguf"), *json = assay_args_get(args, "json");
    struct assay_gguf *gguf = NULL;
    int code = ASSAY_EXIT_USAGE;
    char err[512];

    /* A record on standard output keeps it to itself. */
    if (json != NULL && strcmp(json, "-") == 0)
        s.out = stderr;
    if (!assay_record_check(args) || !assay_plugins_from_args(args, &s.plugins))
        return ASSAY_EXIT_USAGE;
    if (s.plugins.failed > 0 && s.plugins.n == 0 && assay_args_get(args, "backend") == NULL)
        return assay_plugins_exit(&s.plugins, ASSAY_EXIT_OK);
    if (path != NULL && (gguf = assay_gguf_open(path, err, sizeof err)) == NULL)
        return assay_usage_error(args->command, "%s", err);
    if (assay_shard_from_args(args, &s.shard) && select_numbers(&s) && select_contenders(&s) &&
        select_matrices(&s, gguf) && select_cases(&s))
        code = run_cases(&s, gguf);
    assay_shard_free(&s.shard);
    assay_bench_plan_free(&s.plan);
    assay_gguf_close(gguf);
    return assay_plugins_exit(&s.plugins, code);
}

const struct assay_command assay_cmd_bench = {
    .name = "bench",
    .synopsis = "[OPTIONS]",
    .summary = "time backends against each other and against eager fp32",
    .details =
        "Without options: one 4096×4096 matrix of Q4_K, batches of 1, 8 and 64, on all cores.\n\n"
        "Before a product is timed, its output for that very matrix and batch is judged on a "
        "sample of columns against the reference; one that is wrong gets no number. All backends "
        "of a case then take turns in one process, in a new random order each round. A sample "
        "repeats the product for at least a millisecond; it starts when the threads of the one "
        "before sleep and its own have been woken by untimed calls. Speed-ups are medians over "
        "rounds of the ratio of the two "
        "times, with a bootstrap interval.\n\n"
        "The roof is measured: the bandwidth of reading as many bytes with as many threads, and "
        "the peak of fp32 multiply-adds or int8 dot products, whichever the arithmetic needs.\n\n"
        "Exit status: 0 if every product that was measured is right, 1 if one is wrong, failed or "
        "crashed, 2 for a usage or input error; 130 if interrupted, with the cases that it has.",
    .examples = "# the quick set\n"
                "$ assay bench\n"
                "# a model's matrices, weights from memory as in a whole model\n"
                "$ assay bench --model llama-3-8b --type q4_k,q6_k --m 1,512 --threads 1,2 --cold\n"
                "# a kernel of your own (impl/example/README.md)\n"
                "$ assay bench --plugin ./mine.so --shape 1x4096x4096\n"
                "# one backend's instruction sets on a shape of your own\n"
                "$ assay bench --shape 1x4096x14336 --backend cpu --isa avx2,avx512\n"
                "# the AVX2 kernels beside ggml's build for AVX2\n"
                "$ ASSAY_GGML_CPU=haswell assay bench --backend cpu,ggml,ggml:repack --isa avx2\n"
                "# the matrices of a file, as a record\n"
                "$ assay bench --gguf model.gguf --json bench.json",
    .options = options,
    .run = run,
};
