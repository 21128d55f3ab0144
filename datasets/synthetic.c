#include "synthetic.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "generate.h"
#include "gguf_writer.h"
#include "rng.h"

/* Raised whenever the same parameters give other bytes, so that old cache files are not reused. */
#define FORMAT_VERSION 1

#define CHUNK_BYTES ((size_t)4 << 20)

struct planned {
    char name[48];
    const struct assay_type_traits *type;
    uint32_t n_dims;
    uint64_t dims[4];
    uint64_t rows, row_bytes;
};

struct plan {
    const struct assay_synthetic_params *params;
    struct planned *tensors;
    size_t count, capacity;
    bool ok; /* false once memory ran out or a shape is impossible */
};

static uint32_t layers_of(const struct assay_synthetic_params *p) {
    uint32_t all = p->shape->n_layer;
    return p->layers > 0 && p->layers < all ? p->layers : all;
}

/* ---- Plan: the tensors in file order ------------------------------------------------------- */

static void plan_add(struct plan *plan, const char *name, uint64_t in, uint64_t out,
                     uint64_t experts) {
    if (plan->count == plan->capacity) {
        size_t capacity = plan->capacity ? 2 * plan->capacity : 64;
        struct planned *more = realloc(plan->tensors, capacity * sizeof *more);
        if (!more) {
            plan->ok = false;
            return;
        }
        plan->tensors = more;
        plan->capacity = capacity;
    }
    struct planned *t = &plan->tensors[plan->count++];
    *t = (struct planned){
        .n_dims = experts ? 3
                  : out   ? 2
                          : 1,
        .dims = {in, out ? out : 1, experts ? experts : 1, 1},
        .rows = (out ? out : 1) * (experts ? experts : 1),
    };
    snprintf(t->name, sizeof t->name, "%s", name);
    struct assay_recipe_tensor r = {t->name, t->n_dims, in};
    t->type =
        assay_type_traits(assay_recipe_type(plan->params->file_type, plan->params->shape, &r));
    size_t bytes;
    plan->ok = plan->ok && assay_row_bytes(t->type, in, &bytes);
    t->row_bytes = plan->ok ? bytes : 0;
}

static void plan_block(struct plan *plan, uint32_t layer, const char *part, uint64_t in,
                       uint64_t out, uint64_t experts) {
    char name[48];
    snprintf(name, sizeof name, "blk.%" PRIu32 ".%s.weight", layer, part);
    plan_add(plan, name, in, out, experts);
}

static bool has_prefix(const char *s, const char *prefix) {
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static bool is_qwen3(const struct assay_model_shape *s) { return has_prefix(s->name, "qwen3"); }

static bool is_gemma2(const struct assay_model_shape *s) { return has_prefix(s->name, "gemma-2"); }

static const char *architecture(const struct assay_model_shape *s) {
    if (is_gemma2(s))
        return "gemma2";
    return !is_qwen3(s) ? "llama" : s->n_expert ? "qwen3moe" : "qwen3";
}

static void plan_layer(struct plan *plan, uint32_t l) {
    const struct assay_model_shape *s = plan->params->shape;
    uint64_t embd = s->n_embd, q = (uint64_t)s->n_head * s->head_dim,
             kv = (uint64_t)s->n_head_kv * s->head_dim;

    plan_block(plan, l, "attn_norm", embd, 0, 0);
    plan_block(plan, l, "attn_q", embd, q, 0);
    plan_block(plan, l, "attn_k", embd, kv, 0);
    plan_block(plan, l, "attn_v", embd, kv, 0);
    if (is_qwen3(s)) {
        plan_block(plan, l, "attn_q_norm", s->head_dim, 0, 0);
        plan_block(plan, l, "attn_k_norm", s->head_dim, 0, 0);
    }
    plan_block(plan, l, "attn_output", q, embd, 0);
    if (is_gemma2(s)) {
        plan_block(plan, l, "post_attention_norm", embd, 0, 0);
        plan_block(plan, l, "post_ffw_norm", embd, 0, 0);
    }
    plan_block(plan, l, "ffn_norm", embd, 0, 0);
    if (s->n_expert) {
        plan_block(plan, l, "ffn_gate_inp", embd, s->n_expert, 0);
        plan_block(plan, l, "ffn_gate_exps", embd, s->n_ff_expert, s->n_expert);
        plan_block(plan, l, "ffn_up_exps", embd, s->n_ff_expert, s->n_expert);
        plan_block(plan, l, "ffn_down_exps", s->n_ff_expert, embd, s->n_expert);
    } else {
        plan_block(plan, l, "ffn_gate", embd, s->n_ff, 0);
        plan_block(plan, l, "ffn_up", embd, s->n_ff, 0);
        plan_block(plan, l, "ffn_down", s->n_ff, embd, 0);
    }
}

static struct plan plan_make(const struct assay_synthetic_params *p) {
    const struct assay_model_shape *s = p->shape;
    struct plan plan = {.params = p, .ok = true};

    plan_add(&plan, "token_embd.weight", s->n_embd, s->n_vocab, 0);
    for (uint32_t l = 0; l < layers_of(p); l++)
        plan_layer(&plan, l);
    plan_add(&plan, "output_norm.weight", s->n_embd, 0, 0);
    if (!s->tied_embeddings)
        plan_add(&plan, "output.weight", s->n_embd, s->n_vocab, 0);
    return plan;
}

static uint64_t plan_bytes(const struct plan *plan) {
    uint64_t sum = 0;
    for (size_t i = 0; i < plan->count; i++)
        sum += plan->tensors[i].rows * plan->tensors[i].row_bytes;
    return sum;
}

uint64_t assay_synthetic_bytes(const struct assay_synthetic_params *p) {
    struct plan plan = plan_make(p);
    uint64_t bytes = plan_bytes(&plan);
    free(plan.tensors);
    return bytes;
}

/* ---- Writing ------------------------------------------------------------------------------- */

static bool write_metadata(struct assay_gguf_writer *w, const struct assay_synthetic_params *p) {
    const struct assay_model_shape *s = p->shape;
    const char *arch = architecture(s);
    const struct {
        const char *key;
        uint32_t value;
        bool wanted;
    } numbers[] = {
        {"block_count", layers_of(p), true},
        {"context_length", 8192, true}, /* readers ask for it; nothing depends on it here */
        {"embedding_length", s->n_embd, true},
        {"feed_forward_length", s->n_ff, true},
        {"attention.head_count", s->n_head, true},
        {"attention.head_count_kv", s->n_head_kv, true},
        {"attention.key_length", s->head_dim, true},
        {"attention.value_length", s->head_dim, true},
        {"rope.dimension_count", s->head_dim, true},
        {"vocab_size", s->n_vocab, true},
        {"expert_count", s->n_expert, s->n_expert > 0},
        {"expert_used_count", s->n_expert_used, s->n_expert > 0},
        {"expert_feed_forward_length", s->n_ff_expert, s->n_expert > 0},
    };
    char key[80];
    bool ok = assay_gguf_writer_kv_str(w, "general.architecture", arch) &&
              assay_gguf_writer_kv_str(w, "general.name", s->name) &&
              assay_gguf_writer_kv_u32(w, "general.file_type", p->file_type->id) &&
              assay_gguf_writer_kv_u32(w, "general.quantization_version", 2) &&
              assay_gguf_writer_kv_u32(w, "assay.synthetic.format", FORMAT_VERSION) &&
              assay_gguf_writer_kv_u64(w, "assay.synthetic.seed", p->seed) &&
              assay_gguf_writer_kv_u32(w, "assay.synthetic.model_block_count", s->n_layer);

    for (size_t i = 0; ok && i < sizeof numbers / sizeof numbers[0]; i++) {
        snprintf(key, sizeof key, "%s.%s", arch, numbers[i].key);
        ok = !numbers[i].wanted || assay_gguf_writer_kv_u32(w, key, numbers[i].value);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    return ok && assay_gguf_writer_kv_f32(w, key, 1e-5f);
}

/* Norm weights near 1, as trained ones are; anything else would change what the layers see. */
static void generate_norm(uint64_t seed, size_t n, float *out) {
    struct assay_rng rng;
    assay_rng_seed(&rng, seed);
    for (size_t i = 0; i < n; i++)
        out[i] = (float)(1.0 + 0.05 * assay_rng_normal(&rng));
}

static bool write_tensor(struct assay_gguf_writer *w, const struct planned *t, uint64_t seed,
                         uint8_t *chunk, size_t chunk_bytes) {
    struct assay_rng seeds; /* one seed per chunk */
    assay_rng_seed(&seeds, seed);
    if (t->n_dims == 1) {
        generate_norm(assay_rng_u64(&seeds), t->dims[0], (float *)(void *)chunk);
        return assay_gguf_writer_data(w, chunk, t->row_bytes);
    }
    enum assay_weights_gen gen =
        assay_type_is_quantised(t->type) ? ASSAY_WGEN_UNIFORM : ASSAY_WGEN_NORMAL;
    uint64_t step = chunk_bytes / t->row_bytes;
    for (uint64_t r = 0; r < t->rows; r += step) {
        uint64_t n = t->rows - r < step ? t->rows - r : step;
        assay_generate_weights(t->type, gen, assay_rng_u64(&seeds), n, t->dims[0], chunk);
        if (!assay_gguf_writer_data(w, chunk, n * t->row_bytes))
            return false;
    }
    return true;
}

static bool write_tensors(struct assay_gguf_writer *w, const struct plan *plan, uint8_t *chunk,
                          size_t chunk_bytes) {
    const struct assay_synthetic_params *p = plan->params;
    struct assay_rng seeds; /* one seed per tensor */
    assay_rng_seed(&seeds, p->seed);
    for (size_t i = 0; i < plan->count; i++) {
        if (p->progress)
            p->progress(plan->tensors[i].name, i, plan->count, p->user);
        if (!write_tensor(w, &plan->tensors[i], assay_rng_u64(&seeds), chunk, chunk_bytes))
            return false;
    }
    return true;
}

static bool write_plan(struct assay_gguf_writer *w, const struct plan *plan, const char *path) {
    size_t chunk_bytes = CHUNK_BYTES;
    bool ok = write_metadata(w, plan->params);
    for (size_t i = 0; ok && i < plan->count; i++) {
        const struct planned *t = &plan->tensors[i];
        ok = assay_gguf_writer_tensor(w, t->name, t->type->type, t->n_dims, t->dims);
        if (chunk_bytes < t->row_bytes)
            chunk_bytes = t->row_bytes;
    }
    uint8_t *chunk = ok ? malloc(chunk_bytes) : NULL;
    ok = chunk && assay_gguf_writer_begin(w, path) && write_tensors(w, plan, chunk, chunk_bytes) &&
         assay_gguf_writer_finish(w);
    free(chunk);
    return ok;
}

static bool enough_disk(const char *path, uint64_t bytes, char *err, size_t err_size) {
    char dir[4096];
    struct statvfs fs;

    snprintf(dir, sizeof dir, "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash)
        *slash = '\0';
    if (statvfs(slash ? dir : ".", &fs) != 0)
        return true; /* no answer: the write itself will tell */
    uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (free_bytes >= bytes)
        return true;
    snprintf(err, err_size,
             "%s: needs %.2f GB, the disk has %.2f GB free (ASSAY_CACHE names another folder)",
             path, (double)bytes / 1e9, (double)free_bytes / 1e9);
    return false;
}

bool assay_synthetic_write(const struct assay_synthetic_params *p, const char *path, char *err,
                           size_t err_size) {
    struct plan plan = plan_make(p);
    struct assay_gguf_writer *w = NULL;
    bool ok = false;

    if (!plan.ok) {
        snprintf(err, err_size, "%s: no memory, or a row of %s is no whole number of blocks", path,
                 p->shape->name);
    } else if (enough_disk(path, plan_bytes(&plan) + CHUNK_BYTES, err, err_size)) {
        w = assay_gguf_writer_new(0);
        ok = w && write_plan(w, &plan, path);
        if (!ok) {
            const char *reason = w ? assay_gguf_writer_error(w) : NULL;
            snprintf(err, err_size, "%s: %s", path, reason && *reason ? reason : "out of memory");
        }
    }
    assay_gguf_writer_free(w);
    free(plan.tensors);
    return ok;
}

/* ---- Cache --------------------------------------------------------------------------------- */

static bool make_dirs(char *dir, char *err, size_t err_size) {
    for (char *p = dir + 1;; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char end = *p;
        *p = '\0';
        if (mkdir(dir, 0777) != 0 && errno != EEXIST) {
            snprintf(err, err_size, "%s: cannot create the folder: %s", dir, strerror(errno));
            return false;
        }
        if (end == '\0')
            return true;
        *p = end;
    }
}

bool assay_cache_dir(char *dir, size_t size, char *err, size_t err_size) {
    static const struct {
        const char *variable, *below;
    } places[] = {{"ASSAY_CACHE", ""}, {"XDG_CACHE_HOME", "/assay"}, {"HOME", "/.cache/assay"}};

    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        const char *base = getenv(places[i].variable);
        if (!base || !*base)
            continue;
        int n = snprintf(dir, size, "%s%s", base, places[i].below);
        if (n < 0 || (size_t)n >= size) {
            snprintf(err, err_size, "$%s: path too long", places[i].variable);
            return false;
        }
        return make_dirs(dir, err, err_size);
    }
    snprintf(err, err_size, "no cache folder: none of ASSAY_CACHE, XDG_CACHE_HOME, HOME is set");
    return false;
}

static bool has_number(const struct assay_gguf *g, const char *key, uint64_t want) {
    const struct assay_gguf_kv *kv = assay_gguf_kv_find(g, key);
    uint64_t v;
    return kv && assay_gguf_kv_u64(kv, &v) && v == want;
}

static bool matches(const struct assay_gguf *g, const struct plan *plan) {
    if (!has_number(g, "assay.synthetic.format", FORMAT_VERSION) ||
        !has_number(g, "assay.synthetic.seed", plan->params->seed) ||
        assay_gguf_tensor_count(g) != plan->count)
        return false;
    for (size_t i = 0; i < plan->count; i++) {
        const struct planned *want = &plan->tensors[i];
        const struct assay_gguf_tensor *t = assay_gguf_tensor_find(g, want->name);
        if (!t || t->type != want->type || t->n_dims != want->n_dims ||
            memcmp(t->dims, want->dims, sizeof t->dims) != 0)
            return false;
    }
    return true;
}

/* The reader rejects a file that is too short for its tensor table, so a match is complete. */
static bool reusable(const struct assay_synthetic_params *p, const char *path) {
    char ignored[256];
    if (access(path, R_OK) != 0)
        return false;
    struct assay_gguf *g = assay_gguf_open(path, ignored, sizeof ignored);
    if (!g)
        return false;
    struct plan plan = plan_make(p);
    bool same = plan.ok && matches(g, &plan);
    free(plan.tensors);
    assay_gguf_close(g);
    return same;
}

static bool cache_path(const struct assay_synthetic_params *p, const char *dir, char *path,
                       size_t size) {
    char part[32] = "";
    if (layers_of(p) != p->shape->n_layer)
        snprintf(part, sizeof part, "-%" PRIu32 "of%" PRIu32, layers_of(p), p->shape->n_layer);
    int n = snprintf(path, size, "%s/%s-%s%s-seed%" PRIu64 ".gguf", dir, p->shape->name,
                     p->file_type->name, part, p->seed);
    return n > 0 && (size_t)n < size;
}

bool assay_synthetic_cached(const struct assay_synthetic_params *p, char *path, size_t path_size,
                            char *err, size_t err_size) {
    char dir[3072];
    if (!assay_cache_dir(dir, sizeof dir, err, err_size))
        return false;
    if (!cache_path(p, dir, path, path_size)) {
        snprintf(err, err_size, "%s: path too long", dir);
        return false;
    }
    if (reusable(p, path))
        return true;

    /* One writer at a time: a second process waits, then finds the file that the first one wrote.
     * Where the file system has no locks, both write the same bytes. */
    int lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock >= 0)
        flock(lock, LOCK_EX);
    bool ok = reusable(p, path) || assay_synthetic_write(p, path, err, err_size);
    if (lock >= 0)
        close(lock);
    return ok;
}
