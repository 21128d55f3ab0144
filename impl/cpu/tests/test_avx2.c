/* The AVX2 kernels, called row by row from their table with arrays that end at unmapped pages. */
#include <criterion/criterion.h>

#include "impl/cpu/kernel.h"

#ifdef __x86_64__
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "datasets/generate.h"
#include "datasets/scale_fields.h"
#include "ref/act_quant.h"
#include "ref/bounds.h"

static void need_avx2(void) {
    if (!assay_isa_runs_here(ASSAY_ISA_AVX2))
        cr_skip_test("this machine has no AVX2 with FMA and F16C");
}

/* ---- Memory between unmapped pages ----------------------------------------------------------- */

enum side { FLUSH_LEFT, FLUSH_RIGHT };

struct guarded {
    uint8_t *map, *p;
    size_t inner, page;
};

static size_t round_up(size_t v, size_t to) { return (v + to - 1) / to * to; }

/* `size` bytes that start at the first or end with the last mapped byte. */
static struct guarded guarded_new(size_t size, enum side side) {
    struct guarded g = {.page = (size_t)sysconf(_SC_PAGESIZE)};
    g.inner = round_up(size + 1, g.page);
    g.map = mmap(NULL, g.inner + 2 * g.page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                 -1, 0);
    cr_assert_neq(g.map, MAP_FAILED);
    cr_assert_eq(mprotect(g.map, g.page, PROT_NONE), 0);
    cr_assert_eq(mprotect(g.map + g.page + g.inner, g.page, PROT_NONE), 0);
    g.p = g.map + g.page + (side == FLUSH_LEFT ? 0 : g.inner - size);
    return g;
}

static void guarded_seal(const struct guarded *g) {
    cr_assert_eq(mprotect(g->map + g->page, g->inner, PROT_READ), 0);
}

static void guarded_free(const struct guarded *g) { munmap(g->map, g->inner + 2 * g->page); }

/* ---- One product ----------------------------------------------------------------------------- */

struct product {
    const struct assay_cpu_kernel *kernel;
    const struct assay_type_traits *type;
    size_t m, n, k, row_bytes, ldy;
    enum side side;
    struct guarded w, q, d, sums, y;
    float *x;
};

static const size_t Y_MARGIN = 3;

static size_t act_block(enum assay_act_format f) { return f == ASSAY_ACTF_Q8_32 ? 32 : 256; }

static struct product product_new(const struct assay_cpu_kernel *kernel, size_t m, size_t n,
                                  size_t k, enum side side) {
    struct product p = {.kernel = kernel,
                        .type = assay_type_traits(kernel->type),
                        .m = m,
                        .n = n,
                        .k = k,
                        .ldy = n + Y_MARGIN,
                        .side = side};
    cr_assert(assay_row_bytes(p.type, k, &p.row_bytes));
    size_t padded = round_up(k, 256);
    p.w = guarded_new(n * p.row_bytes, side);
    p.q = guarded_new(m * padded, side);
    p.d = guarded_new(m * (k / act_block(kernel->act)) * sizeof(float), side);
    p.sums = guarded_new(m * padded / 16 * sizeof(int16_t), side);
    p.y = guarded_new((m * p.ldy - Y_MARGIN) * sizeof(float), side);
    p.x = malloc(m * k * sizeof *p.x);
    return p;
}

static void product_free(const struct product *p) {
    guarded_free(&p->w);
    guarded_free(&p->q);
    guarded_free(&p->d);
    guarded_free(&p->sums);
    guarded_free(&p->y);
    free(p->x);
}

static float *product_y(const struct product *p) { return (float *)(void *)p->y.p; }

/* Quantises x and runs the kernel; y is NaN before. */
static void product_run(struct product *p) {
    size_t padded = round_up(p->k, 256);
    struct assay_act act = {.format = p->kernel->act,
                            .m = p->m,
                            .k = p->k,
                            .x = p->x,
                            .q = (int8_t *)p->q.p,
                            .q_stride = padded,
                            .d = (float *)(void *)p->d.p,
                            .d_stride = p->k / act_block(p->kernel->act),
                            .sums = (int16_t *)(void *)p->sums.p,
                            .sums_stride = padded / 16};
    assay_act_quantise__avx2(&act, 0, p->m);
    guarded_seal(&p->w);
    guarded_seal(&p->q);
    guarded_seal(&p->d);
    guarded_seal(&p->sums);
    for (size_t i = 0; i < p->m * p->ldy - Y_MARGIN; i++)
        product_y(p)[i] = NAN;
    /* Scratch is 64-byte aligned, so it may end up to 63 bytes before the unmapped page. */
    size_t scratch_bytes =
        p->kernel->scratch_bytes ? round_up(p->kernel->scratch_bytes(p->k, p->m), 64) : 0;
    struct guarded scratch = guarded_new(scratch_bytes, p->side);
    memset(scratch.p, 0xff, scratch_bytes);
    p->kernel->run(&(struct assay_cpu_args){.type = p->type,
                                            .w = p->w.p,
                                            .row_bytes = p->row_bytes,
                                            .n = p->n,
                                            .k = p->k,
                                            .act = &act,
                                            .y = product_y(p),
                                            .ldy = p->ldy,
                                            .scratch = scratch_bytes ? scratch.p : NULL});
    guarded_free(&scratch);
}

/* Compares y with the reference, and that nothing was written between its rows. */
static void product_check(const struct product *p, const char *what) {
    struct assay_arith arith = {.weight = ASSAY_WEIGHT_F32,
                                .act = ASSAY_ACT_Q8,
                                .act_block = (uint32_t)act_block(p->kernel->act),
                                .exact_run = p->kernel->exact_run};
    struct assay_ref_elem *want = malloc(p->m * p->n * sizeof *want);
    cr_assert_eq(
        assay_ref_gemm(p->type, p->w.p, p->row_bytes, p->n, p->k, p->x, p->m, &arith, want), 0);
    for (size_t i = 0; i < p->m; i++) {
        const float *y = product_y(p) + i * p->ldy;
        for (size_t j = 0; j < p->n; j++) {
            const struct assay_ref_elem *e = &want[i * p->n + j];
            double excess, bound = assay_bound(&arith, p->type, p->k, e);
            cr_assert(assay_within_bound(e, bound, y[j], &excess),
                      "%s %zux%zux%zu %s: y[%zu][%zu] is %.9g, expected %.9g, bound %.3g",
                      p->kernel->name, p->m, p->n, p->k, what, i, j, (double)y[j], e->yq, bound);
        }
        for (size_t j = p->n; j < p->ldy && i + 1 < p->m; j++)
            cr_assert(isnan(y[j]), "%s %zux%zux%zu %s: wrote y[%zu][%zu]", p->kernel->name, p->m,
                      p->n, p->k, what, i, j);
    }
    free(want);
}

/* ---- Kernels --------------------------------------------------------------------------------- */

/* Runs `f` for each kernel with an m it takes: m itself, or what the kernel allows near it. */
static void each_kernel(size_t m, size_t n, size_t k,
                        void (*f)(const struct assay_cpu_kernel *, size_t, size_t, size_t)) {
    for (const struct assay_cpu_kernel *kernel = assay_kernels_avx2; kernel->name; kernel++) {
        size_t len = assay_type_traits(kernel->type)->block_len;
        if (m >= kernel->m_min && (kernel->m_max == 0 || m <= kernel->m_max))
            f(kernel, m, n, round_up(k, len));
    }
}

static void check_generated(const struct assay_cpu_kernel *kernel, size_t m, size_t n, size_t k) {
    static const enum assay_acts_gen acts[] = {ASSAY_AGEN_NORMAL, ASSAY_AGEN_CONSTANT,
                                               ASSAY_AGEN_SPARSE};
    for (enum assay_weights_gen g = 0; g < ASSAY_WGEN_COUNT; g++) {
        struct product p = product_new(kernel, m, n, k, g % 2 ? FLUSH_LEFT : FLUSH_RIGHT);
        assay_generate_weights(p.type, g, 1 + m + n + k, n, k, p.w.p);
        assay_generate_acts(acts[g % 3], 2 + m + n + k, m, k, p.x);
        product_run(&p);
        product_check(&p, assay_weights_gen_name(g));
        product_free(&p);
    }
}

Test(avx2, kernels_agree_with_the_reference_for_every_m) {
    need_avx2();
    for (size_t m = 1; m <= 17; m++)
        each_kernel(m, 5, 512, check_generated);
}

Test(avx2, kernels_agree_with_the_reference_for_every_n) {
    need_avx2();
    for (size_t n = 1; n <= 33; n++)
        each_kernel(n % 3 + (n % 2 ? 1 : 4), n, 256, check_generated);
}

/* k of one block up to several panels of 1024 and batches of 16 super-blocks; 32-blocks also where
 * k is no multiple of 256. */
Test(avx2, kernels_agree_with_the_reference_for_odd_row_lengths) {
    need_avx2();
    static const size_t ks[] = {32, 64, 224, 288, 768, 1056, 1280, 4320, 5120};
    for (size_t i = 0; i < sizeof ks / sizeof ks[0]; i++) {
        each_kernel(1, 3, ks[i], check_generated);
        each_kernel(3, 2, ks[i], check_generated);
        each_kernel(6, 19, ks[i], check_generated);
    }
}

/* Codes and activations of extreme magnitude and equal sign fill the 16-bit sums to the brim. */
static void check_saturated(const struct assay_cpu_kernel *kernel, size_t m, size_t n, size_t k) {
    for (int bits = 0; bits < 3; bits++) {
        struct product p = product_new(kernel, m, n, k, FLUSH_RIGHT);
        static const uint8_t fill[] = {0x00, 0xff, 0x80};
        memset(p.w.p, fill[bits], n * p.row_bytes);
        const struct assay_scale_field *f = assay_scale_fields(p.type);
        for (uint8_t *b = p.w.p; b < p.w.p + n * p.row_bytes; b += p.type->block_bytes)
            for (size_t s = 0; s < ASSAY_SCALE_FIELDS_MAX && f[s].kind != ASSAY_SCALE_NONE; s++)
                assay_sane_scale(&f[s], b);
        for (size_t i = 0; i < m * k; i++)
            p.x[i] = i / k % 2 ? -1.0f : 1.0f;
        product_run(&p);
        product_check(&p, "saturated");
        product_free(&p);
    }
}

Test(avx2, kernels_survive_extreme_codes_times_extreme_activations) {
    need_avx2();
    each_kernel(2, 9, 512, check_saturated);
    each_kernel(6, 9, 512, check_saturated);
}

/* Every binary16 scale of some block once inf, -inf and NaN, with all codes zero elsewhere too.
 * (The other formats of scales have no infinity; IQ1_M's, in four places, is left to `verify`.) */
static void check_non_finite(const struct assay_cpu_kernel *kernel, size_t m, size_t n, size_t k) {
    static const uint16_t bits[] = {0x7c00, 0xfc00, 0x7e00, 0x7c01};
    const struct assay_type_traits *t = assay_type_traits(kernel->type);
    const struct assay_scale_field *f = assay_scale_fields(t);
    for (size_t s = 0; s < ASSAY_SCALE_FIELDS_MAX && f[s].kind == ASSAY_SCALE_HALF; s++)
        for (size_t b = 0; b < sizeof bits / sizeof bits[0]; b++)
            for (int zero = 0; zero < 2; zero++) {
                struct product p = product_new(kernel, m, n, k, FLUSH_RIGHT);
                assay_generate_weights(t, ASSAY_WGEN_UNIFORM, 7, n, k, p.w.p);
                assay_generate_acts(ASSAY_AGEN_NORMAL, 8, m, k, p.x);
                size_t row = n / 2, block = k / t->block_len - 1;
                uint8_t *at = p.w.p + row * p.row_bytes + block * t->block_bytes;
                if (zero)
                    memset(at, 0, t->block_bytes);
                memcpy(at + f[s].offset, &bits[b], sizeof bits[b]);
                product_run(&p);
                product_check(&p, "with a non-finite scale");
                for (size_t i = 0; i < m; i++)
                    cr_assert(!isfinite(product_y(&p)[i * p.ldy + row]),
                              "%s lost the scale %04x of field %zu", kernel->name, bits[b], s);
                product_free(&p);
            }
}

Test(avx2, kernels_pass_non_finite_scales_on_to_their_row_alone) {
    need_avx2();
    each_kernel(1, 5, 768, check_non_finite);
    each_kernel(5, 21, 768, check_non_finite);
}

static void check_non_finite_acts(const struct assay_cpu_kernel *kernel, size_t m, size_t n,
                                  size_t k) {
    static const float bad[] = {INFINITY, -INFINITY, NAN};
    for (size_t b = 0; b < sizeof bad / sizeof bad[0]; b++) {
        struct product p = product_new(kernel, m, n, k, FLUSH_LEFT);
        assay_generate_weights(p.type, ASSAY_WGEN_UNIFORM, 9, n, k, p.w.p);
        assay_generate_acts(ASSAY_AGEN_NORMAL, 10, m, k, p.x);
        p.x[(m - 1) * k + k / 2] = bad[b];
        product_run(&p);
        product_check(&p, "with a non-finite activation");
        product_free(&p);
    }
}

Test(avx2, kernels_pass_non_finite_activations_on_to_their_row_alone) {
    need_avx2();
    each_kernel(2, 5, 512, check_non_finite_acts);
    each_kernel(5, 5, 512, check_non_finite_acts);
}

/* ---- Quantiser ------------------------------------------------------------------------------- */

/* Compares one row with the oracle, bit for bit, and with the sums and padding the kernels need. */
static void check_row(const float *x, size_t k, enum assay_act_format format, const char *what) {
    size_t block = act_block(format), padded = round_up(k, 256),
           blocks = round_up(k, block) / block;
    struct assay_arith arith = {.act = ASSAY_ACT_Q8, .act_block = (uint32_t)block, .exact_run = 1};
    double *want = malloc(k * sizeof *want);
    assay_act_emulate(&arith, x, k, want);
    struct guarded gx = guarded_new(k * sizeof *x, FLUSH_RIGHT);
    struct guarded gq = guarded_new(padded, FLUSH_RIGHT);
    struct guarded gd = guarded_new(blocks * sizeof(float), FLUSH_RIGHT);
    struct guarded gs = guarded_new(padded / 16 * sizeof(int16_t), FLUSH_RIGHT);
    memcpy(gx.p, x, k * sizeof *x);
    memset(gq.p, 0x55, padded);
    memset(gs.p, 0x55, padded / 16 * sizeof(int16_t));
    struct assay_act a = {.format = format,
                          .m = 1,
                          .k = k,
                          .x = (const float *)(const void *)gx.p,
                          .q = (int8_t *)gq.p,
                          .q_stride = padded,
                          .d = (float *)(void *)gd.p,
                          .d_stride = blocks,
                          .sums = (int16_t *)(void *)gs.p,
                          .sums_stride = padded / 16};
    assay_act_quantise__avx2(&a, 0, 1);
    for (size_t i = 0; i < padded; i++) {
        if (i >= k)
            cr_assert_eq(a.q[i], 0, "%s: padding q[%zu] is %d", what, i, a.q[i]);
        else {
            double got = (double)a.d[i / block] * a.q[i];
            cr_assert(got == want[i] || (isnan(got) && isnan(want[i])),
                      "%s: block %zu, element %zu (%a): %a, expected %a", what, block, i,
                      (double)x[i], got, want[i]);
        }
    }
    for (size_t g = 0; g < padded / 16; g++) {
        int sum = 0;
        for (size_t i = 0; i < 16; i++)
            sum += a.q[16 * g + i];
        cr_assert_eq(a.sums[g], sum, "%s: sum %zu is %d, expected %d", what, g, a.sums[g], sum);
    }
    guarded_free(&gx);
    guarded_free(&gq);
    guarded_free(&gd);
    guarded_free(&gs);
    free(want);
}

static void check_both_formats(const float *x, size_t k, const char *what) {
    check_row(x, k, ASSAY_ACTF_Q8_32, what);
    check_row(x, k, ASSAY_ACTF_Q8_256, what);
}

Test(avx2, quantiser_follows_the_rule_bit_for_bit) {
    need_avx2();
    enum { K = 1024 };
    static float x[K];
    for (enum assay_acts_gen g = 0; g < ASSAY_AGEN_COUNT; g++)
        for (size_t seed = 0; seed < 20; seed++) {
            assay_generate_acts(g, seed, 1, K, x);
            check_both_formats(x, K, assay_acts_gen_name(g));
        }
    for (int i = 0; i < K; i++) /* half-way cases: amax 127 gives r = 1 */
        x[i] = i % 32 ? (float)(i % 255 - 127) + 0.5f : 127.0f;
    for (int i = 0; i < K; i++)
        x[i] = fminf(x[i], 127.0f);
    check_both_formats(x, K, "ties");
}

Test(avx2, quantiser_follows_the_rule_at_the_ends_of_fp32) {
    need_avx2();
    static const float ends[] = {0.0f,      -0.0f,     0x1p-149f, 0x1p-126f, 0x1.fffffep-101f,
                                 0x1p-100f, -0x1p-99f, FLT_MAX,   -FLT_MAX,  INFINITY,
                                 -INFINITY, NAN,       -NAN};
    for (size_t e = 0; e < sizeof ends / sizeof ends[0]; e++)
        for (size_t at = 0; at < 256; at += 37) {
            float x[256] = {0};
            x[at] = ends[e];
            x[255 - at] = ends[e] / 3;
            check_both_formats(x, 256, "extreme");
        }
}

Test(avx2, quantiser_pads_rows_that_end_within_a_block) {
    need_avx2();
    float x[300];
    assay_generate_acts(ASSAY_AGEN_NORMAL, 11, 1, 300, x);
    static const size_t ks[] = {1, 31, 32, 33, 64, 255, 257, 288, 300};
    for (size_t i = 0; i < sizeof ks / sizeof ks[0]; i++)
        check_both_formats(x, ks[i], "short row");
}

#endif
