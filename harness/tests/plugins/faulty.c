/* A plugin with the fault that $ASSAY_TEST_FAULT names, or else its own file name: a copy of
 * faulty.so as hangs.so hangs. "none" is a correct kernel with everything that the interface has:
 * Q8_0, Q4_0 and Q6_K, a copy of the weights, row lookup, arithmetic that depends on m. */
#include <dlfcn.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl/plugin.h"

static char fault[64];

static int is(const char *name) { return strcmp(fault, name) == 0; }

static void find_fault(void) {
    const char *wanted = getenv("ASSAY_TEST_FAULT"), *base;
    Dl_info info;

    if (wanted == NULL) {
        if (dladdr(&assay_plugin_v1, &info) == 0)
            return;
        base = strrchr(info.dli_fname, '/');
        wanted = base != NULL ? base + 1 : info.dli_fname;
    }
    snprintf(fault, sizeof fault, "%.*s", (int)strcspn(wanted, "."), wanted);
}

/* ---- A correct kernel ---- */

struct matrix {
    uint8_t *bytes;
    size_t rows, in, row_bytes, calls;
    uint32_t type;
};

static float from_fp16(unsigned h) {
    float f = (float)(h & 1023);
    int e = h >> 10 & 31;
    f = e == 31 ? (f > 0 ? NAN : INFINITY) : e > 0 ? ldexpf(f + 1024, e - 25) : ldexpf(f, -24);
    return h >> 15 ? -f : f;
}

/* To the nearest binary16. */
static float round_fp16(float v) {
    int e = v != 0 && isfinite(v) ? ilogbf(v) : 0;
    int unit = (e > -14 ? e : -14) - 10;

    v = ldexpf(rintf(ldexpf(v, -unit)), unit);
    return fabsf(v) > 65504 ? copysignf(INFINITY, v) : v;
}

static float q6_k(const uint8_t *b, size_t i) {
    size_t half = i / 128, quarter = i % 128 / 32, l = i % 32;
    int low = b[64 * half + 32 * (quarter & 1) + l] >> (quarter < 2 ? 0 : 4) & 15;
    int high = b[128 + 32 * half + l] >> 2 * quarter & 3;
    float scale =
        from_fp16(b[208] | (unsigned)b[209] << 8) * (float)(int8_t)b[192 + 8 * half + 2 * quarter + l / 16];

    return scale * (float)((low | high << 4) - 32);
}

static float weight(const struct matrix *w, size_t row, size_t k) {
    size_t len = w->type == ASSAY_PLUGIN_Q6_K ? 256 : 32, i = k % len;
    const uint8_t *b = w->bytes + row * w->row_bytes + k / len * (w->row_bytes / (w->in / len));
    int code;

    if (w->type == ASSAY_PLUGIN_Q6_K)
        return q6_k(b, i);
    if (w->type == ASSAY_PLUGIN_Q8_0)
        code = (int8_t)b[2 + i];
    else
        code = (b[2 + i % 16] >> (i < 16 ? 0 : 4) & 15) - 8;
    return from_fp16(b[0] | (unsigned)b[1] << 8) * (float)code;
}

static void multiply(const struct matrix *w, const float *x, size_t m, float *y, size_t ldy) {
    size_t in = is("drops_last_block") ? w->in - 32 : w->in;
    int fp16 = w->type == ASSAY_PLUGIN_Q4_0 && m >= 8;

    for (size_t j = 0; j < w->rows; j++)
        for (size_t i = 0; i < m; i++)
            y[i * ldy + j] = 0;
    for (size_t j = 0; j < w->rows; j++)
        for (size_t k = 0; k < in; k++) {
            float v = fp16 ? round_fp16(weight(w, j, k)) : weight(w, j, k);
            for (size_t i = 0; i < m; i++)
                y[i * ldy + j] += v * x[i * w->in + k];
        }
}

/* ---- Faults of calls ---- */

static void die(int sig) {
    signal(sig, SIG_DFL); /* a sanitizer would make it an exit */
    raise(sig);
}

static void misbehave(struct matrix *w, size_t m, float *y, size_t ldy) {
    w->calls++;
    if (is("segfaults"))
        die(SIGSEGV);
    if (is("aborts"))
        die(SIGABRT);
    if (is("exits"))
        exit(0);
    if (is("hangs"))
        for (;;)
            pause();
    if (is("closes_descriptors"))
        for (int fd = 0; fd < 64; fd++)
            close(fd);
    if (is("prints")) {
        puts("{\"noise\": true}");
        fflush(stdout);
    }
    if (is("writes_past_n") && ldy > w->rows)
        for (size_t i = 0; i < m; i++)
            y[i * ldy + w->rows] = 0;
    if (is("wrong_second_call") && w->calls > 1)
        y[0] += 1e6f;
}

static int create(uint32_t type, const void *bytes, size_t nbytes, size_t rows, size_t in,
                  int threads, void **store, char *err, size_t err_size) {
    struct matrix *w;

    if (is("refuses")) {
        snprintf(err, err_size, "no\nsuch \xff matrix, %d threads", threads);
        return ASSAY_PLUGIN_EINVAL;
    }
    if (is("fails_silently"))
        return -7;
    w = calloc(1, sizeof *w);
    if (w != NULL)
        w->bytes = malloc(nbytes);
    if (w == NULL || w->bytes == NULL) {
        free(w);
        return ASSAY_PLUGIN_ENOMEM;
    }
    memcpy(w->bytes, bytes, nbytes);
    w->type = type;
    w->rows = rows;
    w->in = in;
    w->row_bytes = nbytes / rows;
    *store = w;
    return ASSAY_PLUGIN_OK;
}

static void destroy(void *store) {
    struct matrix *w = store;
    free(w->bytes);
    free(w);
}

static int forward(void *store, const float *x, size_t m, float *y, size_t ldy, char *err,
                   size_t err_size) {
    if (is("overlong_error")) {
        memset(err, 'x', err_size);
        return ASSAY_PLUGIN_EFAILED;
    }
    multiply(store, x, m, y, ldy);
    misbehave(store, m, y, ldy);
    return ASSAY_PLUGIN_OK;
}

static int rows(void *store, const int64_t *ids, size_t count, float *y, char *err,
                size_t err_size) {
    const struct matrix *w = store;

    (void)err, (void)err_size;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < w->in; k++)
            y[i * w->in + k] = weight(w, (size_t)ids[i], k);
    return ASSAY_PLUGIN_OK;
}

static size_t store_bytes(const void *store) {
    const struct matrix *w = store;
    return w->rows * w->row_bytes;
}

/* ---- The struct, and its faults ---- */

static struct assay_plugin_class classes[4] = {
    {.type = ASSAY_PLUGIN_Q8_0, .exact_run = 1},
    {.type = ASSAY_PLUGIN_Q4_0, .exact_run = 1},
    {.type = ASSAY_PLUGIN_Q4_0, .min_m = 8, .weight = ASSAY_PLUGIN_WEIGHT_F16, .exact_run = 1},
    {.type = ASSAY_PLUGIN_Q6_K, .exact_run = 1},
};

struct assay_plugin assay_plugin_v1 = {
    .magic = ASSAY_PLUGIN_MAGIC,
    .abi = ASSAY_PLUGIN_ABI,
    .size = sizeof assay_plugin_v1,
    .claims = ASSAY_PLUGIN_REPEATABLE,
    .name = fault,
    .description = "for tests",
    .classes = classes,
    .n_classes = 4,
    .create = create,
    .forward = forward,
    .destroy = destroy,
    .rows = rows,
    .store_bytes = store_bytes,
};

static void spoil_class(void) {
    struct assay_plugin_class *c = &classes[1];

    if (is("unknown_type"))
        c->type = 4242;
    if (is("undecoded_type"))
        c->type = 9; /* Q8_1 */
    if (is("unknown_weight"))
        c->weight = 99;
    if (is("unknown_act"))
        c->act = 99;
    if (is("act_block_with_f32"))
        c->act_block = 32;
    if (is("no_act_block"))
        c->act = ASSAY_PLUGIN_ACT_Q8;
    if (is("no_exact_run"))
        c->exact_run = 0;
    if (is("long_exact_run"))
        c->exact_run = 2;
    if (is("reserved"))
        c->reserved[1] = 1;
    if (is("twice"))
        c->type = ASSAY_PLUGIN_Q8_0;
    if (is("no_first_row"))
        c->min_m = 2;
    if (is("unordered"))
        classes[0] =
            (struct assay_plugin_class){.type = ASSAY_PLUGIN_Q4_0, .min_m = 0, .exact_run = 1},
        classes[1].min_m = 9;
}

__attribute__((constructor)) static void on_load(void) {
    struct assay_plugin *p = &assay_plugin_v1;

    find_fault();
    if (is("aborts_on_load"))
        die(SIGABRT);
    if (is("exits_on_load"))
        _exit(0);
    if (is("hangs_on_load"))
        for (;;)
            pause();
    if (is("prints_on_load"))
        puts("hello from a constructor");
    if (is("wrong_magic"))
        p->magic++;
    if (is("wrong_abi"))
        p->abi = 7;
    if (is("short_struct"))
        p->size -= 8;
    if (is("longer_struct"))
        p->size += 64;
    if (is("unknown_claim"))
        p->claims |= 1u << 30;
    if (is("no_name"))
        p->name = NULL;
    if (is("bad_name"))
        p->name = "My Kernel";
    if (is("taken_name"))
        p->name = "cpu";
    if (is("no_create"))
        p->create = NULL;
    if (is("no_forward"))
        p->forward = NULL;
    if (is("no_destroy"))
        p->destroy = NULL;
    if (is("no_classes"))
        p->n_classes = 0;
    if (is("null_classes"))
        p->classes = NULL;
    if (is("many_classes"))
        p->n_classes = 257;
    if (is("minimal"))
        p->rows = NULL, p->store_bytes = NULL, p->description = NULL;
    spoil_class();
}
