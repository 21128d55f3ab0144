/* Invariant: a record of any bytes is either refused in one line that names its file, or makes a
 * page whose markup is the template's own: every tag is one that the sections write, with the
 * attributes that they write, and is closed in its turn; no value of the record, whatever it holds,
 * adds a tag, an attribute or a character reference. (Plots are left out: they need gnuplot.) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "harness/report.h"
#include "markup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[256], err[512] = "";
    struct assay_record record;

    snprintf(path, sizeof path, "%s/record.json", fuzz_scratch());
    fuzz_write_file(path, data, size);
    if (!assay_report_read(path, &record, err, sizeof err)) {
        FUZZ_REQUIRE(fuzz_is_line(err) && strstr(err, path) != NULL, "'%s'", err);
        FUZZ_REQUIRE(record.json == NULL, "a refused record holds nothing");
        unlink(path);
        return 0;
    }
    char *page = NULL;
    size_t length;
    struct assay_report r = {.records = &record, .n_records = 1};
    r.body = open_memstream(&page, &length);
    FUZZ_REQUIRE(r.body != NULL, "memory");
    assay_report_verify(&r);
    assay_report_bench(&r);
    assay_report_mem(&r);
    assay_report_about(&r);
    FUZZ_REQUIRE(!ferror(r.body) && fclose(r.body) == 0, "memory");
    fuzz_check_markup(page);
    for (size_t i = 0; i < r.n_tiles; i++)
        for (size_t j = 0; j < 3; j++)
            FUZZ_REQUIRE(memchr(r.tiles[i][j], '\0', sizeof r.tiles[i][j]) != NULL, "tile %zu", i);
    free(page);
    json_decref(record.json);
    unlink(path);
    return 0;
}
