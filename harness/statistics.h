/* The statistical judgement of a backend at one type, for its check and for the measurement of
 * false alarms. */
#ifndef ASSAY_HARNESS_STATISTICS_H
#define ASSAY_HARNESS_STATISTICS_H

#include "check.h"

/* Chance that a run of verify in which every backend is correct raises an alarm that it should not,
 * and the number of checks that share it: types times runners, generously. */
#define ASSAY_FALSE_ALARMS_PER_RUN 1e-6
#define ASSAY_CHECKS_PER_RUN 4096

enum assay_statistic {
    ASSAY_STATISTIC_BOUND,  /* one output against the worst-case bound */
    ASSAY_STATISTIC_OUTPUT, /* one output against the model */
    ASSAY_STATISTIC_SPREAD, /* mean |z| of a group */
    ASSAY_STATISTIC_BIAS,   /* Σz of a group, studentised */
    ASSAY_STATISTIC_GAIN,   /* how often the error has the sign of the output */
    ASSAY_STATISTIC_COUNT,
};
const char *assay_statistic_name(enum assay_statistic s);

/* What was judged, and how close it came. */
struct assay_statistics_tally {
    size_t outputs;
    size_t tests[ASSAY_STATISTIC_COUNT];
    double closest[ASSAY_STATISTIC_COUNT]; /* largest value/limit; an alarm is beyond 1 */
};

/* Adds to *tally, which may be NULL. */
json_t *assay_statistics_judge(const struct assay_check_env *env,
                               struct assay_statistics_tally *tally);

#endif
