/* A whole plugin: Q8_0 in plain fp32. Copy it and put your kernel in place of dot().
 * cc -std=c11 -O2 -fPIC -shared -I DIR_OF_ASSAY_HEADERS -o skeleton.so skeleton.c -lm
 * assay verify --plugin ./skeleton.so */
#include <math.h>
#include <stdlib.h>

#include "impl/plugin.h"

enum { BLOCK = 32, BLOCK_BYTES = 34 }; /* a binary16 scale, then 32 int8 codes */

struct matrix {
    const uint8_t *bytes;
    size_t rows, in, row_bytes;
};

static float from_fp16(unsigned h) {
    float f = (float)(h & 1023);
    int e = h >> 10 & 31;
    f = e == 31 ? (f > 0 ? NAN : INFINITY) : e > 0 ? ldexpf(f + 1024, e - 25) : ldexpf(f, -24);
    return h >> 15 ? -f : f;
}

static float dot(const uint8_t *row, const float *x, size_t in) {
    float sum = 0;
    for (size_t k = 0; k < in; k += BLOCK, row += BLOCK_BYTES)
        for (size_t i = 0; i < BLOCK; i++)
            sum += from_fp16(row[0] | (unsigned)row[1] << 8) * (float)(int8_t)row[2 + i] * x[k + i];
    return sum;
}

static int create(uint32_t type, const void *bytes, size_t nbytes, size_t rows, size_t in,
                  int threads, void **store, char *err, size_t err_size) {
    struct matrix *w = malloc(sizeof *w);
    (void)type, (void)threads, (void)err, (void)err_size;
    if (w == NULL)
        return ASSAY_PLUGIN_ENOMEM;
    *w = (struct matrix){bytes, rows, in, nbytes / rows};
    *store = w;
    return ASSAY_PLUGIN_OK;
}

static int forward(void *store, const float *x, size_t m, float *y, size_t ldy, char *err,
                   size_t err_size) {
    const struct matrix *w = store;
    (void)err, (void)err_size;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < w->rows; j++)
            y[i * ldy + j] = dot(w->bytes + j * w->row_bytes, x + i * w->in, w->in);
    return ASSAY_PLUGIN_OK;
}

/* clang-format off */
static const struct assay_plugin_class classes[] = {{.type = ASSAY_PLUGIN_Q8_0, .exact_run = 1}};
struct assay_plugin assay_plugin_v1 = {
    .magic = ASSAY_PLUGIN_MAGIC, .abi = ASSAY_PLUGIN_ABI, .size = sizeof assay_plugin_v1,
    .name = "skeleton", .claims = 31 /* all */, .max_threads = 1, .classes = classes, .n_classes = 1,
    .create = create, .forward = forward, .destroy = free,
};
