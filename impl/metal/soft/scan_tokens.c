#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scan_internal.h"

bool assay_soft_complain(struct scan *s, unsigned line, const char *fmt, ...) {
    if (s->failed)
        return false; /* the first says it */
    char what[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    snprintf(s->err, s->err_size, "%s:%u: error: %s", s->file, line, what);
    s->failed = true;
    return false;
}

bool assay_soft_token_is(const struct token *t, const char *s) {
    return t->len == strlen(s) && memcmp(t->at, s, t->len) == 0;
}

/* "# 12 "file" flags": the next line is line 12 of file. Returns the line to go on with. */
static unsigned line_marker(struct scan *s, const char *p, unsigned line) {
    unsigned next;
    char file[256];
    if (sscanf(p, "# %u \"%255[^\"]\"", &next, file) != 2)
        return line;
    memcpy(s->file, file, sizeof file);
    return next - 1;
}

static bool add_token(struct scan *s, enum kind kind, const char *at, size_t len, unsigned line) {
    if (s->n_tokens == s->cap_tokens) {
        size_t cap = s->cap_tokens ? 2 * s->cap_tokens : 4096;
        struct token *t = realloc(s->tokens, cap * sizeof *t);
        if (t == NULL)
            return assay_soft_complain(s, line, "no memory for %zu tokens", cap);
        s->tokens = t;
        s->cap_tokens = cap;
    }
    s->tokens[s->n_tokens++] = (struct token){kind, at, len, line};
    return true;
}

bool assay_soft_tokenise(struct scan *s) {
    unsigned line = 1;
    bool fresh = true; /* at the beginning of a line */
    for (const char *p = s->work; *p != 0;) {
        if (*p == '\n') {
            line++;
            fresh = true;
            p++;
        } else if (fresh && *p == '#') {
            line = line_marker(s, p, line);
            while (*p != 0 && *p != '\n')
                p++;
        } else if (isspace((unsigned char)*p)) {
            p++;
        } else {
            const char *q = p;
            enum kind kind = PUNCT;
            fresh = false;
            if (isalpha((unsigned char)*p) || *p == '_') {
                kind = WORD;
                while (isalnum((unsigned char)*q) || *q == '_')
                    q++;
            } else if (isdigit((unsigned char)*p)) {
                kind = NUMBER;
                while (isalnum((unsigned char)*q) || *q == '.' || *q == '_')
                    q++;
            } else if (*p == '"' || *p == '\'') {
                kind = NUMBER;
                for (q++; *q != 0 && *q != *p && *q != '\n'; q++)
                    if (*q == '\\' && q[1] != 0)
                        q++;
                q += *q == *p;
            } else {
                q += (p[0] == '[' && p[1] == '[') || (p[0] == ']' && p[1] == ']') ? 2 : 1;
            }
            if (!add_token(s, kind, p, (size_t)(q - p), line))
                return false;
            p = q;
        }
    }
    return add_token(s, END, s->work + strlen(s->work), 0, line);
}

size_t assay_soft_brackets(const struct token *t) { return t->len == 2 ? 2 : 1; }

size_t assay_soft_past(const struct scan *s, size_t i) {
    int depth = 0;
    for (; s->tokens[i].kind != END; i++) {
        const struct token *t = &s->tokens[i];
        if (t->kind != PUNCT)
            continue;
        if (strchr("([{", *t->at))
            depth += (int)assay_soft_brackets(t);
        else if (strchr(")]}", *t->at) && (depth -= (int)assay_soft_brackets(t)) <= 0)
            return i + 1;
    }
    return i;
}

bool assay_soft_starts_statement(const struct scan *s, size_t i) {
    return i > 0 && s->tokens[i - 1].kind == PUNCT && strchr(";{}", *s->tokens[i - 1].at) != NULL;
}
