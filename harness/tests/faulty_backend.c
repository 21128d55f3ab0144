#include "faulty_backend.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum fault current_fault;

/* Number of products of this store so far, for FAULT_SECOND_CALL. */
static int calls;

static bool supports(const struct assay_type_traits *t) { return t->dequant != NULL; }

static enum assay_status ctx_create(const struct assay_ctx_params *p, struct assay_ctx **out,
                                    struct assay_error *err) {
    (void)p;
    *out = calloc(1, sizeof **out);
    return *out != NULL ? ASSAY_OK : assay_fail(err, ASSAY_ENOMEM, "out of memory");
}

static void ctx_free(struct assay_ctx *ctx) { free(ctx); }

static void arith(const struct assay_ctx *ctx, const struct assay_type_traits *t, size_t m,
                  struct assay_arith *out) {
    (void)ctx;
    (void)t;
    (void)m;
    *out = (struct assay_arith){ASSAY_WEIGHT_F32, ASSAY_ACT_F32, 0, 1};
}

static const char *kernel(const struct assay_ctx *ctx, const struct assay_type_traits *t,
                          size_t m) {
    (void)ctx;
    (void)t;
    (void)m;
    return "faulty";
}

static enum assay_status store_create(struct assay_ctx *ctx, const struct assay_store *head,
                                      struct assay_store **out, struct assay_error *err) {
    (void)ctx;
    if (current_fault == FAULT_UNSUPPORTED)
        return assay_fail(err, ASSAY_EUNSUPPORTED, "not this one");
    *out = malloc(sizeof **out);
    if (*out == NULL)
        return assay_fail(err, ASSAY_ENOMEM, "out of memory");
    **out = *head;
    calls = 0;
    return ASSAY_OK;
}

static void store_free(struct assay_store *s) { free(s); }

/* Field j of a byte of high bits is read at bit 2j+1 instead of 2j. */
static void shift_high_bits(uint8_t *block) {
    for (size_t i = 128; i < 192; i++) {
        uint8_t b = block[i], shifted = 0;
        for (int j = 0; j < 4; j++)
            shifted |= (uint8_t)((b >> (2 * j + 1) & 3) << 2 * j);
        block[i] = shifted;
    }
}

/* The six bits of min 7 lie in the top of scale bytes 7 and 11. */
static void drop_min_7(uint8_t *block) {
    block[4 + 7] &= 0x3f;
    block[4 + 11] &= 0x0f;
}

static void decode(const struct assay_store *w, size_t row, float *out) {
    const uint8_t *blocks = w->bytes + row * w->row_bytes;

    for (size_t k = 0; k < w->in; k += w->type->block_len) {
        uint8_t block[512];
        memcpy(block, blocks, w->type->block_bytes);
        if (row == FAULTY_ROW && current_fault == FAULT_Q6K_HIGH_BITS &&
            w->type->type == ASSAY_TYPE_Q6_K)
            shift_high_bits(block);
        if (row == FAULTY_ROW && current_fault == FAULT_Q4K_MIN && w->type->type == ASSAY_TYPE_Q4_K)
            drop_min_7(block);
        w->type->dequant(block, out + k);
        blocks += w->type->block_bytes;
    }
}

static void product(const struct assay_store *w, const float *x, size_t m, float *y, size_t ldy) {
    float *row = malloc(w->in * sizeof *row);

    for (size_t j = 0; j < w->rows && row != NULL; j++) {
        decode(w, j, row);
        for (size_t i = 0; i < m; i++) {
            float sum = 0;
            for (size_t k = 0; k < w->in; k++)
                sum += row[k] * x[i * w->in + k];
            if (current_fault != FAULT_SKIPS_COLUMN || j + 1 < w->rows)
                y[i * ldy + j] = sum;
        }
    }
    free(row);
}

static void misbehave(const struct assay_store *w, const float *x, size_t m, float *y, size_t ldy) {
    bool is_q5k = w->type->type == ASSAY_TYPE_Q5_K;
    volatile float sink;

    if (current_fault == FAULT_CRASH_ON_Q5K && is_q5k) {
        signal(SIGSEGV, SIG_DFL); /* a sanitizer would make it an exit */
        raise(SIGSEGV);
    }
    if (current_fault == FAULT_HANG_ON_Q5K && is_q5k)
        for (;;)
            pause();
    if (current_fault == FAULT_NAN)
        y[0] = NAN;
    if (current_fault == FAULT_WRITES_PAST_N && ldy > w->rows)
        for (size_t i = 0; i < m; i++)
            y[i * ldy + w->rows] = 0;
    if (current_fault == FAULT_SECOND_CALL && calls > 1)
        y[0] += 1e6f;
    if (current_fault == FAULT_ALL_ZERO)
        for (size_t i = 0; i < m; i++)
            memset(y + i * ldy, 0, w->rows * sizeof *y);
    if (current_fault == FAULT_READS_PAST_X) {
        signal(SIGSEGV, SIG_DFL);
        sink = x[m * w->in];
        (void)sink;
    }
}

static enum assay_status gemm(struct assay_ctx *ctx, const struct assay_store *w, const float *x,
                              size_t m, float *y, size_t ldy, struct assay_error *err) {
    (void)ctx;
    if (current_fault == FAULT_FAILS)
        return assay_fail(err, ASSAY_EBACKEND, "the device is on fire");
    calls++;
    product(w, x, m, y, ldy);
    misbehave(w, x, m, y, ldy);
    return ASSAY_OK;
}

static enum assay_status rows(struct assay_ctx *ctx, const struct assay_store *w,
                              const int64_t *ids, size_t count, float *y, struct assay_error *err) {
    (void)ctx;
    (void)err;
    for (size_t i = 0; i < count; i++)
        decode(w, (size_t)ids[i], y + i * w->in);
    return ASSAY_OK;
}

const struct assay_backend faulty_backend = {
    .name = "faulty",
    .summary = "for tests",
    .supports = supports,
    .ctx_create = ctx_create,
    .ctx_free = ctx_free,
    .arith = arith,
    .kernel = kernel,
    .store_create = store_create,
    .store_free = store_free,
    .gemm = gemm,
    .rows = rows,
};
