/* Which faults there are: every mutation over the types and shapes that it makes sense for. */
#include <stdio.h>
#include <string.h>

#include "fault.h"
#include "ref/fields.h"

enum {
    F32 = 1 << ASSAY_MODEL_ROW | 1 << ASSAY_MODEL_TILE,
    INT8 = 1 << ASSAY_MODEL_DOT | 1 << ASSAY_MODEL_PANEL,
    BOTH = F32 | INT8,
    PANEL = 1 << ASSAY_MODEL_PANEL,
};

enum { EVERY_TYPE = 0 };

/* `count` faults, each in another type (EVERY_TYPE: in all that have the field), over the shapes in
 * turn. */
struct rule {
    enum assay_mutation mutation;
    unsigned shapes;
    int count;
};

#define RULE(ENUM, shapes, count)                                                                  \
    { ASSAY_MUT_##ENUM, shapes, count }
/* clang-format off */
static const struct rule rules[] = {
    RULE(CODE_SWAP, BOTH, EVERY_TYPE),      RULE(CODE_LSB, BOTH, EVERY_TYPE),
    RULE(CODE_BIT_ORDER, BOTH, EVERY_TYPE), RULE(HIGH_SHIFTED, BOTH, EVERY_TYPE),
    RULE(HIGH_DROPPED, BOTH, EVERY_TYPE),   RULE(SCALE_NEXT, BOTH, EVERY_TYPE),
    RULE(SCALE_HIGH, BOTH, EVERY_TYPE),     RULE(SCALE_BIAS, BOTH, 4),
    RULE(MIN_DROPPED, BOTH, EVERY_TYPE),    RULE(MIN_SIGN, BOTH, EVERY_TYPE),
    RULE(MIN_NEXT, BOTH, EVERY_TYPE),       RULE(D_FRACTION, BOTH, 8),
    RULE(D_SIGN, BOTH, 4),                  RULE(D_SUBNORMAL, BOTH, 4),
    RULE(DMIN_FRACTION, BOTH, EVERY_TYPE),  RULE(D_DMIN_SWAP, BOTH, 3),
    RULE(POINT_HIGH, BOTH, EVERY_TYPE),     RULE(POINT_ENTRY, BOTH, EVERY_TYPE),
    RULE(SIGN_BIT, BOTH, EVERY_TYPE),       RULE(SIGN_ENTRY, BOTH, EVERY_TYPE),
    RULE(LEVEL, BOTH, EVERY_TYPE),          RULE(INT_CLAMPED, BOTH, EVERY_TYPE),
    RULE(E8M0_ZERO, BOTH, EVERY_TYPE),      RULE(UE4M3_SUBNORMAL, BOTH, EVERY_TYPE),
    RULE(UE4M3_NAN, BOTH, EVERY_TYPE),      RULE(FLOAT_AS_HALF, F32, 4),

    RULE(STRIDE, BOTH, 3),         RULE(LAST_SKIPPED, BOTH, 3),  RULE(TRANSPOSED, BOTH, 3),
    RULE(NO_INTERLEAVE, PANEL, 2), RULE(SHORT_COPY, PANEL, 3),   RULE(OFFSET_WRAPS, BOTH, 3),
    RULE(ALIGNED_W, BOTH, 2),      RULE(ALIGNED_X, BOTH, 2),     RULE(FUSED_ROUNDED, BOTH, 2),

    RULE(NOT_CLEARED, BOTH, 3),    RULE(SATURATES, INT8, 3),     RULE(WRAPS, INT8, 4),
    RULE(FP16_SUM, BOTH, 3),       RULE(BF16_SUM, BOTH, 2),      RULE(TOWARDS_ZERO, BOTH, 3),
    RULE(GAIN, BOTH, 3),           RULE(ONE_PRODUCT, BOTH, 3),   RULE(LANE_DROPPED, BOTH, 2),
    RULE(BLOCK_PAIR, BOTH, 2),     RULE(CHUNK_OVERWRITES, BOTH, 3), RULE(DOUBLE_TAIL, BOTH, 2),

    RULE(ACT_TRUNCATED, INT8, 2),  RULE(ACT_HALF_AWAY, INT8, 2), RULE(ACT_SIGNED_MAX, INT8, 2),
    RULE(ACT_128, INT8, 2),        RULE(ACT_RECIPROCAL, INT8, 2), RULE(ACT_D_HALF, INT8, 2),
    RULE(ACT_D_INDEX, INT8, 2),    RULE(ACT_SUM_MISSING, INT8, 3), RULE(ACT_SUM_FLOAT, INT8, 3),
    RULE(ACT_FLUSHED, INT8, 2),    RULE(ACT_BF16, F32, 2),

    RULE(TAIL_ROW_STALE, BOTH, 2), RULE(ODD_BATCH, BOTH, 2),     RULE(LARGE_BATCH, BOTH, 2),
    RULE(MID_BATCH, BOTH, 2),      RULE(SECOND_PANEL, BOTH, 2),  RULE(ONE_ROW_W, BOTH, 2),
    RULE(UNWRITTEN, BOTH, 2),      RULE(ZEROES, BOTH, 2),        RULE(ROWS_LAST, BOTH, 2),
    RULE(ROWS_INDEX, BOTH, 2),     RULE(ROWS_HALF, BOTH, 2),

    RULE(SECOND_CALL, BOTH, 2),    RULE(STALE_X, BOTH, 2),       RULE(STALE_SLOTS, BOTH, 2),
    RULE(SCRATCH_ADDED, BOTH, 2),  RULE(SCRATCH_TIMES_0, BOTH, 2), RULE(M_ORDER, BOTH, 3),
    RULE(N_ORDER, BOTH, 3),        RULE(THREAD_ORDER, BOTH, 3),  RULE(CALL_ORDER, BOTH, 3),
    RULE(BATCH_SCALE, INT8, 2),    RULE(RACE, BOTH, 2),          RULE(THREAD_TAIL, BOTH, 2),

    RULE(READ_PAST_W, BOTH, 4),    RULE(READ_BEFORE_W, BOTH, 4), RULE(READ_PAST_X, BOTH, 4),
    RULE(READ_BEFORE_X, BOTH, 4),  RULE(USED_PAST_X, BOTH, 1),   RULE(READ_PAST_Y, BOTH, 4),
    RULE(WRITE_PAST_N, BOTH, 2),   RULE(WRITE_GAP, BOTH, 2),     RULE(WRITE_BEFORE_Y, BOTH, 2),
    RULE(WRITE_FAR, BOTH, 2),      RULE(WRITE_X, BOTH, 1),       RULE(WRITE_W, BOTH, 1),
    RULE(ADDS_TO_Y, BOTH, 1),      RULE(Y_TIMES_0, BOTH, 1),

#ifdef __x86_64__
    RULE(LEAVES_FTZ, BOTH, 2),     RULE(LEAVES_DAZ, BOTH, 2),    RULE(LEAVES_EXCEPT, BOTH, 1),
    RULE(LEAVES_X87, BOTH, 1),     RULE(LEAVES_MMX, BOTH, 1),    RULE(CLOBBERS_RBX, BOTH, 1),
    RULE(CLOBBERS_R12, BOTH, 1),   RULE(CLOBBERS_R15, BOTH, 1),
#endif
    RULE(LEAVES_ROUNDING, BOTH, 2), RULE(LEAKS_FD, BOTH, 1),     RULE(LEAKS_MEMORY, BOTH, 1),
    RULE(LEAKS_STORE, BOTH, 1),

    RULE(SEGFAULT, BOTH, 1),       RULE(ILLEGAL, BOTH, 1),       RULE(DIVIDES, BOTH, 1),
    RULE(ABORTS, BOTH, 1),         RULE(EXITS, BOTH, 1),         RULE(EXITS_0, BOTH, 1),
    RULE(HANGS, BOTH, 1),          RULE(SPINS, BOTH, 1),         RULE(OVERFLOWS, BOTH, 1),
    RULE(FAILS, BOTH, 1),          RULE(REFUSES, BOTH, 1),

    RULE(NAN_X_LOST, BOTH, 2),     RULE(INF_X_CLAMPED, BOTH, 2), RULE(NAN_W_LOST, BOTH, 2),
    RULE(INF_SPREADS, BOTH, 2),    RULE(NAN_COLUMN, BOTH, 2),    RULE(ZERO_SKIPPED, BOTH, 2),
    RULE(RESULT_CLAMPED, BOTH, 2), RULE(OVERFLOWS_EARLY, INT8, 2), RULE(RESULT_FLUSHED, BOTH, 2),

    RULE(ONE_LANE, F32, 4),        RULE(ROW_1000, BOTH, 4),      RULE(CARRY_LOST, INT8, 4),
    RULE(CARRY_LOST_FAR, INT8, 4), RULE(EXTREMES, INT8, 4),
};
/* clang-format on */
enum { N_RULES = sizeof rules / sizeof rules[0] };

bool assay_model_takes(enum assay_fault_shape s, const struct assay_type_traits *t) {
    bool int8 = s == ASSAY_MODEL_DOT || s == ASSAY_MODEL_PANEL;
    return t->dequant != NULL && (!int8 || t->block_len > 1);
}

/* ---- Which types a mutation makes sense for ---- */

static const struct assay_field *field(const struct assay_type_traits *t,
                                       enum assay_field_kind kind) {
    size_t n;
    const struct assay_field *f = assay_fields(t, &n);

    for (size_t i = 0; i < n; i++)
        if (f[i].kind == kind)
            return &f[i];
    return NULL;
}

static bool is_format(const struct assay_field *f, enum assay_field_format format) {
    return f != NULL && f->format == format;
}

static bool has_second_number(const struct assay_type_traits *t) {
    return t->type == ASSAY_TYPE_Q4_1 || t->type == ASSAY_TYPE_Q5_1 ||
           field(t, ASSAY_FIELD_MIN) != NULL;
}

static bool is_one_of(const struct assay_type_traits *t, const enum assay_type *types, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (types[i] == t->type)
            return true;
    return false;
}

/* Types whose codes in numbers reach what the mutation needs. */
static const enum assay_type wide_codes[] = {ASSAY_TYPE_Q8_0, ASSAY_TYPE_Q8_K, ASSAY_TYPE_IQ4_NL,
                                             ASSAY_TYPE_IQ4_XS};
static const enum assay_type low_codes[] = {ASSAY_TYPE_Q4_0, ASSAY_TYPE_Q5_0, ASSAY_TYPE_Q3_K,
                                            ASSAY_TYPE_Q6_K};
static const enum assay_type wide_range[] = {ASSAY_TYPE_MXFP4, ASSAY_TYPE_Q8_K};

static bool decode_applies(enum assay_mutation m, const struct assay_type_traits *t) {
    const struct assay_field *code = field(t, ASSAY_FIELD_CODE), *sign = field(t, ASSAY_FIELD_SIGN);
    const struct assay_field *scale = field(t, ASSAY_FIELD_SCALE), *d = field(t, ASSAY_FIELD_FLOAT);
    bool bits = is_format(code, ASSAY_FORMAT_UINT), low_plane = bits && code->planes[1].count > 0;

    switch (m) {
    case ASSAY_MUT_CODE_SWAP:
        return bits && code->planes[0].width == 4;
    case ASSAY_MUT_CODE_BIT_ORDER:
        return t->type == ASSAY_TYPE_Q1_0 || t->type == ASSAY_TYPE_Q2_0;
    case ASSAY_MUT_HIGH_SHIFTED:
    case ASSAY_MUT_HIGH_DROPPED:
        return low_plane;
    case ASSAY_MUT_SCALE_NEXT:
        return scale != NULL || is_format(d, ASSAY_FORMAT_UE4M3);
    case ASSAY_MUT_SCALE_HIGH:
    case ASSAY_MUT_SCALE_BIAS:
        return is_format(scale, ASSAY_FORMAT_UINT);
    case ASSAY_MUT_MIN_DROPPED:
    case ASSAY_MUT_MIN_SIGN:
    case ASSAY_MUT_DMIN_FRACTION:
        return has_second_number(t);
    case ASSAY_MUT_MIN_NEXT:
        return field(t, ASSAY_FIELD_MIN) != NULL;
    case ASSAY_MUT_D_DMIN_SWAP:
        return has_second_number(t);
    case ASSAY_MUT_D_FRACTION:
    case ASSAY_MUT_D_SIGN:
    case ASSAY_MUT_D_SUBNORMAL:
        return t->block_len > 1 && is_format(d, ASSAY_FORMAT_HALF);
    case ASSAY_MUT_POINT_HIGH:
    case ASSAY_MUT_POINT_ENTRY:
        return field(t, ASSAY_FIELD_POINT) != NULL;
    case ASSAY_MUT_SIGN_BIT:
        return sign != NULL && strcmp(sign->name, "shift") != 0;
    case ASSAY_MUT_SIGN_ENTRY:
        return sign != NULL && sign->bits == 7;
    case ASSAY_MUT_LEVEL:
        return t->type == ASSAY_TYPE_IQ4_NL || t->type == ASSAY_TYPE_IQ4_XS ||
               t->type == ASSAY_TYPE_MXFP4 || t->type == ASSAY_TYPE_NVFP4;
    case ASSAY_MUT_INT_CLAMPED:
        return is_format(code, ASSAY_FORMAT_INT) || is_format(scale, ASSAY_FORMAT_INT);
    case ASSAY_MUT_E8M0_ZERO:
        return is_format(d, ASSAY_FORMAT_E8M0);
    case ASSAY_MUT_UE4M3_SUBNORMAL:
    case ASSAY_MUT_UE4M3_NAN:
        return is_format(d, ASSAY_FORMAT_UE4M3);
    case ASSAY_MUT_FLOAT_AS_HALF:
        return t->type != ASSAY_TYPE_F16 && t->type != ASSAY_TYPE_Q1_0 &&
               t->type != ASSAY_TYPE_TQ1_0 && t->type != ASSAY_TYPE_TQ2_0;
    default:
        return true;
    }
}

static bool applies(enum assay_mutation m, const struct assay_type_traits *t) {
    if (t->dequant == NULL)
        return false;
    switch (m) {
    case ASSAY_MUT_STRIDE:
    case ASSAY_MUT_TRANSPOSED:
    case ASSAY_MUT_NO_INTERLEAVE:
    case ASSAY_MUT_SHORT_COPY:
    case ASSAY_MUT_LAST_SKIPPED:
    case ASSAY_MUT_ACT_D_INDEX:
    case ASSAY_MUT_DOUBLE_TAIL:
        return t->block_len > 1 && (m != ASSAY_MUT_DOUBLE_TAIL || t->block_len == 32);
    case ASSAY_MUT_ACT_SUM_MISSING:
    case ASSAY_MUT_ACT_SUM_FLOAT:
        return has_second_number(t);
    case ASSAY_MUT_SATURATES:
    case ASSAY_MUT_WRAPS:
    case ASSAY_MUT_CARRY_LOST:
    case ASSAY_MUT_CARRY_LOST_FAR:
        return is_one_of(t, wide_codes, sizeof wide_codes / sizeof wide_codes[0]);
    case ASSAY_MUT_EXTREMES:
        return is_one_of(t, low_codes, sizeof low_codes / sizeof low_codes[0]);
    case ASSAY_MUT_OVERFLOWS_EARLY:
        return is_one_of(t, wide_range, sizeof wide_range / sizeof wide_range[0]);
    case ASSAY_MUT_N_ORDER:
    case ASSAY_MUT_M_ORDER:
    case ASSAY_MUT_THREAD_ORDER:
    case ASSAY_MUT_CALL_ORDER:
    case ASSAY_MUT_ONE_LANE:
        return t->type != ASSAY_TYPE_Q1_0; /* ±d: sums of few different numbers */
    default:
        return decode_applies(m, t);
    }
}

/* ---- Enumeration ---- */

enum { MAX_TYPES = 64 };

static size_t types_of(const struct rule *r, const struct assay_type_traits *out[MAX_TYPES]) {
    size_t n = 0;

    for (size_t i = 0; i < assay_type_count() && n < MAX_TYPES; i++) {
        const struct assay_type_traits *t = assay_type_at(i);
        bool taken = false;
        for (int s = 0; s < ASSAY_MODELS; s++)
            taken =
                taken || ((r->shapes >> s & 1) && assay_model_takes((enum assay_fault_shape)s, t));
        if (taken && applies(r->mutation, t))
            out[n++] = t;
    }
    return n;
}

static size_t rule_count(const struct rule *r) {
    const struct assay_type_traits *types[MAX_TYPES];
    size_t n = types_of(r, types);

    return r->count == EVERY_TYPE || (size_t)r->count > n ? n : (size_t)r->count;
}

size_t assay_fault_count(void) {
    size_t n = 0;

    for (size_t i = 0; i < N_RULES; i++)
        n += rule_count(&rules[i]);
    return n;
}

/* Shape number `turn` of those that take the type. */
static enum assay_fault_shape shape_of(const struct rule *r, const struct assay_type_traits *t,
                                       size_t turn) {
    enum assay_fault_shape of[ASSAY_MODELS];
    size_t n = 0;

    for (int s = 0; s < ASSAY_MODELS; s++)
        if ((r->shapes >> s & 1) && assay_model_takes((enum assay_fault_shape)s, t))
            of[n++] = (enum assay_fault_shape)s;
    return of[turn % n];
}

static int amount_of(enum assay_mutation m, enum assay_type t, size_t turn) {
    static const int bytes[] = {1, 4, 16, 64};

    if (m == ASSAY_MUT_EXTREMES)
        return t == ASSAY_TYPE_Q4_0 ? 8 : t == ASSAY_TYPE_Q5_0 ? 16 : t == ASSAY_TYPE_Q6_K ? 32 : 4;
    return bytes[turn % 4];
}

/* Fault number i of a rule; `at` is its number in the corpus. */
static struct assay_fault make(const struct rule *r, size_t rule, size_t i, size_t at) {
    const struct assay_type_traits *types[MAX_TYPES];
    size_t n = types_of(r, types);
    /* A few faults of a rule lie far apart in the list of types, and each rule begins elsewhere. */
    bool every = r->count == EVERY_TYPE;
    size_t step = every ? 1 : n / (size_t)r->count, first = every ? 0 : 5 * rule;
    const struct assay_type_traits *t = types[(first + i * step) % n];
    bool decode = assay_fault_class_of(r->mutation) == ASSAY_FAULTS_DECODE;

    return (struct assay_fault){
        .mutation = r->mutation,
        .type = t->type,
        .shape = shape_of(r, t, at + rule),
        .amount = amount_of(r->mutation, t->type, i),
        .one_lane = (decode && at % 3 == 2) || r->mutation == ASSAY_MUT_ONE_LANE,
    };
}

struct assay_fault assay_fault_at(size_t i) {
    size_t first = 0;

    for (size_t r = 0; r < N_RULES; r++) {
        size_t n = rule_count(&rules[r]);
        if (i < first + n)
            return make(&rules[r], r, i - first, i);
        first += n;
    }
    return (struct assay_fault){ASSAY_MUT_NONE, ASSAY_TYPE_F32, ASSAY_MODEL_ROW, 0, false};
}

/* ---- Names ---- */

static const struct {
    const char *name, *text;
    enum assay_fault_class class;
} mutations[] = {
    [ASSAY_MUT_NONE] = {"correct", "nothing wrong", ASSAY_FAULTS_CLASSES},
#define MUTATION(ENUM, class, name, text) [ASSAY_MUT_##ENUM] = {name, text, ASSAY_FAULTS_##class},
#include "mutations.def"
#undef MUTATION
};

enum assay_fault_class assay_fault_class_of(enum assay_mutation m) { return mutations[m].class; }
const char *assay_mutation_text(enum assay_mutation m) { return mutations[m].text; }

const char *assay_fault_class_name(enum assay_fault_class c) {
    static const char *const names[] = {
        [ASSAY_FAULTS_DECODE] = "decoding",
        [ASSAY_FAULTS_LAYOUT] = "layout",
        [ASSAY_FAULTS_ARITHMETIC] = "arithmetic",
        [ASSAY_FAULTS_ACTIVATIONS] = "activations",
        [ASSAY_FAULTS_SHAPE] = "shapes",
        [ASSAY_FAULTS_STATE] = "state and determinism",
        [ASSAY_FAULTS_MEMORY] = "memory",
        [ASSAY_FAULTS_ENVIRONMENT] = "environment",
        [ASSAY_FAULTS_CRASH] = "crashes",
        [ASSAY_FAULTS_SPECIAL] = "special values",
        [ASSAY_FAULTS_RARE] = "rare",
    };
    return names[c];
}

const char *assay_model_name(enum assay_fault_shape s) {
    static const char *const names[] = {[ASSAY_MODEL_ROW] = "row",
                                        [ASSAY_MODEL_TILE] = "tile",
                                        [ASSAY_MODEL_DOT] = "dot",
                                        [ASSAY_MODEL_PANEL] = "panel"};
    return names[s];
}

const char *assay_fault_name(const struct assay_fault *f, char *buf, size_t size) {
    char amount[16] = "";
    bool reads = f->mutation == ASSAY_MUT_READ_PAST_W || f->mutation == ASSAY_MUT_READ_BEFORE_W ||
                 f->mutation == ASSAY_MUT_READ_PAST_X || f->mutation == ASSAY_MUT_READ_BEFORE_X ||
                 f->mutation == ASSAY_MUT_READ_PAST_Y;

    if (reads)
        snprintf(amount, sizeof amount, "-%d", f->amount);
    snprintf(buf, size, "%s%s/%s/%s%s", mutations[f->mutation].name, amount,
             assay_type_traits((uint32_t)f->type)->name, assay_model_name(f->shape),
             f->one_lane ? "/lane" : "");
    return buf;
}
