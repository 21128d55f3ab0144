/* The child's side of verify: makes the data of a problem, lets a backend compute, judges. */
#include <fenv.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "compare.h"
#include "datasets/generate.h"
#include "guard.h"
#include "process.h"
#include "record.h"
#include "ref/gemm.h"
#include "ref/half.h"
#include "verify_internal.h"

/* Columns between the end of a row of y and the next: the stride of gemm_quant is put to use, and a
 * write past the last column is found. */
enum { GAP = 3 };

/* The reference of one part in one arithmetic class. */
struct reference {
    struct reference *next;
    size_t part;
    struct assay_arith arith;
    struct assay_ref_elem elems[];
};

struct assay_workload {
    struct assay_guard weights[ASSAY_MAX_PARTS]; /* of generated parts */
    const uint8_t *bytes[ASSAY_MAX_PARTS];
    size_t row_bytes[ASSAY_MAX_PARTS];
    struct assay_guard x;
    struct reference *references;
};

static void workload_free(struct assay_workload *load) {
    if (load == NULL)
        return;
    for (size_t i = 0; i < ASSAY_MAX_PARTS; i++)
        assay_guard_free(&load->weights[i]);
    assay_guard_free(&load->x);
    while (load->references != NULL) {
        struct reference *next = load->references->next;
        free(load->references);
        load->references = next;
    }
    free(load);
}

static bool make_weights(struct assay_workload *load, const struct assay_problem *p, size_t i,
                         uint64_t base_seed) {
    const struct assay_case_part *part = &p->parts[i];
    char stream[16];

    if (!assay_row_bytes(part->type, p->k, &load->row_bytes[i]))
        return false;
    if (part->tensor != NULL) {
        load->bytes[i] = part->tensor->data;
        return true;
    }
    if (!assay_guard_alloc(&load->weights[i], part->rows * load->row_bytes[i]))
        return false;
    snprintf(stream, sizeof stream, "weights%zu", i);
    assay_generate_weights(part->type, p->weights, assay_problem_seed(p, base_seed, stream),
                           part->rows, p->k, load->weights[i].data);
    assay_guard_read_only(&load->weights[i]);
    load->bytes[i] = load->weights[i].data;
    return true;
}

static struct assay_workload *workload_new(const struct assay_problem *p, uint64_t base_seed) {
    struct assay_workload *load = calloc(1, sizeof *load);

    if (load == NULL)
        return NULL;
    for (size_t i = 0; i < p->n_parts; i++)
        if (!make_weights(load, p, i, base_seed))
            goto fail;
    if (p->op == ASSAY_OP_ROWS)
        return load;
    if (!assay_guard_alloc(&load->x, p->m * p->k * sizeof(float)))
        goto fail;
    assay_generate_acts(p->acts, assay_problem_seed(p, base_seed, "acts"), p->m, p->k,
                        load->x.data);
    assay_guard_read_only(&load->x);
    return load;
fail:
    workload_free(load);
    return NULL;
}

static bool same_arith(const struct assay_arith *a, const struct assay_arith *b) {
    /* exact_run only tightens the bound; the reference does not depend on it. */
    return a->weight == b->weight && a->act == b->act && a->act_block == b->act_block;
}

/* The reference of a part in a class, computed at its first use. NULL: out of memory. */
static const struct assay_ref_elem *reference_of(struct assay_workload *load,
                                                 const struct assay_problem *p, size_t part,
                                                 const struct assay_arith *arith) {
    const struct assay_case_part *w = &p->parts[part];
    struct reference *r;

    for (r = load->references; r != NULL; r = r->next)
        if (r->part == part && same_arith(&r->arith, arith))
            return r->elems;
    r = malloc(sizeof *r + p->m * w->rows * sizeof r->elems[0]);
    if (r == NULL)
        return NULL;
    if (assay_ref_gemm(w->type, load->bytes[part], load->row_bytes[part], w->rows, p->k,
                       load->x.data, p->m, arith, r->elems) != 0) {
        free(r);
        return NULL;
    }
    r->part = part;
    r->arith = *arith;
    r->next = load->references;
    load->references = r;
    return r->elems;
}

/* ---- The backend under test ---- */

struct subject {
    struct assay_ctx *ctx;
    struct assay_store *store;   /* a generated matrix, for gemm_quant; any matrix, for rows */
    struct assay_linear *linear; /* everything else */
};

static enum assay_status subject_new(struct subject *s, const struct assay_problem *p,
                                     const struct assay_runner *r,
                                     const struct assay_workload *load, struct assay_error *err) {
    struct assay_ctx_params params = {r->backend, r->isa, r->threads, r->variant};
    struct assay_part parts[ASSAY_MAX_PARTS];
    enum assay_status status;

    *s = (struct subject){NULL, NULL, NULL};
    status = assay_ctx_create(&params, &s->ctx, err);
    if (status != ASSAY_OK)
        return status;
    for (size_t i = 0; i < p->n_parts; i++)
        parts[i] = (struct assay_part){(uint32_t)p->parts[i].type->type, load->bytes[i],
                                       p->parts[i].rows * load->row_bytes[i], p->parts[i].rows};
    if (p->op == ASSAY_OP_FUSED)
        return assay_linear_create_fused(s->ctx, parts, p->n_parts, p->k, &s->linear, err);
    if (p->op == ASSAY_OP_ROWS || p->parts[0].tensor == NULL)
        return assay_store_create(s->ctx, parts[0].type, parts[0].bytes, parts[0].nbytes,
                                  parts[0].rows, p->k, &s->store, err);
    return assay_linear_create(s->ctx, parts[0].type, parts[0].bytes, parts[0].nbytes,
                               parts[0].rows, p->k, &s->linear, err);
}

static void subject_free(struct subject *s) {
    assay_linear_free(s->linear);
    assay_store_free(s->store);
    assay_ctx_free(s->ctx);
}

/* What the kernel does to the rounding mode is the hygiene check's to find: here it must not move
 * the reference. */
static enum assay_status multiply(const struct subject *s, const struct assay_problem *p,
                                  const struct assay_workload *load, const struct assay_output *out,
                                  struct assay_error *err) {
    enum assay_status status;
    fenv_t environment;

    fegetenv(&environment);
    if (s->store != NULL)
        status = gemm_quant(s->ctx, s->store, load->x.data, p->m, out->y, out->ldy, err);
    else
        status = assay_linear_forward(s->ctx, s->linear, load->x.data, out->y, p->m, err);
    fesetenv(&environment);
    return status;
}

/* ---- Results ---- */

static json_t *failure(const char *problem) {
    return json_pack("{ss ss}", "verdict", "fail", "problem", problem);
}

static json_t *status_result(const struct assay_runner *r, const char *call,
                             const struct assay_error *err) {
    char text[320];

    /* A variant may take fewer types than its backend, and says so only here. */
    if (err->status == ASSAY_EUNSUPPORTED && *r->variant != '\0')
        return json_pack("{ss ss}", "verdict", "skip", "problem", err->message);
    snprintf(text, sizeof text, "%s failed: %s", call, err->message);
    return failure(text);
}

static json_t *comparison_result(const struct assay_comparison *c, const char *kernel, int call) {
    const struct assay_element *w = &c->worst;
    bool judged = c->elements > c->unbounded;
    /* No elements at all: that nothing was written is what there was to see. */
    bool good = judged || c->elements == 0;
    const char *verdict = c->found != ASSAY_FOUND_NOTHING ? "fail" : good ? "pass" : "skip";
    json_t *j =
        json_pack("{ss ss sI sI sI sI so}", "verdict", verdict, "kernel", kernel, "elements",
                  (json_int_t)c->elements, "wrong", (json_int_t)c->wrong, "unwritten",
                  (json_int_t)c->unwritten, "unbounded", (json_int_t)c->unbounded, "ratio",
                  assay_json_real(judged ? w->ratio : 0));

    if (!isnan(assay_comparison_nmse(c)))
        json_object_set_new(j, "nmse", assay_json_real(assay_comparison_nmse(c)));
    if (judged)
        json_object_set_new(j, "worst",
                            json_pack("{sI sI so so so}", "row", (json_int_t)w->row, "column",
                                      (json_int_t)w->col, "got", assay_json_real(w->got),
                                      "expected", assay_json_real(w->expected), "bound",
                                      assay_json_real(w->bound)));
    if (c->found != ASSAY_FOUND_NOTHING) {
        json_object_set_new(j, "problem", json_string(assay_problem_kind_text(c->found)));
        json_object_set_new(j, "call", json_integer(call));
    } else if (!good) {
        json_object_set_new(
            j, "problem",
            json_string("no element has a finite bound: fp32 overflow is legitimate in all"));
    }
    if (c->found == ASSAY_FOUND_OUTSIDE)
        json_object_set_new(j, "outside",
                            json_pack("{sI sI}", "row", (json_int_t)c->outside_row, "column",
                                      (json_int_t)c->outside_col));
    return j;
}

/* ---- Products ---- */

struct product {
    const struct assay_problem *p;
    struct assay_workload *load;
    struct subject subject;
    struct assay_arith arith[ASSAY_MAX_PARTS];
    const struct assay_ref_elem *reference[ASSAY_MAX_PARTS];
    struct assay_output out;
};

static void judge(const struct product *pr, struct assay_comparison *c) {
    size_t col = 0;

    assay_comparison_init(c);
    for (size_t i = 0; i < pr->p->n_parts; i++) {
        const struct assay_case_part *part = &pr->p->parts[i];
        assay_compare_columns(c, &pr->out, col, part->rows, pr->reference[i], &pr->arith[i],
                              part->type, pr->p->k);
        col += part->rows;
    }
    assay_comparison_finish(c, &pr->out);
}

/* Two calls, each judged: a kernel that leaves its workspace dirty is right only once. */
static json_t *multiply_twice(struct product *pr, const struct assay_runner *r) {
    const struct assay_problem *p = pr->p;
    const char *kernel = assay_ctx_kernel(pr->subject.ctx, p->parts[0].type, p->m);
    struct assay_comparison c;
    struct assay_error err;

    for (int call = 1;; call++) {
        assay_output_poison(&pr->out);
        if (multiply(&pr->subject, p, pr->load, &pr->out, &err) != ASSAY_OK)
            return status_result(r, "the product", &err);
        judge(pr, &c);
        if (call == 2 || c.found != ASSAY_FOUND_NOTHING)
            return comparison_result(&c, kernel != NULL ? kernel : "", call);
    }
}

static json_t *run_product(const struct assay_problem *p, const struct assay_runner *r,
                           struct assay_workload *load) {
    struct product pr = {.p = p, .load = load};
    size_t n = assay_problem_rows(p);
    struct assay_error err;
    json_t *result;

    if (subject_new(&pr.subject, p, r, load, &err) != ASSAY_OK) {
        result = status_result(r, "creation", &err);
        goto out;
    }
    for (size_t i = 0; i < p->n_parts; i++) {
        if (assay_ctx_arith(pr.subject.ctx, p->parts[i].type, p->m, &pr.arith[i], &err) !=
            ASSAY_OK) {
            result = status_result(r, "the arithmetic class", &err);
            goto out;
        }
        pr.reference[i] = reference_of(load, p, i, &pr.arith[i]);
        if (pr.reference[i] == NULL) {
            result = failure("out of memory for the reference");
            goto out;
        }
    }
    if (!assay_output_alloc(&pr.out, p->m, n, pr.subject.store != NULL ? n + GAP : n)) {
        result = failure("out of memory for the output");
        goto out;
    }
    result = multiply_twice(&pr, r);
out:
    assay_output_free(&pr.out);
    subject_free(&pr.subject);
    return result;
}

/* ---- Indexed products ---- */

struct indexed {
    const struct assay_problem *p;
    struct assay_workload *load;
    struct assay_ctx *ctx;
    struct assay_experts *experts;
    size_t n; /* rows of an expert */
    int64_t *ids;
    struct assay_output out;
};

static size_t rows_of_expert(const struct indexed *ix, int64_t id) {
    size_t rows = 0;
    for (size_t i = 0; i < ix->p->m; i++)
        rows += ix->ids[i] == id;
    return rows;
}

/* Each row by the class of a product of as many rows as its expert has. NULL, or what is wrong. */
static json_t *judge_indexed(struct indexed *ix, const struct assay_runner *r,
                             struct assay_comparison *c) {
    const struct assay_problem *p = ix->p;
    const struct assay_type_traits *t = p->parts[0].type;

    assay_comparison_init(c);
    for (size_t i = 0; i < p->m; i++) {
        const struct assay_ref_elem *reference;
        struct assay_arith arith;
        struct assay_error err;

        if (assay_ctx_arith(ix->ctx, t, rows_of_expert(ix, ix->ids[i]), &arith, &err) != ASSAY_OK)
            return status_result(r, "the arithmetic class", &err);
        reference = reference_of(ix->load, p, 0, &arith);
        if (reference == NULL)
            return failure("out of memory for the reference");
        reference += i / assay_problem_share(p) * p->parts[0].rows + (size_t)ix->ids[i] * ix->n;
        assay_compare_row(c, &ix->out, i, 0, ix->n, reference, &arith, t, p->k);
    }
    assay_comparison_finish(c, &ix->out);
    return NULL;
}

static json_t *multiply_indexed(struct indexed *ix, const struct assay_runner *r) {
    const struct assay_problem *p = ix->p;
    const char *kernel =
        assay_ctx_kernel(ix->ctx, p->parts[0].type, rows_of_expert(ix, ix->ids[0]));
    struct assay_comparison c;
    struct assay_error err;

    for (int call = 1;; call++) {
        json_t *problem;

        assay_output_poison(&ix->out);
        if (gemm_quant_id(ix->ctx, ix->experts, ix->ids, p->m, ix->load->x.data,
                          assay_problem_share(p), ix->out.y, ix->out.ldy, &err) != ASSAY_OK)
            return status_result(r, "the indexed product", &err);
        if ((problem = judge_indexed(ix, r, &c)) != NULL)
            return problem;
        if (call == 2 || c.found != ASSAY_FOUND_NOTHING) {
            json_t *result = comparison_result(&c, kernel != NULL ? kernel : "", call);
            json_object_set_new(result, "expert", json_integer(ix->ids[c.worst.row]));
            return result;
        }
    }
}

static json_t *run_indexed(const struct assay_problem *p, const struct assay_runner *r,
                           struct assay_workload *load, uint64_t base_seed) {
    struct assay_ctx_params params = {r->backend, r->isa, r->threads, r->variant};
    struct indexed ix = {.p = p, .load = load, .n = p->parts[0].rows / p->experts};
    struct assay_error err;
    json_t *result;

    ix.ids = malloc(p->m * sizeof *ix.ids);
    if (ix.ids == NULL || !assay_output_alloc(&ix.out, p->m, ix.n, ix.n + GAP)) {
        result = failure("out of memory for the output");
    } else if (assay_ctx_create(&params, &ix.ctx, &err) != ASSAY_OK ||
               assay_experts_create(ix.ctx, (uint32_t)p->parts[0].type->type, load->bytes[0],
                                    p->parts[0].rows * load->row_bytes[0], p->experts, ix.n, p->k,
                                    &ix.experts, &err) != ASSAY_OK) {
        result = status_result(r, "creation", &err);
    } else {
        assay_problem_route(p, base_seed, ix.ids);
        result = multiply_indexed(&ix, r);
    }
    assay_output_free(&ix.out);
    free(ix.ids);
    assay_experts_free(ix.experts);
    assay_ctx_free(ix.ctx);
    return result;
}

/* ---- Row lookup ---- */

/* True if the backend's rows come from a binary16 copy of its own. */
static bool keeps_fp16(const struct assay_ctx *ctx, const struct assay_store *store,
                       const struct assay_type_traits *t) {
    struct assay_arith arith;
    return assay_store_owns_weights(store) &&
           assay_ctx_arith(ctx, t, 1, &arith, NULL) == ASSAY_OK && arith.weight == ASSAY_WEIGHT_F16;
}

static void expected_row(const struct assay_problem *p, const struct assay_workload *load,
                         int64_t id, bool fp16, float *row) {
    assay_dequant_row(p->parts[0].type, load->bytes[0] + (size_t)id * load->row_bytes[0], p->k,
                      row);
    for (size_t i = 0; fp16 && i < p->k; i++)
        row[i] = assay_ref_from_fp16(assay_ref_to_fp16(row[i]));
}

struct lookup {
    const struct assay_problem *p;
    const struct assay_workload *load;
    int64_t *ids;    /* p->m */
    float *expected; /* one row */
    struct assay_output out;
    bool fp16;
};

static json_t *judge_lookup(struct lookup *l) {
    struct assay_comparison c;

    assay_comparison_init(&c);
    for (size_t i = 0; i < l->p->m; i++) {
        expected_row(l->p, l->load, l->ids[i], l->fp16, l->expected);
        assay_compare_row_bits(&c, &l->out, i, l->expected);
    }
    assay_comparison_finish(&c, &l->out);
    return comparison_result(&c, "", 1);
}

static json_t *look_up(struct lookup *l, const struct assay_runner *r) {
    struct subject s;
    struct assay_error err;
    json_t *result;

    if (subject_new(&s, l->p, r, l->load, &err) != ASSAY_OK) {
        result = status_result(r, "creation", &err);
        goto out;
    }
    l->fp16 = keeps_fp16(s.ctx, s.store, l->p->parts[0].type);
    if (assay_linear_from_store(s.ctx, s.store, &s.linear, &err) != ASSAY_OK) {
        result = status_result(r, "wrapping the store", &err);
        goto out;
    }
    s.store = NULL; /* the linear owns it now */
    assay_output_poison(&l->out);
    if (assay_linear_rows(s.ctx, s.linear, l->ids, l->p->m, l->out.y, &err) != ASSAY_OK)
        result = status_result(r, "row lookup", &err);
    else
        result = judge_lookup(l);
out:
    subject_free(&s);
    return result;
}

static json_t *run_rows(const struct assay_problem *p, const struct assay_runner *r,
                        const struct assay_workload *load) {
    struct lookup l = {.p = p, .load = load};
    json_t *result;

    l.ids = malloc(p->m * sizeof *l.ids);
    l.expected = malloc(p->k * sizeof *l.expected);
    if (l.ids == NULL || l.expected == NULL || !assay_output_alloc(&l.out, p->m, p->k, p->k)) {
        result = failure("out of memory for the rows");
    } else {
        for (size_t i = 0; i < p->m; i++)
            l.ids[i] = assay_problem_lookup(p, i);
        result = look_up(&l, r);
    }
    assay_output_free(&l.out);
    free(l.ids);
    free(l.expected);
    return result;
}

static json_t *run_check(const struct assay_worker *w, const struct assay_problem *p,
                         const struct assay_runner *r) {
    struct assay_check_env env = {
        .runner = r,
        .type = p->parts[0].type,
        .seed = assay_problem_seed(p, w->params->seed, "check"),
        .full = w->params->full,
    };
    json_t *result = p->check->run(&env);

    return result != NULL ? result : failure("out of memory for the check");
}

/* The child reads one tensor after the other, and keeps the pages of none. */
static void release_tensors(const struct assay_worker *w) {
    const struct assay_problem *p = &w->plan->problems[w->problem];

    for (size_t i = 0; i < p->n_parts; i++)
        if (p->parts[i].tensor != NULL)
            assay_gguf_release_pages(w->params->gguf, p->parts[i].tensor);
}

static json_t *run_case(struct assay_worker *w, const struct assay_verify_case *c) {
    const struct assay_problem *p = &w->plan->problems[c->problem];

    if (p->op == ASSAY_OP_CHECK)
        return run_check(w, p, &c->runner);
    if (w->load == NULL || w->problem != c->problem) {
        if (w->load != NULL)
            release_tensors(w);
        workload_free(w->load);
        w->load = workload_new(p, w->params->seed);
        w->problem = c->problem;
    }
    if (w->load == NULL)
        return failure("out of memory for the data");
    if (p->op == ASSAY_OP_EXPERTS)
        return run_indexed(p, &c->runner, w->load, w->params->seed);
    return p->op == ASSAY_OP_ROWS ? run_rows(p, &c->runner, w->load)
                                  : run_product(p, &c->runner, w->load);
}

json_t *assay_worker_run(struct assay_worker *w, size_t case_index) {
    json_t *result = run_case(w, &w->plan->cases[case_index]);
    const char *verdict = json_string_value(json_object_get(result, "verdict"));

    if (assay_process_disown() && verdict != NULL && strcmp(verdict, "fail") != 0) {
        json_decref(result);
        result = failure("left a process of its own behind");
    }
    return result;
}
