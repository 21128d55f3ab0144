#include "term.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "datasets/text.h"
#include "no_memory.h"

/* Whether it is a terminal that takes escape sequences. */
static bool is_terminal(int fd) {
    const char *term = getenv("TERM");
    return isatty(fd) && term != NULL && *term != '\0' && strcmp(term, "dumb") != 0;
}

bool assay_coloured(FILE *f) {
    const char *no_color = getenv("NO_COLOR");
    return is_terminal(fileno(f)) && (no_color == NULL || *no_color == '\0');
}

const char *assay_colour_start(FILE *f, enum assay_colour c) {
    static const char *const sequences[] = {
        [ASSAY_PLAIN] = "",          [ASSAY_RED] = "\033[31m", [ASSAY_GREEN] = "\033[32m",
        [ASSAY_YELLOW] = "\033[33m", [ASSAY_DIM] = "\033[2m",  [ASSAY_BOLD] = "\033[1m",
    };
    return assay_coloured(f) ? sequences[c] : "";
}

const char *assay_colour_end(FILE *f) { return assay_coloured(f) ? "\033[0m" : ""; }

char *assay_printable(const char *s) {
    const size_t n = strlen(s), size = 4 * n + 1; /* a byte becomes \xNN at most */
    char *copy = malloc(size);

    if (copy == NULL) {
        assay_no_memory_note();
        return NULL;
    }
    struct assay_text t = assay_text_init(copy, size);
    assay_text_printable(&t, s, n);
    return copy;
}

void assay_print_line(FILE *f, const char *fmt, ...) {
    char *line, *shown = NULL;
    va_list ap;

    va_start(ap, fmt);
    const int n = vasprintf(&line, fmt, ap);
    va_end(ap);
    if (n < 0) {
        assay_no_memory_note();
        return;
    }
    shown = assay_printable(line);
    if (shown != NULL)
        fprintf(f, "%s\n", shown);
    free(shown);
    free(line);
}

static bool progress_shown;

void assay_progress(const char *task, size_t done, size_t total, const char *what) {
    static struct timespec last;
    struct timespec now;
    double since;

    if (!is_terminal(STDERR_FILENO))
        return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    since = (double)(now.tv_sec - last.tv_sec) + 1e-9 * (double)(now.tv_nsec - last.tv_nsec);
    if (progress_shown && since < 0.1)
        return;
    last = now;
    /* Cut to 78 columns: a line that wraps could not be redrawn. */
    fprintf(stderr, "\r\033[K%.20s  %zu/%zu  %.36s", task, done, total, what);
    fflush(stderr);
    progress_shown = true;
}

void assay_progress_clear(void) {
    if (progress_shown)
        fputs("\r\033[K", stderr);
    progress_shown = false;
}
