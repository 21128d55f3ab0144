#include "merge.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/record.h"
#include "harness/verify.h"

static const json_t *at(const json_t *j, const char *key) { return json_object_get(j, key); }

static const char *text(const json_t *j, const char *key) {
    const char *s = json_string_value(at(j, key));
    return s != NULL ? s : "";
}

static size_t whole(const json_t *j, const char *key) {
    json_int_t v = json_integer_value(at(j, key));
    return v > 0 ? (size_t)v : 0;
}

static json_t *fail(char *err, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static json_t *fail(char *err, size_t size, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err, size, fmt, ap);
    va_end(ap);
    return NULL;
}

/* The arguments without those that differ between shards, or say where records go. */
static json_t *common_arguments(const json_t *record) {
    static const char *const differing[] = {"--shard", "--json", "--db"};
    json_t *list = json_array();
    const json_t *arg;
    size_t i;

    json_array_foreach(at(record, "arguments"), i, arg) {
        const char *s = json_string_value(arg);
        bool keep = s != NULL && strcmp(s, "--record") != 0;

        for (size_t d = 0; keep && d < sizeof differing / sizeof differing[0]; d++) {
            const size_t n = strlen(differing[d]);
            if (strncmp(s, differing[d], n) != 0 || (s[n] != '\0' && s[n] != '='))
                continue;
            keep = false;
            i += s[n] == '\0'; /* its value is the next argument */
        }
        if (keep)
            json_array_append_new(list, json_string(s));
    }
    return list;
}

/* What is different between two shards that can't be of one run; NULL if nothing is. */
static const char *difference(const json_t *a, const json_t *b) {
    json_t *x = common_arguments(a), *y = common_arguments(b);
    const bool same = json_equal(x, y);

    json_decref(x);
    json_decref(y);
    if (strcmp(text(a, "command"), text(b, "command")) != 0)
        return "command";
    if (!json_equal(at(a, "seed"), at(b, "seed")))
        return "seed";
    if (!same)
        return "arguments";
    if (strcmp(text(at(a, "assay"), "commit"), text(at(b, "assay"), "commit")) != 0 ||
        !json_equal(at(at(a, "assay"), "dirty"), at(at(b, "assay"), "dirty")))
        return "commit";
    if (strcmp(text(at(a, "shard"), "plan"), text(at(b, "shard"), "plan")) != 0 ||
        whole(at(a, "shard"), "cases") != whole(at(b, "shard"), "cases"))
        return "plan";
    return whole(at(a, "shard"), "count") != whole(at(b, "shard"), "count") ? "number of shards"
                                                                            : NULL;
}

/* Puts the shards in order: sorted[i] is shard i + 1. False with the reason in err. */
static bool sort_shards(const json_t *shards, const json_t **sorted, size_t count, char *err,
                        size_t err_size) {
    const json_t *first = json_array_get(shards, 0), *r;
    size_t i;

    json_array_foreach(shards, i, r) {
        const size_t index = whole(at(r, "shard"), "index");
        const char *what = difference(first, r);

        if (what != NULL)
            return fail(err, err_size, "%s is of another run than %s: its %s differs",
                        text(r, "uuid"), text(first, "uuid"), what) != NULL;
        if (index < 1 || index > count)
            return fail(err, err_size, "%s is shard %zu of %zu", text(r, "uuid"), index, count) !=
                   NULL;
        if (sorted[index - 1] != NULL)
            return fail(err, err_size, "shard %zu of %zu is there twice: %s and %s", index, count,
                        text(sorted[index - 1], "uuid"), text(r, "uuid")) != NULL;
        sorted[index - 1] = r;
    }
    for (i = 0; i < count; i++)
        if (sorted[i] == NULL)
            return fail(err, err_size, "shard %zu of %zu is missing", i + 1, count) != NULL;
    return true;
}

/* The results of all shards, each in its place of the plan. */
static json_t *join_results(const json_t *const *sorted, size_t count, size_t cases, char *err,
                            size_t err_size) {
    json_t **all, *list;
    size_t there = 0;

    /* Before memory for all of them is asked for: the number is only what a file says. */
    for (size_t s = 0; s < count; s++)
        there += json_array_size(at(sorted[s], "results"));
    if (there != cases)
        return fail(err, err_size, "the shards have %zu cases, their plan has %zu", there, cases);
    all = calloc(cases + 1, sizeof(json_t *));
    if (all == NULL)
        return fail(err, err_size, "out of memory");
    for (size_t s = 0; s < count; s++) {
        const json_t *results = at(sorted[s], "results");
        const json_t *places = at(at(sorted[s], "shard"), "places"), *place;
        size_t i;

        if (json_array_size(places) != json_array_size(results)) {
            free(all);
            return fail(err, err_size, "shard %zu of %zu has %zu results for %zu cases", s + 1,
                        count, json_array_size(results), json_array_size(places));
        }
        json_array_foreach(places, i, place) {
            const json_int_t p = json_integer_value(place);
            if (p < 0 || (size_t)p >= cases || all[p] != NULL) {
                free(all);
                return fail(err, err_size, "shard %zu of %zu has case %lld, which is no case of it",
                            s + 1, count, (long long)p);
            }
            all[p] = json_array_get(results, i);
        }
    }
    list = json_array();
    for (size_t i = 0; i < cases; i++) /* as many as there are places, none taken twice */
        json_array_append(list, all[i]);
    free(all);
    return list;
}

/* ---- verify's members beside the results ----------------------------------------------------- */

/* Counts of a file may be any: a sum that an integer can't hold ends at its limit. */
static json_int_t sum(json_int_t a, json_int_t b) {
    if (b > 0 && a > INT64_MAX - b)
        return INT64_MAX;
    return b < 0 && a < INT64_MIN - b ? INT64_MIN : a + b;
}

static json_t *sum_summaries(const json_t *const *sorted, size_t count, size_t cases) {
    static const char *const keys[] = {"passed",  "failed",   "skipped",
                                       "not_run", "elements", "unbounded"};
    const json_t *skips = at(sorted[0], "skips"), *skip;
    json_t *summary = json_pack("{sI}", "cases", (json_int_t)cases);
    json_int_t planned = 0;
    size_t i;

    /* What could not become a case is in every shard, and is counted once. */
    json_array_foreach(skips, i, skip) planned =
        sum(planned, json_integer_value(at(skip, "count")));
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
        json_int_t n = 0;
        for (size_t s = 0; s < count; s++)
            n = sum(n, json_integer_value(at(at(sorted[s], "summary"), keys[k])));
        for (size_t s = 1; s < count && strcmp(keys[k], "skipped") == 0; s++)
            n = sum(n, planned > 0 ? -planned : 0);
        json_object_set_new(summary, keys[k], json_integer(n));
    }
    return summary;
}

static bool add_verify(json_t *merged, const json_t *const *sorted, size_t count) {
    const json_t *results = at(merged, "results");
    struct assay_verify_coverage c;

    return json_object_set_new(merged, "summary",
                               sum_summaries(sorted, count, json_array_size(results))) == 0 &&
           assay_verify_cover_results(results, &c) &&
           json_object_set_new(merged, "coverage", assay_verify_coverage_json(&c)) == 0;
}

/* ---- The envelope ---------------------------------------------------------------------------- */

/* A UUID of all the shards' UUIDs: their digits added up. */
static json_t *joint_uuid(const json_t *const *sorted, size_t count) {
    char uuid[40];

    snprintf(uuid, sizeof uuid, "%.36s", text(sorted[0], "uuid"));
    for (size_t s = 1; s < count; s++) {
        const char *other = text(sorted[s], "uuid");
        for (size_t i = 0; i < 36 && other[i] != '\0'; i++) {
            const char digit[2] = {uuid[i], '\0'}, more[2] = {other[i], '\0'};
            if (i != 14 && i != 19 && uuid[i] != '-') /* version and variant stay */
                uuid[i] = "0123456789abcdef"[(strtoul(digit, NULL, 16) +
                                              3 * strtoul(more, NULL, 16) + s) %
                                             16];
        }
    }
    return json_string(uuid);
}

/* Where each part ran. */
static json_t *parts(const json_t *const *sorted, size_t count) {
    json_t *list = json_array();

    for (size_t s = 0; s < count; s++)
        json_array_append_new(list, json_pack("{ss sO sO? sO}", "uuid", text(sorted[s], "uuid"),
                                              "machine", at(sorted[s], "machine"), "started",
                                              at(sorted[s], "started"), "finished",
                                              at(sorted[s], "finished")));
    return list;
}

static bool set_times(json_t *merged, const json_t *const *sorted, size_t count) {
    const char *started = text(sorted[0], "started"), *finished = text(sorted[0], "finished");

    /* ISO 8601 of one form: the order of the strings is that of the times. */
    for (size_t s = 1; s < count; s++) {
        if (strcmp(text(sorted[s], "started"), started) < 0)
            started = text(sorted[s], "started");
        if (strcmp(text(sorted[s], "finished"), finished) > 0)
            finished = text(sorted[s], "finished");
    }
    return json_object_set_new(merged, "started", json_string(started)) == 0 &&
           json_object_set_new(merged, "finished", json_string(finished)) == 0;
}

static json_t *join(const json_t *const *sorted, size_t count, char *err, size_t err_size) {
    json_t *results =
        join_results(sorted, count, whole(at(sorted[0], "shard"), "cases"), err, err_size);
    json_t *merged;
    bool ok;

    if (results == NULL)
        return NULL;
    merged = json_copy((json_t *)(uintptr_t)sorted[0]);
    ok = merged != NULL && json_object_set(merged, "results", results) == 0 &&
         json_object_set_new(merged, "uuid", joint_uuid(sorted, count)) == 0 &&
         json_object_set_new(merged, "arguments", common_arguments(sorted[0])) == 0 &&
         json_object_set_new(merged, "shards", parts(sorted, count)) == 0 &&
         json_object_del(merged, "shard") == 0 && set_times(merged, sorted, count);
    if (ok && strcmp(text(merged, "command"), "verify") == 0)
        ok = add_verify(merged, sorted, count);
    json_decref(results);
    if (ok)
        return merged;
    json_decref(merged);
    return fail(err, err_size, "out of memory");
}

json_t *assay_shards_merge(const json_t *shards, char *err, size_t err_size) {
    const json_t **sorted, *r;
    json_t *merged = NULL;
    size_t i, count = whole(at(json_array_get(shards, 0), "shard"), "count");

    if (json_array_size(shards) == 0)
        return fail(err, err_size, "there is no record");
    json_array_foreach(shards, i, r) {
        if (!json_is_object(at(r, "shard")))
            return fail(err, err_size, "%s is no shard: its run had no --shard", text(r, "uuid"));
    }
    if (count < 1 || count > 10000)
        return fail(err, err_size, "%s is of %zu shards", text(json_array_get(shards, 0), "uuid"),
                    count);
    sorted = calloc(count, sizeof *sorted);
    if (sorted == NULL)
        return fail(err, err_size, "out of memory");
    if (sort_shards(shards, sorted, count, err, err_size))
        merged = join(sorted, count, err, err_size);
    free(sorted);
    return merged;
}
