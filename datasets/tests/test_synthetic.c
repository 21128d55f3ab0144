#include <criterion/criterion.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "datasets/synthetic.h"
#include "gguf_fixture.h"

static const struct assay_model_shape dense = {
    .name = "tiny",
    .source = "made up",
    .n_layer = 8,
    .n_embd = 256,
    .n_head = 4,
    .n_head_kv = 2,
    .head_dim = 64,
    .n_ff = 512,
    .n_vocab = 96,
};

static const struct assay_model_shape experts = {
    .name = "qwen3-tiny",
    .source = "made up",
    .n_layer = 2,
    .n_embd = 256,
    .n_head = 4,
    .n_head_kv = 4,
    .head_dim = 64,
    .n_ff = 512,
    .n_vocab = 64,
    .n_expert = 4,
    .n_expert_used = 2,
    .n_ff_expert = 256,
    .tied_embeddings = true,
};

static struct assay_synthetic_params params(const struct assay_model_shape *s, const char *type) {
    return (struct assay_synthetic_params){
        .shape = s, .file_type = assay_file_type_by_name(type), .seed = 7};
}

static struct assay_gguf *written(const struct fixture *f, const struct assay_synthetic_params *p) {
    char err[512] = "";
    cr_assert(assay_synthetic_write(p, f->path, err, sizeof err), "%s", err);
    struct assay_gguf *g = assay_gguf_open(f->path, err, sizeof err);
    cr_assert(g != NULL, "%s", err);
    return g;
}

static void expect_tensor(const struct assay_gguf *g, const char *name, enum assay_type type,
                          uint64_t in, uint64_t out, uint64_t stack) {
    const struct assay_gguf_tensor *t = assay_gguf_tensor_find(g, name);
    cr_assert(t != NULL, "no tensor %s", name);
    cr_assert_eq(t->type->type, type, "%s is %s", name, t->type->name);
    cr_assert(t->dims[0] == in && t->dims[1] == out && t->dims[2] == stack, "shape of %s", name);
}

static uint64_t number(const struct assay_gguf *g, const char *key) {
    uint64_t v = 0;
    const struct assay_gguf_kv *kv = assay_gguf_kv_find(g, key);
    cr_assert(kv != NULL && assay_gguf_kv_u64(kv, &v), "no number %s", key);
    return v;
}

Test(synthetic, a_dense_model_has_the_tensors_of_its_shape) {
    struct fixture f = fixture_new("m.gguf");
    struct assay_synthetic_params p = params(&dense, "Q4_K_M");
    struct assay_gguf *g = written(&f, &p);

    cr_assert_eq(assay_gguf_tensor_count(g), 8 * 9 + 3);
    expect_tensor(g, "token_embd.weight", ASSAY_TYPE_Q4_K, 256, 96, 1);
    expect_tensor(g, "blk.0.attn_q.weight", ASSAY_TYPE_Q4_K, 256, 256, 1);
    expect_tensor(g, "blk.7.attn_k.weight", ASSAY_TYPE_Q4_K, 256, 128, 1);
    expect_tensor(g, "blk.0.attn_v.weight", ASSAY_TYPE_Q6_K, 256, 128, 1);
    expect_tensor(g, "blk.1.attn_v.weight", ASSAY_TYPE_Q4_K, 256, 128, 1);
    expect_tensor(g, "blk.7.ffn_down.weight", ASSAY_TYPE_Q6_K, 512, 256, 1);
    expect_tensor(g, "blk.7.ffn_norm.weight", ASSAY_TYPE_F32, 256, 1, 1);
    expect_tensor(g, "output.weight", ASSAY_TYPE_Q6_K, 256, 96, 1);
    cr_assert_eq(number(g, "llama.block_count"), 8);
    cr_assert_eq(number(g, "llama.embedding_length"), 256);
    cr_assert_eq(number(g, "general.file_type"), 15);
    assay_gguf_close(g);
    fixture_free(&f);
}

Test(synthetic, experts_are_stacks_and_the_router_stays_f32) {
    struct fixture f = fixture_new("m.gguf");
    struct assay_synthetic_params p = params(&experts, "Q5_K_M");
    struct assay_gguf *g = written(&f, &p);

    expect_tensor(g, "blk.1.ffn_gate_inp.weight", ASSAY_TYPE_F32, 256, 4, 1);
    expect_tensor(g, "blk.1.ffn_gate_exps.weight", ASSAY_TYPE_Q5_K, 256, 256, 4);
    expect_tensor(g, "blk.1.ffn_down_exps.weight", ASSAY_TYPE_Q6_K, 256, 256, 4);
    expect_tensor(g, "token_embd.weight", ASSAY_TYPE_Q6_K, 256, 64, 1);
    cr_assert_null(assay_gguf_tensor_find(g, "output.weight"));
    cr_assert_eq(number(g, "qwen3moe.expert_used_count"), 2);
    assay_gguf_close(g);
    fixture_free(&f);
}

static bool all_finite(const struct assay_gguf_tensor *t) {
    float buf[ASSAY_MAX_BLOCK_LEN];
    for (uint64_t at = 0; at < t->bytes; at += t->type->block_bytes) {
        t->type->dequant(t->data + at, buf);
        for (uint32_t i = 0; i < t->type->block_len; i++)
            if (!isfinite(buf[i]))
                return false;
    }
    return true;
}

Test(synthetic, every_file_type_can_be_written_and_decodes_to_finite_weights) {
    struct fixture f = fixture_new("m.gguf");
    for (size_t i = 0; i < assay_file_type_count(); i++) {
        struct assay_synthetic_params p = params(&experts, assay_file_type_at(i)->name);
        struct assay_gguf *g = written(&f, &p);
        uint64_t bytes = 0;
        for (size_t k = 0; k < assay_gguf_tensor_count(g); k++) {
            const struct assay_gguf_tensor *t = assay_gguf_tensor_at(g, k);
            cr_assert(all_finite(t), "%s of %s", t->type->name, p.file_type->name);
            bytes += t->bytes;
        }
        cr_assert_eq(bytes, assay_synthetic_bytes(&p));
        assay_gguf_close(g);
    }
    fixture_free(&f);
}

Test(synthetic, the_first_layers_have_the_types_of_the_whole_model) {
    struct fixture f = fixture_new("m.gguf");
    struct assay_synthetic_params p = params(&dense, "Q4_K_M");
    p.layers = 3;
    struct assay_gguf *g = written(&f, &p);
    cr_assert_eq(assay_gguf_tensor_count(g), 3 * 9 + 3);
    cr_assert_eq(number(g, "llama.block_count"), 3);
    /* Of three layers alone, this one would be the last, and get Q6_K. */
    expect_tensor(g, "blk.2.attn_v.weight", ASSAY_TYPE_Q4_K, 256, 128, 1);
    assay_gguf_close(g);
    fixture_free(&f);
}

static uint64_t hash_of(const char *path) {
    FILE *f = fopen(path, "rb");
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    int c;
    cr_assert(f != NULL);
    while ((c = getc(f)) != EOF)
        h = (h ^ (uint64_t)c) * UINT64_C(0x100000001b3);
    fclose(f);
    return h;
}

Test(synthetic, equal_seeds_give_equal_files_and_others_do_not) {
    struct fixture f = fixture_new("m.gguf");
    struct assay_synthetic_params p = params(&experts, "Q4_K_M");
    uint64_t hash[3];
    for (int i = 0; i < 3; i++) {
        p.seed = i < 2 ? 7 : 8;
        assay_gguf_close(written(&f, &p));
        hash[i] = hash_of(f.path);
    }
    cr_assert_eq(hash[0], hash[1]);
    cr_assert_neq(hash[0], hash[2]);
    fixture_free(&f);
}

struct cached {
    char path[4096], err[512];
    int64_t inode;
    bool ok;
};

static struct cached cached(const struct assay_synthetic_params *p) {
    struct cached c = {.err = ""};
    struct stat st;
    c.ok = assay_synthetic_cached(p, c.path, sizeof c.path, c.err, sizeof c.err);
    if (c.ok && stat(c.path, &st) == 0)
        c.inode = (int64_t)st.st_ino;
    return c;
}

Test(synthetic, the_cache_reuses_a_complete_file_and_replaces_another) {
    struct fixture f = fixture_new("unused");
    struct assay_synthetic_params p = params(&dense, "Q4_0");
    setenv("ASSAY_CACHE", f.dir, 1);

    struct cached first = cached(&p), again = cached(&p);
    cr_assert(first.ok && again.ok, "%s%s", first.err, again.err);
    cr_assert_eq(first.inode, again.inode, "written twice");
    cr_assert_eq(strncmp(first.path, f.dir, strlen(f.dir)), 0);

    cr_assert_eq(truncate(first.path, 100000), 0);
    struct cached repaired = cached(&p);
    cr_assert(repaired.ok, "%s", repaired.err);
    cr_assert_neq(repaired.inode, first.inode, "a truncated file was taken for a model");

    struct assay_model_shape other = dense; /* same name, another width: a stale file */
    other.n_ff = 256;
    p.shape = &other;
    struct cached changed = cached(&p);
    cr_assert(changed.ok && strcmp(changed.path, first.path) == 0);
    cr_assert_neq(changed.inode, repaired.inode, "a stale file was taken for the model");
    fixture_free(&f);
}

Test(synthetic, too_small_a_disk_is_named_before_anything_is_written) {
    struct fixture f = fixture_new("m.gguf");
    struct assay_model_shape huge = dense;
    huge.n_vocab = UINT32_MAX; /* 2^32 rows of 2 MiB: 8 PiB */
    huge.n_embd = 1 << 22;
    struct assay_synthetic_params p = params(&huge, "Q4_0");
    char err[512];
    struct stat st;
    /* Should it begin to write after all, it fails soon. */
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){1 << 20, 1 << 20});
    cr_assert(!assay_synthetic_write(&p, f.path, err, sizeof err));
    cr_assert_not_null(strstr(err, "needs"), "%s", err);
    cr_assert_not_null(strstr(err, f.path), "%s", err);
    cr_assert_neq(stat(f.path, &st), 0);
    fixture_free(&f);
}

Test(synthetic, the_cache_folder_follows_the_environment) {
    struct fixture f = fixture_new("unused");
    char dir[512], want[512], err[512];

    setenv("HOME", f.dir, 1);
    unsetenv("ASSAY_CACHE");
    unsetenv("XDG_CACHE_HOME");
    cr_assert(assay_cache_dir(dir, sizeof dir, err, sizeof err), "%s", err);
    snprintf(want, sizeof want, "%s/.cache/assay", f.dir);
    cr_assert_str_eq(dir, want);
    cr_assert_eq(rmdir(dir), 0, "it was not created");
    snprintf(want, sizeof want, "%s/.cache", f.dir);
    rmdir(want);

    unsetenv("HOME");
    cr_assert(!assay_cache_dir(dir, sizeof dir, err, sizeof err));
    setenv("ASSAY_CACHE", "/proc/none", 1);
    cr_assert(!assay_cache_dir(dir, sizeof dir, err, sizeof err));
    cr_assert_not_null(strstr(err, "/proc/none"));
    fixture_free(&f);
}
