/* Printable text from untrusted bytes. */
#ifndef ASSAY_DATASETS_TEXT_H
#define ASSAY_DATASETS_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* A buffer that is filled from the left and never overrun; the text is always NUL-terminated and
 * never ends inside a character. */
struct assay_text {
    char *buf;
    size_t size; /* >= 1 */
    size_t len;
    bool full; /* something did not fit */
};

struct assay_text assay_text_init(char *buf, size_t size);

/* Appends all of data[n] or, if that does not fit, nothing. */
void assay_text_add(struct assay_text *t, const char *data, size_t n);
void assay_text_printf(struct assay_text *t, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Appends data[n] with control characters, quotes, backslashes and bytes that are no valid UTF-8
 * written as escapes (\n, \", \\, \xNN): the result is one line of valid UTF-8 without terminal
 * control codes. Appends as many whole characters as fit. */
void assay_text_escape(struct assay_text *t, const char *data, size_t n);

/* The same, but quotes and backslashes stay: for a message that is put together, of which parts may
 * be escaped already. */
void assay_text_printable(struct assay_text *t, const char *data, size_t n);

/* If something did not fit, replaces the end of the text by an ellipsis. */
void assay_text_mark_cut(struct assay_text *t);

#endif
