/* The plugin loader and what the command line makes of it, on the plugins in plugins/. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/plugin.h"
#include "impl/plugin/loader.h"

#define FAULTY ASSAY_TEST_BUILD "/harness/tests/plugins/faulty.so"
#define SKELETON ASSAY_TEST_BUILD "/impl/example/skeleton.so"
#define UNRESOLVED ASSAY_TEST_BUILD "/harness/tests/plugins/unresolved.so"

enum { ENOUGH_S = 30 };

static const struct assay_backend *add(const char *fault, bool *crashed, char *err, size_t n) {
    setenv("ASSAY_TEST_FAULT", fault, 1);
    return assay_plugin_add(FAULTY, ENOUGH_S, crashed, err, n);
}

static const struct assay_backend *add_good(const char *fault) {
    bool crashed;
    char err[256] = "";
    const struct assay_backend *b = add(fault, &crashed, err, sizeof err);

    cr_assert_not_null(b, "%s: %s", fault, err);
    return b;
}

Test(plugin, what_a_library_says_becomes_a_backend) {
    const struct assay_backend *b = add_good("none");

    cr_assert_str_eq(assay_backend_name(b), "none");
    cr_assert_str_eq(assay_backend_summary(b), "for tests");
    cr_assert_eq(assay_backend_claims(b), ASSAY_CLAIM_REPEATABLE);
    cr_assert(assay_backend_has_rows(b));
    for (size_t i = 0; i < assay_type_count(); i++) {
        const struct assay_type_traits *t = assay_type_at(i);
        bool taken =
            t->type == ASSAY_TYPE_Q8_0 || t->type == ASSAY_TYPE_Q4_0 || t->type == ASSAY_TYPE_Q6_K;
        cr_assert_eq(assay_backend_supports(b, t), taken, "%s", t->name);
    }
    cr_assert_eq(assay_backend_by_name("none"), b);
    cr_assert_eq(assay_backend_at(assay_backend_count() - 1), b);
}

Test(plugin, members_that_may_be_null_are_not_missed) {
    const struct assay_backend *b = add_good("minimal");

    cr_assert_not(assay_backend_has_rows(b));
    cr_assert_str_eq(assay_backend_summary(b), "plugin");
}

Test(plugin, a_longer_struct_of_the_same_abi_is_taken) { add_good("longer_struct"); }

Test(plugin, the_program_does_not_map_the_library) {
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    bool mapped = false;

    if (maps == NULL)
        cr_skip("no /proc");
    add_good("none");
    while (fgets(line, sizeof line, maps) != NULL)
        mapped = mapped || strstr(line, "faulty.so") != NULL;
    fclose(maps);
    cr_assert_not(mapped);
}

static const struct {
    const char *fault, *text;
    bool crashed;
} refusals[] = {
    {"wrong_magic", "does not begin with ASSAY_PLUGIN_MAGIC", false},
    {"wrong_abi", "has plugin ABI version 7, this assay has 1", false},
    {"short_struct", "its struct has ", false},
    {"unknown_claim", "claims 0x40000001 have unknown bits", false},
    {"no_name", "its name is not 1 to 31 of", false},
    {"bad_name", "its name is not 1 to 31 of", false},
    {"taken_name", "its name 'cpu' is taken", false},
    {"all", "its name 'all' is taken", false},
    {"no_create", "its create is NULL", false},
    {"no_forward", "its forward is NULL", false},
    {"no_destroy", "its destroy is NULL", false},
    {"no_classes", "has 0 rows, not 1 to 256", false},
    {"null_classes", "has 0 rows, not 1 to 256", false},
    {"many_classes", "has 257 rows, not 1 to 256", false},
    {"unknown_type", "class 1 (type 4242): unknown GGUF type", false},
    {"undecoded_type", "class 1 (type 9): a type that assay does not decode", false},
    {"unknown_weight", "class 1 (type 2): unknown weight arithmetic", false},
    {"unknown_act", "class 1 (type 2): unknown activation arithmetic", false},
    {"act_block_with_f32", "class 1 (type 2): act_block must be 0", false},
    {"no_act_block", "class 1 (type 2): act_block must be 0", false},
    {"no_exact_run", "class 1 (type 2): exact_run is 0", false},
    {"long_exact_run", "class 1 (type 2): exact_run is longer", false},
    {"reserved", "class 1 (type 2): reserved words are not 0", false},
    {"twice", "class 1 (type 8): the type is there twice", false},
    {"no_first_row", "class 1 (type 2): the first row of a type must have min_m 0", false},
    {"unordered", "class 2 (type 2): rows of one type must come in order", false},
    {"aborts_on_load", "ended with SIGABRT", true},
    {"exits_on_load", "ended with exit 0", true},
};

Test(plugin, each_fault_of_the_struct_is_named) {
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const char *fault = refusals[i].fault;
        size_t before = assay_backend_count();
        bool crashed;
        char err[256] = "";

        cr_assert_null(add(fault, &crashed, err, sizeof err), "%s was taken", fault);
        cr_assert_not_null(strstr(err, refusals[i].text), "%s: %s", fault, err);
        cr_assert_eq(crashed, refusals[i].crashed, "%s", fault);
        cr_assert_eq(assay_backend_count(), before);
    }
}

Test(plugin, a_constructor_that_hangs_is_ended) {
    bool crashed;
    char err[256];

    setenv("ASSAY_TEST_FAULT", "hangs_on_load", 1);
    cr_assert_null(assay_plugin_add(FAULTY, 1, &crashed, err, sizeof err));
    cr_assert(crashed);
    cr_assert_not_null(strstr(err, "timeout 1 s"), "%s", err);
}

static void refuses(const char *path, const char *text) {
    bool crashed;
    char err[256] = "";

    cr_assert_null(assay_plugin_add(path, ENOUGH_S, &crashed, err, sizeof err), "%s", path);
    cr_assert_not_null(strstr(err, text), "%s: %s", path, err);
    cr_assert_null(strchr(err, '\n'));
    cr_assert_not(crashed);
}

Test(plugin, files_that_do_not_load_say_why) {
    refuses("/nonexistent/x.so", "can't be loaded: ");
    refuses(".", "can't be loaded: ");
    refuses(UNRESOLVED, "assay_test_nowhere_defined");
    refuses("Makefile", "can't be loaded: ");
}

Test(plugin, the_same_plugin_twice_is_refused) {
    add_good("none");
    refuses(FAULTY, "its name 'none' is taken");
}

Test(plugin, there_is_an_end_to_the_list_of_backends) {
    char name[16];
    bool crashed;
    char err[256];

    for (size_t i = 0; assay_backend_count() < ASSAY_MAX_BACKENDS; i++) {
        snprintf(name, sizeof name, "copy%zu", i);
        add_good(name);
    }
    cr_assert_null(add("one_more", &crashed, err, sizeof err));
    cr_assert_not_null(strstr(err, "the most there can be"), "%s", err);
}

/* ---- Calls ---- */

enum { ROWS = 3, IN = 64, M = 2 };

struct call {
    struct assay_ctx *ctx;
    struct assay_store *store;
    uint8_t w[ROWS * IN / 32 * 34];
    float x[M * IN], y[M * (ROWS + 1)];
    struct assay_error err;
};

/* Q8_0 with d = 1 and code k % 7 - 3 + row. */
static void fill(struct call *c) {
    for (size_t j = 0; j < ROWS; j++)
        for (size_t k = 0; k < IN; k++) {
            uint8_t *block = c->w + (j * IN + k) / 32 * 34;
            block[0] = 0;
            block[1] = 0x3c;
            block[2 + k % 32] = (uint8_t)(int8_t)((int)(k % 7) - 3 + (int)j);
        }
    for (size_t i = 0; i < M * IN; i++)
        c->x[i] = (float)(i % 5) - 2;
}

static enum assay_status make(struct call *c, const struct assay_backend *b) {
    struct assay_ctx_params params = {b, ASSAY_ISA_AUTO, 4, NULL};
    enum assay_status status;

    memset(c, 0, sizeof *c);
    fill(c);
    status = assay_ctx_create(&params, &c->ctx, &c->err);
    if (status != ASSAY_OK)
        return status;
    return assay_store_create(c->ctx, ASSAY_TYPE_Q8_0, c->w, sizeof c->w, ROWS, IN, &c->store,
                              &c->err);
}

static void release(struct call *c) {
    assay_store_free(c->store);
    assay_ctx_free(c->ctx);
}

Test(plugin, products_and_rows_come_from_the_library) {
    struct call c;
    struct assay_linear *lin;
    float row[IN];

    cr_assert_eq(make(&c, add_good("none")), ASSAY_OK, "%s", c.err.message);
    cr_assert(assay_store_owns_weights(c.store));
    cr_assert_eq(assay_store_bytes(c.store), sizeof c.w);
    cr_assert_eq(gemm_quant(c.ctx, c.store, c.x, M, c.y, ROWS + 1, &c.err), ASSAY_OK);
    for (size_t i = 0; i < M; i++)
        for (size_t j = 0; j < ROWS; j++) {
            float sum = 0;
            for (size_t k = 0; k < IN; k++)
                sum += ((float)(k % 7) - 3 + (float)j) * c.x[i * IN + k];
            cr_assert_eq(c.y[i * (ROWS + 1) + j], sum, "%zu %zu", i, j);
        }
    cr_assert_eq(assay_linear_from_store(c.ctx, c.store, &lin, &c.err), ASSAY_OK);
    cr_assert_eq(assay_linear_rows(c.ctx, lin, (int64_t[]){2}, 1, row, &c.err), ASSAY_OK);
    for (size_t k = 0; k < IN; k++)
        cr_assert_eq(row[k], (float)(k % 7) - 1);
    assay_linear_free(lin);
    c.store = NULL;
    release(&c);
}

Test(plugin, a_plugin_without_lookup_says_so) {
    struct call c;
    struct assay_linear *lin;
    float row[IN];

    cr_assert_eq(make(&c, add_good("minimal")), ASSAY_OK, "%s", c.err.message);
    cr_assert_not(assay_store_owns_weights(c.store));
    cr_assert_eq(assay_linear_from_store(c.ctx, c.store, &lin, &c.err), ASSAY_OK);
    cr_assert_eq(assay_linear_rows(c.ctx, lin, (int64_t[]){0}, 1, row, &c.err), ASSAY_EUNSUPPORTED);
    cr_assert_not_null(strstr(c.err.message, "has no row lookup"));
    assay_linear_free(lin);
    c.store = NULL;
    release(&c);
}

Test(plugin, the_arithmetic_follows_m) {
    const struct assay_type_traits *q4_0 = assay_type_traits(ASSAY_TYPE_Q4_0);
    struct assay_arith a;
    struct call c;

    cr_assert_eq(make(&c, add_good("none")), ASSAY_OK);
    assay_ctx_arith(c.ctx, q4_0, 7, &a, NULL);
    cr_assert_eq(a.weight, ASSAY_WEIGHT_F32);
    assay_ctx_arith(c.ctx, q4_0, 8, &a, NULL);
    cr_assert_eq(a.weight, ASSAY_WEIGHT_F16);
    assay_ctx_arith(c.ctx, assay_type_traits(ASSAY_TYPE_Q8_0), 100, &a, NULL);
    cr_assert_eq(a.weight, ASSAY_WEIGHT_F32);
    release(&c);
}

Test(plugin, a_matrix_without_rows_never_reaches_the_plugin) {
    struct assay_store *store;
    struct call c;

    /* Whose create would fail. */
    cr_assert_eq(make(&c, add_good("refuses")), ASSAY_EINVAL);
    cr_assert_eq(assay_store_create(c.ctx, ASSAY_TYPE_Q8_0, c.w, 0, 0, IN, &store, &c.err),
                 ASSAY_OK);
    assay_store_free(store);
    release(&c);
}

Test(plugin, errors_stay_one_printable_line) {
    struct call c;

    cr_assert_eq(make(&c, add_good("refuses")), ASSAY_EINVAL);
    cr_assert_str_eq(c.err.message, "refuses: no?such ? matrix, 4 threads");
    release(&c);
}

Test(plugin, an_error_that_fills_its_line_is_ended) {
    struct call c;

    cr_assert_eq(make(&c, add_good("overlong_error")), ASSAY_OK);
    cr_assert_eq(gemm_quant(c.ctx, c.store, c.x, M, c.y, ROWS, &c.err), ASSAY_EBACKEND);
    cr_assert_eq(strspn(strchr(c.err.message, 'x'), "x"), strlen(strchr(c.err.message, 'x')));
    release(&c);
}

Test(plugin, a_status_of_no_meaning_is_a_failure) {
    struct call c;

    cr_assert_eq(make(&c, add_good("fails_silently")), ASSAY_EBACKEND);
    cr_assert_str_eq(c.err.message, "fails_silently: create returned -7");
    release(&c);
}

Test(plugin, a_library_that_changed_since_is_not_run) {
    const struct assay_backend *b = add_good("none");
    struct call c;

    setenv("ASSAY_TEST_FAULT", "minimal", 1); /* what the file says from now on */
    cr_assert_eq(make(&c, b), ASSAY_EBACKEND);
    cr_assert_not_null(strstr(c.err.message, "says something else"), "%s", c.err.message);
    release(&c);
}

/* ---- The command line ---- */

Test(plugin, only_plugins_and_a_chosen_ggml_need_an_option) {
    const struct assay_backend *b = add_good("none");
    const char *option, *value;

    cr_assert(assay_backend_origin(b, &option, &value));
    cr_assert_str_eq(option, "plugin");
    cr_assert_str_eq(value, FAULTY);
    cr_assert_not(assay_backend_origin(assay_backend_by_name("cpu"), &option, &value));
    cr_assert_not(assay_backend_origin(assay_backend_by_name("ggml"), &option, &value));
}

static const struct assay_option options[] = {
    ASSAY_PLUGIN_OPTION, ASSAY_GGML_OPTION, {NULL, 0, NULL, NULL, NULL}};
static const struct assay_command command = {.name = "test", .options = options};

static struct assay_plugins from_words(int argc, char **argv, bool *ok) {
    struct assay_plugins plugins;
    struct assay_args args;
    int code;

    cr_redirect_stderr();
    cr_assert(assay_args_parse(&command, argc, argv, &args, &code));
    *ok = assay_plugins_from_args(&args, &plugins);
    assay_args_free(&args);
    return plugins;
}

Test(plugin, the_option_repeats_and_takes_lists_and_goes_on_after_a_bad_one) {
    char *argv[] = {"test", "--plugin", SKELETON ",/nonexistent.so", "--plugin", FAULTY, NULL};
    struct assay_plugins plugins;
    json_t *journal;
    bool ok;

    setenv("ASSAY_TEST_FAULT", "none", 1);
    plugins = from_words(5, argv, &ok);
    cr_assert(ok);
    cr_assert_eq(plugins.n, 2);
    cr_assert_str_eq(assay_backend_name(plugins.backends[0]), "skeleton");
    cr_assert_str_eq(assay_backend_name(plugins.backends[1]), "none");
    cr_assert_eq(plugins.failed, 1);
    cr_assert_eq(assay_plugins_exit(&plugins, ASSAY_EXIT_OK), ASSAY_EXIT_USAGE);
    cr_assert_eq(assay_plugins_exit(&plugins, ASSAY_EXIT_MISMATCH), ASSAY_EXIT_MISMATCH);
    journal = assay_plugins_json();
    cr_assert_eq(json_array_size(journal), 3);
    cr_assert_not_null(json_object_get(json_array_get(journal, 1), "error"));
    json_decref(journal);
}

Test(plugin, one_that_dies_while_loading_is_a_finding) {
    char *argv[] = {"test", "--plugin", FAULTY, NULL};
    struct assay_plugins plugins;
    bool ok;

    setenv("ASSAY_TEST_FAULT", "aborts_on_load", 1);
    plugins = from_words(3, argv, &ok);
    cr_assert(ok);
    cr_assert_eq(assay_plugins_exit(&plugins, ASSAY_EXIT_OK), ASSAY_EXIT_MISMATCH);
}

Test(plugin, a_folder_without_ggml_is_a_usage_error) {
    char *argv[] = {"test", "--ggml", "/nonexistent", NULL};
    bool ok;

    from_words(3, argv, &ok);
    cr_assert_not(ok);
}
