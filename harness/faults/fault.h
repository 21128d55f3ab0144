/* The fault corpus: kernels that compute a correct product but for one named mutation each. What
 * the corpus is for: harness/cmd_faults.c. */
#ifndef ASSAY_HARNESS_FAULTS_FAULT_H
#define ASSAY_HARNESS_FAULTS_FAULT_H

#include "impl/backend.h"

enum assay_fault_class {
    ASSAY_FAULTS_DECODE,
    ASSAY_FAULTS_LAYOUT,
    ASSAY_FAULTS_ARITHMETIC,
    ASSAY_FAULTS_ACTIVATIONS,
    ASSAY_FAULTS_SHAPE,
    ASSAY_FAULTS_STATE,
    ASSAY_FAULTS_MEMORY,
    ASSAY_FAULTS_ENVIRONMENT,
    ASSAY_FAULTS_CRASH,
    ASSAY_FAULTS_SPECIAL,
    ASSAY_FAULTS_RARE,
    ASSAY_FAULTS_CLASSES,
};

enum assay_mutation {
    ASSAY_MUT_NONE,
#define MUTATION(ENUM, class, name, text) ASSAY_MUT_##ENUM,
#include "mutations.def"
#undef MUTATION
    ASSAY_MUTATIONS,
};

/* The shapes of the model kernels: plain C in the structure of assay's own. */
enum assay_fault_shape {
    ASSAY_MODEL_ROW,   /* fp32: a decoded row against one row of x */
    ASSAY_MODEL_TILE,  /* fp32: tiles of 8 rows × 512 columns, all rows of x */
    ASSAY_MODEL_DOT,   /* int8 activations: integer sums straight from a row's codes */
    ASSAY_MODEL_PANEL, /* int8 activations: panels of 16 rows packed in groups of four columns */
    ASSAY_MODELS,
};

struct assay_fault {
    enum assay_mutation mutation;
    enum assay_type type; /* the one type that is faulty */
    enum assay_fault_shape shape;
    int amount;    /* of some mutations: bytes read too far */
    bool one_lane; /* decoding: only rows 13 mod 16 */
};

/* ---- corpus.c ---- */

size_t assay_fault_count(void);
struct assay_fault assay_fault_at(size_t i);
/* "min-dropped/q4_k/dot" or "read-past-w-4/q6_k/row"; returns buf. */
const char *assay_fault_name(const struct assay_fault *f, char *buf, size_t size);
enum assay_fault_class assay_fault_class_of(enum assay_mutation m);
const char *assay_fault_class_name(enum assay_fault_class c);
const char *assay_mutation_text(enum assay_mutation m);
const char *assay_model_name(enum assay_fault_shape s);

/* True if the shape can multiply with the type: fp32 shapes with all, int8 shapes with blocks. */
bool assay_model_takes(enum assay_fault_shape s, const struct assay_type_traits *t);

/* ---- model.c ---- */

/* A backend that is faulty in one way, or correct with ASSAY_MUT_NONE; it must not move. */
struct assay_faulty {
    struct assay_backend backend;
    struct assay_fault fault;
};
void assay_faulty_init(struct assay_faulty *b, const struct assay_fault *f);

#endif
