/* The fault corpus: what it holds, a sample of it judged, and the rules of other harnesses. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/faults/fault.h"
#include "harness/faults/gates.h"
#include "harness/faults/judge.h"

enum { MANY = 1024 };

static struct assay_judgement judge(const struct assay_fault *f) {
    static const int threads[] = {1, 2};
    const struct assay_type_traits *t = assay_type_traits((uint32_t)f->type);
    struct assay_faulty kernel;

    assay_faulty_init(&kernel, f);
    return assay_judge(
        &kernel.backend,
        &(struct assay_judge_params){
            .types = &t, .n_types = 1, .threads = threads, .n_threads = 2, .timeout_s = 5});
}

/* Criterion's process has threads, and under qemu-user (7.2 at least) the child of such a process
 * dies when it starts a second thread. There `make check-aarch64` judges kernels by the program. */
static void skip_if_emulated(void) {
    if (getenv("ASSAY_EMULATOR") != NULL)
        cr_skip_test("qemu-user can't start threads in a child of this process");
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

Test(faults, have_a_name_each) {
    static char names[MANY][96];
    static char *sorted[MANY];
    size_t n = assay_fault_count();

    cr_assert(n >= 150 && n <= MANY, "%zu faults", n);
    for (size_t i = 0; i < n; i++) {
        struct assay_fault f = assay_fault_at(i);
        assay_fault_name(&f, names[i], sizeof names[i]);
        sorted[i] = names[i];
    }
    qsort(sorted, n, sizeof sorted[0], by_text);
    for (size_t i = 1; i < n; i++)
        cr_assert(strcmp(sorted[i - 1], sorted[i]) != 0, "%s is there twice", sorted[i]);
}

Test(faults, are_of_every_mutation_type_and_shape) {
    bool mutation[ASSAY_MUTATIONS] = {false}, shape[ASSAY_MODELS] = {false}, type[64] = {false};

    for (size_t i = 0; i < assay_fault_count(); i++) {
        struct assay_fault f = assay_fault_at(i);
        mutation[f.mutation] = shape[f.shape] = type[f.type] = true;
        cr_assert(assay_model_takes(f.shape, assay_type_traits((uint32_t)f.type)));
    }
    for (int i = ASSAY_MUT_NONE + 1; i < ASSAY_MUTATIONS; i++) {
#ifndef __x86_64__
        if (assay_fault_class_of((enum assay_mutation)i) == ASSAY_FAULTS_ENVIRONMENT)
            continue; /* registers of x86 */
#endif
        cr_expect(mutation[i], "no kernel with: %s", assay_mutation_text((enum assay_mutation)i));
    }
    for (int i = 0; i < ASSAY_MODELS; i++)
        cr_expect(shape[i], "no fault in %s", assay_model_name((enum assay_fault_shape)i));
    for (size_t i = 0; i < assay_type_count(); i++)
        if (assay_type_at(i)->dequant != NULL)
            cr_expect(type[assay_type_at(i)->type], "no fault in %s", assay_type_at(i)->name);
}

Test(faults, are_not_found_in_correct_kernels) {
    static const struct assay_fault correct[] = {
        {ASSAY_MUT_NONE, ASSAY_TYPE_F16, ASSAY_MODEL_TILE, 0, false},
        {ASSAY_MUT_NONE, ASSAY_TYPE_Q4_1, ASSAY_MODEL_DOT, 0, false},
        {ASSAY_MUT_NONE, ASSAY_TYPE_Q5_K, ASSAY_MODEL_PANEL, 0, false},
        {ASSAY_MUT_NONE, ASSAY_TYPE_IQ2_S, ASSAY_MODEL_ROW, 0, false},
    };

    skip_if_emulated();
    for (size_t i = 0; i < sizeof correct / sizeof correct[0]; i++) {
        struct assay_judgement j = judge(&correct[i]);
        char name[96];
        cr_expect(!j.broken && !j.caught && j.outputs > 10000, "%s: %s: %s",
                  assay_fault_name(&correct[i], name, sizeof name), j.by, j.problem);
    }
}

/* One of each class; make faults judges all. */
Test(faults, are_found_by_a_default_run, .timeout = 300) {
    static const enum assay_mutation sample[] = {
        ASSAY_MUT_CODE_LSB,      ASSAY_MUT_MIN_SIGN,      ASSAY_MUT_SHORT_COPY,
        ASSAY_MUT_TOWARDS_ZERO,  ASSAY_MUT_ACT_HALF_AWAY, ASSAY_MUT_LARGE_BATCH,
        ASSAY_MUT_STALE_X,       ASSAY_MUT_N_ORDER,       ASSAY_MUT_READ_BEFORE_W,
        ASSAY_MUT_LEAKS_FD,      ASSAY_MUT_EXITS_0,       ASSAY_MUT_NAN_X_LOST,
        ASSAY_MUT_CARRY_LOST_FAR};

    skip_if_emulated();
    for (size_t s = 0; s < sizeof sample / sizeof sample[0]; s++)
        for (size_t i = 0; i < assay_fault_count(); i++) {
            struct assay_fault f = assay_fault_at(i);
            struct assay_judgement j;
            char name[96];
            if (f.mutation != sample[s])
                continue;
            j = judge(&f);
            cr_expect(j.caught, "assay faults --only %s: nothing found",
                      assay_fault_name(&f, name, sizeof name));
            break;
        }
}

static unsigned rejected(const struct assay_fault *f) {
    const struct assay_type_traits *t = assay_type_traits((uint32_t)f->type);
    struct assay_faulty kernel;
    struct assay_runner r = {&kernel.backend, "", ASSAY_ISA_AUTO, 1};

    assay_faulty_init(&kernel, f);
    return assay_gates_reject(&r, t, 2000, 60);
}

Test(gates, accept_a_correct_kernel) {
    struct assay_fault f = {ASSAY_MUT_NONE, ASSAY_TYPE_Q4_K, ASSAY_MODEL_PANEL, 0, false};
    cr_assert_eq(rejected(&f), 0);
}

Test(gates, reject_a_kernel_that_is_wrong_throughout) {
    struct assay_fault f = {ASSAY_MUT_TRANSPOSED, ASSAY_TYPE_Q8_0, ASSAY_MODEL_ROW, 0, false};
    unsigned need = 1u << ASSAY_GATE_NMSE | 1u << ASSAY_GATE_NEAR | 1u << ASSAY_GATE_COSINE |
                    1u << ASSAY_GATE_MAX_ABS;
    cr_assert_eq(rejected(&f) & need, need);
}

Test(gates, of_norms_let_a_small_gain_through) {
    struct assay_fault gain = {ASSAY_MUT_GAIN, ASSAY_TYPE_Q4_K, ASSAY_MODEL_ROW, 0, false};
    cr_assert_eq(rejected(&gain) & (1u << ASSAY_GATE_NMSE | 1u << ASSAY_GATE_COSINE), 0);
}

Test(gates, count_a_crash_for_all) {
    struct assay_fault f = {ASSAY_MUT_SEGFAULT, ASSAY_TYPE_Q4_K, ASSAY_MODEL_ROW, 0, false};
    cr_assert_eq(rejected(&f), (unsigned)ASSAY_GATES_ALL);
}

/* ---- Mutations of sources ---- */

static char *read_file(const char *path) {
    FILE *f = fopen(path, "rb");
    char *text = calloc(1, 1 << 20);

    cr_assert(f != NULL && text != NULL, "can't read %s", path);
    cr_assert(fread(text, 1, (1 << 20) - 1, f) > 0);
    fclose(f);
    return text;
}

static size_t occurrences(const char *text, const char *what) {
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

Test(faults, of_sources_have_one_place_each) {
    enum { FIELDS = 8 };
    char *list = read_file("harness/faults/source.tsv"), *rest = list, *line;
    size_t n = 0;

    while ((line = strsep(&rest, "\n")) != NULL) {
        char *field[FIELDS], *text;
        if (*line == '#' || *line == '\0')
            continue;
        for (int i = 0; i < FIELDS; i++) {
            field[i] = strsep(&line, "\t");
            cr_assert(field[i] != NULL && *field[i] != '\0', "line %zu: field %d", n + 1, i + 1);
        }
        cr_assert(line == NULL, "line %zu: more than %d fields", n + 1, FIELDS);
        text = read_file(field[4]);
        cr_expect(occurrences(text, field[5]) == 1, "%s: %s is there %zu times", field[4], field[5],
                  occurrences(text, field[5]));
        free(text);
        n++;
    }
    cr_assert(n >= 40, "%zu mutations", n);
    free(list);
}
