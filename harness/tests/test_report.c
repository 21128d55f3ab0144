#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/options.h"
#include "harness/report.h"
#include "harness/report_html.h"

/* What a writer puts into a stream. */
static char *text_of(void (*write)(FILE *f, const char *s), const char *s) {
    char *buf = NULL;
    size_t size;
    FILE *f = open_memstream(&buf, &size);
    write(f, s);
    fclose(f);
    return buf;
}

Test(report, text_cannot_become_markup) {
    char *s = text_of(assay_html_text, "<img src=x onerror=\"a('b')\">&amp;\x01\x7f");
    cr_assert_str_eq(s, "&lt;img src=x onerror=&quot;a(&#39;b&#39;)&quot;&gt;&amp;amp;"
                        "\xef\xbf\xbd\xef\xbf\xbd");
    free(s);
}

/* A file in a temporary place, removed with the test. */
static const char *file_with(const char *content) {
    static char path[] = "/tmp/assay-report-XXXXXX";
    int fd = mkstemp(path);
    FILE *f = fdopen(fd, "w");
    fputs(content, f);
    fclose(f);
    return path;
}

static void expect_rejected(const char *content, const char *reason) {
    struct assay_record rec;
    char err[512] = "";
    const char *path = file_with(content);
    bool ok = assay_report_read(path, &rec, err, sizeof err);
    unlink(path);
    cr_assert(!ok, "accepted: %s", content);
    cr_assert_null(rec.json);
    cr_assert_not_null(strstr(err, reason), "message was: %s", err);
    cr_assert_not_null(strstr(err, path), "message names no file: %s", err);
    cr_assert_null(strchr(err, '\n'));
}

Test(report, says_where_json_is_malformed) {
    expect_rejected("{\"schema\": 1,\n \"command\": }", "line 2, column 13");
}

Test(report, says_that_a_file_is_empty) { expect_rejected("", "line 1, column 0"); }

Test(report, shows_control_codes_in_what_is_no_json) {
    expect_rejected("{\"schema\":\x7f}", "invalid token near '\\x7f'");
}

Test(report, rejects_json_of_others) {
    expect_rejected("{\"name\": \"left-pad\"}", "not an assay record");
}

Test(report, rejects_an_array) { expect_rejected("[1, 2]", "not an assay record"); }

Test(report, rejects_a_schema_from_the_future) {
    expect_rejected("{\"schema\": 99, \"command\": \"verify\", \"results\": []}", "schema 99");
}

Test(report, rejects_a_record_of_another_command) {
    expect_rejected("{\"schema\": 1, \"command\": \"inspect\", \"results\": []}", "\"inspect\"");
}

Test(report, rejects_results_that_are_no_objects) {
    expect_rejected("{\"schema\": 1, \"command\": \"verify\", \"results\": [{}, 7]}", "results[1]");
}

Test(report, rejects_a_record_without_results) {
    expect_rejected("{\"schema\": 1, \"command\": \"bench\"}", "results");
}

Test(report, names_a_file_that_does_not_exist) {
    struct assay_record rec;
    char err[512];
    cr_assert(!assay_report_read("/nonexistent/r.json", &rec, err, sizeof err));
    cr_assert_not_null(strstr(err, "/nonexistent/r.json"));
}

Test(report, reads_numbers_that_json_cannot_hold) {
    json_t *j = json_pack("{s{ss ss sf}}", "a", "x", "inf", "y", "nonsense", "z", 2.5);
    cr_assert(isinf(assay_report_num(j, "a.x")));
    cr_assert(isnan(assay_report_num(j, "a.y")));
    cr_assert(isnan(assay_report_num(j, "a.z.deeper")));
    cr_assert_eq(assay_report_num(j, "a.z"), 2.5);
    json_decref(j);
}

/* ---- Whole pages ---- */

static char *page_of(const char *json) {
    struct assay_record rec = {.path = "r.json", .json = json_loads(json, 0, NULL)};
    char *buf = NULL;
    size_t size;
    FILE *f = open_memstream(&buf, &size);

    cr_assert_not_null(rec.json, "the test's JSON is broken");
    rec.command = json_string_value(json_object_get(rec.json, "command"));
    cr_assert(assay_report_write(f, &rec, 1,
                                 &(struct assay_report_options){.title = "a <title> & more"}));
    fclose(f);
    json_decref(rec.json);
    return buf;
}

#define HOSTILE "</code><script>alert(1)</script>"

static const char verify_record[] =
    "{\"schema\": 1, \"command\": \"verify\", \"arguments\": [\"--gguf\", \"a b'c" HOSTILE "\"],"
    " \"machine\": {\"cpu\": \"" HOSTILE "\"}, \"assay\": {\"commit\": \"" HOSTILE "\"},"
    " \"skips\": [{\"what\": \"" HOSTILE "\", \"reason\": \"" HOSTILE "\", \"count\": 3}],"
    " \"results\": ["
    "  {\"types\": [\"q4_k\"], \"backend\": \"cpu\", \"isa\": \"avx2\", \"verdict\": \"pass\","
    "   \"ratio\": 0.25, \"elements\": 10},"
    "  {\"types\": [\"" HOSTILE "\"], \"backend\": \"" HOSTILE "\", \"isa\": \"" HOSTILE "\","
    "   \"verdict\": \"fail\", \"id\": \"@" HOSTILE "\", \"problem\": \"" HOSTILE "\","
    "   \"ratio\": \"inf\", \"elements\": 1,"
    "   \"worst\": {\"row\": 3, \"column\": 7, \"got\": \"nan\", \"expected\": 1, \"bound\": 0.1}}"
    " ]}";

static const char bench_record[] =
    "{\"schema\": 1, \"command\": \"bench\", \"results\": [{\"type\": \"" HOSTILE "\", \"m\": 1,"
    " \"n\": 2, \"k\": 3, \"threads\": 1, \"contenders\": [{\"contender\": \"" HOSTILE "\","
    "  \"status\": \"measured\", \"ns\": {\"median\": 5, \"mad\": 1}, \"weight_gb_s\": 1,"
    "  \"gflop_s\": 1, \"resident_bytes\": 6, \"speedup\": {\"median\": 1}},"
    " {\"contender\": \"x\", \"status\": \"" HOSTILE "\"}]}]}";

static const char mem_record[] =
    "{\"schema\": 1, \"command\": \"mem\", \"model\": {\"name\": \"" HOSTILE "\"},"
    " \"results\": [{\"mode\": \"" HOSTILE "\", \"measured\": {\"peak_bytes\": 9,"
    "  \"disk_bytes\": 3}}, {\"mode\": \"x\", \"reason\": \"" HOSTILE "\"}]}";

Test(report, nothing_of_a_record_becomes_markup) {
    const char *const records[] = {verify_record, bench_record, mem_record};
    for (size_t i = 0; i < 3; i++) {
        char *page = page_of(records[i]);
        cr_assert_null(strstr(strstr(page, "<script nonce=") + 1, "<script"), "record %zu", i);
        cr_assert_null(strstr(page, "<script>"), "record %zu", i);
        cr_assert_not_null(strstr(page, "&lt;script&gt;alert(1)"));
        cr_assert_not_null(strstr(page, "a &lt;title&gt; &amp; more"));
        free(page);
    }
}

/* What a format writes of one record. */
static char *text_page(const char *json, bool csv) {
    struct assay_record rec = {.path = "r.json", .json = json_loads(json, 0, NULL)};
    char *buf = NULL;
    size_t size;
    FILE *f = open_memstream(&buf, &size);

    cr_assert_not_null(rec.json);
    rec.command = json_string_value(json_object_get(rec.json, "command"));
    if (csv)
        assay_report_csv(f, &rec, 1);
    else
        assay_report_markdown(f, &rec, 1, "a | <b> @someone");
    fclose(f);
    json_decref(rec.json);
    return buf;
}

Test(report, markdown_of_hostile_records_holds_no_markup) {
    const char *const records[] = {verify_record, bench_record, mem_record};
    for (size_t i = 0; i < 3; i++) {
        char *page = text_page(records[i], false);
        cr_assert_null(strstr(page, "<script"), "record %zu", i);
        cr_assert_not_null(strstr(page, "&lt;script&gt;"), "record %zu", i);
        cr_assert_not_null(strstr(page, "### a &#124; &lt;b&gt; &#64;someone"));
        free(page);
    }
    char *page = text_page(verify_record, false);
    cr_assert_not_null(strstr(page, "1 of 2 cases within"));
    free(page);
}

Test(report, csv_quotes_what_it_holds) {
    char *page =
        text_page("{\"schema\": 1, \"command\": \"mem\", \"model\": {\"path\": \"=a\\\"b\"},"
                  " \"results\": [{\"mode\": \"cpu\", \"measured\": {\"peak_bytes\": 9}}]}",
                  true);
    cr_assert_str_eq(page, "command,commit,subject,type,runner,figure,m,value\n"
                           "\"mem\",\"\",\"'=a\"\"b\",\"\",\"cpu\",\"peak_bytes\",,9\n");
    free(page);
}

Test(report, a_failure_is_the_verdict_and_names_its_element) {
    char *page = page_of(verify_record);
    cr_assert_not_null(strstr(page, "1 of 2 cases failed"));
    cr_assert_not_null(strstr(page, "row 3, column 7"));
    free(page);
}

/* A right case of assay's own beside a wrong one of a peer. */
static const char peer_record[] =
    "{\"schema\": 1, \"command\": \"verify\", \"results\": ["
    "  {\"types\": [\"q4_k\"], \"backend\": \"cpu\", \"verdict\": \"pass\", \"ratio\": 0.25,"
    "   \"elements\": 10},"
    "  {\"types\": [\"q4_k\"], \"backend\": \"ggml\", \"verdict\": \"fail\", \"id\": "
    "\"id-of-the-peer\","
    "   \"ratio\": 3, \"elements\": 10}]}";

Test(report, a_failure_of_a_peer_is_shown_and_is_no_verdict) {
    char *page = page_of(peer_record);
    cr_assert_not_null(strstr(page, "<p class=\"verdict good\">All 1 cases are within"));
    cr_assert_not_null(strstr(page, "left out of the verdict: 1 of 1 cases failed."));
    cr_assert_not_null(strstr(page, "<h3>Failures of peers</h3>"));
    cr_assert_not_null(strstr(page, "id-of-the-peer"));
    free(page);
    page = text_page(peer_record, false);
    cr_assert_not_null(
        strstr(page, "✅ **1 of 1 cases within their error bound**; of peers, 0 of 1"));
    cr_assert_not_null(strstr(page, "id-of-the-peer"));
    free(page);
}

Test(report, commands_come_back_quoted_for_a_shell) {
    char *page = page_of(verify_record);
    cr_assert_not_null(strstr(page, "assay verify --gguf &#39;a b&#39;\\&#39;&#39;c"));
    free(page);
}

Test(report, needs_nothing_from_outside) {
    char *page = page_of(verify_record);
    cr_assert_null(strstr(page, "src="));
    cr_assert_null(strstr(page, "<link"));
    cr_assert_null(strstr(page, "@import"));
    cr_assert_not_null(strstr(page, "default-src 'none'"));
    free(page);
}

Test(report, records_without_expected_fields_still_make_a_page) {
    static const char *const records[] = {
        "{\"schema\": 1, \"command\": \"verify\", \"results\": [{}]}",
        "{\"schema\": 1, \"command\": \"bench\", \"results\": [{}, {\"type\": 3}]}",
        ("{\"schema\": 1, \"command\": \"mem\", \"results\": [{\"measured\": {\"peak_bytes\": "
         "\"x\"}}]}"),
        "{\"schema\": 1, \"command\": \"mem\", \"results\": []}",
    };
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++) {
        char *page = page_of(records[i]);
        cr_assert_not_null(strstr(page, "</html>"), "record %zu", i);
        free(page);
    }
}

Test(report, without_gnuplot_there_are_tables_and_a_note) {
    setenv("PATH", "/nonexistent", 1);
    char *page = page_of(verify_record);
    cr_assert_null(strstr(page, "<svg"));
    cr_assert_not_null(strstr(page, "tables only"));
    cr_assert_not_null(strstr(page, "<table"));
    free(page);
}

Test(report, plots_carry_a_description_and_stay_apart) {
    char *page = page_of(verify_record);
    if (assay_plot_available()) {
        cr_assert_not_null(strstr(page, "<svg role=\"img\" aria-label=\""));
        cr_assert_null(strstr(page, "id='gpPt"), "ids of two plots would collide");
    }
    free(page);
}

Test(report, bad_input_exits_2_and_leaves_no_page) {
    const char *path = file_with("{");
    char *argv[] = {"report", (char *)path, "-o", "/tmp/assay-no-report.html", NULL};
    struct assay_args args;
    int code = -1;

    cr_assert(freopen("/dev/null", "w", stderr) != NULL);
    cr_assert(assay_args_parse(&assay_cmd_report, 4, argv, &args, &code));
    cr_assert_eq(assay_cmd_report.run(&args), ASSAY_EXIT_USAGE);
    cr_assert_neq(access("/tmp/assay-no-report.html", F_OK), 0);
    assay_args_free(&args);
    unlink(path);
}
