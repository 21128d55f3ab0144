#include <string.h>

#include "backend.h"

static const struct assay_backend *backends[ASSAY_MAX_BACKENDS] = {
    &assay_backend_scalar,    &assay_backend_cpu,           &assay_backend_eager_f32,
    &assay_backend_eager_f16, &assay_backend_transient_f16, &assay_backend_ggml,
    &assay_backend_ik,        &assay_backend_metal,
};
static size_t n_backends = 8; /* the rows above; registered ones follow */

bool assay_backend_register(const struct assay_backend *b) {
    if (n_backends == ASSAY_MAX_BACKENDS || assay_backend_by_name(b->name) != NULL)
        return false;
    backends[n_backends++] = b;
    return true;
}

size_t assay_backend_count(void) { return n_backends; }

const struct assay_backend *assay_backend_at(size_t i) {
    return i < n_backends ? backends[i] : NULL;
}

const struct assay_backend *assay_backend_by_name(const char *name) {
    for (size_t i = 0; i < n_backends; i++)
        if (strcmp(backends[i]->name, name) == 0 ||
            (backends[i]->alias != NULL && strcmp(backends[i]->alias, name) == 0))
            return backends[i];
    return NULL;
}

const char *assay_backend_name(const struct assay_backend *b) { return b->name; }

const char *assay_backend_summary(const struct assay_backend *b) { return b->summary; }

bool assay_backend_available(const struct assay_backend *b, char *why, size_t n) {
    return !b->available || b->available(why, n);
}

bool assay_backend_supports(const struct assay_backend *b, const struct assay_type_traits *t) {
    if (b->supports == NULL)
        return (unsigned)t->type < 64 && (b->types >> t->type & 1) != 0;
    return b->supports(t);
}

bool assay_backend_uses_isa(const struct assay_backend *b) { return b->uses_isa; }

unsigned assay_backend_claims(const struct assay_backend *b) { return b->claims; }

bool assay_backend_has_rows(const struct assay_backend *b) { return b->rows != NULL; }

bool assay_backend_is_peer(const struct assay_backend *b) { return b->peer; }

bool assay_backend_is_emulated(const struct assay_backend *b) { return b->emulated; }
