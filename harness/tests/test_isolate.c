#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/isolate.h"

/* How each item of a run ends. */
enum deed { NORMAL, SEGV, ABORT, EXIT_3, HANG, NO_RESULT, BIG };

struct log {
    const enum deed *deeds;
    size_t n_done, n_before;
    size_t stop_after;
    pid_t pids[16];
    char crashes[16][32];
};

static json_t *work(size_t i, void *user) {
    struct log *log = user;
    char *big;
    json_t *j;

    switch (log->deeds[i]) {
    case SEGV:
        signal(SIGSEGV, SIG_DFL); /* a sanitizer would make it an exit */
        raise(SIGSEGV);
        break;
    case ABORT:
        signal(SIGABRT, SIG_DFL);
        abort();
    case EXIT_3:
        _exit(3);
    case HANG:
        for (;;)
            pause();
    case NO_RESULT:
        return NULL;
    case BIG: /* more than a socket buffers */
        big = malloc(3000001);
        memset(big, 'x', 3000000);
        big[3000000] = '\0';
        j = json_pack("{si si ss}", "item", (int)i, "pid", (int)getpid(), "text", big);
        free(big);
        return j;
    case NORMAL:
        break;
    }
    return json_pack("{si si}", "item", (int)i, "pid", (int)getpid());
}

static bool done(size_t i, const json_t *result, void *user) {
    struct log *log = user;
    const char *crash = json_string_value(json_object_get(result, "crash"));

    cr_assert_eq(i, log->n_done, "results come in order");
    cr_assert_eq(log->n_before, i + 1);
    if (crash != NULL) {
        snprintf(log->crashes[i], sizeof log->crashes[i], "%s", crash);
    } else {
        cr_assert_eq(json_integer_value(json_object_get(result, "item")), (json_int_t)i);
        log->pids[i] = (pid_t)json_integer_value(json_object_get(result, "pid"));
    }
    log->n_done++;
    return log->n_done != log->stop_after;
}

static void before(size_t i, void *user) {
    struct log *log = user;
    cr_assert_eq(log->n_before++, i);
}

static json_t *work_unevenly(size_t i, void *user) {
    usleep(i % 3 == 0 ? 20000 : 1000);
    return work(i, user);
}

static size_t group_by_four(size_t i, void *user) {
    (void)user;
    return i / 4;
}

static bool done_beside_others(size_t i, const json_t *result, void *user) {
    struct log *log = user;
    log->n_before = i + 1; /* others are under way already */
    return done(i, result, user);
}

static struct log run_jobs(const enum deed *deeds, size_t n, bool grouped, size_t stop_after) {
    struct log log = {.deeds = deeds, .stop_after = stop_after};
    struct assay_isolate iso = {
        .count = n,
        .timeout_s = 1,
        .jobs = 3,
        .group = grouped ? group_by_four : NULL,
        .work = work_unevenly,
        .done = done_beside_others,
        .user = &log,
    };
    cr_assert(assay_isolate_run(&iso));
    return log;
}

static struct log run(const enum deed *deeds, size_t n, bool fresh, size_t stop_after) {
    struct log log = {.deeds = deeds, .stop_after = stop_after};
    struct assay_isolate iso = {
        .count = n,
        .timeout_s = 1,
        .fresh = fresh,
        .work = work,
        .done = done,
        .before = before,
        .user = &log,
    };
    cr_assert(assay_isolate_run(&iso));
    return log;
}

Test(isolate, every_kind_of_death_is_reported_and_the_run_goes_on) {
    static const enum deed deeds[] = {NORMAL, SEGV, NORMAL, ABORT,     NORMAL,
                                      EXIT_3, HANG, NORMAL, NO_RESULT, NORMAL};
    struct log log = run(deeds, 10, false, 0);
    cr_assert_eq(log.n_done, 10);
    cr_assert_str_eq(log.crashes[1], "SIGSEGV");
    cr_assert_str_eq(log.crashes[3], "SIGABRT");
    cr_assert_str_eq(log.crashes[5], "exit 3");
    cr_assert_str_eq(log.crashes[6], "timeout 1 s");
    cr_assert_str_eq(log.crashes[8], "no result");
    for (size_t i = 0; i < 10; i++)
        cr_assert_eq(log.pids[i] != 0, deeds[i] == NORMAL);
    cr_assert_neq(log.pids[0], log.pids[2], "a fresh child after a death");
}

Test(isolate, a_healthy_child_is_kept_unless_fresh_is_asked_for) {
    static const enum deed deeds[] = {NORMAL, NORMAL};
    struct log kept = run(deeds, 2, false, 0), fresh = run(deeds, 2, true, 0);
    cr_assert_eq(kept.pids[0], kept.pids[1]);
    cr_assert_neq(fresh.pids[0], fresh.pids[1]);
}

/* The callbacks assert the order of results. */
Test(isolate, several_children_work_at_once_and_results_stay_in_order) {
    static const enum deed deeds[] = {NORMAL, NORMAL, BIG,    NORMAL, NORMAL, NORMAL,
                                      NORMAL, NORMAL, NORMAL, NORMAL, NORMAL, BIG};
    struct log log = run_jobs(deeds, 12, false, 0);
    size_t others = 0;
    cr_assert_eq(log.n_done, 12);
    for (size_t i = 1; i < 12; i++)
        others += log.pids[i] != log.pids[0];
    cr_assert_gt(others, 0);
}

Test(isolate, a_death_beside_others_costs_its_own_item_only) {
    static const enum deed deeds[] = {NORMAL, SEGV, NORMAL, HANG, NORMAL, EXIT_3, NORMAL, NORMAL};
    struct log log = run_jobs(deeds, 8, false, 0);
    cr_assert_eq(log.n_done, 8);
    cr_assert_str_eq(log.crashes[1], "SIGSEGV");
    cr_assert_str_eq(log.crashes[3], "timeout 1 s");
    cr_assert_str_eq(log.crashes[5], "exit 3");
    for (size_t i = 0; i < 8; i++)
        cr_assert_eq(log.pids[i] != 0, deeds[i] == NORMAL);
}

Test(isolate, a_group_stays_in_one_child) {
    static const enum deed deeds[12] = {NORMAL};
    struct log log = run_jobs(deeds, 12, true, 0);
    cr_assert_eq(log.n_done, 12);
    for (size_t i = 0; i < 12; i++)
        cr_assert_eq(log.pids[i], log.pids[i / 4 * 4]);
    cr_assert_neq(log.pids[0], log.pids[4]);
}

Test(isolate, stops_when_told_with_others_under_way) {
    static const enum deed deeds[] = {NORMAL, NORMAL, HANG, HANG, NORMAL};
    cr_assert_eq(run_jobs(deeds, 5, false, 2).n_done, 2);
}

Test(isolate, stops_when_told) {
    static const enum deed deeds[] = {NORMAL, NORMAL, NORMAL};
    cr_assert_eq(run(deeds, 3, false, 2).n_done, 2);
}

Test(isolate, large_results_arrive_whole) {
    static const enum deed deeds[] = {BIG, NORMAL};
    cr_assert_eq(run(deeds, 2, false, 0).n_done, 2);
}

Test(isolate, no_items_is_no_run) { cr_assert_eq(run(NULL, 0, false, 0).n_done, 0); }

static json_t *answer(void *user) { return json_pack("{si}", "twice", 2 * *(int *)user); }

static json_t *die(void *user) {
    (void)user;
    _exit(3);
}

Test(isolate, once_returns_the_result_or_the_death) {
    int n = 21;
    json_t *j = assay_isolate_once(answer, &n, 5);
    cr_assert_eq(json_integer_value(json_object_get(j, "twice")), 42);
    json_decref(j);
    j = assay_isolate_once(die, NULL, 5);
    cr_assert_str_eq(json_string_value(json_object_get(j, "crash")), "exit 3");
    json_decref(j);
}
