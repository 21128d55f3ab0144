#include "scan_internal.h"

static bool address_space(const struct token *t) {
    return assay_soft_token_is(t, "device") || assay_soft_token_is(t, "constant") ||
           assay_soft_token_is(t, "threadgroup") || assay_soft_token_is(t, "thread");
}

/* A parameter list at program scope: every declarator with * or & names its address space. */
static bool check_parameters(struct scan *s, size_t open) {
    size_t close = assay_soft_past(s, open) - 1;
    bool pointer = false, space = false, value = false;
    for (size_t i = open + 1; i <= close; i++) {
        const struct token *t = &s->tokens[i];
        if (i == close || assay_soft_token_is(t, ",")) {
            if (pointer && !space)
                return assay_soft_complain(
                    s, s->tokens[i - 1].line,
                    "pointer or reference parameter '%.*s' without an address space",
                    (int)s->tokens[i - 1].len, s->tokens[i - 1].at);
            pointer = space = value = false;
        } else if (assay_soft_token_is(t, "=")) {
            value = true; /* a default argument may multiply */
        } else if (address_space(t)) {
            space = true;
        } else if (!value && (assay_soft_token_is(t, "*") || assay_soft_token_is(t, "&"))) {
            pointer = true;
        }
    }
    return true;
}

/* "T *p =", "const T &r =" or "T *p;" at the beginning of a statement. */
static bool check_statement(struct scan *s, size_t i) {
    const struct token *t = &s->tokens[i];
    size_t k = 0;
    while (t[k].kind == WORD && !address_space(&t[k]) && !assay_soft_token_is(&t[k], "return"))
        k++;
    if (k == 0 || t[k].len != 1 ||
        !(assay_soft_token_is(&t[k], "*") || assay_soft_token_is(&t[k], "&")) ||
        t[k + 1].kind != WORD ||
        !(assay_soft_token_is(&t[k + 2], "=") || assay_soft_token_is(&t[k + 2], ";")))
        return true;
    return assay_soft_complain(s, t->line, "pointer or reference '%.*s' without an address space",
                               (int)t[k + 1].len, t[k + 1].at);
}

bool assay_soft_check_pointers(struct scan *s) {
    bool transparent[64] = {false}; /* braces of a struct or namespace are still program scope */
    int depth = 0, parens = 0;
    bool scope = false, valued = false; /* since the last statement's end */
    for (size_t i = 0; s->tokens[i].kind != END; i++) {
        const struct token *t = &s->tokens[i];
        bool program = depth == 0 || (depth < 64 && transparent[depth]);
        if (assay_soft_token_is(t, "struct") || assay_soft_token_is(t, "union") ||
            assay_soft_token_is(t, "namespace"))
            scope = true;
        else if (assay_soft_token_is(t, "="))
            valued = true;
        else if (assay_soft_token_is(t, "(") && parens++ == 0 && program && !valued && i > 0 &&
                 s->tokens[i - 1].kind == WORD && !check_parameters(s, i))
            return false;
        else if (assay_soft_token_is(t, ")"))
            parens--;
        if (assay_soft_starts_statement(s, i) && !program && !check_statement(s, i))
            return false;
        if (assay_soft_token_is(t, "{") && ++depth < 64)
            transparent[depth] = program && scope && !valued;
        else if (assay_soft_token_is(t, "}"))
            depth--;
        if (assay_soft_token_is(t, ";") || assay_soft_token_is(t, "{") ||
            assay_soft_token_is(t, "}"))
            scope = valued = false;
    }
    return true;
}
