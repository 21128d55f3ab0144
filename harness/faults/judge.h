/* What assay itself says of a kernel: a default run of verify on it, until the first finding. */
#ifndef ASSAY_HARNESS_FAULTS_JUDGE_H
#define ASSAY_HARNESS_FAULTS_JUDGE_H

#include "harness/verify.h"

struct assay_judgement {
    bool caught;
    char by[192];      /* id of the case that failed first */
    char problem[200]; /* what it said */
    double seconds;    /* up to there, or of the whole run */
    size_t outputs;    /* judged */
    bool broken;       /* the run could not be made */
};

struct assay_judge_params {
    unsigned isas; /* of struct assay_verify_params */
    const struct assay_type_traits *const *types;
    size_t n_types;
    const int *threads;
    size_t n_threads;
    int timeout_s; /* a case; short, since hangs are part of the corpus */
};

struct assay_judgement assay_judge(const struct assay_backend *b,
                                   const struct assay_judge_params *p);

#endif
