#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "harness/env.h"
#include "harness/record.h"

static json_t *make(void) {
    char *argv[] = {"verify", "--seed", "9", "bad\xff", NULL};
    json_t *record = assay_record_new("verify", 4, argv, 2, 9);
    cr_assert_not_null(record);
    return record;
}

Test(record, envelope_has_every_field) {
    static const char *const names[] = {"schema",  "command", "arguments", "assay",
                                        "machine", "threads", "seed",      "started"};
    static const char *const build[] = {"version", "commit", "dirty", "compiler", "flags"};
    static const char *const machine[] = {"cpu",      "features",     "isa",
                                          "cores",    "memory_bytes", "l1d_bytes",
                                          "l2_bytes", "l3_bytes",     "os"};
    json_t *record = make();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        cr_assert_not_null(json_object_get(record, names[i]), "%s", names[i]);
    for (size_t i = 0; i < sizeof build / sizeof build[0]; i++)
        cr_assert_not_null(json_object_get(json_object_get(record, "assay"), build[i]), "%s",
                           build[i]);
    for (size_t i = 0; i < sizeof machine / sizeof machine[0]; i++)
        cr_assert_not_null(json_object_get(json_object_get(record, "machine"), machine[i]), "%s",
                           machine[i]);
    cr_assert_eq(json_integer_value(json_object_get(record, "schema")), ASSAY_RECORD_SCHEMA);
    cr_assert_eq(json_integer_value(json_object_get(record, "seed")), 9);
    json_decref(record);
}

Test(record, starts_with_the_program_not_with_the_record) {
    char now[32];
    time_t t;
    struct tm tm;
    json_t *record;

    sleep(2); /* the stamps have seconds */
    t = time(NULL);
    record = make();
    gmtime_r(&t, &tm);
    strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", &tm);
    cr_assert_lt(strcmp(json_string_value(json_object_get(record, "started")), now), 0);
    json_decref(record);
}

Test(record, arguments_leave_out_the_command_and_survive_bad_utf8) {
    json_t *record = make();
    json_t *arguments = json_object_get(record, "arguments");
    cr_assert_eq(json_array_size(arguments), 3);
    cr_assert_str_eq(json_string_value(json_array_get(arguments, 0)), "--seed");
    cr_assert_str_eq(json_string_value(json_array_get(arguments, 2)), "(not UTF-8)");
    json_decref(record);
}

Test(record, is_written_whole_and_reads_back) {
    char dir[] = "/tmp/assay-record-XXXXXX", path[64], part[80];
    json_t *record = make(), *again;
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/r.json", dir);
    snprintf(part, sizeof part, "%s.part", path);
    json_object_set_new(record, "results", json_pack("[f]", 1.0 / 3));
    cr_assert(assay_record_write(record, path));
    cr_assert_neq(access(part, F_OK), 0, "no temporary file is left");
    again = json_load_file(path, 0, NULL);
    cr_assert(json_equal(record, again), "numbers keep all their digits");
    cr_assert_not_null(json_object_get(again, "finished"));
    json_decref(again);
    json_decref(record);
    unlink(path);
    rmdir(dir);
}

Test(record, unwritable_path_is_an_error, .init = cr_redirect_stderr) {
    json_t *record = make();
    cr_assert_not(assay_record_write(record, "/nonexistent/r.json"));
    fflush(stderr);
    cr_assert_stderr_eq_str("assay: /nonexistent/r.json: can't write the record: No such file or "
                            "directory\n");
    json_decref(record);
}

Test(record, non_finite_numbers_go_there_and_back) {
    static const double values[] = {0.5, -0.0, INFINITY, -INFINITY, NAN};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        json_t *j = assay_json_real(values[i]);
        double v = assay_json_real_value(j);
        cr_assert(v == values[i] || (isnan(v) && isnan(values[i])));
        json_decref(j);
    }
}

Test(env, knows_this_build_and_machine) {
    const struct assay_env *e = assay_env_get();
    cr_assert_gt(strlen(e->version), 0);
    cr_assert_gt(strlen(e->commit), 0);
    cr_assert(strstr(e->compiler, "gcc ") == e->compiler || strstr(e->compiler, "clang ") != NULL);
    cr_assert_gt(strlen(e->cpu_model), 0);
    cr_assert_geq(e->cores, 1);
    cr_assert_gt(e->memory_bytes, 1 << 20);
    cr_assert_eq(e, assay_env_get());
}
