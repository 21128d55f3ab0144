/* Invariant: every kernel of this build that runs here, on any blocks and any activations, writes
 * each output within the bound of its arithmetic class (ref/bounds.c), writes nothing else, and
 * reads nothing beyond its inputs, which end at pages without access.
 *
 * Input: type, kernel (backend, instruction set, variant), m, n, k in blocks, a byte of flags; then
 * the bytes of the activations and of the blocks, repeated as often as needed. Flag 1 makes every
 * scale sane, flag 2 every activation an int8, flag 4 takes raw floats instead of halves. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/scale_fields.h"
#include "fuzz.h"
#include "harness/case.h"
#include "harness/compare.h"
#include "harness/guard.h"
#include "impl/backend.h"
#include "ref/half.h"

enum { MOST_M = 20, MOST_N = 34, MOST_K = 512, MOST_RUNNERS = 64 };
enum { SANE_SCALES = 1, SMALL_INTEGERS = 2, RAW_FLOATS = 4 };

static struct assay_runner runners[MOST_RUNNERS];
static size_t n_runners;

/* assay's own backends, each variant, each instruction set of this machine. */
static void list_runners(void) {
    for (size_t i = 0; i < assay_backend_count(); i++) {
        const struct assay_backend *b = assay_backend_at(i);
        char why[128];
        if (assay_backend_is_peer(b) || !assay_backend_available(b, why, sizeof why))
            continue;
        for (const char *const *v = assay_backend_variants(b); *v != NULL; v++)
            for (int isa = ASSAY_ISA_SCALAR; isa < ASSAY_ISA_COUNT; isa++) {
                if (!assay_isa_runs_here((enum assay_isa)isa) ||
                    (!assay_backend_uses_isa(b) && isa != ASSAY_ISA_SCALAR) ||
                    n_runners == MOST_RUNNERS)
                    continue;
                runners[n_runners++] = (struct assay_runner){b, *v, (enum assay_isa)isa, 1};
            }
    }
}

/* Fills from the input, again from its start where it ends. */
static void fill(const struct fuzz_bytes *in, void *out, size_t n) {
    uint8_t *p = out;
    for (size_t done = 0; done < n; done++)
        p[done] = in->left > 0 ? in->p[done % in->left] : (uint8_t)done;
}

static void fill_acts(const struct fuzz_bytes *in, unsigned flags, float *x, size_t n) {
    if (flags & RAW_FLOATS) {
        fill(in, x, n * sizeof *x);
        /* A NaN keeps its payload through arithmetic: that of the poison would look unwritten. */
        for (size_t i = 0; i < n; i++)
            if (isnan(x[i]))
                x[i] = (float)NAN;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint8_t h[2];
        struct fuzz_bytes at = *in;
        if (at.left > 2) {
            size_t skip = 2 * i % (at.left - 1);
            at.p += skip;
            at.left -= skip;
        }
        fill(&at, h, 2);
        x[i] = flags & SMALL_INTEGERS ? (float)(int8_t)h[0]
                                      : assay_ref_from_fp16((uint16_t)(h[0] | h[1] << 8));
    }
}

static void make_sane(const struct assay_type_traits *t, uint8_t *blocks, size_t n) {
    const struct assay_scale_field *f = assay_scale_fields(t);
    for (size_t b = 0; b < n; b++)
        for (size_t i = 0; i < ASSAY_SCALE_FIELDS_MAX; i++)
            if (f[i].kind != ASSAY_SCALE_NONE)
                assay_sane_scale(&f[i], blocks + b * t->block_bytes);
}

/* A finite scale times a code may overflow in the reference decoder, where a kernel that sums codes
 * first stays finite: ref/bounds.c decides nothing there. Takes such scales out of that range. */
static void avoid_overflow(const struct assay_type_traits *t, uint8_t *blocks, size_t n) {
    const unsigned most_e8m0 = 252; /* 6·2^(252-127) < 2^128 */
    const float most_float = FLT_MAX / 128;
    const struct assay_scale_field *f = assay_scale_fields(t);

    for (size_t b = 0; b < n; b++)
        for (size_t i = 0; i < ASSAY_SCALE_FIELDS_MAX; i++) {
            uint8_t *p = blocks + b * t->block_bytes + f[i].offset;
            float d;
            if (f[i].kind == ASSAY_SCALE_E8M0 && *p > most_e8m0)
                *p &= 0x7f;
            if (f[i].kind != ASSAY_SCALE_FLOAT)
                continue;
            memcpy(&d, p, sizeof d);
            if (isfinite(d) && fabsf(d) > most_float) {
                d /= 128;
                memcpy(p, &d, sizeof d);
            }
        }
}

static void check(const struct assay_runner *r, const struct assay_type_traits *t, size_t m,
                  size_t n, size_t k, const struct assay_guard *w, const struct assay_guard *x) {
    struct assay_ctx_params p = {r->backend, r->isa, 1, r->variant};
    struct assay_error e = {0};
    struct assay_ctx *ctx;
    struct assay_store *store;
    struct assay_arith arith;
    struct assay_output out;
    struct assay_comparison c;
    struct assay_ref_elem *ref = malloc(m * n * sizeof *ref);

    FUZZ_REQUIRE(assay_ctx_create(&p, &ctx, &e) == ASSAY_OK, "%s", e.message);
    FUZZ_REQUIRE(assay_store_create(ctx, t->type, w->data, w->size, n, k, &store, &e) == ASSAY_OK,
                 "%s", e.message);
    FUZZ_REQUIRE(assay_ctx_arith(ctx, t, m, &arith, &e) == ASSAY_OK, "%s", e.message);
    FUZZ_REQUIRE(ref != NULL && assay_output_alloc(&out, m, n, n + 3), "memory");
    assay_output_poison(&out);
    FUZZ_REQUIRE(gemm_quant(ctx, store, x->data, m, out.y, out.ldy, &e) == ASSAY_OK, "%s",
                 e.message);
    FUZZ_REQUIRE(assay_ref_gemm(t, w->data, w->size / n, n, k, x->data, m, &arith, ref) == 0,
                 "memory");
    assay_comparison_init(&c);
    assay_compare_columns(&c, &out, 0, n, ref, &arith, t, k);
    assay_comparison_finish(&c, &out);
    /* Equal outputs (ASSAY_FOUND_CONSTANT) are a suspicion about ordinary data, which this is not.
     */
    FUZZ_REQUIRE(c.found == ASSAY_FOUND_NOTHING || c.found == ASSAY_FOUND_CONSTANT,
                 "%s: %s %zux%zux%zu: %s: y[%zu][%zu] is %a, expected %a, bound %g",
                 assay_ctx_kernel(ctx, t, m), t->name, m, n, k, assay_problem_kind_text(c.found),
                 c.worst.row, c.worst.col, (double)c.worst.got, c.worst.expected, c.worst.bound);
    assay_output_free(&out);
    assay_store_free(store);
    assay_ctx_free(ctx);
    free(ref);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_bytes in = {data, size};
    if (n_runners == 0)
        list_runners();
    const struct assay_type_traits *t = assay_type_at(fuzz_take_u8(&in) % assay_type_count());
    const struct assay_runner *r = &runners[fuzz_take_u8(&in) % n_runners];
    size_t m = 1 + fuzz_take_u8(&in) % MOST_M, n = 1 + fuzz_take_u8(&in) % MOST_N;
    size_t most_blocks = t->block_len == 1 ? 300 : MOST_K / t->block_len;
    size_t blocks = 1 + fuzz_take_u8(&in) % most_blocks;
    unsigned flags = fuzz_take_u8(&in);
    if (!assay_backend_supports(r->backend, t) || t->dequant == NULL)
        return 0;
    size_t k = blocks * t->block_len;
    struct assay_guard w, x;

    FUZZ_REQUIRE(assay_guard_alloc(&w, n * blocks * t->block_bytes) &&
                     assay_guard_alloc(&x, m * k * sizeof(float)),
                 "memory");
    fill_acts(&in, flags, x.data, m * k);
    fill(&in, w.data, w.size);
    if (flags & SANE_SCALES)
        make_sane(t, w.data, n * blocks);
    if (t->block_len > 1)
        avoid_overflow(t, w.data, n * blocks);
    assay_guard_read_only(&w);
    assay_guard_read_only(&x);
    check(r, t, m, n, k, &w, &x);
    assay_guard_free(&w);
    assay_guard_free(&x);
    return 0;
}
