#include "loader.h"

#include <ctype.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "impl/plugin.h"

/* plugin.h stands alone, so it repeats what these headers say. */
#define SAME(plugin, ours) _Static_assert((int)(plugin) == (int)(ours), #plugin " and " #ours)
SAME(ASSAY_PLUGIN_OK, ASSAY_OK);
SAME(ASSAY_PLUGIN_EINVAL, ASSAY_EINVAL);
SAME(ASSAY_PLUGIN_EUNSUPPORTED, ASSAY_EUNSUPPORTED);
SAME(ASSAY_PLUGIN_EOVERFLOW, ASSAY_EOVERFLOW);
SAME(ASSAY_PLUGIN_ENOMEM, ASSAY_ENOMEM);
SAME(ASSAY_PLUGIN_EFAILED, ASSAY_EBACKEND);
SAME(ASSAY_PLUGIN_WEIGHT_F32, ASSAY_WEIGHT_F32);
SAME(ASSAY_PLUGIN_WEIGHT_F16, ASSAY_WEIGHT_F16);
SAME(ASSAY_PLUGIN_ACT_F32, ASSAY_ACT_F32);
SAME(ASSAY_PLUGIN_ACT_Q8, ASSAY_ACT_Q8);
SAME(ASSAY_PLUGIN_ACT_Q8_F16, ASSAY_ACT_Q8_F16);
SAME(ASSAY_PLUGIN_ACT_Q8K, ASSAY_ACT_Q8K);
SAME(ASSAY_PLUGIN_ACT_F16, ASSAY_ACT_F16);
SAME(ASSAY_PLUGIN_REPEATABLE, ASSAY_CLAIM_REPEATABLE);
SAME(ASSAY_PLUGIN_THREAD_INVARIANT, ASSAY_CLAIM_THREAD_INVARIANT);
SAME(ASSAY_PLUGIN_BATCH_INVARIANT, ASSAY_CLAIM_BATCH_INVARIANT);
SAME(ASSAY_PLUGIN_SLICE_INVARIANT, ASSAY_CLAIM_SLICE_INVARIANT);
SAME(ASSAY_PLUGIN_IEEE_SPECIALS, ASSAY_CLAIM_IEEE_SPECIALS);
SAME(ASSAY_PLUGIN_F32, ASSAY_TYPE_F32);
SAME(ASSAY_PLUGIN_F16, ASSAY_TYPE_F16);
SAME(ASSAY_PLUGIN_Q4_0, ASSAY_TYPE_Q4_0);
SAME(ASSAY_PLUGIN_Q4_1, ASSAY_TYPE_Q4_1);
SAME(ASSAY_PLUGIN_Q5_0, ASSAY_TYPE_Q5_0);
SAME(ASSAY_PLUGIN_Q5_1, ASSAY_TYPE_Q5_1);
SAME(ASSAY_PLUGIN_Q8_0, ASSAY_TYPE_Q8_0);
SAME(ASSAY_PLUGIN_Q2_K, ASSAY_TYPE_Q2_K);
SAME(ASSAY_PLUGIN_Q3_K, ASSAY_TYPE_Q3_K);
SAME(ASSAY_PLUGIN_Q4_K, ASSAY_TYPE_Q4_K);
SAME(ASSAY_PLUGIN_Q5_K, ASSAY_TYPE_Q5_K);
SAME(ASSAY_PLUGIN_Q6_K, ASSAY_TYPE_Q6_K);
SAME(ASSAY_PLUGIN_Q8_K, ASSAY_TYPE_Q8_K);
SAME(ASSAY_PLUGIN_IQ2_XXS, ASSAY_TYPE_IQ2_XXS);
SAME(ASSAY_PLUGIN_IQ2_XS, ASSAY_TYPE_IQ2_XS);
SAME(ASSAY_PLUGIN_IQ3_XXS, ASSAY_TYPE_IQ3_XXS);
SAME(ASSAY_PLUGIN_IQ1_S, ASSAY_TYPE_IQ1_S);
SAME(ASSAY_PLUGIN_IQ4_NL, ASSAY_TYPE_IQ4_NL);
SAME(ASSAY_PLUGIN_IQ3_S, ASSAY_TYPE_IQ3_S);
SAME(ASSAY_PLUGIN_IQ2_S, ASSAY_TYPE_IQ2_S);
SAME(ASSAY_PLUGIN_IQ4_XS, ASSAY_TYPE_IQ4_XS);
SAME(ASSAY_PLUGIN_IQ1_M, ASSAY_TYPE_IQ1_M);
SAME(ASSAY_PLUGIN_BF16, ASSAY_TYPE_BF16);
SAME(ASSAY_PLUGIN_TQ1_0, ASSAY_TYPE_TQ1_0);
SAME(ASSAY_PLUGIN_TQ2_0, ASSAY_TYPE_TQ2_0);
SAME(ASSAY_PLUGIN_MXFP4, ASSAY_TYPE_MXFP4);
SAME(ASSAY_PLUGIN_NVFP4, ASSAY_TYPE_NVFP4);
SAME(ASSAY_PLUGIN_Q1_0, ASSAY_TYPE_Q1_0);
SAME(ASSAY_PLUGIN_Q2_0, ASSAY_TYPE_Q2_0);
#undef SAME

enum {
    ALL_CLAIMS = ASSAY_PLUGIN_REPEATABLE | ASSAY_PLUGIN_THREAD_INVARIANT |
                 ASSAY_PLUGIN_BATCH_INVARIANT | ASSAY_PLUGIN_SLICE_INVARIANT |
                 ASSAY_PLUGIN_IEEE_SPECIALS,
    /* Of the first published struct: what a plugin built against any ABI-1 header has. */
    V1_SIZE = offsetof(struct assay_plugin, store_bytes) + sizeof(size_t(*)(const void *)),
};

/* ---- The library ----------------------------------------------------------------------------- */

/* Replaces what is not printable ASCII, so that a plugin's text stays one line of valid JSON. */
static void make_printable(char *s) {
    for (; *s != '\0'; s++)
        if (*s < ' ' || *s > '~')
            *s = '?';
}

static bool refuse(char *err, size_t err_size, const char *text) {
    snprintf(err, err_size, "%s", text);
    return false;
}

/* Loads the library and copies the struct; the members that an older plugin lacks become 0. */
static bool load(const char *path, struct assay_plugin *api, char *err, size_t err_size) {
    char local[4096];
    const char *why;
    const struct assay_plugin *exported;
    void *handle;

    /* A name without a slash would be looked for in the system's folders. */
    snprintf(local, sizeof local, "%s%s", strchr(path, '/') == NULL ? "./" : "", path);
    handle = dlopen(local, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        why = dlerror();
        if (strncmp(why, local, strlen(local)) == 0 && why[strlen(local)] == ':')
            why += strlen(local) + 2; /* the caller names the file */
        snprintf(err, err_size, "can't be loaded: %s", why);
        make_printable(err);
        return false;
    }
    exported = dlsym(handle, "assay_plugin_v1");
    if (exported == NULL)
        return refuse(err, err_size, "exports no assay_plugin_v1 (impl/plugin.h)");
    if (exported->magic != ASSAY_PLUGIN_MAGIC)
        return refuse(err, err_size, "its assay_plugin_v1 does not begin with ASSAY_PLUGIN_MAGIC");
    if (exported->abi != ASSAY_PLUGIN_ABI) {
        snprintf(err, err_size, "has plugin ABI version %u, this assay has %u",
                 (unsigned)exported->abi, (unsigned)ASSAY_PLUGIN_ABI);
        return false;
    }
    if (exported->size < V1_SIZE) {
        snprintf(err, err_size, "its struct has %u bytes, ABI version %u has at least %d",
                 (unsigned)exported->size, (unsigned)ASSAY_PLUGIN_ABI, (int)V1_SIZE);
        return false;
    }
    memset(api, 0, sizeof *api);
    memcpy(api, exported, exported->size < sizeof *api ? exported->size : sizeof *api);
    return true;
}

/* ---- What it says ---------------------------------------------------------------------------- */

static bool valid_name(const char *name) {
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-");
    return n > 0 && n < sizeof((struct assay_plugin_info *)0)->name && name[n] == '\0' &&
           isalnum((unsigned char)name[0]);
}

static bool read_head(const struct assay_plugin *api, struct assay_plugin_info *info, char *err,
                      size_t err_size) {
    if (api->name == NULL || !valid_name(api->name))
        return refuse(err, err_size, "its name is not 1 to 31 of a-z, 0-9, '.', '_', '-'");
    if (api->create == NULL || api->forward == NULL || api->destroy == NULL)
        return refuse(err, err_size,
                      api->create == NULL    ? "its create is NULL"
                      : api->forward == NULL ? "its forward is NULL"
                                             : "its destroy is NULL");
    if ((api->claims & ~(unsigned)ALL_CLAIMS) != 0) {
        snprintf(err, err_size, "its claims 0x%x have unknown bits", (unsigned)api->claims);
        return false;
    }
    if (api->max_threads > INT32_MAX)
        return refuse(err, err_size, "its max_threads is out of range");
    strcpy(info->name, api->name);
    snprintf(info->description, sizeof info->description, "%s",
             api->description != NULL ? api->description : "plugin");
    make_printable(info->description);
    info->claims = api->claims;
    info->max_threads = api->max_threads;
    info->has_rows = api->rows != NULL;
    return true;
}

/* NULL, or what is wrong with a class. */
static const char *class_fault(const struct assay_plugin_class *c) {
    const struct assay_type_traits *t = assay_type_traits(c->type);

    if (t == NULL)
        return "unknown GGUF type";
    if (t->dequant == NULL)
        return "a type that assay does not decode";
    if (c->weight > ASSAY_PLUGIN_WEIGHT_F16)
        return "unknown weight arithmetic";
    if (c->act > ASSAY_PLUGIN_ACT_F16)
        return "unknown activation arithmetic";
    if ((c->act == ASSAY_PLUGIN_ACT_F32 || c->act == ASSAY_PLUGIN_ACT_F16) != (c->act_block == 0))
        return "act_block must be 0 with fp32 and fp16 activations, and only then";
    if (c->exact_run == 0)
        return "exact_run is 0";
    /* fp32 products are rounded; and a sum over two activation scales is no integer. */
    if (c->exact_run > (c->act_block > 0 ? c->act_block : 1))
        return "exact_run is longer than an activation block";
    if (c->reserved[0] != 0 || c->reserved[1] != 0)
        return "reserved words are not 0";
    return NULL;
}

/* The rows of a type must come with growing min_m, from 0 on. */
static const char *order_fault(const struct assay_plugin_info *info,
                               const struct assay_plugin_class *c) {
    bool first = true;

    for (size_t i = 0; i < info->n_classes; i++) {
        if (info->classes[i].type != c->type)
            continue;
        if (info->classes[i].min_m == c->min_m)
            return "the type is there twice with the same min_m";
        if (info->classes[i].min_m > c->min_m)
            return "rows of one type must come in order of growing min_m";
        first = false;
    }
    return first && c->min_m > 0 ? "the first row of a type must have min_m 0" : NULL;
}

static bool read_classes(const struct assay_plugin *api, struct assay_plugin_info *info, char *err,
                         size_t err_size) {
    if (api->classes == NULL || api->n_classes == 0 || api->n_classes > ASSAY_PLUGIN_MAX_CLASSES) {
        snprintf(err, err_size, "its table of classes has %u rows, not 1 to %d",
                 api->classes != NULL ? (unsigned)api->n_classes : 0, ASSAY_PLUGIN_MAX_CLASSES);
        return false;
    }
    for (uint32_t i = 0; i < api->n_classes; i++) {
        const struct assay_plugin_class *c = &api->classes[i];
        const char *fault = class_fault(c);

        if (fault == NULL)
            fault = order_fault(info, c);
        if (fault != NULL) {
            snprintf(err, err_size, "class %u (type %u): %s", (unsigned)i, (unsigned)c->type,
                     fault);
            return false;
        }
        info->classes[i].type = c->type;
        info->classes[i].min_m = c->min_m;
        info->classes[i].arith.weight = (enum assay_weight_arith)c->weight;
        info->classes[i].arith.act = (enum assay_act_arith)c->act;
        info->classes[i].arith.act_block = c->act_block;
        info->classes[i].arith.exact_run = c->exact_run;
        info->types |= UINT64_C(1) << c->type;
        info->n_classes++;
    }
    return true;
}

static bool read_all(const struct assay_plugin *api, struct assay_plugin_info *info, char *err,
                     size_t err_size) {
    memset(info, 0, sizeof *info);
    return read_head(api, info, err, err_size) && read_classes(api, info, err, err_size);
}

bool assay_plugin_read(const char *path, struct assay_plugin_info *info, char *err,
                       size_t err_size) {
    struct assay_plugin api;
    return load(path, &api, err, err_size) && read_all(&api, info, err, err_size);
}

/* ---- The backend ----------------------------------------------------------------------------- */

struct plugin_backend {
    struct assay_backend backend;
    struct plugin_backend *before; /* made before this one */
    char *path;
    struct assay_plugin_info info;
    bool loaded; /* in this process */
    struct assay_plugin api;
};

struct plugin_store {
    struct assay_store head;
    void *handle; /* the plugin's; not valid if the matrix has no rows */
};

enum { ERROR_SIZE = 160 };

static struct plugin_backend *of(const struct assay_backend *b) {
    return (struct plugin_backend *)(uintptr_t)b;
}

static enum assay_status load_once(struct plugin_backend *p, struct assay_error *err) {
    struct assay_plugin_info *info;
    char why[200] = "out of memory";
    bool same = false;

    if (p->loaded)
        return ASSAY_OK;
    info = malloc(sizeof *info);
    if (info != NULL && load(p->path, &p->api, why, sizeof why) &&
        read_all(&p->api, info, why, sizeof why)) {
        same = memcmp(info, &p->info, sizeof *info) == 0;
        snprintf(why, sizeof why, "says something else than when it was first read");
    }
    free(info);
    if (!same)
        return assay_fail(err, ASSAY_EBACKEND, "%s: the plugin %s", p->info.name, why);
    p->loaded = true;
    return ASSAY_OK;
}

static enum assay_status ctx_create(const struct assay_ctx_params *p, struct assay_ctx **out,
                                    struct assay_error *err) {
    enum assay_status status = load_once(of(p->backend), err);
    return status != ASSAY_OK ? status : assay_plain_ctx_create(p, out, err);
}

static void arith(const struct assay_ctx *ctx, const struct assay_type_traits *t, size_t m,
                  struct assay_arith *out) {
    const struct assay_plugin_info *info = &of(ctx->backend)->info;

    for (size_t i = 0; i < info->n_classes; i++)
        if (info->classes[i].type == (uint32_t)t->type && info->classes[i].min_m <= m)
            *out = info->classes[i].arith;
}

static const char *kernel(const struct assay_ctx *ctx, const struct assay_type_traits *t,
                          size_t m) {
    (void)t;
    (void)m;
    return ctx->backend->name;
}

/* Makes a status of what the plugin returned, and a line of what it wrote to text[ERROR_SIZE]. */
static enum assay_status outcome(const struct plugin_backend *p, const char *call, int returned,
                                 char *text, struct assay_error *err) {
    enum assay_status status = returned > 0 && returned < ASSAY_PLUGIN_EFAILED
                                   ? (enum assay_status)returned
                                   : ASSAY_EBACKEND;

    if (returned == ASSAY_PLUGIN_OK)
        return ASSAY_OK;
    text[ERROR_SIZE - 1] = '\0';
    make_printable(text);
    if (text[0] == '\0')
        return assay_fail(err, status, "%s: %s returned %d", p->info.name, call, returned);
    return assay_fail(err, status, "%s: %s", p->info.name, text);
}

static enum assay_status fill(struct plugin_backend *p, struct plugin_store *s,
                              struct assay_error *err) {
    const struct assay_store *w = &s->head;
    char text[ERROR_SIZE] = "";
    int threads = w->ctx->threads;
    size_t own;
    int returned;

    if (p->info.max_threads > 0 && threads > (int)p->info.max_threads)
        threads = (int)p->info.max_threads;
    returned = p->api.create((uint32_t)w->type->type, w->bytes, w->rows * w->row_bytes, w->rows,
                             w->in, threads, &s->handle, text, sizeof text);
    if (returned != ASSAY_PLUGIN_OK)
        return outcome(p, "create", returned, text, err);
    own = p->api.store_bytes != NULL ? p->api.store_bytes(s->handle) : 0;
    if (own > 0) {
        s->head.resident = own;
        s->head.owns_weights = true;
        s->head.bytes = NULL;
    }
    return ASSAY_OK;
}

static enum assay_status store_create(struct assay_ctx *ctx, const struct assay_store *head,
                                      struct assay_store **out, struct assay_error *err) {
    struct plugin_backend *p = of(ctx->backend);
    struct plugin_store *s = calloc(1, sizeof *s);
    enum assay_status status = ASSAY_OK;

    if (s == NULL)
        return assay_fail(err, ASSAY_ENOMEM, "out of memory for a store");
    s->head = *head;
    if (head->rows > 0)
        status = fill(p, s, err);
    if (status != ASSAY_OK) {
        free(s);
        return status;
    }
    *out = &s->head;
    return ASSAY_OK;
}

static void store_free(struct assay_store *store) {
    struct plugin_store *s = (struct plugin_store *)store;

    if (store->rows > 0)
        of(store->ctx->backend)->api.destroy(s->handle);
    free(s);
}

static enum assay_status gemm(struct assay_ctx *ctx, const struct assay_store *w, const float *x,
                              size_t m, float *y, size_t ldy, struct assay_error *err) {
    const struct plugin_backend *p = of(ctx->backend);
    void *handle = ((const struct plugin_store *)w)->handle;
    char text[ERROR_SIZE] = "";
    int returned = p->api.forward(handle, x, m, y, ldy, text, sizeof text);

    return outcome(p, "forward", returned, text, err);
}

static enum assay_status rows(struct assay_ctx *ctx, const struct assay_store *w,
                              const int64_t *ids, size_t count, float *y, struct assay_error *err) {
    const struct plugin_backend *p = of(ctx->backend);
    void *handle = ((const struct plugin_store *)w)->handle;
    char text[ERROR_SIZE] = "";
    int returned = p->api.rows(handle, ids, count, y, text, sizeof text);

    return outcome(p, "rows", returned, text, err);
}

/* Every backend made, so that none is taken for a leak. */
static struct plugin_backend *latest;

const struct assay_backend *assay_plugin_backend_new(const char *path,
                                                     const struct assay_plugin_info *info) {
    struct plugin_backend *p = calloc(1, sizeof *p);
    char *copy = strdup(path);

    if (p == NULL || copy == NULL) {
        free(p);
        free(copy);
        return NULL;
    }
    p->path = copy;
    p->info = *info;
    p->before = latest;
    latest = p;
    p->backend = (struct assay_backend){
        .name = p->info.name,
        .summary = p->info.description,
        .claims = p->info.claims,
        .types = p->info.types,
        .ctx_create = ctx_create,
        .ctx_free = assay_plain_ctx_free,
        .arith = arith,
        .kernel = kernel,
        .store_create = store_create,
        .store_free = store_free,
        .gemm = gemm,
        .rows = info->has_rows ? rows : NULL,
    };
    return &p->backend;
}

const char *assay_plugin_backend_path(const struct assay_backend *b) {
    return b->store_create == store_create ? of(b)->path : NULL;
}
