/* The report: records in, one HTML page out. Each section reads the records of one command. */
#ifndef ASSAY_HARNESS_REPORT_H
#define ASSAY_HARNESS_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "history/history.h"

struct assay_record {
    const char *path;
    json_t *json;
    const char *command; /* "verify", "bench", "mem"; "load": hyperfine's export */
};

/* Reads and checks a record. On failure returns false with one line in err; rec->json is NULL. */
bool assay_report_read(const char *path, struct assay_record *rec, char *err, size_t err_size);

/* Values by dotted path ("machine.cpu"). Absent or of another kind: the fallback, or NaN. Numbers
 * may be the strings that assay_json_real writes. */
const char *assay_report_str(const json_t *j, const char *path, const char *fallback);
double assay_report_num(const json_t *j, const char *path);

struct assay_report_options {
    const char *title;
    struct assay_history *history; /* NULL: none */
    const char *commit_url;        /* what a commit's hash is put after; NULL: no links */
};

/* The page in the making: sections write to `body` and set what the head shows. */
struct assay_report {
    const struct assay_report_options *options;
    const struct assay_record *records;
    size_t n_records;
    FILE *body;
    bool plots; /* gnuplot is there */

    size_t passed, failed, skipped; /* verify cases, those of peers left out */
    size_t peer_passed, peer_failed;
    bool verified;          /* a verify record was read */
    char tiles[12][3][160]; /* term, value, remark */
    size_t n_tiles;
};

/* True if the verify case is of a peer (another project's code): what it gets wrong is shown, and
 * is not a verdict on what is tested here. */
bool assay_report_is_peer(const json_t *result);

/* Adds a tile to the head. */
void assay_report_tile(struct assay_report *r, const char *term, const char *value,
                       const char *remark);

/* The first record of assay's own, which tells of the machine; hyperfine's export does not. Where
 * there are only those, the first of them. */
const json_t *assay_report_first(const struct assay_record *records, size_t n);

/* Writes, escaped for HTML, a word that a shell takes back as it was. */
void assay_report_shell_word(FILE *f, const char *s);

/* The command that made the record, as a line below its figures. */
void assay_report_reproduce(FILE *f, const struct assay_record *rec);

/* The sections, in page order; each writes nothing if it has no record. */
void assay_report_verify(struct assay_report *r);
void assay_report_bench(struct assay_report *r);
void assay_report_mem(struct assay_report *r);
void assay_report_load(struct assay_report *r);
void assay_report_history(struct assay_report *r);
void assay_report_about(struct assay_report *r); /* machine, method, commands */

/* The whole page. Returns false if memory ran out or writing failed. */
bool assay_report_write(FILE *f, const struct assay_record *records, size_t n,
                        const struct assay_report_options *options);

/* The same figures in other formats; there must be a record. */
void assay_report_markdown(FILE *f, const struct assay_record *records, size_t n,
                           const char *title);
void assay_report_csv(FILE *f, const struct assay_record *records, size_t n);

#endif
