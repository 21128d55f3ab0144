/* One test per way in which a GGUF file can be wrong: the exact reason at the exact offset. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "datasets/gguf_internal.h"
#include "gguf_fixture.h"

static struct fixture f;

static void setup(void) { f = fixture_small(); }
static void teardown(void) { fixture_free(&f); }

TestSuite(gguf_malformed, .init = setup, .fini = teardown);

static size_t remain_after(size_t at) { return f.size - at; }

Test(gguf_malformed, rejects_empty_file) {
    f.size = 0;
    fixture_expect_error(&f, 0, "empty file");
}

Test(gguf_malformed, rejects_other_magic) {
    memcpy(f.image, "GGML", 4);
    fixture_expect_error(&f, 0, "not a GGUF file: magic 47 47 4d 4c, not 47 47 55 46");
}

Test(gguf_malformed, rejects_truncation_inside_magic) {
    f.size = 3;
    fixture_expect_error(&f, 0, "truncated: magic needs 4 bytes, 3 remain");
}

Test(gguf_malformed, rejects_truncated_header) {
    f.size = 6;
    fixture_expect_error(&f, 4, "truncated: version needs 4 bytes, 2 remain");
    f.size = 15;
    fixture_expect_error(&f, 8, "truncated: tensor count needs 8 bytes, 7 remain");
    f.size = 16;
    fixture_expect_error(&f, 16, "truncated: metadata count needs 8 bytes, 0 remain");
}

Test(gguf_malformed, rejects_version_1) {
    fixture_put32(&f, 4, 1);
    fixture_expect_error(&f, 4,
                         "GGUF version 1 is no longer supported (32-bit counts); convert the file "
                         "to version 3");
}

Test(gguf_malformed, rejects_unknown_versions) {
    fixture_put32(&f, 4, 4);
    fixture_expect_error(&f, 4, "GGUF version 4 is unknown; versions 2 and 3 are read");
    fixture_put32(&f, 4, 0);
    fixture_expect_error(&f, 4, "GGUF version 0 is unknown; versions 2 and 3 are read");
}

Test(gguf_malformed, rejects_big_endian_file) {
    fixture_put32(&f, 4, 0x03000000);
    fixture_expect_error(
        &f, 4, "big-endian GGUF file (version bytes swapped); only little-endian is read");
}

Test(gguf_malformed, rejects_tensor_count_beyond_file) {
    size_t fit = (f.size - 24) / 33;
    fixture_put64(&f, 8, fit + 1);
    fixture_expect_error(&f, 8, "%zu tensors cannot fit in the %zu bytes that remain", fit + 1,
                         f.size - 24);
    fixture_put64(&f, 8, UINT64_MAX);
    fixture_expect_error(
        &f, 8, "18446744073709551615 tensors cannot fit in the %zu bytes that remain", f.size - 24);
}

Test(gguf_malformed, rejects_kv_count_beyond_file) {
    size_t fit = (f.size - 24) / 14;
    fixture_put64(&f, 16, fit + 1);
    fixture_expect_error(&f, 16, "%zu key-value pairs cannot fit in the %zu bytes that remain",
                         fit + 1, f.size - 24);
}

Test(gguf_malformed, rejects_key_longer_than_file) {
    size_t at = fixture_find(&f, "a.flag");
    fixture_put64(&f, at, UINT64_MAX - 3);
    fixture_expect_error(&f, at,
                         "key length 18446744073709551612 exceeds the %zu bytes that remain",
                         remain_after(at + 8));
}

Test(gguf_malformed, rejects_key_above_limit) {
    size_t at = fixture_find(&f, "a.flag");
    f.image = realloc(f.image, f.size + 70000);
    memset(f.image + f.size, 'x', 70000);
    f.size += 70000;
    fixture_put64(&f, at, 65536);
    fixture_expect_error(&f, at, "key length 65536 exceeds the limit of 65535");
}

Test(gguf_malformed, rejects_empty_key) {
    size_t at = fixture_find(&f, "a.flag");
    fixture_put64(&f, at, 0);
    fixture_expect_error(&f, at, "key is empty");
}

Test(gguf_malformed, rejects_key_with_nul) {
    size_t at = fixture_find(&f, "a.flag");
    f.image[at + 8 + 2] = 0;
    fixture_expect_error(&f, at + 8 + 2, "key holds a NUL byte");
}

Test(gguf_malformed, rejects_duplicate_key) {
    size_t flag = fixture_find(&f, "a.flag"), text = fixture_find(&f, "a.text");
    memcpy(f.image + text + 8, "a.flag", 6);
    fixture_expect_error(&f, text, "duplicate key 'a.flag', first at offset %zu", flag);
}

Test(gguf_malformed, rejects_unknown_value_type) {
    size_t at = fixture_kind(&f, "a.flag");
    fixture_put32(&f, at, 13);
    fixture_expect_error(&f, at, "value type 13 is unknown (largest known: 12)");
}

Test(gguf_malformed, rejects_unknown_element_type) {
    size_t at = fixture_kind(&f, "a.list") + 4;
    fixture_put32(&f, at, 99);
    fixture_expect_error(&f, at, "array element type 99 is unknown (largest known: 12)");
}

Test(gguf_malformed, rejects_bool_of_two) {
    size_t at = fixture_kind(&f, "a.flag") + 4;
    f.image[at] = 2;
    fixture_expect_error(&f, at, "bool value 2 is neither 0 nor 1");
}

Test(gguf_malformed, rejects_array_longer_than_file) {
    size_t at = fixture_kind(&f, "a.list") + 8;
    size_t fit = remain_after(at + 8) / 4;
    fixture_put64(&f, at, fit + 1);
    fixture_expect_error(&f, at, "array of %zu elements cannot fit in the %zu bytes that remain",
                         fit + 1, remain_after(at + 8));
    /* 2^62 elements of 4 bytes are 2^64 bytes: the product would wrap to 0. */
    fixture_put64(&f, at, UINT64_C(1) << 62);
    fixture_expect_error(
        &f, at, "array of 4611686018427387904 elements cannot fit in the %zu bytes that remain",
        remain_after(at + 8));
}

Test(gguf_malformed, rejects_string_longer_than_file) {
    size_t at = fixture_kind(&f, "a.text") + 4;
    fixture_put64(&f, at, remain_after(at + 8) + 1);
    fixture_expect_error(&f, at, "string length %zu exceeds the %zu bytes that remain",
                         remain_after(at + 8) + 1, remain_after(at + 8));
}

Test(gguf_malformed, rejects_string_above_limit) {
    size_t at = fixture_kind(&f, "a.text") + 4;
    char err[512], expected[512];
    fixture_put64(&f, at, (UINT64_C(1) << 30) + 1);
    cr_assert(fixture_open(&f, err, sizeof err) == NULL);
    cr_assert_eq(truncate(f.path, (off_t)3 << 29), 0); /* sparse: takes no space */
    cr_assert(assay_gguf_open(f.path, err, sizeof err) == NULL);
    snprintf(expected, sizeof expected,
             "%s: offset %zu: string length 1073741825 exceeds the limit of 1073741824", f.path,
             at);
    cr_assert_str_eq(err, expected);
}

Test(gguf_malformed, rejects_truncation_inside_value) {
    size_t at = fixture_kind(&f, "a.list") + 16;
    fixture_put64(&f, 8, 0); /* or the tensors are found not to fit first */
    f.size = at + 11;
    fixture_expect_error(&f, at - 8, "array of 3 elements cannot fit in the 11 bytes that remain");
    fixture_put64(&f, 16, 2);
    f.size = fixture_kind(&f, "a.flag") + 4;
    fixture_expect_error(&f, f.size, "truncated: value needs 1 bytes, 0 remain");
}

/* `depth` arrays, each the only element of the one around it, the last one empty. */
static struct fixture nested_arrays(int depth) {
    struct fixture n = fixture_new("nested.gguf");
    struct assay_gguf_writer *w = assay_gguf_writer_new(0);
    uint8_t value[12 * 16] = {0};
    for (int i = 0; i < depth - 1; i++) {
        bool last = i == depth - 2;
        value[12 * i] = last ? ASSAY_GGUF_U8 : ASSAY_GGUF_ARRAY;
        value[12 * i + 4] = last ? 0 : 1;
    }
    assay_gguf_writer_kv_raw(w, "a", ASSAY_GGUF_ARRAY, depth > 1 ? ASSAY_GGUF_ARRAY : ASSAY_GGUF_U8,
                             depth > 1, value, 12 * (size_t)(depth - 1));
    fixture_write(&n, w, 0);
    return n;
}

Test(gguf_malformed, rejects_arrays_nested_deeper_than_the_limit) {
    char err[512] = "";
    struct fixture n = nested_arrays(ASSAY_GGUF_ARRAY_DEPTH_MAX);
    struct assay_gguf *g = fixture_open(&n, err, sizeof err);
    cr_assert(g != NULL, "%s", err);
    assay_gguf_close(g);
    fixture_free(&n);
    n = nested_arrays(ASSAY_GGUF_ARRAY_DEPTH_MAX + 1);
    fixture_expect_error(&n, 24 + 8 + 1 + 4 + 12 * 9, "arrays nested deeper than 8");
    fixture_free(&n);
}

Test(gguf_malformed, rejects_bad_alignment) {
    struct fixture a = fixture_new("aligned.gguf");
    struct assay_gguf_writer *w = assay_gguf_writer_new(64);
    fixture_write(&a, w, 0);
    size_t kind = fixture_kind(&a, "general.alignment");
    static const uint32_t bad[] = {0, 4, 48, 1 << 21, UINT32_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fixture_put32(&a, kind + 4, bad[i]);
        fixture_expect_error(&a, kind + 4,
                             "general.alignment %u is no power of two from 8 to 1048576", bad[i]);
    }
    fixture_put32(&a, kind + 4, 64);
    fixture_put32(&a, kind, ASSAY_GGUF_I32);
    fixture_expect_error(&a, kind + 4, "general.alignment is not of type u32");
    fixture_free(&a);
}

Test(gguf_malformed, rejects_tensor_name_above_ggml_limit) {
    size_t at = fixture_find(&f, "first");
    fixture_put64(&f, at, 64);
    fixture_expect_error(&f, at, "tensor name length 64 exceeds the limit of 63");
}

Test(gguf_malformed, rejects_empty_tensor_name) {
    size_t at = fixture_find(&f, "first");
    fixture_put64(&f, at, 0);
    fixture_expect_error(&f, at, "tensor name is empty");
}

Test(gguf_malformed, rejects_tensor_name_with_nul) {
    size_t at = fixture_find(&f, "first");
    f.image[at + 8 + 4] = 0;
    fixture_expect_error(&f, at + 12, "tensor name holds a NUL byte");
}

Test(gguf_malformed, rejects_duplicate_tensor_name) {
    struct fixture d = fixture_new("twice.gguf");
    struct assay_gguf_writer *w = assay_gguf_writer_new(0);
    assay_gguf_writer_tensor(w, "aa", ASSAY_TYPE_I8, 1, (uint64_t[]){1});
    assay_gguf_writer_tensor(w, "bb", ASSAY_TYPE_I8, 1, (uint64_t[]){1});
    assay_gguf_writer_tensor(w, "aa", ASSAY_TYPE_I8, 1, (uint64_t[]){1});
    fixture_write(&d, w, 3);
    fixture_expect_error(&d, 24 + 2 * (8 + 2 + 4 + 8 + 4 + 8),
                         "duplicate tensor name 'aa', first at offset 24 of split 1");
    fixture_free(&d);
}

Test(gguf_malformed, rejects_dimension_counts) {
    size_t at = fixture_dims(&f, "first");
    fixture_put32(&f, at, 0);
    fixture_expect_error(&f, at, "tensor 'first' has 0 dimensions, not 1 to 4");
    fixture_put32(&f, at, 5);
    fixture_expect_error(&f, at, "tensor 'first' has 5 dimensions, not 1 to 4");
}

Test(gguf_malformed, rejects_zero_dimension) {
    size_t at = fixture_dims(&f, "first") + 4;
    fixture_put64(&f, at + 8, 0);
    fixture_expect_error(&f, at + 8, "tensor 'first': dimension 1 is zero");
}

Test(gguf_malformed, rejects_element_count_overflow) {
    size_t at = fixture_dims(&f, "first") + 4;
    fixture_put64(&f, at + 8, UINT64_C(1) << 58); /* 64 · 2^58 = 2^64 wraps to 0 */
    fixture_expect_error(&f, at + 8,
                         "tensor 'first': the element count overflows at dimension 1 "
                         "(288230376151711744)");
    fixture_put64(&f, at, UINT64_MAX);
    fixture_expect_error(&f, at,
                         "tensor 'first': the element count overflows at dimension 0 "
                         "(18446744073709551615)");
}

Test(gguf_malformed, rejects_byte_count_overflow) {
    size_t at = fixture_dims(&f, "second") + 4;
    fixture_put64(&f, at, INT64_MAX); /* elements fit 63 bits, times 4 bytes do not fit 64 */
    fixture_expect_error(&f, at + 8, "tensor 'second': the size in bytes overflows");
}

Test(gguf_malformed, rejects_unknown_tensor_type) {
    size_t at = fixture_type(&f, "first");
    fixture_put32(&f, at, 12345);
    fixture_expect_error(&f, at, "tensor 'first': type 12345 is unknown");
}

Test(gguf_malformed, names_removed_tensor_types) {
    static const struct {
        uint32_t id;
        const char *name;
    } removed[] = {{4, "Q4_2"},      {5, "Q4_3"},        {31, "Q4_0_4_4"},   {32, "Q4_0_4_8"},
                   {33, "Q4_0_8_8"}, {36, "IQ4_NL_4_4"}, {37, "IQ4_NL_4_8"}, {38, "IQ4_NL_8_8"}};
    size_t at = fixture_type(&f, "first");
    for (size_t i = 0; i < sizeof removed / sizeof *removed; i++) {
        fixture_put32(&f, at, removed[i].id);
        fixture_expect_error(&f, at, "tensor 'first': type %u (%s) was removed from the format",
                             removed[i].id, removed[i].name);
    }
}

Test(gguf_malformed, rejects_row_that_is_no_multiple_of_the_block) {
    fixture_put64(&f, fixture_dims(&f, "first") + 4, 48);
    fixture_expect_error(&f, fixture_type(&f, "first"),
                         "tensor 'first': row length 48 is no multiple of Q4_0's block of 32");
}

Test(gguf_malformed, rejects_misaligned_tensor) {
    size_t at = fixture_offset(&f, "second");
    fixture_put64(&f, at, 97);
    fixture_expect_error(&f, at,
                         "tensor 'second': data offset 97 is no multiple of the alignment 32");
}

Test(gguf_malformed, rejects_truncated_tensor_data) {
    size_t data = f.size - 128; /* 72 + padding + 20 + padding */
    f.size = data + 96 + 19;
    fixture_expect_error(&f, data + 96,
                         "truncated: tensor 'second' needs 20 bytes here, the file ends at %zu",
                         f.size);
    f.size = data - 1; /* not even the padding after the header */
    fixture_expect_error(
        &f, data, "truncated: tensor 'first' needs 72 bytes here, the file ends at %zu", f.size);
}

Test(gguf_malformed, rejects_tensor_offset_overflow) {
    size_t record = fixture_find(&f, "second");
    fixture_put64(&f, fixture_offset(&f, "second"), UINT64_MAX - 31);
    fixture_expect_error(&f, record, "tensor 'second': data offset 18446744073709551584 overflows");
}

Test(gguf_malformed, rejects_overlapping_tensors) {
    size_t data = f.size - 128;
    fixture_put64(&f, fixture_offset(&f, "second"), 64); /* first has 72 bytes */
    fixture_expect_error(&f, data + 64,
                         "tensor 'second' overlaps tensor 'first', which ends at %zu", data + 72);
    fixture_put64(&f, fixture_offset(&f, "second"), 0);
    fixture_expect_error(&f, data, "tensor 'second' overlaps tensor 'first', which ends at %zu",
                         data + 72);
}

Test(gguf_malformed, rejects_truncation_anywhere_in_the_header) {
    size_t header = f.size - 128;
    for (size_t n = 0; n < header; n++) {
        char err[512] = "";
        f.size = n;
        struct assay_gguf *g = fixture_open(&f, err, sizeof err);
        cr_assert(g == NULL, "opened with %zu of %zu header bytes", n, header);
        cr_assert(strncmp(err, f.path, strlen(f.path)) == 0 && strstr(err, ": offset ") != NULL,
                  "%s", err);
    }
}

Test(gguf_malformed, rejects_what_is_no_regular_file) {
    char err[512], expected[512];
    cr_assert(assay_gguf_open(f.dir, err, sizeof err) == NULL);
    snprintf(expected, sizeof expected, "%s: offset 0: is a directory", f.dir);
    cr_assert_str_eq(err, expected);
    unlink(f.path);
    cr_assert(assay_gguf_open(f.path, err, sizeof err) == NULL);
    snprintf(expected, sizeof expected, "%s: offset 0: cannot open: No such file or directory",
             f.path);
    cr_assert_str_eq(err, expected);
    cr_assert_eq(mkfifo(f.path, 0600), 0);
    cr_assert(assay_gguf_open(f.path, err, sizeof err) == NULL);
    snprintf(expected, sizeof expected, "%s: offset 0: is not a regular file", f.path);
    cr_assert_str_eq(err, expected);
}

Test(gguf_malformed, rejects_unreadable_file) {
    char err[512], expected[512];
    if (geteuid() == 0)
        cr_skip_test("root may read every file");
    cr_assert_eq(chmod(f.path, 0), 0);
    cr_assert(assay_gguf_open(f.path, err, sizeof err) == NULL);
    snprintf(expected, sizeof expected, "%s: offset 0: cannot open: Permission denied", f.path);
    cr_assert_str_eq(err, expected);
}

Test(gguf_malformed, keeps_messages_on_one_line_in_any_buffer) {
    size_t at = fixture_find(&f, "first");
    f.image[at + 8] = '\n';
    fixture_put32(&f, at + 8 + 5, 9);
    fixture_expect_error(&f, at + 8 + 5, "tensor '\\nirst' has 9 dimensions, not 1 to 4");
    char err[16];
    memset(err, 'x', sizeof err);
    cr_assert(fixture_open(&f, err, 5) == NULL);
    cr_assert(memchr(err, '\0', 5) != NULL);
    cr_assert_eq(err[5], 'x');
    cr_assert(fixture_open(&f, NULL, 0) == NULL);
}
