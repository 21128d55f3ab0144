/* Shrinking: the smallest and simplest specimen that still fails in the same way. */
#ifndef ASSAY_HARNESS_SHRINK_H
#define ASSAY_HARNESS_SHRINK_H

#include "specimen.h"

struct assay_shrunk {
    struct assay_specimen small;  /* fewest rows of x, rows of W and blocks; their data as given */
    struct assay_specimen simple; /* `small` with what does not matter zeroed */
    unsigned calls;               /* in a trial: several where the failure comes and goes */
    unsigned attempts;
    bool in_time; /* false: `seconds` ran out, or the attempts */
};

/* Shrinks a specimen whose trial failed with `failure`. (row, column) is a wrong element, tried
 * first; any will do. False if memory ran out. Free in any case. */
bool assay_shrink(struct assay_shrunk *out, const struct assay_specimen *s,
                  enum assay_failure failure, unsigned calls, size_t row, size_t column,
                  double seconds);
void assay_shrunk_free(struct assay_shrunk *s); /* a zeroed struct is allowed */

#endif
