#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/options.h"
#include "harness/suggest.h"

static const struct assay_option options[] = {
    {"threads", 'j', "N", "2", "number of threads"},
    {"seed", 0, "S", NULL, "seed"},
    {"scale", 0, "X", NULL, "a factor"},
    {"type", 't', "T,...", NULL, "types"},
    {"verbose", 'v', NULL, NULL,
     "say more, in a sentence that is long enough to be wrapped by the "
     "printer into a second line"},
    {NULL, 0, NULL, NULL, NULL},
};

static int nothing(const struct assay_args *args) {
    (void)args;
    return 7;
}

static const struct assay_command command = {
    .name = "frob",
    .synopsis = "[OPTIONS] [FILE]",
    .summary = "frobnicates",
    .details = "First paragraph × two.\n\n  kept = as it stands",
    .examples = "# why\n$ assay frob -v",
    .options = options,
    .max_positional = 1,
    .run = nothing,
};

#define MAX_ARGS 8

/* Parses words; the array must outlive args. */
static bool parse(struct assay_args *args, int *code, int argc, ...) {
    static char *argv[MAX_ARGS + 1];
    va_list ap;
    va_start(ap, argc);
    for (int i = 0; i < argc; i++)
        argv[i] = va_arg(ap, char *);
    va_end(ap);
    argv[argc] = NULL;
    return assay_args_parse(&command, argc, argv, args, code);
}

/* Redirects stderr; the text so far is compared. */
static void expect_error(const char *text) {
    fflush(stderr);
    cr_assert_stderr_eq_str(text);
}

Test(options, a_list_given_again_is_added_to_and_others_are_replaced) {
    struct assay_args args;
    int code;

    cr_assert(parse(&args, &code, 8, "frob", "-t", "a,b", "-j1", "--type=c", "-j", "3", "-td"));
    cr_assert_str_eq(assay_args_get(&args, "type"), "a,b,c,d");
    cr_assert_str_eq(assay_args_get(&args, "threads"), "3");
    assay_args_free(&args);
}

Test(options, values_fallbacks_flags_and_positionals) {
    struct assay_args args;
    int code;
    cr_assert(parse(&args, &code, 6, "frob", "-v", "file", "--seed=9", "-t", "a,b"));
    cr_assert_str_eq(assay_args_get(&args, "threads"), "2");
    cr_assert_str_eq(assay_args_get(&args, "seed"), "9");
    cr_assert_str_eq(assay_args_get(&args, "type"), "a,b");
    cr_assert(assay_args_flag(&args, "verbose"));
    cr_assert_null(assay_args_get(&args, "scale"));
    cr_assert_eq(args.n_positional, 1);
    cr_assert_str_eq(args.positional[0], "file");
    assay_args_free(&args);
}

Test(options, arguments_stay_in_their_order) {
    struct assay_args args;
    int code;
    cr_assert(parse(&args, &code, 3, "frob", "file", "-v"));
    cr_assert_eq(args.argc, 3);
    cr_assert_str_eq(args.argv[1], "file", "getopt_long would have moved it");
    assay_args_free(&args);
}

Test(options, parses_again_after_a_parse) {
    struct assay_args args;
    int code;
    for (int i = 0; i < 3; i++) {
        cr_assert(parse(&args, &code, 3, "frob", "-j", "5"));
        cr_assert_str_eq(assay_args_get(&args, "threads"), "5");
        assay_args_free(&args);
    }
}

Test(options, unknown_option_is_suggested, .init = cr_redirect_stderr) {
    struct assay_args args;
    int code = 0;
    cr_assert_not(parse(&args, &code, 2, "frob", "--thread5"));
    cr_assert_eq(code, ASSAY_EXIT_USAGE);
    expect_error("assay frob: unknown option '--thread5'; did you mean '--threads'?\n");
}

Test(options, errors_show_control_codes_and_do_not_send_them, .init = cr_redirect_stderr) {
    struct assay_args args;
    int code = 0;
    cr_assert_not(parse(&args, &code, 2, "frob", "--x\ny\x1b[2J\x7f"));
    expect_error("assay frob: unknown option '--x\\ny\\x1b[2J\\x7f'; see 'assay frob --help'\n");
}

Test(options, unknown_short_option, .init = cr_redirect_stderr) {
    struct assay_args args;
    int code = 0;
    cr_assert_not(parse(&args, &code, 2, "frob", "-x"));
    expect_error("assay frob: unknown option '-x'; see 'assay frob --help'\n");
}

Test(options, missing_argument, .init = cr_redirect_stderr) {
    struct assay_args args;
    int code = 0;
    cr_assert_not(parse(&args, &code, 2, "frob", "--seed"));
    cr_assert_eq(code, ASSAY_EXIT_USAGE);
    expect_error("assay frob: option '--seed' needs an argument; see 'assay frob --help'\n");
}

Test(options, flag_with_a_value, .init = cr_redirect_stderr) {
    struct assay_args args;
    int code = 0;
    cr_assert_not(parse(&args, &code, 2, "frob", "--verbose=3"));
    expect_error("assay frob: option '--verbose' takes no argument; see 'assay frob --help'\n");
}

Test(options, too_many_positionals, .init = cr_redirect_stderr) {
    struct assay_args args;
    int code = 0;
    cr_assert_not(parse(&args, &code, 3, "frob", "a", "b"));
    expect_error("assay frob: unexpected argument 'b'; usage: assay frob [OPTIONS] [FILE]\n");
}

Test(options, help_prints_and_ends_well, .init = cr_redirect_stdout) {
    struct assay_args args;
    int code = 1;
    cr_assert_not(parse(&args, &code, 2, "frob", "--help"));
    cr_assert_eq(code, ASSAY_EXIT_OK);
    fflush(stdout);
    cr_assert_stdout_eq_str("Usage: assay frob [OPTIONS] [FILE]\n\n"
                            "frobnicates\n\n"
                            "First paragraph × two.\n\n"
                            "  kept = as it stands\n\n"
                            "Options:\n"
                            "  -j, --threads N         number of threads (default: 2)\n"
                            "      --seed S            seed\n"
                            "      --scale X           a factor\n"
                            "  -t, --type T,...        types\n"
                            "  -v, --verbose           say more, in a sentence that is long enough "
                            "to be\n"
                            "                          wrapped by the printer into a second line\n"
                            "  -h, --help              print this help\n\n"
                            "Examples:\n"
                            "  # why\n"
                            "  $ assay frob -v\n");
}

static bool read_u64(const char *text, unsigned long long *v) {
    struct assay_args args;
    int code;
    bool ok;
    cr_assert(parse(&args, &code, 3, "frob", "--seed", text));
    ok = assay_args_u64(&args, "seed", v, 1, 1ULL << 40);
    assay_args_free(&args);
    return ok;
}

Test(options, u64_takes_decimal_hexadecimal_and_suffixes) {
    static const struct {
        const char *text;
        unsigned long long v;
    } good[] = {{"1", 1},     {"010", 10},     {"0x10", 16},
                {"3k", 3072}, {"2M", 2 << 20}, {"1G", 1 << 30}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        unsigned long long v = 0;
        cr_assert(read_u64(good[i].text, &v), "%s", good[i].text);
        cr_assert_eq(v, good[i].v);
    }
}

Test(options, u64_refuses_what_is_no_number_in_range, .init = cr_redirect_stderr) {
    static const char *const bad[] = {"",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1x",
                                      "1kk",
                                      "0x",
                                      "1.",
                                      "0",
                                      "2048G",
                                      "99999999999999999999",
                                      "18014398509481985k" /* wraps to 1k */};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        unsigned long long v = 77;
        cr_assert_not(read_u64(bad[i], &v), "'%s'", bad[i]);
        cr_assert_eq(v, 77);
    }
}

Test(options, u64_refuses_what_does_not_fit_even_where_all_that_fits_is_allowed,
     .init = cr_redirect_stderr) {
    struct assay_args args;
    int code;
    unsigned long long v = 77;
    cr_assert(parse(&args, &code, 3, "frob", "--seed", "18446744073709551616"));
    cr_assert_not(assay_args_u64(&args, "seed", &v, 0, ~0ULL));
    assay_args_free(&args);
}

Test(options, absent_number_stays_as_it_was) {
    struct assay_args args;
    int code;
    unsigned long long v = 77;
    double d = 0.5;
    cr_assert(parse(&args, &code, 1, "frob"));
    cr_assert(assay_args_u64(&args, "seed", &v, 1, 2));
    cr_assert(assay_args_double(&args, "scale", &d, 1, 2));
    cr_assert_eq(v, 77);
    cr_assert_eq(d, 0.5);
    assay_args_free(&args);
}

Test(options, double_refuses_nan_inf_and_what_is_out_of_range, .init = cr_redirect_stderr) {
    static const char *const bad[] = {"", "nan", "inf", "1e999", "x", "1.5x", " 1", "-0.1", "3"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct assay_args args;
        int code;
        double d = 0.5;
        cr_assert(parse(&args, &code, 3, "frob", "--scale", bad[i]));
        cr_assert_not(assay_args_double(&args, "scale", &d, 0, 2), "'%s'", bad[i]);
        assay_args_free(&args);
    }
}

static bool collect(const char *item, void *user) {
    strcat(user, item);
    strcat(user, ";");
    return strcmp(item, "stop") != 0;
}

static bool read_list(const char *text, char *items) {
    struct assay_args args;
    int code;
    bool ok;
    cr_assert(parse(&args, &code, 3, "frob", "--type", text));
    ok = assay_args_list(&args, "type", collect, items);
    assay_args_free(&args);
    return ok;
}

Test(options, list_is_split_at_commas) {
    char items[64] = "";
    cr_assert(read_list("a,bc,d", items));
    cr_assert_str_eq(items, "a;bc;d;");
}

Test(options, list_stops_and_refuses_empty_items, .init = cr_redirect_stderr) {
    char items[64] = "";
    cr_assert_not(read_list("a,stop,b", items));
    cr_assert_str_eq(items, "a;stop;");
    cr_assert_not(read_list("a,,b", items));
    cr_assert_not(read_list("", items));
    cr_assert_not(read_list("a,", items));
}

static const char *word_at(size_t i, void *user) { return ((const char **)user)[i]; }

Test(suggest, takes_the_nearest_within_a_third) {
    const char *words[] = {"verify", "bench", "version"};
    cr_assert_str_eq(assay_suggest("verfy", word_at, 3, words), "verify");
    cr_assert_str_eq(assay_suggest("VERSON", word_at, 3, words), "version");
    cr_assert_null(assay_suggest("mem", word_at, 3, words));
    cr_assert_null(assay_suggest("", word_at, 3, words));
}

static int dispatch(const char *word, const char *more) {
    static const struct assay_command hidden = {.name = "worker",
                                                .synopsis = "",
                                                .summary = "",
                                                .options = options,
                                                .hidden = true,
                                                .run = nothing};
    static const struct assay_command *const commands[] = {&command, &hidden};
    char *argv[] = {"assay", (char *)(uintptr_t)word, (char *)(uintptr_t)more, NULL};
    return assay_dispatch(commands, 2, word == NULL ? 1 : more == NULL ? 2 : 3, argv);
}

Test(dispatch, runs_the_command_and_returns_its_code) {
    cr_assert_eq(dispatch("frob", NULL), 7);
    cr_assert_eq(dispatch("worker", NULL), 7, "hidden commands run too");
}

Test(dispatch, unknown_command_is_suggested, .init = cr_redirect_stderr) {
    cr_assert_eq(dispatch("frop", NULL), ASSAY_EXIT_USAGE);
    expect_error("assay: unknown command 'frop'; did you mean 'frob'?\n");
}

Test(dispatch, hidden_commands_are_not_suggested, .init = cr_redirect_stderr) {
    cr_assert_eq(dispatch("worke", NULL), ASSAY_EXIT_USAGE);
    expect_error("assay: unknown command 'worke'; see 'assay --help'\n");
}

static char *man_text(void) {
    static const struct assay_command *const commands[] = {&command};
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    assay_print_man(f, commands, 1);
    fclose(f);
    return text;
}

Test(options, man_page_has_every_option_with_copyable_hyphens) {
    char *text = man_text();
    cr_assert(strstr(text, "\\fB\\-\\-threads\\fR \\fIN\\fR") != NULL, "%s", text);
    cr_assert(strstr(text, ".SS \"assay frob") != NULL);
    cr_assert(strstr(text, "paragraph \\[u00D7] two.") != NULL, "%s", text);
    cr_assert(strstr(text, "$ assay frob \\-v") != NULL);
    free(text);
}
