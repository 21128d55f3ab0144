/* Models in several files. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gguf_fixture.h"

#define SPLITS 3

static struct fixture f;

/* What split `no` says of itself; a test changes it to make a bad set. */
struct split {
    uint16_t no, count;
    bool numbered; /* has split.no at all */
    const char *tensor;
    int tensors_total; /* split.tensors.count; negative: none */
};

static struct split splits[SPLITS];

static void split_path(int no, char path[128]) {
    snprintf(path, 128, "%s/model-%05d-of-%05d.gguf", f.dir, no + 1, SPLITS);
}

static void write_split(int no) {
    const struct split *s = &splits[no];
    struct assay_gguf_writer *w = assay_gguf_writer_new(0);
    uint8_t v[4] = {(uint8_t)s->no, (uint8_t)(s->no >> 8)};
    if (s->numbered)
        assay_gguf_writer_kv_raw(w, "split.no", ASSAY_GGUF_U16, ASSAY_GGUF_U16, 1, v, 2);
    v[0] = (uint8_t)s->count;
    v[1] = (uint8_t)(s->count >> 8);
    assay_gguf_writer_kv_raw(w, "split.count", ASSAY_GGUF_U16, ASSAY_GGUF_U16, 1, v, 2);
    if (s->tensors_total >= 0) {
        v[0] = (uint8_t)s->tensors_total;
        v[1] = 0;
        assay_gguf_writer_kv_raw(w, "split.tensors.count", ASSAY_GGUF_I32, ASSAY_GGUF_I32, 1, v, 4);
    }
    if (no == 0)
        assay_gguf_writer_kv_str(w, "general.name", "in the first split");
    assay_gguf_writer_tensor(w, s->tensor, ASSAY_TYPE_I8, 1, (uint64_t[]){10 + (uint64_t)no});
    split_path(no, f.path);
    fixture_write(&f, w, 10 + (size_t)no);
}

static void write_all(void) {
    for (int i = 0; i < SPLITS; i++)
        write_split(i);
}

static void setup(void) {
    static const char *const names[SPLITS] = {"zero", "one", "two"};
    f = fixture_new("unused");
    for (uint16_t i = 0; i < SPLITS; i++)
        splits[i] = (struct split){i, SPLITS, true, names[i], SPLITS};
}

static void teardown(void) { fixture_free(&f); }

TestSuite(gguf_splits, .init = setup, .fini = teardown);

/* Opens split `given`, expects "FILE: offset N: REASON" for the file of split `blamed`. */
static void expect_error(int given, int blamed, const char *offset_and_reason) {
    char path[128], bad[128], err[1024] = "", want[1024];
    split_path(given, path);
    split_path(blamed, bad);
    snprintf(want, sizeof want, "%s: offset %s", bad, offset_and_reason);
    struct assay_gguf *g = assay_gguf_open(path, err, sizeof err);
    cr_assert(g == NULL, "opened a set that should give: %s", want);
    cr_assert_str_eq(err, want);
}

Test(gguf_splits, any_file_opens_the_whole_set_in_order) {
    write_all();
    for (int given = 0; given < SPLITS; given++) {
        char path[128], err[512] = "";
        split_path(given, path);
        struct assay_gguf *g = assay_gguf_open(path, err, sizeof err);
        cr_assert(g != NULL, "%s", err);
        cr_assert_eq(assay_gguf_split_count(g), SPLITS);
        cr_assert_eq(assay_gguf_tensor_count(g), SPLITS);
        cr_assert(assay_gguf_kv_find(g, "general.name") != NULL);
        uint64_t bytes = 0;
        for (uint32_t i = 0; i < SPLITS; i++) {
            const struct assay_gguf_tensor *t = assay_gguf_tensor_at(g, i);
            cr_assert_eq(t->split, i);
            cr_assert_eq(t->bytes, 10 + i);
            cr_assert_eq(t->data[9], 9);
            cr_assert_eq(assay_gguf_tensor_find(g, splits[i].tensor), t);
            split_path((int)i, path);
            cr_assert_str_eq(assay_gguf_split_path(g, i), path);
            bytes += t->file_offset + 32; /* one padded tensor a file */
        }
        cr_assert_eq(assay_gguf_file_bytes(g), bytes);
        assay_gguf_release_pages(g, assay_gguf_tensor_at(g, 2));
        assay_gguf_close(g);
    }
}

Test(gguf_splits, reports_a_missing_split_by_its_name) {
    char path[128];
    write_all();
    split_path(1, path);
    unlink(path);
    expect_error(0, 1, "0: cannot open: No such file or directory");
    expect_error(2, 1, "0: cannot open: No such file or directory");
}

Test(gguf_splits, reports_damage_in_the_split_that_has_it) {
    char path[128];
    write_all();
    split_path(2, path);
    cr_assert_eq(truncate(path, 10), 0);
    expect_error(0, 2, "8: truncated: tensor count needs 8 bytes, 2 remain");
}

Test(gguf_splits, rejects_swapped_splits) {
    splits[1].no = 2;
    write_all();
    /* 24 bytes of header, 8 + 8 of key, 4 of type */
    expect_error(0, 1, "44: split.no 2 of 3 does not match the file name");
}

Test(gguf_splits, rejects_a_split_of_another_set) {
    splits[2].count = 4;
    write_all();
    expect_error(0, 2, "44: split.no 2 of 4 does not match the file name");
}

Test(gguf_splits, rejects_a_file_name_that_does_not_fit) {
    splits[0].count = 7;
    write_all();
    /* 22 bytes of split.no come first; 8 + 11 of key, 4 of type */
    expect_error(0, 0,
                 "69: split.count is 7 but the file name does not end in "
                 "-0000I-of-00007.gguf");
}

Test(gguf_splits, rejects_a_split_without_number) {
    splits[1].numbered = false;
    write_all();
    expect_error(0, 1, "24: split file without the key split.no");
}

Test(gguf_splits, rejects_a_wrong_tensor_total) {
    splits[0].tensors_total = 4;
    write_all();
    /* 22 of split.no and 25 of split.count come first; 8 + 19 of key, 4 of type */
    expect_error(1, 0, "102: split.tensors.count is 4, the splits hold 3");
}

Test(gguf_splits, rejects_a_tensor_that_two_splits_hold) {
    splits[2].tensor = "zero";
    splits[0].tensors_total = -1; /* and does without the total */
    write_all();
    char want[128];
    snprintf(want, sizeof want, "%d: duplicate tensor name 'zero', first at offset %d of split 1",
             24 + 22 + 25 + 35, 24 + 22 + 25 + (8 + 12 + 4 + 8 + 18));
    expect_error(0, 2, want);
}

Test(gguf_splits, one_of_one_is_an_ordinary_file) {
    splits[0].count = 1;
    write_split(0);
    char path[128], err[512] = "";
    split_path(0, path);
    struct assay_gguf *g = assay_gguf_open(path, err, sizeof err);
    cr_assert(g != NULL, "%s", err);
    cr_assert_eq(assay_gguf_split_count(g), 1);
    assay_gguf_close(g);
}
