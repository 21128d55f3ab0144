#include "shell_word.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "plugin.h"

static bool shell_safe(const char *s) {
    for (const char *p = s; *p != '\0'; p++)
        if (!isalnum((unsigned char)*p) && strchr("/._-+=:,@%", *p) == NULL)
            return false;
    return *s != '\0';
}

void assay_print_shell_word(FILE *f, const char *s) {
    if (shell_safe(s)) {
        fputs(s, f);
        return;
    }
    fputc('\'', f);
    for (; *s != '\0'; s++)
        if (*s == '\'')
            fputs("'\\''", f);
        else
            fputc(*s, f);
    fputc('\'', f);
}

void assay_print_backend_origin(FILE *f, const struct assay_backend *b) {
    const char *option, *value;

    if (!assay_backend_origin(b, &option, &value))
        return;
    fprintf(f, "--%s ", option);
    assay_print_shell_word(f, value);
    fputc(' ', f);
}
