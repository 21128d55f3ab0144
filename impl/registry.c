#include <string.h>

#include "backend.h"

static const struct assay_backend *const backends[] = {
    &assay_backend_scalar,    &assay_backend_cpu,           &assay_backend_eager_f32,
    &assay_backend_eager_f16, &assay_backend_transient_f16, &assay_backend_ggml,
};

size_t assay_backend_count(void) { return sizeof backends / sizeof backends[0]; }

const struct assay_backend *assay_backend_at(size_t i) {
    return i < assay_backend_count() ? backends[i] : NULL;
}

const struct assay_backend *assay_backend_by_name(const char *name) {
    for (size_t i = 0; i < assay_backend_count(); i++)
        if (strcmp(backends[i]->name, name) == 0)
            return backends[i];
    return NULL;
}

const char *assay_backend_name(const struct assay_backend *b) { return b->name; }

const char *assay_backend_summary(const struct assay_backend *b) { return b->summary; }

bool assay_backend_available(const struct assay_backend *b, char *why, size_t n) {
    return !b->available || b->available(why, n);
}

bool assay_backend_supports(const struct assay_backend *b, const struct assay_type_traits *t) {
    return b->supports(t);
}

bool assay_backend_uses_isa(const struct assay_backend *b) { return b->uses_isa; }

unsigned assay_backend_claims(const struct assay_backend *b) { return b->claims; }
