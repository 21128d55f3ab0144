#include "bench_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/generate.h"

static bool has_variant(const struct assay_backend *b, const char *name, const char **found) {
    for (const char *const *v = assay_backend_variants(b); *v != NULL; v++)
        if (strcmp(*v, name) == 0) {
            *found = *v;
            return true;
        }
    return false;
}

static bool add_runner(struct assay_bench_plan *p, const struct assay_runner *r, char *err,
                       size_t err_size) {
    struct assay_bench_contender *c;

    for (size_t i = 0; i < p->n_contenders; i++) {
        const struct assay_runner *o = &p->contenders[i].runner;
        if (o->backend == r->backend && o->isa == r->isa && strcmp(o->variant, r->variant) == 0)
            return true;
    }
    if (p->n_contenders == ASSAY_BENCH_MAX_CONTENDERS) {
        snprintf(err, err_size, "more than %d backends", ASSAY_BENCH_MAX_CONTENDERS);
        return false;
    }
    c = &p->contenders[p->n_contenders++];
    c->runner = *r;
    snprintf(c->label, sizeof c->label, "%s%s%s%s%s", assay_backend_name(r->backend),
             r->variant[0] != '\0' ? ":" : "", r->variant, r->isa != ASSAY_ISA_AUTO ? "@" : "",
             r->isa != ASSAY_ISA_AUTO ? assay_isa_name(r->isa) : "");
    return true;
}

bool assay_bench_add_contender(struct assay_bench_plan *p, const char *spec, unsigned isas,
                               char *err, size_t err_size) {
    const char *colon = strchr(spec, ':');
    struct assay_runner r = {.isa = ASSAY_ISA_AUTO};
    char name[32];

    snprintf(name, sizeof name, "%.*s", colon != NULL ? (int)(colon - spec) : 31, spec);
    r.backend = assay_backend_by_name(name);
    if (r.backend == NULL) {
        snprintf(err, err_size, "unknown backend '%s' (assay types lists them)", name);
        return false;
    }
    if (!has_variant(r.backend, colon != NULL ? colon + 1 : "", &r.variant)) {
        snprintf(err, err_size, "backend '%s' has no variant '%s'", name, colon + 1);
        return false;
    }
    if (isas == 0 || !assay_backend_uses_isa(r.backend))
        return add_runner(p, &r, err, err_size);
    for (int isa = 0; isa < ASSAY_ISA_COUNT; isa++) {
        r.isa = (enum assay_isa)isa;
        if ((isas >> isa & 1) != 0 && !add_runner(p, &r, err, err_size))
            return false;
    }
    return true;
}

size_t assay_bench_rows(const struct assay_bench_matrix *m) {
    return m->experts > 0 ? m->experts * m->n : m->n;
}

bool assay_bench_add_matrix(struct assay_bench_plan *p, const struct assay_bench_matrix *m) {
    struct assay_bench_matrix *grown;

    if (m->n == 0 || m->k == 0 || m->k % m->type->block_len != 0)
        return true;
    grown = realloc(p->matrices, (p->n_matrices + 1) * sizeof *grown);
    if (grown == NULL)
        return false;
    grown[p->n_matrices++] = *m;
    p->matrices = grown;
    return true;
}

bool assay_bench_add_model(struct assay_bench_plan *p, const struct assay_model_shape *model,
                           const struct assay_type_traits *type) {
    struct assay_matrix_shape shapes[16];
    size_t n = assay_model_matrices(model, shapes, 16);

    for (size_t i = 0; i < n && i < 16; i++) {
        struct assay_bench_matrix m = {.type = type,
                                       .n = shapes[i].n,
                                       .k = shapes[i].k,
                                       .experts = shapes[i].experts,
                                       .used = shapes[i].used,
                                       .own_rows = shapes[i].own_rows};
        snprintf(m.name, sizeof m.name, "%s %s", model->name, shapes[i].role);
        if (!assay_bench_add_matrix(p, &m))
            return false;
    }
    return true;
}

static bool wanted(const struct assay_type_traits *t, const struct assay_type_traits *const *types,
                   size_t n_types) {
    for (size_t i = 0; i < n_types; i++)
        if (types[i] == t)
            return t->dequant != NULL;
    return n_types == 0 && assay_type_is_quantised(t);
}

/* A tensor's name may hold any bytes; tables and records take printable ones. */
static void copy_name(char *out, size_t size, const struct assay_gguf_str *name) {
    size_t n = name->len < size - 1 ? (size_t)name->len : size - 1;

    for (size_t i = 0; i < n; i++)
        out[i] = name->data[i] > ' ' && name->data[i] <= '~' ? name->data[i] : '?';
    out[n] = '\0';
}

bool assay_bench_add_gguf(struct assay_bench_plan *p, const struct assay_gguf *g,
                          const struct assay_type_traits *const *types, size_t n_types) {
    for (size_t i = 0; i < assay_gguf_tensor_count(g); i++) {
        const struct assay_gguf_tensor *t = assay_gguf_tensor_at(g, i);
        struct assay_bench_matrix m = {
            .type = t->type,
            .n = (size_t)t->dims[1], /* of a stack of experts: the first */
            .k = (size_t)t->dims[0],
            .bytes = t->data,
        };
        size_t j = 0;

        if (t->n_dims < 2 || !wanted(t->type, types, n_types))
            continue;
        while (j < p->n_matrices && !(p->matrices[j].type == m.type && p->matrices[j].n == m.n &&
                                      p->matrices[j].k == m.k))
            j++;
        if (j < p->n_matrices)
            continue;
        copy_name(m.name, sizeof m.name, &t->name);
        if (!assay_bench_add_matrix(p, &m))
            return false;
    }
    return true;
}

bool assay_bench_make_cases(struct assay_bench_plan *p, const size_t *ms, size_t n_ms,
                            const int *threads, size_t n_threads) {
    p->cases = calloc(p->n_matrices * n_ms * n_threads + 1, sizeof *p->cases);
    if (p->cases == NULL)
        return false;
    for (size_t i = 0; i < p->n_matrices; i++) {
        const struct assay_bench_matrix *matrix = &p->matrices[i];
        const size_t *m = matrix->m != 0 ? &matrix->m : ms;
        for (size_t t = 0; t < n_threads; t++)
            for (size_t j = 0; j < (matrix->m != 0 ? 1 : n_ms); j++)
                p->cases[p->n_cases++] = (struct assay_bench_case){i, m[j], threads[t]};
    }
    return true;
}

void assay_bench_plan_free(struct assay_bench_plan *p) {
    free(p->matrices);
    free(p->cases);
    p->matrices = NULL;
    p->cases = NULL;
    p->n_matrices = p->n_cases = 0;
}

uint64_t assay_bench_seed(const struct assay_bench_plan *p, const struct assay_bench_matrix *m) {
    /* splitmix-style mixing: neighbouring shapes and types get unrelated streams. */
    const uint64_t parts[] = {(uint64_t)m->type->type, m->n, m->k};
    uint64_t h = p->seed;

    for (size_t i = 0; i < 3; i++) {
        h = (h ^ parts[i]) + 0x9e3779b97f4a7c15u;
        h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u;
        h ^= h >> 31;
    }
    return h;
}

size_t assay_bench_weight_bytes(const struct assay_bench_plan *p, size_t i) {
    const struct assay_bench_matrix *m = &p->matrices[i];
    size_t row_bytes = 0;

    assay_row_bytes(m->type, m->k, &row_bytes);
    return m->n * row_bytes;
}

const uint8_t *assay_bench_weights(const struct assay_bench_plan *p, size_t i, uint8_t **owned) {
    const struct assay_bench_matrix *m = &p->matrices[i];
    size_t row_bytes;

    *owned = NULL;
    if (m->bytes != NULL)
        return m->bytes;
    const size_t rows = assay_bench_rows(m);
    if (!assay_row_bytes(m->type, m->k, &row_bytes) || rows > SIZE_MAX / 2 / row_bytes)
        return NULL;
    *owned = bench_input_new(rows * row_bytes);
    if (*owned != NULL)
        assay_generate_weights(m->type, p->weights, assay_bench_seed(p, m), rows, m->k, *owned);
    return *owned;
}
