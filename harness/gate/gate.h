/* The gate: two versions of the same kernels, timed against each other in one process on the same
 * buffers, and a decision for each case (sequential.h). */
#ifndef ASSAY_HARNESS_GATE_GATE_H
#define ASSAY_HARNESS_GATE_GATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "version.h"

enum { ASSAY_GATE_BASE, ASSAY_GATE_HEAD };

struct assay_gate_case {
    const struct assay_type_traits *type;
    size_t m, n, k;

    /* The rest is the run's. */
    uint8_t *weights;
    size_t weight_bytes;
    float *x;
    size_t calls; /* products in one sample; 0: not to be timed */
    bool racing;  /* right on both sides, and not decided yet */
};

enum assay_gate_metric { ASSAY_GATE_TIME, ASSAY_GATE_INSTRUCTIONS };

struct assay_gate_params {
    struct assay_gate_version versions[2];
    struct assay_gate_case *cases;
    size_t n_cases;
    int threads;
    uint64_t seed;

    enum assay_gate_metric metric;
    double alpha;        /* of a whole run, on each side */
    double min_effect;   /* 0.03: 3 % */
    double budget_s;     /* for all cases together */
    size_t memory_slack; /* bytes that a store and its scratch may grow by */
    /* One thread is timed by the processor time of its process, which others on the machine do not
     * lengthen; with wall true, and with several threads, it is the clock on the wall. */
    bool wall;
};

/* Runs a gate: judges every case, then races until the cases are decided or the budget is spent.
 * Returns an array of what reports/RECORD.md describes as results of gate; NULL if memory ran out
 * or no child could be started. */
json_t *assay_gate_run(struct assay_gate_params *p);

/* In a child: judges both versions in one case. NULL if memory ran out. */
json_t *assay_gate_judge(const struct assay_gate_params *p, size_t i);
/* In a child of its own: one pair of every case that is racing, as [case, base ns, head ns], or
 * [case, reason] where a product failed. *stage holds the case whose code is running. */
json_t *assay_gate_round(const struct assay_gate_params *p, size_t round, volatile int *stage);

/* "q4_k m=1 256x2048": names a case in every output. */
void assay_gate_case_name(const struct assay_gate_case *c, char *buf, size_t size);
/* What identifies a case, for a result whose child died. */
json_t *assay_gate_describe(const struct assay_gate_params *p, size_t i);

/* Instructions of one product, counted by callgrind in a process of its own; the kernel's name as
 * it runs there goes to `kernel` ("" if the plugin does not say). False with one line in err. */
bool assay_gate_callgrind(const struct assay_gate_params *p, size_t i, int version, double *count,
                          char *kernel, size_t kernel_size, char *err, size_t err_size);

/* The hidden command that runs under callgrind. */
struct assay_command;
extern const struct assay_command assay_cmd_gate_count;

/* The name that the plugin itself gives the kernel of a product, "" if it gives none. Loads the
 * plugin: for children only. */
const char *assay_gate_kernel_name(const char *plugin, uint32_t type, size_t m);

#endif
