/* Hygiene: what a call must leave as it found it. Registers and control state through the
 * trampoline; the state of the process around a whole life of a context; memory, descriptors and
 * threads over many calls. */
#include <dirent.h>
#include <fenv.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <malloc.h>
#endif

#include "check_kit.h"
#include "impl/backend.h"
#include "trampoline.h"

extern char **environ;

/* Sanitizers replace the allocator and keep what is freed. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define HEAP_IS_VISIBLE 0
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HEAP_IS_VISIBLE 0
#endif
#endif
#ifndef HEAP_IS_VISIBLE
#define HEAP_IS_VISIBLE 1
#endif

enum { ROWS = 11, BATCH = 9 };

/* What most of this check works with: operands, one output, and a store in the run's context. */
struct subject {
    struct assay_check_run *r;
    struct assay_operands o;
    float *y;
};

/* ---- Registers and control state ---- */

static void fault_found(struct subject *s, const char *call, size_t m, const char *fault) {
    s->r->finding = assay_check_fail("%s %s", call, fault);
    assay_check_shape(s->r, m, s->o.n, s->o.k);
}

/* The backend's own functions, without the argument checks before them: a compiler may save in
 * those what the backend destroys. */
static void call_functions(struct subject *s, struct assay_store *store, size_t m) {
    const struct assay_backend *b = s->r->env->runner->backend;
    struct assay_product p = assay_operands_window(&s->o, 0, m, 0, s->o.n, s->y);
    int64_t ids[2] = {(int64_t)s->o.n - 1, 0};
    struct assay_ctx *ctx = s->r->ctx;
    struct assay_error err = {ASSAY_OK, ""};
    const uintptr_t gemm[ASSAY_TRAMPOLINE_ARGS] = {
        (uintptr_t)ctx, (uintptr_t)store, (uintptr_t)p.x, m, (uintptr_t)p.y,
        p.ldy,          (uintptr_t)&err};
    const uintptr_t rows[ASSAY_TRAMPOLINE_ARGS] = {
        (uintptr_t)ctx, (uintptr_t)store, (uintptr_t)ids, 2, (uintptr_t)p.y, (uintptr_t)&err};
    char fault[160];

    assay_check_poison(p.y, m * p.ldy);
    if ((uint32_t)assay_trampoline_call((void (*)(void))b->gemm, gemm, fault, sizeof fault) !=
        ASSAY_OK)
        s->r->finding = assay_check_fail("the product failed: %s", err.message);
    else if (fault[0] != '\0')
        fault_found(s, "the product", m, fault);
    else if (assay_check_bounds(s->r, &s->o, 0, 0, &p, "called in the default environment") &&
             m == 1 && b->rows != NULL) {
        /* y has room for two rows of k. */
        assay_trampoline_call((void (*)(void))b->rows, rows, fault, sizeof fault);
        if (fault[0] != '\0')
            fault_found(s, "row lookup", 2, fault);
    }
}

static struct assay_store *new_store(struct subject *s, struct assay_ctx *ctx) {
    struct assay_store *store = NULL;
    struct assay_error err;

    if (s->r->finding == NULL && ctx != NULL &&
        assay_store_create(ctx, (uint32_t)s->o.type->type, s->o.w, s->o.n * s->o.row_bytes, s->o.n,
                           s->o.k, &store, &err) != ASSAY_OK &&
        (err.status != ASSAY_EUNSUPPORTED || *s->r->env->runner->variant == '\0'))
        s->r->finding = assay_check_fail("the store failed: %s", err.message);
    return store;
}

static void check_calls(struct subject *s) {
    struct assay_store *store = new_store(s, s->r->ctx);
    size_t paths[ASSAY_CHECK_PATHS], n_paths = assay_check_paths(s->r, BATCH, paths);

    for (size_t i = 0; i < n_paths && store != NULL && s->r->finding == NULL; i++)
        call_functions(s, store, paths[i]);
    assay_store_free(store);
}

/* Threads that a kernel borrows from OpenMP come back to whoever uses them next. */
static void check_workers(struct assay_check_run *r) {
    int threads = r->env->runner->threads, flushing = 0, rounding = 0;
    volatile float least = 0x1p-126f, half = 0.5f;

#pragma omp parallel num_threads(threads) reduction(+ : flushing, rounding) if (threads > 1)
    {
        flushing += least * half == 0.0f;
        rounding += fegetround() != FE_TONEAREST;
    }
    if (r->finding == NULL && (flushing > 0 || rounding > 0))
        r->finding = assay_check_fail("leaves %s in %d of %d OpenMP threads",
                                      flushing > 0 ? "flush-to-zero" : "the rounding mode changed",
                                      flushing > 0 ? flushing : rounding, threads);
}

/* ---- State of the process ---- */

/* Environment and working directory are compared with those at the start of the program: a kernel
 * may have changed them in an earlier check of this process. */
struct surroundings {
    char cwd[4096];
    uint64_t environment; /* FNV-1a of all of it */
};

static struct surroundings at_start;

static uint64_t environment_hash(void) {
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (char **e = environ; e != NULL && *e != NULL; e++)
        for (const char *c = *e;; c++) {
            h = (h ^ (uint8_t)*c) * UINT64_C(0x100000001b3);
            if (*c == '\0')
                break;
        }
    return h;
}

static void look_around(struct surroundings *s) {
    if (getcwd(s->cwd, sizeof s->cwd) == NULL)
        s->cwd[0] = '\0';
    s->environment = environment_hash();
}

__attribute__((constructor)) static void remember_start(void) { look_around(&at_start); }

enum { SIGNALS = 32 };

/* The rest is set to known values first, for the same reason. */
struct process_state {
    sigset_t mask;
    struct sigaction actions[SIGNALS];
    mode_t umask;
    char locale[256];
};

enum { UNUSUAL_UMASK = 0135 };

static void reset_process(struct process_state *before) {
    const char *locale = setlocale(LC_ALL, NULL);
    sigset_t none;

    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, &before->mask);
    for (int i = 1; i < SIGNALS; i++) {
        const struct sigaction plain = {.sa_handler = SIG_DFL};
        if (i != SIGKILL && i != SIGSTOP)
            sigaction(i, &plain, &before->actions[i]);
    }
    before->umask = umask(UNUSUAL_UMASK);
    snprintf(before->locale, sizeof before->locale, "%s", locale != NULL ? locale : "");
}

static void restore_process(const struct process_state *before) {
    for (int i = 1; i < SIGNALS; i++)
        if (i != SIGKILL && i != SIGSTOP)
            sigaction(i, &before->actions[i], NULL);
    umask(before->umask);
    pthread_sigmask(SIG_SETMASK, &before->mask, NULL);
}

/* What has changed since reset_process, or NULL. */
static const char *process_difference(const struct process_state *before) {
    const char *locale = setlocale(LC_ALL, NULL);
    struct surroundings now;
    struct sigaction action;
    sigset_t mask;
    mode_t old = umask(UNUSUAL_UMASK);

    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    for (int i = 1; i < SIGNALS; i++) {
        if (sigismember(&mask, i))
            return "the signal mask";
        if (i != SIGKILL && i != SIGSTOP && sigaction(i, NULL, &action) == 0 &&
            action.sa_handler != SIG_DFL)
            return "a signal handler";
    }
    look_around(&now);
    return old != UNUSUAL_UMASK                            ? "the file mode mask"
           : strcmp(now.cwd, at_start.cwd) != 0            ? "the working directory"
           : now.environment != at_start.environment       ? "the environment variables"
           : locale && strcmp(locale, before->locale) != 0 ? "the locale"
                                                           : NULL;
}

/* ---- Resources ---- */

/* Negative where this system does not tell. */
struct resources {
    long long descriptors, threads, heap, mapped;
};

/* Entries of a directory, without its two own. */
static long long entries(const char *path) {
    DIR *d = opendir(path);
    long long count = -3; /* the third is the descriptor of this very reading */

    if (d == NULL)
        return -1;
    while (readdir(d) != NULL)
        count++;
    closedir(d);
    return count;
}

static long long mapped_bytes(void) {
    long long pages = -1;
#ifdef __linux__
    FILE *f = fopen("/proc/self/statm", "r");
    if (f != NULL) {
        if (fscanf(f, "%lld", &pages) != 1)
            pages = -1;
        fclose(f);
    }
#endif
    return pages < 0 ? -1 : pages * sysconf(_SC_PAGESIZE);
}

static long long heap_bytes(void) {
#if defined __GLIBC__ && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
    struct mallinfo2 info = mallinfo2();
    return (long long)(info.uordblks + info.hblkhd);
#else
    return -1;
#endif
}

static struct resources resources(void) {
    struct resources r = {entries("/dev/fd"), -1, -1, -1};
#ifdef __linux__
    r.threads = entries("/proc/self/task") + 1; /* the descriptor is not among them */
#endif
    if (HEAP_IS_VISIBLE) {
        r.heap = heap_bytes();
        r.mapped = mapped_bytes();
    }
    return r;
}

/* What a leak must lose in each window to be called one: half of the least that malloc or mmap can
 * lose once a call. Descriptors and threads are counted as they are. */
enum { HEAP_A_CALL = 16, MAPPED_A_CALL = 2048 };

/* Windows that a leak must show in: so many if one of them shows none, else as many as let slow
 * caches fill, those of an Objective-C runtime within some 200 lives of a context. */
enum { WINDOWS = 3, WINDOWS_SUSPECT = 12 };

/* malloc keeps up to seven freed blocks of each size for their thread, fetches as many more at
 * once, and counts them as in use: what they serve does not show as growth. */
enum { WARM_UP = 16 };

/* The finding that a window of calls lost so much; NULL if that is nothing. */
static json_t *leak(const struct resources *lost, long long calls, bool warm, const char *what) {
    if (lost->descriptors > 0)
        return assay_check_fail("%lld %s leak %lld file descriptors", calls, what,
                                lost->descriptors);
    if (lost->threads > 0)
        return assay_check_fail("%lld %s leak %lld threads", calls, what, lost->threads);
    if (warm && lost->heap >= HEAP_A_CALL * calls)
        return assay_check_fail("%lld %s leak %lld bytes of heap", calls, what, lost->heap);
    if (warm && lost->mapped >= MAPPED_A_CALL * calls)
        return assay_check_fail("%lld %s leak %lld bytes of mapped memory", calls, what,
                                lost->mapped);
    return NULL;
}

/* A leak goes on; caches, pools and fragments of the heap come to rest. So what counts is growth in
 * every one of a few windows of `calls` calls of work(), after WARM_UP calls; without these
 * (warm false), memory is not judged. */
static void check_growth(struct subject *s, void (*work)(struct subject *s, void *with, int i),
                         void *with, int calls, bool warm, const char *what) {
    struct resources before = resources(), least = {0, 0, 0, 0};
    json_t *found = NULL;

    for (int w = 0; w < WINDOWS_SUSPECT && s->r->finding == NULL; w++) {
        for (int i = 0; i < calls && s->r->finding == NULL; i++)
            work(s, with, i);
        struct resources after = resources();
        struct resources grown = {after.descriptors - before.descriptors,
                                  after.threads - before.threads, after.heap - before.heap,
                                  after.mapped - before.mapped};
#define LEAST(field) (w == 0 || grown.field < least.field ? grown.field : least.field)
        least = (struct resources){LEAST(descriptors), LEAST(threads), LEAST(heap), LEAST(mapped)};
#undef LEAST
        before = after;
        s->r->tested += (size_t)calls;
        if (w + 1 < WINDOWS)
            continue;
        json_decref(found);
        found = leak(&least, calls, warm, what);
        if (found == NULL)
            return;
    }
    if (s->r->finding == NULL)
        s->r->finding = found;
    else
        json_decref(found);
}

static bool multiply(struct subject *s, struct assay_ctx *ctx, const struct assay_store *store,
                     size_t m) {
    struct assay_error err;

    if (gemm_quant(ctx, store, s->o.x, m, s->y, s->o.n, &err) == ASSAY_OK)
        return true;
    s->r->finding = assay_check_fail("the product failed: %s", err.message);
    return false;
}

struct product {
    struct assay_ctx *ctx;
    const struct assay_store *store;
};

/* One product and a batch, by turns. */
static void one_product(struct subject *s, void *with, int i) {
    const struct product *p = with;
    multiply(s, p->ctx, p->store, i % 2 ? BATCH : 1);
}

static void check_call_leaks(struct subject *s, int calls) {
    struct assay_store *store = new_store(s, s->r->ctx);
    struct product p = {s->r->ctx, store};

    if (store == NULL)
        return;
    for (int i = 0; i < WARM_UP; i++)
        one_product(s, &p, i);
    check_growth(s, one_product, &p, calls, true, "products");
    assay_store_free(store);
}

/* A context's life: made, used, freed. */
static bool one_life(struct subject *s) {
    struct assay_ctx *ctx = assay_check_context(s->r, s->r->env->runner->threads);
    struct assay_store *store = new_store(s, ctx);
    bool ok = store != NULL && multiply(s, ctx, store, BATCH) && multiply(s, ctx, store, 1);

    assay_store_free(store);
    assay_ctx_free(ctx);
    return ok;
}

static void next_life(struct subject *s, void *with, int i) {
    (void)with;
    (void)i;
    one_life(s);
}

static void check_lives(struct subject *s, int lives, bool warm) {
    struct process_state before;
    const char *difference;
    bool ok;

    reset_process(&before);
    ok = one_life(s);
    difference = process_difference(&before);
    restore_process(&before);
    if (!ok)
        return;
    if (difference != NULL) {
        s->r->finding =
            assay_check_fail("creating, using and freeing a context changes %s", difference);
        return;
    }
    for (int i = 0; i < (warm ? WARM_UP : 1) && s->r->finding == NULL; i++)
        one_life(s);
    check_growth(s, next_life, NULL, lives, warm, "lives of a context");
}

static json_t *run_hygiene(const struct assay_check_env *env) {
    struct assay_check_run r;
    struct subject s = {.r = &r};
    size_t k = assay_check_k(env->type);
    /* Threads that outnumber the cores take milliseconds to start. */
    bool slow = env->runner->threads > 1 && !env->full;
    int calls = env->full ? 1000 : slow ? 10 : 70;
    size_t n;

    if (!assay_check_begin(&r, env))
        return assay_check_end(&r);
    n = assay_check_rows(&r, env->type, ROWS, k);
    s.y = malloc((BATCH * n + 2 * k) * sizeof *s.y);
    if (s.y == NULL)
        assay_check_no_memory(&r);
    if (assay_operands_new(&s.o, &r, env->type, BATCH, n, k, 41)) {
        if (assay_trampoline_available())
            check_calls(&s);
        check_call_leaks(&s, calls);
        check_lives(&s, env->full ? 50 : slow ? 1 : 5, !slow);
        check_workers(&r);
    }
    free(s.y);
    assay_operands_free(&s.o);
    return assay_check_end(&r);
}

const struct assay_check assay_check_hygiene_row = {
    .name = "hygiene",
    .summary = "registers, control state, process state, memory, descriptors and threads kept",
    .run = run_hygiene,
};
