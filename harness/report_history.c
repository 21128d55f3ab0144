/* The section on history: speed per commit from the database, changes of level marked. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "changepoint.h"
#include "no_memory.h"
#include "report.h"
#include "report_html.h"
#include "stats.h"

enum { MAX_COMMITS = 400, MAX_SERIES = 64, MAX_CHANGES = 16 };

struct commit {
    char id[48], date[32];
    int64_t machine;
    long long passed, failed; /* of its last verify run; -1: none */
};

/* Speed-up of the cpu backend over eager fp32 of the same run, by commit: what a machine does
 * beside it slows both. */
struct series {
    char type[32];
    long long m, n, k, threads;
    double v[MAX_COMMITS], low[MAX_COMMITS], high[MAX_COMMITS]; /* NAN: not measured */
    struct assay_changepoint changes[MAX_CHANGES];
    size_t n_changes;
    size_t at[MAX_COMMITS]; /* commit of the i-th value that is there */
};

struct story {
    struct assay_history *h;
    struct commit commits[MAX_COMMITS];
    size_t n_commits, n_left_out;
    struct series *series[MAX_SERIES];
    size_t n_series;
    size_t commit; /* that timings are read of */
    int64_t run_ids[MAX_COMMITS];
};

/* ---- Reading ---- */

static bool take_run(const struct assay_history_run *run, void *user) {
    struct story *s = user;
    size_t i = 0;
    bool verify = strcmp(run->command, "verify") == 0;

    if (run->dirty || *run->commit == '\0' || (!verify && strcmp(run->command, "bench") != 0))
        return true;
    while (i < s->n_commits &&
           (strcmp(s->commits[i].id, run->commit) != 0 || s->commits[i].machine != run->machine_id))
        i++;
    if (i == MAX_COMMITS) {
        s->n_left_out++;
        return true;
    }
    if (i == s->n_commits) {
        struct commit *c = &s->commits[s->n_commits++];
        *c = (struct commit){.machine = run->machine_id, .passed = -1, .failed = -1};
        snprintf(c->id, sizeof c->id, "%s", run->commit);
        snprintf(c->date, sizeof c->date, "%s", run->commit_date);
    }
    if (verify) {
        s->commits[i].passed = run->passed;
        s->commits[i].failed = run->failed;
    } else {
        s->run_ids[i] = run->id; /* the last one counts */
    }
    return true;
}

static struct series *series_for(struct story *s, const struct assay_history_timing *t) {
    for (size_t i = 0; i < s->n_series; i++) {
        struct series *x = s->series[i];
        if (strcmp(x->type, t->type) == 0 && x->m == t->m && x->n == t->n && x->k == t->k &&
            x->threads == t->threads)
            return x;
    }
    if (s->n_series == MAX_SERIES)
        return NULL;
    struct series *x = calloc(1, sizeof *x);
    if (x == NULL) {
        assay_no_memory_note();
        return NULL;
    }
    snprintf(x->type, sizeof x->type, "%s", t->type);
    x->m = t->m, x->n = t->n, x->k = t->k, x->threads = t->threads;
    for (size_t i = 0; i < MAX_COMMITS; i++)
        x->v[i] = x->low[i] = x->high[i] = NAN;
    return s->series[s->n_series++] = x;
}

static bool take_timing(const struct assay_history_timing *t, void *user) {
    struct story *s = user;

    if (strcmp(t->contender, "cpu") != 0 || strcmp(t->status, "measured") != 0 || !(t->speedup > 0))
        return true;
    struct series *x = series_for(s, t);
    if (x != NULL) {
        x->v[s->commit] = t->speedup;
        x->low[s->commit] = t->speedup_low;
        x->high[s->commit] = t->speedup_high;
    }
    return true;
}

static void find_changes(struct story *s) {
    /* Bonferroni: the chance of any false mark on the page is at most one in twenty. */
    double alpha = 0.05 / (double)(s->n_series > 0 ? s->n_series : 1);

    for (size_t i = 0; i < s->n_series; i++) {
        struct series *x = s->series[i];
        double v[MAX_COMMITS];
        size_t n = 0;
        for (size_t c = 0; c < s->n_commits; c++)
            if (!isnan(x->v[c])) {
                x->at[n] = c;
                v[n++] = x->v[c];
            }
        x->n_changes = assay_changepoints(v, n, alpha, 0.03, i + 1, x->changes, MAX_CHANGES);
    }
}

/* ---- Writing ---- */

/* A fifth above the largest value that is not more than 2.5 times the median: a run that something
 * else stalled must not flatten all others. */
static double axis_top(const struct story *s, const struct series *x) {
    double v[MAX_COMMITS], top = 0;
    size_t n = 0;

    for (size_t c = 0; c < s->n_commits; c++)
        if (!isnan(x->v[c]))
            v[n++] = x->v[c];
    if (n == 0)
        return 0;
    double most = 2.5 * assay_median(v, n);
    for (size_t i = 0; i < n; i++)
        top = v[i] <= most ? fmax(top, v[i]) : top;
    return 1.2 * top;
}

static void plot_type(FILE *f, const struct story *s, size_t first) {
    const char *type = s->series[first]->type;
    struct assay_plot_row *rows = assay_plot_rows((MAX_COMMITS + MAX_CHANGES) * ASSAY_PLOT_SERIES);
    char names[ASSAY_PLOT_SERIES][64], name[32], caption[96], variables[48];
    double top = 0;
    const char *legend[ASSAY_PLOT_SERIES];
    size_t n = 0, lines = 0;

    for (size_t i = first; rows != NULL && i < s->n_series && lines < ASSAY_PLOT_SERIES; i++) {
        const struct series *x = s->series[i];
        if (strcmp(x->type, type) != 0)
            continue;
        snprintf(names[lines], sizeof names[0], "m = %lld, %lld×%lld", x->m, x->n, x->k);
        legend[lines] = names[lines];
        top = fmax(top, axis_top(s, x));
        for (size_t c = 0; c < s->n_commits; c++)
            if (!isnan(x->v[c]))
                rows[n++] = (struct assay_plot_row){.x = (double)c,
                                                    .y = x->v[c],
                                                    .series = (unsigned)lines,
                                                    .low = x->low[c] > 0 ? x->low[c] : 0,
                                                    .high = x->low[c] > 0 ? x->high[c] : 0};
        for (size_t c = 0; c < x->n_changes; c++) {
            const struct assay_changepoint *p = &x->changes[c];
            rows[n] = (struct assay_plot_row){
                .x = (double)x->at[p->at], .y = x->v[x->at[p->at]], .series = 8};
            snprintf(rows[n++].text, sizeof rows[0].text, "×%.2f", p->after / p->before);
        }
        lines++;
    }
    snprintf(name, sizeof name, "history_%zu", first);
    snprintf(caption, sizeof caption, "%s per commit", type);
    snprintf(variables, sizeof variables, "YMAX = %.6g\n", top > 0 ? top : 1);
    if (rows != NULL)
        assay_html_plot(f, &(struct assay_plot){
                               .script = "history.gp",
                               .name = name,
                               .caption = caption,
                               .describe = "Lines of the speed-up over eager fp32 by commit, rings "
                                           "where its level changed; the tables have the numbers.",
                               .variables = variables,
                               .series = legend,
                               .n_series = lines,
                               .rows = rows,
                               .n_rows = n,
                           });
    free(rows);
}

static void plots(FILE *f, const struct story *s) {
    fputs("<div class=\"plots\">\n", f);
    for (size_t i = 0; i < s->n_series; i++) {
        size_t j = 0;
        while (strcmp(s->series[j]->type, s->series[i]->type) != 0)
            j++;
        if (j == i)
            plot_type(f, s, i);
    }
    fputs("</div>\n", f);
}

static void short_id(FILE *f, const struct commit *c) { assay_html_textf(f, "%.10s", c->id); }

static void changes_table(FILE *f, const struct story *s) {
    size_t found = 0;

    for (size_t i = 0; i < s->n_series; i++)
        found += s->series[i]->n_changes;
    if (found == 0) {
        fputs("<p>No series changed its level.</p>\n", f);
        return;
    }
    fputs("<div class=\"scroll\" tabindex=\"0\"><table>\n<caption>Changes of level</caption>\n"
          "<thead><tr><th scope=\"col\">commit</th><th scope=\"col\">type</th>"
          "<th scope=\"col\" class=\"num\">m</th><th scope=\"col\" class=\"num\">before</th>"
          "<th scope=\"col\" class=\"num\">after</th><th scope=\"col\" class=\"num\">change</th>"
          "<th scope=\"col\" class=\"num\">p</th></tr></thead>\n<tbody>\n",
          f);
    for (size_t i = 0; i < s->n_series; i++)
        for (size_t j = 0; j < s->series[i]->n_changes; j++) {
            const struct series *x = s->series[i];
            const struct assay_changepoint *p = &x->changes[j];
            const size_t c = x->at[p->at];
            fprintf(f, "<tr class=\"%s\"><td><a href=\"#commit-%zu\">",
                    p->after > p->before ? "good" : "bad", c);
            short_id(f, &s->commits[c]);
            fputs("</a></td><td>", f);
            assay_html_text(f, x->type);
            fprintf(f,
                    "</td><td class=\"num\">%lld</td><td class=\"num\">%.2f×</td>"
                    "<td class=\"num\">%.2f×</td><td class=\"num key\">%+.1f %%</td>"
                    "<td class=\"num\">%.4f</td></tr>\n",
                    x->m, p->before, p->after, 100 * (p->after / p->before - 1), p->p);
        }
    fputs("</tbody>\n</table></div>\n", f);
}

static void commits_table(const struct assay_report *r, const struct story *s) {
    FILE *f = r->body;

    assay_html_details_open(f, "Every commit");
    fputs("<div class=\"scroll\" tabindex=\"0\"><table>\n<caption>Speed-up over eager fp32 by "
          "commit</caption>\n<thead><tr><th scope=\"col\" class=\"num\">no.</th>"
          "<th scope=\"col\">commit</th><th scope=\"col\">date</th><th scope=\"col\">verified</th>",
          f);
    for (size_t i = 0; i < s->n_series; i++) {
        fputs("<th scope=\"col\" class=\"num\">", f);
        assay_html_textf(f, "%s m=%lld", s->series[i]->type, s->series[i]->m);
        fputs("</th>", f);
    }
    fputs("</tr></thead>\n<tbody>\n", f);
    for (size_t c = 0; c < s->n_commits; c++) {
        const struct commit *k = &s->commits[c];
        fprintf(f, "<tr id=\"commit-%zu\"><td class=\"num\">%zu</td><td>", c, c);
        if (r->options->commit_url != NULL) {
            fputs("<a href=\"", f);
            assay_html_text(f, r->options->commit_url);
            assay_html_text(f, k->id);
            fputs("\">", f);
        }
        short_id(f, k);
        fputs(r->options->commit_url != NULL ? "</a></td><td>" : "</td><td>", f);
        assay_html_textf(f, "%.10s", k->date);
        if (k->passed < 0)
            fputs("</td><td>–</td>", f);
        else
            fprintf(f,
                    k->failed > 0 ? "</td><td class=\"bad\">✗ %lld failed</td>"
                                  : "</td><td class=\"good\">✓ %lld</td>",
                    k->failed > 0 ? k->failed : k->passed);
        for (size_t i = 0; i < s->n_series; i++)
            fprintf(f,
                    isnan(s->series[i]->v[c]) ? "<td class=\"num\">–</td>"
                                              : "<td class=\"num\">%.2f [%.2f, %.2f]</td>",
                    s->series[i]->v[c], s->series[i]->low[c], s->series[i]->high[c]);
        fputs("</tr>\n", f);
    }
    fputs("</tbody>\n</table></div>\n", f);
    assay_html_details_close(f);
}

void assay_report_history(struct assay_report *r) {
    struct assay_history *h = r->options->history;
    char err[256] = "";
    struct story *s;

    if (h == NULL)
        return;
    s = calloc(1, sizeof *s);
    if (s == NULL) {
        assay_no_memory_note();
        return;
    }
    s->h = h;
    bool ok =
        assay_history_runs(h, &(struct assay_history_filter){0}, take_run, s, err, sizeof err);
    for (s->commit = 0; ok && s->commit < s->n_commits; s->commit++)
        if (s->run_ids[s->commit] != 0)
            ok = assay_history_timings(h, s->run_ids[s->commit], take_timing, s, err, sizeof err);
    fputs("<h2 id=\"history\">History</h2>\n", r->body);
    if (!ok) {
        fputs("<p class=\"note\">", r->body);
        assay_html_text(r->body, err);
        fputs("</p>\n", r->body);
    } else {
        find_changes(s);
        fprintf(
            r->body,
            "<p>%zu commits, %zu series. A point is the backend cpu’s speed-up over eager fp32, "
            "timed in turns in one run, so that what else the machine did slowed both; the upright "
            "line "
            "is its 95 %% interval. A ring "
            "marks a commit from which the level is another: binary segmentation on ranks, each "
            "split tested against 1999 random orders (seeded), at most 1 in 20 pages with a false "
            "mark (Bonferroni over the series), changes below 3 %% left out. "
            "Values above an axis are drawn at its top.</p>\n",
            s->n_commits, s->n_series);
        if (s->n_left_out > 0)
            fprintf(r->body, "<p class=\"note\">%zu runs of later commits are not shown.</p>\n",
                    s->n_left_out);
        if (r->plots)
            plots(r->body, s);
        changes_table(r->body, s);
        commits_table(r, s);
    }
    for (size_t i = 0; i < s->n_series; i++)
        free(s->series[i]);
    free(s);
}
