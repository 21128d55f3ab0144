#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datasets/synthetic.h"
#include "harness/model_pass.h"

#define TINYLM "datasets/tinylm/tinylm-Q4_K_M.gguf"

struct run {
    struct assay_model_info info;
    float *logits;
    size_t n;
};

static const int64_t tokens[] = {104, 101, 108, 108, 111};
enum { N_TOKENS = sizeof tokens / sizeof tokens[0] };

static struct assay_gguf *opened(const char *path) {
    char err[512];
    struct assay_gguf *g = assay_gguf_open(path, err, sizeof err);
    cr_assert(g != NULL, "%s", err);
    return g;
}

static struct assay_ctx *context(const char *backend) {
    const struct assay_ctx_params p = {.backend = assay_backend_by_name(backend), .threads = 1};
    struct assay_ctx *ctx = NULL;
    struct assay_error err;
    cr_assert_eq(assay_ctx_create(&p, &ctx, &err), ASSAY_OK, "%s", err.message);
    return ctx;
}

static struct run run_model(const char *path, const char *backend, uint32_t layers) {
    char err[512];
    struct assay_gguf *g = opened(path);
    struct assay_ctx *ctx = context(backend);
    struct assay_model *m = assay_model_load(g, ctx, layers, err, sizeof err);
    cr_assert(m != NULL, "%s", err);
    struct run r = {.info = *assay_model_info(m)};
    r.n = N_TOKENS * r.info.vocab;
    r.logits = malloc(r.n * sizeof *r.logits);
    cr_assert(assay_model_forward(m, tokens, N_TOKENS, r.logits, err, sizeof err), "%s", err);
    r.info = *assay_model_info(m);
    assay_model_free(m);
    assay_ctx_free(ctx);
    assay_gguf_close(g);
    return r;
}

static double nmse(const struct run *a, const struct run *b) {
    double error = 0, power = 0;
    cr_assert_eq(a->n, b->n);
    for (size_t i = 0; i < a->n; i++) {
        error += pow((double)a->logits[i] - b->logits[i], 2);
        power += pow(b->logits[i], 2);
    }
    cr_assert_gt(power, 0);
    return error / power;
}

/* Both decode to the same fp32 weights and differ in the order of fp32 sums alone. A product of
 * inner length k then errs by at most k·2^-24 of Σ|w||x| (Higham, Accuracy and Stability of
 * Numerical Algorithms, 2nd ed., section 3.1), which for rows without systematic cancellation is of
 * the order of sqrt(k)·|y|: k = 1536 gives 1536·39·2^-24 = 3.6e-3 of |y|, squared 1.3e-5. Ten
 * products in a row, each normalised, at most add up. */
#define FP32_ORDER_NMSE (10 * 1.3e-5)

Test(model_pass, scalar_and_eager_agree_on_a_real_model) {
    struct run a = run_model(TINYLM, "scalar", 0), b = run_model(TINYLM, "eager-f32", 0);
    cr_assert_lt(nmse(&a, &b), FP32_ORDER_NMSE);
    cr_assert_eq(a.info.layers, 2);
    cr_assert_eq(a.info.vocab, 512);
    free(a.logits);
    free(b.logits);
}

Test(model_pass, fewer_layers_can_be_loaded_and_give_other_logits) {
    struct run whole = run_model(TINYLM, "scalar", 0), half = run_model(TINYLM, "scalar", 1);
    cr_assert_eq(half.info.layers, 1);
    cr_assert_eq(half.info.layers_total, 2);
    cr_assert_gt(nmse(&half, &whole), 100 * FP32_ORDER_NMSE);
    cr_assert_lt(half.info.disk_bytes, whole.info.disk_bytes);
    free(whole.logits);
    free(half.logits);
}

/* A copy of a model file with some bytes zeroed; the caller unlinks it. */
static const char *zeroed_copy(const char *path, uint64_t offset, uint64_t bytes) {
    static char copy[64];
    FILE *in = fopen(path, "rb"), *out;
    cr_assert(in != NULL);
    fseek(in, 0, SEEK_END);
    size_t size = (size_t)ftell(in);
    uint8_t *image = malloc(size);
    rewind(in);
    cr_assert_eq(fread(image, 1, size, in), size);
    fclose(in);

    memset(image + offset, 0, bytes);
    strcpy(copy, "/tmp/assay-pass-XXXXXX");
    out = fdopen(mkstemp(copy), "wb");
    cr_assert(out != NULL && fwrite(image, 1, size, out) == size && fclose(out) == 0);
    free(image);
    return copy;
}

/* True if the logits change when these bytes of the file are zeroed. */
static bool matters(const char *path, const struct run *whole, uint64_t offset, uint64_t bytes) {
    const char *copy = zeroed_copy(path, offset, bytes);
    struct run r = run_model(copy, "eager-f32", 0);
    bool differs = memcmp(r.logits, whole->logits, r.n * sizeof *r.logits) != 0;
    unlink(copy);
    free(r.logits);
    return differs;
}

Test(model_pass, every_tensor_of_a_dense_model_matters) {
    struct assay_gguf *g = opened(TINYLM);
    struct run whole = run_model(TINYLM, "eager-f32", 0);
    for (size_t i = 0; i < assay_gguf_tensor_count(g); i++) {
        const struct assay_gguf_tensor *t = assay_gguf_tensor_at(g, i);
        cr_assert(matters(TINYLM, &whole, t->file_offset, t->bytes), "%.*s changes nothing",
                  (int)t->name.len, t->name.data);
    }
    free(whole.logits);
    assay_gguf_close(g);
}

Test(model_pass, the_bytes_loaded_are_those_of_the_file) {
    struct assay_gguf *g = opened(TINYLM);
    struct run quantised = run_model(TINYLM, "scalar", 0),
               eager = run_model(TINYLM, "eager-f32", 0);
    uint64_t disk = 0, weights = 0;

    for (size_t i = 0; i < assay_gguf_tensor_count(g); i++) {
        const struct assay_gguf_tensor *t = assay_gguf_tensor_at(g, i);
        disk += t->bytes;
        weights += t->rows * t->dims[0];
    }
    cr_assert_eq(quantised.info.disk_bytes, disk);
    cr_assert_eq(quantised.info.weight_bytes, disk, "1-D tensors are fp32 in both");
    cr_assert_eq(eager.info.disk_bytes, disk);
    cr_assert_eq(eager.info.weight_bytes, 4 * weights);
    cr_assert_eq(quantised.info.skipped, 0);
    cr_assert_eq(assay_model_disk_bytes(g, 0), disk);
    assay_gguf_close(g);
    free(quantised.logits);
    free(eager.logits);
}

Test(model_pass, the_cost_estimate_is_what_loading_then_takes) {
    static const char *const backends[] = {"scalar", "eager-f16", "eager-f32"};
    for (int i = 0; i < 3; i++) {
        char err[512];
        struct assay_gguf *g = opened(TINYLM);
        struct assay_ctx *ctx = context(backends[i]);
        struct assay_model_cost cost;
        cr_assert(assay_model_cost(g, ctx, &cost, err, sizeof err), "%s", err);
        struct run r = run_model(TINYLM, backends[i], 0);
        cr_assert_eq(cost.layers, 2);
        cr_assert_eq(cost.table_bytes + cost.layer_bytes[0] + cost.layer_bytes[1],
                     r.info.weight_bytes, "%s", backends[i]);
        cr_assert_eq(cost.owned, i > 0);
        cr_assert_eq(cost.largest, 512 * 1536);
        free(cost.layer_bytes);
        free(r.logits);
        assay_ctx_free(ctx);
        assay_gguf_close(g);
    }
}

static const struct assay_model_shape experts = {
    .name = "qwen3-tiny",
    .source = "made up",
    .n_layer = 3,
    .n_embd = 256,
    .n_head = 4,
    .n_head_kv = 2,
    .head_dim = 64,
    .n_ff = 512,
    .n_vocab = 128,
    .n_expert = 6,
    .n_expert_used = 2,
    .n_ff_expert = 256,
    .tied_embeddings = true,
};

static struct assay_synthetic_params write_experts(char *path) {
    char err[512];
    const struct assay_synthetic_params p = {
        .shape = &experts, .file_type = assay_file_type_by_name("Q4_K_M"), .seed = 3};
    int fd = mkstemp(path);

    cr_assert(fd >= 0);
    close(fd);
    cr_assert(assay_synthetic_write(&p, path, err, sizeof err), "%s", err);
    return p;
}

Test(model_pass, a_tied_mixture_of_experts_runs_alike_everywhere) {
    char path[] = "/tmp/assay-pass-XXXXXX";
    const struct assay_synthetic_params p = write_experts(path);
    struct run a = run_model(path, "scalar", 0), b = run_model(path, "eager-f32", 0);
    cr_assert_lt(nmse(&a, &b), FP32_ORDER_NMSE);
    cr_assert_eq(a.info.skipped, 0);
    cr_assert_eq(a.info.vocab, 128);
    cr_assert_eq(a.info.disk_bytes, assay_synthetic_bytes(&p));
    unlink(path);
    free(a.logits);
    free(b.logits);
}

Test(model_pass, as_many_experts_run_as_the_model_uses) {
    static const char *const stacks[] = {"ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"};
    char path[] = "/tmp/assay-pass-XXXXXX", name[64];
    write_experts(path);
    struct assay_gguf *g = opened(path);
    struct run whole = run_model(path, "eager-f32", 0);

    for (int s = 0; s < 3; s++) {
        snprintf(name, sizeof name, "blk.1.%s.weight", stacks[s]);
        const struct assay_gguf_tensor *t = assay_gguf_tensor_find(g, name);
        uint64_t bytes = t->bytes / experts.n_expert;
        unsigned used = 0;
        for (uint32_t e = 0; e < experts.n_expert; e++)
            used += matters(path, &whole, t->file_offset + e * bytes, bytes);
        cr_assert_eq(used, experts.n_expert_used, "%s: %u run", name, used);
    }
    const struct assay_gguf_tensor *router = assay_gguf_tensor_find(g, "blk.1.ffn_gate_inp.weight");
    cr_assert(matters(path, &whole, router->file_offset, router->bytes));
    unlink(path);
    free(whole.logits);
    assay_gguf_close(g);
}

Test(model_pass, a_token_beyond_the_vocabulary_is_an_error) {
    char err[512] = "";
    struct assay_gguf *g = opened(TINYLM);
    struct assay_ctx *ctx = context("scalar");
    struct assay_model *m = assay_model_load(g, ctx, 0, err, sizeof err);
    const int64_t id = 512;
    float *logits = malloc(512 * sizeof *logits);

    cr_assert(m != NULL, "%s", err);
    cr_assert(!assay_model_forward(m, &id, 1, logits, err, sizeof err));
    cr_assert_neq(err[0], '\0');
    free(logits);
    assay_model_free(m);
    assay_ctx_free(ctx);
    assay_gguf_close(g);
}
