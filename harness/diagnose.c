#include "diagnose.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "ref/act_quant.h"
#include "ref/half.h"

/* Everything that there is to go by. */
struct scene {
    struct assay_diagnosis *d;
    const struct assay_specimen *full, *small;
    const struct assay_trial *full_trial, *small_trial;
};

__attribute__((format(printf, 3, 4))) static bool say(struct scene *s, const char *guess,
                                                      const char *fmt, ...) {
    va_list ap;

    snprintf(s->d->guess, sizeof s->d->guess, "%s", guess);
    va_start(ap, fmt);
    vsnprintf(s->d->evidence, sizeof s->d->evidence, fmt, ap);
    va_end(ap);
    return true;
}

/* ---- Calls ---- */

static bool death(struct scene *s) {
    const char *what = s->small_trial->what;

    if (s->small_trial->failure == ASSAY_FAILS_ERROR)
        return say(s, "error", "the backend returned an error: %.200s", what);
    if (s->small_trial->failure != ASSAY_FAILS_CRASH)
        return false;
    if (strncmp(what, "timeout", 7) == 0)
        return say(s, "hang", "the call does not return (%s)", what);
    if (strcmp(what, "SIGSEGV") == 0 || strcmp(what, "SIGBUS") == 0)
        return say(s, "access out of bounds",
                   "%s where both inputs end at a page without access and can't be written", what);
    return say(s, "crash", "the child process ended with %s", what);
}

/* Outputs that change from call to call, all inputs being the same. */
static bool unsteady(struct scene *s) {
    const struct assay_trial *t = s->full_trial;
    size_t at = 0;

    if (t->differing == 0)
        return false;
    if (t->bad_call < 2 || t->differing + 1 < t->calls)
        return say(s, "race", "%u of %u calls on the same inputs gave other bits than the first",
                   t->differing, t->calls - 1);
    while (at < t->m * t->n && t->wrong[at] == 0)
        at++;
    if (at < t->m * t->n && fabs(t->y[at] - 2 * t->reference[at].yq) <= 4 * t->bound[at])
        return say(s, "accumulator not cleared",
                   "the first call is right, the second gives twice the right output");
    return say(s, "state left by an earlier call",
               "the first call is right, call %u on the same inputs is not", t->bad_call);
}

/* ---- Places ---- */

/* Which rows, or columns, of an output have wrong elements. */
struct lines {
    size_t count, wrong, first, last;
};

static struct lines wrong_lines(const struct assay_trial *t, bool columns) {
    struct lines l = {.count = columns ? t->n : t->m};

    for (size_t a = 0; a < l.count; a++) {
        bool wrong = false;
        for (size_t b = 0; b < (columns ? t->m : t->n) && !wrong; b++)
            wrong = t->wrong[columns ? b * t->n + a : a * t->n + b] != 0;
        if (!wrong)
            continue;
        l.first = l.wrong == 0 ? a : l.first;
        l.last = a;
        l.wrong++;
    }
    return l;
}

static float line_value(const struct assay_trial *t, bool columns, size_t a, size_t b) {
    return t->y[columns ? b * t->n + a : a * t->n + b];
}

/* Line a holds, bit for bit, what line `other` does. */
static bool same_line(const struct assay_trial *t, bool columns, size_t a, size_t other) {
    for (size_t b = 0; b < (columns ? t->m : t->n); b++) {
        float x = line_value(t, columns, a, b), y = line_value(t, columns, other, b);
        if (assay_ref_float_bits(x) != assay_ref_float_bits(y))
            return false;
    }
    return true;
}

static bool stale(struct scene *s) {
    const struct assay_trial *t = s->full_trial;

    for (int columns = 0; columns < 2; columns++) {
        struct lines l = wrong_lines(t, columns);
        if (l.wrong != 1 || l.count < 2)
            continue;
        for (size_t other = 0; other < l.count; other++)
            if (other != l.first && same_line(t, columns, l.first, other))
                return say(s, columns ? "tail column stale" : "tail row stale",
                           "all wrong outputs are in %s %zu of %zu, which holds what %s %zu does",
                           columns ? "column" : "row", l.first, l.count, columns ? "column" : "row",
                           other);
    }
    return false;
}

static bool written_badly(struct scene *s) {
    struct lines rows = wrong_lines(s->full_trial, false), cols = wrong_lines(s->full_trial, true);

    if (s->full_trial->failure == ASSAY_FAILS_OUTSIDE)
        return say(s, "write past the output", "memory beside the m × n outputs was written");
    if (s->full_trial->failure == ASSAY_FAILS_CONSTANT)
        return say(s, "inputs ignored", "all outputs are equal, the reference's are not");
    if (s->full_trial->failure != ASSAY_FAILS_UNWRITTEN)
        return false;
    if (rows.last + 1 == rows.count && rows.wrong < rows.count)
        return say(s, "tail row", "rows %zu to %zu of %zu have outputs that are never written",
                   rows.first, rows.last, rows.count);
    if (cols.last + 1 == cols.count && cols.wrong < cols.count)
        return say(s, "tail column", "columns %zu to %zu of %zu are never written", cols.first,
                   cols.last, cols.count);
    return say(s, "outputs not written", "%zu of %zu outputs hold what they held before the call",
               s->full_trial->n_wrong, s->full_trial->m * s->full_trial->n);
}

/* The weights read one by one are right, and what is wrong lies at an edge. */
static bool tail(struct scene *s) {
    const struct assay_trial *t = s->full_trial;

    for (int columns = 0; columns < 2; columns++) {
        struct lines l = wrong_lines(t, columns);
        if (l.wrong > 0 && l.wrong * 2 <= l.count && l.last + 1 == l.count &&
            l.last - l.first + 1 == l.wrong)
            return say(s, columns ? "tail column" : "tail row",
                       "all wrong outputs are in the last %zu of %zu %s", l.wrong, l.count,
                       columns ? "columns" : "rows");
    }
    return false;
}

/* ---- Values ---- */

static bool not_finite(struct scene *s) {
    const struct assay_trial *t = s->full_trial;
    size_t swallowed = 0, made = 0, nans = 0;

    for (size_t at = 0; at < t->m * t->n; at++) {
        if (t->wrong[at] != 1)
            continue;
        swallowed += !isfinite(t->reference[at].yq) && isfinite(t->y[at]);
        made += isfinite(t->reference[at].yq) && !isfinite(t->y[at]);
        nans += isfinite(t->reference[at].yq) && isnan(t->y[at]);
    }
    if (swallowed > 0)
        return say(s, "NaN swallowed",
                   "%zu output%s finite where an infinity or a NaN among the inputs must reach %s",
                   swallowed, swallowed == 1 ? " is" : "s are", swallowed == 1 ? "it" : "them");
    if (made > 0)
        return say(s, nans > 0 ? "NaN made of finite numbers" : "overflow",
                   "%zu output%s not finite (%zu NaN) where the reference is", made,
                   made == 1 ? " is" : "s are", nans);
    return false;
}

static bool is_half(float f) {
    return assay_ref_float_bits(assay_ref_from_fp16(assay_ref_to_fp16(f))) ==
           assay_ref_float_bits(f);
}

/* Outputs of a kernel that sums in a narrow format have few bits; if only its lanes do, the errors
 * still have its size. */
static bool narrow_sums(struct scene *s) {
    const struct assay_trial *t = s->full_trial;
    size_t half = 0, bf16 = 0, less = 0;
    double largest = 0;

    for (size_t at = 0; at < t->m * t->n; at++) {
        if (t->wrong[at] != 1)
            continue;
        half += is_half(t->y[at]);
        bf16 += (assay_ref_float_bits(t->y[at]) & 0xffff) == 0;
        less += fabs(t->y[at]) < fabs(t->reference[at].yq);
        largest = fmax(largest, fabs(t->y[at] - t->reference[at].yq) / t->reference[at].mag);
    }
    if (bf16 == t->n_wrong && t->n_wrong > 1)
        return say(s, "bf16 accumulation", "all %zu wrong outputs are bfloat16 numbers", bf16);
    if (half == t->n_wrong && t->n_wrong > 0 && largest < ldexp(1, -4))
        return say(s, "fp16 accumulation",
                   "%s wrong output is a binary16 number, off by at most %.2g of the sum of "
                   "magnitudes",
                   t->n_wrong == 1 ? "the" : "every", largest);
    if (t->n_wrong >= 8 && less > t->n_wrong / 8 && less < t->n_wrong * 7 / 8 &&
        largest > ldexp(1, -14) && largest < ldexp(1, -8))
        return say(s, "fp16 accumulation",
                   "the weights are right one by one; errors of both signs reach %.2g of the sum "
                   "of magnitudes, some roundings to 11 bits",
                   largest);
    return false;
}

/* ---- Activations ---- */

/* Another rule by which a kernel may have rounded its activations. */
struct act_rule {
    const char *name;
    struct assay_arith arith;
    enum { AS_CLASS, TRUNCATED, BF16, HALF } how;
};

static void round_acts(const struct act_rule *rule, const float *x, size_t k, double *xq) {
    size_t block = rule->arith.act_block;

    if (rule->how == AS_CLASS)
        assay_act_emulate(&rule->arith, x, k, xq);
    for (size_t at = 0; rule->how == TRUNCATED && at < k; at += block) {
        size_t n = at + block < k ? block : k - at;
        float most = 0;
        for (size_t i = 0; i < n; i++)
            most = fmaxf(most, fabsf(x[at + i]));
        for (size_t i = 0; i < n; i++)
            xq[at + i] = most > 0 ? trunc(x[at + i] * (127.0 / most)) * (most / 127.0) : 0;
    }
    for (size_t i = 0; rule->how == BF16 && i < k; i++)
        xq[i] = assay_ref_float_from_bits(
            (assay_ref_float_bits(x[i]) + 0x7fff + (assay_ref_float_bits(x[i]) >> 16 & 1)) &
            0xffff0000);
    for (size_t i = 0; rule->how == HALF && i < k; i++)
        xq[i] = assay_ref_from_fp16(assay_ref_to_fp16(x[i]));
}

/* True if all wrong outputs of the small specimen are what the rule gives. */
static bool rule_explains(const struct scene *s, const struct act_rule *rule, const double *xq_of,
                          const float *weights) {
    const struct assay_trial *t = s->small_trial;
    size_t k = s->small->k;
    (void)rule;

    for (size_t at = 0; at < t->m * t->n; at++) {
        const double *xq = xq_of + at / t->n * k;
        const float *w = weights + at % t->n * k;
        double sum = 0, mag = 0;
        if (t->wrong[at] == 0)
            continue;
        for (size_t i = 0; i < k; i++) {
            sum += w[i] * xq[i];
            mag += fabs(w[i] * xq[i]);
        }
        /* The rounding of scales and sums apart. */
        if (!(fabs(t->y[at] - sum) <= t->bound[at] + ldexp(mag, -15)))
            return false;
    }
    return true;
}

static bool activations(struct scene *s) {
    const struct assay_arith *own = &s->small_trial->arith;
    uint32_t block = own->act_block > 0 ? own->act_block : 32;
    const struct act_rule rules[] = {
        {"truncated, not rounded, to int8", {0, ASSAY_ACT_Q8, block, 1}, TRUNCATED},
        {"rounded to bfloat16", {0, ASSAY_ACT_F32, 0, 1}, BF16},
        {"rounded to binary16", {0, ASSAY_ACT_F32, 0, 1}, HALF},
        {"rounded to int8 under one scale for 32", {0, ASSAY_ACT_Q8, 32, 1}, AS_CLASS},
        {"rounded to int8 under one scale for 256", {0, ASSAY_ACT_Q8, 256, 1}, AS_CLASS},
        {"rounded to int8 under a binary16 scale", {0, ASSAY_ACT_Q8_F16, 32, 1}, AS_CLASS},
        {"rounded to int8 under a scale of the signed maximum",
         {0, ASSAY_ACT_Q8K, 256, 1},
         AS_CLASS},
        {"multiplied as they are, unquantised", {0, ASSAY_ACT_F32, 0, 1}, AS_CLASS},
    };
    const struct assay_specimen *small = s->small;
    double *xq = malloc(small->m * small->k * sizeof *xq);
    float *weights = malloc(small->n * small->k * sizeof *weights);
    bool found = false;

    for (size_t j = 0; weights != NULL && j < small->n; j++)
        assay_dequant_row(small->type, assay_specimen_block(small, j, 0), small->k,
                          weights + j * small->k);
    for (size_t r = 0; xq != NULL && weights != NULL && r < sizeof rules / sizeof rules[0]; r++) {
        for (size_t i = 0; i < small->m; i++)
            round_acts(&rules[r], small->x + i * small->k, small->k, xq + i * small->k);
        found = rule_explains(s, &rules[r], xq, weights);
        if (found) {
            say(s, "activation rounding",
                "with the activations %s the output is the one found, to rounding", rules[r].name);
            break;
        }
    }
    free(xq);
    free(weights);
    return found;
}

/* Sums cut off at an integer's limits are short, and only where terms are large. */
static bool saturation(struct scene *s) {
    const struct assay_trial *t = s->full_trial;
    size_t less = 0, all = 0;

    for (size_t at = 0; at < t->m * t->n; at++)
        if (t->wrong[at] == 1) {
            all++;
            less += fabs(t->y[at]) < fabs(t->reference[at].yq);
        }
    if (all == 0 || less < all)
        return false;
    return say(s, "saturation",
               "the weights are right one by one, yet all %zu wrong sums are too small in "
               "magnitude",
               all);
}

/* ---- Weights ---- */

/* The first block of a row that has a wrong weight. */
static bool decoded_wrongly(struct scene *s) {
    struct assay_recovery *r = &s->d->weights;
    size_t len = s->small->type->block_len, at = 0;

    if (!s->d->recovered || r->n_wrong == 0)
        return false;
    while (!r->wrong[at])
        at++;
    s->d->block = at / len;
    at = s->d->block * len;
    assay_diagnose_block(s->d, &(struct assay_block_evidence){
                                   .type = s->small->type,
                                   .block = assay_specimen_block(s->small, s->d->row, s->d->block),
                                   .fp16 = r->arith.weight == ASSAY_WEIGHT_F16,
                                   /* Under a scale of 11 bits, say. */
                                   .slack = r->arith.act == ASSAY_ACT_F32 ? 0x1p-20 : 0x1p-9,
                                   .got = r->got + at,
                                   .expected = r->expected + at,
                                   .bound = r->bound + at,
                                   .wrong = r->wrong + at,
                               });
    return true;
}

bool assay_diagnose(struct assay_diagnosis *d, const struct assay_specimen *full,
                    const struct assay_trial *full_trial, const struct assay_specimen *small,
                    const struct assay_trial *small_trial) {
    struct scene s = {d, full, small, full_trial, small_trial};
    size_t i, row;

    *d = (struct assay_diagnosis){.row = 0};
    if (death(&s) || unsteady(&s) || written_badly(&s) || stale(&s) || not_finite(&s))
        return true;
    if (assay_trial_worst(small_trial, &i, &row)) {
        d->row = row;
        d->recovered = assay_recover_row(&d->weights, small, i, row);
    }
    if (decoded_wrongly(&s) || activations(&s) || narrow_sums(&s) || tail(&s) || saturation(&s))
        return true;
    return say(&s, "unknown",
               "no known pattern: %zu of %zu outputs are wrong, weights read one by "
               "one are %s",
               full_trial->n_wrong, full_trial->m * full_trial->n,
               d->recovered ? "right" : "not to be had");
}

void assay_diagnosis_free(struct assay_diagnosis *d) { assay_recovery_free(&d->weights); }
