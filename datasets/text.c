#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct assay_text assay_text_init(char *buf, size_t size) {
    buf[0] = '\0';
    return (struct assay_text){.buf = buf, .size = size};
}

void assay_text_add(struct assay_text *t, const char *data, size_t n) {
    /* After the first piece that did not fit nothing is added, or the text would have holes. */
    if (t->full || n >= t->size - t->len) {
        t->full = true;
        return;
    }
    memcpy(t->buf + t->len, data, n);
    t->len += n;
    t->buf[t->len] = '\0';
}

void assay_text_printf(struct assay_text *t, const char *fmt, ...) {
    char piece[128];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(piece, sizeof piece, fmt, ap);
    va_end(ap);
    if (n > 0)
        assay_text_add(t, piece, (size_t)n < sizeof piece ? (size_t)n : sizeof piece - 1);
}

/* Length of the well-formed UTF-8 sequence at s[n] that starts with a byte >= 0x80, or 0 (Unicode
 * standard, table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF). */
static size_t utf8_length(const unsigned char *s, size_t n) {
    unsigned char lo = 0x80, hi = 0xbf;
    size_t len;
    if (s[0] >= 0xc2 && s[0] <= 0xdf)
        len = 2;
    else if (s[0] >= 0xe0 && s[0] <= 0xef)
        len = 3;
    else if (s[0] >= 0xf0 && s[0] <= 0xf4)
        len = 4;
    else
        return 0;
    if (s[0] == 0xe0)
        lo = 0xa0;
    if (s[0] == 0xed)
        hi = 0x9f;
    if (s[0] == 0xf0)
        lo = 0x90;
    if (s[0] == 0xf4)
        hi = 0x8f;
    if (s[0] == 0xc2)
        lo = 0xa0; /* U+0080..U+009F are control codes */
    if (n < len || s[1] < lo || s[1] > hi)
        return 0;
    for (size_t i = 2; i < len; i++)
        if (s[i] < 0x80 || s[i] > 0xbf)
            return 0;
    return len;
}

static void escape(struct assay_text *t, const char *data, size_t n, bool quotes) {
    const unsigned char *s = (const unsigned char *)data;
    for (size_t i = 0; i < n && !t->full;) {
        unsigned char c = s[i];
        size_t len = 1;
        if (c == '\n')
            assay_text_add(t, "\\n", 2);
        else if (c == '\t')
            assay_text_add(t, "\\t", 2);
        else if (quotes && (c == '"' || c == '\\'))
            assay_text_add(t, (char[]){'\\', (char)c}, 2);
        else if (c >= 0x20 && c < 0x7f)
            assay_text_add(t, data + i, 1);
        else if (c >= 0x80 && (len = utf8_length(s + i, n - i)) > 0)
            assay_text_add(t, data + i, len);
        else {
            len = 1;
            assay_text_printf(t, "\\x%02x", c);
        }
        i += len;
    }
}

void assay_text_escape(struct assay_text *t, const char *data, size_t n) {
    escape(t, data, n, true);
}

void assay_text_printable(struct assay_text *t, const char *data, size_t n) {
    escape(t, data, n, false);
}

void assay_text_mark_cut(struct assay_text *t) {
    static const char ellipsis[] = "…";
    const size_t n = sizeof ellipsis - 1;
    if (!t->full || t->size <= n)
        return;
    /* Make room, then step back to the start of a character. */
    if (t->len > t->size - 1 - n)
        t->len = t->size - 1 - n;
    while (t->len > 0 && ((unsigned char)t->buf[t->len] & 0xc0) == 0x80)
        t->len--;
    memcpy(t->buf + t->len, ellipsis, n + 1);
    t->len += n;
}
