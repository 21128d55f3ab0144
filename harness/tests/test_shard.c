/* Shards: together they are the plan, each case once, about equal in cost. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "harness/check.h"
#include "harness/shard.h"
#include "impl/backend.h"

static const int one_thread[] = {1};

static const struct assay_backend *backends[] = {&assay_backend_scalar, &assay_backend_cpu};

static struct assay_plan make_plan(void) {
    const struct assay_type_traits *types[] = {assay_type_traits(ASSAY_TYPE_Q4_K),
                                               assay_type_traits(ASSAY_TYPE_Q8_0)};
    struct assay_verify_params p = {
        .backends = backends,
        .n_backends = 2,
        .types = types,
        .n_types = 2,
        .threads = one_thread,
        .n_threads = 1,
        .checks = 3,
        .seed = 1,
    };
    struct assay_plan plan;

    cr_assert(assay_plan_make(&plan, &p));
    return plan;
}

static void id_of(const struct assay_plan *plan, size_t i, char *buf, size_t size) {
    assay_case_id(&plan->problems[plan->cases[i].problem], &plan->cases[i].runner, buf, size);
}

Test(shard, verify_shards_are_the_plan) {
    enum { SHARDS = 5 };
    struct assay_plan whole = make_plan();
    size_t *seen = calloc(whole.n_cases, sizeof *seen), total = 0;
    uint64_t hash = 0;

    cr_assert_not_null(seen);
    for (size_t s = 1; s <= SHARDS; s++) {
        struct assay_plan plan = make_plan();
        struct assay_shard shard = {.index = s, .count = SHARDS};
        char a[256], b[256];

        cr_assert(assay_shard_verify(&shard, &plan, 1));
        cr_assert_eq(plan.n_cases, shard.n);
        cr_assert_eq(shard.n_all, whole.n_cases);
        cr_expect(s == 1 || shard.plan == hash, "all shards are of one plan");
        hash = shard.plan;
        for (size_t i = 0; i < plan.n_cases; i++) {
            cr_assert_lt(shard.places[i], whole.n_cases);
            seen[shard.places[i]]++;
            id_of(&plan, i, a, sizeof a);
            id_of(&whole, shard.places[i], b, sizeof b);
            cr_expect_str_eq(a, b);
        }
        total += plan.n_cases;
        assay_shard_free(&shard);
        assay_plan_free(&plan);
    }
    cr_expect_eq(total, whole.n_cases);
    for (size_t i = 0; i < whole.n_cases; i++)
        cr_expect_eq(seen[i], 1, "case %zu is in %zu shards", i, seen[i]);
    free(seen);
    assay_plan_free(&whole);
}

Test(shard, a_plan_of_another_seed_is_another) {
    struct assay_plan a = make_plan(), b = make_plan();
    struct assay_shard x = {.index = 1, .count = 2}, y = {.index = 1, .count = 2};

    cr_assert(assay_shard_verify(&x, &a, 1));
    cr_assert(assay_shard_verify(&y, &b, 2));
    cr_expect_neq(x.plan, y.plan);
    assay_shard_free(&x);
    assay_shard_free(&y);
    assay_plan_free(&a);
    assay_plan_free(&b);
}

Test(shard, bench_shards_are_the_plan) {
    enum { SHARDS = 3 };
    static const size_t ms[] = {1, 64, 512};
    size_t seen[64] = {0};

    for (size_t s = 1; s <= SHARDS; s++) {
        struct assay_bench_plan plan = {.samples = 25, .max_s = 10};
        struct assay_shard shard = {.index = s, .count = SHARDS};
        char err[160];

        cr_assert(assay_bench_add_contender(&plan, "cpu", 0, err, sizeof err));
        for (size_t k = 256; k <= 1024; k *= 2) {
            struct assay_bench_matrix m = {
                .type = assay_type_traits(ASSAY_TYPE_Q4_K), .n = 64, .k = k};
            cr_assert(assay_bench_add_matrix(&plan, &m));
        }
        cr_assert(assay_bench_make_cases(&plan, ms, 3, one_thread, 1));
        cr_assert(assay_shard_bench(&shard, &plan));
        cr_expect_eq(shard.n_all, 9);
        for (size_t i = 0; i < shard.n; i++)
            seen[shard.places[i]]++;
        assay_shard_free(&shard);
        assay_bench_plan_free(&plan);
    }
    for (size_t i = 0; i < 9; i++)
        cr_expect_eq(seen[i], 1, "case %zu is in %zu shards", i, seen[i]);
}

/* Graham: the largest load is at most 4/3 - 1/(3m) of the best one, which is at least the mean and
 * at least the dearest item. */
Test(shard, loads_keep_to_the_bound_of_longest_first) {
    enum { ITEMS = 200, SHARDS = 7 };
    double cost[ITEMS], load[SHARDS] = {0}, sum = 0, dearest = 0, most = 0;
    size_t shard_of[ITEMS];

    for (int i = 0; i < ITEMS; i++) {
        cost[i] = 1 + (i * 7919) % 101;
        sum += cost[i];
        dearest = cost[i] > dearest ? cost[i] : dearest;
    }
    cr_assert(assay_shard_assign(cost, ITEMS, SHARDS, shard_of));
    for (int i = 0; i < ITEMS; i++)
        load[shard_of[i]] += cost[i];
    for (int s = 0; s < SHARDS; s++)
        most = load[s] > most ? load[s] : most;
    double least = sum / SHARDS > dearest ? sum / SHARDS : dearest;
    /* The best may be a little more than its bound; these costs are small beside a load. */
    cr_expect_leq(most, least * (4.0 / 3 - 1.0 / (3 * SHARDS)), "%g of %g", most, least);
    cr_expect_leq(most, least + dearest, "a list schedule is never further from the mean");
}
