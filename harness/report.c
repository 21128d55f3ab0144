#include "report.h"

#include <stdlib.h>
#include <string.h>

#include "report_html.h"

void assay_report_tile(struct assay_report *r, const char *term, const char *value,
                       const char *remark) {
    if (r->n_tiles == sizeof r->tiles / sizeof r->tiles[0])
        return;
    const char *texts[3] = {term, value, remark};
    for (size_t i = 0; i < 3; i++)
        snprintf(r->tiles[r->n_tiles][i], sizeof r->tiles[0][0], "%s", texts[i]);
    r->n_tiles++;
}

static void verdict(FILE *f, const struct assay_report *r) {
    size_t total = r->passed + r->failed;

    if (!r->verified) {
        fputs("<p class=\"verdict none\">Not verified: no record of assay verify was given, so the "
              "figures below are of unchecked results.</p>\n",
              f);
        return;
    }
    fprintf(f, "<p class=\"verdict %s\">", r->failed > 0 ? "bad" : "good");
    if (r->failed > 0)
        assay_html_textf(f, "%zu of %zu cases failed", r->failed, total);
    else
        assay_html_textf(f, "All %zu cases are within their error bound", total);
    if (r->skipped > 0)
        assay_html_textf(f, "; %zu not run", r->skipped);
    fputs("</p>\n", f);
}

static void head(FILE *f, const struct assay_report *r, const char *title) {
    const json_t *first = r->records[0].json;

    fputs("<h1>", f);
    assay_html_text(f, title);
    fputs("</h1>\n<p class=\"sub\">", f);
    assay_html_textf(f, "%s · %s", assay_report_str(first, "machine.cpu", "unknown CPU"),
                     assay_report_str(first, "started", ""));
    fputs("</p>\n", f);
    verdict(f, r);
    if (r->n_tiles == 0)
        return;
    fputs("<dl class=\"tiles\">\n", f);
    for (size_t i = 0; i < r->n_tiles; i++) {
        fputs("<div><dt>", f);
        assay_html_text(f, r->tiles[i][0]);
        fputs("</dt><dd>", f);
        assay_html_text(f, r->tiles[i][1]);
        fputs("<small>", f);
        assay_html_text(f, r->tiles[i][2]);
        fputs("</small></dd></div>\n", f);
    }
    fputs("</dl>\n", f);
    if (!r->plots)
        fputs(
            "<p class=\"note\">gnuplot was not found where this page was made: tables only.</p>\n",
            f);
}

bool assay_report_write(FILE *f, const struct assay_record *records, size_t n, const char *title) {
    struct assay_report r = {.records = records, .n_records = n, .plots = assay_plot_available()};
    char *sections = NULL, *page = NULL;
    size_t size;
    bool ok;

    r.body = open_memstream(&sections, &size);
    if (r.body == NULL)
        return false;
    assay_report_verify(&r);
    assay_report_bench(&r);
    assay_report_mem(&r);
    assay_report_about(&r);
    ok = !ferror(r.body);
    ok = fclose(r.body) == 0 && ok;

    FILE *body = ok ? open_memstream(&page, &size) : NULL;
    if (body != NULL) {
        head(body, &r, title);
        fputs(sections, body);
        ok = !ferror(body);
        ok = fclose(body) == 0 && ok;
        if (ok)
            assay_html_page(f, title, page);
        ok = ok && !ferror(f);
    }
    free(sections);
    free(page);
    return ok && body != NULL;
}
