/* assay types: the types, and who multiplies with them. */
#include <stdio.h>
#include <string.h>

#include "impl/gemm_quant.h"
#include "impl/ggml/ggml.h"
#include "impl/ik/ik.h"
#include "options.h"
#include "plugin.h"
#include "record.h"
#include "term.h"

enum { MAX_BACKENDS = ASSAY_MAX_BACKENDS, FIXED = 6 };

static double bits_per_weight(const struct assay_type_traits *t) {
    return 8.0 * t->block_bytes / t->block_len;
}

static bool multiplies(const struct assay_backend *b, const struct assay_type_traits *t) {
    char why[160];
    return t->dequant != NULL && assay_backend_available(b, why, sizeof why) &&
           assay_backend_supports(b, t);
}

static void add_row(struct assay_table *table, const struct assay_type_traits *t, size_t n) {
    char id[16], len[16], bytes[16], bits[16];
    const char *cells[FIXED + MAX_BACKENDS] = {
        t->display, id, len, bytes, bits, t->min_terms != NULL ? "yes" : "-"};

    snprintf(id, sizeof id, "%d", (int)t->type);
    snprintf(len, sizeof len, "%u", t->block_len);
    snprintf(bytes, sizeof bytes, "%u", t->block_bytes);
    snprintf(bits, sizeof bits, "%.4f", bits_per_weight(t));
    for (size_t b = 0; b < n; b++)
        cells[FIXED + b] = t->dequant == NULL                   ? "-"
                           : multiplies(assay_backend_at(b), t) ? "yes"
                                                                : "no";
    assay_table_row_colour(table, t->dequant == NULL ? ASSAY_DIM : ASSAY_PLAIN, cells);
}

static void print_table(void) {
    const char *headings[FIXED + MAX_BACKENDS] = {"TYPE",   ">NUMBER",      ">BLOCK",
                                                  ">BYTES", ">BITS/WEIGHT", "MIN"};
    size_t n = assay_backend_count() < MAX_BACKENDS ? assay_backend_count() : MAX_BACKENDS;

    for (size_t b = 0; b < n; b++)
        headings[FIXED + b] = assay_backend_name(assay_backend_at(b));
    struct assay_table *table = assay_table_new(headings, FIXED + n);
    for (size_t i = 0; i < assay_type_count(); i++)
        add_row(table, assay_type_at(i), n);
    assay_table_print(table, stdout);
    for (size_t b = 0; b < n; b++) {
        char why[160] = "";
        if (!assay_backend_available(assay_backend_at(b), why, sizeof why))
            printf("%s is not available: %s\n", assay_backend_name(assay_backend_at(b)), why);
    }
    if (assay_ggml_library() != NULL)
        printf("ggml: version %s, %s\n", assay_ggml_version(), assay_ggml_library());
    if (assay_ik_library() != NULL)
        printf("ik: %s\n", assay_ik_library());
}

static json_t *type_record(const struct assay_type_traits *t) {
    json_t *backends = json_array();

    for (size_t b = 0; b < assay_backend_count(); b++)
        if (multiplies(assay_backend_at(b), t))
            json_array_append_new(backends, json_string(assay_backend_name(assay_backend_at(b))));
    return json_pack("{ss si si si sf sb sb so}", "type", t->name, "number", (int)t->type,
                     "block_len", (int)t->block_len, "block_bytes", (int)t->block_bytes,
                     "bits_per_weight", bits_per_weight(t), "min_term", t->min_terms != NULL,
                     "decoded", t->dequant != NULL, "backends", backends);
}

static int write_json(const struct assay_args *args, const char *path) {
    json_t *record = assay_record_new("types", args->argc, args->argv, 1, 0);
    json_t *results = json_array();
    bool ok = record != NULL;

    for (size_t i = 0; i < assay_type_count(); i++)
        ok = json_array_append_new(results, type_record(assay_type_at(i))) == 0 && ok;
    ok = json_object_set_new(record, "results", results) == 0 && ok;
    ok = ok && assay_record_write(record, path);
    json_decref(record);
    return ok ? ASSAY_EXIT_OK : ASSAY_EXIT_USAGE;
}

static int run(const struct assay_args *args) {
    const char *json = assay_args_get(args, "json");
    struct assay_plugins plugins;

    if (!assay_plugins_from_args(args, &plugins))
        return ASSAY_EXIT_USAGE;
    if (json == NULL || strcmp(json, "-") != 0)
        print_table();
    return assay_plugins_exit(&plugins, json != NULL ? write_json(args, json) : ASSAY_EXIT_OK);
}

static const struct assay_option options[] = {
    {"plugin", 0, "FILE,...", NULL, "also kernels from shared objects (impl/plugin.h)"},
    ASSAY_GGML_OPTION,
    {"json", 0, "FILE", NULL, "write a record ('-': standard output, instead of the table)"},
    {NULL, 0, NULL, NULL, NULL},
};

const struct assay_command assay_cmd_types = {
    .name = "types",
    .synopsis = "[OPTIONS]",
    .summary = "every type: block length, bytes, bits a weight, backends",
    .details =
        "BLOCK is the number of weights in a block and BYTES its size; MIN says whether the "
        "type adds a term to each weight (its minimum) besides the scaled code. A '-' stands "
        "for types whose size assay knows but which it does not decode.",
    .examples = "$ assay types\n$ assay types --json types.json",
    .options = options,
    .run = run,
};
