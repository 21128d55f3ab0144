/* assay faults: how many faulty kernels verify finds, and how many the rules of other harnesses
 * would have. A worker of `make faults`. */
#include <stdlib.h>
#include <string.h>

#include "env.h"
#include "faults/fault.h"
#include "faults/score.h"
#include "options.h"
#include "term.h"

enum { TIMEOUT = 5, EMULATED_TIMEOUT = 120, GATE_TIMEOUT = 300, MAX_TYPES = 64 };

/* The rules of others see as many outputs as verify had judged when it found the fault, and no
 * fewer than this. */
enum { LEAST_OUTPUTS = 20000 };

struct selection {
    const struct assay_args *args;
    const char *results; /* file; NULL: nothing is kept */
    const char *only;
    unsigned long long shard, shards;
    int threads[2];
    size_t n_threads, judged;
    bool failed;

    /* Gates that reject a correct kernel, by row of the table of types and shape; -1: not asked. */
    int reject_correct[MAX_TYPES][ASSAY_MODELS];
};

static bool selected(const struct selection *s, const char *name) {
    return s->only == NULL || strstr(name, s->only) != NULL;
}

static struct assay_judgement judge(const struct selection *s, const struct assay_backend *b,
                                    unsigned isas, const struct assay_type_traits *const *types,
                                    size_t n_types) {
    /* Emulated kernels take seconds where others take milliseconds, and none of them may pass for a
     * hang. */
    int timeout = assay_backend_is_emulated(b) ? EMULATED_TIMEOUT : TIMEOUT;
    struct assay_judge_params p = {isas, types, n_types, s->threads, s->n_threads, timeout};

    return assay_judge(b, &p);
}

static void tell(const char *name, const struct assay_judgement *j, bool wanted) {
    assay_progress_clear();
    printf("%s %-44s %6.1f s  %s%s%s\n", j->caught == wanted ? "ok  " : "FAIL", name, j->seconds,
           j->caught ? j->by : "nothing found", j->caught ? ": " : "", j->problem);
    fflush(stdout);
}

static void keep(struct selection *s, json_t *result) {
    if (s->results != NULL && !assay_score_append(s->results, result))
        s->failed = true;
    json_decref(result);
}

/* ---- Model kernels ---- */

static size_t outputs_for_gates(const struct assay_judgement *j) {
    return j->outputs > LEAST_OUTPUTS ? j->outputs : LEAST_OUTPUTS;
}

/* A gate that rejects the correct kernel as well has not found the fault. */
static int rejects_correct(struct selection *s, const struct assay_type_traits *t,
                           enum assay_fault_shape shape) {
    struct assay_fault none = {ASSAY_MUT_NONE, t->type, shape, 0, false};
    struct assay_faulty kernel;
    struct assay_runner runner = {&kernel.backend, "", ASSAY_ISA_AUTO, 1};
    size_t i = 0;

    while (i + 1 < MAX_TYPES && assay_type_at(i) != t)
        i++;
    if (s->reject_correct[i][shape] < 0) {
        assay_faulty_init(&kernel, &none);
        s->reject_correct[i][shape] =
            (int)assay_gates_reject(&runner, t, LEAST_OUTPUTS, GATE_TIMEOUT);
    }
    return s->reject_correct[i][shape];
}

static unsigned gates_find(struct selection *s, const struct assay_runner *r,
                           const struct assay_type_traits *t, enum assay_fault_shape shape,
                           size_t outputs) {
    unsigned rejected = assay_gates_reject(r, t, outputs, GATE_TIMEOUT);

    return rejected == ASSAY_GATES_ALL ? rejected
                                       : rejected & ~(unsigned)rejects_correct(s, t, shape);
}

static void run_correct(struct selection *s, const struct assay_type_traits *t,
                        enum assay_fault_shape shape) {
    struct assay_fault none = {ASSAY_MUT_NONE, t->type, shape, 0, false};
    struct assay_faulty kernel;
    struct assay_judgement j;
    char name[96];

    if (!assay_model_takes(shape, t) || !selected(s, assay_fault_name(&none, name, sizeof name)))
        return;
    assay_faulty_init(&kernel, &none);
    j = judge(s, &kernel.backend, 0, &t, 1);
    tell(name, &j, false);
    s->judged++;
    s->failed = s->failed || j.caught || j.broken;
    keep(s, assay_score_correct(name, t->name, &j, (unsigned)rejects_correct(s, t, shape)));
}

/* Every type in an fp32 and in an int8 shape, the two of each in turn. */
static void run_all_correct(struct selection *s) {
    size_t turn = 0;

    for (size_t i = 0; i < assay_type_count(); i++) {
        const struct assay_type_traits *t = assay_type_at(i);
        if (t->dequant == NULL || turn++ % s->shards != s->shard)
            continue;
        run_correct(s, t, turn % 2 ? ASSAY_MODEL_ROW : ASSAY_MODEL_TILE);
        run_correct(s, t, turn % 2 ? ASSAY_MODEL_PANEL : ASSAY_MODEL_DOT);
    }
}

static void run_fault(struct selection *s, const struct assay_fault *f) {
    const struct assay_type_traits *t = assay_type_traits((uint32_t)f->type);
    struct assay_faulty kernel;
    struct assay_runner runner = {&kernel.backend, "", ASSAY_ISA_AUTO,
                                  s->threads[s->n_threads - 1]};
    struct assay_judgement j;
    unsigned rejected = 0;
    size_t outputs;
    char name[96];

    assay_fault_name(f, name, sizeof name);
    assay_faulty_init(&kernel, f);
    j = judge(s, &kernel.backend, 0, &t, 1);
    outputs = outputs_for_gates(&j);
    tell(name, &j, true);
    s->judged++;
    s->failed = s->failed || !j.caught;
    if (s->results != NULL)
        rejected = gates_find(s, &runner, t, f->shape, outputs);
    keep(s, assay_score_fault(assay_fault_class_name(assay_fault_class_of(f->mutation)), name,
                              assay_mutation_text(f->mutation), &j, rejected, outputs));
}

static void run_all_faults(struct selection *s) {
    char name[96];

    for (size_t i = 0; i < assay_fault_count(); i++) {
        struct assay_fault f = assay_fault_at(i);
        if (i % s->shards == s->shard && selected(s, assay_fault_name(&f, name, sizeof name)))
            run_fault(s, &f);
    }
}

static void list_faults(void) {
    char name[96];

    for (size_t i = 0; i < assay_fault_count(); i++) {
        struct assay_fault f = assay_fault_at(i);
        printf("%-44s %s\n", assay_fault_name(&f, name, sizeof name),
               assay_mutation_text(f.mutation));
    }
}

/* ---- The kernels of this very program, one of whose sources was mutated ---- */

struct type_list {
    const struct assay_type_traits *types[MAX_TYPES];
    size_t n;
};

static bool add_type(const char *item, void *user) {
    struct type_list *list = user;
    const struct assay_type_traits *t = assay_type_by_name(item);

    if (t == NULL || t->dequant == NULL || list->n == MAX_TYPES) {
        fprintf(stderr, "assay faults: no type '%s'\n", item);
        return false;
    }
    list->types[list->n++] = t;
    return true;
}

static int run_subject(struct selection *s, const char *name) {
    const struct assay_args *args = s->args;
    const char *isa_name = assay_args_get(args, "isa");
    const struct assay_backend *b = assay_backend_by_name(assay_args_get(args, "backend"));
    enum assay_isa isa = ASSAY_ISA_AUTO;
    struct type_list list = {.n = 0};
    struct assay_judgement j;
    unsigned rejected = 0;
    size_t outputs;

    if (b == NULL)
        return assay_usage_error(args->command, "no backend '%s'", assay_args_get(args, "backend"));
    if (assay_backend_uses_isa(b) &&
        (isa_name == NULL || !assay_isa_parse(isa_name, &isa) || isa == ASSAY_ISA_AUTO))
        return assay_usage_error(args->command, "option '--subject' needs '--isa'");
    if (!assay_args_list(args, "type", add_type, &list))
        return ASSAY_EXIT_USAGE;
    if (list.n == 0)
        return assay_usage_error(args->command, "option '--subject' needs '--type'");
    j = judge(s, b, assay_backend_uses_isa(b) ? 1u << isa : 0, list.types, list.n);
    outputs = outputs_for_gates(&j);
    tell(name, &j, true);
    for (size_t i = 0; i < list.n && s->results != NULL; i++) {
        struct assay_runner runner = {b, "", isa, s->threads[s->n_threads - 1]};
        rejected |= gates_find(s, &runner, list.types[i], ASSAY_MODEL_PANEL, outputs);
    }
    keep(s, assay_score_fault(assay_args_get(args, "class"), name, assay_args_get(args, "text"), &j,
                              rejected, outputs));
    return j.caught && !s->failed ? ASSAY_EXIT_OK : ASSAY_EXIT_MISMATCH;
}

/* ---- The command ---- */

static int print_table(const char *path) {
    json_t *results = path != NULL ? assay_score_read(path) : NULL;
    size_t failures;

    if (results == NULL)
        return ASSAY_EXIT_USAGE;
    failures = assay_score_print(stdout, results);
    json_decref(results);
    return failures > 0 ? ASSAY_EXIT_MISMATCH : ASSAY_EXIT_OK;
}

static int run(const struct assay_args *args) {
    struct selection s = {
        .args = args,
        .results = assay_args_get(args, "results"),
        .only = assay_args_get(args, "only"),
        .shards = 1,
        .threads = {1, assay_env_get()->cores},
        .n_threads = assay_env_get()->cores > 1 ? 2 : 1,
    };
    const char *subject = assay_args_get(args, "subject");

    memset(s.reject_correct, -1, sizeof s.reject_correct);
    if (assay_args_flag(args, "table"))
        return s.results != NULL
                   ? print_table(s.results)
                   : assay_usage_error(args->command, "option '--table' needs '--results'");
    if (assay_args_flag(args, "list")) {
        list_faults();
        return ASSAY_EXIT_OK;
    }
    if (!assay_args_u64(args, "shards", &s.shards, 1, 64) ||
        !assay_args_u64(args, "shard", &s.shard, 0, s.shards - 1))
        return ASSAY_EXIT_USAGE;
    if (subject != NULL)
        return run_subject(&s, subject);
    if (assay_args_flag(args, "correct"))
        run_all_correct(&s);
    else
        run_all_faults(&s);
    if (s.judged == 0 && s.only != NULL && s.shards == 1)
        return assay_usage_error(args->command, "no kernel's name contains '%s'", s.only);
    return s.failed ? ASSAY_EXIT_MISMATCH : ASSAY_EXIT_OK;
}

static const struct assay_option options[] = {
    {"list", 'l', NULL, NULL, "list the faults and judge none"},
    {"only", 0, "TEXT", NULL, "kernels whose name contains the text"},
    {"correct", 0, NULL, NULL, "judge the correct kernels instead"},
    {"results", 0, "FILE", NULL, "file that results are added to"},
    {"table", 0, NULL, NULL, "print the table of a file of results"},
    {"shards", 0, "N", "1", "parts that the work is split into"},
    {"shard", 0, "I", "0", "number of the part to do"},
    {"subject", 0, "NAME", NULL, "judge this program's kernels as the fault of this name"},
    {"backend", 0, "B", "cpu", "with --subject: the backend"},
    {"class", 0, "C", "source", "with --subject: the class of fault"},
    {"text", 0, "T", "", "with --subject: what is wrong"},
    {"isa", 0, "I", NULL, "with --subject: the instruction set"},
    {"type", 't', "T,...", NULL, "with --subject: the types that the fault is in"},
    {NULL, 0, NULL, NULL, NULL},
};

const struct assay_command assay_cmd_faults = {
    .name = "faults",
    .synopsis = "[OPTIONS]",
    .summary = "judge faulty kernels, and count what verify finds",
    .examples = "$ assay faults --only min-dropped",
    .options = options,
    .hidden = true,
    .run = run,
};
