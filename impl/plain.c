/* Building blocks of backends that keep nothing beyond the common heads. */
#include <stdlib.h>

#include "backend.h"
#include "decode.h"

bool assay_plain_supports(const struct assay_type_traits *t) { return assay_decoder(t) != NULL; }

enum assay_status assay_plain_ctx_create(const struct assay_ctx_params *p, struct assay_ctx **out,
                                         struct assay_error *err) {
    if (*p->variant)
        return assay_fail(err, ASSAY_EINVAL, "backend %s has no variant '%s'", p->backend->name,
                          p->variant);
    *out = calloc(1, sizeof **out);
    return *out ? ASSAY_OK : assay_fail(err, ASSAY_ENOMEM, "out of memory for a context");
}

void assay_plain_ctx_free(struct assay_ctx *ctx) { free(ctx); }

enum assay_status assay_plain_store_create(struct assay_ctx *ctx, const struct assay_store *head,
                                           struct assay_store **out, struct assay_error *err) {
    (void)ctx;
    *out = malloc(sizeof **out);
    if (!*out)
        return assay_fail(err, ASSAY_ENOMEM, "out of memory for a store");
    **out = *head;
    return ASSAY_OK;
}

void assay_plain_store_free(struct assay_store *s) { free(s); }

enum assay_status assay_plain_rows(struct assay_ctx *ctx, const struct assay_store *w,
                                   const int64_t *ids, size_t count, float *y,
                                   struct assay_error *err) {
    (void)ctx;
    (void)err;
    assay_decode_fn decode = assay_decoder(w->type);
    for (size_t i = 0; i < count; i++)
        decode(assay_store_row(w, (size_t)ids[i]), w->in / w->type->block_len, y + i * w->in);
    return ASSAY_OK;
}
