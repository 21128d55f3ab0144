/* The worker of `assay mem`: measures itself. One JSON object on stdout is its whole output. */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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
    unsigned long long threads, tokens, layers, steady, limit;
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

static uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }

struct measurement {
    json_t *phases;
    struct assay_memuse peak;
    uint64_t begin_ns;       /* of the watch, and so of the timeline */
    uint64_t phase_resident; /* as the phase now running began */
    bool phase_peak;         /* the kernel's peak is that of the phase */
    double load_s, pass_s, steady_s;
    uint64_t transient; /* most that a steady call added to what was resident before it */
    char err[256];
};

/* A phase begins: its peak is counted from here. */
static void begin_phase(struct measurement *me) {
    struct assay_memuse m;

    if (assay_memuse_exact(&m)) {
        me->phase_resident = m.resident;
        me->peak.peak = max_u64(me->peak.peak, m.peak);
    }
    me->phase_peak = assay_memuse_reset_peak();
}

/* Reads the memory at the end of a phase and folds it into the peak. Returns what the phase had
 * resident at most beyond what it began with; 0 where the kernel can't tell. */
static uint64_t end_phase(struct measurement *me, const char *name) {
    struct assay_memuse m;
    uint64_t above = 0;

    if (!assay_memuse_exact(&m))
        return 0;
    json_t *j = json_pack("{ss sf sI sI sI sI sI}", "phase", name, "end_s",
                          1e-9 * (double)(assay_now_ns() - me->begin_ns), "resident_bytes",
                          (json_int_t)m.resident, "anon_bytes", (json_int_t)m.anon, "file_bytes",
                          (json_int_t)m.file, "shmem_bytes", (json_int_t)m.shmem,
                          "page_table_bytes", (json_int_t)m.page_tables);
    if (me->phase_peak) {
        above = m.peak > me->phase_resident ? m.peak - me->phase_resident : 0;
        json_object_set_new(j, "peak_bytes", json_integer((json_int_t)m.peak));
    }
    json_array_append_new(me->phases, j);
    me->peak.anon = max_u64(me->peak.anon, m.anon);
    me->peak.file = max_u64(me->peak.file, m.file);
    me->peak.page_tables = max_u64(me->peak.page_tables, m.page_tables);
    me->peak.peak = max_u64(me->peak.peak, m.peak);
    return above;
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

static bool forward(const struct job *job, struct assay_model *model, struct measurement *me) {
    size_t vocab = assay_model_info(model)->vocab, n = job->tokens * vocab;
    int64_t *ids = malloc(job->tokens * sizeof *ids);
    float *logits = malloc((n ? n : 1) * sizeof *logits);
    bool ok = ids && logits && vocab > 0 && vocab <= UINT32_MAX;

    if (ok) {
        choose_tokens(ids, job->tokens, vocab);
        begin_phase(me);
        uint64_t start = assay_now_ns();
        ok = assay_model_forward(model, ids, job->tokens, logits, me->err, sizeof me->err);
        me->pass_s = seconds_since(start);
        end_phase(me, "first pass");
        for (unsigned long long i = 0; ok && i < job->steady; i++) {
            begin_phase(me);
            start = assay_now_ns();
            ok = assay_model_forward(model, ids, job->tokens, logits, me->err, sizeof me->err);
            me->steady_s += seconds_since(start) / (double)job->steady;
            me->transient = max_u64(me->transient, end_phase(me, "steady pass"));
        }
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
    begin_phase(me);
    uint64_t start = assay_now_ns();
    struct assay_model *model =
        assay_model_load(g, ctx, (uint32_t)job->layers, me->err, sizeof me->err);
    me->load_s += seconds_since(start);
    end_phase(me, "load");
    return model;
}

static json_t *result_json(const struct measurement *me, const struct assay_model_info *info) {
    return json_pack("{sI sI sI sI sI sI sI sI sI sI sf sf sf sf sO}", "peak_bytes",
                     (json_int_t)me->peak.peak, "anon_peak_bytes", (json_int_t)me->peak.anon,
                     "file_peak_bytes", (json_int_t)me->peak.file, "page_table_peak_bytes",
                     (json_int_t)me->peak.page_tables, "disk_bytes", (json_int_t)info->disk_bytes,
                     "weight_bytes", (json_int_t)info->weight_bytes, "layers",
                     (json_int_t)info->layers, "layers_total", (json_int_t)info->layers_total,
                     "vocab", (json_int_t)info->vocab, "skipped_tensors", (json_int_t)info->skipped,
                     "load_s", me->load_s, "load_layers_s", info->load_layers_s, "pass_s",
                     me->pass_s, "pass_layers_s", info->pass_layers_s, "phases", me->phases);
}

/* [[seconds, resident, anon, file, page tables] …], memory in KiB: a record is read by people. */
static json_t *timeline_json(struct assay_memwatch *w) {
    struct assay_mempoint *points = calloc(ASSAY_MEMWATCH_POINTS, sizeof *points);
    size_t n = points ? assay_memwatch_points(w, points) : 0;
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_pack("[f, I, I, I, I]", points[i].seconds,
                                              (json_int_t)(points[i].resident >> 10),
                                              (json_int_t)(points[i].anon >> 10),
                                              (json_int_t)(points[i].file >> 10),
                                              (json_int_t)(points[i].page_tables >> 10)));
    free(points);
    return list;
}

/* From opening the file (which, with the context, belongs to the load) to freeing all of it. */
static json_t *measure(const struct job *job, struct measurement *me) {
    struct assay_memwatch *watch = assay_memwatch_start();
    struct assay_memuse max;
    struct assay_model *model = NULL;
    struct assay_ctx *ctx = NULL;
    struct assay_error err;
    json_t *result = NULL;

    if (!watch)
        return error_reply("can't start the thread that watches the memory");
    me->begin_ns = assay_now_ns();
    begin_phase(me);
    struct assay_gguf *g = assay_gguf_open(job->path, me->err, sizeof me->err);
    bool ok = g != NULL;
    if (ok && assay_ctx_create(&job->ctx, &ctx, &err)) {
        snprintf(me->err, sizeof me->err, "%s", err.message);
        ok = false;
    }
    me->load_s = seconds_since(me->begin_ns);
    end_phase(me, "open");
    if (ok)
        model = load(job, g, ctx, me);
    ok = model && forward(job, model, me);
    if (ok)
        result = result_json(me, assay_model_info(model));
    struct assay_device_use use;
    if (result != NULL && assay_ctx_device_use(ctx, &use)) {
        json_object_set_new(result, "device_s", json_real(use.seconds));
        json_object_set_new(result, "device_bytes", json_integer((json_int_t)use.bytes));
    }
    begin_phase(me);
    assay_model_free(model);
    assay_ctx_free(ctx);
    assay_gguf_close(g);
    end_phase(me, "free");
    if (ok && job->steady > 0)
        json_object_set_new(result, "steady_s", json_real(me->steady_s));
    if (ok && job->steady > 0 && me->phase_peak)
        json_object_set_new(result, "transient_bytes", json_integer((json_int_t)me->transient));
    if (ok)
        json_object_set_new(result, "timeline", timeline_json(watch));
    assay_memwatch_stop(watch, &max);
    if (ok && max_u64(me->peak.peak, max.peak) == 0) {
        snprintf(me->err, sizeof me->err,
                 "the system does not tell a process's memory (no /proc?)");
        json_decref(result);
        ok = false;
    }
    if (!ok)
        return error_reply(me->err);
    json_object_set_new(result, "anon_peak_bytes",
                        json_integer((json_int_t)max_u64(me->peak.anon, max.anon)));
    json_object_set_new(result, "file_peak_bytes",
                        json_integer((json_int_t)max_u64(me->peak.file, max.file)));
    json_object_set_new(result, "peak_bytes",
                        json_integer((json_int_t)max_u64(me->peak.peak, max.peak)));
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

static json_t *work_probe(const struct job *job) {
    char text[256];
    struct assay_ctx *ctx = NULL;
    struct assay_error err;
    json_t *result;
    struct assay_gguf *g = assay_gguf_open(job->path, text, sizeof text);

    if (!g)
        result = error_reply(text);
    else if (assay_ctx_create(&job->ctx, &ctx, &err))
        result = error_reply(err.message);
    else
        result = probe(g, ctx);
    assay_ctx_free(ctx);
    assay_gguf_close(g);
    return result;
}

static json_t *work(const struct job *job) {
    struct measurement me = {.phases = json_array()};
    json_t *result = measure(job, &me);

    json_decref(me.phases);
    return result;
}

/* What of a process its limit is on (mem.h). */
static bool limit_memory(uint64_t bytes, bool owned) {
    const struct rlimit limit = {bytes, bytes};
    return setrlimit(owned ? RLIMIT_DATA : RLIMIT_AS, &limit) == 0;
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
        !assay_args_u64(args, "layers", &job.layers, 0, UINT32_MAX) ||
        !assay_args_u64(args, "steady", &job.steady, 0, 1000) ||
        !assay_args_u64(args, "limit", &job.limit, 1 << 20, INT64_MAX))
        return ASSAY_EXIT_USAGE;
    job.ctx.threads = (int)job.threads;
    if (job.limit > 0 && !limit_memory(job.limit, assay_args_flag(args, "owned")))
        return reply(error_reply("can't limit the memory of this process"));
    return reply(assay_args_flag(args, "probe") ? work_probe(&job) : work(&job));
}

static const struct assay_option options[] = {
    {"backend", 0, "B", NULL, "Backend to load through."},
    {"plugin", 0, "FILE", NULL, "Shared object that the backend comes from."},
    {"isa", 0, "ISA", "auto", "Instruction set."},
    {"threads", 0, "N", "1", "Threads."},
    {"tokens", 0, "N", "8", "Tokens of the pass."},
    {"layers", 0, "L", "0", "Layers to load; 0 is all."},
    {"steady", 0, "N", "1", "Passes after the first."},
    {"limit", 0, "BYTES", NULL, "Most that this process may take."},
    {"owned", 0, NULL, NULL, "The limit is on private memory, not on the address space."},
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
