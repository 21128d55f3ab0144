/* The record format of --json: one envelope around each command's results (reports/RECORD.md). */
#ifndef ASSAY_HARNESS_RECORD_H
#define ASSAY_HARNESS_RECORD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define ASSAY_RECORD_SCHEMA 1

/* Makes the envelope: schema, command, arguments, assay version, commit, dirty, compiler, flags,
 * machine (CPU model, ISA, cores, memory, kernel), threads, seed, started (ISO 8601 UTC). The
 * caller adds "results" and owns the reference. NULL if memory ran out. */
json_t *assay_record_new(const char *command, int argc, char **argv, int threads, uint64_t seed);

/* Adds "finished" and writes the record to `path` ("-": stdout): by way of a temporary file of its
 * own and rename, or, where `path` is a device or a pipe, straight to it. Returns false after a
 * one-line error on stderr. */
bool assay_record_write(json_t *record, const char *path);

/* Says in a record that its run ended early. */
void assay_record_partial(json_t *record, const char *why);

/* A JSON number, or the strings "nan", "inf", "-inf", which JSON numbers can't hold. */
json_t *assay_json_real(double v);
/* The way back; NaN for anything else. */
double assay_json_real_value(const json_t *j);

#endif
