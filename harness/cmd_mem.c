#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datasets/synthetic.h"
#include "history/keep_record.h"
#include "interrupt.h"
#include "mem.h"
#include "mem_catalogue.h"
#include "memuse.h"
#include "model_pass.h"
#include "options.h"
#include "plugin.h"
#include "record.h"
#include "term.h"

#define MAX_MODES 16
/* The program with its libraries: OpenBLAS waits for ever for its first buffer. */
#define LEAST_LIMIT (256u << 20)

struct request {
    const struct assay_command *command;
    struct assay_plugins plugins;
    const struct assay_backend *modes[MAX_MODES];
    size_t n_modes;
    char path[4096];
    const struct assay_model_shape *shape;   /* NULL: a file */
    const struct assay_file_type *file_type; /* of the shape */
    unsigned long long threads, tokens, layers, repeat, steady, memory, limit, seed;
};

static bool add_mode(const char *name, void *user) {
    struct request *rq = user;
    const struct assay_backend *b = assay_backend_by_name(name);

    if (!b) {
        assay_usage_error(rq->command, "--backend: unknown backend '%s' (see assay types)", name);
        return false;
    }
    if (rq->n_modes == MAX_MODES) {
        assay_usage_error(rq->command, "--backend: more than %d backends", MAX_MODES);
        return false;
    }
    rq->modes[rq->n_modes++] = b;
    return true;
}

/* Without --backend: the plugins beside eager fp32, whose logits they are compared with. */
static bool choose_modes(struct request *rq, const struct assay_args *args) {
    static const char *const defaults[] = {"cpu", "transient-f16", "eager-f16", "eager-f32"};

    if (assay_args_get(args, "backend"))
        return assay_args_list(args, "backend", add_mode, rq);
    for (size_t i = 0; i < rq->plugins.n; i++)
        if (!add_mode(assay_backend_name(rq->plugins.backends[i]), rq))
            return false;
    for (size_t i = rq->plugins.n > 0 ? 3 : 0; i < 4; i++)
        if (!add_mode(defaults[i], rq))
            return false;
    return true;
}

/* ---- The model file ------------------------------------------------------------------------ */

static void show_writing(const char *tensor, size_t done, size_t total, void *user) {
    (void)user;
    assay_progress("write model", done, total, tensor);
}

/* --limit without a model. */
static bool largest_that_fits(struct request *rq, const char *type) {
    rq->file_type = assay_file_type_by_name(type);
    if (!rq->file_type) {
        assay_usage_error(rq->command, "--type: unknown file type '%s' (like Q4_K_M, IQ4_XS)",
                          type);
        return false;
    }
    assay_mem_catalogue_print(stderr, rq->file_type, rq->limit);
    rq->shape = assay_mem_largest(rq->file_type, rq->limit);
    if (!rq->shape) {
        assay_usage_error(rq->command, "--limit: no model of the catalogue fits as %s",
                          rq->file_type->name);
        return false;
    }
    fprintf(stderr, "The largest that fits: %s. Now for real:\n", rq->shape->name);
    return true;
}

static bool find_model(struct request *rq, const struct assay_args *args) {
    const char *model = assay_args_get(args, "model"), *type = assay_args_get(args, "type");

    if (args->n_positional == 1 && !model) {
        if (type) {
            assay_usage_error(rq->command, "--type goes with --model: a file has its types");
            return false;
        }
        snprintf(rq->path, sizeof rq->path, "%s", args->positional[0]);
        return true;
    }
    if (args->n_positional == 0 && !model && rq->limit > 0)
        return largest_that_fits(rq, type ? type : "Q4_K_M");
    if (args->n_positional == 1 || !model) {
        assay_usage_error(rq->command, "give either a GGUF file or --model NAME");
        return false;
    }
    rq->shape = assay_catalogue_find(model);
    rq->file_type = assay_file_type_by_name(type ? type : "Q4_K_M");
    if (!rq->shape) {
        fprintf(stderr, "assay mem: --model: unknown model '%s'; known are", model);
        for (size_t i = 0; i < assay_catalogue_count(); i++)
            fprintf(stderr, "%s %s", i ? "," : "", assay_catalogue_at(i)->name);
        fputc('\n', stderr);
        return false;
    }
    if (!rq->file_type)
        assay_usage_error(rq->command, "--type: unknown file type '%s' (like Q4_K_M, IQ4_XS)",
                          type);
    return rq->file_type != NULL;
}

static bool write_model(struct request *rq) {
    char err[512];
    const struct assay_synthetic_params p = {
        .shape = rq->shape,
        .file_type = rq->file_type,
        .layers = (uint32_t)rq->layers,
        .seed = rq->seed,
        .progress = show_writing,
    };
    bool ok = assay_synthetic_cached(&p, rq->path, sizeof rq->path, err, sizeof err);

    assay_progress_clear();
    if (!ok)
        assay_usage_error(rq->command, "%s", err);
    return ok;
}

/* Reads the file through once, so that no mode pays for the disk: true if it then is in the page
 * cache. A file of more than half of the memory would push itself out again. */
static bool warm_page_cache(const struct assay_gguf *g, uint64_t memory) {
    size_t size = (size_t)1 << 20;
    bool ok = assay_gguf_file_bytes(g) <= memory / 2;
    char *buf = ok ? malloc(size) : NULL;

    ok = buf != NULL;
    for (uint32_t i = 0; ok && i < assay_gguf_split_count(g); i++) {
        int fd = open(assay_gguf_split_path(g, i), O_RDONLY | O_CLOEXEC);
        ssize_t n = -1;
        while (fd >= 0 && (n = read(fd, buf, size)) > 0)
            assay_progress("read model", i, assay_gguf_split_count(g), "into the page cache");
        ok = n == 0;
        if (fd >= 0)
            close(fd);
    }
    free(buf);
    return ok;
}

/* ---- The run ------------------------------------------------------------------------------- */

/* A file name need not be UTF-8; JSON strings must be. */
static json_t *path_json(const char *path) {
    json_t *j = json_string(path);
    return j ? j : json_string("(not UTF-8)");
}

static json_t *model_json(const struct request *rq, const struct assay_mem_params *p) {
    return json_pack("{so ss* ss* sI sI sI sb}", "path", path_json(rq->path), "name",
                     rq->shape ? rq->shape->name : NULL, "file_type",
                     rq->file_type ? rq->file_type->name : NULL, "layers", (json_int_t)p->layers,
                     "tensor_bytes", (json_int_t)assay_model_disk_bytes(p->gguf, p->layers),
                     "file_bytes", (json_int_t)assay_gguf_file_bytes(p->gguf), "synthetic",
                     (int)(rq->shape != NULL));
}

static bool write_record(const struct request *rq, const struct assay_args *args,
                         const struct assay_mem_params *p, const struct assay_mem_row *rows,
                         size_t n, bool warm, const char *partial) {
    json_t *record, *results = json_array();

    if (!assay_record_wanted(args)) {
        json_decref(results);
        return true;
    }
    for (size_t i = 0; i < n; i++)
        json_array_append_new(results, assay_mem_row_json(&rows[i]));
    record = assay_record_new("mem", args->argc, args->argv, p->threads, rq->seed);
    json_object_set_new(record, "model", model_json(rq, p));
    json_object_set_new(record, "tokens", json_integer((json_int_t)p->tokens));
    json_object_set_new(record, "page_cache", json_string(warm ? "warm" : "as found"));
    json_object_set_new(record, "memory_limit_bytes", json_integer((json_int_t)p->memory));
    if (p->limit > 0)
        json_object_set_new(record, "limit_bytes", json_integer((json_int_t)p->limit));
    json_object_set_new(record, "results", results);
    if (partial)
        assay_record_partial(record, partial);
    bool ok = assay_record_keep(args, record);
    json_decref(record);
    return ok;
}

static int exit_code(const struct assay_mem_row *rows, size_t n) {
    int code = ASSAY_EXIT_OK;
    for (size_t i = 0; i < n; i++) {
        if (rows[i].outcome == ASSAY_MEM_CRASHED)
            return ASSAY_EXIT_MISMATCH;
        if (rows[i].outcome == ASSAY_MEM_ERROR)
            code = ASSAY_EXIT_USAGE;
    }
    return code;
}

static int measure_all(struct request *rq, const struct assay_args *args,
                       const struct assay_gguf *g) {
    struct assay_mem_row rows[MAX_MODES];
    uint32_t all = assay_model_layers(g);
    struct assay_mem_params p = {
        .gguf = g,
        .path = rq->path,
        .isa = assay_args_get(args, "isa"),
        .layers = rq->layers > 0 && rq->layers < all ? (uint32_t)rq->layers : all,
        .threads = (int)rq->threads,
        .tokens = rq->tokens,
        .repeat = (unsigned)rq->repeat,
        .steady = (unsigned)rq->steady,
        .limit = rq->limit,
        .memory = rq->memory ? rq->memory : assay_memory_available(),
    };
    const char *json = assay_args_get(args, "json");
    bool warm = warm_page_cache(g, assay_memory_available());

    const char *partial = NULL;
    char changed[512];
    size_t n = 0;

    assay_interrupt_catch();
    while (n < rq->n_modes && !partial) {
        assay_progress("mem", n, rq->n_modes, assay_backend_name(rq->modes[n]));
        assay_mem_measure(&p, rq->modes[n], &rows[n]);
        partial = assay_interrupt_reason();
        if (!assay_gguf_unchanged(g, changed, sizeof changed))
            partial = changed;
        if (partial)
            assay_mem_row_clear(&rows[n]); /* its figures are of no one file, or cut short */
        else
            n++;
    }
    assay_progress_clear();
    assay_mem_compare(rows, n);
    FILE *out = json && strcmp(json, "-") == 0 ? stderr : stdout;
    fprintf(out, "%s%s\n", rq->path, warm ? " (in the page cache)" : "");
    assay_mem_print(out, &p, rows, n);
    int code = exit_code(rows, n);
    if (partial)
        code = assay_usage_error(rq->command, "%s: the results are partial, %zu of %zu modes ran",
                                 partial, n, rq->n_modes);
    if (!write_record(rq, args, &p, rows, n, warm, partial))
        code = ASSAY_EXIT_USAGE;
    else
        code = assay_interrupt_exit(code);
    for (size_t i = 0; i < n; i++)
        assay_mem_row_clear(&rows[i]);
    return code;
}

static int run(const struct assay_args *args) {
    struct request rq = {.command = args->command};
    enum assay_isa isa;
    char err[512];

    if (!assay_record_check(args) || !assay_plugins_from_args(args, &rq.plugins))
        return ASSAY_EXIT_USAGE;
    if (rq.plugins.failed > 0 && rq.plugins.n == 0 && !assay_args_get(args, "backend"))
        return assay_plugins_exit(&rq.plugins, ASSAY_EXIT_OK);
    if (!choose_modes(&rq, args) || !assay_args_u64(args, "threads", &rq.threads, 1, 1024) ||
        !assay_args_u64(args, "tokens", &rq.tokens, 1, 65536) ||
        !assay_args_u64(args, "layers", &rq.layers, 1, 100000) ||
        !assay_args_u64(args, "repeat", &rq.repeat, 1, 1000) ||
        !assay_args_u64(args, "steady", &rq.steady, 0, 1000) ||
        !assay_args_u64(args, "limit", &rq.limit, LEAST_LIMIT, INT64_MAX) ||
        !assay_args_u64(args, "memory", &rq.memory, 1 << 20, UINT64_MAX) ||
        !assay_args_u64(args, "seed", &rq.seed, 0, INT64_MAX))
        return ASSAY_EXIT_USAGE;
    if (!assay_isa_parse(assay_args_get(args, "isa"), &isa))
        return assay_usage_error(args->command, "--isa: unknown instruction set '%s'",
                                 assay_args_get(args, "isa"));
    if (!find_model(&rq, args) || (rq.shape && !write_model(&rq)))
        return ASSAY_EXIT_USAGE;

    struct assay_gguf *g = assay_gguf_open(rq.path, err, sizeof err);
    if (!g)
        return assay_usage_error(args->command, "%s", err);
    int code = measure_all(&rq, args, g);
    assay_gguf_close(g);
    return assay_plugins_exit(&rq.plugins, code);
}

static const struct assay_option options[] = {
    {"model", 0, "NAME", NULL, "Measure a synthetic model of this catalogue shape, not a file."},
    {"type", 0, "FTYPE", NULL,
     "File type of the synthetic model, as in model file names; Q4_K_M if not given."},
    {"layers", 0, "L", NULL, "Only the first L layers; all if not given."},
    {"backend", 0, "B,...", NULL,
     "Ways to hold and multiply the weights, each measured in fresh processes "
     "(default: cpu,transient-f16,eager-f16,eager-f32)."},
    ASSAY_PLUGIN_OPTION,
    {"tokens", 0, "N", "8", "Tokens of the forward pass."},
    {"threads", 'j', "N", "1", "Threads of each backend."},
    {"isa", 0, "ISA", "auto", "Instruction set of backends that have a choice."},
    {"repeat", 0, "N", "1", "Processes per mode: memory is their maximum, time their median."},
    {"steady", 0, "N", "1", "Passes after the first: what a call adds is seen in them."},
    {"limit", 0, "BYTES", NULL,
     "Hold each process to so much memory (32G). Without a model: the largest of the catalogue "
     "that "
     "fits, quantised, and with it how the other modes fare."},
    {"memory", 0, "BYTES", NULL,
     "Memory that a mode may take; what the kernel says is available if not given."},
    {"seed", 0, "S", "1", "Seed of the synthetic weights."},
    {"json", 0, "FILE", NULL,
     "Write the record to FILE; - is standard output, and the table then goes to standard error."},
    ASSAY_RECORD_OPTIONS,
    {0},
};

const struct assay_command assay_cmd_mem = {
    .name = "mem",
    .synopsis = "[FILE.gguf | --model NAME --type FTYPE] [OPTIONS]",
    .summary = "Measure peak memory, load time and one forward pass of a model",
    .details =
        "For each backend a fresh process opens the file, loads the model as a loader would and "
        "runs two passes through all linear layers: embedding lookup, fused q/k/v, attention "
        "output, "
        "gate, up, down, output projection. Attention, rotary embedding, gating and routing are "
        "not "
        "computed; RMS-normalised sums stand between the products. Of a "
        "mixture-of-experts model all experts are loaded and as many as the model uses are run.\n\n"
        "Peak is the kernel's high-water mark of the resident set of that process (VmHWM). Anon "
        "and "
        "file are the highest anonymous and file-backed parts seen, looked at every millisecond "
        "and "
        "exactly at the end of each phase; they need not fall together, and the process's own code "
        "and libraries count as file. On macOS, anon is the physical footprint. Backends that "
        "multiply from the blocks get the mapped pages read in while loading; from those that keep "
        "a "
        "copy (eager), the file's pages of each tensor are dropped once it is copied. The file is "
        "read once beforehand, so load times are those of a warm page cache.\n\n"
        "A mode too large for this machine is measured with as many layers as fit, and a second "
        "line, marked as extrapolated, gives the whole model.\n\n"
        "A synthetic model has a real model's shapes and type mix and random weights. It is "
        "written "
        "once to $ASSAY_CACHE, else $XDG_CACHE_HOME/assay, else ~/.cache/assay.\n\n"
        "Exit status: 0, 1 if a process crashed, 2 on bad usage or input.",
    .examples = "# A file, all four modes, two threads\n"
                "$ assay mem model.gguf -j 2\n"
                "# Llama-3.2-1B as llama.cpp would quantise it, with a record\n"
                "$ assay mem --model llama-3.2-1b --type Q4_K_M --json mem.json\n"
                "# What of the catalogue fits 8 GiB, tried under that limit\n"
                "$ assay mem --limit 8G --backend cpu,eager-f16\n"
                "# Under a control group's limit (cgroup v2), which mem reads by itself\n"
                "$ systemd-run --scope -p MemoryMax=8G assay mem model.gguf\n"
                "# A kernel of your own (impl/example/README.md)\n"
                "$ assay mem model-Q8_0.gguf --plugin ./mine.so\n",
    .options = options,
    .max_positional = 1,
    .run = run,
};
