#include "act.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PAD = 256, LINE = 64 };

size_t assay_act_block(enum assay_act_format f) {
    static const size_t len[] = {
        [ASSAY_ACTF_F32] = 0, [ASSAY_ACTF_Q8_32] = 32, [ASSAY_ACTF_Q8_256] = 256};
    return len[f];
}

static size_t round_up(size_t v, size_t to) { return (v + to - 1) / to * to; }

bool assay_act_prepare(struct assay_act *a, struct assay_act_buffer *buf, enum assay_act_format f,
                       const float *x, size_t m, size_t k) {
    memset(a, 0, sizeof *a);
    a->format = f;
    a->m = m;
    a->k = k;
    a->x = x;
    if (f == ASSAY_ACTF_F32)
        return true;
    size_t kp = round_up(k, PAD);
    /* One line more than the row: rows a power of two apart would share one L1 set. */
    a->q_stride = kp + LINE;
    a->d_stride = round_up(kp / assay_act_block(f), LINE / sizeof(float));
    a->sums_stride = round_up(kp / 16, LINE / sizeof(int16_t));
    size_t row = a->q_stride + a->d_stride * sizeof(float) + a->sums_stride * sizeof(int16_t);
    if (k > SIZE_MAX / 16 || m > (SIZE_MAX - LINE) / row)
        return false;
    size_t need = m * row;
    if (buf->size < need) {
        free(buf->memory);
        buf->size = 0;
        if (posix_memalign(&buf->memory, LINE, need) != 0) {
            buf->memory = NULL;
            return false;
        }
        buf->size = need;
    }
    char *p = buf->memory;
    a->q = (int8_t *)p;
    p += m * a->q_stride;
    a->d = (float *)(void *)p;
    p += m * a->d_stride * sizeof(float);
    a->sums = (int16_t *)(void *)p;
    return true;
}

/* One block by the rule of ASSAY_ACT_Q8 (ref/act_quant.h); len values, zero-padded to `block`. */
static void quantise_block(const float *x, size_t len, size_t block, int8_t *q, float *d) {
    float amax = 0.0f;
    bool finite = true;
    for (size_t i = 0; i < len; i++) {
        float ax = fabsf(x[i]);
        finite = finite && ax <= 3.402823466e+38f;
        amax = ax > amax ? ax : amax;
    }
    memset(q, 0, block);
    if (!finite) {
        *d = NAN;
    } else if (amax < 0x1p-100f) {
        *d = 0.0f;
    } else {
        float r = 127.0f / amax;
        *d = amax / 127.0f;
        for (size_t i = 0; i < len; i++)
            q[i] = (int8_t)lrintf(x[i] * r);
    }
}

void assay_act_quantise__scalar(struct assay_act *a, size_t m0, size_t m1) {
    size_t block = assay_act_block(a->format);
    size_t kp = round_up(a->k, PAD);
    for (size_t i = m0; i < m1; i++) {
        int8_t *q = a->q + i * a->q_stride;
        float *d = a->d + i * a->d_stride;
        int16_t *sums = a->sums + i * a->sums_stride;
        for (size_t b = 0; b < kp / block; b++) {
            size_t at = b * block;
            size_t len = at >= a->k ? 0 : a->k - at < block ? a->k - at : block;
            quantise_block(a->x + i * a->k + (len ? at : 0), len, block, q + at, d + b);
        }
        for (size_t g = 0; g < kp / 16; g++) {
            int s = 0;
            for (size_t j = 0; j < 16; j++)
                s += q[g * 16 + j];
            sums[g] = (int16_t)s;
        }
    }
}
