/* Timing of several contestants against each other: rounds in which every contestant is sampled
 * once, in random order, so that whatever drifts (clock rate, neighbours on the machine) falls on
 * all alike, and samples of one round can be compared pairwise. */
#ifndef ASSAY_HARNESS_BENCH_MEASURE_H
#define ASSAY_HARNESS_BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct assay_contestant {
    bool (*call)(void *user); /* one unit of work; false stops the measurement */
    void (*rest)(void *user); /* after each sample, to send idle threads to sleep; NULL: nothing */
    void *user;
    double
        known_ns; /* what a call took just before; 0: unknown. A long one is not warmed up again */

    /* Filled in by assay_measure. */
    size_t repeats; /* calls per sample */
    double *ns;     /* per call, one sample a round; free() it */
};

struct assay_measure_params {
    size_t samples;  /* rounds, >= 1 */
    double min_s;    /* rounds go on until this much time has passed */
    double max_s;    /* and end once this much has, but not before ASSAY_MIN_ROUNDS */
    double sample_s; /* calls are repeated until a sample lasts this long */
    uint64_t seed;   /* of the order */
};

#define ASSAY_MIN_ROUNDS 3

/* Warms up, then measures. Returns the number of rounds; 0 if a call failed or memory ran out, and
 * then *failed is the contestant whose call it was, or n. */
size_t assay_measure(const struct assay_measure_params *p, struct assay_contestant *c, size_t n,
                     size_t *failed);

#endif
