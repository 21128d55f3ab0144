/* A check judges one backend at one type by something other than products of generated data: decode
 * probes, bit influence, exact data, statistics, special values, hygiene, determinism. Each check is
 * one file harness/check_<name>.c with one row; checks.c lists the rows. The verify engine runs a
 * check as a case of its own, in a child process, with the id check/<name>/<type>/<runner>. */
#ifndef ASSAY_HARNESS_CHECK_H
#define ASSAY_HARNESS_CHECK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "case.h"
#include "ref/arith.h"

/* What a check gets. Everything random in it derives from `seed`. */
struct assay_check_env {
    const struct assay_runner *runner;
    const struct assay_type_traits *type;
    uint64_t seed;
    bool full; /* verify-full: as long as it likes; else a second or so a check and type */
};

struct assay_check {
    const char *name;    /* "decode", "bits", "exact", … */
    const char *summary; /* one line for --help and reports */
    unsigned claims;     /* properties (enum assay_claim) that the backend must claim; 0: always run */
    /* In the child. Returns a finding made by the functions below; never NULL. */
    json_t *(*run)(const struct assay_check_env *env);
};

extern const struct assay_check *const assay_checks[]; /* ends with NULL */
const struct assay_check *assay_check_by_name(const char *name);

/* ---- Findings (reports/RECORD.md) ---- */

/* `tested`: how many outputs, probes or calls stand behind the verdict; a pass with 0 is a skip. */
json_t *assay_check_pass(size_t tested);
json_t *assay_check_skip(const char *reason);
/* One sentence on what is wrong; further members (row, column, block, byte, bit, field, got,
 * expected, bound, m, n, k …) are set on the result by the caller as far as they are known. */
json_t *assay_check_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---- The product under test ---- */

/* One product by the runner's backend: makes a context (kept between calls of one check) and a store,
 * multiplies, frees the store. y has stride ldy >= n. Fills *arith with the class that the backend
 * declares for it. False with the reason in err. */
bool assay_check_multiply(const struct assay_check_env *env, const uint8_t *w, size_t n, size_t k,
                          const float *x, size_t m, float *y, size_t ldy,
                          struct assay_arith *arith, struct assay_error *err);

#endif
