/* Broken kernels: the case shrinks, the guess names the class, the field is the one that is wrong.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datasets/generate.h"
#include "harness/diagnose.h"
#include "harness/explain.h"
#include "harness/heatmap.h"
#include "harness/keep.h"
#include "harness/shrink.h"
#include "mutant_backend.h"
#include "ref/half.h"

struct story {
    struct assay_specimen s;
    struct assay_trial full, small;
    struct assay_shrunk shrunk;
    struct assay_diagnosis d;
};

static struct assay_specimen specimen(const char *type, size_t m, size_t n, size_t blocks) {
    const struct assay_type_traits *t = assay_type_by_name(type);
    struct assay_runner runner = {&mutant_backend, "", ASSAY_ISA_AUTO, 1};
    struct assay_specimen s;

    cr_assert(assay_specimen_new(&s, t, &runner, m, n, blocks * t->block_len));
    assay_generate_weights(t, ASSAY_WGEN_UNIFORM, 1, n, s.k, s.w);
    assay_generate_acts(ASSAY_AGEN_NORMAL, 2, m, s.k, s.x);
    snprintf(s.id, sizeof s.id, "gemm/%s/test", type);
    return s;
}

static struct story tell(struct assay_specimen s, unsigned calls) {
    struct story st = {.s = s};
    size_t i = 0, j = 0;

    cr_assert(assay_trial_run(&st.full, &st.s, calls));
    cr_assert(assay_trial_fails(&st.full));
    assay_trial_worst(&st.full, &i, &j);
    cr_assert(assay_shrink(&st.shrunk, &st.s, st.full.failure, calls, i, j, 20));
    cr_assert(assay_trial_run(&st.small, &st.shrunk.small, calls));
    cr_assert(assay_diagnose(&st.d, &st.s, &st.full, &st.shrunk.small, &st.small));
    return st;
}

static void story_free(struct story *st) {
    assay_trial_free(&st->full);
    assay_trial_free(&st->small);
    assay_shrunk_free(&st->shrunk);
    assay_diagnosis_free(&st->d);
    assay_specimen_free(&st->s);
}

static void expect_guess(const struct story *st, const char *guess) {
    cr_expect(strstr(st->d.guess, guess) != NULL, "'%s' (%s), not '%s'", st->d.guess,
              st->d.evidence, guess);
}

static void expect_field(const struct story *st, const char *field) {
    char name[48] = "none";

    if (st->d.has_field)
        assay_field_name(st->d.field.field, st->d.field.element, name, sizeof name);
    cr_expect_str_eq(name, field);
}

static void expect_shape(const struct story *st, size_t m, size_t n, size_t blocks) {
    const struct assay_specimen *s = &st->shrunk.simple;

    cr_expect(s->m == m && s->n == n && s->k == blocks * s->type->block_len, "%zux%zux%zu", s->m,
              s->n, s->k);
}

/* Elements of x that shrinking left. */
static size_t terms(const struct story *st) {
    const struct assay_specimen *s = &st->shrunk.simple;
    size_t n = 0;
    for (size_t i = 0; i < s->m * s->k; i++)
        n += s->x[i] != 0;
    return n;
}

static const struct assay_field *field_named(const struct assay_type_traits *t, const char *name) {
    size_t n;
    const struct assay_field *f = assay_fields(t, &n);
    while (strcmp(f->name, name) != 0)
        f++;
    return f;
}

/* ---- Faults ---- */

static void drop_min_7(const struct assay_type_traits *t, size_t row, size_t index,
                       uint8_t *block) {
    (void)row;
    (void)index;
    assay_field_set(field_named(t, "min"), block, 7, 0);
}

static void swap_nibbles(const struct assay_type_traits *t, size_t row, size_t index,
                         uint8_t *block) {
    (void)row;
    (void)index;
    for (size_t i = t->block_bytes - 128; i < t->block_bytes; i++)
        block[i] = (uint8_t)(block[i] << 4 | block[i] >> 4);
}

static void next_scale(const struct assay_type_traits *t, size_t row, size_t index,
                       uint8_t *block) {
    const struct assay_field *f = field_named(t, "scale");
    (void)row;
    (void)index;
    for (unsigned e = 0; e + 1 < f->count; e++)
        assay_field_set(f, block, e, assay_field_get(f, block, e + 1));
}

static void shift_high_bits(const struct assay_type_traits *t, size_t row, size_t index,
                            uint8_t *block) {
    (void)t;
    (void)row;
    (void)index;
    for (size_t i = 128; i < 192; i++) {
        uint8_t b = block[i], shifted = 0;
        for (int j = 0; j < 4; j++)
            shifted |= (uint8_t)((b >> (2 * j + 1) & 3) << 2 * j);
        block[i] = shifted;
    }
}

static void lane_13(const struct assay_type_traits *t, size_t row, size_t index, float *w) {
    (void)row;
    (void)index;
    for (size_t i = 13; i < t->block_len; i += 16)
        w[i] *= 1.5f;
}

static void stale_last_row(float *y, size_t m, size_t n, size_t ldy) {
    if (m > 1)
        memcpy(y + (m - 1) * ldy, y + (m - 2) * ldy, n * sizeof *y);
}

static void racing_row(float *y, size_t m, size_t n, size_t ldy) {
    static unsigned calls;
    (void)m;
    (void)ldy;
    if (++calls % 3 == 2)
        y[n / 2] += 1;
}

static float half_sum(const float *w, const double *x, size_t k) {
    float sum = 0;
    for (size_t i = 0; i < k; i++)
        sum = assay_ref_from_fp16(assay_ref_to_fp16(sum + (float)(w[i] * x[i])));
    return sum;
}

static float swallowing_sum(const float *w, const double *x, size_t k) {
    float sum = 0;
    for (size_t i = 0; i < k; i++)
        if (x[i] == x[i])
            sum += (float)(w[i] * x[i]);
    return sum;
}

static float crashing_sum(const float *w, const double *x, size_t k) {
    (void)w;
    for (size_t i = 0; i < k; i++)
        if (x[i] > 2)
            abort();
    return 0;
}

/* ---- What is made of them ---- */

Test(explain, names_a_dropped_min) {
    struct story st;
    mutant = (struct mutant){.block = drop_min_7};
    st = tell(specimen("q4_k", 3, 5, 2), 2);
    expect_guess(&st, "min dropped");
    expect_field(&st, "min[7]");
    expect_shape(&st, 1, 1, 1);
    cr_expect_eq(terms(&st), 1);
    cr_expect_eq(st.d.weights.n_wrong, 32);
    story_free(&st);
}

Test(explain, names_swapped_nibbles) {
    struct story st;
    mutant = (struct mutant){.block = swap_nibbles};
    st = tell(specimen("q4_k", 3, 5, 2), 2);
    expect_guess(&st, "nibble order");
    expect_shape(&st, 1, 1, 1);
    cr_expect(st.d.has_field && st.d.field.field->kind == ASSAY_FIELD_CODE);
    story_free(&st);
}

Test(explain, names_a_scale_index) {
    struct story st;
    mutant = (struct mutant){.block = next_scale};
    st = tell(specimen("q4_k", 3, 5, 2), 2);
    expect_guess(&st, "scale index");
    expect_shape(&st, 1, 1, 1);
    cr_expect(st.d.has_field && st.d.field.field->kind == ASSAY_FIELD_SCALE);
    story_free(&st);
}

Test(explain, names_shifted_high_bits) {
    struct story st;
    mutant = (struct mutant){.block = shift_high_bits};
    st = tell(specimen("q6_k", 3, 5, 2), 2);
    expect_guess(&st, "high bits shifted");
    expect_shape(&st, 1, 1, 1);
    cr_expect(st.d.has_field && st.d.field.field->kind == ASSAY_FIELD_CODE);
    story_free(&st);
}

Test(explain, names_a_stale_row) {
    struct story st;
    mutant = (struct mutant){.output = stale_last_row};
    st = tell(specimen("q4_k", 4, 5, 2), 2);
    expect_guess(&st, "tail row stale");
    expect_shape(&st, 2, 1, 1);
    story_free(&st);
}

Test(explain, names_a_lane) {
    struct story st;
    mutant = (struct mutant){.weights = lane_13};
    st = tell(specimen("q8_0", 3, 5, 4), 2);
    expect_guess(&st, "lane");
    expect_shape(&st, 1, 1, 1);
    cr_expect(strstr(st.d.evidence, "lane 13 of 16") != NULL, "%s", st.d.evidence);
    story_free(&st);
}

Test(explain, names_a_race) {
    struct story st;
    mutant = (struct mutant){.output = racing_row};
    st = tell(specimen("q4_k", 2, 5, 1), 12);
    expect_guess(&st, "race");
    story_free(&st);
}

Test(explain, names_fp16_accumulation) {
    struct story st;
    mutant = (struct mutant){.sum = half_sum};
    st = tell(specimen("q4_0", 3, 5, 16), 2);
    expect_guess(&st, "fp16 accumulation");
    story_free(&st);
}

Test(explain, names_a_swallowed_nan) {
    struct story st;
    struct assay_specimen s = specimen("q4_k", 3, 5, 2);
    mutant = (struct mutant){.sum = swallowing_sum};
    s.x[s.k + 17] = NAN;
    st = tell(s, 2);
    expect_guess(&st, "NaN swallowed");
    expect_shape(&st, 1, 1, 1);
    cr_expect_eq(terms(&st), 1);
    story_free(&st);
}

Test(explain, shrinks_a_crash) {
    struct story st;
    mutant = (struct mutant){.sum = crashing_sum};
    st = tell(specimen("q4_k", 3, 5, 2), 2);
    expect_guess(&st, "crash");
    expect_shape(&st, 1, 1, 1);
    cr_expect_eq(terms(&st), 1);
    story_free(&st);
}

Test(explain, a_right_kernel_does_not_fail) {
    struct assay_specimen s = specimen("q4_k", 3, 5, 2);
    bool fails = true;
    mutant = (struct mutant){.m_max = 0};
    cr_assert(assay_explain_specimen(stdout, &s, NULL, &fails));
    cr_expect_not(fails);
    assay_specimen_free(&s);
}

/* Text that a specimen's explanation prints; to be freed. */
static char *explanation(const struct assay_specimen *s, const char *dir) {
    char *text = NULL;
    size_t size;
    bool fails = false;
    FILE *f = open_memstream(&text, &size);

    cr_assert(f != NULL && assay_explain_specimen(f, s, dir, &fails) && fails);
    fclose(f);
    return text;
}

Test(explain, a_kept_case_fails_in_the_same_way_until_repaired) {
    char dir[] = "/tmp/assay-keep-XXXXXX", path[256], err[256];
    struct assay_specimen s = specimen("q4_k", 3, 5, 2), again;
    char *first, *second;
    bool fails = true;

    cr_assert(mkdtemp(dir) != NULL && assay_backend_register(&mutant_backend));
    mutant = (struct mutant){.block = drop_min_7};
    first = explanation(&s, dir);
    assay_keep_path(dir, &s, ".gguf", path, sizeof path);
    cr_assert(assay_keep_load(path, &again, err, sizeof err), "%s", err);
    cr_expect_str_eq(again.id, s.id);
    second = explanation(&again, NULL);
    cr_expect(strstr(first, "min dropped") != NULL && strstr(second, "min dropped") != NULL);
    cr_expect(strstr(second, "1x1x256 of 1x1x256") != NULL, "%s", second);
    mutant = (struct mutant){.block = NULL};
    cr_expect(assay_explain_specimen(stdout, &again, NULL, &fails) && !fails);
    remove(path);
    assay_keep_path(dir, &s, ".h", path, sizeof path);
    cr_expect_eq(access(path, R_OK), 0);
    remove(path);
    assay_keep_path(dir, &s, ".png", path, sizeof path);
    remove(path);
    cr_expect_eq(rmdir(dir), 0);
    free(first);
    free(second);
    assay_specimen_free(&s);
    assay_specimen_free(&again);
}

Test(explain, a_heat_map_shows_one_wrong_element_of_many) {
    uint8_t *wrong = calloc(100, 1000);
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    wrong[99 * 1000 + 999] = 1;
    assay_heatmap_print(f, wrong, 100, 1000, true);
    fclose(f);
    cr_expect(strcmp(text + size - 3, ".:\n") == 0, "%s", text);
    cr_expect(strchr(text, ':') == text + size - 2);
    free(text);
    free(wrong);
}
