/* Records in files: JSON Lines (one record a line, what `assay history export` writes), or one
 * record as --json writes it. */
#ifndef ASSAY_HARNESS_HISTORY_LINES_H
#define ASSAY_HARNESS_HISTORY_LINES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Calls `each` with every record of a file ("-": standard input) and the place it comes from,
 * "FILE:LINE". A line that is no record, by assay_history_fault, or `each` returning false (with
 * its reason in err, without the place) ends the reading. False with one line in err that begins
 * with the place. */
bool assay_records_read(const char *path,
                        bool (*each)(json_t *record, void *user, char *err, size_t err_size),
                        void *user, char *err, size_t err_size);

/* Writes a record as one line. False if the stream has an error. */
bool assay_record_write_line(FILE *f, const json_t *record);

#endif
