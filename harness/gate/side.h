/* One version in one case: its context and store over buffers that both versions share. For child
 * processes only: plugins are loaded here. */
#ifndef ASSAY_HARNESS_GATE_SIDE_H
#define ASSAY_HARNESS_GATE_SIDE_H

#include "counters.h"
#include "gate.h"
#include "harness/bench_internal.h"

struct assay_gate_side {
    const struct assay_gate_version *version;
    struct bench_entry entry; /* what bench judges: context, store, arithmetic, status */
    size_t heap;              /* bytes that the store and one product took; 0: unknown */
    const char *kernel;
    bool counted;
    struct assay_counts counts; /* of one product */
    double instructions;        /* as compared: counted by the hardware, or by callgrind */
    char emulated[64];          /* kernel that callgrind counted */
};

struct assay_gate_race {
    const struct assay_gate_params *params;
    size_t index; /* of the case */
    const struct assay_gate_case *c;
    struct bench_run run; /* buffers that both share, and the reference */
    struct assay_bench_matrix matrix;
    struct assay_bench_case bench_case;
    struct assay_gate_side side[2];
};

/* False if memory ran out; end it in any case. */
bool assay_gate_race_begin(struct assay_gate_race *r, const struct assay_gate_params *p, size_t i);
void assay_gate_race_end(struct assay_gate_race *r);

/* Makes the context and the store; drop frees them. False, with the side's status set, on error. */
bool assay_gate_prepare(struct assay_gate_race *r, struct assay_gate_side *s);
void assay_gate_drop(struct assay_gate_side *s);
bool assay_gate_multiply(struct assay_gate_race *r, struct assay_gate_side *s);

/* Nanoseconds of `calls` products by the clock of the run; NaN if one failed. */
double assay_gate_time(struct assay_gate_race *r, struct assay_gate_side *s, size_t calls);

#endif
