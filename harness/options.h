/* Command-line options as a table: one source for parsing (getopt_long), --help and the man page.
 */
#ifndef ASSAY_HARNESS_OPTIONS_H
#define ASSAY_HARNESS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct assay_command;

enum assay_exit {
    ASSAY_EXIT_OK = 0,
    ASSAY_EXIT_MISMATCH = 1,
    ASSAY_EXIT_USAGE = 2,
    ASSAY_EXIT_UNDECIDED = 3
};

struct assay_option {
    const char *name;     /* long name: "threads" */
    char short_name;      /* 'j', or 0 */
    const char *argument; /* "N", "T,..."; NULL for a flag. "..." at its end: a list, and what the
                             option given again adds to; of other options the last one counts */
    const char *fallback; /* value if not given; NULL: absent */
    const char *help;     /* one sentence; wrapped by the printer */
};

/* Parsed arguments: value per option row, and the positional arguments. Strings point into argv. */
struct assay_args {
    const struct assay_command *command;
    int argc;    /* the arguments as given, argv[0] the command's name: for assay_record_new */
    char **argv; /* NULL-terminated */
    const char **values; /* parallel to command->options; flags: "1" or NULL */
    char **joined;       /* parallel: the memory of values that were given in several pieces */
    const char **positional;
    size_t n_positional;
};

struct assay_command {
    const char *name;                   /* "verify" */
    const char *synopsis;               /* "[OPTIONS]", "FILE.gguf [OPTIONS]" */
    const char *summary;                /* one line for `assay --help` */
    const char *details;                /* paragraphs for --help and the man page; may be NULL */
    const char *examples;               /* lines "$ assay …" with a comment above each */
    const struct assay_option *options; /* ends with name == NULL; --help is implied */
    size_t min_positional, max_positional;
    bool hidden; /* worker commands */
    int (*run)(const struct assay_args *args);
};

/* Parses argv (argv[0] is the command's name). Returns false after printing a one-line error with a
 * pointer to --help; handles --help itself by printing and setting *exit_code = 0. */
bool assay_args_parse(const struct assay_command *cmd, int argc, char **argv,
                      struct assay_args *args, int *exit_code);
void assay_args_free(struct assay_args *args);

const char *assay_args_get(const struct assay_args *args, const char *name); /* NULL: not given */
bool assay_args_flag(const struct assay_args *args, const char *name);

/* Typed access; each prints a one-line error naming the option and returns false on bad input. An
 * option that is absent (and has no fallback) leaves *v as it was and returns true. u64 accepts
 * decimal, 0x… and the suffixes k, M, G (powers of 1024). */
bool assay_args_u64(const struct assay_args *args, const char *name, unsigned long long *v,
                    unsigned long long min, unsigned long long max);
bool assay_args_double(const struct assay_args *args, const char *name, double *v, double min,
                       double max);

/* Seconds of "30s", "2m", "1h". */
bool assay_args_duration(const struct assay_args *args, const char *name, double *seconds);

/* Splits "a,b,c" at commas and calls `each` per item; stops and returns false when it does (`each`
 * prints the error). An empty item is an error. Absent option: no call, true. */
bool assay_args_list(const struct assay_args *args, const char *name,
                     bool (*each)(const char *item, void *user), void *user);

void assay_print_command_help(FILE *f, const struct assay_command *cmd);
/* troff source of assay(1) from the command table. */
void assay_print_man(FILE *f, const struct assay_command *const *commands, size_t n);

/* "assay CMD: message\n" on stderr; returns ASSAY_EXIT_USAGE. */
int assay_usage_error(const struct assay_command *cmd, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The program: handles --help, --version and unknown commands, runs argv[1], and sees to it that a
 * failed write to stdout is not lost. Returns the exit code. */
int assay_dispatch(const struct assay_command *const *commands, size_t n, int argc, char **argv);

/* The command table (main.c). */
extern const struct assay_command assay_cmd_inspect, assay_cmd_verify, assay_cmd_bench,
    assay_cmd_mem, assay_cmd_report, assay_cmd_types, assay_cmd_version, assay_cmd_false_alarms,
    assay_cmd_explain, assay_cmd_faults, assay_cmd_gate, assay_cmd_load_run, assay_cmd_history,
    assay_cmd_compare;

#endif
