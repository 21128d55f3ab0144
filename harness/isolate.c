#include "isolate.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/auxv.h>
#endif
#ifdef __APPLE__
#include <mach-o/dyld.h>
#endif

#include "interrupt.h"
#include "no_memory.h"
#include "process.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* macOS: SO_NOSIGPIPE on the socket instead */
#endif

struct child {
    pid_t pid; /* 0: none */
    int fd;    /* item numbers go down, results come up */
};

enum receive { RECEIVED, HUNG, GONE };

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool send_all(int fd, const void *data, size_t n) {
    const char *p = data;
    while (n > 0) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        p += sent;
        n -= (size_t)sent;
    }
    return true;
}

/* Reads up to n bytes; *got is fewer only at the end of the stream. deadline < 0: wait for ever. */
static enum receive read_until(int fd, void *data, size_t n, double deadline, size_t *got) {
    char *p = data;

    for (*got = 0; *got < n;) {
        struct pollfd pfd = {.fd = fd, .events = POLLIN};
        double left = deadline - seconds();
        ssize_t r;

        if (deadline >= 0 && left <= 0)
            return HUNG;
        r = poll(&pfd, 1, deadline < 0 ? -1 : (int)(left * 1000) + 1);
        if (r <= 0)
            continue; /* interrupted, or the deadline is seen above */
        r = read(fd, p + *got, n - *got);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return GONE;
        *got += (size_t)r;
    }
    return RECEIVED;
}

static enum receive read_all(int fd, void *data, size_t n, double deadline) {
    size_t got;
    return read_until(fd, data, n, deadline, &got);
}

/* One message is a 64-bit length and that many bytes of JSON text; length 0: no result. */
static bool send_result(int fd, json_t *result) {
    static const char no_memory[] = "{\"crash\":\"out of memory\"}";
    char *text = result != NULL ? json_dumps(result, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    const char *sent = assay_no_memory_noted() ? no_memory : text;
    uint64_t len = sent != NULL ? strlen(sent) : 0;
    bool ok = send_all(fd, &len, sizeof len) && send_all(fd, sent, (size_t)len);

    free(text);
    assay_no_memory_forget();
    return ok;
}

static _Noreturn void child_loop(const struct assay_isolate *iso, int fd) {
    uint64_t item;

    /* Standard output may be a record; what a kernel prints must not get into it. */
    dup2(STDERR_FILENO, STDOUT_FILENO);
    while (read_all(fd, &item, sizeof item, -1) == RECEIVED) {
        json_t *result = iso->work((size_t)item, iso->user);
        bool ok = send_result(fd, result);
        json_decref(result);
        assay_process_disown();
        if (!ok)
            break;
    }
    fflush(stderr);
    _exit(0);
}

/* Starts a child, which closes the descriptors `others` first. */
static bool child_start(const struct assay_isolate *iso, struct child *c, const int *others,
                        size_t n_others) {
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
        return false;
#ifdef SO_NOSIGPIPE
    setsockopt(fds[0], SOL_SOCKET, SO_NOSIGPIPE, &(int){1}, sizeof(int));
    setsockopt(fds[1], SOL_SOCKET, SO_NOSIGPIPE, &(int){1}, sizeof(int));
#endif
    c->pid = assay_process_fork(iso->memory_bytes);
    if (c->pid < 0) {
        close(fds[0]);
        close(fds[1]);
        c->pid = 0;
        return false;
    }
    if (c->pid == 0) {
        close(fds[0]);
        for (size_t i = 0; i < n_others; i++)
            close(others[i]);
        child_loop(iso, fds[1]);
    }
    close(fds[1]);
    fcntl(fds[0], F_SETFD, FD_CLOEXEC);
    c->fd = fds[0];
    return true;
}

enum { GRACE_S = 2 }; /* a child that has nothing to do ends in a millisecond */

/* Lets a healthy child end by closing its socket. */
static void child_stop(struct child *c) {
    if (c->pid == 0)
        return;
    close(c->fd);
    assay_process_end(c->pid, GRACE_S, NULL);
    c->pid = 0;
}

static const char *signal_name(int sig) {
    static const struct {
        int number;
        const char *name;
    } names[] = {
        {SIGSEGV, "SIGSEGV"}, {SIGABRT, "SIGABRT"}, {SIGBUS, "SIGBUS"},   {SIGFPE, "SIGFPE"},
        {SIGILL, "SIGILL"},   {SIGKILL, "SIGKILL"}, {SIGTERM, "SIGTERM"}, {SIGTRAP, "SIGTRAP"},
        {SIGSYS, "SIGSYS"},   {SIGPIPE, "SIGPIPE"}, {SIGALRM, "SIGALRM"}, {SIGHUP, "SIGHUP"},
        {SIGINT, "SIGINT"},   {SIGXCPU, "SIGXCPU"}, {SIGXFSZ, "SIGXFSZ"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].number == sig)
            return names[i].name;
    return NULL;
}

static json_t *describe_death(int status) {
    char text[40];

    if (WIFSIGNALED(status)) {
        const char *name = signal_name(WTERMSIG(status));
        if (name != NULL)
            return json_pack("{ss}", "crash", name);
        snprintf(text, sizeof text, "signal %d", WTERMSIG(status));
    } else {
        snprintf(text, sizeof text, "exit %d", WEXITSTATUS(status));
    }
    return json_pack("{ss}", "crash", text);
}

static json_t *describe_timeout(int timeout_s) {
    char text[40];
    snprintf(text, sizeof text, "timeout %d s", timeout_s);
    return json_pack("{ss}", "crash", text);
}

/* Longer messages are the work of a kernel that wrote to our descriptor. */
#define MAX_RESULT (UINT64_C(1) << 30)

static enum receive receive_result(int fd, double deadline, json_t **result) {
    uint64_t len;
    enum receive r = read_all(fd, &len, sizeof len, deadline);
    char *text;

    *result = NULL;
    if (r != RECEIVED || len == 0)
        return r;
    text = len <= MAX_RESULT ? malloc((size_t)len) : NULL;
    if (text == NULL)
        return GONE;
    r = read_all(fd, text, (size_t)len, deadline);
    if (r == RECEIVED)
        *result = json_loadb(text, (size_t)len, JSON_DECODE_ANY, NULL);
    free(text);
    return r;
}

/* ---- Children at work ---- */

enum { MAX_JOBS = 64 };

struct worker {
    struct child child;
    bool busy;
    size_t item, end; /* the item at work, and the end of its group */
    size_t owner;     /* of the last item */
    double deadline;
};

struct pool {
    const struct assay_isolate *iso;
    struct worker workers[MAX_JOBS];
    size_t n_workers;
    size_t next;      /* first item that is in nobody's group yet */
    json_t **results; /* by item, until they are delivered */
    size_t delivered; /* items before this one are done */
};

/* Starts a child that holds no end of another's socket: it would keep that child from seeing its
 * parent's end closed. */
static bool worker_start(struct pool *pool, struct worker *w) {
    int others[MAX_JOBS];
    size_t n = 0;

    for (size_t i = 0; i < pool->n_workers; i++)
        if (pool->workers[i].child.pid != 0)
            others[n++] = pool->workers[i].child.fd;
    return child_start(pool->iso, &w->child, others, n);
}

static size_t owner_of(const struct assay_isolate *iso, size_t item) {
    return iso->owner != NULL ? iso->owner(item, iso->user) : 0;
}

/* Hands the worker its next item, if there is one. False if no child could be started. */
static bool worker_feed(struct pool *pool, struct worker *w) {
    const struct assay_isolate *iso = pool->iso;
    uint64_t number;

    if (w->item == w->end) {
        if (pool->next == iso->count)
            return true;
        w->item = pool->next;
        do
            pool->next++;
        while (pool->next < iso->count && iso->group != NULL &&
               iso->group(pool->next, iso->user) == iso->group(w->item, iso->user));
        w->end = pool->next;
    }
    if (iso->before != NULL)
        iso->before(w->item, iso->user);
    if (iso->fresh || (w->owner != 0 && w->owner != owner_of(iso, w->item)))
        child_stop(&w->child);
    w->owner = owner_of(iso, w->item);
    if (w->child.pid == 0 && !worker_start(pool, w))
        return false;
    number = w->item;
    /* A child that died since is found when its result is read. */
    send_all(w->child.fd, &number, sizeof number);
    w->deadline = seconds() + iso->timeout_s;
    w->busy = true;
    return true;
}

static void worker_deliver(struct pool *pool, struct worker *w, json_t *result) {
    pool->results[w->item++] = result;
    w->busy = false;
}

/* Ends the child of a busy worker, which hung or is gone; its end is the result. */
static void worker_bury(struct pool *pool, struct worker *w, enum receive how) {
    bool killed;
    int status;

    close(w->child.fd);
    status = assay_process_end(w->child.pid, how == HUNG ? 0 : GRACE_S, &killed);
    w->child.pid = 0;
    worker_deliver(pool, w,
                   how == HUNG ? describe_timeout(pool->iso->timeout_s)
                   : killed    ? json_pack("{ss}", "crash", "lost its connection")
                               : describe_death(status));
}

/* Takes the result of a busy worker; afterwards its child lives on or has been buried. */
static void worker_collect(struct pool *pool, struct worker *w, bool hung) {
    /* What has begun to arrive is read to the end, unless it stops coming. */
    double deadline = w->deadline > seconds() + 5 ? w->deadline : seconds() + 5;
    json_t *result = NULL;
    enum receive r = hung ? HUNG : receive_result(w->child.fd, deadline, &result);

    if (r == RECEIVED && result == NULL)
        result = json_pack("{ss}", "crash", "no result");
    if (r == RECEIVED)
        worker_deliver(pool, w, result);
    else
        worker_bury(pool, w, r);
}

/* Waits until a worker has a result or has run out of time, and collects what there is. A result
 * that lies ready counts even if nobody looked for it before its deadline. */
static void pool_wait(struct pool *pool) {
    struct pollfd fds[MAX_JOBS];
    struct worker *busy[MAX_JOBS];
    double first = INFINITY, now = seconds();
    size_t n = 0;

    for (size_t i = 0; i < pool->n_workers; i++) {
        struct worker *w = &pool->workers[i];
        if (!w->busy)
            continue;
        fds[n] = (struct pollfd){.fd = w->child.fd, .events = POLLIN};
        busy[n++] = w;
        first = w->deadline < first ? w->deadline : first;
    }
    /* Not for long: an interrupt that came just before would go unnoticed. */
    first = first < now + 0.2 ? first : now + 0.2;
    if (poll(fds, (nfds_t)n, first > now ? (int)((first - now) * 1000) + 1 : 0) < 0)
        return;
    now = seconds();
    for (size_t i = 0; i < n; i++)
        if (fds[i].revents != 0 || now >= busy[i]->deadline)
            worker_collect(pool, busy[i], fds[i].revents == 0);
        else if (assay_process_ended(busy[i]->child.pid)) /* what it left holds its socket open */
            worker_bury(pool, busy[i], GONE);
}

/* Delivers what is there in item order. False if `done` wants to stop. */
static bool pool_deliver(struct pool *pool) {
    const struct assay_isolate *iso = pool->iso;

    while (pool->delivered < iso->count && pool->results[pool->delivered] != NULL) {
        size_t i = pool->delivered++;
        bool go_on = iso->done(i, pool->results[i], iso->user);

        json_decref(pool->results[i]);
        pool->results[i] = NULL;
        if (!go_on)
            return false;
    }
    return true;
}

static void pool_end(struct pool *pool) {
    for (size_t i = 0; i < pool->n_workers; i++) {
        struct worker *w = &pool->workers[i];
        if (w->busy) { /* stopped early */
            close(w->child.fd);
            assay_process_end(w->child.pid, 0, NULL);
        } else {
            child_stop(&w->child);
        }
    }
    for (size_t i = 0; i < pool->iso->count; i++)
        json_decref(pool->results[i]);
    free(pool->results);
}

bool assay_isolate_run(const struct assay_isolate *iso) {
    struct pool pool = {.iso = iso};
    bool started = true;

    pool.results = calloc(iso->count + 1, sizeof(json_t *));
    if (pool.results == NULL)
        return false;
    pool.n_workers = iso->jobs < 1 ? 1 : iso->jobs > MAX_JOBS ? MAX_JOBS : (size_t)iso->jobs;
    while (started && pool.delivered < iso->count && assay_interrupted() == 0) {
        for (size_t i = 0; i < pool.n_workers && started; i++)
            if (!pool.workers[i].busy)
                started = worker_feed(&pool, &pool.workers[i]);
        if (started)
            pool_wait(&pool);
        if (!pool_deliver(&pool))
            break;
    }
    pool_end(&pool);
    return started;
}

struct once {
    json_t *(*work)(void *user);
    void *user;
    json_t *result;
};

static json_t *once_work(size_t i, void *user) {
    struct once *once = user;
    (void)i;
    return once->work(once->user);
}

static bool once_done(size_t i, const json_t *result, void *user) {
    struct once *once = user;
    (void)i;
    once->result = json_deep_copy(result);
    return true;
}

json_t *assay_isolate_once(json_t *(*work)(void *user), void *user, int timeout_s) {
    struct once once = {.work = work, .user = user};
    struct assay_isolate iso = {
        .count = 1,
        .timeout_s = timeout_s,
        .memory_bytes = assay_process_memory(1),
        .work = once_work,
        .done = once_done,
        .user = &once,
    };
    return assay_isolate_run(&iso) ? once.result : NULL;
}

static bool self_path(char *path, size_t size) {
#ifdef __APPLE__
    uint32_t n = (uint32_t)size;
    return _NSGetExecutablePath(path, &n) == 0;
#else
    ssize_t n = readlink("/proc/self/exe", path, size - 1);
    const char *name = NULL;

    if (n >= 0) {
        path[n] = '\0';
        return true;
    }
#ifdef __linux__
    name = (const char *)(uintptr_t)getauxval(AT_EXECFN); /* there is no /proc */
#endif
    return name != NULL && snprintf(path, size, "%s", name) < (int)size;
#endif
}

/* Returns only if that fails. */
static void exec_path(const char *path, const char *const *argv) {
    size_t n = 0;
    const char **args;

    while (argv[n] != NULL)
        n++;
    args = calloc(n + 2, sizeof *args);
    if (args == NULL)
        return;
    args[0] = path;
    memcpy(args + 1, argv, n * sizeof *argv);
    execv(path, (char *const *)(uintptr_t)args);
    free(args);
}

static _Noreturn void exec_self(const char *path, const char *const *argv, int out) {
    if (dup2(out, STDOUT_FILENO) >= 0)
        exec_path(path, argv);
    _exit(127);
}

void assay_isolate_restart(const char *const *argv, const char *name, const char *value) {
    char path[4096];

    if (getenv(name) != NULL || !self_path(path, sizeof path) || setenv(name, value, 1) != 0)
        return;
    fflush(NULL);
    exec_path(path, argv);
    unsetenv(name); /* not restarted: the environment stays as it was */
}

/* Everything up to the end of the stream, NUL-terminated; NULL if memory ran out. */
static char *read_output(int fd, double deadline, enum receive *r, size_t *len) {
    size_t size = 4096, got;
    char *text = malloc(size);

    for (*len = 0; text != NULL;) {
        /* In slices: an interrupt must be noticed. */
        double slice = seconds() + 0.2;
        char *more;

        *r = read_until(fd, text + *len, size - *len, slice < deadline ? slice : deadline, &got);
        *len += got;
        if (*r == HUNG && seconds() < deadline && assay_interrupted() == 0)
            continue;
        if (*r != RECEIVED)
            return text;
        more = realloc(text, size *= 2);
        if (more == NULL)
            free(text);
        text = more;
    }
    *r = HUNG; /* the child must be killed: nobody reads it */
    return NULL;
}

json_t *assay_isolate_exec_self(const char *const *argv, int timeout_s, uint64_t memory_bytes) {
    char path[4096];
    enum receive r;
    size_t len;
    char *text;
    json_t *result;
    int fds[2], status;
    bool killed;
    pid_t pid;

    if (!self_path(path, sizeof path) || pipe(fds) != 0)
        return NULL;
    fcntl(fds[0], F_SETFD, FD_CLOEXEC);
    fcntl(fds[1], F_SETFD, FD_CLOEXEC);
    pid = assay_process_fork(memory_bytes);
    if (pid == 0)
        exec_self(path, argv, fds[1]);
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        return NULL;
    }
    text = read_output(fds[0], seconds() + timeout_s, &r, &len);
    close(fds[0]);
    status = assay_process_end(pid, r == HUNG ? 0 : GRACE_S, &killed);
    if (r == HUNG || killed)
        result = assay_interrupted() != 0 ? json_pack("{ss}", "crash", "interrupted")
                 : r == HUNG              ? describe_timeout(timeout_s)
                             : json_pack("{ss}", "crash", "closed its output, and hung");
    else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        result = describe_death(status);
    else if ((result = json_loadb(text, len, 0, NULL)) == NULL)
        result = json_pack("{ss}", "crash", "output is not JSON");
    free(text);
    return result;
}
