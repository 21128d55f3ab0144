/* The GGUF reader on good files: a real one, and what the writer makes. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gguf_fixture.h"

#define REAL_DIR "datasets/tinylm"
#define REAL_FILE REAL_DIR "/tinylm-Q4_K_M.gguf"

static struct assay_gguf *open_or_fail(const char *path) {
    char err[512] = "";
    struct assay_gguf *g = assay_gguf_open(path, err, sizeof err);
    cr_assert(g != NULL, "%s", err);
    return g;
}

static bool str_is(struct assay_gguf_str s, const char *want) {
    return s.len == strlen(want) && memcmp(s.data, want, s.len) == 0;
}

static void expect_format(const struct assay_gguf *g, const char *key, const char *want) {
    char buf[256];
    const struct assay_gguf_kv *kv = assay_gguf_kv_find(g, key);
    cr_assert(kv != NULL, "no key %s", key);
    size_t n = assay_gguf_kv_format(kv, buf, sizeof buf);
    cr_assert_str_eq(buf, want);
    cr_assert_eq(n, strlen(want));
}

Test(gguf, real_files_have_their_checksums) {
    if (system("command -v sha256sum >/dev/null") != 0)
        cr_skip_test("no sha256sum here");
    cr_assert_eq(system("cd " REAL_DIR " && sha256sum --check --status SHA256SUMS"), 0);
}

Test(gguf, reads_every_tensor_of_a_real_file) {
    static const struct {
        const char *name, *type;
        uint64_t in, rows, offset, bytes;
    } want[] = {
        {"output.weight", "q6_k", 512, 512, 14720, 215040},
        {"output_norm.weight", "f32", 512, 1, 229760, 2048},
        {"token_embd.weight", "q4_k", 512, 512, 231808, 147456},
        {"blk.0.attn_k.weight", "q4_k", 512, 256, 379264, 73728},
        {"blk.0.attn_norm.weight", "f32", 512, 1, 452992, 2048},
        {"blk.0.attn_output.weight", "q4_k", 512, 512, 455040, 147456},
        {"blk.0.attn_q.weight", "q4_k", 512, 512, 602496, 147456},
        {"blk.0.attn_v.weight", "q4_k", 512, 256, 749952, 73728},
        {"blk.0.ffn_down.weight", "q4_k", 1536, 512, 823680, 442368},
        {"blk.0.ffn_gate.weight", "q4_k", 512, 1536, 1266048, 442368},
        {"blk.0.ffn_norm.weight", "f32", 512, 1, 1708416, 2048},
        {"blk.0.ffn_up.weight", "q4_k", 512, 1536, 1710464, 442368},
        {"blk.1.attn_k.weight", "q4_k", 512, 256, 2152832, 73728},
        {"blk.1.attn_norm.weight", "f32", 512, 1, 2226560, 2048},
        {"blk.1.attn_output.weight", "q4_k", 512, 512, 2228608, 147456},
        {"blk.1.attn_q.weight", "q4_k", 512, 512, 2376064, 147456},
        {"blk.1.attn_v.weight", "q6_k", 512, 256, 2523520, 107520},
        {"blk.1.ffn_down.weight", "q6_k", 1536, 512, 2631040, 645120},
        {"blk.1.ffn_gate.weight", "q4_k", 512, 1536, 3276160, 442368},
        {"blk.1.ffn_norm.weight", "f32", 512, 1, 3718528, 2048},
        {"blk.1.ffn_up.weight", "q4_k", 512, 1536, 3720576, 442368},
    };
    struct assay_gguf *g = open_or_fail(REAL_FILE);
    cr_assert_eq(assay_gguf_tensor_count(g), sizeof want / sizeof *want);
    uint64_t weights = 0;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const struct assay_gguf_tensor *t = assay_gguf_tensor_at(g, i);
        cr_assert(str_is(t->name, want[i].name), "tensor %zu is not %s", i, want[i].name);
        cr_assert_eq(assay_gguf_tensor_find(g, want[i].name), t);
        cr_assert_str_eq(t->type->name, want[i].type);
        cr_assert_eq(t->dims[0], want[i].in);
        cr_assert_eq(t->rows, want[i].rows);
        cr_assert_eq(t->n_dims, want[i].rows > 1 ? 2 : 1);
        cr_assert_eq(t->file_offset, want[i].offset);
        cr_assert_eq(t->bytes, want[i].bytes);
        cr_assert_eq(t->split, 0);
        weights += t->dims[0] * t->rows;
    }
    cr_assert_eq(weights, 6818304); /* MANIFEST.md */
    cr_assert_eq(assay_gguf_version(g), 3);
    cr_assert_eq(assay_gguf_alignment(g), 32);
    cr_assert_eq(assay_gguf_file_bytes(g), 4162944);
    cr_assert_eq(assay_gguf_split_count(g), 1);
    cr_assert_str_eq(assay_gguf_split_path(g, 0), REAL_FILE);
    cr_assert(assay_gguf_tensor_find(g, "blk.2.attn_q.weight") == NULL);
    assay_gguf_close(g);
}

Test(gguf, reads_metadata_of_a_real_file) {
    struct assay_gguf *g = open_or_fail(REAL_FILE);
    cr_assert_eq(assay_gguf_kv_count(g), 25);
    cr_assert(str_is(assay_gguf_kv_at(g, 0)->key, "general.architecture"));
    expect_format(g, "general.architecture", "\"llama\"");
    expect_format(g, "llama.embedding_length", "512");
    expect_format(g, "llama.attention.layer_norm_rms_epsilon", "1e-05");
    expect_format(g, "tokenizer.ggml.add_bos_token", "false");
    expect_format(g, "tokenizer.ggml.token_type", "[i32 × 512] 6, 6, 6, 6, 6, 6, 6, 6 …");
    uint64_t u;
    double d;
    cr_assert(assay_gguf_kv_u64(assay_gguf_kv_find(g, "llama.block_count"), &u));
    cr_assert_eq(u, 2);
    cr_assert(assay_gguf_kv_f64(assay_gguf_kv_find(g, "llama.rope.freq_base"), &d));
    cr_assert_eq(d, 10000);
    cr_assert_not(assay_gguf_kv_u64(assay_gguf_kv_find(g, "general.name"), &u));
    cr_assert_not(assay_gguf_kv_u64(assay_gguf_kv_find(g, "llama.rope.freq_base"), &u));
    cr_assert(assay_gguf_kv_find(g, "general.nam") == NULL);
    assay_gguf_close(g);
}

Test(gguf, maps_the_weights_of_a_real_file) {
    struct assay_gguf *g = open_or_fail(REAL_FILE);
    const struct assay_gguf_tensor *norm = assay_gguf_tensor_find(g, "output_norm.weight");
    float w[256];
    assay_dequant_row(norm->type, norm->data, 1, w);
    cr_assert_eq(w[0], 0.59375f);
    /* The last blocks of two matrices, as ggml decodes them. */
    static const struct {
        const char *tensor;
        float first[4], last;
    } want[] = {
        {"blk.0.ffn_up.weight",
         {0x1.799p-7f, -0x1.e1198p-5f, -0x1.b0614p-4f, 0x1.0762ap-3f},
         0x1.2004p-5f},
        {"blk.1.ffn_down.weight", {0x1.29cp-2f, 0x1.beap-6f, 0, -0x1.29cp-7f}, -0x1.22c58p-5f},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const struct assay_gguf_tensor *t = assay_gguf_tensor_find(g, want[i].tensor);
        t->type->dequant(t->data + t->bytes - t->type->block_bytes, w);
        for (int j = 0; j < 4; j++)
            cr_assert_eq(w[j], want[i].first[j]);
        cr_assert_eq(w[255], want[i].last);
    }
    assay_gguf_close(g);
}

Test(gguf, released_pages_read_the_same_again) {
    struct assay_gguf *g = open_or_fail(REAL_FILE);
    const struct assay_gguf_tensor *t = assay_gguf_tensor_find(g, "blk.0.ffn_up.weight");
    uint8_t *copy = malloc(t->bytes);
    memcpy(copy, t->data, t->bytes);
    assay_gguf_release_pages(g, t);
    cr_assert_eq(memcmp(copy, t->data, t->bytes), 0);
    free(copy);
    assay_gguf_close(g);
}

Test(gguf, reads_version_2) {
    struct fixture f = fixture_small();
    char err[512] = "";
    fixture_put32(&f, 4, 2);
    struct assay_gguf *g = fixture_open(&f, err, sizeof err);
    cr_assert(g != NULL, "%s", err);
    cr_assert_eq(assay_gguf_version(g), 2);
    cr_assert_eq(assay_gguf_tensor_count(g), 2);
    assay_gguf_close(g);
    fixture_free(&f);
}

Test(gguf, reads_a_file_without_keys_or_tensors) {
    struct fixture f = fixture_new("empty.gguf");
    fixture_write(&f, assay_gguf_writer_new(0), 0);
    struct assay_gguf *g = open_or_fail(f.path);
    cr_assert_eq(assay_gguf_kv_count(g), 0);
    cr_assert_eq(assay_gguf_tensor_count(g), 0);
    cr_assert(assay_gguf_kv_find(g, "general.name") == NULL);
    cr_assert(assay_gguf_tensor_find(g, "x") == NULL);
    assay_gguf_close(g);
    fixture_free(&f);
}

Test(gguf, accepts_gaps_and_any_order_of_tensors) {
    /* The specification only asks for alignment. */
    struct fixture f = fixture_small();
    char err[512] = "";
    f.image = realloc(f.image, f.size + 512);
    memset(f.image + f.size, 0, 512);
    f.size += 512;
    fixture_put64(&f, fixture_offset(&f, "first"), 256);
    struct assay_gguf *g = fixture_open(&f, err, sizeof err);
    cr_assert(g != NULL, "%s", err);
    assay_gguf_close(g);
    fixture_free(&f);
}

Test(gguf_writer, every_metadata_type_comes_back) {
    struct fixture f = fixture_new("types.gguf");
    struct assay_gguf_writer *w = assay_gguf_writer_new(0);
    static const struct {
        const char *key;
        enum assay_gguf_kind kind, elem;
        uint64_t count;
        const char *bytes;
        size_t n;
        const char *text;
    } kv[] = {
        {"u8", ASSAY_GGUF_U8, ASSAY_GGUF_U8, 1, "\xff", 1, "255"},
        {"i8", ASSAY_GGUF_I8, ASSAY_GGUF_I8, 1, "\x80", 1, "-128"},
        {"u16", ASSAY_GGUF_U16, ASSAY_GGUF_U16, 1, "\xff\xfe", 2, "65279"},
        {"i16", ASSAY_GGUF_I16, ASSAY_GGUF_I16, 1, "\x00\x80", 2, "-32768"},
        {"u32", ASSAY_GGUF_U32, ASSAY_GGUF_U32, 1, "\xff\xff\xff\xff", 4, "4294967295"},
        {"i32", ASSAY_GGUF_I32, ASSAY_GGUF_I32, 1, "\xfe\xff\xff\xff", 4, "-2"},
        {"f32", ASSAY_GGUF_F32, ASSAY_GGUF_F32, 1, "\xcd\xcc\xcc\x3d", 4, "0.1"},
        {"bool", ASSAY_GGUF_BOOL, ASSAY_GGUF_BOOL, 1, "\x01", 1, "true"},
        {"u64", ASSAY_GGUF_U64, ASSAY_GGUF_U64, 1, "\xff\xff\xff\xff\xff\xff\xff\xff", 8,
         "18446744073709551615"},
        {"i64", ASSAY_GGUF_I64, ASSAY_GGUF_I64, 1, "\0\0\0\0\0\0\0\x80", 8, "-9223372036854775808"},
        {"f64", ASSAY_GGUF_F64, ASSAY_GGUF_F64, 1, "\x9a\x99\x99\x99\x99\x99\xb9\x3f", 8, "0.1"},
        {"str", ASSAY_GGUF_STRING, ASSAY_GGUF_STRING, 1, "\7\0\0\0\0\0\0\0a\"\n\x1b\xc3\xa9\xff",
         15, "\"a\\\"\\n\\x1bé\\xff\""},
        {"none", ASSAY_GGUF_ARRAY, ASSAY_GGUF_STRING, 0, "", 0, "[str × 0]"},
        {"bools", ASSAY_GGUF_ARRAY, ASSAY_GGUF_BOOL, 2, "\0\1", 2, "[bool × 2] false, true"},
        {"strs", ASSAY_GGUF_ARRAY, ASSAY_GGUF_STRING, 2, "\1\0\0\0\0\0\0\0x\0\0\0\0\0\0\0\0", 17,
         "[str × 2] \"x\", \"\""},
        {"nested", ASSAY_GGUF_ARRAY, ASSAY_GGUF_ARRAY, 2,
         "\0\0\0\0\2\0\0\0\0\0\0\0\7\x9" /* u8 × 2 */
         "\x8\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0y" /* str × 1 */,
         14 + 21, "[array × 2] ([u8 × 2] 7, 9), ([str × 1] \"y\")"},
    };
    const size_t n = sizeof kv / sizeof *kv;
    for (size_t i = 0; i < n; i++)
        cr_assert(assay_gguf_writer_kv_raw(w, kv[i].key, kv[i].kind, kv[i].elem, kv[i].count,
                                           kv[i].bytes, kv[i].n));
    cr_assert(assay_gguf_writer_kv_u32(w, "h.u32", 7) && assay_gguf_writer_kv_u64(w, "h.u64", 8) &&
              assay_gguf_writer_kv_f32(w, "h.f32", -1.5f) &&
              assay_gguf_writer_kv_bool(w, "h.bool", false) &&
              assay_gguf_writer_kv_str(w, "h.str", "text"));
    fixture_write(&f, w, 0);
    struct assay_gguf *g = open_or_fail(f.path);
    cr_assert_eq(assay_gguf_kv_count(g), n + 5);
    for (size_t i = 0; i < n; i++) {
        const struct assay_gguf_kv *got = assay_gguf_kv_at(g, i);
        cr_assert(str_is(got->key, kv[i].key));
        cr_assert_eq(got->kind, kv[i].kind);
        cr_assert_eq(got->elem_kind, kv[i].elem);
        cr_assert_eq(got->count, kv[i].count);
        cr_assert_eq(got->value_bytes, kv[i].n);
        cr_assert_eq(memcmp(got->value, kv[i].bytes, kv[i].n), 0);
        expect_format(g, kv[i].key, kv[i].text);
    }
    expect_format(g, "h.u32", "7");
    expect_format(g, "h.u64", "8");
    expect_format(g, "h.f32", "-1.5");
    expect_format(g, "h.bool", "false");
    expect_format(g, "h.str", "\"text\"");
    uint64_t u;
    double d;
    cr_assert(assay_gguf_kv_u64(assay_gguf_kv_find(g, "u64"), &u) && u == UINT64_MAX);
    cr_assert(assay_gguf_kv_u64(assay_gguf_kv_find(g, "bool"), &u) && u == 1);
    cr_assert_not(assay_gguf_kv_u64(assay_gguf_kv_find(g, "i32"), &u));
    cr_assert_not(assay_gguf_kv_u64(assay_gguf_kv_find(g, "bools"), &u));
    cr_assert(assay_gguf_kv_f64(assay_gguf_kv_find(g, "i16"), &d) && d == -32768);
    cr_assert(assay_gguf_kv_f64(assay_gguf_kv_find(g, "f64"), &d) && d == 0.1);
    cr_assert_not(assay_gguf_kv_f64(assay_gguf_kv_find(g, "str"), &d));
    assay_gguf_close(g);
    fixture_free(&f);
}

Test(gguf_writer, long_values_are_cut_at_a_character_with_an_ellipsis) {
    struct fixture f = fixture_new("long.gguf");
    struct assay_gguf_writer *w = assay_gguf_writer_new(0);
    assay_gguf_writer_kv_str(w, "k", "ééééééééééééééééé");
    fixture_write(&f, w, 0);
    struct assay_gguf *g = open_or_fail(f.path);
    const struct assay_gguf_kv *kv = assay_gguf_kv_find(g, "k");
    char buf[64];
    for (size_t size = 1; size <= 36; size++) {
        memset(buf, 'x', sizeof buf);
        size_t n = assay_gguf_kv_format(kv, buf, size);
        cr_assert_eq(n, strlen(buf));
        cr_assert(n < size);
        cr_assert_eq(buf[size], 'x');
        if (size >= 4 && size < 37)
            cr_assert_str_eq(buf + n - 3, "…");
        size_t letters = 0;
        while (strncmp(buf + 1 + 2 * letters, "é", 2) == 0)
            letters++;
        if (size >= 5)
            cr_assert_eq(n, 1 + 2 * letters + 3, "a character was cut in '%s'", buf);
    }
    cr_assert_eq(assay_gguf_kv_format(kv, buf, 37), 36);
    cr_assert_eq(assay_gguf_kv_format(kv, buf, 0), 0);
    assay_gguf_close(g);
    fixture_free(&f);
}

Test(gguf_writer, tensors_come_back_with_their_bytes) {
    static const uint32_t alignments[] = {0, 8, 64, 4096};
    for (size_t a = 0; a < sizeof alignments / sizeof *alignments; a++) {
        uint32_t alignment = alignments[a] ? alignments[a] : 32;
        struct fixture f = fixture_new("tensors.gguf");
        struct assay_gguf_writer *w = assay_gguf_writer_new(alignments[a]);
        size_t total = 0, sizes[4] = {144 * 3, 7, 4 * 2 * 3 * 4 * 5, 18};
        assay_gguf_writer_tensor(w, "k", ASSAY_TYPE_Q4_K, 2, (uint64_t[]){256, 3});
        assay_gguf_writer_tensor(w, "b", ASSAY_TYPE_I8, 1, (uint64_t[]){7});
        assay_gguf_writer_tensor(w, "f", ASSAY_TYPE_F32, 4, (uint64_t[]){2, 3, 4, 5});
        assay_gguf_writer_tensor(w, "q", ASSAY_TYPE_Q4_0, 1, (uint64_t[]){32});
        for (int i = 0; i < 4; i++)
            total += sizes[i];
        fixture_write(&f, w, total);
        cr_assert_eq(f.size % alignment, 0); /* ggml reads the padding of the last tensor */
        struct assay_gguf *g = open_or_fail(f.path);
        cr_assert_eq(assay_gguf_alignment(g), alignment);
        size_t at = 0;
        for (size_t i = 0; i < 4; i++) {
            const struct assay_gguf_tensor *t = assay_gguf_tensor_at(g, i);
            cr_assert_eq(t->bytes, sizes[i]);
            cr_assert_eq(t->file_offset % alignment, 0);
            for (size_t j = 0; j < t->bytes; j++)
                cr_assert_eq(t->data[j], (at + j) % 251);
            at += sizes[i];
        }
        const struct assay_gguf_tensor *t = assay_gguf_tensor_find(g, "f");
        cr_assert_eq(t->n_dims, 4);
        cr_assert_eq(t->dims[3], 5);
        cr_assert_eq(t->rows, 60);
        assay_gguf_close(g);
        fixture_free(&f);
    }
}

Test(gguf_writer, refuses_what_the_reader_would_reject) {
    struct assay_gguf_writer *w = assay_gguf_writer_new(0);
    char name[65];
    memset(name, 'n', 64);
    name[64] = '\0';
    uint64_t dims[4] = {32, 1, 1, 1};
    cr_assert_not(assay_gguf_writer_tensor(w, name, ASSAY_TYPE_F32, 1, dims));
    cr_assert_str_eq(assay_gguf_writer_error(w), "tensor name of 64 bytes, not 1 to 63");
    cr_assert(assay_gguf_writer_tensor(w, name + 1, ASSAY_TYPE_F32, 1, dims));
    cr_assert_not(assay_gguf_writer_tensor(w, "", ASSAY_TYPE_F32, 1, dims));
    cr_assert_not(assay_gguf_writer_tensor(w, "a", 999, 1, dims));
    cr_assert_str_eq(assay_gguf_writer_error(w), "tensor a: type 999 is unknown");
    cr_assert_not(assay_gguf_writer_tensor(w, "a", ASSAY_TYPE_F32, 5, dims));
    cr_assert_not(assay_gguf_writer_tensor(w, "a", ASSAY_TYPE_Q4_K, 1, dims));
    cr_assert_str_eq(assay_gguf_writer_error(w),
                     "tensor a: row length 32 is no multiple of Q4_K's block of 256");
    dims[1] = 0;
    cr_assert_not(assay_gguf_writer_tensor(w, "a", ASSAY_TYPE_F32, 2, dims));
    dims[1] = UINT64_MAX / 32;
    cr_assert_not(assay_gguf_writer_tensor(w, "a", ASSAY_TYPE_F32, 2, dims));
    cr_assert_not(assay_gguf_writer_kv_u32(w, "", 1));
    assay_gguf_writer_free(w);
}

Test(gguf_writer, leaves_no_unfinished_file) {
    struct fixture f = fixture_new("partial.gguf");
    char part[160];
    snprintf(part, sizeof part, "%s.part", f.path);
    struct assay_gguf_writer *w = assay_gguf_writer_new(0);
    assay_gguf_writer_tensor(w, "a", ASSAY_TYPE_I8, 1, (uint64_t[]){4});
    cr_assert(assay_gguf_writer_begin(w, f.path));
    cr_assert(assay_gguf_writer_data(w, "abc", 3));
    cr_assert_not(assay_gguf_writer_finish(w));
    cr_assert_str_eq(assay_gguf_writer_error(w), "tensor data missing: 0 of 1 tensors written");
    cr_assert_eq(access(part, F_OK), 0);
    cr_assert(assay_gguf_writer_data(w, "d", 1));
    cr_assert_not(assay_gguf_writer_data(w, "e", 1));
    cr_assert_str_eq(assay_gguf_writer_error(w), "1 bytes of tensor data too many");
    assay_gguf_writer_free(w);
    cr_assert_neq(access(part, F_OK), 0);
    cr_assert_neq(access(f.path, F_OK), 0);
    w = assay_gguf_writer_new(0);
    cr_assert_not(assay_gguf_writer_begin(w, "/nonexistent/x.gguf"));
    cr_assert_str_eq(assay_gguf_writer_error(w),
                     "/nonexistent/x.gguf.part: cannot create: No such file or directory");
    assay_gguf_writer_free(w);
    fixture_free(&f);
}
