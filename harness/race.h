/* Data races seen by ThreadSanitizer, in builds that have it (make SAN=thread). */
#ifndef ASSAY_HARNESS_RACE_H
#define ASSAY_HARNESS_RACE_H

/* Reports of this process so far; always 0 in a build without ThreadSanitizer. Its own text, with
 * both stacks, goes to stderr. */
unsigned assay_races_seen(void);

#endif
