#include <ctype.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scan_internal.h"

static const struct {
    const char *name;
    enum msl_builtin builtin;
    bool vector; /* may be a vector of 2 or 3 */
} builtins[] = {
    {"thread_position_in_grid", MSL_THREAD_POSITION_IN_GRID, true},
    {"threadgroup_position_in_grid", MSL_THREADGROUP_POSITION_IN_GRID, true},
    {"thread_position_in_threadgroup", MSL_THREAD_POSITION_IN_THREADGROUP, true},
    {"thread_index_in_threadgroup", MSL_THREAD_INDEX_IN_THREADGROUP, false},
    {"thread_index_in_simdgroup", MSL_THREAD_INDEX_IN_SIMDGROUP, false},
    {"simdgroup_index_in_threadgroup", MSL_SIMDGROUP_INDEX_IN_THREADGROUP, false},
    {"threads_per_threadgroup", MSL_THREADS_PER_THREADGROUP, true},
    {"threadgroups_per_grid", MSL_THREADGROUPS_PER_GRID, true},
    {"threads_per_grid", MSL_THREADS_PER_GRID, true},
    {"threads_per_simdgroup", MSL_THREADS_PER_SIMDGROUP, false},
    {"thread_execution_width", MSL_THREADS_PER_SIMDGROUP, false},
    {"simdgroups_per_threadgroup", MSL_SIMDGROUPS_PER_THREADGROUP, false},
};

static void blank(const struct token *from, const struct token *to) {
    for (char *p = (char *)from->at; p < to->at + to->len; p++)
        if (*p != '\n')
            *p = ' ';
}

/* Moves the source up to `at` into the body. */
static void copy_to(struct scan *s, const char *at) {
    size_t n = (size_t)(at - s->work);
    assay_text_add(&s->body, s->work + s->copied, n - s->copied);
    s->copied = n;
}

static void skip_to(struct scan *s, const char *at) { s->copied = (size_t)(at - s->work); }

/* ---- Attributes ---- */

/* "[[ word ( number ) ]]" at token i; *end is the token after it. */
static bool attribute(struct scan *s, size_t i, struct token *word, unsigned *number,
                      bool *numbered, size_t *end) {
    const struct token *t = s->tokens + i;
    if (t[1].kind != WORD)
        return assay_soft_complain(s, t->line, "attribute without a name");
    *word = t[1];
    *number = 0;
    *numbered = false;
    size_t k = 2;
    if (assay_soft_token_is(&t[k], "(")) {
        char *rest;
        unsigned long v = strtoul(t[k + 1].at, &rest, 0);
        if (t[k + 1].kind != NUMBER || !assay_soft_token_is(&t[k + 2], ")") ||
            rest != t[k + 1].at + t[k + 1].len || v > UINT32_MAX)
            return assay_soft_complain(s, t->line, "%.*s needs one number", (int)word->len,
                                       word->at);
        *number = (unsigned)v;
        *numbered = true;
        k += 3;
    }
    if (!assay_soft_token_is(&t[k], "]]"))
        return assay_soft_complain(s, t->line, "one attribute at a time, please: [[%.*s]]",
                                   (int)word->len, word->at);
    *end = i + k + 1;
    return true;
}

/* ---- Kernels ---- */

struct parameter {
    struct token name, from, last; /* the type is [from, last] */
    enum msl_kind kind;
    unsigned index;
    bool constant;
};

static bool has_word(const struct scan *s, size_t from, size_t to, const char *word) {
    for (size_t i = from; i < to; i++)
        if (assay_soft_token_is(&s->tokens[i], word))
            return true;
    return false;
}

static bool parse_parameter(struct scan *s, size_t from, size_t to, struct parameter *p) {
    size_t a = from, end;
    while (a < to && !assay_soft_token_is(&s->tokens[a], "[["))
        a++;
    const struct token *first = &s->tokens[from];
    if (a == to)
        return assay_soft_complain(s, first->line, "kernel parameter without an attribute");
    if (a < from + 2 || s->tokens[a - 1].kind != WORD)
        return assay_soft_complain(s, first->line,
                                   "kernel parameter: type, name and attribute, in this order");
    struct token word;
    unsigned number;
    bool numbered;
    if (!attribute(s, a, &word, &number, &numbered, &end))
        return false;
    if (end != to)
        return assay_soft_complain(s, first->line,
                                   "kernel parameter with something after its attribute");
    *p = (struct parameter){
        .name = s->tokens[a - 1], .from = *first, .last = s->tokens[a - 2], .index = number};
    bool pointer = assay_soft_token_is(&p->last, "*"),
         reference = assay_soft_token_is(&p->last, "&");
    p->constant = has_word(s, from, a, "constant");
    bool in_device = has_word(s, from, a, "device");
    if (assay_soft_token_is(&word, "buffer")) {
        p->kind = MSL_BUFFER;
        if (!numbered || number >= MSL_MAX_BUFFERS)
            return assay_soft_complain(s, word.line, "buffer(n) with n < %u", MSL_MAX_BUFFERS);
        if (!pointer && !reference)
            return assay_soft_complain(s, word.line,
                                       "buffer argument %.*s is no pointer or reference",
                                       (int)p->name.len, p->name.at);
        if (p->constant == in_device)
            return assay_soft_complain(s, word.line,
                                       "buffer argument %.*s is in device or constant memory",
                                       (int)p->name.len, p->name.at);
    } else if (assay_soft_token_is(&word, "threadgroup")) {
        p->kind = MSL_THREADGROUP;
        if (!numbered || number >= MSL_MAX_BUFFERS)
            return assay_soft_complain(s, word.line, "threadgroup(n) with n < %u", MSL_MAX_BUFFERS);
        if (!pointer || !has_word(s, from, a, "threadgroup") || in_device || p->constant)
            return assay_soft_complain(s, word.line,
                                       "threadgroup argument %.*s is no threadgroup pointer",
                                       (int)p->name.len, p->name.at);
    } else {
        p->kind = MSL_BUILTIN;
        size_t b = 0, n = sizeof builtins / sizeof *builtins;
        while (b < n && !assay_soft_token_is(&word, builtins[b].name))
            b++;
        if (b == n || numbered)
            return assay_soft_complain(s, word.line, "attribute [[%.*s]] is not supported",
                                       (int)word.len, word.at);
        if (pointer || reference)
            return assay_soft_complain(s, word.line, "%.*s is passed by value", (int)word.len,
                                       word.at);
        char last = p->last.at[p->last.len - 1];
        if (!builtins[b].vector && isdigit((unsigned char)last))
            return assay_soft_complain(s, word.line, "%.*s is a scalar", (int)word.len, word.at);
        p->index = builtins[b].builtin;
    }
    blank(&s->tokens[a], &s->tokens[end - 1]);
    return true;
}

static void add_type(struct assay_text *out, const struct parameter *p) {
    for (const char *c = p->from.at; c < p->last.at + p->last.len; c++)
        assay_text_add(out, *c == '\n' ? " " : c, 1);
}

static void describe_kernel(struct scan *s, const struct token *name, unsigned max_threads,
                            const struct parameter *params, size_t n) {
    struct assay_text *o = &s->tail;
    unsigned k = s->n_kernels++;
    if (n > 0) {
        assay_text_printf(o, "static const msl_param msl_params_%u[] = {\n", k);
        for (size_t i = 0; i < n; i++) {
            const struct parameter *p = &params[i];
            static const char *const kinds[] = {"MSL_BUFFER", "MSL_THREADGROUP", "MSL_BUILTIN"};
            assay_text_printf(o, "{%s, %u, ", kinds[p->kind], p->index);
            if (p->kind == MSL_BUILTIN) {
                assay_text_printf(o, "0, 0, 0, 0");
            } else {
                static const char *const fields[] = {"size", "align", "writable", "reference"};
                for (size_t f = 0; f < 4; f++) {
                    assay_text_printf(o, "%smsl::argument<", f ? ", " : "");
                    add_type(o, p);
                    assay_text_printf(o, ">::%s", fields[f]);
                }
            }
            assay_text_printf(o, ", %d, \"%.*s\"},\n", p->constant, (int)p->name.len, p->name.at);
        }
        assay_text_printf(o, "};\n");
    }
    assay_text_printf(o, "MSL_RT static void msl_thunk_%u(const msl_thread *t) { ::%.*s(", k,
                      (int)name->len, name->at);
    for (size_t i = 0; i < n; i++) {
        const struct parameter *p = &params[i];
        static const char *const from[] = {"buffers", "threadgroups", "builtin"};
        assay_text_printf(o, "%smsl::%s<", i ? ", " : "",
                          p->kind == MSL_BUILTIN ? "position" : "argument");
        add_type(o, p);
        assay_text_printf(o, ">::of(t->%s[%u])", from[p->kind], p->index);
    }
    assay_text_printf(o, "); }\n");
    assay_text_printf(&s->list, "{\"%.*s\", msl_thunk_%u, ", (int)name->len, name->at, k);
    assay_text_printf(&s->list, n ? "msl_params_%u" : "nullptr", k);
    assay_text_printf(&s->list, ", %zu, %u},\n", n, max_threads);
}

/* threadgroup T a[N], b; becomes references to the arena. */
static bool rewrite_variable(struct scan *s, size_t *i, unsigned *id) {
    size_t from = *i + 1, k = from, end = from;
    while (s->tokens[end].kind != END && !assay_soft_token_is(&s->tokens[end], ";"))
        end++;
    for (k = from; k < end; k++) {
        const struct token *t = &s->tokens[k];
        if (assay_soft_token_is(t, "*") || assay_soft_token_is(t, "&") ||
            assay_soft_token_is(t, "("))
            return true; /* a pointer to threadgroup memory */
        if (assay_soft_token_is(t, "="))
            return assay_soft_complain(s, t->line, "threadgroup variable with an initial value");
        if (k > from && t->kind == WORD &&
            (k + 1 == end || assay_soft_token_is(&s->tokens[k + 1], "[") ||
             assay_soft_token_is(&s->tokens[k + 1], "[[") ||
             assay_soft_token_is(&s->tokens[k + 1], ",")))
            break;
    }
    if (k == end)
        return assay_soft_complain(s, s->tokens[from].line, "threadgroup variable without a name");
    const char *type = s->tokens[from].at;
    int type_len = (int)(s->tokens[k - 1].at + s->tokens[k - 1].len - type);
    copy_to(s, s->tokens[*i].at);
    while (k < end) {
        const struct token *name = &s->tokens[k++];
        size_t dims = k;
        while (k < end && (assay_soft_token_is(&s->tokens[k], "[") ||
                           assay_soft_token_is(&s->tokens[k], "[[")))
            k = assay_soft_past(s, k);
        if (name->kind != WORD || (k < end && !assay_soft_token_is(&s->tokens[k], ",")))
            return assay_soft_complain(s, name->line, "threadgroup variable %.*s: not understood",
                                       (int)name->len, name->at);
        const char *d = s->tokens[dims].at;
        assay_text_printf(
            &s->body,
            "auto &%.*s = msl::threadgroup_variable<threadgroup %.*s %.*s>(%u, \"%.*s\"); ",
            (int)name->len, name->at, type_len, type,
            (int)(s->tokens[k - 1].at + s->tokens[k - 1].len - d) * (k > dims), d, (*id)++,
            (int)name->len, name->at);
        k++;
    }
    /* As many lines as the declaration had. */
    for (const char *c = s->tokens[*i].at; c < s->tokens[end].at; c++)
        if (*c == '\n')
            assay_text_add(&s->body, c, 1);
    skip_to(s, s->tokens[end].at + 1);
    *i = end;
    return true;
}

/* "kernel" at *i, which moves past the kernel's body. */
static bool parse_kernel(struct scan *s, size_t *i, unsigned max_threads) {
    enum { MAX = 64 };
    struct parameter params[MAX];
    size_t n = 0, k = *i + 1;
    unsigned line = s->tokens[*i].line;
    if (!assay_soft_token_is(&s->tokens[k], "void"))
        return assay_soft_complain(s, line, "a kernel returns void");
    struct token name = s->tokens[k + 1];
    if (name.kind != WORD || !assay_soft_token_is(&s->tokens[k + 2], "("))
        return assay_soft_complain(s, line, "kernel void NAME(…) expected");
    size_t open = k + 2, close = assay_soft_past(s, open) - 1, from = open + 1;
    int depth = 0;
    for (k = from; k <= close && from < close; k++) {
        const struct token *t = &s->tokens[k];
        if (t->kind == PUNCT && strchr("([{<", *t->at))
            depth += (int)assay_soft_brackets(t);
        else if (k < close && t->kind == PUNCT && strchr(")]}>", *t->at))
            depth -= (int)assay_soft_brackets(t);
        if (k < close && !(depth == 0 && assay_soft_token_is(t, ",")))
            continue;
        if (n == MAX)
            return assay_soft_complain(s, line, "kernel with more than %d parameters", MAX);
        if (!parse_parameter(s, from, k, &params[n]))
            return false;
        for (size_t j = 0; j < n; j++)
            if (params[j].kind == params[n].kind && params[j].index == params[n].index &&
                params[n].kind != MSL_BUILTIN)
                return assay_soft_complain(s, params[n].name.line,
                                           "%.*s and %.*s have the same index",
                                           (int)params[j].name.len, params[j].name.at,
                                           (int)params[n].name.len, params[n].name.at);
        n++;
        from = k + 1;
    }
    size_t body = close + 1;
    if (assay_soft_token_is(&s->tokens[body], ";")) {
        *i = body; /* a declaration */
        return true;
    }
    if (!assay_soft_token_is(&s->tokens[body], "{"))
        return assay_soft_complain(s, line, "kernel %.*s has no body", (int)name.len, name.at);
    size_t end = assay_soft_past(s, body);
    unsigned id = 0;
    for (k = body + 1; k < end; k++)
        if (assay_soft_token_is(&s->tokens[k], "threadgroup") &&
            assay_soft_starts_statement(s, k) && !rewrite_variable(s, &k, &id))
            return false;
    *i = end - 1;
    describe_kernel(s, &name, max_threads, params, n);
    return true;
}

/* ---- Program scope ---- */

/* constant T NAME [[function_constant(n)]]; */
static bool function_constant(struct scan *s, size_t *i) {
    size_t from = *i, a = from;
    while (s->tokens[a].kind != END && !assay_soft_token_is(&s->tokens[a], "[[") &&
           !assay_soft_token_is(&s->tokens[a], ";") && !assay_soft_token_is(&s->tokens[a], "=") &&
           !assay_soft_token_is(&s->tokens[a], "{"))
        a++;
    if (!assay_soft_token_is(&s->tokens[a], "[[") ||
        !assay_soft_token_is(&s->tokens[a + 1], "function_constant"))
        return true;
    struct token word;
    unsigned number;
    bool numbered;
    size_t end;
    if (!attribute(s, a, &word, &number, &numbered, &end))
        return false;
    const struct token *name = &s->tokens[a - 1];
    if (a != from + 3 || name->kind != WORD || !assay_soft_token_is(&s->tokens[end], ";"))
        return assay_soft_complain(
            s, word.line, "constant T NAME [[function_constant(n)]]; with scalar T expected");
    if (number >= MSL_MAX_CONSTANTS || s->n_constants == MSL_MAX_CONSTANTS)
        return assay_soft_complain(s, word.line, "function_constant(n) with n < %u",
                                   MSL_MAX_CONSTANTS);
    for (size_t k = 0; k < s->n_constants; k++)
        if (s->constants[k].index == number)
            return assay_soft_complain(s, word.line, "function_constant(%u) twice", number);
    const struct token *type = &s->tokens[from + 1];
    s->constants[s->n_constants++] = (struct constant){*name, *type, *type, number};
    if (!s->strict) {
        copy_to(s, s->tokens[from].at);
        assay_text_printf(
            &s->body,
            "static %.*s msl_value_%.*s; static unsigned char msl_defined_%.*s; "
            "extern \"C\" { extern const %.*s %.*s __attribute__((alias(\"_ZL%zumsl_value_%.*s\"), "
            "visibility(\"hidden\"))); }",
            (int)type->len, type->at, (int)name->len, name->at, (int)name->len, name->at,
            (int)type->len, type->at, (int)name->len, name->at, strlen("msl_value_") + name->len,
            (int)name->len, name->at);
        for (const char *c = s->tokens[from].at; c < s->tokens[end].at; c++)
            if (*c == '\n')
                assay_text_add(&s->body, c, 1);
        skip_to(s, s->tokens[end].at + 1);
    } else {
        /* Something that has a value: the strict pass only looks at types. */
        copy_to(s, s->tokens[a].at);
        assay_text_printf(&s->body, "= 1;");
        skip_to(s, s->tokens[end].at + 1);
    }
    *i = end;
    return true;
}

static bool program_scope(struct scan *s) {
    unsigned max_threads = 0;
    int depth = 0; /* of braces and parentheses */
    for (size_t i = 0; s->tokens[i].kind != END; i++) {
        const struct token *t = &s->tokens[i];
        if (assay_soft_token_is(t, "{") || assay_soft_token_is(t, "("))
            depth++;
        else if (assay_soft_token_is(t, "}") || assay_soft_token_is(t, ")"))
            depth--;
        else if (depth == 0 && assay_soft_token_is(t, "[[") &&
                 assay_soft_token_is(&s->tokens[i + 1], "max_total_threads_per_threadgroup")) {
            struct token word;
            bool numbered;
            size_t end;
            if (!attribute(s, i, &word, &max_threads, &numbered, &end))
                return false;
            if (!assay_soft_token_is(&s->tokens[end], "kernel") || max_threads == 0)
                return assay_soft_complain(
                    s, t->line, "max_total_threads_per_threadgroup(n) before kernel, n > 0");
            blank(t, &s->tokens[end - 1]);
            i = end - 1;
        } else if (assay_soft_token_is(t, "kernel")) {
            if (depth != 0)
                return assay_soft_complain(s, t->line, "kernel inside of another scope");
            if (!parse_kernel(s, &i, max_threads))
                return false;
            max_threads = 0;
        } else if (depth == 0 && assay_soft_token_is(t, "constant")) {
            if (!function_constant(s, &i))
                return false;
        } else if (assay_soft_token_is(t, "threadgroup") &&
                   (assay_soft_starts_statement(s, i) || i == 0)) {
            size_t k = i;
            while (s->tokens[k].kind != END && !strchr("*&;=({", *s->tokens[k].at))
                k++;
            if (assay_soft_token_is(&s->tokens[k], ";") || assay_soft_token_is(&s->tokens[k], "="))
                return assay_soft_complain(s, t->line,
                                           "threadgroup variables are declared in a kernel");
        }
    }
    if (depth != 0)
        return assay_soft_complain(s, s->tokens[s->n_tokens - 1].line, "brackets do not match");
    return true;
}

static void finish(struct scan *s) {
    struct assay_text *o = &s->body;
    copy_to(s, s->work + strlen(s->work));
    if (s->strict)
        return;
    assay_text_printf(o, "\n# 1 \"descriptors\"\n");
    assay_text_add(o, s->tail.data, s->tail.len);
    assay_text_printf(o, "static const msl_kernel msl_kernels[] = {\n");
    assay_text_add(o, s->list.data, s->list.len);
    assay_text_printf(o, "{}};\nstatic const msl_function_constant msl_function_constants[] = {\n");
    for (size_t k = 0; k < s->n_constants; k++) {
        const struct constant *c = &s->constants[k];
        bool optional = false;
        for (size_t i = 0; i + 2 < s->n_tokens; i++)
            if (assay_soft_token_is(&s->tokens[i], "is_function_constant_defined") &&
                s->tokens[i + 2].len == c->name.len &&
                memcmp(s->tokens[i + 2].at, c->name.at, c->name.len) == 0)
                optional = true;
        assay_text_printf(
            o, "{%u, sizeof(%.*s), \"%.*s\", \"%.*s\", &msl_value_%.*s, &msl_defined_%.*s, %d},\n",
            c->index, (int)c->name.len, c->name.at, (int)c->name.len, c->name.at,
            (int)c->type_from.len, c->type_from.at, (int)c->name.len, c->name.at, (int)c->name.len,
            c->name.at, optional);
    }
    assay_text_printf(o,
                      "{}};\n#define MSL_N_KERNELS %u\n#define MSL_N_CONSTANTS %zu\n"
                      "#include \"metal_soft_module\"\n",
                      s->n_kernels, s->n_constants);
}

bool assay_soft_scan(const char *text, bool strict, char **out, char *err, size_t err_size) {
    struct scan s = {
        .text = text, .strict = strict, .err = err, .err_size = err_size, .file = "program_source"};
    s.work = strdup(text);
    bool ok = s.work != NULL && assay_soft_tokenise(&s) &&
              (!strict || assay_soft_check_pointers(&s)) && program_scope(&s);
    if (ok) {
        finish(&s);
        ok = !s.body.failed && !s.tail.failed && !s.list.failed;
    }
    if (!ok && !s.failed)
        snprintf(err, err_size, "no memory to translate %zu bytes of source", strlen(text));
    free(s.work);
    free(s.tokens);
    free(s.tail.data);
    free(s.list.data);
    if (ok)
        *out = s.body.data;
    else
        free(s.body.data);
    return ok;
}
