#include "recipe.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Numbers of general.file_type: enum llama_ftype of llama.cpp's public header. */
/* clang-format off */
enum ftype {
    FT_F32 = 0, FT_F16, FT_Q4_0, FT_Q4_1,
    FT_Q8_0 = 7, FT_Q5_0, FT_Q5_1, FT_Q2_K, FT_Q3_K_S, FT_Q3_K_M, FT_Q3_K_L, FT_Q4_K_S, FT_Q4_K_M,
    FT_Q5_K_S, FT_Q5_K_M, FT_Q6_K, FT_IQ2_XXS, FT_IQ2_XS, FT_Q2_K_S, FT_IQ3_XS, FT_IQ3_XXS,
    FT_IQ1_S, FT_IQ4_NL, FT_IQ3_S, FT_IQ3_M, FT_IQ2_S, FT_IQ2_M, FT_IQ4_XS, FT_IQ1_M, FT_BF16,
    FT_TQ1_0 = 36, FT_TQ2_0, FT_MXFP4_MOE, FT_NVFP4, FT_Q1_0, FT_Q2_0,
};

static const struct assay_file_type file_types[] = {
    {"F32",       FT_F32,       ASSAY_TYPE_F32},
    {"F16",       FT_F16,       ASSAY_TYPE_F16},
    {"BF16",      FT_BF16,      ASSAY_TYPE_BF16},
    {"Q4_0",      FT_Q4_0,      ASSAY_TYPE_Q4_0},
    {"Q4_1",      FT_Q4_1,      ASSAY_TYPE_Q4_1},
    {"Q5_0",      FT_Q5_0,      ASSAY_TYPE_Q5_0},
    {"Q5_1",      FT_Q5_1,      ASSAY_TYPE_Q5_1},
    {"Q8_0",      FT_Q8_0,      ASSAY_TYPE_Q8_0},
    {"Q1_0",      FT_Q1_0,      ASSAY_TYPE_Q1_0},
    {"Q2_0",      FT_Q2_0,      ASSAY_TYPE_Q2_0},
    {"Q2_K",      FT_Q2_K,      ASSAY_TYPE_Q2_K},
    {"Q2_K_S",    FT_Q2_K_S,    ASSAY_TYPE_Q2_K},
    {"Q3_K_S",    FT_Q3_K_S,    ASSAY_TYPE_Q3_K},
    {"Q3_K_M",    FT_Q3_K_M,    ASSAY_TYPE_Q3_K},
    {"Q3_K_L",    FT_Q3_K_L,    ASSAY_TYPE_Q3_K},
    {"Q4_K_S",    FT_Q4_K_S,    ASSAY_TYPE_Q4_K},
    {"Q4_K_M",    FT_Q4_K_M,    ASSAY_TYPE_Q4_K},
    {"Q5_K_S",    FT_Q5_K_S,    ASSAY_TYPE_Q5_K},
    {"Q5_K_M",    FT_Q5_K_M,    ASSAY_TYPE_Q5_K},
    {"Q6_K",      FT_Q6_K,      ASSAY_TYPE_Q6_K},
    {"IQ1_S",     FT_IQ1_S,     ASSAY_TYPE_IQ1_S},
    {"IQ1_M",     FT_IQ1_M,     ASSAY_TYPE_IQ1_M},
    {"IQ2_XXS",   FT_IQ2_XXS,   ASSAY_TYPE_IQ2_XXS},
    {"IQ2_XS",    FT_IQ2_XS,    ASSAY_TYPE_IQ2_XS},
    {"IQ2_S",     FT_IQ2_S,     ASSAY_TYPE_IQ2_XS},
    {"IQ2_M",     FT_IQ2_M,     ASSAY_TYPE_IQ2_S},
    {"IQ3_XXS",   FT_IQ3_XXS,   ASSAY_TYPE_IQ3_XXS},
    {"IQ3_XS",    FT_IQ3_XS,    ASSAY_TYPE_IQ3_S},
    {"IQ3_S",     FT_IQ3_S,     ASSAY_TYPE_IQ3_S},
    {"IQ3_M",     FT_IQ3_M,     ASSAY_TYPE_IQ3_S},
    {"IQ4_NL",    FT_IQ4_NL,    ASSAY_TYPE_IQ4_NL},
    {"IQ4_XS",    FT_IQ4_XS,    ASSAY_TYPE_IQ4_XS},
    {"TQ1_0",     FT_TQ1_0,     ASSAY_TYPE_TQ1_0},
    {"TQ2_0",     FT_TQ2_0,     ASSAY_TYPE_TQ2_0},
    {"MXFP4_MOE", FT_MXFP4_MOE, ASSAY_TYPE_MXFP4},
    {"NVFP4",     FT_NVFP4,     ASSAY_TYPE_NVFP4},
};
/* clang-format on */

/* What a tensor is for, as a set, so that a rule can name several. */
enum role {
    ROLE_OUTPUT = 1 << 0, /* the output projection, or the table that it is tied to */
    ROLE_EMBED = 1 << 1,
    ROLE_Q = 1 << 2,
    ROLE_K = 1 << 3,
    ROLE_V = 1 << 4,
    ROLE_ATTN_OUT = 1 << 5,
    ROLE_GATE = 1 << 6,
    ROLE_UP = 1 << 7,
    ROLE_DOWN = 1 << 8,
    ROLE_OTHER = 1 << 9,
};

/* What the conditions look at. */
struct place {
    const struct assay_model_shape *shape;
    const struct assay_type_traits *base;
    const struct assay_recipe_tensor *tensor;
    int layer, layers;
};

static bool first_2(const struct place *p) { return p->layer < 2; }
static bool first_4(const struct place *p) { return p->layer < 4; }
static bool first_8th(const struct place *p) { return p->layer < p->layers / 8; }
static bool first_16th(const struct place *p) { return p->layer < p->layers / 16; }
static bool experts_8(const struct place *p) { return p->shape->n_expert == 8; }
static bool is_expert_stack(const struct place *p) { return p->tensor->n_dims > 2; }

/* The layers that llama.cpp holds to be most sensitive: both ends and every third between. */
static bool more_bits(const struct place *p) {
    int eighth = p->layers / 8;
    return p->layer < eighth || p->layer >= 7 * p->layers / 8 || (p->layer - eighth) % 3 == 2;
}

static bool experts_8_more_bits(const struct place *p) { return experts_8(p) && more_bits(p); }

static bool middle(const struct place *p) { return !first_8th(p) && p->layer < 7 * p->layers / 8; }

static bool gqa_4(const struct place *p) {
    return p->shape->n_head_kv > 0 && p->shape->n_head / p->shape->n_head_kv >= 4;
}

static bool gqa_4_or_experts_4(const struct place *p) {
    return gqa_4(p) || p->shape->n_expert >= 4;
}

/* Eight query heads share each value head: attn_v is small, and worth more bits. */
static bool llama_70b(const struct place *p) {
    return p->shape->n_layer == 80 && p->shape->n_head != p->shape->n_head_kv;
}

static bool ragged(const struct place *p) { return p->tensor->in % p->base->block_len != 0; }

#define F(ft) (UINT64_C(1) << FT_##ft)
#define ANY UINT64_MAX
#define IQ1 (F(IQ1_S) | F(IQ1_M))
#define IQ2_SMALL (F(IQ2_XXS) | F(IQ2_XS))
#define IQ2_LARGE (F(IQ2_S) | F(IQ2_M))
#define IQ12 (IQ1 | IQ2_SMALL | IQ2_LARGE)

struct rule {
    uint64_t files;                      /* set of file types */
    unsigned roles;                      /* set of enum role */
    bool (*when)(const struct place *p); /* NULL: always */
    enum assay_type type;
};

/* The first rule that fits decides; where none does, the file's base type stands. */
/* clang-format off */
static const struct rule rules[] = {
    {F(Q8_0) | F(MXFP4_MOE),           ROLE_OUTPUT,          NULL,                ASSAY_TYPE_Q8_0},
    {ANY,                              ROLE_OUTPUT,          ragged,              ASSAY_TYPE_Q8_0},
    {IQ12 | F(IQ3_XXS),                ROLE_OUTPUT,          NULL,                ASSAY_TYPE_Q5_K},
    {ANY,                              ROLE_OUTPUT,          NULL,                ASSAY_TYPE_Q6_K},

    {F(MXFP4_MOE),                     ~0u,                  is_expert_stack,     ASSAY_TYPE_MXFP4},
    {F(MXFP4_MOE),                     ~0u,                  NULL,                ASSAY_TYPE_Q8_0},

    {IQ1 | IQ2_SMALL,                  ROLE_EMBED,           NULL,                ASSAY_TYPE_Q2_K},
    {IQ2_LARGE | F(IQ3_XXS),           ROLE_EMBED,           NULL,                ASSAY_TYPE_IQ3_S},
    {F(TQ1_0) | F(TQ2_0) | F(Q2_0),    ROLE_EMBED,           NULL,                ASSAY_TYPE_Q4_K},

    {IQ12,                             ROLE_V,               gqa_4_or_experts_4,  ASSAY_TYPE_Q4_K},
    {IQ2_LARGE,                        ROLE_V,               NULL,                ASSAY_TYPE_IQ3_S},
    {IQ12,                             ROLE_V,               NULL,                ASSAY_TYPE_Q2_K},
    {IQ12,                             ROLE_K,               experts_8,           ASSAY_TYPE_Q4_K},
    {IQ2_LARGE,                        ROLE_DOWN,            first_8th,           ASSAY_TYPE_IQ3_S},
    {IQ12,                             ROLE_DOWN,            first_8th,           ASSAY_TYPE_Q2_K},
    {IQ12,                             ROLE_ATTN_OUT,        experts_8,           ASSAY_TYPE_Q5_K},
    {IQ1,                              ROLE_ATTN_OUT,        NULL,                ASSAY_TYPE_IQ2_XXS},
    {IQ2_LARGE,                        ROLE_ATTN_OUT,        NULL,                ASSAY_TYPE_IQ3_S},

    {ANY & ~IQ12,                      ROLE_V | ROLE_K,      experts_8,           ASSAY_TYPE_Q8_0},
    {F(Q2_K) | F(Q2_K_S) | F(IQ3_XXS) | F(IQ3_XS) | F(IQ3_S) | F(IQ3_M) | F(Q3_K_S) | F(Q3_K_M) |
     F(Q4_K_S),
                                       ROLE_V,               llama_70b,           ASSAY_TYPE_Q5_K},
    {F(Q2_K) | F(Q2_K_S) | F(IQ3_XXS) | F(IQ3_XS) | F(IQ3_S),
                                       ROLE_V,               gqa_4,               ASSAY_TYPE_Q4_K},
    {F(Q2_K),                          ROLE_V,               NULL,                ASSAY_TYPE_Q3_K},
    {F(IQ3_M),                         ROLE_V,               NULL,                ASSAY_TYPE_Q4_K},
    {F(Q3_K_M),                        ROLE_V,               first_2,             ASSAY_TYPE_Q5_K},
    {F(Q3_K_M),                        ROLE_V,               NULL,                ASSAY_TYPE_Q4_K},
    {F(Q3_K_L),                        ROLE_V,               NULL,                ASSAY_TYPE_Q5_K},
    {F(IQ4_NL) | F(IQ4_XS),            ROLE_V,               gqa_4,               ASSAY_TYPE_Q5_K},
    {F(Q4_K_M) | F(Q5_K_M),            ROLE_V,               more_bits,           ASSAY_TYPE_Q6_K},
    {F(Q4_K_M),                        ROLE_V,               llama_70b,           ASSAY_TYPE_Q5_K},
    {F(Q4_K_S),                        ROLE_V,               first_4,             ASSAY_TYPE_Q5_K},

    {F(IQ3_XS),                        ROLE_Q | ROLE_K,      NULL,                ASSAY_TYPE_IQ3_XXS},
    {F(IQ3_XXS),                       ROLE_Q | ROLE_K,      NULL,                ASSAY_TYPE_IQ2_S},

    {F(Q2_K),                          ROLE_DOWN,            NULL,                ASSAY_TYPE_Q3_K},
    {F(Q2_K_S) | F(IQ3_M),             ROLE_DOWN,            first_8th,           ASSAY_TYPE_Q4_K},
    {F(IQ3_M),                         ROLE_DOWN,            experts_8_more_bits, ASSAY_TYPE_Q4_K},
    {F(Q3_K_M),                        ROLE_DOWN,            first_16th,          ASSAY_TYPE_Q5_K},
    {F(Q3_K_M),                        ROLE_DOWN,            NULL,                ASSAY_TYPE_Q4_K},
    {F(Q3_K_L),                        ROLE_DOWN,            NULL,                ASSAY_TYPE_Q5_K},
    {F(Q4_K_M) | F(Q5_K_M),            ROLE_DOWN,            more_bits,           ASSAY_TYPE_Q6_K},
    {F(Q4_K_S) | F(IQ4_NL) | F(IQ4_XS), ROLE_DOWN,           first_8th,           ASSAY_TYPE_Q5_K},

    {F(Q2_K) | F(IQ3_XS) | F(IQ3_XXS) | F(IQ3_S) | F(IQ3_M) | F(Q3_K_S) | F(Q3_K_M) | F(IQ4_NL) |
     F(IQ4_XS) | F(Q4_K_S) | F(Q4_K_M),
                                       ROLE_ATTN_OUT,        experts_8,           ASSAY_TYPE_Q5_K},
    {F(Q3_K_L),                        ROLE_ATTN_OUT,        experts_8,           ASSAY_TYPE_Q3_K},
    {F(Q2_K),                          ROLE_ATTN_OUT,        NULL,                ASSAY_TYPE_Q3_K},
    {F(IQ3_XXS),                       ROLE_ATTN_OUT,        NULL,                ASSAY_TYPE_IQ3_S},
    {F(Q3_K_M) | F(IQ3_M),             ROLE_ATTN_OUT,        NULL,                ASSAY_TYPE_Q4_K},
    {F(Q3_K_L),                        ROLE_ATTN_OUT,        NULL,                ASSAY_TYPE_Q5_K},

    {F(IQ3_XS),                        ROLE_GATE | ROLE_UP,  middle,              ASSAY_TYPE_IQ3_XXS},
};

static const struct {
    const char *part; /* within the name */
    enum role role;
} role_names[] = {
    {"output.weight",      ROLE_OUTPUT},
    {"token_embd.weight",  ROLE_EMBED},
    {"attn_q.weight",      ROLE_Q},
    {"attn_k.weight",      ROLE_K},
    {"attn_v.weight",      ROLE_V},
    {"attn_output.weight", ROLE_ATTN_OUT},
    {"ffn_gate",           ROLE_GATE},
    {"ffn_up",             ROLE_UP},
    {"ffn_down",           ROLE_DOWN},
};

/* What a type gives way to where the row length is no multiple of its block. */
static const struct {
    enum assay_type from, to;
} fallbacks[] = {
    {ASSAY_TYPE_IQ1_S,   ASSAY_TYPE_IQ4_NL}, {ASSAY_TYPE_IQ1_M,   ASSAY_TYPE_IQ4_NL},
    {ASSAY_TYPE_IQ2_XXS, ASSAY_TYPE_IQ4_NL}, {ASSAY_TYPE_IQ2_XS,  ASSAY_TYPE_IQ4_NL},
    {ASSAY_TYPE_IQ2_S,   ASSAY_TYPE_IQ4_NL}, {ASSAY_TYPE_IQ3_XXS, ASSAY_TYPE_IQ4_NL},
    {ASSAY_TYPE_IQ3_S,   ASSAY_TYPE_IQ4_NL}, {ASSAY_TYPE_IQ4_XS,  ASSAY_TYPE_IQ4_NL},
    {ASSAY_TYPE_Q2_0,    ASSAY_TYPE_Q4_0},   {ASSAY_TYPE_Q2_K,    ASSAY_TYPE_Q4_0},
    {ASSAY_TYPE_Q3_K,    ASSAY_TYPE_Q4_0},   {ASSAY_TYPE_TQ1_0,   ASSAY_TYPE_Q4_0},
    {ASSAY_TYPE_TQ2_0,   ASSAY_TYPE_Q4_0},   {ASSAY_TYPE_Q4_K,    ASSAY_TYPE_Q5_0},
    {ASSAY_TYPE_Q5_K,    ASSAY_TYPE_Q5_1},   {ASSAY_TYPE_Q6_K,    ASSAY_TYPE_Q8_0},
};
/* clang-format on */

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

size_t assay_file_type_count(void) { return COUNT(file_types); }

const struct assay_file_type *assay_file_type_at(size_t i) {
    return i < COUNT(file_types) ? &file_types[i] : NULL;
}

const struct assay_file_type *assay_file_type_by_name(const char *name) {
    for (size_t i = 0; i < COUNT(file_types); i++)
        if (strcasecmp(file_types[i].name, name) == 0)
            return &file_types[i];
    return NULL;
}

static enum role role_of(const char *name, bool tied) {
    if (tied && strcmp(name, "token_embd.weight") == 0)
        return ROLE_OUTPUT;
    /* "attn_output.weight" ends like the output projection, which alone has nothing before it. */
    bool in_block = strncmp(name, "blk.", 4) == 0;
    for (size_t i = in_block ? 1 : 0; i < COUNT(role_names); i++)
        if (strstr(name, role_names[i].part))
            return role_names[i].role;
    return ROLE_OTHER;
}

static bool stays_f32(const struct assay_recipe_tensor *t) {
    size_t n = strlen(t->name);
    bool weight = n >= 7 && strcmp(t->name + n - 7, ".weight") == 0;
    return t->n_dims < 2 || !weight || strstr(t->name, "_norm.weight") ||
           strstr(t->name, "ffn_gate_inp.weight");
}

static enum assay_type fit_row(enum assay_type type, uint64_t in) {
    if (in % assay_type_traits(type)->block_len == 0)
        return type;
    for (size_t i = 0; i < COUNT(fallbacks); i++)
        if (fallbacks[i].from == type && in % assay_type_traits(fallbacks[i].to)->block_len == 0)
            return fallbacks[i].to;
    return ASSAY_TYPE_F16;
}

enum assay_type assay_recipe_type(const struct assay_file_type *ft,
                                  const struct assay_model_shape *s,
                                  const struct assay_recipe_tensor *t) {
    if (stays_f32(t))
        return ASSAY_TYPE_F32;
    struct place p = {s, assay_type_traits(ft->base), t, 0, (int)s->n_layer};
    if (p.base->block_len == 1)
        return ft->base;
    sscanf(t->name, "blk.%d.", &p.layer);
    enum role role = role_of(t->name, s->tied_embeddings);

    enum assay_type type = ft->base;
    for (size_t i = 0; i < COUNT(rules); i++) {
        const struct rule *r = &rules[i];
        if ((r->files >> ft->id & 1) && (r->roles & role) && (!r->when || r->when(&p))) {
            type = r->type;
            break;
        }
    }
    return fit_row(type, t->in);
}
