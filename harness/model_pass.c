#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/rng.h"
#include "model_internal.h"
#include "timer.h"

struct pass {
    struct assay_model *m;
    size_t tokens, embd;
    float *h;      /* residual stream: tokens × embd */
    float *x;      /* input of the next product: tokens × widest */
    float *y, *y2; /* its output: tokens × widest */
    float *sum;    /* of the experts: tokens × embd */
    struct assay_error err;
    bool ok;
};

static void multiply(struct pass *p, const struct assay_linear *lin, const float *x, float *y) {
    if (p->ok)
        p->ok = assay_linear_forward(p->m->ctx, lin, x, y, p->tokens, &p->err) == ASSAY_OK;
}

/* dst[i, 0..n) = RMS-normalised src[i, 0..n), times `weight` if there is one. */
static void normalise(float *dst, const float *src, size_t rows, size_t n, const float *weight) {
    for (size_t i = 0; i < rows; i++) {
        const float *s = src + i * n;
        double squares = 0;
        for (size_t k = 0; k < n; k++)
            squares += (double)s[k] * s[k];
        double scale = 1 / sqrt(squares / (double)n + 1e-5);
        for (size_t k = 0; k < n; k++)
            dst[i * n + k] = (float)(s[k] * scale * (weight ? weight[k] : 1));
    }
}

/* dst[i, 0..to) = the columns of src[i, 0..from) summed modulo `to`: brings a row to another width
 * without losing what any of its elements says. */
static void fold(float *dst, size_t to, const float *src, size_t from, size_t rows) {
    memset(dst, 0, rows * to * sizeof *dst);
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < from; k++)
            dst[i * to + k % to] += src[i * from + k];
}

static void add(float *dst, const float *src, size_t n) {
    for (size_t i = 0; i < n; i++)
        dst[i] += src[i];
}

static void add_normalised(struct pass *p, float *dst, float *src) {
    normalise(src, src, p->tokens, p->embd, NULL);
    add(dst, src, p->tokens * p->embd);
}

static void attention(struct pass *p, const struct assay_block *b) {
    size_t width = assay_linear_in(b->attn_output);

    normalise(p->x, p->h, p->tokens, p->embd, b->attn_norm);
    multiply(p, b->qkv, p->x, p->y);
    fold(p->x, width, p->y, assay_linear_out(b->qkv), p->tokens);
    normalise(p->x, p->x, p->tokens, width, NULL);
    multiply(p, b->attn_output, p->x, p->y);
    add_normalised(p, p->h, p->y);
}

static void expert(struct pass *p, const struct assay_block *b, uint32_t e) {
    size_t width = assay_linear_out(b->up[e]);

    multiply(p, b->gate[e], p->x, p->y);
    multiply(p, b->up[e], p->x, p->y2);
    add(p->y, p->y2, p->tokens * width);
    normalise(p->y, p->y, p->tokens, width, NULL);
    multiply(p, b->down[e], p->y, p->y2);
    add_normalised(p, p->sum, p->y2);
}

static void feed_forward(struct pass *p, const struct assay_block *b, uint32_t layer) {
    uint32_t used = b->experts > 1 ? p->m->experts_used : 1;
    struct assay_rng rng;

    normalise(p->x, p->h, p->tokens, p->embd, b->ffn_norm);
    memset(p->sum, 0, p->tokens * p->embd * sizeof *p->sum);
    if (b->router) {
        multiply(p, b->router, p->x, p->y);
        fold(p->sum, p->embd, p->y, assay_linear_out(b->router), p->tokens);
        normalise(p->sum, p->sum, p->tokens, p->embd, NULL);
    }
    assay_rng_seed(&rng, layer);
    uint32_t first = assay_rng_below(&rng, b->experts);
    for (uint32_t i = 0; i < used && i < b->experts && p->ok; i++)
        expert(p, b, (first + i) % b->experts);
    add_normalised(p, p->h, p->sum);
}

static void run(struct pass *p, const int64_t *ids, float *logits) {
    struct assay_model *m = p->m;

    p->ok = assay_linear_rows(m->ctx, m->embed, ids, p->tokens, p->h, &p->err) == ASSAY_OK;
    uint64_t start = assay_now_ns();
    for (uint32_t l = 0; l < m->info.layers && p->ok; l++) {
        attention(p, &m->blocks[l]);
        feed_forward(p, &m->blocks[l], l);
    }
    m->info.pass_layers_s = 1e-9 * (double)(assay_now_ns() - start);
    normalise(p->x, p->h, p->tokens, p->embd, m->output_norm);
    multiply(p, m->output, p->x, logits);
}

bool assay_model_forward(struct assay_model *m, const int64_t *ids, size_t tokens, float *logits,
                         char *err, size_t err_size) {
    size_t embd = assay_linear_in(m->embed), row = 3 * m->widest + 2 * embd, floats;
    struct pass p = {.m = m, .tokens = tokens, .embd = embd};
    float *scratch = NULL;

    if (!__builtin_mul_overflow(row, tokens, &floats) && floats <= SIZE_MAX / sizeof(float))
        scratch = malloc((floats ? floats : 1) * sizeof(float));
    if (!scratch) {
        snprintf(err, err_size, "out of memory for the activations of %zu tokens", tokens);
        return false;
    }
    p.h = scratch;
    p.sum = p.h + tokens * embd;
    p.x = p.sum + tokens * embd;
    p.y = p.x + tokens * m->widest;
    p.y2 = p.y + tokens * m->widest;
    run(&p, ids, logits);
    if (!p.ok)
        snprintf(err, err_size, "%s", p.err.message);
    free(scratch);
    return p.ok;
}
