/* The history of runs: an SQLite database (reports/history.db by default) that holds the record of
 * each run as it was written (reports/RECORD.md), and tables made from it that reports read.
 *
 * Any number of processes may read and write one database: each change is one transaction, and who
 * finds the database locked waits for up to half a minute. The journal is SQLite's rollback journal
 * and not its write-ahead log, which needs memory shared between all users and so fails on network
 * file systems, where results of several machines meet.
 *
 * Functions that can fail return false, or NULL, with one line in err, the file's name in it. */
#ifndef ASSAY_HARNESS_HISTORY_HISTORY_H
#define ASSAY_HARNESS_HISTORY_HISTORY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ASSAY_HISTORY_DEFAULT "reports/history.db"

struct assay_history;

enum assay_history_mode {
    ASSAY_HISTORY_READ,  /* the file must be there */
    ASSAY_HISTORY_WRITE, /* made if it is not there; older schemas are brought up to date */
};

struct assay_history *assay_history_open(const char *path, enum assay_history_mode mode, char *err,
                                         size_t err_size);
void assay_history_close(struct assay_history *h); /* NULL is allowed */

/* ---- Writing --------------------------------------------------------------------------------- */

enum assay_history_added { ASSAY_HISTORY_FAILED, ASSAY_HISTORY_ADDED, ASSAY_HISTORY_KNOWN };

/* Adds a complete record ("finished" included) of verify, bench, mem or gate. A run that is there
 * already, by its uuid, stays as it is. */
enum assay_history_added assay_history_add(struct assay_history *h, const json_t *record, char *err,
                                           size_t err_size);

/* Several additions as one: all of them or, after a rollback, none. */
bool assay_history_begin(struct assay_history *h, char *err, size_t err_size);
bool assay_history_commit(struct assay_history *h, char *err, size_t err_size);
void assay_history_rollback(struct assay_history *h);

/* What keeps a record out, without a database: NULL if it can be added. */
const char *assay_history_fault(const json_t *record);

/* ---- Reading ----------------------------------------------------------------------------------
 *
 * Each reader calls `each` once a row; strings live until it returns, "" stands for what is
 * unknown, NAN for a figure that is. `each` may return false to stop, which is no error. */

/* Which runs; NULL members match every run. */
struct assay_history_filter {
    const char *uuid;    /* or the beginning of one */
    const char *command; /* "verify", "bench", "mem", "gate" */
    const char *commit;  /* or the beginning of one */
    const char *branch;
    const char *cpu; /* exactly */
};

struct assay_history_machine {
    const char *cpu, *features, *isa, *os, *governor;
    int cores;
    int64_t memory_bytes, l1d_bytes, l2_bytes, l3_bytes; /* caches: 0 unknown */
};

struct assay_history_run {
    int64_t id; /* for the readers below; of this database only */
    const char *uuid, *command;
    const char *arguments; /* a JSON array */
    const char *commit, *commit_date, *branch, *version, *compiler, *flags;
    bool dirty;
    const char *started, *finished; /* UTC, ISO 8601 */
    int threads;
    int64_t seed;
    double load_before; /* bench; negative: unknown */
    int64_t machine_id; /* the same for runs of one machine */
    struct assay_history_machine machine;
    int64_t passed, failed, skipped, not_run; /* verify: cases; -1 for other commands */
    int64_t results;                          /* objects in the record's "results" */
};

/* In order of the commit's date, then of the start; runs of unknown commit date by their start. */
bool assay_history_runs(struct assay_history *h, const struct assay_history_filter *filter,
                        bool (*each)(const struct assay_history_run *run, void *user), void *user,
                        char *err, size_t err_size);

/* verify: counts of one type (of fused products "q4_k+q6_k"), runner and operation. */
struct assay_history_verdict {
    const char *type, *backend, *variant, *isa;
    const char *op; /* "gemm", "fused", "rows", or the name of a check */
    int64_t passed, failed, skipped, not_run, elements;
    double worst; /* largest |got − expected| / bound */
};
bool assay_history_verdicts(struct assay_history *h, int64_t run,
                            bool (*each)(const struct assay_history_verdict *v, void *user),
                            void *user, char *err, size_t err_size);

/* bench: one contender in one case. Rows of one case share everything up to `weight_bytes`. */
struct assay_history_timing {
    int64_t id; /* for assay_history_samples */
    int64_t run;
    const char *matrix, *type;
    int64_t m, n, k, threads, weight_bytes;
    const char *contender, *backend, *variant, *isa, *kernel;
    const char *status, *reason; /* the rest is of "measured" only */
    int64_t resident_bytes;
    const char *from; /* "L2", "L3", "DRAM" */
    double median_ns, mad_ns, q1_ns, q3_ns;
    double speedup, speedup_low, speedup_high; /* over the run's baseline, 95 % */
    double roof_ns, roof_bandwidth, roof_peak; /* bytes, operations a second */
    const char *roof_arithmetic;               /* "fp32", "int8" */
    int64_t n_samples;
};
bool assay_history_timings(struct assay_history *h, int64_t run,
                           bool (*each)(const struct assay_history_timing *t, void *user),
                           void *user, char *err, size_t err_size);

/* Nanoseconds per product, one a round, in order: rows of one case have the same rounds. Returns a
 * new array of *n values (free() it), NULL with err. */
double *assay_history_samples(struct assay_history *h, int64_t timing, size_t *n, char *err,
                              size_t err_size);

/* mem: one mode. */
struct assay_history_memory {
    const char *model;     /* name of a synthetic one, else the path of the file */
    const char *file_type; /* of a synthetic one */
    const char *mode, *outcome, *reason;
    int64_t layers, layers_total;
    bool extrapolated; /* the figures are for all layers, fewer were measured */
    double disk_bytes, peak_bytes, anon_bytes, file_bytes;
    double load_s, pass_s;
    double transient_bytes, steady_s; /* of a pass after the first; NaN: not measured */
};
bool assay_history_memory(struct assay_history *h, int64_t run,
                          bool (*each)(const struct assay_history_memory *m, void *user),
                          void *user, char *err, size_t err_size);

/* The record of a run as it was added; a new reference. */
json_t *assay_history_record(struct assay_history *h, int64_t run, char *err, size_t err_size);

#endif
