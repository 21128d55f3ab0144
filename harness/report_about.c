/* The section on where the figures come from: machine, build, method, commands. */
#include <string.h>

#include "report.h"
#include "report_html.h"

static void fact(FILE *f, const char *term, const char *value) {
    if (*value == '\0')
        return;
    fputs("<dt>", f);
    assay_html_text(f, term);
    fputs("</dt><dd>", f);
    assay_html_text(f, value);
    fputs("</dd>\n", f);
}

static void bytes(char *buf, size_t size, double v) {
    if (v >= 1 << 30)
        snprintf(buf, size, "%.1f GiB", v / (1 << 30));
    else if (v >= 1 << 20)
        snprintf(buf, size, "%.1f MiB", v / (1 << 20));
    else if (v > 0)
        snprintf(buf, size, "%.0f KiB", v / 1024);
    else
        snprintf(buf, size, "unknown");
}

static void machine(FILE *f, const json_t *j) {
    char text[256], a[32], b[32], c[32], d[32];

    fputs("<dl class=\"facts\">\n", f);
    fact(f, "CPU", assay_report_str(j, "machine.cpu", "unknown"));
    fact(f, "Features", assay_report_str(j, "machine.features", ""));
    bytes(a, sizeof a, assay_report_num(j, "machine.memory_bytes"));
    bytes(b, sizeof b, assay_report_num(j, "machine.l1d_bytes"));
    bytes(c, sizeof c, assay_report_num(j, "machine.l2_bytes"));
    bytes(d, sizeof d, assay_report_num(j, "machine.l3_bytes"));
    snprintf(text, sizeof text, "%.0f usable, %s memory, L1d %s, L2 %s, L3 %s",
             assay_report_num(j, "machine.cores"), a, b, c, d);
    fact(f, "CPUs", text);
    fact(f, "System", assay_report_str(j, "machine.os", ""));
    fact(f, "Clock governor", assay_report_str(j, "machine.governor", ""));
    snprintf(text, sizeof text, "%s, commit %.12s%s", assay_report_str(j, "assay.version", "?"),
             assay_report_str(j, "assay.commit", "unknown"),
             json_is_true(json_object_get(json_object_get(j, "assay"), "dirty"))
                 ? " with uncommitted changes"
                 : "");
    fact(f, "assay", text);
    snprintf(text, sizeof text, "%s %s", assay_report_str(j, "assay.compiler", "?"),
             assay_report_str(j, "assay.flags", ""));
    fact(f, "Compiler", text);
    fputs("</dl>\n", f);
}

void assay_report_shell_word(FILE *f, const char *s) {
    bool plain = *s != '\0' && s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                           "0123456789@%_+=:,./-")] == '\0';
    if (plain) {
        assay_html_text(f, s);
        return;
    }
    fputs("&#39;", f);
    for (; *s != '\0'; s++) {
        char one[2] = {*s, '\0'};
        assay_html_text(f, *s == '\'' ? "'\\''" : one);
    }
    fputs("&#39;", f);
}

static void command_line(FILE *f, const struct assay_record *rec) {
    const json_t *arguments = json_object_get(rec->json, "arguments");
    const json_t *arg;
    size_t i;

    if (strcmp(rec->command, "load") == 0) {
        fputs("make bench-load", f);
        return;
    }
    fprintf(f, "assay %s", rec->command);
    json_array_foreach(arguments, i, arg) {
        fputc(' ', f);
        assay_report_shell_word(f, json_is_string(arg) ? json_string_value(arg) : "?");
    }
}

void assay_report_reproduce(FILE *f, const struct assay_record *rec) {
    fputs("<p class=\"note\">Made by <code>", f);
    command_line(f, rec);
    fputs("</code></p>\n", f);
}

static bool same_place(const json_t *a, const json_t *b) {
    return json_equal(json_object_get(a, "machine"), json_object_get(b, "machine")) &&
           json_equal(json_object_get(a, "assay"), json_object_get(b, "assay"));
}

void assay_report_about(struct assay_report *r) {
    FILE *f = r->body;
    const json_t *first = assay_report_first(r->records, r->n_records);

    fputs("<h2 id=\"machine\">Machine and build</h2>\n", f);
    machine(f, first);
    for (size_t i = 0; i < r->n_records; i++)
        if (strcmp(r->records[i].command, "load") != 0 && !same_place(first, r->records[i].json)) {
            fputs("<p class=\"note\"><strong>", f);
            assay_html_text(f, r->records[i].path);
            fputs("</strong> was made elsewhere, or by another build:</p>\n", f);
            machine(f, r->records[i].json);
        }

    fputs("<h2 id=\"method\">How results are judged</h2>\n"
          "<p>Every element of every output is compared with a scalar reference that decodes the "
          "blocks from the format’s definition and sums in double precision with compensation. The "
          "element may differ by the forward error bound of the backend’s declared arithmetic "
          "(rounded products and sums in fp32, weights or activations rounded as declared), which "
          "grows with the magnitudes that enter its sum and not with a constant chosen by eye. "
          "Ratios to that bound are shown: 1 is the bound.</p>\n"
          "<p>Times are medians of repeated calls, interleaved with the baseline of the same run. "
          "Memory is read from the kernel for a fresh process per measurement.</p>\n"
          "<h2 id=\"reproduce\">Reproduce</h2>\n<pre><code>",
          f);
    for (size_t i = 0; i < r->n_records; i++) {
        command_line(f, &r->records[i]);
        fputc('\n', f);
    }
    fputs("</code></pre>\n", f);
    fputs("<dl class=\"facts\">\n", f);
    for (size_t i = 0; i < r->n_records; i++) {
        const json_t *j = r->records[i].json;
        char text[256];
        if (strcmp(r->records[i].command, "load") == 0)
            continue;
        snprintf(text, sizeof text, "%s to %s, seed %.0f, commit %.12s",
                 assay_report_str(j, "started", "?"), assay_report_str(j, "finished", "?"),
                 assay_report_num(j, "seed"), assay_report_str(j, "assay.commit", "unknown"));
        fact(f, r->records[i].path, text);
    }
    fputs("</dl>\n", f);
}
