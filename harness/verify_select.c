#include "verify_select.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "env.h"
#include "suggest.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

static bool bad_item(const struct assay_verify_selection *s, const char *option, const char *what,
                     const char *item, const char *near, const char *valid) {
    if (near != NULL)
        assay_usage_error(s->command, "option '--%s': unknown %s '%s'; did you mean '%s'?", option,
                          what, item, near);
    else
        assay_usage_error(s->command, "option '--%s': unknown %s '%s'; there are: %s", option, what,
                          item, valid);
    return false;
}

/* "a, b, c" of n names. */
static const char *name_list(const char *(*name_at)(size_t i, void *user), size_t n, void *user) {
    static char text[1024];
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        const char *name = name_at(i, user);
        if (used + strlen(name) + 3 < sizeof text)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", used > 0 ? ", " : "",
                                     name);
    }
    return text;
}

static bool too_many(const struct assay_verify_selection *s, const char *option) {
    assay_usage_error(s->command, "option '--%s': too many items", option);
    return false;
}

/* ---- One item of each list option ---- */

static const char *type_name_at(size_t i, void *user) {
    (void)user;
    return assay_type_at(i)->name;
}

static const char *decodable_name_at(size_t i, void *user) {
    (void)user;
    for (size_t at = 0; at < assay_type_count(); at++)
        if (assay_type_at(at)->dequant != NULL && i-- == 0)
            return assay_type_at(at)->name;
    return "";
}

static size_t decodable_count(void) {
    size_t n = 0;
    for (size_t i = 0; i < assay_type_count(); i++)
        n += assay_type_at(i)->dequant != NULL;
    return n;
}

static bool add_type(const char *item, void *user) {
    struct assay_verify_selection *s = user;
    const struct assay_type_traits *t = assay_type_by_name(item);

    if (t == NULL)
        return bad_item(s, "type", "type", item,
                        assay_suggest(item, type_name_at, assay_type_count(), NULL),
                        name_list(decodable_name_at, decodable_count(), NULL));
    if (t->dequant == NULL) {
        assay_usage_error(s->command, "option '--type': assay does not decode '%s'", item);
        return false;
    }
    if (s->params.n_types == LENGTH(s->types))
        return too_many(s, "type");
    s->types[s->params.n_types++] = t;
    return true;
}

static const char *backend_name_at(size_t i, void *user) {
    (void)user;
    return assay_backend_name(assay_backend_at(i));
}

static void add_all_backends(struct assay_verify_selection *s) {
    s->params.n_backends = 0;
    for (size_t i = 0; i < assay_backend_count() && i < LENGTH(s->backends); i++)
        s->backends[s->params.n_backends++] = assay_backend_at(i);
}

static bool add_backend(const char *item, void *user) {
    struct assay_verify_selection *s = user;
    const struct assay_backend *b = assay_backend_by_name(item);

    if (strcmp(item, "all") == 0) {
        add_all_backends(s);
        return true;
    }
    for (size_t i = 0; i < s->params.n_backends; i++)
        if (s->backends[i] == b)
            return true;
    if (b == NULL)
        return bad_item(s, "backend", "backend", item,
                        assay_suggest(item, backend_name_at, assay_backend_count(), NULL),
                        name_list(backend_name_at, assay_backend_count(), NULL));
    if (s->params.n_backends == LENGTH(s->backends))
        return too_many(s, "backend");
    s->backends[s->params.n_backends++] = b;
    return true;
}

static const char *isa_name_at(size_t i, void *user) {
    (void)user;
    return assay_isa_name((enum assay_isa)(ASSAY_ISA_SCALAR + i));
}

static bool add_isa(const char *item, void *user) {
    struct assay_verify_selection *s = user;
    enum assay_isa isa;

    if (!assay_isa_parse(item, &isa) || isa == ASSAY_ISA_AUTO)
        return bad_item(s, "isa", "instruction set", item, NULL,
                        name_list(isa_name_at, ASSAY_ISA_COUNT - ASSAY_ISA_SCALAR, NULL));
    s->params.isas |= 1u << isa;
    return true;
}

static const char *weights_name_at(size_t i, void *user) {
    (void)user;
    return assay_weights_gen_name((enum assay_weights_gen)i);
}

static bool add_weights(const char *item, void *user) {
    struct assay_verify_selection *s = user;
    enum assay_weights_gen g;

    if (!assay_weights_gen_parse(item, &g))
        return bad_item(s, "weights", "generator", item,
                        assay_suggest(item, weights_name_at, ASSAY_WGEN_COUNT, NULL),
                        name_list(weights_name_at, ASSAY_WGEN_COUNT, NULL));
    s->params.weights |= 1u << g;
    return true;
}

static const char *acts_name_at(size_t i, void *user) {
    (void)user;
    return assay_acts_gen_name((enum assay_acts_gen)i);
}

static bool add_acts(const char *item, void *user) {
    struct assay_verify_selection *s = user;
    enum assay_acts_gen g;

    if (!assay_acts_gen_parse(item, &g))
        return bad_item(s, "acts", "generator", item,
                        assay_suggest(item, acts_name_at, ASSAY_AGEN_COUNT, NULL),
                        name_list(acts_name_at, ASSAY_AGEN_COUNT, NULL));
    s->params.acts |= 1u << g;
    return true;
}

/* Reads a decimal number of at most 9 digits; NULL if there is none or it is 0. */
static const char *read_count(const char *s, size_t *v) {
    size_t digits = strspn(s, "0123456789");

    *v = 0;
    if (digits == 0 || digits > 9)
        return NULL;
    for (size_t i = 0; i < digits; i++)
        *v = 10 * *v + (size_t)(s[i] - '0');
    return *v > 0 ? s + digits : NULL;
}

static bool add_shape(const char *item, void *user) {
    struct assay_verify_selection *s = user;
    struct assay_shape shape;
    const char *p = read_count(item, &shape.m);

    p = p != NULL && *p == 'x' ? read_count(p + 1, &shape.n) : NULL;
    p = p != NULL && *p == 'x' ? read_count(p + 1, &shape.k) : NULL;
    if (p == NULL || *p != '\0') {
        assay_usage_error(
            s->command, "option '--shape': '%s' is not MxNxK with each from 1 to 999999999", item);
        return false;
    }
    /* Keeps every buffer of a case (24 bytes an element of the reference) below 2^40 bytes. */
    if ((double)shape.m * (double)shape.n > 4e10 || (double)shape.m * (double)shape.k > 1e11 ||
        (double)shape.n * (double)shape.k > 1e11) {
        assay_usage_error(s->command, "option '--shape': '%s' is too large", item);
        return false;
    }
    if (s->params.n_shapes == LENGTH(s->shapes))
        return too_many(s, "shape");
    s->shapes[s->params.n_shapes++] = shape;
    return true;
}

static const char *check_name_at(size_t i, void *user) {
    (void)user;
    return assay_checks[i]->name;
}

static size_t check_count(void) {
    size_t n = 0;
    while (assay_checks[n] != NULL)
        n++;
    return n;
}

static bool add_check(const char *item, void *user) {
    struct assay_verify_selection *s = user;

    for (size_t i = 0; assay_checks[i] != NULL; i++)
        if (strcmp(assay_checks[i]->name, item) == 0) {
            s->params.checks |= 1u << i;
            return true;
        }
    if (strcmp(item, "none") == 0)
        return true;
    return bad_item(s, "check", "check", item,
                    assay_suggest(item, check_name_at, check_count(), NULL),
                    name_list(check_name_at, check_count(), NULL));
}

static bool add_threads(const char *item, void *user) {
    struct assay_verify_selection *s = user;
    size_t n;
    const char *end = read_count(item, &n);

    if (end == NULL || *end != '\0' || n > 1024) {
        assay_usage_error(s->command, "option '--threads': '%s' is not from 1 to 1024", item);
        return false;
    }
    if (s->params.n_threads == LENGTH(s->threads))
        return too_many(s, "threads");
    s->threads[s->params.n_threads++] = (int)n;
    return true;
}

/* ---- The selection ---- */

/* What is judged where --backend does not say: what came with the command line, else assay's own
 * backends. A case names its backend itself. */
static void select_backends(struct assay_verify_selection *s, const struct assay_args *args) {
    if (s->params.n_backends > 0)
        return;
    if (assay_args_get(args, "case") != NULL) {
        add_all_backends(s);
        return;
    }
    for (size_t i = 0; i < s->plugins.n; i++)
        s->backends[s->params.n_backends++] = s->plugins.backends[i];
    if (assay_args_get(args, "ggml") != NULL)
        s->backends[s->params.n_backends++] = assay_backend_by_name("ggml");
    if (s->params.n_backends > 0)
        return;
    for (size_t i = 0; i < assay_backend_count() && i < LENGTH(s->backends); i++)
        if (!assay_backend_is_peer(assay_backend_at(i)))
            s->backends[s->params.n_backends++] = assay_backend_at(i);
}

/* A kernel from outside often takes a few types only: the others are no skips worth a line. */
static void select_types(struct assay_verify_selection *s) {
    if (s->params.n_types > 0 || s->plugins.n == 0)
        return;
    for (size_t t = 0; t < assay_type_count(); t++) {
        const struct assay_type_traits *type = assay_type_at(t);
        bool taken = false;
        for (size_t b = 0; b < s->params.n_backends; b++)
            taken = taken || assay_backend_supports(s->backends[b], type);
        if (taken && type->dequant != NULL)
            s->types[s->params.n_types++] = type;
    }
}

static bool select_variant(struct assay_verify_selection *s, const struct assay_args *args) {
    const char *name = assay_args_get(args, "variant");

    if (name == NULL)
        return true;
    s->params.variant = strcmp(name, "default") == 0 ? "" : name;
    for (size_t i = 0; i < s->params.n_backends; i++)
        for (const char *const *v = assay_backend_variants(s->backends[i]); *v != NULL; v++)
            if (strcmp(*v, s->params.variant) == 0)
                return true;
    assay_usage_error(s->command, "option '--variant': no selected backend has '%s'", name);
    return false;
}

static bool select_seed_and_timeout(struct assay_verify_selection *s,
                                    const struct assay_args *args) {
    unsigned long long seed = 0, timeout = 0;

    if (!assay_args_u64(args, "seed", &seed, 0, INT64_MAX) ||
        !assay_args_u64(args, "timeout", &timeout, 1, 86400))
        return false;
    s->params.seed = seed;
    s->params.timeout_s = (int)timeout;
    return true;
}

/* Checks run unless the options are about products. */
static bool select_checks(struct assay_verify_selection *s, const struct assay_args *args) {
    static const char *const of_products[] = {"shape", "weights", "acts", "tensors-only"};

    if (assay_args_get(args, "check") != NULL)
        return assay_args_list(args, "check", add_check, s);
    for (size_t i = 0; i < LENGTH(of_products); i++)
        if (assay_args_get(args, of_products[i]) != NULL)
            return true;
    for (size_t i = 0; assay_checks[i] != NULL; i++)
        if (!s->params.quick || strcmp(assay_checks[i]->name, "decode") == 0 ||
            strcmp(assay_checks[i]->name, "exact") == 0)
            s->params.checks |= 1u << i;
    return true;
}

static bool select_jobs(struct assay_verify_selection *s, const struct assay_args *args) {
    unsigned long long jobs = (unsigned long long)assay_env_get()->cores;

    /* Each keeps the data of a case. */
    jobs = jobs > 16 ? 16 : jobs;
    if (!assay_args_u64(args, "jobs", &jobs, 1, 64))
        return false;
    s->params.jobs = (int)jobs;
    return true;
}

static bool check_combinations(const struct assay_verify_selection *s,
                               const struct assay_args *args) {
    static const char *const exclusive[] = {
        "type",  "backend", "variant",      "isa",   "shape",       "weights", "acts",
        "quick", "threads", "tensors-only", "check", "checks-only", "budget",  "list"};
    static const char *const pairs[][2] = {
        {"quick", "full"}, {"checks-only", "tensors-only"}, {"checks-only", "shape"}};

    for (size_t i = 0; i < LENGTH(exclusive); i++)
        if (assay_args_get(args, "case") != NULL && assay_args_get(args, exclusive[i]) != NULL) {
            assay_usage_error(s->command, "option '--case' names one case; '--%s' can't change it",
                              exclusive[i]);
            return false;
        }
    for (size_t i = 0; i < LENGTH(pairs); i++)
        if (assay_args_get(args, pairs[i][0]) != NULL &&
            assay_args_get(args, pairs[i][1]) != NULL) {
            assay_usage_error(s->command, "options '--%s' and '--%s' exclude each other",
                              pairs[i][0], pairs[i][1]);
            return false;
        }
    if (assay_args_flag(args, "tensors-only") && assay_args_get(args, "gguf") == NULL) {
        assay_usage_error(s->command, "option '--tensors-only' needs '--gguf'");
        return false;
    }
    return true;
}

bool assay_verify_select(struct assay_verify_selection *s, const struct assay_args *args) {
    int cores = assay_env_get()->cores;

    if (!check_combinations(s, args) || !assay_args_list(args, "type", add_type, s) ||
        !assay_args_list(args, "backend", add_backend, s) ||
        !assay_args_list(args, "isa", add_isa, s) ||
        !assay_args_list(args, "weights", add_weights, s) ||
        !assay_args_list(args, "acts", add_acts, s) ||
        !assay_args_list(args, "shape", add_shape, s) ||
        !assay_args_list(args, "threads", add_threads, s) || !select_seed_and_timeout(s, args) ||
        !assay_args_duration(args, "budget", &s->params.budget_s) || !select_jobs(s, args))
        return false;
    select_backends(s, args);
    select_types(s);
    s->params.thin_threads = s->params.n_threads == 0;
    if (s->params.n_threads == 0) {
        s->threads[s->params.n_threads++] = 1;
        if (cores > 1)
            s->threads[s->params.n_threads++] = cores;
    }
    s->params.backends = s->backends;
    s->params.types = s->types;
    s->params.shapes = s->shapes;
    s->params.threads = s->threads;
    s->params.quick = assay_args_flag(args, "quick");
    s->params.full = assay_args_flag(args, "full");
    s->params.tensors_only = assay_args_flag(args, "tensors-only");
    s->params.checks_only = assay_args_flag(args, "checks-only");
    return select_checks(s, args) && select_variant(s, args);
}
