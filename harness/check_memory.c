/* Memory: weights, x and y against pages without access, inputs read-only, outputs poisoned and all
 * else around them a canary.
 *
 * The products run in a thread of their own. A fault there ends the check but not the process: the
 * handler notes where it happened and leaves the thread standing for ever, since nothing is known
 * about the locks that it holds. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#if defined __linux__ && defined __x86_64__
#include <ucontext.h>
#endif

#include "check_kit.h"

/* Pages without access on either side: a stray access of up to this distance is seen. */
enum { GUARD = 64 * 1024 };

enum { MOST_ROWS = 33, MOST_BATCH = 17, FULL_ROWS = 67, FULL_BATCH = 67, ALIGNMENTS = 64 };

/* ---- Arenas ---- */

enum buffer { WEIGHTS, ACTIVATIONS, OUTPUT, BUFFERS };

static const char *const buffer_names[BUFFERS] = {"the weights", "x", "y"};

/* The pages between the guards, and where the operand lies in them at present. */
struct arena {
    char *map, *body;
    size_t map_size, body_size;
    char *at;
    size_t size;
};

static bool arena_new(struct arena *a, size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *map;

    a->body_size = (size + 2 * ALIGNMENTS + page - 1) / page * page;
    a->map_size = a->body_size + 2 * GUARD;
    map = mmap(NULL, a->map_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return false;
    a->map = map;
    a->body = a->map + GUARD;
    return mprotect(a->body, a->body_size, PROT_READ | PROT_WRITE) == 0;
}

static void arena_free(struct arena *a) {
    if (a->map != NULL)
        munmap(a->map, a->map_size);
}

/* Lays size bytes `gap` bytes from the guard behind or before them, all else being `fill`. */
static void arena_place(struct arena *a, size_t size, bool at_end, size_t gap, int fill) {
    memset(a->body, fill, a->body_size);
    a->size = size;
    a->at = at_end ? a->body + a->body_size - size - gap : a->body + gap;
}

/* ---- One product ---- */

struct subcase {
    size_t m, n, k;
    bool at_end;         /* flush with the guard behind the operands, else before them */
    size_t gap[BUFFERS]; /* bytes from there: an alignment */
    size_t ldy;
};

/* All that the two threads and the handler share. */
struct memory_run {
    struct assay_check_run run;
    struct arena arena[BUFFERS];
    struct subcase now;
    int pipe[2]; /* the thread or the handler says how it ended */
    volatile sig_atomic_t faulted;
    int signal;
    uintptr_t address;
    const char *access;
};

static bool row_is_inside(const struct memory_run *t, size_t i, size_t j) {
    return i < t->now.m && j < t->now.n;
}

/* Everything in the arena of y but the output itself still holds the poison. */
static bool canaries_alive(struct memory_run *t) {
    const struct arena *a = &t->arena[OUTPUT];
    const struct subcase *c = &t->now;
    ptrdiff_t start = (a->at - a->body) / (ptrdiff_t)sizeof(float);
    const float *body = (const float *)(const void *)(a->at - start * (ptrdiff_t)sizeof(float));
    size_t count = (a->body_size - (size_t)((const char *)body - a->body)) / sizeof(float);

    for (size_t at = 0; at < count; at++) {
        ptrdiff_t rel = (ptrdiff_t)at - start;
        ptrdiff_t row = rel >= 0 ? rel / (ptrdiff_t)c->ldy : -1;
        ptrdiff_t col = rel >= 0 ? rel % (ptrdiff_t)c->ldy : rel;

        if ((rel >= 0 && row_is_inside(t, (size_t)row, (size_t)col)) ||
            assay_check_poisoned(body[at]))
            continue;
        t->run.finding = assay_check_fail("a write outside y, %td floats %s", rel >= 0 ? rel : -rel,
                                          rel >= 0 ? "from its start" : "before it");
        assay_check_shape(&t->run, c->m, c->n, c->k);
        json_object_set_new(t->run.finding, "buffer", json_string(buffer_names[OUTPUT]));
        json_object_set_new(t->run.finding, "row", json_integer(row));
        json_object_set_new(t->run.finding, "column", json_integer(col));
        return false;
    }
    return true;
}

static void protect_inputs(struct memory_run *t, int protection) {
    for (int b = WEIGHTS; b <= ACTIVATIONS; b++)
        mprotect(t->arena[b].body, t->arena[b].body_size, protection);
}

/* Lays the operands out, multiplies, and judges. The result is copied to y (m × n). */
static bool run_once(struct memory_run *t, struct assay_operands *o, int fill, float *y) {
    const struct subcase *c = &t->now;
    struct arena *w = &t->arena[WEIGHTS], *x = &t->arena[ACTIVATIONS], *out = &t->arena[OUTPUT];
    size_t y_floats = c->m > 0 ? (c->m - 1) * c->ldy + c->n : 0;
    struct assay_product p = assay_operands_window(o, 0, c->m, 0, c->n, NULL);
    bool ok;

    arena_place(w, c->n * o->row_bytes, c->at_end, c->gap[WEIGHTS], fill);
    arena_place(x, c->m * c->k * sizeof(float), c->at_end, c->gap[ACTIVATIONS], fill);
    arena_place(out, y_floats * sizeof(float), c->at_end, c->gap[OUTPUT], 0);
    memcpy(w->at, o->w, w->size);
    memcpy(x->at, o->x, x->size);
    assay_check_poison((float *)(void *)out->body, out->body_size / sizeof(float));
    p.w = (const uint8_t *)w->at;
    p.x = (const float *)(const void *)x->at;
    p.y = (float *)(void *)out->at;
    p.ldy = c->ldy;
    protect_inputs(t, PROT_READ);
    ok = assay_check_product(&t->run, t->run.ctx, &p);
    protect_inputs(t, PROT_READ | PROT_WRITE);
    if (!ok || !canaries_alive(t))
        return false;
    if (c->m > 0 && !assay_check_bounds(&t->run, o, 0, 0, &p, "operands against guard pages"))
        return false;
    for (size_t i = 0; i < c->m; i++)
        memcpy(y + i * c->n, p.y + i * c->ldy, c->n * sizeof *y);
    return true;
}

/* Where bytes lie between an operand and the guard behind it, the guard does not see a read of
 * them; that other bytes there give the same bits is then the proof that they are not used. */
static void run_subcase(struct memory_run *t, struct assay_operands *o, float *y, float *again) {
    const char *const stale = "other bytes around the operands give other bits: they are read";
    bool repeatable = assay_backend_claims(t->run.env->runner->backend) & ASSAY_CLAIM_REPEATABLE;
    const struct subcase *c = &t->now;

    if (!run_once(t, o, 0x00, y))
        return;
    if ((c->at_end && c->gap[WEIGHTS] == 0) || !repeatable || !run_once(t, o, 0xff, again))
        return;
    if (!assay_check_same(&t->run, again, c->n, y, c->n, c->m, c->n, 0, 0, stale))
        assay_check_shape(&t->run, c->m, c->n, c->k);
}

/* ---- Which products ---- */

/* Both sides of the widths of vectors and tiles. */
static const size_t sizes[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  12, 15,
                               16, 17, 24, 31, 32, 33, 47, 48, 63, 64, 65};

enum { N_SIZES = sizeof sizes / sizeof *sizes };

static size_t sizes_up_to(size_t limit) {
    size_t count = 0;
    while (count < N_SIZES && sizes[count] <= limit)
        count++;
    return count;
}

/* Product number `turn`: flush right, flush left and at an alignment in turn. */
static void one(struct memory_run *t, struct assay_operands *o, size_t m, size_t n, size_t turn,
                float *y, float *again) {
    bool aligned = turn % 4 == 3;
    size_t step = turn / 4;

    t->now = (struct subcase){.m = m, .n = n, .k = o->k, .at_end = turn % 4 != 2, .ldy = n};
    if (turn % 2)
        t->now.ldy += 1 + turn % 5;
    if (aligned) {
        t->now.gap[WEIGHTS] = 1 + 5 * step % (ALIGNMENTS - 1);
        t->now.gap[ACTIVATIONS] = sizeof(float) * (3 * step % (ALIGNMENTS / sizeof(float)));
        t->now.gap[OUTPUT] = sizeof(float) * (7 * step % (ALIGNMENTS / sizeof(float)));
    }
    run_subcase(t, o, y, again);
}

/* A full run takes every pair of m and n; else every n has some m, and every m some n. Threads that
 * outnumber the cores take milliseconds to start, so with several only the former. */
static bool chosen(const struct memory_run *t, size_t i, size_t j, size_t n_m, size_t n_n,
                   size_t round) {
    return t->run.env->full || i == (3 * j + round) % n_m ||
           (t->run.env->runner->threads == 1 && j == (5 * i + round) % n_n);
}

static void shapes(struct memory_run *t, struct assay_operands *o, size_t round, float *y,
                   float *again) {
    size_t n_n = sizes_up_to(o->n), n_m = sizes_up_to(o->m) + 1, turn = round;

    for (size_t i = 0; i < n_m; i++)
        for (size_t j = 0; j < n_n; j++) {
            size_t n = assay_check_rows(&t->run, o->type, sizes[j], o->k);
            if (chosen(t, i, j, n_m, n_n, round) && n <= o->n && t->run.finding == NULL)
                one(t, o, i == 0 ? 0 : sizes[i - 1], n, turn++, y, again);
        }
}

static void all_lengths(struct memory_run *t) {
    static const size_t float_lengths[] = {1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 65, 0};
    static const size_t block_counts[] = {1, 2, 5, 0};
    static const size_t full_counts[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 0};
    const struct assay_check_env *env = t->run.env;
    const size_t *counts = env->type->block_len == 1 ? float_lengths
                           : env->full               ? full_counts
                                                     : block_counts;
    size_t most_n = env->full ? FULL_ROWS : MOST_ROWS, most_m = env->full ? FULL_BATCH : MOST_BATCH;
    float *y = malloc(most_m * most_n * sizeof *y), *again = malloc(most_m * most_n * sizeof *y);

    if (y == NULL || again == NULL)
        assay_check_no_memory(&t->run);
    for (size_t i = 0; counts[i] > 0 && t->run.finding == NULL; i++) {
        size_t k = counts[i] * env->type->block_len, row_bytes;
        struct assay_operands o = {0};
        bool ok;

        assay_row_bytes(env->type, k, &row_bytes);
        ok = assay_operands_new(&o, &t->run, env->type, most_m, most_n, k, 31 + i);
        if (ok && (!arena_new(&t->arena[WEIGHTS], most_n * row_bytes) ||
                   !arena_new(&t->arena[ACTIVATIONS], most_m * k * sizeof(float)) ||
                   !arena_new(&t->arena[OUTPUT], most_m * (most_n + 8) * sizeof(float)))) {
            assay_check_no_memory(&t->run);
            ok = false;
        }
        if (ok)
            shapes(t, &o, i, y, again);
        for (int b = 0; b < BUFFERS; b++) {
            arena_free(&t->arena[b]);
            t->arena[b] = (struct arena){0};
        }
        assay_operands_free(&o);
    }
    free(y);
    free(again);
}

/* ---- Faults ---- */

static struct memory_run *current; /* what the handler reports to */

static const char *access_kind(void *context) {
#if defined __linux__ && defined __x86_64__
    const ucontext_t *u = context; /* bit 1 of the page fault's error code: a write */
    return u->uc_mcontext.gregs[REG_ERR] & 2 ? "write" : "read";
#else
    (void)context;
    return "access";
#endif
}

static void on_fault(int sig, siginfo_t *info, void *context) {
    struct memory_run *t = current;

    if (t != NULL && !t->faulted) {
        t->faulted = 1;
        t->signal = sig;
        t->address = (uintptr_t)info->si_addr;
        t->access = access_kind(context);
        if (write(t->pipe[1], "f", 1) != 1)
            _exit(127);
    }
    for (;;)
        pause();
}

/* The finding of a fault, by the buffer in whose map it lies. */
static void explain_fault(struct memory_run *t) {
    const char *name = t->signal == SIGBUS ? "SIGBUS" : "SIGSEGV";
    const struct subcase *c = &t->now;
    json_int_t distance = 0;
    int b = 0;

    while (b < BUFFERS && (t->arena[b].map == NULL ||
                           t->address - (uintptr_t)t->arena[b].map >= t->arena[b].map_size))
        b++;
    if (b == BUFFERS) {
        t->run.finding = assay_check_fail("%s: a %s far from every operand", name, t->access);
    } else {
        const struct arena *a = &t->arena[b];
        uintptr_t start = (uintptr_t)a->at, end = start + a->size;
        if (t->address >= end) {
            distance = (json_int_t)(t->address - end);
            t->run.finding =
                assay_check_fail("%s: a %s past the end of %s, at byte +%" JSON_INTEGER_FORMAT,
                                 name, t->access, buffer_names[b], distance);
        } else if (t->address < start) {
            distance = -(json_int_t)(start - t->address);
            t->run.finding =
                assay_check_fail("%s: a %s before the start of %s, at byte %" JSON_INTEGER_FORMAT,
                                 name, t->access, buffer_names[b], distance);
        } else {
            distance = (json_int_t)(t->address - start);
            t->run.finding = assay_check_fail(
                "%s: a %s in %s, which is only to be read, at byte %" JSON_INTEGER_FORMAT, name,
                t->access, buffer_names[b], distance);
        }
        json_object_set_new(t->run.finding, "buffer", json_string(buffer_names[b]));
        json_object_set_new(t->run.finding, "distance", json_integer(distance));
    }
    assay_check_shape(&t->run, c->m, c->n, c->k);
}

static void *thread_main(void *arg) {
    struct memory_run *t = arg;

    if (assay_check_begin(&t->run, t->run.env))
        all_lengths(t);
    /* Ends the context here, in the thread that used it; the finding stays. */
    assay_ctx_free(t->run.ctx);
    t->run.ctx = NULL;
    if (write(t->pipe[1], "d", 1) != 1)
        _exit(127);
    return NULL;
}

/* Waits for the thread's or the handler's word. */
static void wait_for(const struct memory_run *t) {
    char word;
    while (read(t->pipe[0], &word, 1) < 0)
        ;
}

static json_t *run_memory(const struct assay_check_env *env) {
    static const int signals[] = {SIGSEGV, SIGBUS};
    struct sigaction before[2], action = {.sa_flags = SA_SIGINFO};
    struct memory_run *t = calloc(1, sizeof *t);
    json_t *result;
    pthread_t thread;
    bool started;

    if (t == NULL || pipe(t->pipe) != 0) {
        free(t);
        return assay_check_skip("no memory or no pipe for the check");
    }
    t->run.env = env;
    action.sa_sigaction = on_fault;
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < 2; i++)
        sigaction(signals[i], &action, &before[i]);
    current = t;
    started = pthread_create(&thread, NULL, thread_main, t) == 0;
    if (started)
        wait_for(t);
    for (int i = 0; i < 2; i++)
        sigaction(signals[i], &before[i], NULL);
    if (started && t->faulted) {
        /* The thread keeps standing in its handler, on this memory. */
        pthread_detach(thread);
        explain_fault(t);
        return t->run.finding;
    }
    if (started)
        pthread_join(thread, NULL);
    current = NULL;
    close(t->pipe[0]);
    close(t->pipe[1]);
    result = started ? assay_check_end(&t->run) : assay_check_skip("no thread for the check");
    free(t);
    return result;
}

const struct assay_check assay_check_memory_row = {
    .name = "memory",
    .summary = "operands against guard pages at every size and alignment, canaries, stale bytes",
    .run = run_memory,
};
