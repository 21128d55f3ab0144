/* assay inspect: what is in a GGUF file, and what it weighs. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/gguf.h"
#include "datasets/text.h"
#include "options.h"
#include "record.h"
#include "term.h"

/* Names in tables and records: as much as a line holds. */
enum { NAME_SIZE = 256, VALUE_SIZE = 120 };

static const char *escape(struct assay_gguf_str s, char *buf, size_t size) {
    struct assay_text t = assay_text_init(buf, size);
    assay_text_escape(&t, s.data, (size_t)s.len);
    assay_text_mark_cut(&t);
    return buf;
}

/* "2048 x 576", dims[0] (in) last as matrices are written. */
static const char *shape(const struct assay_gguf_tensor *t, char *buf, size_t size) {
    size_t used = 0;

    buf[0] = '\0';
    for (uint32_t d = t->n_dims; d-- > 0 && used < size;)
        used += (size_t)snprintf(buf + used, size - used, "%" PRIu64 "%s", t->dims[d],
                                 d > 0 ? " x " : "");
    return buf;
}

/* ---- Totals ---- */

struct totals {
    uint64_t on_disk;   /* tensor data in the file */
    uint64_t quantised; /* the same in memory, multiplied straight from blocks */
    uint64_t eager_f16; /* matrices dequantised to fp16 at load, the rest as it is */
    uint64_t eager_f32; /* matrices dequantised to fp32 */
    uint64_t weights;
};

/* A matrix that assay decodes is what an eager loader would expand; vectors (norms, biases) and
 * what it can't decode stay as they are. */
static bool is_expanded(const struct assay_gguf_tensor *t) {
    return t->n_dims >= 2 && t->type->dequant != NULL;
}

static struct totals sum_totals(const struct assay_gguf *g) {
    struct totals s = {0};

    for (size_t i = 0; i < assay_gguf_tensor_count(g); i++) {
        const struct assay_gguf_tensor *t = assay_gguf_tensor_at(g, i);
        uint64_t weights = t->dims[0] * t->rows;
        s.weights += weights;
        s.on_disk += t->bytes;
        s.quantised += t->bytes;
        s.eager_f16 += is_expanded(t) ? 2 * weights : t->bytes;
        s.eager_f32 += is_expanded(t) ? 4 * weights : t->bytes;
    }
    return s;
}

static void print_total(const char *what, uint64_t bytes, uint64_t on_disk) {
    printf("  %-22s%16" PRIu64 " bytes  %10.2f MiB  %6.3f x\n", what, bytes,
           (double)bytes / (1 << 20), on_disk > 0 ? (double)bytes / (double)on_disk : 0.0);
}

static void print_totals(const struct totals *s) {
    printf("\nTensor data, %" PRIu64 " weights, %.3f bits a weight on disk\n", s->weights,
           s->weights > 0 ? 8.0 * (double)s->on_disk / (double)s->weights : 0.0);
    print_total("on disk", s->on_disk, s->on_disk);
    print_total("quantised, in memory", s->quantised, s->on_disk);
    print_total("eager fp16", s->eager_f16, s->on_disk);
    print_total("eager fp32", s->eager_f32, s->on_disk);
}

/* ---- Tables ---- */

static void print_file(const struct assay_gguf *g) {
    uint32_t splits = assay_gguf_split_count(g);

    for (uint32_t i = 0; i < splits; i++) {
        char path[1024];
        const char *s = assay_gguf_split_path(g, i);
        printf("%s\n", escape((struct assay_gguf_str){s, strlen(s)}, path, sizeof path));
    }
    printf("GGUF v%u, alignment %u, %" PRIu64 " bytes, %u file%s, %zu metadata keys, %zu tensors\n",
           assay_gguf_version(g), assay_gguf_alignment(g), assay_gguf_file_bytes(g), splits,
           splits == 1 ? "" : "s", assay_gguf_kv_count(g), assay_gguf_tensor_count(g));
}

static void print_metadata(const struct assay_gguf *g) {
    static const char *const headings[] = {"KEY", "VALUE"};
    struct assay_table *table;

    if (assay_gguf_kv_count(g) == 0)
        return;
    table = assay_table_new(headings, 2);
    for (size_t i = 0; i < assay_gguf_kv_count(g); i++) {
        const struct assay_gguf_kv *kv = assay_gguf_kv_at(g, i);
        char key[NAME_SIZE], value[VALUE_SIZE];
        assay_gguf_kv_format(kv, value, sizeof value);
        assay_table_row(table, (const char *const[]){escape(kv->key, key, sizeof key), value});
    }
    putchar('\n');
    assay_table_print(table, stdout);
}

static void print_tensors(const struct assay_gguf *g) {
    bool split = assay_gguf_split_count(g) > 1;
    static const char *const headings[] = {"TENSOR", "TYPE",    ">SHAPE",
                                           ">BYTES", ">OFFSET", ">FILE"};
    struct assay_table *table;

    if (assay_gguf_tensor_count(g) == 0)
        return;
    table = assay_table_new(headings, split ? 6 : 5);
    for (size_t i = 0; i < assay_gguf_tensor_count(g); i++) {
        const struct assay_gguf_tensor *t = assay_gguf_tensor_at(g, i);
        char name[NAME_SIZE], dims[96], bytes[24], offset[24], file[16];
        snprintf(bytes, sizeof bytes, "%" PRIu64, t->bytes);
        snprintf(offset, sizeof offset, "%" PRIu64, t->file_offset);
        snprintf(file, sizeof file, "%u", t->split + 1);
        assay_table_row(table,
                        (const char *const[]){escape(t->name, name, sizeof name), t->type->display,
                                              shape(t, dims, sizeof dims), bytes, offset, file});
    }
    putchar('\n');
    assay_table_print(table, stdout);
}

/* ---- The record ---- */

static json_t *metadata_record(const struct assay_gguf_kv *kv) {
    char key[NAME_SIZE], text[4096];
    uint64_t whole;
    double real;
    json_t *value;

    if (kv->kind == ASSAY_GGUF_BOOL)
        value = json_boolean(kv->value[0]);
    else if (assay_gguf_kv_u64(kv, &whole) && whole <= INT64_MAX)
        value = json_integer((json_int_t)whole);
    else if (assay_gguf_kv_f64(kv, &real))
        value = assay_json_real(real);
    else if (kv->kind == ASSAY_GGUF_STRING && kv->value_bytes >= 8)
        value = json_string(
            escape((struct assay_gguf_str){(const char *)kv->value + 8, kv->value_bytes - 8}, text,
                   sizeof text));
    else {
        assay_gguf_kv_format(kv, text, sizeof text);
        value = json_string(text);
    }
    return json_pack("{ss so}", "key", escape(kv->key, key, sizeof key), "value", value);
}

static json_t *tensor_record(const struct assay_gguf_tensor *t) {
    json_t *dims = json_array();
    char name[NAME_SIZE];

    for (uint32_t d = 0; d < t->n_dims; d++)
        json_array_append_new(dims, json_integer((json_int_t)t->dims[d]));
    return json_pack("{ss ss so sI sI si}", "name", escape(t->name, name, sizeof name), "type",
                     t->type->name, "dims", dims, "bytes", (json_int_t)t->bytes, "offset",
                     (json_int_t)t->file_offset, "file", (int)t->split);
}

static json_t *files_record(const struct assay_gguf *g) {
    json_t *files = json_array();

    for (uint32_t i = 0; i < assay_gguf_split_count(g); i++) {
        char path[4096];
        const char *s = assay_gguf_split_path(g, i);
        json_array_append_new(
            files, json_string(escape((struct assay_gguf_str){s, strlen(s)}, path, sizeof path)));
    }
    return files;
}

static json_t *totals_record(const struct totals *s) {
    return json_pack("{sI sI sI sI sI}", "weights", (json_int_t)s->weights, "on_disk_bytes",
                     (json_int_t)s->on_disk, "quantised_bytes", (json_int_t)s->quantised,
                     "eager_f16_bytes", (json_int_t)s->eager_f16, "eager_f32_bytes",
                     (json_int_t)s->eager_f32);
}

static int write_json(const struct assay_args *args, const struct assay_gguf *g,
                      const struct totals *totals, const char *path) {
    json_t *record = assay_record_new("inspect", args->argc, args->argv, 1, 0);
    json_t *metadata = json_array(), *tensors = json_array(), *results;
    bool ok = record != NULL;

    for (size_t i = 0; i < assay_gguf_kv_count(g); i++)
        ok = json_array_append_new(metadata, metadata_record(assay_gguf_kv_at(g, i))) == 0 && ok;
    for (size_t i = 0; i < assay_gguf_tensor_count(g); i++)
        ok = json_array_append_new(tensors, tensor_record(assay_gguf_tensor_at(g, i))) == 0 && ok;
    results = json_pack("[{so si si sI so so so}]", "files", files_record(g), "version",
                        (int)assay_gguf_version(g), "alignment", (int)assay_gguf_alignment(g),
                        "bytes", (json_int_t)assay_gguf_file_bytes(g), "metadata", metadata,
                        "tensors", tensors, "totals", totals_record(totals));
    ok = json_object_set_new(record, "results", results) == 0 && ok;
    if (!ok)
        assay_usage_error(args->command, "out of memory for the record");
    ok = ok && assay_record_write(record, path);
    json_decref(record);
    return ok ? ASSAY_EXIT_OK : ASSAY_EXIT_USAGE;
}

static int run(const struct assay_args *args) {
    const char *json = assay_args_get(args, "json");
    struct assay_gguf *g;
    struct totals totals;
    char err[512];
    int code = ASSAY_EXIT_OK;

    g = assay_gguf_open(args->positional[0], err, sizeof err);
    if (g == NULL)
        return assay_usage_error(args->command, "%s", err);
    totals = sum_totals(g);
    if (json == NULL || strcmp(json, "-") != 0) {
        print_file(g);
        print_metadata(g);
        print_tensors(g);
        print_totals(&totals);
    }
    if (json != NULL)
        code = write_json(args, g, &totals, json);
    if (!assay_gguf_unchanged(g, err, sizeof err))
        code = assay_usage_error(args->command, "%s", err);
    assay_gguf_close(g);
    return code;
}

static const struct assay_option options[] = {
    {"json", 0, "FILE", NULL, "write a record ('-': standard output, instead of the tables)"},
    {NULL, 0, NULL, NULL, NULL},
};

const struct assay_command assay_cmd_inspect = {
    .name = "inspect",
    .synopsis = "FILE.gguf [OPTIONS]",
    .summary = "show a GGUF file: metadata, tensors, totals",
    .details =
        "Given one file of a split model (NAME-00001-of-0000N.gguf), all of its files are read.\n\n"
        "The totals compare the tensor data on disk with what it occupies multiplied straight from "
        "its blocks, and with matrices dequantised to fp16 or fp32 at load; vectors keep their "
        "type. Bytes of names and values that are not printable are shown as escapes.",
    .examples = "$ assay inspect model.gguf\n$ assay inspect model.gguf --json model.json",
    .options = options,
    .min_positional = 1,
    .max_positional = 1,
    .run = run,
};
