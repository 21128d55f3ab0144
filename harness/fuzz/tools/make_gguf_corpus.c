/* Writes the hand-made GGUF files of the corpus, one for each field and each way to be wrong, and
 * the sets of files of target_model.c:
 *
 *   cc -std=c11 -D_GNU_SOURCE -I. -o build/make_gguf_corpus \
 *      harness/fuzz/tools/make_gguf_corpus.c ref/types.c ref/[dhi]*.c
 *   build/make_gguf_corpus harness/fuzz/corpus
 *
 * It writes the format by hand, not with assay's writer, so that a mistake is not shared. Names
 * begin with ok-, err- (invalid) or odd- (readers differ); gguf.verdicts has what assay says of
 * each, and datasets/tests/test_gguf_corpus.c holds the reader to it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ref/types.h"

static uint8_t image[1 << 17];
static size_t n;
static const char *folder;

static void bytes(const void *p, size_t len) {
    memcpy(image + n, p, len);
    n += len;
}

static void le(uint64_t v, int width) {
    for (int i = 0; i < width; i++)
        image[n++] = (uint8_t)(v >> 8 * i);
}

static void str_n(const char *s, uint64_t len) {
    le(len, 8);
    bytes(s, strlen(s));
}
static void str(const char *s) { str_n(s, strlen(s)); }

static void header(uint32_t version, uint64_t tensors, uint64_t keys) {
    n = 0;
    bytes("GGUF", 4);
    le(version, 4);
    le(tensors, 8);
    le(keys, 8);
}

static void kv(const char *key, uint32_t kind, uint64_t value, int width) {
    str(key);
    le(kind, 4);
    le(value, width);
}

static void kv_str(const char *key, const char *value) {
    str(key);
    le(8, 4);
    str(value);
}

static void kv_array(const char *key, uint32_t elem, uint64_t count) {
    str(key);
    le(9, 4);
    le(elem, 4);
    le(count, 8);
}

static void tensor(const char *name, uint32_t dims, uint64_t d0, uint64_t d1, uint32_t type,
                   uint64_t offset) {
    str(name);
    le(dims, 4);
    for (uint32_t i = 0; i < dims && i < 8; i++)
        le(i == 0 ? d0 : i == 1 ? d1 : 1, 8);
    le(type, 4);
    le(offset, 8);
}

static void pad(size_t to) {
    while (n % to != 0)
        image[n++] = 0;
}

static void data(size_t len) {
    pad(32);
    for (size_t i = 0; i < len; i++)
        image[n++] = (uint8_t)(i % 251);
}

static void save_in(const char *target, const char *name, const char *suffix) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s/%s%s", folder, target, name, suffix);
    FILE *f = fopen(path, "wb");
    if (f == NULL || fwrite(image, 1, n, f) != n || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}
static void save(const char *name) { save_in("gguf", name, ".gguf"); }

static const int width[13] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

/* ---- Valid files ---- */

static void every_kind(void) {
    static const uint64_t value[13] = {200, 0x80,       65535,      0x8000, 4000000000, 0x80000000,
                                       0x3fc00000, 1, 0, 0, UINT64_MAX, UINT64_C(1) << 63,
                                       UINT64_C(0x3ff8000000000000)};
    static const char *const key[13] = {"a.u8",  "a.i8",   "a.u16", "a.i16", "a.u32", "a.i32", "a.f32",
                                        "a.bool", "a.str", "a.arr", "a.u64", "a.i64", "a.f64"};
    header(3, 0, 12);
    for (uint32_t k = 0; k < 13; k++)
        if (k == 8)
            kv_str(key[k], "text");
        else if (k != 9)
            kv(key[k], k, value[k], width[k]);
    save("ok-every-kind");
    header(3, 0, 12);
    for (uint32_t k = 0; k < 13; k++) {
        if (k == 9)
            continue;
        kv_array(key[k], k, 10);
        for (int i = 0; i < 10; i++)
            if (k == 8)
                str("x");
            else
                le(k == 7 ? (uint64_t)i % 2 : value[k], width[k]);
    }
    save("ok-array-of-every-kind");
    header(3, 0, 12);
    for (uint32_t k = 0; k < 13; k++)
        if (k != 9)
            kv_array(key[k], k, 0);
    save("ok-empty-arrays");
    header(3, 0, 3);
    kv("a.nan", 6, 0x7fc00000, 4);
    kv("a.inf", 12, UINT64_C(0x7ff0000000000000), 8);
    kv("a.subnormal", 6, 1, 4);
    save("ok-floats-of-every-class");
}

static void nested(int depth, const char *name) {
    header(3, 0, 1);
    kv_array("a.nested", depth > 1 ? 9 : 0, 1);
    for (int i = 2; i <= depth; i++) {
        le(i < depth ? 9 : 0, 4);
        le(1, 8);
    }
    le(7, 1);
    save(name);
}

static void tensors_of_every_type(void) {
    size_t types = assay_type_count();
    uint64_t at = 0;
    header(3, types, 0);
    for (size_t i = 0; i < types; i++) {
        const struct assay_type_traits *t = assay_type_at(i);
        tensor(t->name, 2, t->block_len, 2, t->type, at);
        at = (at + 2 * t->block_bytes + 31) / 32 * 32;
    }
    data(at);
    save("ok-every-type");
    for (size_t i = 0; i < types; i++) {
        const struct assay_type_traits *t = assay_type_at(i);
        char name[64];
        header(3, 1, 0);
        tensor("w", 1, t->block_len, 1, t->type, 0);
        data(t->block_bytes);
        pad(32);
        snprintf(name, sizeof name, "ok-type-%s", t->name);
        save(name);
    }
}

static void valid(void) {
    header(3, 0, 0);
    save("ok-nothing");
    header(2, 0, 0);
    save("ok-nothing-v2");
    every_kind();
    tensors_of_every_type();
    header(2, 1, 1);
    kv_str("general.architecture", "llama");
    tensor("w", 2, 32, 2, 2, 0);
    data(64);
    save("ok-model-v2");
    header(3, 4, 1);
    kv_str("general.architecture", "llama");
    tensor("one", 1, 8, 1, 0, 0);
    tensor("two", 2, 8, 1, 0, 32);
    tensor("three", 3, 8, 1, 0, 64);
    tensor("four", 4, 8, 1, 0, 96);
    data(128);
    save("ok-one-to-four-dimensions");
    header(3, 1, 0);
    tensor("123456789-123456789-123456789-123456789-123456789-123456789-123", 1, 8, 1, 0, 0);
    data(32);
    save("ok-longest-name");
    header(3, 1, 0);
    tensor("naïve", 1, 8, 1, 0, 0);
    data(32);
    save("ok-name-in-utf8");
    static const uint32_t alignment[] = {8, 16, 64, 4096};
    for (size_t i = 0; i < sizeof alignment / sizeof alignment[0]; i++) {
        char name[64];
        header(3, 2, 1);
        kv("general.alignment", 4, alignment[i], 4);
        tensor("a", 1, 2, 1, 0, 0);
        tensor("b", 1, 2, 1, 0, alignment[i]);
        pad(alignment[i]);
        for (size_t j = 0; j < 2; j++) {
            le(UINT64_C(0x3f8000003f800000), 8);
            pad(alignment[i]);
        }
        snprintf(name, sizeof name, "ok-alignment-%u", alignment[i]);
        save(name);
    }
    header(3, 0, 300);
    for (int i = 0; i < 300; i++) {
        char key[16];
        snprintf(key, sizeof key, "key.%d", 299 - i);
        kv(key, 4, (uint64_t)i, 4);
    }
    save("ok-many-keys");
    header(3, 0, 2);
    kv_str("a.bytes", "tab\tnewline\n<b>\xff\xfe\x1b[31m\"'\\");
    kv_str("a.empty", "");
    save("ok-string-of-odd-bytes");
    header(3, 0, 1);
    kv("split.count", 2, 1, 2);
    save("ok-one-split-of-one");
}

/* ---- Files that readers differ about ---- */

static void odd(void) {
    header(3, 2, 0);
    tensor("a", 1, 8, 1, 0, 0);
    tensor("b", 1, 8, 1, 0, 64);
    data(96);
    save("odd-gap-between-tensors");
    header(3, 2, 0);
    tensor("a", 1, 8, 1, 0, 32);
    tensor("b", 1, 8, 1, 0, 0);
    data(64);
    save("odd-tensors-out-of-order");
    header(3, 1, 0);
    tensor("a", 1, 5, 1, 0, 0);
    data(20);
    save("odd-no-padding-at-the-end");
    header(3, 1, 0);
    tensor("a", 1, 8, 1, 0, 0);
    data(32);
    bytes("more", 4);
    save("odd-bytes-behind-the-tensors");
    nested(2, "odd-nested-array");
    nested(8, "odd-arrays-nested-to-the-limit");
    header(3, 0, 1);
    kv("a.flag", 7, 2, 1);
    save("odd-bool-of-two");
    header(3, 0, 1);
    kv_array("a.flags", 7, 3);
    le(0xff0001, 3);
    save("odd-bool-of-255-in-array");
    header(3, 1, 0);
    tensor("", 1, 8, 1, 0, 0);
    data(32);
    save("odd-empty-tensor-name");
    header(3, 1, 0);
    str_n("a", 3);
    bytes("\0b", 2);
    le(1, 4);
    le(8, 8);
    le(0, 4);
    le(0, 8);
    data(32);
    save("odd-tensor-name-with-nul");
    header(3, 0, 1);
    str_n("a", 3);
    bytes("\0b", 2);
    le(0, 4);
    le(1, 1);
    save("odd-key-with-nul");
    header(3, 1, 0);
    tensor("a", 0, 0, 0, 0, 0);
    data(32);
    save("odd-no-dimensions");
    header(3, 1, 0);
    tensor("a", 2, 8, 0, 0, 0);
    data(32);
    save("odd-zero-dimension");
    static const uint32_t alignment[] = {1, 2, 4};
    for (size_t i = 0; i < 3; i++) {
        char name[64];
        header(3, 0, 1);
        kv("general.alignment", 4, alignment[i], 4);
        snprintf(name, sizeof name, "odd-alignment-%u", alignment[i]);
        save(name);
    }
    header(3, 0, 1);
    kv("general.alignment", 4, 1 << 21, 4);
    save("odd-alignment-above-the-limit");
    header(3, 0, 1);
    le(65536, 8);
    memset(image + n, 'k', 65536);
    n += 65536;
    le(0, 4);
    le(1, 1);
    save("odd-key-above-the-limit");
    header(3, 1, 0);
    tensor("a", 1, 8, 1, 0, 0);
    data(31);
    save("odd-tensor-data-cut");
    header(3, 1, 0);
    tensor("a", 1, 8, 1, 0, 0);
    save("odd-no-tensor-data");
}

/* ---- Invalid files: one for each field ---- */

static void bad_header(void) {
    n = 0;
    save("err-empty");
    bytes("GGU", 3);
    save("err-magic-cut");
    static const char *const magic[] = {"GGML", "FUGG", "gguf"};
    for (size_t i = 0; i < 3; i++) {
        char name[64];
        header(3, 0, 0);
        memcpy(image, magic[i], 4);
        snprintf(name, sizeof name, "err-magic-%s", magic[i]);
        save(name);
    }
    static const uint32_t version[] = {0, 1, 4, 0x03000000, 0x02000000, UINT32_MAX};
    for (size_t i = 0; i < sizeof version / sizeof version[0]; i++) {
        char name[64];
        header(version[i], 0, 0);
        snprintf(name, sizeof name, "err-version-%08x", version[i]);
        save(name);
    }
    header(3, 0, 0);
    n = 6;
    save("err-version-cut");
    n = 13;
    save("err-tensor-count-cut");
    n = 23;
    save("err-key-count-cut");
    header(3, 1, 0);
    save("err-tensor-count-beyond-file");
    header(3, UINT64_MAX, 0);
    save("err-tensor-count-negative");
    header(3, INT64_MAX, 0);
    save("err-tensor-count-largest");
    header(3, 0, 1);
    save("err-key-count-beyond-file");
    header(3, 0, UINT64_MAX);
    save("err-key-count-negative");
    header(3, 0, 2);
    kv("a.u32", 4, 1, 4);
    save("err-second-key-missing");
    header(3, 0, 3);
    for (int i = 0; i < 3; i++)
        kv(i == 0 ? "a" : "b", 4, 1, 4);
    save("err-duplicate-key");
}

static void bad_kv(void) {
    header(3, 0, 1);
    str_n("key", 200);
    le(0, 8);
    save("err-key-length-beyond-file");
    header(3, 0, 1);
    str_n("key", UINT64_MAX);
    le(0, 8);
    save("err-key-length-negative");
    header(3, 0, 1);
    kv("", 4, 1, 4);
    save("err-key-empty");
    header(3, 0, 1);
    str("a.key");
    le(4, 2);
    save("err-kind-cut");
    static const uint32_t kind[] = {13, 255, UINT32_MAX};
    for (size_t i = 0; i < 3; i++) {
        char name[64];
        header(3, 0, 1);
        kv("a.key", kind[i], 1, 8);
        snprintf(name, sizeof name, "err-kind-%u", kind[i]);
        save(name);
        header(3, 0, 1);
        kv_array("a.key", kind[i], 1);
        le(1, 8);
        snprintf(name, sizeof name, "err-element-kind-%u", kind[i]);
        save(name);
    }
    static const char *const names[13] = {"u8",   "i8",  "u16", "i16", "u32", "i32", "f32",
                                          "bool", "str", "arr", "u64", "i64", "f64"};
    for (uint32_t k = 0; k < 13; k++) {
        char name[64];
        header(3, 0, 1);
        kv("a.longer.key", k, 0, k == 9 ? 10 : k == 8 ? 7 : width[k] - 1);
        snprintf(name, sizeof name, "err-value-cut-%s", names[k]);
        save(name);
        if (k == 9)
            continue;
        header(3, 0, 1);
        kv_array("a.longer.key", k, 2);
        le(0, k == 8 ? 8 : width[k]);
        snprintf(name, sizeof name, "err-element-cut-%s", names[k]);
        save(name);
        header(3, 0, 1);
        kv_array("a.longer.key", k, UINT64_MAX / 2 + 1);
        le(0, 8);
        snprintf(name, sizeof name, "err-array-length-%s", names[k]);
        save(name);
    }
    header(3, 0, 1);
    str("a.str");
    le(8, 4);
    str_n("short", 6);
    save("err-string-length-beyond-file");
    header(3, 0, 1);
    str("a.str");
    le(8, 4);
    str_n("short", UINT64_MAX - 2);
    save("err-string-length-negative");
    header(3, 0, 1);
    kv_array("a.strs", 8, 2);
    str("one");
    str_n("two", 4);
    save("err-string-in-array-beyond-file");
    nested(9, "err-arrays-nested-too-deep");
    nested(60, "err-arrays-nested-far-too-deep");
    header(3, 0, 1);
    kv_array("a.nested", 9, 2);
    le(0, 4);
    le(1, 8);
    le(1, 1);
    save("err-inner-array-missing");
    header(3, 0, 1);
    kv_array("a.nested", 9, 1);
    le(77, 4);
    le(1, 8);
    le(1, 8);
    save("err-inner-array-of-unknown-kind");
    static const uint32_t alignment[] = {0, 3, 48, UINT32_MAX};
    for (size_t i = 0; i < 4; i++) {
        char name[64];
        header(3, 0, 1);
        kv("general.alignment", 4, alignment[i], 4);
        snprintf(name, sizeof name, "err-alignment-%u", alignment[i]);
        save(name);
    }
    header(3, 0, 1);
    kv("general.alignment", 10, 32, 8);
    save("err-alignment-of-kind-u64");
    header(3, 0, 1);
    kv_array("general.alignment", 4, 1);
    le(32, 4);
    save("err-alignment-in-array");
}

static void bad_tensor(void) {
    header(3, 1, 0);
    tensor("123456789-123456789-123456789-123456789-123456789-123456789-1234", 1, 8, 1, 0, 0);
    data(32);
    save("err-name-too-long");
    header(3, 1, 0);
    str_n("w", 300);
    le(0, 25);
    save("err-name-length-beyond-file");
    header(3, 2, 0);
    tensor("w", 1, 8, 1, 0, 0);
    tensor("w", 1, 8, 1, 0, 32);
    data(64);
    save("err-duplicate-name");
    static const uint32_t dims[] = {5, 255, UINT32_MAX};
    for (size_t i = 0; i < 3; i++) {
        char name[64];
        header(3, 1, 0);
        tensor("w", dims[i], 8, 1, 0, 0);
        data(32);
        snprintf(name, sizeof name, "err-dimension-count-%u", dims[i]);
        save(name);
    }
    header(3, 1, 0);
    tensor("w", 2, UINT64_C(1) << 32, UINT64_C(1) << 32, 0, 0);
    data(32);
    save("odd-element-count-wraps");
    header(3, 1, 0);
    tensor("w", 1, UINT64_MAX, 1, 0, 0);
    data(32);
    save("err-dimension-negative");
    header(3, 1, 0);
    tensor("w", 1, INT64_MAX, 1, 0, 0);
    data(32);
    save("err-dimension-largest");
    header(3, 1, 0);
    tensor("w", 2, 8, INT64_MAX / 8, 24, 0);
    data(32);
    save("err-bytes-beyond-file");
    static const uint32_t type[] = {4, 5, 31, 32, 33, 36, 37, 38, 43, 1000, UINT32_MAX};
    for (size_t i = 0; i < sizeof type / sizeof type[0]; i++) {
        char name[64];
        header(3, 1, 0);
        tensor("w", 1, 256, 1, type[i], 0);
        data(1024);
        snprintf(name, sizeof name, "err-type-%u", type[i]);
        save(name);
    }
    header(3, 1, 0);
    tensor("w", 1, 48, 1, 2, 0);
    data(32);
    save("err-row-no-multiple-of-block");
    header(3, 1, 0);
    tensor("w", 1, 8, 1, 0, 8);
    data(64);
    save("err-offset-misaligned");
    header(3, 1, 0);
    tensor("w", 1, 8, 1, 0, UINT64_MAX - 31);
    data(32);
    save("err-offset-wraps");
    header(3, 1, 0);
    tensor("w", 1, 8, 1, 0, 1 << 20);
    data(32);
    save("err-offset-beyond-file");
    header(3, 2, 0);
    tensor("a", 1, 16, 1, 0, 0);
    tensor("b", 1, 8, 1, 0, 32);
    data(64);
    save("err-tensors-overlap");
    header(3, 2, 0);
    tensor("a", 1, 8, 1, 0, 0);
    tensor("b", 1, 8, 1, 0, 0);
    data(32);
    save("err-tensors-at-one-place");
    /* A record cut in each of its fields; a first one behind which the count still fits. */
    static const struct {
        const char *field;
        size_t keep;
    } cut[] = {{"name", 12}, {"dimension-count", 19}, {"dimension", 27}, {"type", 31}, {"offset", 39}};
    for (size_t i = 0; i < sizeof cut / sizeof cut[0]; i++) {
        char name[64];
        header(3, 2, 0);
        tensor("123456789-123456789-123456789-123456789-123456789-123456789", 1, 8, 1, 0, 0);
        size_t start = n;
        tensor("second-w", 1, 8, 1, 0, 32);
        n = start + cut[i].keep;
        snprintf(name, sizeof name, "err-tensor-%s-cut", cut[i].field);
        save(name);
    }
}

/* ---- Sets of files, for target_model.c ---- */

struct split {
    uint64_t no, count, total;
    const char *tensor;
    uint32_t no_kind;
};

/* The bytes of one file of a set, behind their length. */
static void split_file(const struct split *s) {
    size_t start = n + 4;
    uint8_t set[sizeof image];
    memcpy(set, image, n);
    size_t before = n;
    header(3, 1, (uint64_t)(s->no_kind != 99) + (s->count > 0) + (s->total > 0));
    if (s->no_kind != 99)
        kv("split.no", s->no_kind, s->no, width[s->no_kind]);
    if (s->count > 0)
        kv("split.count", 2, s->count, 2);
    if (s->total > 0)
        kv("split.tensors.count", 5, s->total, 4);
    tensor(s->tensor, 1, 8, 1, 0, 0);
    data(32);
    size_t len = n;
    memcpy(set + start, image, len);
    memcpy(image, set, before);
    n = before;
    le(len, 4);
    memcpy(image + start, set + start, len);
    n = start + len;
}

static void set_of(const char *name, uint8_t given, uint8_t files, uint8_t failing,
                   const struct split *s, size_t written) {
    n = 0;
    le(given, 1);
    le(files, 1);
    le(failing, 1);
    for (size_t i = 0; i < written; i++)
        split_file(&s[i]);
    save_in("model", name, "");
}

static void sets(void) {
    const struct split good[3] = {
        {0, 3, 3, "zero", 2}, {1, 3, 0, "one", 2}, {2, 3, 0, "two", 2}};
    struct split bad[3];
#define BAD(change) (memcpy(bad, good, sizeof bad), (change), bad)
    set_of("ok-first-of-three", 0, 3, 0, good, 3);
    set_of("ok-last-of-three", 2, 3, 0, good, 3);
    set_of("err-file-missing", 0, 3, 0, good, 2);
    set_of("err-numbers-swapped", 0, 3, 0, BAD(bad[1].no = 2), 3);
    set_of("err-count-differs", 1, 3, 0, BAD(bad[2].count = 4), 3);
    set_of("err-count-of-another-name", 0, 2, 0, good, 2);
    set_of("err-no-number", 0, 3, 0, BAD(bad[1].no_kind = 99), 3);
    set_of("err-number-is-a-float", 0, 3, 0, BAD(bad[1].no_kind = 6), 3);
    set_of("err-number-negative", 0, 3, 0, BAD((bad[1].no_kind = 3, bad[1].no = 0xffff)), 3);
    set_of("err-no-count", 0, 3, 0, BAD(bad[1].count = 0), 3);
    set_of("err-total-differs", 0, 3, 0, BAD(bad[0].total = 9), 3);
    set_of("err-tensor-twice", 0, 3, 0, BAD(bad[2].tensor = "zero"), 3);
    set_of("ok-one-file", 0, 0, 0, BAD(bad[0].count = 0), 1);
    set_of("err-split-of-ordinary-name", 0, 0, 0, good, 1);
    for (uint8_t f = 1; f <= 12; f++) {
        char name[64];
        snprintf(name, sizeof name, "err-allocation-%u-fails", f);
        set_of(name, 1, 3, f, good, 3);
        snprintf(name, sizeof name, "err-allocation-%u-fails-in-one-file", f);
        set_of(name, 0, 0, f, BAD(bad[0].count = 0), 1);
    }
    n = 0;
    le(0, 3);
    save_in("model", "err-empty-file", "");
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    folder = argv[1];
    valid();
    odd();
    bad_header();
    bad_kv();
    bad_tensor();
    sets();
    return 0;
}
