#include "score.h"

#include <stdlib.h>
#include <string.h>

#include "harness/env.h"

json_t *assay_score_fault(const char *class, const char *name, const char *text,
                          const struct assay_judgement *j, unsigned rejected, size_t gate_outputs) {
    return json_pack("{ss ss ss ss sb ss ss sf sI si sI}", "kind", "fault", "class", class, "name",
                     name, "text", text, "caught", (int)j->caught, "by", j->by, "problem",
                     j->problem, "seconds", j->seconds, "outputs", (json_int_t)j->outputs,
                     "rejected", (int)rejected, "gate_outputs", (json_int_t)gate_outputs);
}

json_t *assay_score_correct(const char *name, const char *type, const struct assay_judgement *j,
                            unsigned rejected) {
    return json_pack("{ss ss ss sb ss ss sf sI si}", "kind", "correct", "name", name, "type", type,
                     "caught", (int)j->caught, "by", j->by, "problem", j->problem, "seconds",
                     j->seconds, "outputs", (json_int_t)j->outputs, "rejected", (int)rejected);
}

bool assay_score_append(const char *path, json_t *result) {
    FILE *f = fopen(path, "a");
    char *text = result != NULL ? json_dumps(result, JSON_COMPACT) : NULL;
    bool ok = f != NULL && text != NULL && fprintf(f, "%s\n", text) > 0;

    if (f != NULL && fclose(f) != 0)
        ok = false;
    free(text);
    if (!ok)
        fprintf(stderr, "assay faults: can't write to %s\n", path);
    return ok;
}

json_t *assay_score_read(const char *path) {
    FILE *f = fopen(path, "r");
    json_t *all = json_array(), *one;
    json_error_t err;

    if (f == NULL) {
        fprintf(stderr, "assay faults: can't read %s\n", path);
        json_decref(all);
        return NULL;
    }
    while ((one = json_loadf(f, JSON_DISABLE_EOF_CHECK, &err)) != NULL)
        json_array_append_new(all, one);
    if (!feof(f)) {
        fprintf(stderr, "assay faults: %s: result %zu: %s\n", path, json_array_size(all) + 1,
                err.text);
        json_decref(all);
        all = NULL;
    }
    fclose(f);
    return all;
}

static const char *text_of(const json_t *r, const char *key) {
    const char *s = json_string_value(json_object_get(r, key));
    return s != NULL ? s : "";
}

static bool is_kind(const json_t *r, const char *kind) {
    return strcmp(text_of(r, "kind"), kind) == 0;
}

static bool caught(const json_t *r) { return json_is_true(json_object_get(r, "caught")); }

static unsigned rejected(const json_t *r) {
    return (unsigned)json_integer_value(json_object_get(r, "rejected"));
}

/* ---- The table ---- */

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One line: the faults of a class, or all with NULL. */
static void print_line(FILE *out, const json_t *results, const char *class) {
    size_t total = 0, found = 0, by_gate[ASSAY_GATES] = {0}, i;
    double *seconds = calloc(json_array_size(results) + 1, sizeof *seconds);
    json_t *r;

    json_array_foreach(results, i, r) {
        if (!is_kind(r, "fault") || (class != NULL && strcmp(text_of(r, "class"), class) != 0))
            continue;
        total++;
        if (caught(r) && seconds != NULL)
            seconds[found] = json_real_value(json_object_get(r, "seconds"));
        found += caught(r);
        for (int g = 0; g < ASSAY_GATES; g++)
            by_gate[g] += rejected(r) >> g & 1;
    }
    if (seconds != NULL)
        qsort(seconds, found, sizeof *seconds, ascending);
    fprintf(out, "| %s | %zu | %zu | %.2f | %.2f |", class != NULL ? class : "**all**", total,
            found, seconds != NULL && found > 0 ? seconds[found / 2] : 0,
            seconds != NULL && found > 0 ? seconds[found - 1] : 0);
    for (int g = 0; g < ASSAY_GATES; g++)
        fprintf(out, " %zu |", by_gate[g]);
    fputc('\n', out);
    free(seconds);
}

static void print_table(FILE *out, const json_t *results) {
    json_t *seen = json_object(), *r;
    size_t i;

    fputs("| class of fault | faults | assay | median s | worst s |", out);
    for (int g = 0; g < ASSAY_GATES; g++)
        fprintf(out, " %s |", assay_gate_name((enum assay_gate)g));
    fputs("\n|---|--:|--:|--:|--:|", out);
    for (int g = 0; g < ASSAY_GATES; g++)
        fputs("--:|", out);
    fputc('\n', out);
    json_array_foreach(results, i, r) {
        const char *class = text_of(r, "class");
        if (!is_kind(r, "fault") || json_object_get(seen, class) != NULL)
            continue;
        json_object_set_new(seen, class, json_true());
        print_line(out, results, class);
    }
    print_line(out, results, NULL);
    json_decref(seen);
}

/* "check/decode/q4_k/…" is by decode, "gemm/…" by products. */
static void finder_of(const json_t *r, char *buf, size_t size) {
    const char *by = text_of(r, "by");
    size_t start = strncmp(by, "check/", 6) == 0 ? 6 : 0, len = strcspn(by + start, "/");

    snprintf(buf, size, "%s%.*s", start > 0 ? "check " : "", (int)len, by + start);
}

static void print_finders(FILE *out, const json_t *results) {
    json_t *counts = json_object(), *r, *n;
    const char *finder;
    char name[64];
    size_t i;

    json_array_foreach(results, i, r) {
        if (!is_kind(r, "fault") || !caught(r))
            continue;
        finder_of(r, name, sizeof name);
        json_object_set_new(counts, name,
                            json_integer(json_integer_value(json_object_get(counts, name)) + 1));
    }
    fputs("\nFound first by:", out);
    i = 0;
    json_object_foreach(counts, finder, n)
        fprintf(out, "%s %s %lld", i++ > 0 ? "," : "", finder, (long long)json_integer_value(n));
    fputs(".\n", out);
    json_decref(counts);
}

/* Faults that were missed, or correct kernels that were accused. */
static size_t print_failures(FILE *out, const json_t *results, bool of_faults) {
    size_t n = 0, i;
    json_t *r;

    json_array_foreach(results, i, r) {
        if (of_faults != is_kind(r, "fault") || of_faults == caught(r))
            continue;
        if (n++ == 0)
            fprintf(out, "\n%s:\n\n", of_faults ? "Missed" : "FALSE ALARMS");
        if (of_faults)
            fprintf(out, "- %s: %s\n", text_of(r, "name"), text_of(r, "text"));
        else
            fprintf(out, "- %s: %s: %s\n", text_of(r, "name"), text_of(r, "by"),
                    text_of(r, "problem"));
    }
    return n;
}

static void print_correct(FILE *out, const json_t *results) {
    size_t kernels = 0, alarms = 0, outputs = 0, by_gate[ASSAY_GATES] = {0}, i;
    double seconds = 0;
    json_t *r;

    json_array_foreach(results, i, r) {
        if (!is_kind(r, "correct"))
            continue;
        kernels++;
        alarms += caught(r);
        outputs += (size_t)json_integer_value(json_object_get(r, "outputs"));
        seconds += json_real_value(json_object_get(r, "seconds"));
        for (int g = 0; g < ASSAY_GATES; g++)
            by_gate[g] += rejected(r) >> g & 1;
    }
    if (kernels == 0)
        return;
    fprintf(out,
            "\nCorrect kernels, a type and a shape each: %zu, of which accused by assay %zu (%zu "
            "outputs\njudged, %.1f s a kernel)",
            kernels, alarms, outputs, seconds / (double)kernels);
    for (int g = 0; g < ASSAY_GATES; g++)
        fprintf(out, ", by %s %zu", assay_gate_name((enum assay_gate)g), by_gate[g]);
    fputs(".\n", out);
}

static const char introduction[] = "# The fault corpus\n\n"
                                   "`make faults` judges kernels that are known to be faulty. Most "
                                   "are plain C in four shapes (rows\n"
                                   "and tiles in fp32; dot products and panels with int8 "
                                   "activations), correct but for one of the\n"
                                   "mutations that `assay faults --list` names; the others are "
                                   "assay's own kernels with one place\n"
                                   "of a source changed (harness/faults/source.tsv; Metal kernels, "
                                   "emulated: metal.tsv). Each is\n"
                                   "judged by what `assay verify` does by "
                                   "default for the types that the fault is in, up to the first "
                                   "finding. In a third of the decoding\n"
                                   "faults one row in 16 is wrong.\n\n"
                                   "The last columns are the rules of other harnesses, described "
                                   "below, on the same kernels. Each\n"
                                   "sees at least as many outputs as verify had judged when it "
                                   "found the fault, and no fewer than\n"
                                   "20,000. A rule that rejects the correct kernel of that type "
                                   "and shape too has found nothing; a\n"
                                   "crash or a hang counts for all.\n\n"
                                   "Out of reach of any test is a fault that falls on one in a "
                                   "million rows by lot: a default run\n"
                                   "sees some 10^5 outputs a type and kernel. The rare faults here "
                                   "are rare under random data, by\n"
                                   "what is in the row.\n\n";

size_t assay_score_print(FILE *out, const json_t *results) {
    size_t failures;

    fputs(introduction, out);
    print_table(out, results);
    print_finders(out, results);
    print_correct(out, results);
    failures = print_failures(out, results, true) + print_failures(out, results, false);
    fprintf(out, "\nMeasured on %s (%s), built by %s.\n\n", assay_env_get()->cpu_model,
            assay_env_get()->isa, assay_env_get()->compiler);
    for (int g = 0; g < ASSAY_GATES; g++)
        fprintf(out, "- **%s**: %s.\n", assay_gate_name((enum assay_gate)g),
                assay_gate_rule((enum assay_gate)g));
    return failures;
}
