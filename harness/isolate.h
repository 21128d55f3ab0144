/* Work in a child process: a crash, hang or exit in it is a finding, not the end of the run.
 *
 * The parent never runs a kernel and never starts a thread, so fork is safe. What a child is held
 * to, and what becomes of processes that it leaves behind, is in process.h. A child gets item
 * numbers over a pipe, runs `work` on each, and sends one JSON object per item back. */
#ifndef ASSAY_HARNESS_ISOLATE_H
#define ASSAY_HARNESS_ISOLATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct assay_isolate {
    size_t count;  /* items are numbered 0 … count-1 */
    int timeout_s; /* per item; the child is killed after it */
    bool fresh;    /* a new child for every item, not only after a death */
    int jobs;      /* children at work at once; 0: one */
    /* Neighbouring items of one group go to the same child, one after the other: they share what it
     * keeps between items. NULL: every item is a group. */
    size_t (*group)(size_t i, void *user);
    /* Whose code item i runs; 0: the program's own. A child that ran another's code runs nothing
     * for anyone else afterwards: that may have changed the process. NULL: all the program's own.
     */
    size_t (*owner)(size_t i, void *user);
    uint64_t memory_bytes; /* private memory that a child may take; 0: no limit */
    /* In the child: the result of item i (a new reference). */
    json_t *(*work)(size_t i, void *user);
    /* In the parent, in item order: the child's result, or one made here for a child that died:
     * {"crash": "SIGSEGV"}, {"crash": "exit 3"}, {"crash": "timeout 30 s"}. Borrowed. Returns false
     * to stop the run. */
    bool (*done)(size_t i, const json_t *result, void *user);
    /* In the parent, before an item is sent (progress); with several jobs, some items before its
     * predecessors are done. May be NULL. */
    void (*before)(size_t i, void *user);
    void *user;
};

/* Returns false if no child could be started. After a death a fresh child takes the next item. An
 * interrupt (interrupt.h) ends the run early: the items at work and after them are not done. */
bool assay_isolate_run(const struct assay_isolate *iso);

/* Runs one function in a fresh child and returns its JSON result, or {"crash": …}; NULL if no child
 * could be started. With `exec_self`, the child is this executable run anew with the arguments
 * argv[0], argv[1] … NULL (argv[0] is the worker command, the program's own path is put before it);
 * its JSON result is all that it writes to stdout. It inherits no memory, and may take memory_bytes
 * of its own (0: no limit). */
json_t *assay_isolate_once(json_t *(*work)(void *user), void *user, int timeout_s);
json_t *assay_isolate_exec_self(const char *const *argv, int timeout_s, uint64_t memory_bytes);

/* Runs this program anew in place of this process, with argv as above and an environment variable
 * set: what libraries read as they are loaded. Returns only if the variable is set already or the
 * program can't be run. */
void assay_isolate_restart(const char *const *argv, const char *name, const char *value);

#endif
