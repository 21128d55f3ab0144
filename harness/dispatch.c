#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "bus.h"
#include "env.h"
#include "no_memory.h"
#include "options.h"
#include "suggest.h"

struct table {
    const struct assay_command *const *commands;
    size_t n;
};

static void print_program_help(FILE *f, const struct table *t) {
    fputs("Usage: assay COMMAND [OPTIONS]\n\n"
          "Judges quantised matrix multiplication kernels: correctness against a scalar\n"
          "reference, speed, memory.\n\nCommands:\n",
          f);
    for (size_t i = 0; i < t->n; i++)
        if (!t->commands[i]->hidden)
            fprintf(f, "  %-10s%s\n", t->commands[i]->name, t->commands[i]->summary);
    fputs("\nOptions:\n  -h, --help      print this help\n  -V, --version   print the version\n\n"
          "'assay COMMAND --help' explains a command, with examples.\n\n"
          "Exit status: 0 all passed, 1 a mismatch was found, 2 usage or input error.\n",
          f);
}

static const char *visible_name_at(size_t i, void *user) {
    const struct table *t = user;
    return t->commands[i]->hidden ? "" : t->commands[i]->name;
}

static const struct assay_command *find(const struct table *t, const char *name) {
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->commands[i]->name, name) == 0)
            return t->commands[i];
    return NULL;
}

static int run_command(const struct assay_command *cmd, int argc, char **argv) {
    struct assay_args args;
    int code;

    if (!assay_args_parse(cmd, argc, argv, &args, &code))
        return code;
    code = cmd->run(&args);
    assay_args_free(&args);
    return code;
}

static int choose(struct table *t, int argc, char **argv) {
    const char *word = argc > 1 ? argv[1] : NULL;
    const struct assay_command *cmd;
    const char *near;

    if (word == NULL) {
        print_program_help(stderr, t);
        return ASSAY_EXIT_USAGE;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 ||
        (strcmp(word, "help") == 0 && argc == 2)) {
        print_program_help(stdout, t);
        return ASSAY_EXIT_OK;
    }
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
        printf("assay %s\n", assay_env_get()->version);
        return ASSAY_EXIT_OK;
    }
    if (strcmp(word, "help-man") == 0 && argc == 2) {
        assay_print_man(stdout, t->commands, t->n);
        return ASSAY_EXIT_OK;
    }
    if (strcmp(word, "help") == 0 && (cmd = find(t, argv[2])) != NULL) {
        assay_print_command_help(stdout, cmd);
        return ASSAY_EXIT_OK;
    }
    if (strcmp(word, "help") == 0)
        word = argv[2];
    else if ((cmd = find(t, word)) != NULL)
        return run_command(cmd, argc - 1, argv + 1);
    near = assay_suggest(word, visible_name_at, t->n, t);
    if (near != NULL)
        fprintf(stderr, "assay: unknown command '%s'; did you mean '%s'?\n", word, near);
    else
        fprintf(stderr, "assay: unknown command '%s'; see 'assay --help'\n", word);
    return ASSAY_EXIT_USAGE;
}

/* A file opened later must not land on a closed standard descriptor, where printf would write into
 * it. The filler is opened the wrong way round, so that using it still fails. */
static void fill_standard_descriptors(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) == -1 && errno == EBADF)
            (void)!open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

int assay_dispatch(const struct assay_command *const *commands, size_t n, int argc, char **argv) {
    struct table t = {commands, n};
    int code;

    fill_standard_descriptors();
    signal(SIGCHLD, SIG_DFL); /* ignored, as some parents leave it, no child's end could be told */
    signal(SIGXFSZ, SIG_IGN); /* a file that may grow no more is an error of the write */
    assay_bus_catch();
    assay_no_memory_watch();
    code = choose(&t, argc, argv);
    if (code == ASSAY_EXIT_OK && assay_no_memory_noted()) {
        fputs("assay: out of memory: the output is incomplete\n", stderr);
        code = ASSAY_EXIT_USAGE;
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "assay: can't write to standard output: %s\n", strerror(errno));
        return ASSAY_EXIT_USAGE;
    }
    return code;
}
