/* What runs of assay where there is no glibc: every type through every instruction set of the cpu
 * and scalar backends, held to the reference's bounds. Linked statically with musl
 * (ci/packaging.sh). */
#include <stdio.h>
#include <stdlib.h>

#include "datasets/generate.h"
#include "impl/gemm_quant.h"
#include "ref/bounds.h"
#include "ref/gemm.h"

enum { M = 3, N = 7, K = 512 };

struct subject {
    const struct assay_type_traits *type;
    struct assay_ctx *ctx;
    struct assay_store *store;
    uint8_t *w;
    size_t row_bytes;
    float x[M * K], y[M * N];
};

static struct assay_ref_elem reference[M * N];

/* Elements beyond their bound; -1: it could not be computed. */
static int judge(struct subject *s, const struct assay_arith *arith) {
    int wrong = 0;
    double excess;

    if (assay_ref_gemm(s->type, s->w, s->row_bytes, N, K, s->x, M, arith, reference) != 0)
        return -1;
    for (size_t i = 0; i < M * N; i++) {
        double bound = assay_bound(arith, s->type, K, &reference[i]);
        wrong += !assay_within_bound(&reference[i], bound, s->y[i], &excess);
    }
    return wrong;
}

static int check(struct subject *s, const struct assay_ctx_params *params) {
    struct assay_error err = {0};
    struct assay_arith arith;
    int wrong = -1;

    if (assay_ctx_create(params, &s->ctx, &err) == ASSAY_OK &&
        assay_ctx_arith(s->ctx, s->type, M, &arith, &err) == ASSAY_OK &&
        assay_store_create(s->ctx, (uint32_t)s->type->type, s->w, N * s->row_bytes, N, K, &s->store,
                           &err) == ASSAY_OK &&
        gemm_quant(s->ctx, s->store, s->x, M, s->y, N, &err) == ASSAY_OK)
        wrong = judge(s, &arith);
    assay_store_free(s->store);
    assay_ctx_free(s->ctx);
    s->store = NULL;
    s->ctx = NULL;
    if (wrong != 0)
        printf("FAIL %s %s %s: %d of %d elements wrong %s\n", s->type->name,
               assay_backend_name(params->backend), assay_isa_name(params->isa), wrong, M * N,
               err.message);
    return wrong != 0;
}

int main(void) {
    static const char *const backends[] = {"scalar", "cpu"};
    static struct subject s;
    int runs = 0, failed = 0;

    for (size_t t = 0; t < assay_type_count(); t++) {
        s.type = assay_type_at(t);
        if (s.type->dequant == NULL || !assay_row_bytes(s.type, K, &s.row_bytes))
            continue;
        s.w = malloc(N * s.row_bytes);
        if (s.w == NULL)
            return 2;
        assay_generate_weights(s.type, ASSAY_WGEN_UNIFORM, 1, N, K, s.w);
        assay_generate_acts(ASSAY_AGEN_NORMAL, 2, M, K, s.x);
        for (int b = 0; b < 2; b++) {
            const struct assay_backend *backend = assay_backend_by_name(backends[b]);
            int last = assay_backend_uses_isa(backend) ? ASSAY_ISA_COUNT - 1 : ASSAY_ISA_SCALAR;

            for (int isa = ASSAY_ISA_SCALAR; isa <= last; isa++) {
                struct assay_ctx_params params = {backend, (enum assay_isa)isa, 1, ""};
                if (!assay_backend_uses_isa(backend))
                    params.isa = ASSAY_ISA_AUTO;
                else if (!assay_isa_runs_here(params.isa))
                    continue;
                runs++;
                failed += check(&s, &params);
            }
        }
        free(s.w);
    }
    printf("%d passed, %d failed\n", runs - failed, failed);
    return failed > 0 || runs == 0;
}
