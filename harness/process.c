#include "process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "memuse.h"

enum { MAX_LIVING = 128 };

/* Children of assay_process_fork that have not been waited for. */
static pid_t living[MAX_LIVING];
static bool adopts; /* orphans come to this process, and are a kernel's */

static void remember(pid_t old, pid_t new) {
    for (int i = 0; i < MAX_LIVING; i++)
        if (living[i] == old) {
            living[i] = new;
            return;
        }
}

static bool is_ours(pid_t pid) {
    for (int i = 0; i < MAX_LIVING; i++)
        if (living[i] == pid)
            return true;
    return false;
}

static bool has_children(void) {
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static void become_adopter(void) {
#ifdef __linux__
    adopts = prctl(PR_SET_CHILD_SUBREAPER, 1) == 0;
#endif
}

/* Once, before the first child: a program that was started by exec may have children from before,
 * which are not a kernel's to be killed. */
static void prepare_parent(void) {
    static bool done;
    if (!done && !has_children())
        become_adopter();
    done = true;
}

/* ---- In the child ---- */

/* Sanitizers reserve terabytes. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define LIMITS_MEMORY 0
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LIMITS_MEMORY 0
#endif
#endif
#ifndef LIMITS_MEMORY
#define LIMITS_MEMORY 1
#endif

static void prefer_to_be_killed(void) {
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd >= 0) {
        (void)!write(fd, "1000", 4);
        close(fd);
    }
}

/* Never above the limit that the program was started with. */
static void limit_memory(rlim_t bytes) {
    struct rlimit limit;

    if (getrlimit(RLIMIT_DATA, &limit) != 0)
        return;
    if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > bytes)
        limit.rlim_cur = bytes;
    limit.rlim_max = limit.rlim_cur;
    setrlimit(RLIMIT_DATA, &limit);
}

static void child_setup(pid_t parent, uint64_t memory_bytes) {
    const struct rlimit none = {0, 0};
    static const int signals[] = {SIGINT, SIGTERM, SIGBUS, SIGPIPE, SIGCHLD, SIGXFSZ};
    int null;

    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        signal(signals[i], SIG_DFL);
    setpgid(0, 0);
    setrlimit(RLIMIT_CORE, &none);
    if (LIMITS_MEMORY && memory_bytes > 0)
        limit_memory((rlim_t)memory_bytes);
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died before */
        _exit(0);
#endif
    (void)parent;
    for (int i = 0; i < MAX_LIVING; i++)
        living[i] = 0;
    become_adopter();
    prefer_to_be_killed();
    null = open("/dev/null", O_RDONLY);
    if (null > STDIN_FILENO) {
        dup2(null, STDIN_FILENO);
        close(null);
    }
}

pid_t assay_process_fork(uint64_t memory_bytes) {
    pid_t parent = getpid(), pid;

    prepare_parent();
    fflush(NULL); /* what is buffered must not be written by the child as well */
    pid = fork();
    if (pid == 0) {
        child_setup(parent, memory_bytes);
    } else if (pid > 0) {
        setpgid(pid, pid); /* in both, so that it holds whoever runs first */
        remember(0, pid);
    }
    return pid;
}

/* ---- Its end ---- */

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Leaves the child a zombie, so that its number can't be another's yet. */
static bool has_ended(pid_t pid, int options) {
    siginfo_t info = {.si_pid = 0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | options) == 0 && info.si_pid == pid;
}

bool assay_process_ended(pid_t pid) { return has_ended(pid, WNOHANG); }

static bool wait_within(pid_t pid, double grace_s) {
    double deadline = seconds() + grace_s;
    struct timespec pause = {0, 20000};

    while (!has_ended(pid, WNOHANG)) {
        if (seconds() >= deadline)
            return false;
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < 10000000)
            pause.tv_nsec *= 2;
    }
    return true;
}

/* The parent of a process; 0 if that can't be told. */
static pid_t parent_of(const char *pid) {
    char path[64], text[512];
    const char *p;
    FILE *f;
    int parent = 0;
    size_t n;

    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    f = fopen(path, "re");
    if (f == NULL)
        return 0;
    n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    p = NULL;
    for (size_t i = 0; i < n; i++) /* a program's name may hold parentheses */
        if (text[i] == ')')
            p = text + i;
    return p != NULL && sscanf(p + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

/* Kills and buries the children of this process that it did not start itself, once. */
static bool kill_strangers(void) {
    DIR *proc = opendir("/proc");
    const struct dirent *entry;
    bool any = false;

    if (proc == NULL)
        return false;
    while ((entry = readdir(proc)) != NULL) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid <= 0 || is_ours(pid) || parent_of(entry->d_name) != getpid())
            continue;
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        any = true;
    }
    closedir(proc);
    return any;
}

/* Each round brings the children of those it killed. */
static void kill_all_strangers(void) {
    enum { ROUNDS = 100 };
    for (int i = 0; i < ROUNDS && has_children() && kill_strangers(); i++)
        ;
}

int assay_process_end(pid_t pid, double grace_s, bool *killed) {
    bool late = !wait_within(pid, grace_s);
    int status = 0;

    if (late)
        kill(pid, SIGKILL);
    while (!has_ended(pid, 0) && errno == EINTR)
        ;
    kill(-pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    remember(pid, 0);
    if (adopts)
        kill_all_strangers();
    if (killed != NULL)
        *killed = late;
    return status;
}

bool assay_process_disown(void) {
    bool any = has_children();

    if (any)
        kill_all_strangers();
    return any;
}

uint64_t assay_process_memory(int jobs) {
    uint64_t available = assay_memory_available();
    /* A tenth stays free for the parent and for what else runs. */
    return available / 10 * 9 / (uint64_t)(jobs > 1 ? jobs : 1);
}
