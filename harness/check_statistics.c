/* Statistics of the errors of many outputs: finds what the worst-case bound, which grows loose with
 * k, lets pass. A product left out of 4096 is some thousand standard deviations.
 *
 * All limits are those of ref/rounding_model.c. Activations have magnitudes within a factor of two
 * and random signs, so that every product counts and the model's one premise on data holds. A
 * design is one product; its outputs are judged one by one and in groups: the columns of y, the
 * rows by their place in a register tile, and, where each row of x is zero but for k ≡ c (mod 256),
 * the lanes c modulo the vector lengths. Such sparse rows also have few roundings: adding zero is
 * exact, so bound and model count only the products that are there.
 *
 * False alarms. Every test is granted the same share of ASSAY_FALSE_ALARMS_PER_RUN over
 * ASSAY_CHECKS_PER_RUN checks and the tests of a check (Bonferroni: no independence needed). The
 * worst-case bound costs nothing of it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare.h"
#include "datasets/generate.h"
#include "datasets/rng.h"
#include "guard.h"
#include "record.h"
#include "ref/bounds.h"
#include "ref/rounding_model.h"
#include "statistics.h"

enum { LANES = 256, GAP = 3, MAX_MODULI = 6 };

struct design {
    bool sparse; /* row i of x loads only lane i mod LANES */
    size_t m, n, k;
    size_t moduli[MAX_MODULI]; /* rows of x are grouped by i mod these; ends with 0 */
};

/* clang-format off */
static const struct design quick[] = {
    {false, 1,   1027, 4096, {0}},                    /* one row in a thousand, one product in k */
    {false, 4,   1024, 1024, {1, 0}},                 /* the same for kernels of several rows */
    {false, 512, 16,   256,  {1, 4, 8, 16, 0}},       /* what takes many rows to show */
    {true,  256, 8,    512,  {1, 8, 16, 32, 256, 0}},
};
static const struct design thorough[] = {
    {false, 1,    4099, 4096,  {0}},
    {false, 1,    515,  16384, {0}},
    {false, 7,    1024, 4096,  {1, 0}},
    {false, 2048, 35,   1024,  {1, 4, 6, 8, 16, 0}},
    {true,  2048, 16,   1024,  {1, 8, 16, 32, 256, 0}},
};
/* clang-format on */

static const char *const names[ASSAY_STATISTIC_COUNT] = {
    [ASSAY_STATISTIC_BOUND] = "bound",   [ASSAY_STATISTIC_OUTPUT] = "output",
    [ASSAY_STATISTIC_SPREAD] = "spread", [ASSAY_STATISTIC_BIAS] = "bias",
    [ASSAY_STATISTIC_GAIN] = "gain",
};

const char *assay_statistic_name(enum assay_statistic s) { return names[s]; }

/* ---- Data of a design ---- */

/* Kept between checks: backends are judged one after the other on the same data, and most share an
 * arithmetic class. */
struct reference {
    struct reference *next;
    struct assay_arith arith;
    struct assay_ref_elem elems[];
};

struct data {
    const struct design *design; /* NULL: nothing kept */
    const struct assay_type_traits *type;
    uint64_t seed;
    size_t row_bytes;
    struct assay_guard w, x;
    struct reference *references;
};

enum { MAX_DESIGNS = 5 };
static struct data kept[MAX_DESIGNS];

static void data_free(struct data *d) {
    while (d->references != NULL) {
        struct reference *next = d->references->next;
        free(d->references);
        d->references = next;
    }
    assay_guard_free(&d->w);
    assay_guard_free(&d->x);
    *d = (struct data){.design = NULL};
}

static void fill_x(const struct design *g, uint64_t seed, float *x) {
    struct assay_rng r;

    assay_rng_seed(&r, seed);
    for (size_t i = 0; i < g->m; i++) {
        /* A scale for each row: block scales of activations take many values. */
        double scale = 1 + assay_rng_unit(&r);
        for (size_t k = 0; k < g->k; k++) {
            bool loaded = !g->sparse || k % LANES == i % LANES;
            uint64_t bits = loaded ? assay_rng_u64(&r) : 0;
            double magnitude = scale * (1 + (double)(bits >> 12) * 0x1p-52);
            x[i * g->k + k] = loaded ? (float)(bits & 1 ? -magnitude : magnitude) : 0.0f;
        }
    }
}

static struct data *data_of(const struct assay_check_env *env, const struct design *g,
                            size_t index) {
    struct data *d = &kept[index];
    uint64_t seed = env->seed ^ (index + 1) * UINT64_C(0xd1342543de82ef95);

    if (d->design == g && d->type == env->type && d->seed == env->seed)
        return d;
    data_free(d);
    if (!assay_row_bytes(env->type, g->k, &d->row_bytes) ||
        !assay_guard_alloc(&d->w, g->n * d->row_bytes) ||
        !assay_guard_alloc(&d->x, g->m * g->k * sizeof(float))) {
        data_free(d);
        return NULL;
    }
    d->design = g;
    d->type = env->type;
    d->seed = env->seed;
    assay_generate_weights(env->type, ASSAY_WGEN_UNIFORM, seed, g->n, g->k, d->w.data);
    fill_x(g, ~seed, d->x.data);
    assay_guard_read_only(&d->w);
    assay_guard_read_only(&d->x);
    return d;
}

static const struct assay_ref_elem *reference_of(struct data *d, const struct assay_arith *a) {
    const struct design *g = d->design;
    struct reference *r;

    for (r = d->references; r != NULL; r = r->next) /* exact_run is the bound's business */
        if (r->arith.weight == a->weight && r->arith.act == a->act &&
            r->arith.act_block == a->act_block)
            return r->elems;
    r = malloc(sizeof *r + g->m * g->n * sizeof r->elems[0]);
    if (r == NULL || assay_ref_gemm(d->type, d->w.data, d->row_bytes, g->n, g->k, d->x.data, g->m,
                                    a, r->elems) != 0) {
        free(r);
        return NULL;
    }
    r->arith = *a;
    r->next = d->references;
    d->references = r;
    return r->elems;
}

/* Products that can round, in the sense of assay_bound's k: as many as fill the runs that are not
 * all zero. */
static size_t rounding_length(const struct design *g, const struct assay_arith *a) {
    size_t runs = (g->k + a->exact_run - 1) / a->exact_run;
    size_t loaded = g->sparse ? g->k / LANES : g->k;

    return (loaded < runs ? loaded : runs) * a->exact_run;
}

/* ---- Judging a design ---- */

struct judge {
    const struct assay_check_env *env;
    struct assay_statistics_tally *tally;
    double nats;         /* of each test */
    size_t spread_units; /* of the last group, and its limit, which takes a search */
    double spread_limit;

    const struct design *design;
    struct data *data;
    struct assay_arith arith;
    size_t length; /* rounding_length */
    const struct assay_ref_elem *ref;
    struct assay_output out;
    double *z;       /* m × n; NaN: not judged */
    json_t *finding; /* NULL: none so far */
};

/* Notes a test; true if it raises an alarm. A NaN does. */
static bool beyond(struct judge *j, enum assay_statistic s, double value, double limit) {
    struct assay_statistics_tally *t = j->tally;

    t->tests[s]++;
    if (value > t->closest[s] * limit)
        t->closest[s] = value / limit;
    return !(value <= limit);
}

static void set_shape(json_t *finding, const struct design *g) {
    json_object_set_new(finding, "m", json_integer((json_int_t)g->m));
    json_object_set_new(finding, "n", json_integer((json_int_t)g->n));
    json_object_set_new(finding, "k", json_integer((json_int_t)g->k));
}

static void set_statistic(json_t *finding, enum assay_statistic s, double value, double limit) {
    json_object_set_new(finding, "statistic", json_string(names[s]));
    json_object_set_new(finding, "value", assay_json_real(value));
    json_object_set_new(finding, "limit", json_real(limit));
}

/* Whether output (i, col) errs when row i of x is kept only in [k0, k1). */
static bool errs_within(const struct judge *j, size_t i, size_t col, size_t k0, size_t k1, float *x,
                        struct assay_output *y) {
    const struct design *g = j->design;
    const struct data *d = j->data;
    const float *given = (const float *)d->x.data + i * g->k;
    struct assay_arith arith;
    struct assay_error err;
    struct assay_ref_elem e;

    memset(x + i * g->k, 0, g->k * sizeof *x);
    memcpy(x + i * g->k + k0, given + k0, (k1 - k0) * sizeof *x);
    if (!assay_check_multiply(j->env, d->w.data, g->n, g->k, x, g->m, y->y, y->ldy, &arith, &err) ||
        assay_ref_gemm(d->type, (const uint8_t *)d->w.data + col * d->row_bytes, d->row_bytes, 1,
                       g->k, x + i * g->k, 1, &arith, &e) != 0)
        return false;
    double error = fabs((double)y->y[i * y->ldy + col] - e.yq);
    double sigma = assay_rounding_sigma(&arith, d->type, k1 - k0, &e);
    return sigma > 0 && !(error / sigma <= assay_limit_mean_abs(1, j->nats));
}

/* Halves the columns of W while one half still shows the error; *k0 and *k1 end around its cause.
 */
static void locate(const struct judge *j, size_t i, size_t col, size_t *k0, size_t *k1) {
    const struct design *g = j->design;
    float *x = malloc(g->m * g->k * sizeof *x);
    struct assay_output y;

    *k0 = 0;
    *k1 = g->k;
    if (x == NULL || !assay_output_alloc(&y, g->m, g->n, g->n + GAP)) {
        free(x);
        return;
    }
    memcpy(x, j->data->x.data, g->m * g->k * sizeof *x);
    while (*k1 - *k0 > 1) {
        size_t middle = *k0 + (*k1 - *k0) / 2;
        if (errs_within(j, i, col, *k0, middle, x, &y))
            *k1 = middle;
        else if (errs_within(j, i, col, middle, *k1, x, &y))
            *k0 = middle;
        else
            break;
    }
    assay_output_free(&y);
    free(x);
}

/* The loaded columns of a sparse row, or what locate() found, as a sentence's end. */
static void add_place(const struct judge *j, size_t i, size_t col, json_t *finding, char *text,
                      size_t size) {
    const struct design *g = j->design;
    size_t k0, k1;

    if (g->sparse) {
        snprintf(text, size, "with only lane %zu of %d loaded", i % LANES, LANES);
        json_object_set_new(finding, "lane", json_integer((json_int_t)(i % LANES)));
        return;
    }
    locate(j, i, col, &k0, &k1);
    if (k1 - k0 == g->k) {
        snprintf(text, size, "from no one part of the row of W");
        return;
    }
    if (k1 - k0 == 1)
        snprintf(text, size, "from column %zu of W", k0);
    else
        snprintf(text, size, "from columns %zu to %zu of W", k0, k1 - 1);
    json_object_set_new(finding, "k0", json_integer((json_int_t)k0));
    json_object_set_new(finding, "k1", json_integer((json_int_t)k1));
    if (k0 / j->env->type->block_len == (k1 - 1) / j->env->type->block_len)
        json_object_set_new(finding, "block",
                            json_integer((json_int_t)(k0 / j->env->type->block_len)));
}

/* The wrong outputs of one kind: the worst, and what their places have in common. */
struct wrong {
    size_t count;
    size_t i, col; /* of the worst */
    double value, limit;
    size_t first_row, first_col;
    size_t row_step, col_step; /* greatest common divisor of the distances from the first */
};

static size_t common_divisor(size_t a, size_t b) {
    while (b != 0) {
        size_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

/* Outputs come in the order of their rows. */
static void add_wrong(struct wrong *w, size_t i, size_t col, double value, double limit) {
    if (w->count++ == 0) {
        w->first_row = i;
        w->first_col = col;
    }
    size_t distance = col > w->first_col ? col - w->first_col : w->first_col - col;
    w->row_step = common_divisor(w->row_step, i - w->first_row);
    w->col_step = common_divisor(w->col_step, distance);
    if (w->count == 1 || !(value * w->limit <= w->value * limit)) { /* a NaN is the worst */
        w->i = i;
        w->col = col;
        w->value = value;
        w->limit = limit;
    }
}

/* ", all in columns j = 5 (mod 16) of y" where that can hardly be chance, else "". */
static void describe_pattern(const struct wrong *w, const struct design *g, char *text,
                             size_t size) {
    enum { FEW = 4, WIDE = 4 };

    text[0] = '\0';
    if (w->count < FEW)
        return;
    if (w->col_step == 0)
        snprintf(text, size, ", all in column %zu of y", w->first_col);
    else if (w->row_step == 0 && g->m > 1)
        snprintf(text, size, ", all in row %zu of y", w->first_row);
    else if (w->col_step >= WIDE)
        snprintf(text, size, ", all in columns j = %zu (mod %zu) of y", w->first_col % w->col_step,
                 w->col_step);
    else if (w->row_step >= WIDE)
        snprintf(text, size, ", all in %s = %zu (mod %zu)", g->sparse ? "lanes k" : "rows i",
                 w->first_row % w->row_step, w->row_step);
}

static void found_output(struct judge *j, enum assay_statistic s, const struct wrong *w) {
    const struct design *g = j->design;
    const struct assay_ref_elem *e = &j->ref[w->i * g->n + w->col];
    double got = (double)j->out.y[w->i * j->out.ldy + w->col];
    double sigma = assay_rounding_sigma(&j->arith, j->env->type, j->length, e);
    char place[96] = "", pattern[96];
    json_t *where = json_object();

    add_place(j, w->i, w->col, where, place, sizeof place);
    describe_pattern(w, g, pattern, sizeof pattern);
    j->finding = assay_check_fail(
        "%zu of %zu outputs err beyond %s%s; the worst by %.3g standard deviations, %s", w->count,
        g->m * g->n, s == ASSAY_STATISTIC_BOUND ? "the worst case" : "what rounding explains",
        pattern, fabs(got - e->yq) / sigma, place);
    json_object_update(j->finding, where);
    json_decref(where);
    json_object_set_new(j->finding, "row", json_integer((json_int_t)w->i));
    json_object_set_new(j->finding, "column", json_integer((json_int_t)w->col));
    json_object_set_new(j->finding, "got", assay_json_real(got));
    json_object_set_new(j->finding, "expected", assay_json_real(e->yq));
    json_object_set_new(j->finding, "bound",
                        assay_json_real(s == ASSAY_STATISTIC_BOUND ? w->limit : w->limit * sigma));
    set_statistic(j->finding, s, w->value, w->limit);
    set_shape(j->finding, g);
}

/* Every output by itself; fills in z. */
static void judge_outputs(struct judge *j) {
    const struct design *g = j->design;
    double limit = assay_limit_mean_abs(1, j->nats);
    struct wrong by_bound = {0}, by_model = {0};

    for (size_t i = 0; i < g->m; i++)
        for (size_t col = 0; col < g->n; col++) {
            const struct assay_ref_elem *e = &j->ref[i * g->n + col];
            double error = (double)j->out.y[i * j->out.ldy + col] - e->yq;
            double sigma = assay_rounding_sigma(&j->arith, j->env->type, j->length, e);
            double bound = assay_bound(&j->arith, j->env->type, j->length, e);

            j->z[i * g->n + col] = sigma > 0 ? error / sigma : NAN;
            if (!isfinite(e->yq) || isinf(bound))
                continue;
            j->tally->outputs++;
            if (beyond(j, ASSAY_STATISTIC_BOUND, fabs(error), bound))
                add_wrong(&by_bound, i, col, fabs(error), bound);
            if (sigma > 0 && beyond(j, ASSAY_STATISTIC_OUTPUT, fabs(error) / sigma, limit))
                add_wrong(&by_model, i, col, fabs(error) / sigma, limit);
        }
    if (by_model.count > 0) /* says more: it gives a measure */
        found_output(j, ASSAY_STATISTIC_OUTPUT, &by_model);
    else if (by_bound.count > 0)
        found_output(j, ASSAY_STATISTIC_BOUND, &by_bound);
}

/* Sums over a group of outputs, row of x by row of x. */
struct group {
    size_t rows;
    double abs, signed_sum, squares, agreement;
};

static double sign(double v) { return (v > 0) - (v < 0); }

/* Adds columns [col0, col1) of row i. */
static void add_row(struct group *s, const struct judge *j, size_t i, size_t col0, size_t col1) {
    size_t count = 0;
    double abs_sum = 0, sum = 0, agreement = 0;

    for (size_t col = col0; col < col1; col++) {
        double z = j->z[i * j->design->n + col];
        if (isnan(z))
            continue;
        count++;
        abs_sum += fabs(z);
        sum += z;
        agreement += sign(z) * sign(j->ref[i * j->design->n + col].yq);
    }
    if (count == 0)
        return;
    s->rows++;
    s->abs += abs_sum / (double)count;
    s->signed_sum += sum;
    s->squares += sum * sum;
    s->agreement += agreement / (double)count;
}

static void found_group(struct judge *j, enum assay_statistic s, double value, double limit,
                        const char *group) {
    static const char *const texts[ASSAY_STATISTIC_COUNT] = {
        [ASSAY_STATISTIC_SPREAD] = "errors larger on average than rounding explains",
        [ASSAY_STATISTIC_BIAS] = "errors that do not balance: more of one sign",
        [ASSAY_STATISTIC_GAIN] = "errors that follow the sign of the output",
    };

    j->finding = assay_check_fail("%s, in %s: %s of %.3g, at most %.3g is due to chance", texts[s],
                                  group, names[s], value, limit);
    set_statistic(j->finding, s, value, limit);
    set_shape(j->finding, j->design);
}

static double limit_spread(struct judge *j, size_t units) {
    if (units != j->spread_units) {
        j->spread_units = units;
        j->spread_limit = assay_limit_mean_abs(units, j->nats);
    }
    return j->spread_limit;
}

/* How far the signs of errors and outputs may agree on average without fault: a decoded weight's
 * rounding is the same in all rows of x, so that Σ δ_k·(w_k·x_k)², the part of an output's error
 * that follows the output, need not vanish. As a correlation, where decoding is all the rounding
 * there is, that is N(0, κ/weights) with κ = E q⁴/(E q²)², below 8 for the generated blocks of
 * every type; the signs of two normal variables agree by 2/π of their correlation. Eight standard
 * deviations. */
static double gain_slack(size_t weights) { return 8 * (2 / M_PI) * sqrt(8 / (double)weights); }

/* `weights`: how many different ones stand behind the group. */
static void judge_group(struct judge *j, const struct group *s, size_t weights, const char *name) {
    if (s->rows == 0)
        return;
    const struct {
        enum assay_statistic statistic;
        double value, limit, largest; /* that the value can take: else there is nothing to test */
    } tests[] = {
        {ASSAY_STATISTIC_SPREAD, s->abs / (double)s->rows, limit_spread(j, s->rows), INFINITY},
        {ASSAY_STATISTIC_BIAS, s->squares > 0 ? fabs(s->signed_sum) / sqrt(s->squares) : 0,
         assay_limit_symmetric(j->nats), sqrt((double)s->rows)},
        {ASSAY_STATISTIC_GAIN, fabs(s->agreement) / (double)s->rows,
         gain_slack(weights) + assay_limit_mean_sign(s->rows, j->nats), 1},
    };
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        if (tests[i].limit < tests[i].largest &&
            beyond(j, tests[i].statistic, tests[i].value, tests[i].limit) && j->finding == NULL)
            found_group(j, tests[i].statistic, tests[i].value, tests[i].limit, name);
}

static void judge_groups(struct judge *j) {
    const struct design *g = j->design;
    char name[64];

    for (const size_t *modulus = g->moduli; *modulus != 0; modulus++)
        for (size_t c = 0; c < *modulus; c++) {
            struct group s = {0};
            for (size_t i = c; i < g->m; i += *modulus)
                add_row(&s, j, i, 0, g->n);
            if (*modulus == 1)
                snprintf(name, sizeof name, "all outputs");
            else
                snprintf(name, sizeof name, "%s = %zu (mod %zu)", g->sparse ? "lanes k" : "rows i",
                         c, *modulus);
            judge_group(j, &s, g->n * (g->sparse ? g->k / *modulus : g->k), name);
        }
    for (size_t col = 0; col < g->n && g->m > 1; col++) {
        struct group s = {0};
        for (size_t i = 0; i < g->m; i++)
            add_row(&s, j, i, col, col + 1);
        snprintf(name, sizeof name, "column %zu of y", col);
        judge_group(j, &s, g->k, name);
        if (j->finding != NULL && json_object_get(j->finding, "column") == NULL)
            json_object_set_new(j->finding, "column", json_integer((json_int_t)col));
    }
}

/* No more tests than this are done at a design. */
static size_t count_tests(const struct design *g) {
    size_t groups = g->n;

    for (const size_t *modulus = g->moduli; *modulus != 0; modulus++)
        groups += *modulus;
    return g->m * g->n + 3 * groups;
}

/* NULL: no finding. */
static json_t *judge_design(struct judge *j) {
    const struct design *g = j->design;
    struct assay_error err;

    if (!assay_output_alloc(&j->out, g->m, g->n, g->n + GAP))
        return assay_check_skip("out of memory");
    assay_output_poison(&j->out);
    j->z = malloc(g->m * g->n * sizeof *j->z);
    j->finding = NULL;
    if (!assay_check_multiply(j->env, j->data->w.data, g->n, g->k, j->data->x.data, g->m, j->out.y,
                              j->out.ldy, &j->arith, &err)) {
        j->finding = err.status == ASSAY_EUNSUPPORTED ? assay_check_skip(err.message)
                                                      : assay_check_fail("%s", err.message);
    } else if (j->z == NULL || (j->ref = reference_of(j->data, &j->arith)) == NULL) {
        j->finding = assay_check_skip("out of memory");
    } else {
        j->length = rounding_length(g, &j->arith);
        judge_outputs(j);
        judge_groups(j);
    }
    free(j->z);
    assay_output_free(&j->out);
    return j->finding;
}

json_t *assay_statistics_judge(const struct assay_check_env *env,
                               struct assay_statistics_tally *tally) {
    const struct design *designs = env->full ? thorough : quick;
    size_t n_designs =
        env->full ? sizeof thorough / sizeof thorough[0] : sizeof quick / sizeof quick[0];
    struct assay_statistics_tally own = {0};
    struct judge j = {.env = env, .tally = tally != NULL ? tally : &own};
    size_t tests = 0, before = j.tally->outputs;
    json_t *skip = NULL;

    for (size_t i = 0; i < n_designs; i++)
        tests += count_tests(&designs[i]);
    j.nats = log((double)tests * ASSAY_CHECKS_PER_RUN / ASSAY_FALSE_ALARMS_PER_RUN);
    for (size_t i = 0; i < n_designs; i++) {
        j.design = &designs[i];
        j.data = data_of(env, j.design, i);
        json_t *finding = j.data != NULL ? judge_design(&j) : assay_check_skip("out of memory");
        if (finding == NULL)
            continue;
        json_decref(skip);
        skip = NULL;
        if (strcmp(json_string_value(json_object_get(finding, "verdict")), "fail") == 0)
            return finding;
        skip = finding; /* some layouts take some shapes only */
    }
    if (j.tally->outputs == before && skip != NULL)
        return skip;
    json_decref(skip);
    return assay_check_pass(j.tally->outputs - before);
}

static json_t *run(const struct assay_check_env *env) { return assay_statistics_judge(env, NULL); }

const struct assay_check assay_check_statistics_row = {
    .name = "statistics",
    .summary = "errors of many outputs against the rounding model: spread, bias, rows, lanes",
    .run = run,
};
