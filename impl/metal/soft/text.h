/* A string that grows. */
#ifndef ASSAY_IMPL_METAL_SOFT_TEXT_H
#define ASSAY_IMPL_METAL_SOFT_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All zero is the empty string. data is NUL-terminated once something was added; free() it. */
struct assay_text {
    char *data;
    size_t len, cap;
    bool failed; /* lack of memory; nothing is added any more */
};

static inline void assay_text_add(struct assay_text *t, const char *s, size_t n) {
    if (t->failed)
        return;
    if (t->len + n + 1 > t->cap) {
        size_t cap = 2 * (t->len + n) + 256;
        char *p = realloc(t->data, cap);
        if (p == NULL) {
            t->failed = true;
            return;
        }
        t->data = p;
        t->cap = cap;
    }
    if (n > 0)
        memcpy(t->data + t->len, s, n);
    t->len += n;
    t->data[t->len] = 0;
}

__attribute__((format(printf, 2, 3))) static inline void assay_text_printf(struct assay_text *t,
                                                                           const char *fmt, ...) {
    char small[1024];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof small) {
        assay_text_add(t, small, (size_t)n);
        return;
    }
    char *big = n < 0 ? NULL : malloc((size_t)n + 1);
    if (big == NULL) {
        t->failed = true;
        return;
    }
    va_start(ap, fmt);
    vsnprintf(big, (size_t)n + 1, fmt, ap);
    va_end(ap);
    assay_text_add(t, big, (size_t)n);
    free(big);
}

#endif
