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
    size_t total = r->passed + r->failed, peers = r->peer_passed + r->peer_failed;

    if (!r->verified) {
        fputs("<p class=\"verdict none\">Not verified: no record of assay verify was given, so the "
              "figures below are of unchecked results.</p>\n",
              f);
        return;
    }
    fprintf(f, "<p class=\"verdict %s\">", r->failed > 0 ? "bad" : total > 0 ? "good" : "none");
    if (r->failed > 0)
        assay_html_textf(f, "%zu of %zu cases failed", r->failed, total);
    else if (total > 0)
        assay_html_textf(f, "All %zu cases are within their error bound", total);
    else
        fputs(peers > 0 ? "Only peers were judged" : "No case was run", f);
    if (r->skipped > 0)
        assay_html_textf(f, "; %zu not run", r->skipped);
    fputs("</p>\n", f);
    if (peers == 0)
        return;
    fputs("<p class=\"note\">Peers, judged beside and left out of the verdict: ", f);
    if (r->peer_failed > 0)
        fprintf(f, "%zu of %zu cases failed.</p>\n", r->peer_failed, peers);
    else
        fprintf(f, "all %zu cases are within their bound.</p>\n", peers);
}

/* Links to the sections that were written. */
static void contents(FILE *f, const char *sections) {
    static const struct {
        const char *id, *title;
    } all[] = {{"correctness", "Correctness"}, {"speed", "Speed"},        {"load", "Start to end"},
               {"memory", "Memory"},           {"history", "History"},    {"machine", "Machine"},
               {"method", "Method"},           {"reproduce", "Reproduce"}};

    fputs("<nav aria-label=\"Sections\">", f);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        char mark[48];
        snprintf(mark, sizeof mark, "<h2 id=\"%s\"", all[i].id);
        if (strstr(sections, mark) != NULL)
            fprintf(f, "<a href=\"#%s\">%s</a>", all[i].id, all[i].title);
    }
    fputs("</nav>\n", f);
}

static void head(FILE *f, const struct assay_report *r, const char *title, const char *sections) {
    const json_t *first = assay_report_first(r->records, r->n_records);

    fputs("<h1>", f);
    assay_html_text(f, title);
    fputs("</h1>\n<p class=\"sub\">", f);
    assay_html_textf(f, "%s · %s", assay_report_str(first, "machine.cpu", "unknown CPU"),
                     assay_report_str(first, "started", ""));
    fputs("</p>\n", f);
    verdict(f, r);
    contents(f, sections);
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

bool assay_report_write(FILE *f, const struct assay_record *records, size_t n,
                        const struct assay_report_options *options) {
    struct assay_report r = {
        .options = options, .records = records, .n_records = n, .plots = assay_plot_available()};
    const char *title = options->title;
    char *sections = NULL, *page = NULL;
    size_t size;
    bool ok;

    r.body = open_memstream(&sections, &size);
    if (r.body == NULL)
        return false;
    assay_report_verify(&r);
    assay_report_bench(&r);
    assay_report_load(&r);
    assay_report_mem(&r);
    assay_report_history(&r);
    assay_report_about(&r);
    ok = !ferror(r.body);
    ok = fclose(r.body) == 0 && ok;

    FILE *body = ok ? open_memstream(&page, &size) : NULL;
    if (body != NULL) {
        head(body, &r, title, sections);
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
