#include "explain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "datasets/generate.h"
#include "diagnose.h"
#include "heatmap.h"
#include "keep.h"
#include "shell_word.h"
#include "shrink.h"
#include "term.h"

enum {
    CALLS = 2,          /* as in verify */
    UNSTEADY_CALLS = 24 /* where a failure comes and goes */
};
static const double SHRINK_SECONDS = 2;

/* ---- Printing ---- */

static void heading(FILE *out, const char *what) {
    fprintf(out, "  %s%s%s", assay_colour_start(out, ASSAY_BOLD), what, assay_colour_end(out));
}

static size_t nonzero(const struct assay_specimen *s) {
    size_t n = 0;
    for (size_t i = 0; i < s->m * s->k; i++)
        n += !(s->x[i] == 0);
    return n;
}

static void print_shape(FILE *out, const struct assay_specimen *from,
                        const struct assay_shrunk *shrunk) {
    const struct assay_specimen *s = &shrunk->simple;

    heading(out, "shrunk: ");
    fprintf(out, "%zux%zux%zu of %zux%zux%zu, %zu of %zu activations not zero (%u attempts%s)\n",
            s->m, s->n, s->k, from->m, from->n, from->k, nonzero(s), s->m * s->k, shrunk->attempts,
            shrunk->in_time ? "" : ", stopped before the end");
}

/* "min[7], byte 11, bits 6-7": the first bits of the field are named. */
static void print_field(FILE *out, const struct assay_diagnosis *d) {
    char name[48];
    size_t at = assay_field_position(&d->field);

    heading(out, "field: ");
    fprintf(out, "%s, from bit %zu of byte %zu of block %zu in row %zu\n",
            assay_field_name(d->field.field, d->field.element, name, sizeof name), at % 8, at / 8,
            d->block, d->row);
}

static void print_indented(FILE *out, const char *text) {
    while (*text != '\0') {
        size_t n = strcspn(text, "\n");
        fprintf(out, "    %.*s\n", (int)n, text);
        text += n + (text[n] == '\n');
    }
}

static void print_block(FILE *out, const struct assay_specimen *s,
                        const struct assay_diagnosis *d) {
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    if (f == NULL)
        return;
    assay_block_dump(f, s->type, assay_specimen_block(s, d->row, d->block),
                     d->has_field ? &d->field : NULL);
    fclose(f);
    heading(out, "block");
    fprintf(out, " %zu of row %zu (%s)%s:\n", d->block, d->row, s->type->display,
            d->has_field ? ", the wrong field in brackets" : "");
    print_indented(out, text);
    free(text);
}

/* Weights that the kernel does not multiply with as it should. */
static void print_weights(FILE *out, const struct assay_diagnosis *d) {
    enum { MOST = 6 };
    const struct assay_recovery *r = &d->weights;
    size_t shown = 0;

    if (!d->recovered)
        return;
    heading(out, "weights: ");
    if (r->n_wrong == 0) {
        fputs("each is right by itself\n", out);
        return;
    }
    fprintf(out, "%zu of %zu wrong, multiplied one by one\n", r->n_wrong, r->k);
    for (size_t i = 0; i < r->k && shown < MOST; i++)
        if (r->wrong[i]) {
            fprintf(out, "    k = %-5zu got %.9g, expected %.9g\n", i, r->got[i], r->expected[i]);
            shown++;
        }
}

/* What each term adds to a wrong output of the simple specimen. */
static void print_terms(FILE *out, const struct assay_specimen *s, const struct assay_trial *t) {
    enum { MOST = 12 };
    size_t i, j, shown = 0, left = 0;
    float *w = malloc(s->k * sizeof *w);

    if (w == NULL || !assay_trial_worst(t, &i, &j)) {
        free(w);
        return;
    }
    assay_dequant_row(s->type, assay_specimen_block(s, j, 0), s->k, w);
    heading(out, "terms");
    fprintf(out, " of output (%zu, %zu):\n", i, j);
    for (size_t k = 0; k < s->k; k++) {
        float x = s->x[i * s->k + k];
        if (x == 0)
            continue;
        if (shown++ < MOST)
            fprintf(out, "    k = %-5zu weight %.9g x activation %.9g = %.9g\n", k, w[k], x,
                    (double)w[k] * x);
        else
            left++;
    }
    if (left > 0)
        fprintf(out, "    and %zu more\n", left);
    fprintf(out, "    sum       got %.9g, expected %.9g, bound %.4g\n", t->y[i * t->n + j],
            t->reference[i * t->n + j].yq, t->bound[i * t->n + j]);
    free(w);
}

static void print_map(FILE *out, const struct assay_trial *t) {
    if (t->n_wrong == 0 || t->m * t->n < 2)
        return;
    heading(out, "wrong outputs");
    fprintf(out, ": %zu of %zu (rows of x down, rows of W across)\n", t->n_wrong, t->m * t->n);
    assay_heatmap_print(out, t->wrong, t->m, t->n, !assay_heatmap_utf8());
}

/* ---- Explaining ---- */

struct explanation {
    const struct assay_specimen *from;
    struct assay_trial full, small, simple;
    struct assay_shrunk shrunk;
    struct assay_diagnosis diagnosis;
};

static void explanation_free(struct explanation *e) {
    assay_trial_free(&e->full);
    assay_trial_free(&e->small);
    assay_trial_free(&e->simple);
    assay_shrunk_free(&e->shrunk);
    assay_diagnosis_free(&e->diagnosis);
}

/* The trial of the specimen as it came; of many calls if two give different outputs. */
static bool first_trial(struct assay_trial *t, const struct assay_specimen *s, unsigned *calls) {
    *calls = CALLS;
    if (!assay_trial_run(t, s, CALLS))
        return false;
    if (assay_trial_fails(t) && t->differing == 0)
        return true;
    assay_trial_free(t);
    *calls = UNSTEADY_CALLS;
    return assay_trial_run(t, s, UNSTEADY_CALLS);
}

static bool explain(struct explanation *e) {
    const struct assay_specimen *s = e->from;
    size_t row = 0, column = 0;
    unsigned calls;

    if (!first_trial(&e->full, s, &calls))
        return false;
    if (!assay_trial_fails(&e->full))
        return true;
    assay_trial_worst(&e->full, &row, &column);
    return assay_shrink(&e->shrunk, s, e->full.failure, calls, row, column, SHRINK_SECONDS) &&
           assay_trial_run(&e->small, &e->shrunk.small, calls) &&
           assay_trial_run(&e->simple, &e->shrunk.simple, calls) &&
           assay_diagnose(&e->diagnosis, s, &e->full, &e->shrunk.small, &e->small);
}

static void print(FILE *out, const struct explanation *e) {
    const struct assay_diagnosis *d = &e->diagnosis;

    print_shape(out, e->from, &e->shrunk);
    heading(out, "guess: ");
    fprintf(out, "%s%s%s: %s\n", assay_colour_start(out, ASSAY_YELLOW), d->guess,
            assay_colour_end(out), d->evidence);
    if (d->has_field)
        print_field(out, d);
    print_weights(out, d);
    if (d->recovered)
        print_block(out, &e->shrunk.small, d);
    print_terms(out, &e->shrunk.simple, &e->simple);
    print_map(out, &e->full);
}

static bool keep(FILE *out, const struct explanation *e, const char *dir) {
    char path[4096], err[4600];

    if (!assay_keep_save(dir, &e->shrunk.small, &e->shrunk.simple, &e->simple, err, sizeof err)) {
        fprintf(stderr, "assay: %s\n", err);
        return false;
    }
    assay_keep_path(dir, e->from, ".png", path, sizeof path);
    if (e->full.n_wrong > 0 && assay_heatmap_png(path, e->full.wrong, e->full.m, e->full.n)) {
        heading(out, "picture: ");
        fprintf(out, "%s\n", path);
    }
    assay_keep_path(dir, e->from, ".gguf", path, sizeof path);
    heading(out, "replay: ");
    fputs("assay explain ", out);
    assay_print_backend_origin(out, e->from->runner.backend);
    assay_print_shell_word(out, path);
    fputc('\n', out);
    return true;
}

bool assay_explain_specimen(FILE *out, const struct assay_specimen *s, const char *keep_dir,
                            bool *fails) {
    struct explanation e = {.from = s};
    bool ok = explain(&e);

    *fails = ok && assay_trial_fails(&e.full);
    if (!ok)
        fprintf(stderr, "assay: out of memory for an explanation\n");
    if (*fails) {
        print(out, &e);
        ok = keep_dir == NULL || keep(out, &e, keep_dir);
    }
    explanation_free(&e);
    return ok;
}

/* ---- Cases ---- */

/* One part of a case as a specimen: the data that verify made, once more. */
static bool specimen_of(struct assay_specimen *s, const struct assay_verify_report *r, size_t i,
                        size_t part) {
    const struct assay_verify_case *c = &r->plan->cases[i];
    const struct assay_problem *p = &r->plan->problems[c->problem];
    const struct assay_case_part *w = &p->parts[part];
    char stream[16];

    if (!assay_specimen_new(s, w->type, &c->runner, p->m, w->rows, p->k))
        return false;
    s->seed = r->params->seed;
    assay_case_id(p, &c->runner, s->id, sizeof s->id);
    snprintf(stream, sizeof stream, "weights%zu", part);
    if (w->tensor != NULL)
        memcpy(s->w, w->tensor->data, w->rows * s->row_bytes);
    else
        assay_generate_weights(w->type, p->weights, assay_problem_seed(p, r->params->seed, stream),
                               w->rows, p->k, s->w);
    assay_generate_acts(p->acts, assay_problem_seed(p, r->params->seed, "acts"), p->m, p->k, s->x);
    return true;
}

static void print_command(FILE *out, const struct assay_verify_report *r, size_t i,
                          const struct assay_specimen *s) {
    heading(out, "again: ");
    fputs("assay explain ", out);
    assay_print_backend_origin(out, r->plan->cases[i].runner.backend);
    if (r->gguf_path != NULL) {
        fputs("--gguf ", out);
        assay_print_shell_word(out, r->gguf_path);
        fputc(' ', out);
    }
    fprintf(out, "--seed %llu %s\n", (unsigned long long)s->seed, s->id);
}

bool assay_explains(const struct assay_problem *p) {
    return (p->op == ASSAY_OP_GEMM || p->op == ASSAY_OP_FUSED) && p->m > 0;
}

bool assay_explain_case(FILE *out, const struct assay_verify_report *r, size_t i,
                        const char *keep_dir) {
    const struct assay_problem *p = &r->plan->problems[r->plan->cases[i].problem];
    bool ok = true, fails = false;

    if (!assay_explains(p))
        return true;
    for (size_t part = 0; part < p->n_parts && ok && !fails; part++) {
        struct assay_specimen s = {.w = NULL};
        if (p->parts[part].rows == 0)
            continue;
        ok = specimen_of(&s, r, i, part);
        if (!ok)
            fprintf(stderr, "assay: out of memory for an explanation\n");
        ok = ok && assay_explain_specimen(out, &s, keep_dir, &fails);
        if (ok && fails)
            print_command(out, r, i, &s);
        assay_specimen_free(&s);
    }
    if (ok && !fails)
        fprintf(out, "  not explained: its matrices, multiplied one by one as stores, are right\n");
    return ok;
}
