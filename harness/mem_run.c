#include "mem.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "isolate.h"
#include "model_pass.h"
#include "no_memory.h"
#include "plugin.h"
#include "process.h"
#include "stats.h"

#define CHILD_TIMEOUT_S 900

uint32_t assay_mem_fit(const uint64_t *layer_bytes, uint32_t wanted, uint64_t table_bytes,
                       uint64_t largest, uint64_t memory, bool *fits) {
    uint64_t sum = table_bytes + 2 * largest, limit = memory - memory / 10;
    uint32_t layers = 0;

    while (layers < wanted && sum + layer_bytes[layers] <= limit)
        sum += layer_bytes[layers++];
    *fits = layers > 0 || (wanted == 0 && sum <= limit);
    return layers;
}

double assay_mem_bar(double disk) { return 1.05 * disk + 16.0 * 1024 * 1024; }

void assay_mem_extrapolate(struct assay_mem_row *row, uint64_t left_out_bytes,
                           uint64_t left_out_disk, bool owned, double load_layers_s,
                           double pass_layers_s) {
    double more = row->layers ? (double)(row->layers_wanted - row->layers) / row->layers : 0;
    struct assay_mem_figures *w = &row->whole;

    *w = row->measured;
    w->disk += (double)left_out_disk;
    w->peak += (double)left_out_bytes;
    *(owned ? &w->anon : &w->file) += (double)left_out_bytes;
    w->page_tables *= 1 + more;
    w->steady_s += more * w->steady_s;
    w->load_s += more * load_layers_s;
    w->pass_s += more * pass_layers_s;
}

/* ---- Children ------------------------------------------------------------------------------ */

static json_t *run_child(const struct assay_mem_params *p, const struct assay_backend *backend,
                         uint32_t layers, const char *logits, bool owned) {
    char threads[16], tokens[32], count[16], steady[16], limit[32];
    const char *argv[24] = {"mem-child", "--backend", assay_backend_name(backend),
                            "--isa",     p->isa,      "--threads",
                            threads,     "--tokens",  tokens,
                            "--layers",  count,       "--steady",
                            steady};
    const char *option, *value;
    uint64_t memory;
    size_t n = 13;

    snprintf(threads, sizeof threads, "%d", p->threads);
    snprintf(tokens, sizeof tokens, "%zu", p->tokens);
    snprintf(count, sizeof count, "%u", layers);
    snprintf(steady, sizeof steady, "%u", p->steady);
    snprintf(limit, sizeof limit, "%" PRIu64, p->limit);
    if (logits && p->limit > 0) {
        argv[n++] = "--limit";
        argv[n++] = limit;
        if (owned)
            argv[n++] = "--owned";
    }
    if (logits) {
        argv[n++] = "--logits";
        argv[n++] = logits;
    } else {
        argv[n++] = "--probe";
    }
    if (assay_backend_origin(backend, &option, &value) && strcmp(option, "plugin") == 0) {
        argv[n++] = "--plugin";
        argv[n++] = value;
    }
    argv[n++] = "--"; /* a file name may begin with a dash */
    argv[n++] = p->path;
    argv[n] = NULL;
    memory = assay_process_memory(1);
    return assay_isolate_exec_self(argv, CHILD_TIMEOUT_S,
                                   p->memory > memory && memory > 0 ? p->memory : memory);
}

/* Takes the child's bad ends out of the way: true if `j` is a result. */
static bool is_result(const json_t *j, struct assay_mem_row *row) {
    const char *crash = json_string_value(json_object_get(j, "crash"));
    const char *error = json_string_value(json_object_get(j, "error"));

    if (j && !crash && !error)
        return true;
    row->outcome = error ? ASSAY_MEM_ERROR : ASSAY_MEM_CRASHED;
    snprintf(row->reason, sizeof row->reason, "%s",
             error   ? error
             : crash ? crash
                     : "no process could be started");
    return false;
}

static uint64_t u64_of(const json_t *j, const char *key) {
    return (uint64_t)json_integer_value(json_object_get(j, key));
}

static double real_of(const json_t *j, const char *key) {
    return json_number_value(json_object_get(j, key));
}

static bool read_logits(FILE *f, struct assay_mem_row *row, size_t n) {
    float *logits = malloc((n ? n : 1) * sizeof *logits);

    if (!logits || fseek(f, 0, SEEK_SET) != 0 || fread(logits, sizeof *logits, n, f) != n) {
        free(logits);
        return false;
    }
    free(row->logits);
    row->logits = logits;
    row->n_logits = n;
    return true;
}

/* One measurement. The logits come through a temporary file: they are megabytes. */
static bool measure_once(const struct assay_mem_params *p, struct assay_mem_row *row, bool owned) {
    const char *tmp = getenv("TMPDIR");
    char path[1024];
    int fd;

    snprintf(path, sizeof path, "%s/assay-logits-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    fd = mkstemp(path);
    if (fd < 0) {
        row->outcome = ASSAY_MEM_ERROR;
        snprintf(row->reason, sizeof row->reason, "can't make a temporary file like %.200s", path);
        return false;
    }
    FILE *f = fdopen(fd, "rb");
    json_t *result = run_child(p, row->backend, row->layers, path, owned);
    bool ok = is_result(result, row);
    if (ok && (!f || !read_logits(f, row, p->tokens * (size_t)u64_of(result, "vocab")))) {
        row->outcome = ASSAY_MEM_ERROR;
        snprintf(row->reason, sizeof row->reason, "the logits of the child are incomplete");
        ok = false;
    }
    if (ok)
        json_array_append(row->runs, result);
    json_decref(result);
    if (f)
        fclose(f);
    else
        close(fd);
    unlink(path);
    return ok;
}

/* ---- One mode ------------------------------------------------------------------------------ */

static double median_of(const json_t *runs, const char *key) {
    size_t n = json_array_size(runs);
    double *v = calloc(n ? n : 1, sizeof *v), median = NAN;

    if (v && n > 0) {
        for (size_t i = 0; i < n; i++)
            v[i] = real_of(json_array_get(runs, i), key);
        median = assay_median(v, n);
    }
    if (v == NULL)
        assay_no_memory_note();
    free(v);
    return median;
}

static double max_of(const json_t *runs, const char *key) {
    double max = 0;
    for (size_t i = 0; i < json_array_size(runs); i++)
        max = fmax(max, real_of(json_array_get(runs, i), key));
    return max;
}

/* NAN if a run has none: no steady pass, or a kernel that can't tell. */
static double transient_of(const json_t *runs) {
    for (size_t i = 0; i < json_array_size(runs); i++)
        if (!json_object_get(json_array_get(runs, i), "transient_bytes"))
            return NAN;
    return max_of(runs, "transient_bytes");
}

/* Memory is the worst of the repeats, time their median. */
static void summarise(struct assay_mem_row *row) {
    row->outcome = ASSAY_MEM_MEASURED;
    row->measured = (struct assay_mem_figures){
        .disk = max_of(row->runs, "disk_bytes"),
        .peak = max_of(row->runs, "peak_bytes"),
        .anon = max_of(row->runs, "anon_peak_bytes"),
        .file = max_of(row->runs, "file_peak_bytes"),
        .load_s = median_of(row->runs, "load_s"),
        .pass_s = median_of(row->runs, "pass_s"),
        .steady_s = median_of(row->runs, "steady_s"),
        .transient = transient_of(row->runs),
        .page_tables = max_of(row->runs, "page_table_peak_bytes"),
    };
    row->whole = row->measured;
}

struct fit {
    uint64_t left_out_bytes;
    uint64_t need; /* of all layers and tables, as the backend holds them */
    bool owned;
};

/* Under a limit a mode is tried whole. Only where this machine could not bear the attempt is the
 * answer computed: false then, with the row's outcome. */
static bool may_try(const struct assay_mem_params *p, struct assay_mem_row *row,
                    const struct fit *fit) {
    const uint64_t taken = fit->need < p->limit ? fit->need : p->limit;

    row->layers = p->layers;
    if (p->memory == 0 || taken + taken / 20 <= p->memory)
        return true;
    row->outcome = fit->need > p->limit ? ASSAY_MEM_OVER : ASSAY_MEM_SKIPPED;
    snprintf(row->reason, sizeof row->reason,
             "computed, not run: %.2f GiB of weights, %s the limit of %.2f GiB; this machine has "
             "%.2f GiB free",
             (double)fit->need / 0x1p30, fit->need > p->limit ? "more than" : "within",
             (double)p->limit / 0x1p30, (double)p->memory / 0x1p30);
    return false;
}

/* A process that its limit stopped has run out of memory, and says so or dies of it. */
static void judge_failure(const struct assay_mem_params *p, struct assay_mem_row *row,
                          const struct fit *fit) {
    char why[160];

    if (p->limit == 0 || !(strstr(row->reason, "memory") || fit->need > p->limit))
        return;
    snprintf(why, sizeof why, "%.159s", row->reason);
    snprintf(row->reason, sizeof row->reason, "run under %s = %.2f GiB and stopped: %s",
             fit->owned ? "RLIMIT_DATA" : "RLIMIT_AS", (double)p->limit / 0x1p30, why);
    row->outcome = ASSAY_MEM_OVER;
}

/* Decides how many layers to measure, from what the backend would hold. */
static bool choose_layers(const struct assay_mem_params *p, struct assay_mem_row *row,
                          struct fit *fit) {
    json_t *probe = run_child(p, row->backend, 0, NULL, false);
    const json_t *list = json_object_get(probe, "layer_bytes");
    uint64_t *bytes = calloc(p->layers ? p->layers : 1, sizeof *bytes);
    bool ok = is_result(probe, row), fits = false;

    if (ok && !bytes) {
        row->outcome = ASSAY_MEM_ERROR;
        snprintf(row->reason, sizeof row->reason, "out of memory");
        ok = false;
    }
    if (ok) {
        uint64_t tables = u64_of(probe, "table_bytes"), all = tables;
        for (uint32_t l = 0; l < p->layers; l++)
            all += bytes[l] = (uint64_t)json_integer_value(json_array_get(list, l));
        row->layers = p->layers;
        fit->need = all;
        fit->owned = json_is_true(json_object_get(probe, "owned"));
        if (p->limit > 0) {
            ok = may_try(p, row, fit);
            goto done;
        }
        if (p->memory)
            row->layers =
                assay_mem_fit(bytes, p->layers, tables, u64_of(probe, "largest"), p->memory, &fits);
        if (p->memory && !fits) {
            row->outcome = ASSAY_MEM_SKIPPED;
            snprintf(row->reason, sizeof row->reason,
                     "not one layer fits: all need %.0f MiB of weights, %.0f MiB may be used",
                     (double)all / 0x1p20, (double)p->memory / 0x1p20);
            ok = false;
        }
        for (uint32_t l = row->layers; l < p->layers; l++)
            fit->left_out_bytes += bytes[l];
    }
done:
    free(bytes);
    json_decref(probe);
    return ok;
}

void assay_mem_measure(const struct assay_mem_params *p, const struct assay_backend *backend,
                       struct assay_mem_row *row) {
    struct fit fit = {0};
    char why[160];

    *row = (struct assay_mem_row){.backend = backend, .layers_wanted = p->layers};
    row->runs = json_array();
    if (!assay_backend_available(backend, why, sizeof why)) {
        row->outcome = ASSAY_MEM_SKIPPED;
        snprintf(row->reason, sizeof row->reason, "%s", why);
        return;
    }
    if (!choose_layers(p, row, &fit))
        return;
    for (unsigned i = 0; i < p->repeat; i++)
        if (!measure_once(p, row, fit.owned)) {
            judge_failure(p, row, &fit);
            return;
        }
    summarise(row);
    if (row->layers < row->layers_wanted) {
        uint64_t left_out_disk = assay_model_disk_bytes(p->gguf, row->layers_wanted) -
                                 assay_model_disk_bytes(p->gguf, row->layers);
        assay_mem_extrapolate(row, fit.left_out_bytes, left_out_disk, fit.owned,
                              median_of(row->runs, "load_layers_s"),
                              median_of(row->runs, "pass_layers_s"));
    }
}

void assay_mem_row_clear(struct assay_mem_row *row) {
    json_decref(row->runs);
    free(row->logits);
}

/* ---- Comparison ---------------------------------------------------------------------------- */

static void compare(struct assay_mem_row *row, const struct assay_mem_row *ref) {
    double error = 0, power = 0;

    row->compared = true;
    for (size_t i = 0; i < ref->n_logits; i++) {
        double r = ref->logits[i], d = row->logits[i] - r;
        error += d * d;
        power += r * r;
        if (!isnan(row->max_abs) && !(fabs(d) <= row->max_abs)) /* a NaN shows, and stays */
            row->max_abs = fabs(d);
    }
    row->nmse = error / power;
}

void assay_mem_compare(struct assay_mem_row *rows, size_t n) {
    const struct assay_mem_row *ref = NULL;

    for (size_t i = 0; i < n; i++)
        if (rows[i].logits && strcmp(assay_backend_name(rows[i].backend), "eager-f32") == 0)
            ref = &rows[i];
    for (size_t i = 0; ref && i < n; i++)
        if (rows[i].logits && rows[i].layers == ref->layers && rows[i].n_logits == ref->n_logits)
            compare(&rows[i], ref);
}
