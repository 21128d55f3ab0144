#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/text.h"
#include "suggest.h"

int assay_usage_error(const struct assay_command *cmd, const char *fmt, ...) {
    /* Arguments and file names may hold line breaks and terminal codes. */
    char message[4096], line[sizeof message + 1024];
    struct assay_text t = assay_text_init(line, sizeof line);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    assay_text_printable(&t, message, strlen(message));
    assay_text_mark_cut(&t);
    fprintf(stderr, "assay %s: %s\n", cmd->name, line);
    return ASSAY_EXIT_USAGE;
}

static size_t option_count(const struct assay_command *cmd) {
    size_t n = 0;
    while (cmd->options != NULL && cmd->options[n].name != NULL)
        n++;
    return n;
}

/* What getopt_long works from. Long options return FIRST_LONG + row, so that rows without a short
 * name have a value of their own. */
struct getopt_tables {
    struct option *longs;
    char *shorts;
};

enum { HELP = 'h', FIRST_LONG = 256 };

static bool tables_build(const struct assay_command *cmd, size_t n, struct getopt_tables *t) {
    char *p;

    t->longs = calloc(n + 2, sizeof *t->longs);
    t->shorts = malloc(2 * n + 3);
    if (t->longs == NULL || t->shorts == NULL)
        return false;
    p = t->shorts;
    *p++ = ':'; /* report a missing argument as ':', not '?' */
    *p++ = HELP;
    for (size_t i = 0; i < n; i++) {
        const struct assay_option *o = &cmd->options[i];
        int has_arg = o->argument != NULL ? required_argument : no_argument;
        t->longs[i] = (struct option){o->name, has_arg, NULL, FIRST_LONG + (int)i};
        if (o->short_name != 0) {
            *p++ = o->short_name;
            if (o->argument != NULL)
                *p++ = ':';
        }
    }
    t->longs[n] = (struct option){"help", no_argument, NULL, HELP};
    *p = '\0';
    return true;
}

static const char *option_name_at(size_t i, void *user) {
    return ((const struct assay_command *)user)->options[i].name;
}

static void report_unknown(const struct assay_command *cmd, size_t n, const char *word) {
    char name[64];
    const char *near;

    if (strncmp(word, "--", 2) != 0) {
        assay_usage_error(cmd, "unknown option '-%c'; see 'assay %s --help'", optopt, cmd->name);
        return;
    }
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word + 2, "="), word + 2);
    if (optopt != 0) { /* known, but given "=value" that it does not take */
        assay_usage_error(cmd, "option '--%s' takes no argument; see 'assay %s --help'", name,
                          cmd->name);
        return;
    }
    near = assay_suggest(name, option_name_at, n, (void *)(uintptr_t)cmd);
    if (near != NULL)
        assay_usage_error(cmd, "unknown option '--%s'; did you mean '--%s'?", name, near);
    else
        assay_usage_error(cmd, "unknown option '--%s'; see 'assay %s --help'", name, cmd->name);
}

static void getopt_restart(void) {
#ifdef __GLIBC__
    optind = 0;
#else
    optind = 1;
#ifdef __APPLE__
    optreset = 1;
#endif
#endif
    opterr = 0;
}

static bool is_list(const struct assay_option *o) {
    size_t n = o->argument != NULL ? strlen(o->argument) : 0;
    return n > 3 && strcmp(o->argument + n - 3, "...") == 0;
}

/* The value of an option that was found; a list given again is made longer. */
static bool take_value(struct assay_args *args, size_t row, const char *value) {
    const struct assay_option *o = &args->command->options[row];
    const char *before = args->values[row];
    char *joined;

    if (o->argument == NULL || !is_list(o) || before == NULL || before == o->fallback) {
        args->values[row] = o->argument != NULL ? value : "1";
        return true;
    }
    joined = malloc(strlen(before) + strlen(value) + 2);
    if (joined == NULL) {
        assay_usage_error(args->command, "out of memory");
        return false;
    }
    sprintf(joined, "%s,%s", before, value);
    free(args->joined[row]);
    args->values[row] = args->joined[row] = joined;
    return true;
}

/* Reads the options into args->values. Returns false with *exit_code set to end the program. */
static bool read_options(const struct assay_command *cmd, size_t n, int argc, char **argv,
                         struct assay_args *args, int *exit_code) {
    struct getopt_tables t = {NULL, NULL};
    bool ok = false;
    int c;

    if (!tables_build(cmd, n, &t)) {
        *exit_code = assay_usage_error(cmd, "out of memory");
        goto out;
    }
    getopt_restart();
    for (;;) {
        /* The word being read: before the call, since optind moves on with its last letter. */
        int at = optind > 0 ? optind : 1;
        size_t row = n;

        optopt = 0;
        c = getopt_long(argc, argv, t.shorts, t.longs, NULL);
        if (c == -1)
            break;
        if (c == HELP) {
            assay_print_command_help(stdout, cmd);
            *exit_code = ASSAY_EXIT_OK;
            goto out;
        }
        if (c == ':') {
            *exit_code = assay_usage_error(cmd,
                                           "option '%s' needs an argument; see 'assay %s "
                                           "--help'",
                                           argv[optind - 1], cmd->name);
            goto out;
        }
        if (c == '?') {
            report_unknown(cmd, n,
                           optopt != 0 && at < argc && argv[at][1] != '-' ? argv[at]
                                                                          : argv[optind - 1]);
            *exit_code = ASSAY_EXIT_USAGE;
            goto out;
        }
        if (c >= FIRST_LONG)
            row = (size_t)(c - FIRST_LONG);
        else
            for (row = 0; row < n && cmd->options[row].short_name != c; row++)
                ;
        if (!take_value(args, row, optarg))
            goto out;
    }
    ok = true;
out:
    free(t.longs);
    free(t.shorts);
    return ok;
}

bool assay_args_parse(const struct assay_command *cmd, int argc, char **argv,
                      struct assay_args *args, int *exit_code) {
    size_t n = option_count(cmd);
    char **words;

    *args = (struct assay_args){.command = cmd, .argc = argc};
    *exit_code = ASSAY_EXIT_USAGE;
    args->values = calloc(n + 1, sizeof *args->values);
    args->joined = calloc(n + 1, sizeof *args->joined);
    args->positional = calloc((size_t)argc + 1, sizeof *args->positional);
    args->argv = calloc((size_t)argc + 1, sizeof *args->argv);
    words = calloc((size_t)argc + 1, sizeof *words); /* getopt_long reorders its copy */
    if (args->values == NULL || args->joined == NULL || args->positional == NULL ||
        args->argv == NULL || words == NULL) {
        assay_usage_error(cmd, "out of memory");
        goto fail;
    }
    memcpy(args->argv, argv, (size_t)argc * sizeof *argv);
    memcpy(words, argv, (size_t)argc * sizeof *argv);
    for (size_t i = 0; i < n; i++)
        args->values[i] = cmd->options[i].fallback;
    if (!read_options(cmd, n, argc, words, args, exit_code))
        goto fail;
    while (optind < argc)
        args->positional[args->n_positional++] = words[optind++];
    if (args->n_positional < cmd->min_positional) {
        assay_usage_error(cmd, "missing argument; usage: assay %s %s", cmd->name, cmd->synopsis);
        goto fail;
    }
    if (args->n_positional > cmd->max_positional) {
        assay_usage_error(cmd, "unexpected argument '%s'; usage: assay %s %s",
                          args->positional[cmd->max_positional], cmd->name, cmd->synopsis);
        goto fail;
    }
    free(words);
    return true;
fail:
    free(words);
    assay_args_free(args);
    return false;
}

void assay_args_free(struct assay_args *args) {
    for (size_t i = 0; args->joined != NULL && i < option_count(args->command); i++)
        free(args->joined[i]);
    free(args->joined);
    free(args->values);
    free(args->positional);
    free(args->argv);
    *args = (struct assay_args){.command = args->command};
}

const char *assay_args_get(const struct assay_args *args, const char *name) {
    for (size_t i = 0; args->command->options[i].name != NULL; i++)
        if (strcmp(args->command->options[i].name, name) == 0)
            return args->values[i];
    return NULL;
}

bool assay_args_flag(const struct assay_args *args, const char *name) {
    return assay_args_get(args, name) != NULL;
}

/* Multiplies *v by the power of 1024 that a suffix stands for. */
static bool apply_suffix(const char *suffix, unsigned long long *v) {
    static const char letters[] = "kMG";
    const char *at;
    int shift;

    if (*suffix == '\0')
        return true;
    at = strchr(letters, *suffix == 'K' ? 'k' : *suffix);
    if (at == NULL || suffix[1] != '\0')
        return false;
    shift = 10 * (int)(at - letters + 1);
    if (*v > (~0ULL >> shift))
        return false;
    *v <<= shift;
    return true;
}

bool assay_args_u64(const struct assay_args *args, const char *name, unsigned long long *v,
                    unsigned long long min, unsigned long long max) {
    const char *s = assay_args_get(args, name);
    unsigned long long n;
    char *end;

    if (s == NULL)
        return true;
    errno = 0;
    /* strtoull would accept a sign and leading blanks, and base 0 would read 010 as octal. */
    n = strtoull(s, &end, s[0] == '0' && (s[1] == 'x' || s[1] == 'X') ? 16 : 10);
    if (!isdigit((unsigned char)s[0]) || end == s || errno != 0 || !apply_suffix(end, &n)) {
        assay_usage_error(args->command, "option '--%s': '%s' is not a whole number", name, s);
        return false;
    }
    if (n < min || n > max) {
        assay_usage_error(args->command, "option '--%s': %s is not between %llu and %llu", name, s,
                          min, max);
        return false;
    }
    *v = n;
    return true;
}

bool assay_args_double(const struct assay_args *args, const char *name, double *v, double min,
                       double max) {
    const char *s = assay_args_get(args, name);
    double d;
    char *end;

    if (s == NULL)
        return true;
    d = strtod(s, &end);
    if (end == s || *end != '\0' || isspace((unsigned char)s[0]) || !isfinite(d)) {
        assay_usage_error(args->command, "option '--%s': '%s' is not a number", name, s);
        return false;
    }
    if (d < min || d > max) {
        assay_usage_error(args->command, "option '--%s': %s is not between %g and %g", name, s, min,
                          max);
        return false;
    }
    *v = d;
    return true;
}

bool assay_args_duration(const struct assay_args *args, const char *name, double *seconds) {
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"s", 1}, {"m", 60}, {"h", 3600}};
    const char *s = assay_args_get(args, name);
    char *end = NULL;
    double number;

    if (s == NULL)
        return true;
    number = s[0] >= '0' && s[0] <= '9' ? strtod(s, &end) : 0;
    for (size_t i = 0;
         end != NULL && number > 0 && number < 1e6 && i < sizeof units / sizeof units[0]; i++)
        if (strcmp(end, units[i].unit) == 0) {
            *seconds = number * units[i].seconds;
            return true;
        }
    assay_usage_error(args->command, "option '--%s': '%s' is no duration such as 30s, 2m or 1h",
                      name, s);
    return false;
}

bool assay_args_list(const struct assay_args *args, const char *name,
                     bool (*each)(const char *item, void *user), void *user) {
    const char *s = assay_args_get(args, name);
    char *copy, *item;
    bool ok = true;

    if (s == NULL)
        return true;
    copy = strdup(s);
    if (copy == NULL) {
        assay_usage_error(args->command, "out of memory");
        return false;
    }
    for (item = copy; ok && item != NULL;) {
        char *comma = strchr(item, ',');
        if (comma != NULL)
            *comma = '\0';
        if (*item == '\0') {
            assay_usage_error(args->command, "option '--%s': empty item in '%s'", name, s);
            ok = false;
        } else {
            ok = each(item, user);
        }
        item = comma != NULL ? comma + 1 : NULL;
    }
    free(copy);
    return ok;
}
