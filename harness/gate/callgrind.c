/* Instruction counts without hardware counters: valgrind's callgrind runs one case in a process of
 * its own. Counts are exact and repeat, on any machine and under any load; but they are of the
 * instruction set that valgrind knows (AVX2 at most on x86), which may be another kernel's. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "datasets/generate.h"
#include "gate.h"
#include "harness/options.h"
#include "harness/plugin.h"

/* Of the two runs whose difference is counted: what comes before the products cancels. */
static const int calls_of[2] = {1, 3};

static bool own_path(char *path, size_t size) {
    ssize_t n = readlink("/proc/self/exe", path, size - 1);

    if (n <= 0)
        return false;
    path[n] = '\0';
    return true;
}

/* Runs argv; its output goes to `out`, its standard error to nowhere. */
static int run_quiet(char *const argv[], const char *out) {
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600), null = open("/dev/null", O_WRONLY);
        if (fd < 0 || null < 0)
            _exit(126);
        dup2(fd, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        execvp(argv[0], argv);
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 255;
    return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

/* The total of the one event that is counted by default, Ir: the line "summary: N" or, in other
 * versions, "totals: N". */
static bool read_total(const char *path, unsigned long long *total) {
    FILE *f = fopen(path, "r");
    char line[4096];
    bool found = false;

    if (f == NULL)
        return false;
    while (fgets(line, sizeof line, f) != NULL)
        found = sscanf(line, "summary: %llu", total) == 1 ||
                sscanf(line, "totals: %llu", total) == 1 || found;
    fclose(f);
    return found;
}

static void read_line(const char *path, char *line, size_t size) {
    FILE *f = fopen(path, "r");

    line[0] = '\0';
    if (f == NULL)
        return;
    if (fgets(line, (int)size, f) != NULL)
        line[strcspn(line, "\n")] = '\0';
    fclose(f);
}

bool assay_gate_callgrind(const struct assay_gate_params *p, size_t i, int version, double *count,
                          char *kernel, size_t kernel_size, char *err, size_t err_size) {
    const struct assay_gate_case *c = &p->cases[i];
    char self[4096], dir[] = "/tmp/assay-gate-XXXXXX", file[64], out[64], option[96];
    char m[24], n[24], k[24], calls[24], seed[24];
    unsigned long long total[2];
    bool ok = true;

    if (!own_path(self, sizeof self) || mkdtemp(dir) == NULL) {
        snprintf(err, err_size, "callgrind: can't find this program, or write to /tmp");
        return false;
    }
    snprintf(file, sizeof file, "%s/counts", dir);
    snprintf(out, sizeof out, "%s/kernel", dir);
    snprintf(option, sizeof option, "--callgrind-out-file=%s", file);
    snprintf(m, sizeof m, "%zu", c->m);
    snprintf(n, sizeof n, "%zu", c->n);
    snprintf(k, sizeof k, "%zu", c->k);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)p->seed);
    for (int run = 0; ok && run < 2; run++) {
        char *argv[] = {"valgrind",
                        "--tool=callgrind",
                        option,
                        self,
                        "gate-count",
                        "--library",
                        (char *)(uintptr_t)p->versions[version].plugin,
                        "--type",
                        (char *)(uintptr_t)c->type->name,
                        "--m",
                        m,
                        "--n",
                        n,
                        "--k",
                        k,
                        "--calls",
                        calls,
                        "--seed",
                        seed,
                        NULL};
        int status;

        snprintf(calls, sizeof calls, "%d", calls_of[run]);
        status = run_quiet(argv, out);
        ok = status == 0 && read_total(file, &total[run]);
        if (!ok)
            snprintf(err, err_size, "%s",
                     status == 127 ? "valgrind is not installed"
                                   : "callgrind could not run the product");
    }
    if (ok) {
        *count = (double)(total[1] - total[0]) / (calls_of[1] - calls_of[0]);
        read_line(out, kernel, kernel_size);
    }
    unlink(file);
    unlink(out);
    rmdir(dir);
    return ok;
}

/* ---- The process that is counted ------------------------------------------------------------- */

struct product {
    const struct assay_type_traits *type;
    unsigned long long m, n, k, calls, seed;
};

static int multiply(const struct assay_args *args, const struct assay_backend *b,
                    const struct product *p) {
    size_t row_bytes;
    struct assay_ctx_params params = {.backend = b, .threads = 1};
    struct assay_ctx *ctx = NULL;
    struct assay_store *store = NULL;
    struct assay_error e = {0};
    bool ok = assay_row_bytes(p->type, p->k, &row_bytes);
    uint8_t *w = ok ? malloc(p->n * row_bytes) : NULL;
    float *x = malloc(p->m * p->k * sizeof *x), *y = malloc(p->m * p->n * sizeof *y);

    ok = w != NULL && x != NULL && y != NULL;
    if (ok) {
        assay_generate_weights(p->type, ASSAY_WGEN_UNIFORM, p->seed ^ 1, p->n, p->k, w);
        assay_generate_acts(ASSAY_AGEN_NORMAL, p->seed ^ 2, p->m, p->k, x);
        ok = assay_ctx_create(&params, &ctx, &e) == ASSAY_OK &&
             assay_store_create(ctx, p->type->type, w, p->n * row_bytes, p->n, p->k, &store, &e) ==
                 ASSAY_OK;
    }
    for (unsigned long long i = 0; ok && i < p->calls; i++)
        ok = gemm_quant(ctx, store, x, p->m, y, p->n, &e) == ASSAY_OK;
    if (ok)
        puts(assay_gate_kernel_name(assay_args_get(args, "library"), p->type->type, p->m));
    assay_store_free(store);
    assay_ctx_free(ctx);
    free(w);
    free(x);
    free(y);
    return ok ? ASSAY_EXIT_OK : assay_usage_error(args->command, "%s", e.message);
}

static int run(const struct assay_args *args) {
    struct product p = {.type = assay_type_by_name(assay_args_get(args, "type"))};
    const struct assay_backend *b;
    char err[256];

    if (p.type == NULL || !assay_args_u64(args, "m", &p.m, 1, 1 << 20) ||
        !assay_args_u64(args, "n", &p.n, 1, 1 << 20) ||
        !assay_args_u64(args, "k", &p.k, 1, 1 << 20) ||
        !assay_args_u64(args, "calls", &p.calls, 1, 1000) ||
        !assay_args_u64(args, "seed", &p.seed, 0, INT64_MAX))
        return ASSAY_EXIT_USAGE;
    b = assay_plugin_add_here(assay_args_get(args, "library"), err, sizeof err);
    if (b == NULL)
        return assay_usage_error(args->command, "%s", err);
    return multiply(args, b, &p);
}

static const struct assay_option options[] = {
    {"library", 0, "FILE", "", "plugin"},      {"type", 0, "T", "q4_0", "type"},
    {"m", 0, "M", "1", "rows of x"},           {"n", 0, "N", "1", "rows of W"},
    {"k", 0, "K", "256", "columns"},           {"calls", 0, "N", "1", "products"},
    {"seed", 0, "S", "1", "seed of the data"}, {NULL, 0, NULL, NULL, NULL},
};

const struct assay_command assay_cmd_gate_count = {
    .name = "gate-count",
    .synopsis = "",
    .summary = "worker of gate: some products, for callgrind to count",
    .options = options,
    .hidden = true,
    .run = run,
};
