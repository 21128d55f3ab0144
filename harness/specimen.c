#include "specimen.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "compare.h"
#include "guard.h"
#include "isolate.h"

/* As in verify: columns between the end of a row of y and the next. */
enum { GAP = 3 };

/* ---- Specimens ---- */

bool assay_specimen_new(struct assay_specimen *s, const struct assay_type_traits *type,
                        const struct assay_runner *runner, size_t m, size_t n, size_t k) {
    *s = (struct assay_specimen){
        .type = type, .runner = *runner, .m = m, .n = n, .k = k, .timeout_s = 5};
    if (!assay_row_bytes(type, k, &s->row_bytes))
        return false;
    s->w = calloc(n, s->row_bytes);
    s->x = calloc(m * k, sizeof *s->x);
    return s->w != NULL && s->x != NULL;
}

bool assay_specimen_like(struct assay_specimen *s, const struct assay_specimen *from, size_t m,
                         size_t n, size_t k) {
    if (!assay_specimen_new(s, from->type, &from->runner, m, n, k))
        return false;
    memcpy(s->id, from->id, sizeof s->id);
    s->seed = from->seed;
    s->timeout_s = from->timeout_s;
    return true;
}

bool assay_specimen_copy(struct assay_specimen *s, const struct assay_specimen *from) {
    if (!assay_specimen_like(s, from, from->m, from->n, from->k))
        return false;
    memcpy(s->w, from->w, from->n * from->row_bytes);
    memcpy(s->x, from->x, from->m * from->k * sizeof *s->x);
    return true;
}

void assay_specimen_free(struct assay_specimen *s) {
    free(s->w);
    free(s->x);
    s->w = NULL;
    s->x = NULL;
}

/* ---- The child's side ---- */

/* Inputs where an overrun dies, and the kernel that gets them. */
struct bench {
    struct assay_guard w, x;
    struct assay_ctx *ctx;
    struct assay_store *store;
    struct assay_output out;
};

static bool bench_new(struct bench *b, const struct assay_specimen *s, bool x_read_only,
                      struct assay_error *err) {
    const struct assay_runner *r = &s->runner;
    struct assay_ctx_params params = {r->backend, r->isa, r->threads, r->variant};

    *b = (struct bench){.ctx = NULL};
    *err = (struct assay_error){ASSAY_ENOMEM, "out of memory"};
    if (!assay_guard_alloc(&b->w, s->n * s->row_bytes) ||
        !assay_guard_alloc(&b->x, s->m * s->k * sizeof *s->x) ||
        !assay_output_alloc(&b->out, s->m, s->n, s->n + GAP))
        return false;
    memcpy(b->w.data, s->w, s->n * s->row_bytes);
    memcpy(b->x.data, s->x, s->m * s->k * sizeof *s->x);
    assay_guard_read_only(&b->w);
    if (x_read_only)
        assay_guard_read_only(&b->x);
    return assay_ctx_create(&params, &b->ctx, err) == ASSAY_OK &&
           assay_store_create(b->ctx, (uint32_t)s->type->type, b->w.data, s->n * s->row_bytes, s->n,
                              s->k, &b->store, err) == ASSAY_OK;
}

static void bench_free(struct bench *b) {
    assay_store_free(b->store);
    assay_ctx_free(b->ctx);
    assay_output_free(&b->out);
    assay_guard_free(&b->w);
    assay_guard_free(&b->x);
}

static bool bench_call(struct bench *b, const struct assay_specimen *s, struct assay_error *err) {
    assay_output_poison(&b->out);
    return gemm_quant(b->ctx, b->store, b->x.data, s->m, b->out.y, b->out.ldy, err) == ASSAY_OK;
}

/* The head of the memory that a trial shares with its child; the arrays follow. */
struct shared {
    struct assay_trial head;
    bool complete;
};

struct trial_job {
    const struct assay_specimen *s;
    unsigned calls;
    struct shared *shared;
    struct assay_ref_elem *reference;
    double *bound;
    float *first, *y;
    uint8_t *wrong;
};

static json_t *trial_error(const struct trial_job *job, const struct assay_error *err) {
    struct assay_trial *t = &job->shared->head;

    t->failure = err->status == ASSAY_EUNSUPPORTED ? ASSAY_FAILS_REFUSED : ASSAY_FAILS_ERROR;
    snprintf(t->what, sizeof t->what, "%.199s", err->message);
    job->shared->complete = true;
    return json_true();
}

/* The failure that verify would call a comparison's. */
static enum assay_failure failure_of(const struct assay_comparison *c) {
    static const enum assay_failure failures[] = {
        [ASSAY_FOUND_NOTHING] = ASSAY_FAILS_NOT,
        [ASSAY_FOUND_WRONG] = ASSAY_FAILS_WRONG,
        [ASSAY_FOUND_UNWRITTEN] = ASSAY_FAILS_UNWRITTEN,
        [ASSAY_FOUND_OUTSIDE] = ASSAY_FAILS_OUTSIDE,
        [ASSAY_FOUND_CONSTANT] = ASSAY_FAILS_CONSTANT,
    };
    return failures[c->found];
}

static void judge_elements(const struct trial_job *job, const struct assay_output *out) {
    struct assay_trial *t = &job->shared->head;
    double ratio;

    t->n_wrong = 0;
    for (size_t i = 0; i < out->m; i++)
        for (size_t j = 0; j < out->n; j++) {
            size_t at = i * out->n + j;
            float got = out->y[i * out->ldy + j];
            /* The fence before the output still holds what the output held before the call. */
            bool unwritten = memcmp(&got, out->base, sizeof got) == 0;
            bool right = assay_within_bound(&job->reference[at], job->bound[at], got, &ratio);

            job->y[at] = got;
            job->wrong[at] = unwritten ? 2 : !right;
            t->n_wrong += job->wrong[at] != 0;
        }
}

static bool same_outputs(const struct assay_output *out, const float *first) {
    for (size_t i = 0; i < out->m; i++)
        if (memcmp(out->y + i * out->ldy, first + i * out->n, out->n * sizeof *first) != 0)
            return false;
    return true;
}

static bool trial_calls(const struct trial_job *job, struct bench *b, struct assay_error *err) {
    struct assay_trial *t = &job->shared->head;
    const struct assay_specimen *s = job->s;

    for (unsigned call = 1; call <= job->calls; call++) {
        struct assay_comparison c;

        if (!bench_call(b, s, err))
            return false;
        t->calls = call;
        for (size_t i = 0; call == 1 && i < s->m; i++)
            memcpy(job->first + i * s->n, b->out.y + i * b->out.ldy, s->n * sizeof *job->first);
        t->differing += !same_outputs(&b->out, job->first);
        if (t->bad_call != 0)
            continue;
        assay_comparison_init(&c);
        assay_compare_columns(&c, &b->out, 0, s->n, job->reference, &t->arith, s->type, s->k);
        assay_comparison_finish(&c, &b->out);
        t->failure = failure_of(&c);
        judge_elements(job, &b->out);
        if (c.found != ASSAY_FOUND_NOTHING)
            t->bad_call = call;
    }
    if (t->bad_call == 0)
        t->bad_call = t->calls;
    return true;
}

static json_t *trial_work(void *user) {
    struct trial_job *job = user;
    const struct assay_specimen *s = job->s;
    struct assay_trial *t = &job->shared->head;
    struct assay_error err;
    struct bench b;
    json_t *result = NULL;

    if (!bench_new(&b, s, true, &err) ||
        assay_ctx_arith(b.ctx, s->type, s->m, &t->arith, &err) != ASSAY_OK)
        result = trial_error(job, &err);
    else if (assay_ref_gemm(s->type, s->w, s->row_bytes, s->n, s->k, s->x, s->m, &t->arith,
                            job->reference) != 0)
        result = trial_error(job, &(struct assay_error){ASSAY_ENOMEM, "out of memory"});
    for (size_t i = 0; result == NULL && i < s->m * s->n; i++)
        job->bound[i] = assay_bound(&t->arith, s->type, s->k, &job->reference[i]);
    if (result == NULL && !trial_calls(job, &b, &err))
        result = trial_error(job, &err);
    bench_free(&b); /* what dies here is a failure, too */
    job->shared->complete = true;
    return result != NULL ? result : json_true();
}

/* ---- The parent's side ---- */

static void *map_new(size_t size) {
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return map != MAP_FAILED ? map : NULL;
}

bool assay_trial_run(struct assay_trial *t, const struct assay_specimen *s, unsigned calls) {
    size_t outputs = s->m * s->n;
    size_t size =
        sizeof(struct shared) + outputs * (sizeof *t->reference + sizeof *t->bound +
                                           sizeof *t->first + sizeof *t->y + sizeof *t->wrong);
    struct shared *shared = map_new(size);
    struct trial_job job = {.s = s, .calls = calls, .shared = shared};
    const char *crash;
    json_t *result;

    *t = (struct assay_trial){.map = NULL};
    if (shared == NULL)
        return false;
    job.reference = (struct assay_ref_elem *)(shared + 1);
    job.bound = (double *)(job.reference + outputs);
    job.first = (float *)(job.bound + outputs);
    job.y = job.first + outputs;
    job.wrong = (uint8_t *)(job.y + outputs);
    result = assay_isolate_once(trial_work, &job, s->timeout_s);
    if (result == NULL) {
        munmap(shared, size);
        return false;
    }
    *t = shared->head;
    crash = json_string_value(json_object_get(result, "crash"));
    if (crash != NULL) {
        t->failure = ASSAY_FAILS_CRASH;
        snprintf(t->what, sizeof t->what, "%s", crash);
    }
    json_decref(result);
    t->m = s->m;
    t->n = s->n;
    t->reference = job.reference;
    t->bound = job.bound;
    t->first = job.first;
    t->y = job.y;
    t->wrong = job.wrong;
    t->map = shared;
    t->map_size = size;
    return true;
}

void assay_trial_free(struct assay_trial *t) {
    if (t->map != NULL)
        munmap(t->map, t->map_size);
    t->map = NULL;
}

bool assay_trial_worst(const struct assay_trial *t, size_t *row, size_t *column) {
    double most = -1;

    for (size_t at = 0; at < t->m * t->n; at++) {
        double ratio;
        if (t->wrong[at] == 0)
            continue;
        assay_within_bound(&t->reference[at], t->bound[at], t->y[at], &ratio);
        if (ratio > most) {
            most = ratio;
            *row = at / t->n;
            *column = at % t->n;
        }
    }
    return most >= 0;
}

/* ---- Recovery of weights ---- */

struct recovery_job {
    const struct assay_specimen *s;
    struct assay_recovery *r; /* its arrays are shared memory */
    size_t i, row;
    struct assay_arith *arith;
    bool *done;
};

static bool recover_weight(const struct recovery_job *job, struct bench *b, size_t at) {
    const struct assay_specimen *s = job->s;
    struct assay_recovery *r = job->r;
    struct assay_ref_elem e;
    struct assay_error err;
    float *x = b->x.data;
    double ratio;

    memset(x, 0, s->m * s->k * sizeof *x);
    for (size_t i = 0; i < s->m; i++)
        x[i * s->k + at] = 1;
    if (!bench_call(b, s, &err) ||
        assay_ref_gemm(s->type, assay_specimen_block(s, job->row, 0), s->row_bytes, 1, s->k,
                       x + job->i * s->k, 1, job->arith, &e) != 0)
        return false;
    r->got[at] = b->out.y[job->i * b->out.ldy + job->row];
    r->expected[at] = e.yq;
    r->bound[at] = assay_bound(job->arith, s->type, s->k, &e);
    r->wrong[at] = !assay_within_bound(&e, r->bound[at], r->got[at], &ratio);
    return true;
}

static json_t *recovery_work(void *user) {
    struct recovery_job *job = user;
    const struct assay_specimen *s = job->s;
    struct assay_error err;
    struct bench b;
    bool ok = bench_new(&b, s, false, &err) &&
              assay_ctx_arith(b.ctx, s->type, s->m, job->arith, &err) == ASSAY_OK;

    for (size_t at = 0; ok && at < s->k; at++)
        ok = recover_weight(job, &b, at);
    *job->done = ok;
    bench_free(&b);
    return json_boolean(ok);
}

bool assay_recover_row(struct assay_recovery *r, const struct assay_specimen *s, size_t i,
                       size_t row) {
    struct recovery_shared {
        struct assay_arith arith;
        bool done;
    } * shared;
    struct recovery_job job = {.s = s, .r = r, .i = i, .row = row};
    json_t *result;

    *r = (struct assay_recovery){.k = s->k};
    r->map_size = sizeof(double) * 8 + s->k * (2 * sizeof(double) + sizeof(float) + 1);
    r->map = shared = map_new(r->map_size);
    if (shared == NULL)
        return false;
    r->expected = (double *)r->map + 8;
    r->bound = r->expected + s->k;
    r->got = (float *)(r->bound + s->k);
    r->wrong = (uint8_t *)(r->got + s->k);
    job.arith = &shared->arith;
    job.done = &shared->done;
    result = assay_isolate_once(recovery_work, &job, s->timeout_s);
    json_decref(result);
    r->arith = shared->arith;
    for (size_t at = 0; at < s->k; at++)
        r->n_wrong += r->wrong[at] != 0;
    return shared->done;
}

void assay_recovery_free(struct assay_recovery *r) {
    if (r->map != NULL)
        munmap(r->map, r->map_size);
    r->map = NULL;
}
