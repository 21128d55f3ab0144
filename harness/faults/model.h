/* What the files of the model kernels share. */
#ifndef ASSAY_HARNESS_FAULTS_MODEL_H
#define ASSAY_HARNESS_FAULTS_MODEL_H

#include "fault.h"

/* Columns that share a scale in every type; also the longest exact integer sum of the int8 shapes,
 * so that their class has exact_run 16. */
enum { MODEL_GROUP = 16 };

/* One row of W. Weight k is scale[k/16]·code[k] + min[k/16] where the group is finite, else w[k].
 */
struct model_row {
    float *w; /* k, decoded */
    int16_t *code;
    float *scale, *min; /* k/16 */
    bool *special;      /* k/16: scale not finite */
};

/* x of one product. */
struct model_acts {
    const float *x; /* m × k */
    size_t m, k, block;
    int8_t *q;   /* m × k */
    float *d;    /* m × k/block */
    float *sums; /* m × k/16: Σq */
    float *copy; /* m × k: x as a faulty kernel takes it; NULL: as given */
};

struct model_ctx {
    struct assay_ctx base;
    const struct assay_fault *fault;
    unsigned calls;
    float *kept_x; /* of the last call, for the faults that look back */
    size_t kept_count, kept_m, kept_k;
    const float *kept_at;
    float *kept_y;
    size_t kept_y_count;
};

/* decode.c: row j of w, as the fault has it. `codes` too if they are wanted. */
void assay_model_decode(const struct assay_fault *f, const struct assay_store *w, size_t j,
                        struct model_row *row, bool codes);

/* acts.c: the activations, as the fault has them. False if memory ran out. */
bool assay_model_acts(const struct model_ctx *c, const struct assay_type_traits *t, const float *x,
                      size_t m, size_t k, bool codes, struct model_acts *a);
void assay_model_acts_free(struct model_acts *a);
size_t assay_model_act_block(const struct assay_type_traits *t);

/* misbehave.c: what a fault does besides computing. `before` returns a status to fail with. */
enum assay_status assay_model_before(struct model_ctx *c, const struct assay_store *w,
                                     const float *x, size_t m, float *y, size_t ldy,
                                     struct assay_error *err);
void assay_model_after(struct model_ctx *c, const struct assay_store *w, const float *x, size_t m,
                       float *y, size_t ldy);

/* True if the fault is at work on matrices of this type. */
static inline bool model_has(const struct assay_fault *f, const struct assay_type_traits *t,
                             enum assay_mutation m) {
    return f->mutation == m && f->type == t->type;
}

#endif
