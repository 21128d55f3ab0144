/* The contract of stores and QuantLinear: every error is named and leaves y alone. */
#include <criterion/criterion.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blocks_random.h"
#include "impl/backend.h"

enum { IN = 512 };

/* The call fails with this status, and its one-line message contains `part`. */
#define EXPECT_FAIL(want, part, err, call)                                                         \
    do {                                                                                           \
        memset((err), 0, sizeof *(err));                                                           \
        enum assay_status got_ = (call);                                                           \
        cr_expect_eq(got_, (want), #call ": status %d", (int)got_);                                \
        cr_expect_eq((err)->status, (want));                                                       \
        cr_expect(strstr((err)->message, (part)), "'%s' does not contain '%s'", (err)->message,    \
                  (part));                                                                         \
        cr_expect_null(strchr((err)->message, '\n'));                                              \
    } while (0)

#define ASSERT_OK(err, call) cr_assert_eq((call), ASSAY_OK, #call ": %s", (err)->message)

static struct assay_ctx *context(const char *backend) {
    struct assay_ctx_params p = {.backend = assay_backend_by_name(backend), .threads = 1};
    struct assay_ctx *ctx = NULL;
    struct assay_error err = {0};
    ASSERT_OK(&err, assay_ctx_create(&p, &ctx, &err));
    return ctx;
}

/* ---- Contexts ------------------------------------------------------------------------------- */

Test(context, rejects_bad_parameters) {
    const struct assay_backend *scalar = assay_backend_by_name("scalar");
    const struct assay_backend *cpu = assay_backend_by_name("cpu");
    struct assay_ctx *ctx = NULL;
    struct assay_error err;
    struct assay_ctx_params p = {.backend = scalar};
    EXPECT_FAIL(ASSAY_EINVAL, "params", &err, assay_ctx_create(NULL, &ctx, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "out", &err, assay_ctx_create(&p, NULL, &err));
    p.backend = NULL;
    EXPECT_FAIL(ASSAY_EINVAL, "backend", &err, assay_ctx_create(&p, &ctx, &err));
    p = (struct assay_ctx_params){.backend = scalar, .threads = -1};
    EXPECT_FAIL(ASSAY_EINVAL, "-1 threads", &err, assay_ctx_create(&p, &ctx, &err));
    p = (struct assay_ctx_params){.backend = scalar, .variant = "turbo"};
    EXPECT_FAIL(ASSAY_EINVAL, "turbo", &err, assay_ctx_create(&p, &ctx, &err));
    p = (struct assay_ctx_params){.backend = cpu, .isa = ASSAY_ISA_COUNT};
    EXPECT_FAIL(ASSAY_EINVAL, "instruction set", &err, assay_ctx_create(&p, &ctx, &err));
    cr_expect_null(ctx);
}

Test(context, resolves_isa_and_threads) {
    struct assay_ctx *ctx = context("cpu");
    cr_expect_neq(assay_ctx_isa(ctx), ASSAY_ISA_AUTO);
    cr_expect(assay_isa_runs_here(assay_ctx_isa(ctx)));
    for (enum assay_isa isa = assay_ctx_isa(ctx) + 1; isa < ASSAY_ISA_COUNT; isa++)
        cr_expect_not(assay_isa_runs_here(isa), "a better one than the choice");
    cr_expect_eq(ctx->threads, 1);
    assay_ctx_free(ctx);
    assay_ctx_free(NULL);
}

static bool never(char *why, size_t n) {
    snprintf(why, n, "no such chip");
    return false;
}

Test(context, of_an_unavailable_backend_is_refused) {
    struct assay_backend b = {.name = "absent", .available = never};
    struct assay_ctx_params p = {.backend = &b};
    struct assay_ctx *ctx = NULL;
    struct assay_error err;
    EXPECT_FAIL(ASSAY_EUNSUPPORTED, "absent is not available: no such chip", &err,
                assay_ctx_create(&p, &ctx, &err));
}

Test(context, arithmetic_class_needs_a_supported_type) {
    struct assay_ctx *ctx = context("scalar");
    struct assay_arith a;
    struct assay_error err;
    EXPECT_FAIL(ASSAY_EUNSUPPORTED, "q8_1", &err,
                assay_ctx_arith(ctx, assay_type_by_name("q8_1"), 1, &a, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "type is NULL", &err, assay_ctx_arith(ctx, NULL, 1, &a, &err));
    assay_ctx_free(ctx);
}

/* ---- Stores --------------------------------------------------------------------------------- */

Test(store, rejects_what_does_not_fit) {
    static uint8_t bytes[2 * 144 * 3];
    struct assay_ctx *ctx = context("scalar");
    struct assay_store *s = NULL;
    struct assay_error err;
    EXPECT_FAIL(ASSAY_EINVAL, "context is NULL", &err,
                assay_store_create(NULL, 12, bytes, sizeof bytes, 3, IN, &s, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "out is NULL", &err,
                assay_store_create(ctx, 12, bytes, sizeof bytes, 3, IN, NULL, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "bytes is NULL", &err,
                assay_store_create(ctx, 12, NULL, sizeof bytes, 3, IN, &s, &err));
    EXPECT_FAIL(ASSAY_EUNSUPPORTED, "4711", &err,
                assay_store_create(ctx, 4711, bytes, sizeof bytes, 3, IN, &s, &err));
    EXPECT_FAIL(ASSAY_EUNSUPPORTED, "scalar does not support q8_1", &err,
                assay_store_create(ctx, ASSAY_TYPE_Q8_1, bytes, 36, 1, 32, &s, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "row of 300 weights is no multiple of the block length 256", &err,
                assay_store_create(ctx, 12, bytes, sizeof bytes, 3, 300, &s, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "rows of 0", &err,
                assay_store_create(ctx, 12, bytes, 0, 3, 0, &s, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "has 864 bytes, but 863 were given", &err,
                assay_store_create(ctx, 12, bytes, sizeof bytes - 1, 3, IN, &s, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "has 0 bytes, but 864 were given", &err,
                assay_store_create(ctx, 12, bytes, sizeof bytes, 0, IN, &s, &err));
    EXPECT_FAIL(ASSAY_EOVERFLOW, "overflows", &err,
                assay_store_create(ctx, 12, bytes, sizeof bytes, SIZE_MAX / 2, IN, &s, &err));
    EXPECT_FAIL(ASSAY_EOVERFLOW, "overflows", &err,
                assay_store_create(ctx, ASSAY_TYPE_F32, bytes, 1, 1, SIZE_MAX / 2, &s, &err));
    cr_expect_null(s, "a failed create must leave the output alone");
    cr_expect_eq(assay_store_create(ctx, 12, bytes, 1, 3, IN, &s, NULL), ASSAY_EINVAL,
                 "err may be NULL");
    assay_ctx_free(ctx);
}

Test(store, beyond_openblas_integers_is_an_overflow) {
    static const char *const backends[] = {"eager-f32", "eager-f16"};
    for (int i = 0; i < 2; i++) {
        char why[128];
        if (!assay_backend_available(assay_backend_by_name(backends[i]), why, sizeof why))
            cr_skip_test("%s", why);
        struct assay_ctx *ctx = context(backends[i]);
        struct assay_store *s = NULL;
        struct assay_error err;
        uint8_t byte = 0; /* the size check comes before the first byte is read */
        size_t rows = (size_t)INT_MAX + 1;
        EXPECT_FAIL(ASSAY_EOVERFLOW, backends[i], &err,
                    assay_store_create(ctx, 12, &byte, rows * 144, rows, 256, &s, &err));
        assay_ctx_free(ctx);
    }
}

Test(store, resident_bytes_are_the_blocks_or_the_copy) {
    struct assay_rng r;
    assay_rng_seed(&r, 1);
    size_t nbytes;
    uint8_t *w = random_matrix(&r, assay_type_by_name("q4_k"), 3, IN, &nbytes);
    static const struct {
        const char *backend;
        size_t bytes;
        bool owns;
    } cases[] = {{"scalar", 3 * 2 * 144, false},
                 {"eager-f32", 3 * IN * 4, true},
                 {"eager-f16", 3 * IN * 2, true},
                 {"transient-f16", 3 * 2 * 144, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char why[128];
        if (!assay_backend_available(assay_backend_by_name(cases[i].backend), why, sizeof why))
            continue;
        struct assay_ctx *ctx = context(cases[i].backend);
        struct assay_store *s = NULL;
        struct assay_error err = {0};
        ASSERT_OK(&err, assay_store_create(ctx, 12, w, nbytes, 3, IN, &s, &err));
        cr_expect_eq(assay_store_bytes(s), cases[i].bytes, "%s", cases[i].backend);
        cr_expect_eq(assay_store_owns_weights(s), cases[i].owns, "%s", cases[i].backend);
        assay_store_free(s);
        assay_ctx_free(ctx);
    }
    assay_store_free(NULL);
    free(w);
}

/* True if all n floats are the NaN that tests put there. */
static bool untouched(const float *y, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!isnan(y[i]))
            return false;
    return true;
}

Test(store, product_rejects_bad_arguments_and_writes_nothing) {
    struct assay_rng r;
    assay_rng_seed(&r, 2);
    size_t nbytes;
    uint8_t *w = random_matrix(&r, assay_type_by_name("q4_k"), 3, IN, &nbytes);
    float *x = random_floats(&r, 2 * IN);
    float y[8] = {NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    struct assay_ctx *ctx = context("scalar"), *other = context("scalar");
    struct assay_store *s = NULL, *none = NULL;
    struct assay_error err = {0};
    ASSERT_OK(&err, assay_store_create(ctx, 12, w, nbytes, 3, IN, &s, &err));
    ASSERT_OK(&err, assay_store_create(ctx, 12, NULL, 0, 0, IN, &none, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "context is NULL", &err, gemm_quant(NULL, s, x, 2, y, 4, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "store is NULL", &err, gemm_quant(ctx, NULL, x, 2, y, 4, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "x is NULL", &err, gemm_quant(ctx, s, NULL, 2, y, 4, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "y is NULL", &err, gemm_quant(ctx, s, x, 2, NULL, 4, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "ldy 2 is less than the 3 rows", &err,
                gemm_quant(ctx, s, x, 2, y, 2, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "another context", &err, gemm_quant(other, s, x, 2, y, 4, &err));
    EXPECT_FAIL(ASSAY_EOVERFLOW, "rows of x", &err,
                gemm_quant(ctx, s, x, SIZE_MAX / 8, y, 4, &err));
    EXPECT_FAIL(ASSAY_EOVERFLOW, "rows of y", &err,
                gemm_quant(ctx, s, x, 2, y, SIZE_MAX / 4, &err));
    ASSERT_OK(&err, gemm_quant(ctx, s, NULL, 0, NULL, 0, &err));
    ASSERT_OK(&err, gemm_quant(ctx, none, x, 2, y, 4, &err));
    cr_expect(untouched(y, 8));
    assay_store_free(none);
    assay_store_free(s);
    assay_ctx_free(other);
    assay_ctx_free(ctx);
    free(x);
    free(w);
}

/* ---- QuantLinear ---------------------------------------------------------------------------- */

/* q4_k, nothing, q6_k and q8_0: a fused projection of mixed types with an empty part. */
struct fused {
    struct assay_part parts[4];
    size_t out;
    float *x;
};

static struct fused fused_new(size_t m) {
    static const struct {
        const char *type;
        size_t rows;
    } rows[4] = {{"q4_k", 5}, {"q4_k", 0}, {"q6_k", 9}, {"q8_0", 3}};
    struct assay_rng r;
    assay_rng_seed(&r, 3);
    struct fused f = {.x = NULL};
    for (int i = 0; i < 4; i++) {
        const struct assay_type_traits *t = assay_type_by_name(rows[i].type);
        struct assay_part *p = &f.parts[i];
        p->type = t->type;
        p->rows = rows[i].rows;
        p->bytes = random_matrix(&r, t, p->rows, IN, &p->nbytes);
        f.out += p->rows;
    }
    f.x = random_floats(&r, m * IN);
    return f;
}

static void fused_free(struct fused *f) {
    for (int i = 0; i < 4; i++)
        free((void *)(uintptr_t)f->parts[i].bytes);
    free(f->x);
}

static void check_fused(const char *backend, struct fused *f, size_t m) {
    struct assay_ctx *ctx = context(backend);
    struct assay_linear *lin = NULL;
    struct assay_error err = {0};
    ASSERT_OK(&err, assay_linear_create_fused(ctx, f->parts, 4, IN, &lin, &err));
    cr_assert_eq(assay_linear_out(lin), f->out);
    cr_assert_eq(assay_linear_in(lin), (size_t)IN);
    float *got = malloc(m * f->out * sizeof *got), *want = malloc(m * f->out * sizeof *want);
    ASSERT_OK(&err, assay_linear_forward(ctx, lin, f->x, got, m, &err));

    size_t column = 0, bytes = 0;
    for (int i = 0; i < 4; i++) {
        const struct assay_part *p = &f->parts[i];
        struct assay_store *s = NULL;
        ASSERT_OK(&err,
                  assay_store_create(ctx, p->type, p->bytes, p->nbytes, p->rows, IN, &s, &err));
        ASSERT_OK(&err, gemm_quant(ctx, s, f->x, m, want + column, f->out, &err));
        column += p->rows;
        bytes += assay_store_bytes(s);
        assay_store_free(s);
    }
    cr_expect_eq(memcmp(got, want, m * f->out * sizeof *got), 0, "%s", backend);
    cr_expect_eq(assay_linear_bytes(lin), bytes, "%s", backend);
    free(want);
    free(got);
    assay_linear_free(lin);
    assay_ctx_free(ctx);
}

Test(linear, fused_parts_equal_their_separate_products_bitwise) {
    struct fused f = fused_new(4);
    for (size_t i = 0; i < assay_backend_count(); i++) {
        const struct assay_backend *b = assay_backend_at(i);
        char why[128];
        if (!assay_backend_available(b, why, sizeof why))
            continue;
        check_fused(assay_backend_name(b), &f, 1);
        check_fused(assay_backend_name(b), &f, 4);
    }
    fused_free(&f);
}

Test(linear, rejects_bad_parts) {
    struct fused f = fused_new(1);
    struct assay_ctx *ctx = context("scalar");
    struct assay_linear *lin = NULL;
    struct assay_error err;
    EXPECT_FAIL(ASSAY_EINVAL, "context is NULL", &err,
                assay_linear_create_fused(NULL, f.parts, 4, IN, &lin, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "parts is NULL", &err,
                assay_linear_create_fused(ctx, NULL, 4, IN, &lin, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "out is NULL", &err,
                assay_linear_create_fused(ctx, f.parts, 4, IN, NULL, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "no parts", &err,
                assay_linear_create_fused(ctx, f.parts, 0, IN, &lin, &err));
    f.parts[2].nbytes++;
    EXPECT_FAIL(ASSAY_EINVAL, "part 2: q6_k matrix of 9 x 512", &err,
                assay_linear_create_fused(ctx, f.parts, 4, IN, &lin, &err));
    f.parts[2].nbytes--;
    EXPECT_FAIL(ASSAY_EINVAL, "no multiple", &err,
                assay_linear_create_fused(ctx, f.parts, 4, IN + 32, &lin, &err));
    f.parts[3].rows = SIZE_MAX;
    EXPECT_FAIL(ASSAY_EOVERFLOW, "rows of 4 parts", &err,
                assay_linear_create_fused(ctx, f.parts, 4, IN, &lin, &err));
    EXPECT_FAIL(ASSAY_EUNSUPPORTED, "unknown GGUF type number 99", &err,
                assay_linear_create(ctx, 99, f.parts[0].bytes, 1, 1, IN, &lin, &err));
    cr_expect_null(lin);
    fused_free(&f);
    assay_ctx_free(ctx);
}

Test(linear, forward_rejects_bad_arguments_and_writes_nothing) {
    struct fused f = fused_new(2);
    struct assay_ctx *ctx = context("scalar"), *other = context("scalar");
    struct assay_linear *lin = NULL;
    struct assay_error err = {0};
    float y[2 * 17];
    for (size_t i = 0; i < 2 * 17; i++)
        y[i] = NAN;
    ASSERT_OK(&err, assay_linear_create_fused(ctx, f.parts, 4, IN, &lin, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "context is NULL", &err,
                assay_linear_forward(NULL, lin, f.x, y, 2, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "linear is NULL", &err,
                assay_linear_forward(ctx, NULL, f.x, y, 2, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "another context", &err,
                assay_linear_forward(other, lin, f.x, y, 2, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "x is NULL", &err, assay_linear_forward(ctx, lin, NULL, y, 2, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "y is NULL", &err,
                assay_linear_forward(ctx, lin, f.x, NULL, 2, &err));
    EXPECT_FAIL(ASSAY_EOVERFLOW, "overflow", &err,
                assay_linear_forward(ctx, lin, f.x, y, SIZE_MAX / 64, &err));
    ASSERT_OK(&err, assay_linear_forward(ctx, lin, NULL, NULL, 0, &err));
    cr_expect(untouched(y, 2 * 17));
    assay_linear_free(lin);
    assay_linear_free(NULL);

    ASSERT_OK(&err, assay_linear_create_fused(ctx, &f.parts[1], 1, IN, &lin, &err));
    ASSERT_OK(&err, assay_linear_forward(ctx, lin, f.x, y, 2, &err));
    cr_expect(untouched(y, 2 * 17), "an empty linear wrote something");
    assay_linear_free(lin);
    fused_free(&f);
    assay_ctx_free(other);
    assay_ctx_free(ctx);
}

Test(linear, from_store_takes_the_store_on_success_only) {
    struct fused f = fused_new(1);
    struct assay_ctx *ctx = context("scalar"), *other = context("scalar");
    struct assay_part *p = &f.parts[2];
    struct assay_store *s = NULL;
    struct assay_linear *lin = NULL;
    struct assay_error err = {0};
    float direct[9], through[9];
    ASSERT_OK(&err, assay_store_create(ctx, p->type, p->bytes, p->nbytes, p->rows, IN, &s, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "store is NULL", &err,
                assay_linear_from_store(ctx, NULL, &lin, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "another context", &err,
                assay_linear_from_store(other, s, &lin, &err));
    ASSERT_OK(&err, gemm_quant(ctx, s, f.x, 1, direct, 9, &err));
    ASSERT_OK(&err, assay_linear_from_store(ctx, s, &lin, &err));
    ASSERT_OK(&err, assay_linear_forward(ctx, lin, f.x, through, 1, &err));
    cr_expect_eq(memcmp(direct, through, sizeof direct), 0);
    assay_linear_free(lin); /* and the store: the leak checker sees it if not */
    fused_free(&f);
    assay_ctx_free(other);
    assay_ctx_free(ctx);
}

/* Row `row` of the fused matrix by the reference decoder. */
static void reference_row(const struct fused *f, size_t row, float *out) {
    int i = 0;
    while (row >= f->parts[i].rows)
        row -= f->parts[i++].rows;
    const struct assay_part *p = &f->parts[i];
    size_t row_bytes = p->nbytes / p->rows;
    assay_dequant_row(assay_type_traits(p->type), (const uint8_t *)p->bytes + row * row_bytes, IN,
                      out);
}

Test(linear, row_lookup_spans_the_parts) {
    static const int64_t ids[] = {16, 0, 4, 5, 5, 13, 14, 1};
    enum { COUNT = sizeof ids / sizeof ids[0] };
    struct fused f = fused_new(1);
    float *y = malloc(COUNT * IN * sizeof *y), want[IN];
    for (size_t b = 0; b < assay_backend_count(); b++) {
        const char *name = assay_backend_name(assay_backend_at(b));
        char why[128];
        if (!assay_backend_available(assay_backend_at(b), why, sizeof why) ||
            !assay_backend_has_rows(assay_backend_at(b)))
            continue;
        struct assay_ctx *ctx = context(name);
        struct assay_linear *lin = NULL;
        struct assay_error err = {0};
        ASSERT_OK(&err, assay_linear_create_fused(ctx, f.parts, 4, IN, &lin, &err));
        ASSERT_OK(&err, assay_linear_rows(ctx, lin, ids, COUNT, y, &err));
        /* eager-f16 keeps 11 bits: half an ulp of binary16, 2^-11, or half its smallest step. */
        bool rounded = strcmp(name, "eager-f16") == 0;
        for (size_t i = 0; i < COUNT; i++) {
            reference_row(&f, (size_t)ids[i], want);
            for (size_t k = 0; k < IN; k++) {
                float got = y[i * IN + k];
                float slack = rounded ? fmaxf(fabsf(want[k]) * 0x1p-11f, 0x1p-25f) : 0.0f;
                cr_assert(fabsf(got - want[k]) <= slack, "%s row %d weight %zu: got %a, want %a",
                          name, (int)ids[i], k, (double)got, (double)want[k]);
            }
        }
        assay_linear_free(lin);
        assay_ctx_free(ctx);
    }
    free(y);
    fused_free(&f);
}

Test(linear, row_lookup_rejects_bad_ids_and_writes_nothing) {
    struct fused f = fused_new(1);
    struct assay_ctx *ctx = context("scalar");
    struct assay_linear *lin = NULL;
    struct assay_error err = {0};
    static float y[3 * IN];
    for (size_t i = 0; i < 3 * IN; i++)
        y[i] = NAN;
    const int64_t beyond[3] = {0, 1, 17}, negative[3] = {0, -1, 2}, far[3] = {INT64_MIN, 0, 0};
    ASSERT_OK(&err, assay_linear_create_fused(ctx, f.parts, 4, IN, &lin, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "id 17 at position 2 is not below 17", &err,
                assay_linear_rows(ctx, lin, beyond, 3, y, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "id -1 at position 1", &err,
                assay_linear_rows(ctx, lin, negative, 3, y, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "position 0", &err, assay_linear_rows(ctx, lin, far, 3, y, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "ids is NULL", &err, assay_linear_rows(ctx, lin, NULL, 3, y, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "y is NULL", &err,
                assay_linear_rows(ctx, lin, beyond, 3, NULL, &err));
    EXPECT_FAIL(ASSAY_EOVERFLOW, "overflow", &err,
                assay_linear_rows(ctx, lin, beyond, SIZE_MAX / 4, y, &err));
    EXPECT_FAIL(ASSAY_EINVAL, "linear is NULL", &err,
                assay_linear_rows(ctx, NULL, beyond, 3, y, &err));
    ASSERT_OK(&err, assay_linear_rows(ctx, lin, NULL, 0, NULL, &err));
    cr_expect(untouched(y, 3 * IN));
    assay_linear_free(lin);
    fused_free(&f);
    assay_ctx_free(ctx);
}

/* ---- A backend that fails on demand ---------------------------------------------------------- */

static int stores_alive, stores_left, calls_left;

static bool any_type(const struct assay_type_traits *t) { return t != NULL; }

static enum assay_status failing_store_create(struct assay_ctx *ctx, const struct assay_store *head,
                                              struct assay_store **out, struct assay_error *err) {
    if (stores_left-- <= 0)
        return assay_fail(err, ASSAY_ENOMEM, "no more stores");
    stores_alive++;
    return assay_plain_store_create(ctx, head, out, err);
}

static void failing_store_free(struct assay_store *s) {
    stores_alive--;
    assay_plain_store_free(s);
}

static enum assay_status failing_gemm(struct assay_ctx *ctx, const struct assay_store *w,
                                      const float *x, size_t m, float *y, size_t ldy,
                                      struct assay_error *err) {
    (void)ctx;
    if (calls_left-- <= 0)
        return assay_fail(err, ASSAY_EBACKEND, "no more products");
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < w->rows; j++)
            y[i * ldy + j] = x[i * w->in];
    return ASSAY_OK;
}

static enum assay_status failing_rows(struct assay_ctx *ctx, const struct assay_store *w,
                                      const int64_t *ids, size_t count, float *y,
                                      struct assay_error *err) {
    if (calls_left-- <= 0)
        return assay_fail(err, ASSAY_EBACKEND, "no more rows");
    return assay_plain_rows(ctx, w, ids, count, y, err);
}

static const struct assay_backend failing = {
    .name = "failing",
    .summary = "fails on demand",
    .supports = any_type,
    .ctx_create = assay_plain_ctx_create,
    .ctx_free = assay_plain_ctx_free,
    .store_create = failing_store_create,
    .store_free = failing_store_free,
    .gemm = failing_gemm,
    .rows = failing_rows,
};

static struct assay_ctx *failing_context(void) {
    struct assay_ctx_params p = {.backend = &failing};
    struct assay_ctx *ctx = NULL;
    struct assay_error err = {0};
    ASSERT_OK(&err, assay_ctx_create(&p, &ctx, &err));
    return ctx;
}

Test(linear, failed_part_frees_the_parts_before_it) {
    struct fused f = fused_new(1);
    struct assay_ctx *ctx = failing_context();
    struct assay_linear *lin = NULL;
    struct assay_error err;
    for (int good = 0; good < 4; good++) {
        stores_left = good;
        EXPECT_FAIL(ASSAY_ENOMEM, "no more stores", &err,
                    assay_linear_create_fused(ctx, f.parts, 4, IN, &lin, &err));
        cr_expect_eq(stores_alive, 0, "%d stores leaked after %d good ones", stores_alive, good);
    }
    cr_expect_null(lin);
    fused_free(&f);
    assay_ctx_free(ctx);
}

Test(linear, part_that_fails_late_leaves_y_as_it_was) {
    struct fused f = fused_new(2);
    struct assay_ctx *ctx = failing_context();
    struct assay_linear *lin = NULL;
    struct assay_error err = {0};
    static float y[2 * 17 > 3 * IN ? 2 * 17 : 3 * IN];
    static const int64_t ids[3] = {0, 6, 15};
    for (size_t i = 0; i < sizeof y / sizeof y[0]; i++)
        y[i] = NAN;
    stores_left = 4;
    ASSERT_OK(&err, assay_linear_create_fused(ctx, f.parts, 4, IN, &lin, &err));
    for (int good = 0; good < 3; good++) { /* the empty part is never multiplied */
        calls_left = good;
        EXPECT_FAIL(ASSAY_EBACKEND, "no more products", &err,
                    assay_linear_forward(ctx, lin, f.x, y, 2, &err));
        calls_left = good;
        EXPECT_FAIL(ASSAY_EBACKEND, "no more rows", &err,
                    assay_linear_rows(ctx, lin, ids, 3, y, &err));
        cr_expect(untouched(y, sizeof y / sizeof y[0]), "written after %d good calls", good);
    }
    calls_left = 3;
    ASSERT_OK(&err, assay_linear_forward(ctx, lin, f.x, y, 2, &err));
    for (size_t i = 0; i < 2 * 17; i++)
        cr_expect_eq(y[i], f.x[i / 17 * IN], "column %zu of row %zu", i % 17, i / 17);
    assay_linear_free(lin);
    cr_expect_eq(stores_alive, 0);
    fused_free(&f);
    assay_ctx_free(ctx);
}
