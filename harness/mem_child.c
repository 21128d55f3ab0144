/* The worker of `assay mem`: measures itself. One JSON object on stdout is its whole output. */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "datasets/rng.h"
#include "mem.h"
#include "memuse.h"
#include "model_pass.h"
#include "no_memory.h"
#include "options.h"
#include "plugin.h"
#include "timer.h"

struct job {
    const char *path, *logits_path;
    struct assay_ctx_params ctx;
    unsigned long long threads, tokens, layers;
};

/* Where the answer goes. What a plugin prints goes to standard error instead. */
static FILE *answer;

static bool take_stdout(void) {
    int fd = dup(STDOUT_FILENO);
    answer = fd >= 0 ? fdopen(fd, "w") : NULL;
    return answer && dup2(STDERR_FILENO, STDOUT_FILENO) >= 0;
}

static int reply(json_t *j) {
    bool ok = j && !assay_no_memory_noted() && json_dumpf(j, answer, JSON_COMPACT) == 0;
    json_decref(j);
    if (!ok)
        fputs("assay: out of memory for the answer of a process\n", stderr);
    return fclose(answer) == 0 && ok ? ASSAY_EXIT_OK : ASSAY_EXIT_USAGE;
}

/* An error is an answer like any other: only a crash ends with another exit code. */
static json_t *error_reply(const char *message) {
    json_t *text = json_string(message); /* fails on file names that are not UTF-8 */
    return json_pack("{so}", "error", text ? text : json_string("(not UTF-8)"));
}

static json_t *memuse_json(const char *name, const struct assay_memuse *m) {
    return json_pack("{ss sI sI sI sI}", "phase", name, "resident_bytes", (json_int_t)m->resident,
                     "anon_bytes", (json_int_t)m->anon, "file_bytes", (json_int_t)m->file,
                     "shmem_bytes", (json_int_t)m->shmem);
}

static uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* Reads the memory at the end of a phase and folds it into the peak. */
static void note_phase(json_t *phases, const char *name, struct assay_memuse *peak) {
    struct assay_memuse m;
    if (!assay_memuse_exact(&m))
        return;
    json_array_append_new(phases, memuse_json(name, &m));
    peak->anon = max_u64(peak->anon, m.anon);
    peak->file = max_u64(peak->file, m.file);
    peak->peak = max_u64(peak->peak, m.peak);
}

static double seconds_since(uint64_t start_ns) {
    return 1e-9 * (double)(assay_now_ns() - start_ns);
}

static bool write_logits(const char *path, const float *logits, size_t n) {
    FILE *f = fopen(path, "wb");
    if (!f)
        return false;
    bool ok = fwrite(logits, sizeof *logits, n, f) == n;
    return fclose(f) == 0 && ok;
}

/* The same tokens for every backend, spread over the vocabulary. */
static void choose_tokens(int64_t *ids, size_t n, size_t vocab) {
    struct assay_rng rng;
    assay_rng_seed(&rng, 1);
    for (size_t i = 0; i < n; i++)
        ids[i] = assay_rng_below(&rng, (uint32_t)vocab);
}

struct measurement {
    json_t *phases;
    struct assay_memuse peak;
    double load_s, pass_s;
    char err[256];
};

static bool forward(const struct job *job, struct assay_model *model, struct measurement *me) {
    size_t vocab = assay_model_info(model)->vocab, n = job->tokens * vocab;
    int64_t *ids = malloc(job->tokens * sizeof *ids);
    float *logits = malloc((n ? n : 1) * sizeof *logits);
    bool ok = ids && logits && vocab > 0 && vocab <= UINT32_MAX;

    if (ok) {
        choose_tokens(ids, job->tokens, vocab);
        uint64_t start = assay_now_ns();
        ok = assay_model_forward(model, ids, job->tokens, logits, me->err, sizeof me->err);
        me->pass_s = seconds_since(start);
        note_phase(me->phases, "pass", &me->peak);
    } else {
        snprintf(me->err, sizeof me->err, "out of memory for the logits, or an empty vocabulary");
    }
    if (ok && job->logits_path && !write_logits(job->logits_path, logits, n)) {
        snprintf(me->err, sizeof me->err, "can't write the logits to %s", job->logits_path);
        ok = false;
    }
    free(logits);
    free(ids);
    return ok;
}

static struct assay_model *load(const struct job *job, const struct assay_gguf *g,
                                struct assay_ctx *ctx, struct measurement *me) {
    uint64_t start = assay_now_ns();
    struct assay_model *model =
        assay_model_load(g, ctx, (uint32_t)job->layers, me->err, sizeof me->err);
    me->load_s += seconds_since(start);
    note_phase(me->phases, "load", &me->peak);
    return model;
}

static json_t *result_json(const struct measurement *me, const struct assay_model_info *info) {
    return json_pack(
        "{sI sI sI sI sI sI sI sI sI sf sf sf sf sO}", "peak_bytes", (json_int_t)me->peak.peak,
        "anon_peak_bytes", (json_int_t)me->peak.anon, "file_peak_bytes", (json_int_t)me->peak.file,
        "disk_bytes", (json_int_t)info->disk_bytes, "weight_bytes", (json_int_t)info->weight_bytes,
        "layers", (json_int_t)info->layers, "layers_total", (json_int_t)info->layers_total, "vocab",
        (json_int_t)info->vocab, "skipped_tensors", (json_int_t)info->skipped, "load_s", me->load_s,
        "load_layers_s", info->load_layers_s, "pass_s", me->pass_s, "pass_layers_s",
        info->pass_layers_s, "phases", me->phases);
}

static json_t *measure(const struct job *job, const struct assay_gguf *g, struct assay_ctx *ctx,
                       struct measurement *me) {
    struct assay_memwatch *watch = assay_memwatch_start();
    struct assay_memuse max;
    json_t *result = NULL;

    if (!watch)
        return error_reply("can't start the thread that watches the memory");
    struct assay_model *model = load(job, g, ctx, me);
    bool ok = model && forward(job, model, me);
    assay_memwatch_stop(watch, &max);
    me->peak.anon = max_u64(me->peak.anon, max.anon);
    me->peak.file = max_u64(me->peak.file, max.file);
    me->peak.peak = max_u64(me->peak.peak, max.peak);
    if (ok && me->peak.peak == 0) {
        snprintf(me->err, sizeof me->err,
                 "the system does not tell a process's memory (no /proc?)");
        ok = false;
    }
    result = ok ? result_json(me, assay_model_info(model)) : error_reply(me->err);
    assay_model_free(model);
    return result;
}

static json_t *probe(const struct assay_gguf *g, struct assay_ctx *ctx) {
    struct assay_model_cost cost;
    char err[256];

    if (!assay_model_cost(g, ctx, &cost, err, sizeof err))
        return error_reply(err);
    json_t *layers = json_array();
    for (uint32_t l = 0; l < cost.layers; l++)
        json_array_append_new(layers, json_integer((json_int_t)cost.layer_bytes[l]));
    free(cost.layer_bytes);
    return json_pack("{so sI sI sb}", "layer_bytes", layers, "table_bytes",
                     (json_int_t)cost.table_bytes, "largest", (json_int_t)cost.largest, "owned",
                     (int)cost.owned);
}

/* Opening the file and making the context belong to the load. */
static json_t *work(const struct job *job, bool only_probe) {
    struct measurement me = {.phases = json_array()};
    struct assay_ctx *ctx = NULL;
    struct assay_error err;
    json_t *result;

    note_phase(me.phases, "start", &me.peak);
    uint64_t start = assay_now_ns();
    struct assay_gguf *g = assay_gguf_open(job->path, me.err, sizeof me.err);
    if (!g) {
        result = error_reply(me.err);
    } else if (assay_ctx_create(&job->ctx, &ctx, &err)) {
        result = error_reply(err.message);
    } else {
        me.load_s = seconds_since(start);
        result = only_probe ? probe(g, ctx) : measure(job, g, ctx, &me);
    }
    assay_ctx_free(ctx);
    assay_gguf_close(g);
    json_decref(me.phases);
    return result;
}

static int run(const struct assay_args *args) {
    const char *backend = assay_args_get(args, "backend"), *isa = assay_args_get(args, "isa");
    const char *plugin = assay_args_get(args, "plugin");
    struct job job = {
        .path = args->positional[0],
        .logits_path = assay_args_get(args, "logits"),
    };
    char err[256];

    signal(SIGBUS, SIG_DFL); /* the parent finds out why, and tells */
    if (!take_stdout())
        return assay_usage_error(args->command, "out of memory");
    if (plugin && !assay_plugin_add_here(plugin, err, sizeof err))
        return reply(error_reply(err));
    job.ctx.backend = backend ? assay_backend_by_name(backend) : NULL;
    if (!job.ctx.backend)
        return assay_usage_error(args->command, "--backend: unknown backend '%s'",
                                 backend ? backend : "");
    if (!assay_isa_parse(isa, &job.ctx.isa))
        return assay_usage_error(args->command, "--isa: unknown instruction set '%s'", isa);
    if (!assay_args_u64(args, "threads", &job.threads, 1, 1024) ||
        !assay_args_u64(args, "tokens", &job.tokens, 1, 1 << 20) ||
        !assay_args_u64(args, "layers", &job.layers, 0, UINT32_MAX))
        return ASSAY_EXIT_USAGE;
    job.ctx.threads = (int)job.threads;
    return reply(work(&job, assay_args_flag(args, "probe")));
}

static const struct assay_option options[] = {
    {"backend", 0, "B", NULL, "Backend to load through."},
    {"plugin", 0, "FILE", NULL, "Shared object that the backend comes from."},
    {"isa", 0, "ISA", "auto", "Instruction set."},
    {"threads", 0, "N", "1", "Threads."},
    {"tokens", 0, "N", "8", "Tokens of the pass."},
    {"layers", 0, "L", "0", "Layers to load; 0 is all."},
    {"logits", 0, "FILE", NULL, "Where to write the logits, as fp32."},
    {"probe", 0, NULL, NULL, "Only report what each layer would occupy."},
    {0},
};

const struct assay_command assay_cmd_mem_child = {
    .name = "mem-child",
    .synopsis = "FILE.gguf [OPTIONS]",
    .summary = "Load a model, run one pass and report the memory of this process (worker of mem)",
    .options = options,
    .min_positional = 1,
    .max_positional = 1,
    .hidden = true,
    .run = run,
};
