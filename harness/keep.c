#include "keep.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "datasets/gguf.h"
#include "datasets/gguf_writer.h"
#include "plugin.h"

void assay_keep_path(const char *dir, const struct assay_specimen *s, const char *suffix,
                     char *path, size_t size) {
    char name[sizeof s->id];

    snprintf(name, sizeof name, "%s", s->id[0] != '\0' ? s->id : "case");
    /* Ids hold '@' and '%' at most besides; a long one is cut to what file systems take. */
    for (char *c = name; *c != '\0'; c++)
        if (*c == '/')
            *c = '_';
    snprintf(path, size, "%s/%.200s%s", dir, name, suffix);
}

void assay_arith_text(const struct assay_arith *a, char *buf, size_t size) {
    static const char *const acts[] = {
        [ASSAY_ACT_F32] = "fp32 activations",
        [ASSAY_ACT_Q8] = "int8 activations",
        [ASSAY_ACT_Q8_F16] = "int8 activations under fp16 scales",
        [ASSAY_ACT_Q8K] = "int8 activations (Q8_K)",
        [ASSAY_ACT_F16] = "fp16 activations under a scale a row",
        [ASSAY_ACT_Q8_BF16] = "int8 activations under bf16 scales",
    };
    static const char *const weight_names[] = {
        [ASSAY_WEIGHT_F32] = "fp32",
        [ASSAY_WEIGHT_F16] = "fp16",
        [ASSAY_WEIGHT_SHIFTED] = "shifted fp32",
        [ASSAY_WEIGHT_Q8] = "int8",
    };
    const char *weights = weight_names[a->weight];

    if (a->act_block == 0)
        snprintf(buf, size, "%s weights, %s", weights, acts[a->act]);
    else
        snprintf(buf, size, "%s weights, %s in blocks of %u", weights, acts[a->act], a->act_block);
}

/* ---- Saving ---- */

static bool put_metadata(struct assay_gguf_writer *w, const struct assay_specimen *s,
                         const struct assay_trial *t) {
    const struct assay_runner *r = &s->runner;
    const char *origin, *origin_path;
    char class[96];

    assay_arith_text(&t->arith, class, sizeof class);
    return assay_gguf_writer_kv_str(w, "general.architecture", "assay-case") &&
           assay_gguf_writer_kv_str(w, "assay.case", s->id) &&
           assay_gguf_writer_kv_u64(w, "assay.seed", s->seed) &&
           assay_gguf_writer_kv_str(w, "assay.backend", assay_backend_name(r->backend)) &&
           assay_gguf_writer_kv_str(w, "assay.variant", r->variant) &&
           assay_gguf_writer_kv_str(w, "assay.isa", assay_isa_name(r->isa)) &&
           assay_gguf_writer_kv_u32(w, "assay.threads", (uint32_t)r->threads) &&
           assay_gguf_writer_kv_str(w, "assay.class", class) &&
           (!assay_backend_origin(r->backend, &origin, &origin_path) ||
            (assay_gguf_writer_kv_str(w, "assay.origin", origin) &&
             assay_gguf_writer_kv_str(w, "assay.origin_path", origin_path)));
}

static bool save_gguf(const char *path, const struct assay_specimen *s, const struct assay_trial *t,
                      char *err, size_t err_size) {
    struct assay_gguf_writer *w = assay_gguf_writer_new(0);
    uint64_t w_dims[2] = {s->k, s->n}, x_dims[2] = {s->k, s->m};
    bool ok =
        w != NULL && put_metadata(w, s, t) &&
        assay_gguf_writer_tensor(w, "w", (uint32_t)s->type->type, 2, w_dims) &&
        assay_gguf_writer_tensor(w, "x", ASSAY_TYPE_F32, 2, x_dims) &&
        assay_gguf_writer_begin(w, path) && assay_gguf_writer_data(w, s->w, s->n * s->row_bytes) &&
        assay_gguf_writer_data(w, s->x, s->m * s->k * sizeof *s->x) && assay_gguf_writer_finish(w);

    if (!ok)
        snprintf(err, err_size, "%s: %s", path,
                 w != NULL ? assay_gguf_writer_error(w) : "out of memory");
    assay_gguf_writer_free(w);
    return ok;
}

static void put_number(FILE *f, double v) {
    if (isnan(v))
        fputs("NAN", f);
    else if (isinf(v))
        fputs(v < 0 ? "-INFINITY" : "INFINITY", f);
    else
        fprintf(f, "%a", v);
}

static void put_bytes(FILE *f, const uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n; i++)
        fprintf(f, "%s0x%02x,", i % 16 == 0 ? "\n    " : " ", bytes[i]);
}

static bool save_fixture(const char *path, const struct assay_specimen *s,
                         const struct assay_trial *t, char *err, size_t err_size) {
    FILE *f = fopen(path, "w");
    char class[96];
    bool ok;

    if (f == NULL) {
        snprintf(err, err_size, "%s: %s", path, strerror(errno));
        return false;
    }
    assay_arith_text(&t->arith, class, sizeof class);
    fprintf(f,
            "/* %s\n * y[m x n] = x[m x k] * W^T, W of n rows of %s blocks; %s.\n"
            " * |got - y| may be as large as the bound. */\n#include <math.h>\n\n"
            "enum { case_m = %zu, case_n = %zu, case_k = %zu };\n\n"
            "static const unsigned char case_w[%zu] = {",
            s->id, s->type->display, class, s->m, s->n, s->k, s->n * s->row_bytes);
    put_bytes(f, s->w, s->n * s->row_bytes);
    fprintf(f, "\n};\n\nstatic const float case_x[%zu] = {", s->m * s->k);
    for (size_t i = 0; i < s->m * s->k; i++) {
        fputs(i % 8 == 0 ? "\n    " : " ", f);
        put_number(f, s->x[i]);
        fputs(isfinite(s->x[i]) ? "f," : ",", f);
    }
    fprintf(f,
            "\n};\n\n/* Expected and its bound, by element. */\n"
            "static const double case_y[%zu][2] = {\n",
            s->m * s->n);
    for (size_t i = 0; i < s->m * s->n; i++) {
        fputs("    {", f);
        put_number(f, t->reference[i].yq);
        fputs(", ", f);
        put_number(f, t->bound[i]);
        fputs("},\n", f);
    }
    fputs("};\n", f);
    ok = ferror(f) == 0;
    if (fclose(f) != 0 || !ok) {
        snprintf(err, err_size, "%s: %s", path, strerror(errno));
        return false;
    }
    return true;
}

bool assay_keep_save(const char *dir, const struct assay_specimen *small,
                     const struct assay_specimen *simple, const struct assay_trial *simple_trial,
                     char *err, size_t err_size) {
    char path[4096];

    if (mkdir(dir, 0777) != 0 && errno != EEXIST) {
        snprintf(err, err_size, "%s: %s", dir, strerror(errno));
        return false;
    }
    assay_keep_path(dir, small, ".gguf", path, sizeof path);
    if (!save_gguf(path, small, simple_trial, err, err_size))
        return false;
    assay_keep_path(dir, small, ".h", path, sizeof path);
    return save_fixture(path, simple, simple_trial, err, err_size);
}

/* ---- Loading ---- */

struct loading {
    const char *path;
    const struct assay_gguf *g;
    char *err;
    size_t err_size;
};

__attribute__((format(printf, 2, 3))) static bool refuse(const struct loading *l, const char *fmt,
                                                         ...) {
    char reason[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(reason, sizeof reason, fmt, ap);
    va_end(ap);
    snprintf(l->err, l->err_size, "%s: %s", l->path, reason);
    return false;
}

/* A string of the metadata, allocated; NULL, without a word, if there is none. */
static char *text_of(const struct loading *l, const char *key) {
    const struct assay_gguf_kv *kv = assay_gguf_kv_find(l->g, key);
    const struct assay_gguf_kv *found = kv != NULL && kv->kind == ASSAY_GGUF_STRING ? kv : NULL;

    if (found == NULL || found->value_bytes < 8)
        return NULL;
    /* A string in the file: its length in 8 bytes, then its bytes. */
    return strndup((const char *)found->value + 8, (size_t)found->value_bytes - 8);
}

/* The file says which plugin or library its kernel came from. It is named, not loaded: a GGUF file
 * is data, and what it points to is code that only the user may choose to run. */
static bool refuse_backend(const struct loading *l, const char *name, const char *origin,
                           const char *origin_path) {
    if (origin == NULL || origin_path == NULL)
        return refuse(l, "no backend '%s' here", name);
    return refuse(l, "no backend '%s' here; it came from --%s %s", name, origin, origin_path);
}

/* The variant as a string that lives as long as the program. */
static const char *variant_of(const struct assay_backend *b, const char *name) {
    for (const char *const *v = assay_backend_variants(b); *v != NULL; v++)
        if (strcmp(*v, name) == 0)
            return *v;
    return NULL;
}

static bool load_runner(const struct loading *l, struct assay_runner *r) {
    char *name = text_of(l, "assay.backend"), *variant = text_of(l, "assay.variant");
    char *isa = text_of(l, "assay.isa"), *origin = text_of(l, "assay.origin");
    char *origin_path = text_of(l, "assay.origin_path");
    const struct assay_gguf_kv *threads = assay_gguf_kv_find(l->g, "assay.threads");
    uint64_t n = 0;
    bool ok = false;

    if (name == NULL || variant == NULL || isa == NULL || threads == NULL ||
        !assay_gguf_kv_u64(threads, &n) || n < 1 || n > 4096)
        refuse(l, "%s", "no case that assay kept: the metadata of a runner is missing");
    else if ((r->backend = assay_backend_by_name(name)) == NULL)
        refuse_backend(l, name, origin, origin_path);
    else if ((r->variant = variant_of(r->backend, variant)) == NULL)
        refuse(l, "its backend has no variant '%s'", variant);
    else if (!assay_isa_parse(isa, &r->isa) || !assay_isa_runs_here(r->isa))
        refuse(l, "this machine has no instruction set '%s'", isa);
    else
        ok = true;
    r->threads = (int)n;
    free(name);
    free(variant);
    free(isa);
    free(origin);
    free(origin_path);
    return ok;
}

static bool load_case(const struct loading *l, struct assay_specimen *s) {
    const struct assay_gguf_tensor *w = assay_gguf_tensor_find(l->g, "w");
    const struct assay_gguf_tensor *x = assay_gguf_tensor_find(l->g, "x");
    const struct assay_gguf_kv *seed = assay_gguf_kv_find(l->g, "assay.seed");
    struct assay_runner runner = {.threads = 1};
    char *id;

    if (w == NULL || x == NULL || x->type->type != ASSAY_TYPE_F32 || w->dims[0] != x->dims[0] ||
        w->type->dequant == NULL)
        return refuse(l, "%s", "no case that assay kept: tensors w and x of one width are missing");
    if (!load_runner(l, &runner))
        return false;
    if (!assay_specimen_new(s, w->type, &runner, (size_t)x->rows, (size_t)w->rows,
                            (size_t)w->dims[0]))
        return refuse(l, "%s", "out of memory");
    memcpy(s->w, w->data, (size_t)w->bytes);
    memcpy(s->x, x->data, (size_t)x->bytes);
    if (seed != NULL)
        assay_gguf_kv_u64(seed, &s->seed);
    id = text_of(l, "assay.case");
    snprintf(s->id, sizeof s->id, "%s", id != NULL ? id : "");
    free(id);
    return true;
}

bool assay_keep_load(const char *path, struct assay_specimen *s, char *err, size_t err_size) {
    struct assay_gguf *g = assay_gguf_open(path, err, err_size);
    struct loading l = {path, g, err, err_size};
    bool ok;

    s->w = NULL;
    s->x = NULL;
    if (g == NULL)
        return false;
    ok = load_case(&l, s);
    assay_gguf_close(g);
    return ok;
}
