/* --help and the man page, from the command table. */
#include <string.h>

#include "options.h"

enum { WIDTH = 80 };

/* Prints text wrapped at WIDTH. The caller has printed `column` characters of the first line;
 * further lines are indented by `indent`. */
static void print_wrapped(FILE *f, size_t column, size_t indent, const char *text, size_t len) {
    const char *end = text + len;

    while (text < end) {
        size_t word = 0;
        while (text + word < end && text[word] != ' ' && text[word] != '\n')
            word++;
        if (column > indent && column + 1 + word > WIDTH) {
            fprintf(f, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', f);
            column++;
        }
        fprintf(f, "%.*s", (int)word, text);
        column += word;
        text += word;
        while (text < end && (*text == ' ' || *text == '\n'))
            text++;
    }
    fputc('\n', f);
}

/* Calls print for each paragraph: a run of lines up to an empty one. */
static void each_paragraph(const char *text, void (*print)(FILE *f, const char *p, size_t len),
                           FILE *f) {
    while (*text != '\0') {
        const char *gap = strstr(text, "\n\n");
        size_t len = gap != NULL ? (size_t)(gap - text) : strlen(text);
        print(f, text, len);
        text += len;
        while (*text == '\n')
            text++;
    }
}

/* A paragraph that starts with a blank is printed as it stands. */
static void plain_paragraph(FILE *f, const char *p, size_t len) {
    fputc('\n', f);
    if (*p == ' ')
        fprintf(f, "%.*s\n", (int)len, p);
    else
        print_wrapped(f, 0, 0, p, len);
}

static void print_lines_indented(FILE *f, const char *text) {
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        fprintf(f, len > 0 ? "  %.*s\n" : "%.*s\n", (int)len, text);
        text += len + (text[len] == '\n');
    }
}

static void print_option(FILE *f, const struct assay_option *o) {
    enum { INDENT = 26 };
    char head[96], help[512];
    int n;

    n = snprintf(head, sizeof head, "  %c%c%s--%s%s%s", o->short_name ? '-' : ' ',
                 o->short_name ? o->short_name : ' ', o->short_name ? ", " : "  ", o->name,
                 o->argument != NULL ? " " : "", o->argument != NULL ? o->argument : "");
    if (o->fallback != NULL)
        snprintf(help, sizeof help, "%s (default: %s)", o->help, o->fallback);
    else
        snprintf(help, sizeof help, "%s", o->help);
    if (n >= INDENT - 1)
        fprintf(f, "%s\n%*s", head, INDENT, "");
    else
        fprintf(f, "%-*s", INDENT, head);
    print_wrapped(f, INDENT, INDENT, help, strlen(help));
}

static const struct assay_option help_option = {"help", 'h', NULL, NULL, "print this help"};

void assay_print_command_help(FILE *f, const struct assay_command *cmd) {
    fprintf(f, "Usage: assay %s%s%s\n\n", cmd->name, *cmd->synopsis != '\0' ? " " : "",
            cmd->synopsis);
    print_wrapped(f, 0, 0, cmd->summary, strlen(cmd->summary));
    if (cmd->details != NULL)
        each_paragraph(cmd->details, plain_paragraph, f);
    fputs("\nOptions:\n", f);
    for (const struct assay_option *o = cmd->options; o != NULL && o->name != NULL; o++)
        print_option(f, o);
    print_option(f, &help_option);
    if (cmd->examples != NULL) {
        fputs("\nExamples:\n", f);
        print_lines_indented(f, cmd->examples);
    }
}

/* Writes the UTF-8 character at s as troff's \[uXXXX] and returns its length: an older troff reads
 * Latin-1. The text is our own, so it is valid. */
static size_t troff_wide(FILE *f, const char *s) {
    unsigned char lead = (unsigned char)*s;
    size_t len = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    unsigned code = lead & (0x7fu >> len);

    for (size_t i = 1; i < len; i++)
        code = code << 6 | ((unsigned char)s[i] & 0x3f);
    fprintf(f, "\\[u%04X]", code);
    return len;
}

/* Text for troff: a backslash is doubled, a hyphen is a minus (so that options can be copied), and
 * a leading dot or quote does not start a request. */
static void troff_text(FILE *f, const char *s, size_t len) {
    for (size_t i = 0; i < len;) {
        bool line_start = i == 0 || s[i - 1] == '\n';
        if (line_start && (s[i] == '.' || s[i] == '\''))
            fputs("\\&", f);
        if ((unsigned char)s[i] >= 0x80) {
            i += troff_wide(f, s + i);
            continue;
        }
        if (s[i] == '\\')
            fputs("\\e", f);
        else if (s[i] == '-')
            fputs("\\-", f);
        else
            fputc(s[i], f);
        i++;
    }
}

static void troff_paragraph(FILE *f, const char *p, size_t len) {
    if (*p == ' ') {
        fputs(".PP\n.EX\n", f);
        troff_text(f, p, len);
        fputs("\n.EE\n", f);
    } else {
        fputs(".PP\n", f);
        troff_text(f, p, len);
        fputc('\n', f);
    }
}

static void troff_option(FILE *f, const struct assay_option *o) {
    fputs(".TP\n", f);
    if (o->short_name != 0)
        fprintf(f, "\\fB\\-%c\\fR, ", o->short_name);
    fputs("\\fB\\-\\-", f);
    troff_text(f, o->name, strlen(o->name));
    fputs("\\fR", f);
    if (o->argument != NULL) {
        fputs(" \\fI", f);
        troff_text(f, o->argument, strlen(o->argument));
        fputs("\\fR", f);
    }
    fputc('\n', f);
    troff_text(f, o->help, strlen(o->help));
    if (o->fallback != NULL) {
        fputs(" (default: ", f);
        troff_text(f, o->fallback, strlen(o->fallback));
        fputc(')', f);
    }
    fputc('\n', f);
}

static void troff_command(FILE *f, const struct assay_command *cmd) {
    fputs(".SS \"assay ", f);
    troff_text(f, cmd->name, strlen(cmd->name));
    fputc(' ', f);
    troff_text(f, cmd->synopsis, strlen(cmd->synopsis));
    fputs("\"\n", f);
    troff_text(f, cmd->summary, strlen(cmd->summary));
    fputc('\n', f);
    if (cmd->details != NULL)
        each_paragraph(cmd->details, troff_paragraph, f);
    for (const struct assay_option *o = cmd->options; o != NULL && o->name != NULL; o++)
        troff_option(f, o);
    if (cmd->examples != NULL) {
        fputs(".PP\n.EX\n", f);
        troff_text(f, cmd->examples, strlen(cmd->examples));
        fputs("\n.EE\n", f);
    }
}

void assay_print_man(FILE *f, const struct assay_command *const *commands, size_t n) {
    fputs(".TH ASSAY 1\n.SH NAME\nassay \\- judge quantised matrix multiplication kernels\n"
          ".SH SYNOPSIS\n\\fBassay\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR]\n.SH DESCRIPTION\n"
          "Verifies kernels that multiply straight from GGUF blocks against a scalar reference, "
          "times them and measures their memory.\n.SH COMMANDS\n",
          f);
    for (size_t i = 0; i < n; i++)
        if (!commands[i]->hidden)
            troff_command(f, commands[i]);
    fputs(".SH EXIT STATUS\n.TP\n0\nall that was asked for passed\n.TP\n1\na mismatch was found\n"
          ".TP\n2\nusage or input error\n",
          f);
}
