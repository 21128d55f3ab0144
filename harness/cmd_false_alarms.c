/* assay false-alarms: how often the bound and the statistics accuse a correct kernel. A worker of
 * `make false-alarms`. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "case.h"
#include "env.h"
#include "options.h"
#include "statistics.h"
#include "term.h"

/* A run draws a seed, takes a type in turn and lets RUNNERS_PER_RUN runners in turn be judged. */
enum { RUNNERS_PER_RUN = 3, MAX_RUNNERS = 32, MAX_JOBS = 64 };

/* What one runner has gone through. */
struct count {
    size_t judged, alarms;
    struct assay_statistics_tally tally;
};

struct plan {
    struct assay_runner runners[MAX_RUNNERS];
    size_t n_runners;
    const struct assay_type_traits *types[64];
    size_t n_types;
    unsigned long long runs, seed, jobs;
};

struct result {
    size_t runs;
    struct count counts[MAX_RUNNERS];
};

/* Every runner of assay's own backends; ggml's kernels are judged by verify, not known correct. */
static void add_runners(struct plan *p) {
    char why[160];

    for (size_t b = 0; b < assay_backend_count(); b++) {
        const struct assay_backend *backend = assay_backend_at(b);
        if (!assay_backend_available(backend, why, sizeof why) ||
            strcmp(assay_backend_name(backend), "ggml") == 0 ||
            assay_backend_is_emulated(backend)) /* too slow for thousands of runs */
            continue;
        bool choice = assay_backend_uses_isa(backend);
        for (const char *const *v = assay_backend_variants(backend); *v != NULL; v++)
            for (int isa = choice ? ASSAY_ISA_SCALAR : ASSAY_ISA_AUTO;
                 isa < (choice ? ASSAY_ISA_COUNT : ASSAY_ISA_AUTO + 1); isa++)
                if (assay_isa_runs_here((enum assay_isa)isa) && p->n_runners < MAX_RUNNERS)
                    p->runners[p->n_runners++] =
                        (struct assay_runner){backend, *v, (enum assay_isa)isa, 1};
    }
}

static void runner_name(const struct assay_runner *r, char *buf, size_t size) {
    snprintf(buf, size, "%s%s%s%s%s", assay_backend_name(r->backend), r->variant[0] ? "+" : "",
             r->variant, r->isa != ASSAY_ISA_AUTO ? "/" : "",
             r->isa != ASSAY_ISA_AUTO ? assay_isa_name(r->isa) : "");
}

static void do_run(const struct plan *p, unsigned long long run, struct result *result) {
    const struct assay_type_traits *type = p->types[run % p->n_types];
    size_t first = (size_t)(run / p->n_types) * RUNNERS_PER_RUN;

    for (size_t i = 0; i < RUNNERS_PER_RUN; i++) {
        size_t at = (first + i) % p->n_runners;
        struct count *c = &result->counts[at];
        if (!assay_backend_supports(p->runners[at].backend, type))
            continue;
        struct assay_check_env env = {&p->runners[at], type, p->seed + run, false};
        json_t *finding = assay_statistics_judge(&env, &c->tally);
        c->judged++;
        if (strcmp(json_string_value(json_object_get(finding, "verdict")), "pass") != 0) {
            char name[64];
            runner_name(env.runner, name, sizeof name);
            fprintf(stderr, "alarm: run %llu seed %llu %s %s: %s\n", run,
                    (unsigned long long)env.seed, type->name, name,
                    json_string_value(json_object_get(finding, "problem")));
            c->alarms++;
        }
        json_decref(finding);
    }
    result->runs++;
}

static void merge(struct result *all, const struct result *part) {
    all->runs += part->runs;
    for (size_t i = 0; i < MAX_RUNNERS; i++) {
        struct count *a = &all->counts[i];
        const struct count *b = &part->counts[i];
        a->judged += b->judged;
        a->alarms += b->alarms;
        a->tally.outputs += b->tally.outputs;
        for (int s = 0; s < ASSAY_STATISTIC_COUNT; s++) {
            a->tally.tests[s] += b->tally.tests[s];
            a->tally.closest[s] = fmax(a->tally.closest[s], b->tally.closest[s]);
        }
    }
}

/* Runs job, job + jobs, job + 2·jobs … and leaves the result in the pipe. */
static int child(const struct plan *p, unsigned long long job, int fd) {
    struct result result = {0};

    for (unsigned long long run = job; run < p->runs; run += p->jobs) {
        do_run(p, run, &result);
        if (job == 0)
            assay_progress("false-alarms", run, p->runs, p->types[run % p->n_types]->name);
    }
    if (job == 0)
        assay_progress_clear();
    return write(fd, &result, sizeof result) == (ssize_t)sizeof result ? 0 : 1;
}

static bool read_result(int fd, struct result *r) {
    size_t got = 0;

    while (got < sizeof *r) {
        ssize_t n = read(fd, (char *)r + got, sizeof *r - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        got += (size_t)n;
    }
    return true;
}

static bool run_all(const struct plan *p, struct result *all) {
    struct {
        pid_t pid;
        int fd;
    } jobs[MAX_JOBS];
    size_t started = 0;
    bool ok = true;

    for (; started < p->jobs; started++) {
        int fds[2];
        if (pipe(fds) != 0)
            break;
        jobs[started].pid = fork();
        if (jobs[started].pid == 0) {
            close(fds[0]);
            _exit(child(p, started, fds[1]));
        }
        close(fds[1]);
        jobs[started].fd = fds[0];
        if (jobs[started].pid < 0) {
            close(fds[0]);
            break;
        }
    }
    for (size_t i = 0; i < started; i++) {
        struct result part;
        int status;
        ok = read_result(jobs[i].fd, &part) && ok;
        if (ok)
            merge(all, &part);
        close(jobs[i].fd);
        ok = waitpid(jobs[i].pid, &status, 0) == jobs[i].pid && status == 0 && ok;
    }
    return ok && started == p->jobs;
}

/* ---- Output ---- */

static void add_table_row(struct assay_table *table, const char *name, const struct count *c) {
    enum { FIXED = 5 };
    char text[FIXED + ASSAY_STATISTIC_COUNT][32];
    const char *cells[FIXED + ASSAY_STATISTIC_COUNT] = {name};
    size_t tests = 0;

    for (int s = 0; s < ASSAY_STATISTIC_COUNT; s++) {
        tests += c->tally.tests[s];
        snprintf(text[FIXED + s], sizeof text[0], "%.3f", c->tally.closest[s]);
        cells[FIXED + s] = text[FIXED + s];
    }
    const size_t numbers[] = {c->judged, c->tally.outputs, tests, c->alarms};
    for (int i = 1; i < FIXED; i++) {
        snprintf(text[i], sizeof text[0], "%zu", numbers[i - 1]);
        cells[i] = text[i];
    }
    assay_table_row(table, cells);
}

static void print_table(const struct plan *p, const struct result *r) {
    static const char *const headings[] = {"RUNNER", ">JUDGED", ">OUTPUTS", ">TESTS", ">ALARMS",
                                           ">BOUND", ">OUTPUT", ">SPREAD",  ">BIAS",  ">GAIN"};
    struct assay_table *table = assay_table_new(headings, sizeof headings / sizeof headings[0]);
    struct result total = {0};
    char name[64];

    for (size_t i = 0; i < p->n_runners; i++) {
        runner_name(&p->runners[i], name, sizeof name);
        add_table_row(table, name, &r->counts[i]);
        struct result one = {.counts[0] = r->counts[i]};
        merge(&total, &one);
    }
    add_table_row(table, "all", &total.counts[0]);
    assay_table_print(table, stdout);

    printf(
        "\nThe last five columns: largest value over its limit, 1 being an alarm.\n"
        "A run: a fresh seed, one of the %zu types in turn, %d of the %zu runners in turn; each\n"
        "judged by the worst-case bound of every output and by the statistics of verify.\n"
        "%zu runs from seed %llu on %s (%s), built by %s.\n",
        p->n_types, RUNNERS_PER_RUN, p->n_runners, r->runs, p->seed, assay_env_get()->cpu_model,
        assay_env_get()->isa, assay_env_get()->compiler);
    if (total.counts[0].alarms == 0)
        printf(
            "No false alarm: fewer than %.2g a run with 95 %% confidence (rule of three), %.2g of\n"
            "each judgement. By design %.0e of a whole run of verify.\n",
            3.0 / (double)r->runs, 3.0 / (double)total.counts[0].judged,
            ASSAY_FALSE_ALARMS_PER_RUN);
    else
        printf("%zu FALSE ALARMS\n", total.counts[0].alarms);
}

static int run(const struct assay_args *args) {
    struct plan plan = {.jobs = (unsigned long long)assay_env_get()->cores};
    struct result all = {0};

    if (!assay_args_u64(args, "runs", &plan.runs, 1, 1000000000) ||
        !assay_args_u64(args, "seed", &plan.seed, 0, UINT64_MAX / 2) ||
        !assay_args_u64(args, "jobs", &plan.jobs, 1, MAX_JOBS))
        return ASSAY_EXIT_USAGE;
    if (plan.jobs > MAX_JOBS)
        plan.jobs = MAX_JOBS;
    add_runners(&plan);
    for (size_t i = 0; i < assay_type_count(); i++)
        if (assay_type_at(i)->dequant != NULL)
            plan.types[plan.n_types++] = assay_type_at(i);
    if (!run_all(&plan, &all)) {
        fprintf(stderr, "assay false-alarms: a worker died\n");
        return ASSAY_EXIT_MISMATCH;
    }
    print_table(&plan, &all);
    for (size_t i = 0; i < plan.n_runners; i++)
        if (all.counts[i].alarms > 0)
            return ASSAY_EXIT_MISMATCH;
    return ASSAY_EXIT_OK;
}

static const struct assay_option options[] = {
    {"runs", 0, "N", "100", "Number of runs."},
    {"seed", 0, "S", "1", "Seed of the first run; each has the next one."},
    {"jobs", 'j', "J", NULL, "Processes (default: one a core)."},
    {NULL, 0, NULL, NULL, NULL},
};

const struct assay_command assay_cmd_false_alarms = {
    .name = "false-alarms",
    .synopsis = "[OPTIONS]",
    .summary = "Judge correct kernels over and over and count the alarms",
    .examples = "$ assay false-alarms --runs 10000",
    .options = options,
    .hidden = true,
    .run = run,
};
