/* A plugin that does to its process what its file name says: a copy of hostile.so as chdir.so
 * changes the working directory. Its products are right unless the deed keeps it from finishing;
 * Q8_0 only. Numbers of processes that it starts go to the file $ASSAY_HOSTILE_PIDS, a line each.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <fenv.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/seccomp.h>
#include <sys/prctl.h>
#endif
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "impl/plugin.h"

static char deed[32];

static int is(const char *name) { return strcmp(deed, name) == 0; }

__attribute__((constructor)) static void find_deed(void) {
    const char *base;
    Dl_info info;

    if (dladdr(&assay_plugin_v1, &info) == 0)
        return;
    base = strrchr(info.dli_fname, '/');
    base = base != NULL ? base + 1 : info.dli_fname;
    snprintf(deed, sizeof deed, "%.*s", (int)strcspn(base, "."), base);
}

/* ---- Processes and threads ---- */

static void tell_pid(void) {
    const char *path = getenv("ASSAY_HOSTILE_PIDS");
    FILE *f = path != NULL ? fopen(path, "a") : NULL;

    if (f == NULL)
        return;
    fprintf(f, "%ld\n", (long)getpid());
    fclose(f);
}

static void linger(void) {
    tell_pid();
    for (;;)
        pause();
}

static void leave_daemon(void) {
    if (fork() != 0)
        return;
    setsid();
    if (fork() != 0)
        _exit(0);
    linger();
}

static void *idle(void *arg) {
    for (;;)
        pause();
    return arg;
}

static void leave_thread(void) {
    pthread_attr_t small; /* hundreds of them must fit a limit of memory */
    pthread_t thread;

    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 1 << 18);
    pthread_create(&thread, &small, idle, NULL);
    pthread_attr_destroy(&small);
}

static void start_processes(void) {
    if (is("fork") && fork() == 0)
        linger();
    if (is("daemon"))
        leave_daemon();
    if (is("fork_and_crash")) {
        if (fork() == 0)
            linger();
        abort();
    }
    if (is("threads"))
        leave_thread();
    if (is("kill_group"))
        kill(0, SIGKILL);
    if (is("stop"))
        raise(SIGSTOP);
}

/* ---- The end of the process ---- */

static volatile int *volatile nowhere;
static jmp_buf stale;
static volatile int depth;

static int overflow_stack(int n) {
    volatile char frame[4096];
    frame[0] = (char)n;
    depth++;
    return n < 0 ? 0 : overflow_stack(n + 1) + frame[0];
}

static void hang(void) {
    for (;;)
        pause();
}

static void end_process(void) {
    if (is("crash"))
        *nowhere = 1;
    if (is("overflow"))
        overflow_stack(0);
    if (is("exit"))
        exit(0);
    if (is("exit-now"))
        _exit(0);
    if (is("abort"))
        abort();
    if (is("longjmp"))
        longjmp(stale, 1);
    if (is("hang"))
        hang();
    if (is("alarm"))
        alarm(1), hang();
#ifdef __linux__
    if (is("seccomp"))
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
#endif
}

/* ---- Descriptors and memory ---- */

static void close_all(void) {
    for (int fd = 0; fd < 256; fd++)
        close(fd);
}

static void write_everywhere(void) {
    static const char noise[64] = "\xff\xff\xff\xff\xff\xff\xff\xff noise";
    for (int fd = 3; fd < 256; fd++)
        (void)!write(fd, noise, sizeof noise);
}

static void allocate_without_end(void) {
    for (;;) {
        char *p = malloc(1 << 24);
        if (p == NULL)
            abort();
        memset(p, 1, 1 << 24);
    }
}

static void *volatile leaked; /* or a compiler leaves the allocation out */

static void spoil_resources(void) {
    const struct rlimit most = {RLIM_INFINITY, RLIM_INFINITY};

    if (is("close"))
        close_all();
    if (is("close_and_hang"))
        close_all(), hang();
    if (is("noise"))
        write_everywhere();
    if (is("rlimits")) {
        setrlimit(RLIMIT_CORE, &most);
        setrlimit(RLIMIT_DATA, &most);
        setrlimit(RLIMIT_NOFILE, &most);
    }
    if (is("allocate"))
        allocate_without_end();
    if (is("leak"))
        leaked = malloc(4096);
    if (is("leak_fds"))
        (void)!open("/dev/null", O_RDONLY);
    if (is("stdin"))
        (void)!getchar();
    if (is("print")) {
        puts("hostile noise on standard output");
        fputs("hostile noise on standard error\n", stderr);
        fflush(stdout);
    }
}

/* ---- State ---- */

static void on_signal(int n) { (void)n; }

/* Returns to the instruction that faulted: a handler that hides a crash makes a hang of it. */
static void hide_crashes(void) {
    signal(SIGSEGV, on_signal);
    *nowhere = 1;
}

static void change_state(void) {
    if (is("chdir"))
        (void)!chdir("/");
    if (is("umask"))
        umask(0);
    if (is("setenv"))
        setenv("HOSTILE", "1", 1);
    if (is("handlers")) {
        signal(SIGSEGV, on_signal);
        signal(SIGALRM, on_signal);
    }
    if (is("sigchld"))
        signal(SIGCHLD, SIG_IGN);
    if (is("hide_crash"))
        hide_crashes();
    if (is("rounding"))
        fesetround(FE_UPWARD);
#ifdef __x86_64__
    if (is("ftz"))
        _mm_setcsr(_mm_getcsr() | 0x8040);
#endif
}

static void do_it(void) {
    start_processes();
    end_process();
    spoil_resources();
    change_state();
}

/* ---- The kernel ---- */

struct matrix {
    const uint8_t *bytes;
    size_t rows, in;
};

static int create(uint32_t type, const void *bytes, size_t nbytes, size_t rows, size_t in,
                  int threads, void **store, char *err, size_t err_size) {
    struct matrix *w = malloc(sizeof *w);

    (void)type, (void)nbytes, (void)threads, (void)err, (void)err_size;
    if (w == NULL)
        return ASSAY_PLUGIN_ENOMEM;
    setjmp(stale); /* its frame is gone when forward jumps to it */
    *w = (struct matrix){bytes, rows, in};
    *store = w;
    return ASSAY_PLUGIN_OK;
}

static float from_fp16(unsigned h) {
    float f = (float)(h & 1023);
    int e = h >> 10 & 31;
    f = e == 31 ? (f > 0 ? NAN : INFINITY) : e > 0 ? ldexpf(f + 1024, e - 25) : ldexpf(f, -24);
    return h >> 15 ? -f : f;
}

static int forward(void *store, const float *x, size_t m, float *y, size_t ldy, char *err,
                   size_t err_size) {
    const struct matrix *w = store;

    (void)err, (void)err_size;
    if (is("corrupt_x"))
        *(float *)(uintptr_t)x = 7;
    if (is("corrupt_w"))
        *(uint8_t *)(uintptr_t)w->bytes ^= 1;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < w->rows; j++) {
            float sum = 0;
            for (size_t k = 0; k < w->in; k++) {
                const uint8_t *b = w->bytes + (j * w->in + k) / 32 * 34;
                sum +=
                    from_fp16((unsigned)b[0] | (unsigned)b[1] << 8) * (float)(int8_t)b[2 + k % 32] * x[i * w->in + k];
            }
            y[i * ldy + j] = sum;
        }
    do_it();
    return ASSAY_PLUGIN_OK;
}

static const struct assay_plugin_class classes[1] = {{.type = ASSAY_PLUGIN_Q8_0, .exact_run = 1}};

struct assay_plugin assay_plugin_v1 = {
    .magic = ASSAY_PLUGIN_MAGIC,
    .abi = ASSAY_PLUGIN_ABI,
    .size = sizeof assay_plugin_v1,
    .name = deed,
    .description = "for tests",
    .classes = classes,
    .n_classes = 1,
    .create = create,
    .forward = forward,
    .destroy = free,
};
