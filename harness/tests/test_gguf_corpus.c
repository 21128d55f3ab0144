/* The hand-made GGUF files of the fuzz corpus, each a case of its own: what assay says of it is
 * written down in harness/fuzz/corpus/gguf.verdicts, and what ggml's own reader makes of it is
 * compared where ggml is installed. Names begin with ok- (valid: both accept and see the same),
 * err- (invalid: both refuse) or odd- (they differ on purpose, see datasets/README.md). */
#include <criterion/criterion.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "datasets/gguf.h"
#include "ref/tests/ggml_oracle.h"

#define FOLDER "harness/fuzz/corpus/gguf"
#define VERDICTS "harness/fuzz/corpus/gguf.verdicts"

/* All that two readers must agree on: the tensor table, the keys with their kinds and lengths. */
static void print_model(FILE *f, const struct assay_gguf *g) {
    for (size_t i = 0; i < assay_gguf_tensor_count(g); i++) {
        const struct assay_gguf_tensor *t = assay_gguf_tensor_at(g, i);
        fprintf(f, "tensor %.*s type %u dims %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
                   " at %" PRIu64 " bytes %" PRIu64 "\n",
                (int)t->name.len, t->name.data, (unsigned)t->type->type, t->dims[0], t->dims[1],
                t->dims[2], t->dims[3], t->file_offset, t->bytes);
    }
    for (size_t i = 0; i < assay_gguf_kv_count(g); i++) {
        const struct assay_gguf_kv *kv = assay_gguf_kv_at(g, i);
        bool array = kv->kind == ASSAY_GGUF_ARRAY;
        fprintf(f, "key %.*s kind %d of %d length %" PRIu64 "\n", (int)kv->key.len, kv->key.data,
                (int)kv->kind, array ? (int)kv->elem_kind : -1, array ? kv->count : 1);
    }
    fprintf(f, "version %u alignment %u\n", assay_gguf_version(g), assay_gguf_alignment(g));
}

/* Runs over the files in the order of their names. */
static void each_file(void (*run)(const char *name, const char *path)) {
    struct dirent **names;
    int n = scandir(FOLDER, &names, NULL, alphasort);
    cr_assert(n > 100, "no corpus in " FOLDER);
    for (int i = 0; i < n; i++) {
        char path[512];
        snprintf(path, sizeof path, FOLDER "/%s", names[i]->d_name);
        if (strstr(names[i]->d_name, ".gguf") != NULL)
            run(names[i]->d_name, path);
        free(names[i]);
    }
    free(names);
}

static FILE *verdicts;

static void expect_verdict(const char *name, const char *path) {
    char err[1024] = "", got[2048], want[2048] = "";
    struct assay_gguf *g = assay_gguf_open(path, err, sizeof err);
    if (g != NULL)
        snprintf(got, sizeof got, "%s: %zu tensors, %zu keys\n", name, assay_gguf_tensor_count(g),
                 assay_gguf_kv_count(g));
    else
        snprintf(got, sizeof got, "%s\n", err + strlen(FOLDER "/"));
    assay_gguf_close(g);
    cr_assert(g == NULL || strncmp(name, "err-", 4) != 0, "%s was accepted", name);
    cr_assert(g != NULL || strncmp(name, "ok-", 3) != 0, "%s", err);
    cr_assert(fgets(want, sizeof want, verdicts) != NULL, VERDICTS " ends before %s", got);
    cr_expect_str_eq(got, want);
}

/* ASSAY_WRITE_VERDICTS=1 writes the file anew, for review by diff. */
static void write_verdict(const char *name, const char *path) {
    char err[1024] = "";
    struct assay_gguf *g = assay_gguf_open(path, err, sizeof err);
    if (g != NULL)
        fprintf(verdicts, "%s: %zu tensors, %zu keys\n", name, assay_gguf_tensor_count(g),
                assay_gguf_kv_count(g));
    else
        fprintf(verdicts, "%s\n", err + strlen(FOLDER "/"));
    assay_gguf_close(g);
}

Test(gguf_corpus, every_file_has_its_verdict) {
    bool write = getenv("ASSAY_WRITE_VERDICTS") != NULL;
    char more[256];
    verdicts = fopen(VERDICTS, write ? "w" : "r");
    cr_assert(verdicts != NULL, "no " VERDICTS);
    each_file(write ? write_verdict : expect_verdict);
    cr_assert(write || fgets(more, sizeof more, verdicts) == NULL, "no file for: %s", more);
    fclose(verdicts);
}

/* ---- ggml's reader (gguf.h of ggml), by its C interface ---- */

struct gguf_init_params {
    bool no_alloc;
    void **ctx;
};

static struct {
    void *(*init_from_file)(const char *path, struct gguf_init_params params);
    void (*log_set)(void (*log)(int level, const char *text, void *user), void *user);
    uint32_t (*version)(const void *);
    size_t (*alignment)(const void *);
    size_t (*data_offset)(const void *);
    int64_t (*n_kv)(const void *);
    const char *(*key)(const void *, int64_t);
    int (*kv_type)(const void *, int64_t);
    int (*arr_type)(const void *, int64_t);
    size_t (*arr_n)(const void *, int64_t);
    int64_t (*n_tensors)(const void *);
    const char *(*tensor_name)(const void *, int64_t);
    const int64_t *(*tensor_ne)(const void *, int64_t);
    int (*tensor_type)(const void *, int64_t);
    size_t (*tensor_offset)(const void *, int64_t);
    size_t (*tensor_size)(const void *, int64_t);
} ggml;

static void load_ggml(void) {
    static const struct {
        const char *name;
        void *place;
    } symbols[] = {
        {"gguf_init_from_file", &ggml.init_from_file}, {"ggml_log_set", &ggml.log_set},
        {"gguf_get_version", &ggml.version},           {"gguf_get_alignment", &ggml.alignment},
        {"gguf_get_data_offset", &ggml.data_offset},   {"gguf_get_n_kv", &ggml.n_kv},
        {"gguf_get_key", &ggml.key},                   {"gguf_get_kv_type", &ggml.kv_type},
        {"gguf_get_arr_type", &ggml.arr_type},         {"gguf_get_arr_n", &ggml.arr_n},
        {"gguf_get_n_tensors", &ggml.n_tensors},       {"gguf_get_tensor_name", &ggml.tensor_name},
        {"gguf_get_tensor_ne", &ggml.tensor_ne},       {"gguf_get_tensor_type", &ggml.tensor_type},
        {"gguf_get_tensor_offset", &ggml.tensor_offset},
        {"gguf_get_tensor_size", &ggml.tensor_size},
    };
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        const char *why;
        void *symbol = ggml_symbol("libggml-base.so", symbols[i].name, &why);
        if (symbol == NULL)
            cr_skip_test("%s", why);
        memcpy(symbols[i].place, &symbol, sizeof symbol);
    }
}

static void be_quiet(int level, const char *text, void *user) {
    (void)level;
    (void)text;
    (void)user;
}

static void print_ggml_model(FILE *f, const void *g) {
    for (int64_t i = 0; i < ggml.n_tensors(g); i++) {
        const int64_t *ne = ggml.tensor_ne(g, i);
        fprintf(f, "tensor %s type %d dims %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64
                   " at %zu bytes %zu\n",
                ggml.tensor_name(g, i), ggml.tensor_type(g, i), ne[0], ne[1], ne[2], ne[3],
                ggml.data_offset(g) + ggml.tensor_offset(g, i), ggml.tensor_size(g, i));
    }
    for (int64_t i = 0; i < ggml.n_kv(g); i++) {
        int kind = ggml.kv_type(g, i);
        bool array = kind == ASSAY_GGUF_ARRAY;
        fprintf(f, "key %s kind %d of %d length %zu\n", ggml.key(g, i), kind,
                array ? ggml.arr_type(g, i) : -1, array ? ggml.arr_n(g, i) : (size_t)1);
    }
    fprintf(f, "version %u alignment %zu\n", ggml.version(g), ggml.alignment(g));
}

/* ggml's view of a file, in a child: where it aborts it has refused as well. NULL: refused. */
static char *ggml_view(const char *path) {
    char *text = NULL;
    size_t size;
    FILE *f = tmpfile(), *whole;
    int status;

    cr_assert(f != NULL);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        void *tensors = NULL;
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(2);
        ggml.log_set(be_quiet, NULL);
        void *g = ggml.init_from_file(path, (struct gguf_init_params){false, &tensors});
        if (g == NULL)
            _exit(1);
        print_ggml_model(f, g);
        fflush(f);
        _exit(0);
    }
    cr_assert(child > 0 && waitpid(child, &status, 0) == child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        whole = open_memstream(&text, &size);
        rewind(f);
        for (int c; (c = getc(f)) != EOF;)
            putc(c, whole);
        fclose(whole);
    }
    fclose(f);
    return text;
}

/* The files on which the two differ, by what ggml makes of them; datasets/README.md has the reasons.
 * Beside them it refuses what is cut, as assay does, and accepts bytes behind the tensors. */
static const char *const only_ggml_accepts[] = {
    "odd-alignment-1.gguf",         "odd-alignment-2.gguf",
    "odd-alignment-4.gguf",         "odd-alignment-above-the-limit.gguf",
    "odd-bool-of-255-in-array.gguf", "odd-bool-of-two.gguf",
    "odd-element-count-wraps.gguf", "odd-empty-tensor-name.gguf",
    "odd-key-above-the-limit.gguf", "odd-key-with-nul.gguf",
    "odd-no-dimensions.gguf",       "odd-tensor-name-with-nul.gguf",
    "odd-zero-dimension.gguf",
};
static const char *const only_assay_accepts[] = {
    "odd-arrays-nested-to-the-limit.gguf", "odd-gap-between-tensors.gguf",
    "odd-nested-array.gguf",               "odd-no-padding-at-the-end.gguf",
    "odd-tensors-out-of-order.gguf",
};

static bool is_in(const char *name, const char *const *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(name, list[i]) == 0)
            return true;
    return false;
}
#define IS_IN(name, list) is_in((name), (list), sizeof(list) / sizeof((list)[0]))

static void compare_with_ggml(const char *name, const char *path) {
    char err[1024] = "", *ours = NULL, *theirs = ggml_view(path);
    size_t size;
    struct assay_gguf *g = assay_gguf_open(path, err, sizeof err);
    bool ok = g != NULL, expected = ok;

    if (IS_IN(name, only_ggml_accepts) || IS_IN(name, only_assay_accepts))
        expected = !ok;
    cr_expect_eq(theirs != NULL, expected, "%s: assay %s it, ggml %s it", name,
                 ok ? "accepts" : "refuses", theirs != NULL ? "accepts" : "refuses");
    if (ok && theirs != NULL) {
        FILE *f = open_memstream(&ours, &size);
        print_model(f, g);
        fclose(f);
        cr_expect_str_eq(ours, theirs, "%s", name);
    }
    assay_gguf_close(g);
    free(ours);
    free(theirs);
}

Test(gguf_corpus, ggml_sees_the_same_in_valid_files_and_refuses_the_invalid, .init = load_ggml) {
    static const char *const models[] = {"IQ3_S", "Q2_K", "Q3_K_M", "Q4_0", "Q4_K_M"};
    each_file(compare_with_ggml);
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        char path[128];
        snprintf(path, sizeof path, "datasets/tinylm/tinylm-%s.gguf", models[i]);
        compare_with_ggml(models[i], path);
    }
}
