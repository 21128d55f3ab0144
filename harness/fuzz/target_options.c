/* Invariant: any command line is either taken or refused with exactly one line on stderr, naming the
 * command; an id of a case that is taken names itself again. Nothing is run.
 *
 * Input: the command's number in the table below, then words that end at a newline each. The first
 * word is read as the id of a case as well. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "harness/case.h"
#include "harness/options.h"
#include "harness/verify_select.h"
#include "impl/backend.h"

enum { MOST_WORDS = 40 };

static const struct assay_command *const commands[] = {
    &assay_cmd_verify, &assay_cmd_bench,   &assay_cmd_mem,          &assay_cmd_inspect,
    &assay_cmd_report, &assay_cmd_explain, &assay_cmd_false_alarms, &assay_cmd_faults,
};

static void check_id(const char *id) {
    const struct assay_backend *backends[ASSAY_MAX_BACKENDS];
    struct assay_case_scope scope = {backends, 0, NULL};
    struct assay_problem p, again;
    struct assay_runner r, r_again;
    char err[512] = "", text[4096];

    for (size_t i = 0; i < assay_backend_count() && i < ASSAY_MAX_BACKENDS; i++)
        backends[scope.n_backends++] = assay_backend_at(i);
    if (!assay_case_parse(id, &scope, &p, &r, err, sizeof err)) {
        FUZZ_REQUIRE(err[0] != '\0' && strchr(err, '\n') == NULL, "'%s'", err);
        return;
    }
    size_t n = assay_case_id(&p, &r, text, sizeof text);
    FUZZ_REQUIRE(n < sizeof text && strlen(text) == n, "%zu", n);
    FUZZ_REQUIRE(assay_case_parse(text, &scope, &again, &r_again, err, sizeof err), "%s: %s", text,
                 err);
    FUZZ_REQUIRE(p.m == again.m && p.k == again.k && p.op == again.op &&
                     p.n_parts == again.n_parts && r.threads == r_again.threads &&
                     r.backend == r_again.backend && r.isa == r_again.isa,
                 "%s became %s", id, text);
}

/* What verify makes of the options, short of running. */
static bool select_verify(const struct assay_args *args) {
    static struct assay_verify_selection s;
    s = (struct assay_verify_selection){.command = args->command};
    return assay_verify_select(&s, args);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct assay_command *cmd =
        commands[size > 0 ? data[0] % (sizeof commands / sizeof commands[0]) : 0];
    char *argv[MOST_WORDS + 2] = {(char *)cmd->name}, *text, *told = NULL;
    size_t told_size;
    int argc = 1, code = -1;

    text = malloc(size + 1);
    FUZZ_REQUIRE(text != NULL, "memory");
    memcpy(text, data + (size > 0), size > 0 ? size - 1 : 0);
    text[size > 0 ? size - 1 : 0] = '\0';
    for (char *word = text; word != NULL && argc <= MOST_WORDS;) {
        char *end = strchr(word, '\n');
        if (end != NULL)
            *end = '\0';
        argv[argc++] = word;
        word = end != NULL ? end + 1 : NULL;
    }
    check_id(argv[1]);

    /* --help is long and prints to stdout. */
    FILE *real_out = stdout, *real_err = stderr, *quiet = fopen("/dev/null", "w");
    FILE *caught = open_memstream(&told, &told_size);
    FUZZ_REQUIRE(quiet != NULL && caught != NULL, "no streams");
    stdout = quiet;
    stderr = caught;
    struct assay_args args;
    bool taken = assay_args_parse(cmd, argc, argv, &args, &code);
    if (taken) {
        if (cmd == &assay_cmd_verify)
            taken = select_verify(&args);
        code = taken ? ASSAY_EXIT_OK : ASSAY_EXIT_USAGE;
        assay_args_free(&args);
    }
    stdout = real_out;
    stderr = real_err;
    fclose(quiet);
    fclose(caught);
    if (code == ASSAY_EXIT_OK) {
        FUZZ_REQUIRE(told[0] == '\0', "taken, but said: %s", told);
    } else {
        char *line_end = strchr(told, '\n');
        FUZZ_REQUIRE(code == ASSAY_EXIT_USAGE, "exit code %d", code);
        FUZZ_REQUIRE(line_end != NULL && line_end[1] == '\0' && strncmp(told, "assay ", 6) == 0,
                     "not one line: '%s'", told);
        *line_end = '\0';
        FUZZ_REQUIRE(fuzz_is_line(told), "control bytes: '%s'", told);
    }
    free(told);
    free(text);
    return 0;
}
