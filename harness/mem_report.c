#include <math.h>
#include <stdio.h>

#include "mem.h"
#include "record.h"
#include "term.h"

#define CELLS 13

static const char *const headings[CELLS] = {
    "mode",       ">on disk MiB", ">peak MiB",   ">anon MiB", ">file MiB",
    ">peak/disk", "within bar",   ">a call MiB", ">load s",   ">pass s",
    ">steady s",  ">NMSE",        ">max diff",
};

static void add_figures(struct assay_table *t, enum assay_colour colour, const char *mode,
                        const struct assay_mem_figures *f, const struct assay_mem_row *compared) {
    char text[CELLS][32];
    const char *cells[CELLS] = {mode};
    const double mib[] = {f->disk, f->peak, f->anon, f->file};

    for (int i = 0; i < 4; i++)
        snprintf(text[i + 1], sizeof text[0], "%.1f", mib[i] / 0x1p20);
    snprintf(text[5], sizeof text[0], "%.3f", f->peak / f->disk);
    snprintf(text[6], sizeof text[0], "%s", f->peak <= assay_mem_bar(f->disk) ? "yes" : "no");
    snprintf(text[7], sizeof text[0], "-");
    if (!isnan(f->transient))
        snprintf(text[7], sizeof text[0], "%.1f", f->transient / 0x1p20);
    snprintf(text[8], sizeof text[0], "%.3f", f->load_s);
    snprintf(text[9], sizeof text[0], "%.3f", f->pass_s);
    snprintf(text[10], sizeof text[0], f->steady_s > 0 ? "%.3f" : "-", f->steady_s);
    snprintf(text[11], sizeof text[0], "-");
    snprintf(text[12], sizeof text[0], "-");
    if (compared && compared->compared) {
        snprintf(text[11], sizeof text[0], "%.1e", compared->nmse);
        snprintf(text[12], sizeof text[0], "%.1e", compared->max_abs);
    }
    for (int i = 1; i < CELLS; i++)
        cells[i] = text[i];
    assay_table_row_colour(t, colour, cells);
}

static void add_row(struct assay_table *t, const struct assay_mem_row *r) {
    const char *name = assay_backend_name(r->backend);
    char mode[64];

    if (r->outcome != ASSAY_MEM_MEASURED)
        return;
    if (r->layers == r->layers_wanted) {
        add_figures(t, ASSAY_PLAIN, name, &r->measured, r);
        return;
    }
    snprintf(mode, sizeof mode, "%s, %u of %u layers", name, r->layers, r->layers_wanted);
    add_figures(t, ASSAY_PLAIN, mode, &r->measured, r);
    snprintf(mode, sizeof mode, "%s, extrapolated to %u", name, r->layers_wanted);
    add_figures(t, ASSAY_YELLOW, mode, &r->whole, NULL);
}

static const char *outcome_word(enum assay_mem_outcome o) {
    static const char *const words[] = {"measured", "skipped", "error", "crashed", "over limit"};
    return words[o];
}

/* What the columns mean, if there are any. */
static void print_legend(FILE *out, const struct assay_mem_params *p,
                         const struct assay_mem_row *rows, size_t n) {
    bool measured = false;
    for (size_t i = 0; i < n; i++)
        measured = measured || rows[i].outcome == ASSAY_MEM_MEASURED;
    if (measured)
        fprintf(out,
                "%u layers, %zu tokens, %d thread%s. Bar: peak at most 1.05 x on disk + 16 MiB. "
                "A call: what "
                "a pass\nafter the first adds while it runs. NMSE and max diff of the logits "
                "against eager-f32: a\nsanity check, not a verdict.\n",
                p->layers, p->tokens, p->threads, p->threads == 1 ? "" : "s");
}

static bool over_or_skipped(const struct assay_mem_row *r) {
    return r->outcome == ASSAY_MEM_SKIPPED || r->outcome == ASSAY_MEM_OVER;
}

/* What the first run's device says of itself, if the backend has one. */
static void print_device(FILE *out, const struct assay_mem_row *r) {
    const json_t *run = json_array_get(r->runs, 0), *bytes = json_object_get(run, "device_bytes");
    if (bytes != NULL)
        fprintf(out, "%s: by the device, %.2f MiB allocated (borrowed weights included), %.3f s\n",
                assay_backend_name(r->backend), (double)json_integer_value(bytes) / 0x1p20,
                json_number_value(json_object_get(run, "device_s")));
}

static void print_notes(FILE *out, const struct assay_mem_row *rows, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const struct assay_mem_row *r = &rows[i];
        const char *name = assay_backend_name(r->backend);
        print_device(out, r);
        if (r->outcome == ASSAY_MEM_MEASURED && r->layers < r->layers_wanted)
            fprintf(
                out,
                "%s: only %u of %u layers fit this machine's memory. The extrapolated line adds "
                "the bytes of the\nlayers left out (known from the tensor table) and their time "
                "at the rate measured.\n",
                name, r->layers, r->layers_wanted);
        else if (r->outcome != ASSAY_MEM_MEASURED)
            fprintf(out, "%s%s: %s: %s%s\n",
                    assay_colour_start(out, over_or_skipped(r) ? ASSAY_YELLOW : ASSAY_RED), name,
                    outcome_word(r->outcome), r->reason, assay_colour_end(out));
    }
}

void assay_mem_print(FILE *out, const struct assay_mem_params *p, const struct assay_mem_row *rows,
                     size_t n) {
    struct assay_table *t = assay_table_new(headings, CELLS);

    for (size_t i = 0; i < n; i++)
        add_row(t, &rows[i]);
    assay_table_print(t, out);
    print_notes(out, rows, n);
    if (p->limit > 0)
        fprintf(out,
                "Each process was held to %.2f GiB by the kernel: backends that multiply from the "
                "blocks by\nRLIMIT_AS, the mapped file included; those that keep a copy by "
                "RLIMIT_DATA, private memory alone.\n",
                (double)p->limit / 0x1p30);
    print_legend(out, p, rows, n);
}

static json_t *figures_json(const struct assay_mem_figures *f) {
    return json_pack(
        "{sI sI sI sI so sb sI so so so* so* sI}", "disk_bytes", (json_int_t)f->disk, "peak_bytes",
        (json_int_t)f->peak, "anon_bytes", (json_int_t)f->anon, "file_bytes", (json_int_t)f->file,
        "peak_over_disk", assay_json_real(f->peak / f->disk), "within_bar",
        (int)(f->peak <= assay_mem_bar(f->disk)), "bar_bytes", (json_int_t)assay_mem_bar(f->disk),
        "load_s", assay_json_real(f->load_s), "pass_s", assay_json_real(f->pass_s), "steady_s",
        f->steady_s > 0 ? json_real(f->steady_s) : NULL, "transient_bytes",
        isnan(f->transient) ? NULL : json_integer((json_int_t)f->transient), "page_table_bytes",
        (json_int_t)f->page_tables);
}

json_t *assay_mem_row_json(const struct assay_mem_row *r) {
    json_t *j = json_pack("{ss ss sI sI sb sO}", "mode", assay_backend_name(r->backend), "outcome",
                          outcome_word(r->outcome), "layers", (json_int_t)r->layers, "layers_total",
                          (json_int_t)r->layers_wanted, "extrapolated",
                          (int)(r->outcome == ASSAY_MEM_MEASURED && r->layers < r->layers_wanted),
                          "runs", r->runs);

    if (r->outcome != ASSAY_MEM_MEASURED) {
        json_object_set_new(j, "reason", json_string(r->reason));
        return j;
    }
    json_object_set_new(j, "measured", figures_json(&r->measured));
    if (r->layers < r->layers_wanted)
        json_object_set_new(j, "extrapolation", figures_json(&r->whole));
    if (r->compared) {
        json_object_set_new(j, "logits_nmse", assay_json_real(r->nmse));
        json_object_set_new(j, "logits_max_abs_diff", assay_json_real(r->max_abs));
    }
    return j;
}
