/* The acceptance rules of other harnesses, to see what they would have said of the same kernels. */
#ifndef ASSAY_HARNESS_FAULTS_GATES_H
#define ASSAY_HARNESS_FAULTS_GATES_H

#include <jansson.h>

#include "harness/case.h"

enum assay_gate {
    ASSAY_GATE_NMSE,    /* ggml, test-backend-ops */
    ASSAY_GATE_DOT,     /* ggml, test-quantize-fns */
    ASSAY_GATE_NEAR,    /* XNNPACK, gemm-microkernel-tester */
    ASSAY_GATE_MAX_ABS, /* |error| <= 0.1, as ad-hoc tests have it */
    ASSAY_GATE_COSINE,  /* cosine >= 0.99, likewise */
    ASSAY_GATES,
};

const char *assay_gate_name(enum assay_gate g);
const char *assay_gate_rule(enum assay_gate g); /* the rule and its source, a paragraph */

/* Bit g: gate g rejects the runner at the type, having seen at least `outputs` outputs. A kernel
 * that crashes or hangs is rejected by all, for which there is one bit more. */
enum { ASSAY_GATES_ALL = (1 << (ASSAY_GATES + 1)) - 1 };
unsigned assay_gates_reject(const struct assay_runner *r, const struct assay_type_traits *t,
                            size_t outputs, int timeout_s);

#endif
