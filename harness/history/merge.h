/* The records of all shards of a run put together to the record of the run. */
#ifndef ASSAY_HARNESS_HISTORY_MERGE_H
#define ASSAY_HARNESS_HISTORY_MERGE_H

#include <jansson.h>
#include <stddef.h>

/* Makes one record of the records of verify or bench in the array `shards`, in any order. It is
 * what an unsharded run would have written, but for times, uuid (made of the shards' own, so that
 * the same shards give the same) and "shards", which says where each part ran. NULL, with one line
 * in err, if the shards are not those of one run, one is missing, or one is there twice. */
json_t *assay_shards_merge(const json_t *shards, char *err, size_t err_size);

#endif
