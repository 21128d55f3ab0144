#include "case.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "datasets/rng.h"

static const char *const op_names[] = {
    [ASSAY_OP_GEMM] = "gemm",       [ASSAY_OP_FUSED] = "fused", [ASSAY_OP_ROWS] = "rows",
    [ASSAY_OP_EXPERTS] = "experts", [ASSAY_OP_CHECK] = "check",
};
enum { N_OPS = sizeof op_names / sizeof op_names[0] };

const char *assay_op_name(enum assay_op op) { return op_names[op]; }

/* Variants besides the default, by backend name (struct assay_ctx_params documents them). */
static const struct {
    const char *backend;
    const char *variants[5];
    size_t by_m; /* variants after the default that it takes by itself, for some m */
} variant_table[] = {
    {"cpu", {"", "exact", NULL}, 0},
    {"ggml", {"", "repack", NULL}, 0},
    {"ik", {"", "repack", NULL}, 0},
    {"metal", {"", "gemv", "gemm", "transient", NULL}, 2},
};

const char *const *assay_backend_variants(const struct assay_backend *b) {
    static const char *const none[] = {"", NULL};
    for (size_t i = 0; i < sizeof variant_table / sizeof variant_table[0]; i++)
        if (assay_backend_by_name(variant_table[i].backend) == b)
            return variant_table[i].variants;
    return none;
}

size_t assay_backend_variants_by_m(const struct assay_backend *b) {
    for (size_t i = 0; i < sizeof variant_table / sizeof variant_table[0]; i++)
        if (assay_backend_by_name(variant_table[i].backend) == b)
            return variant_table[i].by_m;
    return 0;
}

size_t assay_problem_rows(const struct assay_problem *p) {
    size_t n = 0;
    for (size_t i = 0; i < p->n_parts; i++)
        n += p->parts[i].rows;
    return n;
}

int64_t assay_problem_lookup(const struct assay_problem *p, size_t i) {
    size_t last = p->parts[0].rows - 1;
    /* Evenly spread over the rows, both ends included; double is exact enough to pick a row. */
    size_t down = p->m > 1 ? (size_t)((double)i * (double)last / (double)(p->m - 1)) : 0;
    return (int64_t)(last - (down < last ? down : last));
}

size_t assay_problem_share(const struct assay_problem *p) { return p->m % 2 == 0 ? 2 : 1; }

void assay_problem_route(const struct assay_problem *p, uint64_t base_seed, int64_t *ids) {
    struct assay_rng rng;
    uint32_t idle = p->experts > 1;

    assay_rng_seed(&rng, assay_problem_seed(p, base_seed, "routing"));
    for (size_t i = 0; i < p->m; i++)
        ids[i] = idle + assay_rng_below(&rng, (uint32_t)p->experts - idle);
}

/* ---- Writing ---- */

struct text {
    char *buf;
    size_t size, len;
};

static void put_char(struct text *t, char c) {
    if (t->len + 1 < t->size)
        t->buf[t->len] = c;
    t->len++;
}

static void put(struct text *t, const char *s) {
    while (*s != '\0')
        put_char(t, *s++);
}

static void put_number(struct text *t, size_t v) {
    char digits[24];
    snprintf(digits, sizeof digits, "%zu", v);
    put(t, digits);
}

static bool is_plain(unsigned char c) {
    return (c < 0x80 && isalnum(c)) || c == '.' || c == '_' || c == '-';
}

static void put_name(struct text *t, struct assay_gguf_str name) {
    for (uint64_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.data[i];
        char escape[4];
        if (is_plain(c)) {
            put_char(t, (char)c);
        } else {
            snprintf(escape, sizeof escape, "%%%02X", c);
            put(t, escape);
        }
    }
}

/* One number if all parts have as many rows, else one for each. */
static void put_rows(struct text *t, const struct assay_problem *p) {
    bool same = true;

    for (size_t i = 1; i < p->n_parts; i++)
        same = same && p->parts[i].rows == p->parts[0].rows;
    if (p->op == ASSAY_OP_EXPERTS) {
        put_number(t, p->experts);
        put(t, "of");
        put_number(t, p->parts[0].rows / p->experts);
        return;
    }
    put_number(t, p->parts[0].rows);
    for (size_t i = 1; i < p->n_parts && !same; i++) {
        put_char(t, '+');
        put_number(t, p->parts[i].rows);
    }
}

static void put_problem(struct text *t, const struct assay_problem *p) {
    bool generated = p->parts[0].tensor == NULL;

    put(t, op_names[p->op]);
    put_char(t, '/');
    if (p->op == ASSAY_OP_CHECK) {
        put(t, p->check->name);
        put_char(t, '/');
        put(t, p->parts[0].type->name);
        return;
    }
    for (size_t i = 0; i < p->n_parts; i++) {
        if (i > 0)
            put_char(t, '+');
        if (generated) {
            put(t, p->parts[i].type->name);
        } else {
            put_char(t, '@');
            put_name(t, p->parts[i].tensor->name);
        }
    }
    put(t, generated ? "/" : "/m");
    put_number(t, p->m);
    if (generated) {
        put_char(t, 'x');
        put_rows(t, p);
        put_char(t, 'x');
        put_number(t, p->k);
        put_char(t, '/');
        put(t, assay_weights_gen_name(p->weights));
    }
    if (p->op != ASSAY_OP_ROWS) {
        put_char(t, '/');
        put(t, assay_acts_gen_name(p->acts));
    }
}

static size_t finish(struct text *t) {
    if (t->size > 0)
        t->buf[t->len < t->size ? t->len : t->size - 1] = '\0';
    return t->len;
}

size_t assay_problem_id(const struct assay_problem *p, char *buf, size_t size) {
    struct text t = {buf, size, 0};
    put_problem(&t, p);
    return finish(&t);
}

static void put_runner(struct text *t, const struct assay_runner *r) {
    put(t, assay_backend_name(r->backend));
    if (*r->variant != '\0') {
        put_char(t, '+');
        put(t, r->variant);
    }
    put_char(t, '/');
    put(t, r->isa == ASSAY_ISA_AUTO ? "-" : assay_isa_name(r->isa));
}

size_t assay_case_id(const struct assay_problem *p, const struct assay_runner *r, char *buf,
                     size_t size) {
    struct text t = {buf, size, 0};

    put_problem(&t, p);
    put_char(&t, '/');
    put_runner(&t, r);
    put(&t, "/t");
    put_number(&t, (size_t)r->threads);
    return finish(&t);
}

/* FNV-1a (Fowler, Noll, Vo), continued from h. */
static uint64_t hash(uint64_t h, const char *s) {
    for (; *s != '\0'; s++)
        h = (h ^ (unsigned char)*s) * 0x100000001b3u;
    return h;
}

uint64_t assay_problem_seed(const struct assay_problem *p, uint64_t base_seed, const char *stream) {
    char id[1024];
    assay_problem_id(p, id, sizeof id);
    return hash(hash(0xcbf29ce484222325u ^ base_seed, id), stream);
}

/* ---- Reading ---- */

/* Takes the text up to `end` (or all) off *s, which stands behind it afterwards; NULL if there is
 * none. Writes a NUL over the separator. */
static char *take(char **s, char end) {
    char *start = *s;
    char *at;

    if (start == NULL || *start == '\0')
        return NULL;
    at = strchr(start, end);
    *s = NULL;
    if (at != NULL) {
        *at = '\0';
        *s = at + 1;
    }
    return start;
}

static bool parse_size(const char *s, size_t *v) {
    unsigned long long n;
    char *end;

    if (s == NULL || !isdigit((unsigned char)*s))
        return false;
    n = strtoull(s, &end, 10);
    *v = (size_t)n;
    /* 2^40 elements are beyond any matrix, and products of two such sizes still fit 80 bits. */
    return *end == '\0' && n < (1ULL << 40);
}

static bool parse_rows(char *s, struct assay_problem *p) {
    size_t n = 0;

    for (char *word; (word = take(&s, '+')) != NULL; n++)
        if (n == p->n_parts || !parse_size(word, &p->parts[n].rows))
            return false;
    if (s != NULL)
        return false; /* a '+' at the end */
    for (size_t i = 1; n == 1 && i < p->n_parts; i++)
        p->parts[i].rows = p->parts[0].rows;
    return n == 1 || n == p->n_parts;
}

/* "5of7": experts, and rows of each. */
static bool parse_experts(char *s, struct assay_problem *p) {
    char *of = s != NULL ? strstr(s, "of") : NULL;
    size_t rows;

    if (of == NULL)
        return false;
    *of = '\0';
    if (!parse_size(s, &p->experts) || !parse_size(of + 2, &rows) || p->experts == 0 ||
        p->experts > UINT32_MAX)
        return false;
    return !__builtin_mul_overflow(p->experts, rows, &p->parts[0].rows);
}

static bool parse_dims(char *s, bool generated, struct assay_problem *p) {
    if (!generated)
        return s[0] == 'm' && parse_size(s + 1, &p->m);
    return parse_size(take(&s, 'x'), &p->m) &&
           (p->op == ASSAY_OP_EXPERTS ? parse_experts(take(&s, 'x'), p)
                                      : parse_rows(take(&s, 'x'), p)) &&
           parse_size(s, &p->k);
}

static int hex_digit(char c) {
    const char *digits = "0123456789ABCDEF";
    const char *at = c != '\0' ? strchr(digits, toupper((unsigned char)c)) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

/* Undoes %XX in place; false for a broken escape or an encoded NUL. */
static bool unescape(char *s) {
    char *out = s;
    for (; *s != '\0'; s++) {
        if (*s == '%') {
            int high = hex_digit(s[1]);
            int low = high >= 0 ? hex_digit(s[2]) : -1;
            if (low < 0 || high + low == 0)
                return false;
            *out++ = (char)(high * 16 + low);
            s += 2;
        } else {
            *out++ = *s;
        }
    }
    *out = '\0';
    return true;
}

struct parser {
    const struct assay_case_scope *scope;
    char *err;
    size_t err_size;
};

static bool fail(const struct parser *ps, const char *what, const char *which) {
    snprintf(ps->err, ps->err_size, "%s '%s'", what, which != NULL ? which : "");
    return false;
}

static bool parse_part(const struct parser *ps, char *word, struct assay_case_part *part) {
    if (word[0] != '@') {
        part->type = assay_type_by_name(word);
        if (part->type == NULL || part->type->dequant == NULL)
            return fail(ps, "no decodable type", word);
        return true;
    }
    if (ps->scope->gguf == NULL)
        return fail(ps, "--gguf is needed for the tensor", word + 1);
    if (!unescape(word + 1))
        return fail(ps, "broken escape in the tensor name", word + 1);
    part->tensor = assay_gguf_tensor_find(ps->scope->gguf, word + 1);
    if (part->tensor == NULL)
        return fail(ps, "the file has no tensor", word + 1);
    part->type = part->tensor->type;
    if (part->type->dequant == NULL)
        return fail(ps, "can't decode the tensor", word + 1);
    return true;
}

static bool parse_parts(const struct parser *ps, char *s, struct assay_problem *p) {
    char *word;

    for (p->n_parts = 0; (word = take(&s, '+')) != NULL; p->n_parts++) {
        if (p->n_parts == ASSAY_MAX_PARTS)
            return fail(ps, "too many parts, from", word);
        if (!parse_part(ps, word, &p->parts[p->n_parts]))
            return false;
        if ((p->parts[p->n_parts].tensor == NULL) != (p->parts[0].tensor == NULL))
            return fail(ps, "tensors and types can't be mixed at", word);
    }
    return p->n_parts > 0 && (p->n_parts == 1 || p->op == ASSAY_OP_FUSED)
               ? true
               : fail(ps, "wrong number of parts for", op_names[p->op]);
}

/* Rows of the parts and k, checked against the types. */
static bool settle_shape(const struct parser *ps, struct assay_problem *p) {
    size_t most = 0;

    if (p->parts[0].tensor != NULL)
        p->k = (size_t)p->parts[0].tensor->dims[0];
    for (size_t i = 0; i < p->n_parts; i++) {
        struct assay_case_part *part = &p->parts[i];
        size_t row_bytes;

        if (part->tensor != NULL)
            part->rows = (size_t)part->tensor->rows;
        if (part->tensor != NULL && p->op == ASSAY_OP_EXPERTS) {
            if (part->tensor->n_dims != 3 || part->tensor->dims[2] > UINT32_MAX)
                return fail(ps, "no stack of experts (three dimensions): a tensor of",
                            part->type->name);
            p->experts = (size_t)part->tensor->dims[2];
        }
        if (part->tensor != NULL && part->tensor->dims[0] != p->k)
            return fail(ps, "the parts differ in their inner dimension, at", part->type->name);
        if (!assay_row_bytes(part->type, p->k, &row_bytes))
            return fail(ps, "K is no multiple of the block length of", part->type->name);
        most = part->rows > most ? part->rows : most;
        if (p->k == 0 || part->rows > (SIZE_MAX >> 8) / row_bytes ||
            (part->rows > 0 && p->m > (SIZE_MAX >> 8) / part->rows) ||
            p->m > (SIZE_MAX >> 8) / p->k)
            return fail(ps, "the shape is empty or too large for", part->type->name);
    }
    /* A product of no rows of x is a case; a lookup of no rows, or in none, is not. */
    return most > 0 && (p->m > 0 || p->op != ASSAY_OP_ROWS)
               ? true
               : fail(ps, "nothing to compute for", p->parts[0].type->name);
}

static bool parse_check(const struct parser *ps, char **s, struct assay_problem *p) {
    char *word = take(s, '/');

    p->check = word != NULL ? assay_check_by_name(word) : NULL;
    if (p->check == NULL)
        return fail(ps, "unknown check", word);
    if ((word = take(s, '/')) == NULL)
        return fail(ps, "no type", NULL);
    p->n_parts = 1;
    return word[0] != '@' ? parse_part(ps, word, &p->parts[0])
                          : fail(ps, "a check has a type, not the tensor", word + 1);
}

static bool parse_problem(const struct parser *ps, char **s, struct assay_problem *p) {
    char *word = take(s, '/');
    size_t op = 0;
    bool generated;

    while (op < N_OPS && (word == NULL || strcmp(word, op_names[op]) != 0))
        op++;
    if (op == N_OPS)
        return fail(ps, "unknown operation", word);
    p->op = (enum assay_op)op;
    if (p->op == ASSAY_OP_CHECK)
        return parse_check(ps, s, p);
    if ((word = take(s, '/')) == NULL || !parse_parts(ps, word, p))
        return word != NULL ? false : fail(ps, "no type or tensor", NULL);
    generated = p->parts[0].tensor == NULL;
    if ((word = take(s, '/')) == NULL || !parse_dims(word, generated, p))
        return fail(ps, generated ? "the shape is not MxNxK in" : "the number of rows is not mM in",
                    word);
    if (!settle_shape(ps, p))
        return false;
    if (generated && ((word = take(s, '/')) == NULL || !assay_weights_gen_parse(word, &p->weights)))
        return fail(ps, "unknown weights generator", word);
    if (p->op != ASSAY_OP_ROWS &&
        ((word = take(s, '/')) == NULL || !assay_acts_gen_parse(word, &p->acts)))
        return fail(ps, "unknown activations generator", word);
    return true;
}

static bool parse_backend(const struct parser *ps, char *word, struct assay_runner *r) {
    const char *variant = "";
    char *plus = word != NULL ? strchr(word, '+') : NULL;

    if (plus != NULL) {
        *plus = '\0';
        variant = plus + 1;
    }
    r->backend = NULL;
    for (size_t i = 0; word != NULL && i < ps->scope->n_backends; i++)
        if (strcmp(assay_backend_name(ps->scope->backends[i]), word) == 0)
            r->backend = ps->scope->backends[i];
    if (r->backend == NULL)
        return fail(ps, "unknown backend", word);
    for (const char *const *v = assay_backend_variants(r->backend); *v != NULL; v++)
        if (strcmp(*v, variant) == 0) {
            r->variant = *v;
            return true;
        }
    return fail(ps, "unknown variant", variant);
}

static bool parse_runner(const struct parser *ps, char **s, struct assay_runner *r) {
    char *word;
    size_t threads;

    if (!parse_backend(ps, take(s, '/'), r))
        return false;
    word = take(s, '/');
    r->isa = ASSAY_ISA_AUTO;
    if (word == NULL || (strcmp(word, "-") != 0 && !assay_isa_parse(word, &r->isa)))
        return fail(ps, "unknown instruction set", word);
    if (assay_backend_uses_isa(r->backend) != (r->isa != ASSAY_ISA_AUTO))
        return fail(ps, "wrong instruction set for the backend:", word);
    word = take(s, '/');
    if (word == NULL || word[0] != 't' || !parse_size(word + 1, &threads) || threads == 0 ||
        threads > 4096)
        return fail(ps, "the number of threads is not tN (N >= 1) in", word);
    r->threads = (int)threads;
    return *s == NULL ? true : fail(ps, "text after the end:", *s);
}

bool assay_case_parse(const char *id, const struct assay_case_scope *scope, struct assay_problem *p,
                      struct assay_runner *r, char *err, size_t err_size) {
    struct parser ps = {scope, err, err_size};
    char *copy = strdup(id);
    char *s = copy;
    bool ok;

    if (copy == NULL)
        return fail(&ps, "out of memory at", id);
    *p = (struct assay_problem){.n_parts = 0};
    ok = parse_problem(&ps, &s, p) && parse_runner(&ps, &s, r);
    free(copy);
    return ok;
}
