#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl/decode.h"
#include "model_internal.h"
#include "timer.h"

struct loader {
    struct assay_model *m;
    const struct assay_gguf *g;
    char *err;
    size_t err_size;
    bool ok;
};

__attribute__((format(printf, 2, 3))) static void fail(struct loader *ld, const char *fmt, ...) {
    va_list ap;
    if (!ld->ok)
        return; /* the first reason is the one to report */
    ld->ok = false;
    va_start(ap, fmt);
    vsnprintf(ld->err, ld->err_size, fmt, ap);
    va_end(ap);
}

/* ---- The tensor table ---------------------------------------------------------------------- */

static bool name_starts(const struct assay_gguf_tensor *t, const char *prefix) {
    size_t n = strlen(prefix);
    return t->name.len >= n && memcmp(t->name.data, prefix, n) == 0;
}

/* Layer of a tensor "blk.N.…", or -1. */
static int64_t layer_of(const struct assay_gguf_tensor *t) {
    int64_t n = 0;
    uint64_t i = 4;

    if (!name_starts(t, "blk."))
        return -1;
    for (; i < t->name.len && t->name.data[i] >= '0' && t->name.data[i] <= '9' && n < 100000; i++)
        n = 10 * n + (t->name.data[i] - '0');
    return i > 4 && i < t->name.len && t->name.data[i] == '.' ? n : -1;
}

uint32_t assay_model_layers(const struct assay_gguf *g) {
    int64_t highest = -1;
    for (size_t i = 0; i < assay_gguf_tensor_count(g); i++) {
        int64_t l = layer_of(assay_gguf_tensor_at(g, i));
        if (highest < l)
            highest = l;
    }
    return (uint32_t)(highest + 1);
}

uint64_t assay_model_disk_bytes(const struct assay_gguf *g, uint32_t layers) {
    uint64_t sum = 0;
    for (size_t i = 0; i < assay_gguf_tensor_count(g); i++) {
        const struct assay_gguf_tensor *t = assay_gguf_tensor_at(g, i);
        if (layers == 0 || layer_of(t) < (int64_t)layers)
            sum += t->bytes;
    }
    return sum;
}

static uint32_t metadata_u32(const struct assay_gguf *g, const char *key, uint32_t fallback) {
    const struct assay_gguf_kv *arch = assay_gguf_kv_find(g, "general.architecture");
    char full[128];
    uint64_t v, len;

    if (!arch || arch->kind != ASSAY_GGUF_STRING || arch->value_bytes < 8)
        return fallback;
    memcpy(&len, arch->value, 8); /* a string is its length and its bytes */
    if (len > 64)
        return fallback;
    snprintf(full, sizeof full, "%.*s.%s", (int)len, (const char *)arch->value + 8, key);
    const struct assay_gguf_kv *kv = assay_gguf_kv_find(g, full);
    return kv && assay_gguf_kv_u64(kv, &v) && v <= UINT32_MAX ? (uint32_t)v : fallback;
}

/* ---- Matrices ------------------------------------------------------------------------------ */

/* Reads every page of a borrowed tensor in, as a loader does that does not leave the first token to
 * wait for the disk. */
static void touch_pages(const uint8_t *data, uint64_t bytes) {
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    const volatile uint8_t *p = data;

    for (uint64_t i = 0; i < bytes; i += page)
        (void)p[i];
    if (bytes > 0)
        (void)p[bytes - 1];
}

static void settle(struct loader *ld, const struct assay_gguf_tensor *t) {
    ld->m->info.disk_bytes += t->bytes;
    if (ld->m->owns_weights)
        assay_gguf_release_pages(ld->g, t);
    else
        touch_pages(t->data, t->bytes);
}

static const struct assay_gguf_tensor *find(struct loader *ld, const char *name, uint32_t n_dims) {
    const struct assay_gguf_tensor *t = assay_gguf_tensor_find(ld->g, name);
    if (t && t->n_dims != n_dims) {
        fail(ld, "tensor %s has %u dimensions, not %u", name, t->n_dims, n_dims);
        return NULL;
    }
    return t;
}

static const struct assay_gguf_tensor *need(struct loader *ld, const char *name, uint32_t n_dims) {
    const struct assay_gguf_tensor *t = find(ld, name, n_dims);
    if (!t)
        fail(ld, "no tensor %s: not a llama-like model", name);
    return t;
}

static void account(struct loader *ld, const struct assay_linear *lin) {
    struct assay_model *m = ld->m;
    size_t in = assay_linear_in(lin), out = assay_linear_out(lin);
    size_t wider = in > out ? in : out;

    m->info.weight_bytes += assay_linear_bytes(lin);
    if (m->widest < wider)
        m->widest = wider;
}

/* The first matrix also tells whether the backend keeps its own copy. */
static struct assay_linear *load_matrix(struct loader *ld, const struct assay_gguf_tensor *t) {
    struct assay_ctx *ctx = ld->m->ctx;
    struct assay_store *store;
    struct assay_linear *lin = NULL;
    struct assay_error err;

    if (!t || !ld->ok)
        return NULL;
    if (assay_store_create(ctx, t->type->type, t->data, t->bytes, t->rows, t->dims[0], &store,
                           &err)) {
        fail(ld, "tensor %.*s: %s", (int)t->name.len, t->name.data, err.message);
        return NULL;
    }
    ld->m->owns_weights = assay_store_owns_weights(store);
    if (assay_linear_from_store(ctx, store, &lin, &err)) {
        fail(ld, "tensor %.*s: %s", (int)t->name.len, t->name.data, err.message);
        assay_store_free(store);
        return NULL;
    }
    settle(ld, t);
    return lin;
}

/* ---- Layers -------------------------------------------------------------------------------- */

static const char *part_name(uint32_t layer, const char *part, char *buf, size_t size) {
    snprintf(buf, size, "blk.%" PRIu32 ".%s.weight", layer, part);
    return buf;
}

static struct assay_linear *load_part(struct loader *ld, uint32_t layer, const char *part) {
    char name[64];
    struct assay_linear *lin =
        load_matrix(ld, need(ld, part_name(layer, part, name, sizeof name), 2));
    if (lin)
        account(ld, lin);
    return lin;
}

static struct assay_linear *load_qkv(struct loader *ld, uint32_t layer) {
    static const char *const names[] = {"attn_q", "attn_k", "attn_v"};
    const struct assay_gguf_tensor *t[3];
    struct assay_part parts[3];
    struct assay_linear *lin = NULL;
    struct assay_error err;
    char name[64];

    for (int i = 0; i < 3; i++) {
        t[i] = need(ld, part_name(layer, names[i], name, sizeof name), 2);
        if (!t[i])
            return NULL;
        if (t[i]->dims[0] != t[0]->dims[0]) {
            fail(ld, "layer %" PRIu32 ": attn_q and %s differ in row length", layer, names[i]);
            return NULL;
        }
        parts[i] = (struct assay_part){t[i]->type->type, t[i]->data, t[i]->bytes, t[i]->rows};
    }
    if (assay_linear_create_fused(ld->m->ctx, parts, 3, t[0]->dims[0], &lin, &err)) {
        fail(ld, "layer %" PRIu32 ": attn_q, k, v: %s", layer, err.message);
        return NULL;
    }
    for (int i = 0; i < 3; i++)
        settle(ld, t[i]);
    account(ld, lin);
    return lin;
}

/* A stack of experts: dims are (in, out, experts). */
static struct assay_linear **load_experts(struct loader *ld, uint32_t layer, const char *part,
                                          uint32_t experts) {
    char name[64];
    const struct assay_gguf_tensor *t = need(ld, part_name(layer, part, name, sizeof name), 3);
    struct assay_linear **stack;
    struct assay_error err;

    if (!t)
        return NULL;
    if (t->dims[2] != experts) {
        fail(ld, "tensor %s has %" PRIu64 " experts, not %" PRIu32, name, t->dims[2], experts);
        return NULL;
    }
    stack = calloc(experts, sizeof *stack);
    if (!stack) {
        fail(ld, "out of memory");
        return NULL;
    }
    uint64_t bytes = t->bytes / experts;
    for (uint32_t e = 0; e < experts && ld->ok; e++) {
        if (assay_linear_create(ld->m->ctx, t->type->type, t->data + e * bytes, bytes, t->dims[1],
                                t->dims[0], &stack[e], &err))
            fail(ld, "tensor %s: %s", name, err.message);
        else
            account(ld, stack[e]);
    }
    if (ld->ok)
        settle(ld, t);
    return stack;
}

static struct assay_linear **load_dense(struct loader *ld, uint32_t layer, const char *part) {
    struct assay_linear **one = calloc(1, sizeof *one);
    if (one)
        *one = load_part(ld, layer, part);
    else
        fail(ld, "out of memory");
    return one;
}

static const float *vector(struct loader *ld, const char *name) {
    const struct assay_gguf_tensor *t = find(ld, name, 1);
    return t ? ld->m->vectors[t - assay_gguf_tensor_at(ld->g, 0)] : NULL;
}

static void load_block(struct loader *ld, uint32_t l) {
    struct assay_block *b = &ld->m->blocks[l];
    char name[64];
    const struct assay_gguf_tensor *experts =
        assay_gguf_tensor_find(ld->g, part_name(l, "ffn_gate_exps", name, sizeof name));

    b->attn_norm = vector(ld, part_name(l, "attn_norm", name, sizeof name));
    b->ffn_norm = vector(ld, part_name(l, "ffn_norm", name, sizeof name));
    b->qkv = load_qkv(ld, l);
    b->attn_output = load_part(ld, l, "attn_output");
    if (experts) {
        b->experts = (uint32_t)experts->dims[2];
        b->router = load_part(ld, l, "ffn_gate_inp");
        b->gate = load_experts(ld, l, "ffn_gate_exps", b->experts);
        b->up = load_experts(ld, l, "ffn_up_exps", b->experts);
        b->down = load_experts(ld, l, "ffn_down_exps", b->experts);
    } else {
        b->experts = 1;
        b->gate = load_dense(ld, l, "ffn_gate");
        b->up = load_dense(ld, l, "ffn_up");
        b->down = load_dense(ld, l, "ffn_down");
    }
}

static bool widths_agree(const struct assay_model *m, const struct assay_block *b) {
    size_t embd = assay_linear_in(m->embed);

    if (assay_linear_in(b->qkv) != embd || assay_linear_out(b->attn_output) != embd ||
        assay_linear_in(b->attn_output) > assay_linear_out(b->qkv))
        return false;
    for (uint32_t e = 0; e < b->experts; e++)
        if (assay_linear_in(b->gate[e]) != embd || assay_linear_in(b->up[e]) != embd ||
            assay_linear_out(b->gate[e]) != assay_linear_out(b->up[e]) ||
            assay_linear_in(b->down[e]) != assay_linear_out(b->up[e]) ||
            assay_linear_out(b->down[e]) != embd)
            return false;
    return !b->router || assay_linear_in(b->router) == embd;
}

/* ---- The model ----------------------------------------------------------------------------- */

static void load_vectors(struct loader *ld) {
    size_t n = assay_gguf_tensor_count(ld->g);
    ld->m->vectors = calloc(n ? n : 1, sizeof *ld->m->vectors);
    if (!ld->m->vectors) {
        fail(ld, "out of memory");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const struct assay_gguf_tensor *t = assay_gguf_tensor_at(ld->g, i);
        assay_decode_fn decode = assay_decoder(t->type);
        if (t->n_dims != 1 || !decode || layer_of(t) >= (int64_t)ld->m->info.layers)
            continue;
        float *v = malloc(t->dims[0] * sizeof *v);
        if (!v) {
            fail(ld, "out of memory");
            return;
        }
        decode(t->data, t->dims[0] / t->type->block_len, v);
        ld->m->vectors[i] = v;
        ld->m->info.disk_bytes += t->bytes;
        ld->m->info.weight_bytes += t->dims[0] * sizeof *v;
        assay_gguf_release_pages(ld->g, t);
    }
}

static void load_tables(struct loader *ld) {
    struct assay_model *m = ld->m;
    const struct assay_gguf_tensor *output = find(ld, "output.weight", 2);

    m->embed = load_matrix(ld, need(ld, "token_embd.weight", 2));
    m->output = output ? load_matrix(ld, output) : m->embed;
    if (!ld->ok)
        return;
    m->info.weight_bytes += assay_linear_bytes(m->embed);
    if (output)
        m->info.weight_bytes += assay_linear_bytes(m->output);
    m->info.vocab = assay_linear_out(m->output);
    m->widest = assay_linear_in(m->embed);
    m->output_norm = vector(ld, "output_norm.weight");
    if (assay_linear_in(m->output) != m->widest)
        fail(ld, "output.weight and token_embd.weight differ in row length");
}

static void load_all(struct loader *ld) {
    struct assay_model *m = ld->m;

    load_vectors(ld);
    if (ld->ok)
        load_tables(ld);
    m->blocks = calloc(m->info.layers ? m->info.layers : 1, sizeof *m->blocks);
    if (!m->blocks)
        fail(ld, "out of memory");
    uint64_t start = assay_now_ns();
    for (uint32_t l = 0; l < m->info.layers && ld->ok; l++) {
        load_block(ld, l);
        if (ld->ok && !widths_agree(m, &m->blocks[l]))
            fail(ld, "layer %" PRIu32 ": the shapes of its matrices do not fit together", l);
    }
    m->info.load_layers_s = 1e-9 * (double)(assay_now_ns() - start);
}

/* Matrices of the loaded layers that no name above covers; their bytes are not in disk_bytes. */
static size_t count_skipped(const struct assay_model *m) {
    static const char *const known[] = {
        "attn_q.",   "attn_k.",       "attn_v.",        "attn_output.", "ffn_gate.",     "ffn_up.",
        "ffn_down.", "ffn_gate_inp.", "ffn_gate_exps.", "ffn_up_exps.", "ffn_down_exps."};
    size_t skipped = 0;

    for (size_t i = 0; i < assay_gguf_tensor_count(m->gguf); i++) {
        const struct assay_gguf_tensor *t = assay_gguf_tensor_at(m->gguf, i);
        int64_t layer = layer_of(t);
        bool found = t->n_dims < 2 || layer >= (int64_t)m->info.layers;
        if (layer < 0)
            found = found || name_starts(t, "token_embd.") || name_starts(t, "output.");
        for (size_t k = 0; k < sizeof known / sizeof known[0] && layer >= 0 && !found; k++) {
            const char *part = memchr(t->name.data + 4, '.', t->name.len - 4);
            size_t len = strlen(known[k]), left = t->name.len - (size_t)(part + 1 - t->name.data);
            found = left >= len && memcmp(part + 1, known[k], len) == 0;
        }
        skipped += !found;
    }
    return skipped;
}

struct assay_model *assay_model_load(const struct assay_gguf *g, struct assay_ctx *ctx,
                                     uint32_t layers, char *err, size_t err_size) {
    struct assay_model *m = calloc(1, sizeof *m);
    struct loader ld = {m, g, err, err_size, true};

    if (!m) {
        snprintf(err, err_size, "out of memory");
        return NULL;
    }
    m->ctx = ctx;
    m->gguf = g;
    m->info.layers_total = assay_model_layers(g);
    m->info.layers = layers > 0 && layers < m->info.layers_total ? layers : m->info.layers_total;
    m->experts_used = metadata_u32(g, "expert_used_count", 1);
    load_all(&ld);
    if (!ld.ok) {
        assay_model_free(m);
        return NULL;
    }
    m->info.skipped = count_skipped(m);
    return m;
}

static void free_stack(struct assay_linear **stack, uint32_t n) {
    for (uint32_t i = 0; stack && i < n; i++)
        assay_linear_free(stack[i]);
    free(stack);
}

void assay_model_free(struct assay_model *m) {
    if (!m)
        return;
    for (uint32_t l = 0; m->blocks && l < m->info.layers; l++) {
        struct assay_block *b = &m->blocks[l];
        assay_linear_free(b->qkv);
        assay_linear_free(b->attn_output);
        assay_linear_free(b->router);
        free_stack(b->gate, b->experts);
        free_stack(b->up, b->experts);
        free_stack(b->down, b->experts);
    }
    free(m->blocks);
    for (size_t i = 0; m->vectors && i < assay_gguf_tensor_count(m->gguf); i++)
        free(m->vectors[i]);
    free(m->vectors);
    if (m->output != m->embed)
        assay_linear_free(m->output);
    assay_linear_free(m->embed);
    free(m);
}

const struct assay_model_info *assay_model_info(const struct assay_model *m) { return &m->info; }

/* ---- What it would cost -------------------------------------------------------------------- */

static bool tensor_cost(struct assay_ctx *ctx, const struct assay_gguf_tensor *t, uint64_t *bytes,
                        bool *owned, char *err, size_t err_size) {
    struct assay_store *row;
    struct assay_error why;

    if (t->n_dims < 2) {
        *bytes = t->dims[0] * sizeof(float);
        return true;
    }
    if (t->rows == 0) {
        *bytes = 0;
        return true;
    }
    if (assay_store_create(ctx, t->type->type, t->data, t->bytes / t->rows, 1, t->dims[0], &row,
                           &why)) {
        snprintf(err, err_size, "tensor %.*s: %s", (int)t->name.len, t->name.data, why.message);
        return false;
    }
    *bytes = assay_store_bytes(row) * t->rows;
    *owned = assay_store_owns_weights(row);
    assay_store_free(row);
    return true;
}

bool assay_model_cost(const struct assay_gguf *g, struct assay_ctx *ctx,
                      struct assay_model_cost *cost, char *err, size_t err_size) {
    uint32_t layers = assay_model_layers(g);

    *cost = (struct assay_model_cost){.layers = layers};
    cost->layer_bytes = calloc(layers ? layers : 1, sizeof *cost->layer_bytes);
    if (!cost->layer_bytes) {
        snprintf(err, err_size, "out of memory");
        return false;
    }
    for (size_t i = 0; i < assay_gguf_tensor_count(g); i++) {
        const struct assay_gguf_tensor *t = assay_gguf_tensor_at(g, i);
        int64_t layer = layer_of(t);
        uint64_t bytes, weights = t->rows * t->dims[0];

        if (!tensor_cost(ctx, t, &bytes, &cost->owned, err, err_size)) {
            free(cost->layer_bytes);
            cost->layer_bytes = NULL;
            return false;
        }
        *(layer < 0 ? &cost->table_bytes : &cost->layer_bytes[layer]) += bytes;
        if (cost->largest < weights)
            cost->largest = weights;
    }
    return true;
}
