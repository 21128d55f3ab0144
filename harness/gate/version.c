#include "version.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/isolate.h"
#include "harness/report_assets.h"
#include "impl/plugin/loader.h"

#define READ_TIMEOUT_S 20
#define FOLDER "build/gate"

static bool fail(char *err, size_t err_size, const char *what, const char *why) {
    snprintf(err, err_size, "%s: %s", what, why);
    err[strcspn(err, "\n")] = '\0';
    return false;
}

/* ---- Other programs -------------------------------------------------------------------------- */

/* Runs argv with standard output to `out` (a file that is open) and standard error to `log_fd`.
 * Returns its exit status, 128 and more where it died. */
static int execute(char *const argv[], int out_fd, int log_fd) {
    int status;
    pid_t pid = fork();

    if (pid < 0)
        return 255;
    if (pid == 0) {
        /* A make that runs this program must not hand its job server on: the descriptors it names
         * belong to another make. */
        unsetenv("MAKEFLAGS");
        unsetenv("MFLAGS");
        unsetenv("MAKELEVEL");
        dup2(out_fd, STDOUT_FILENO);
        dup2(log_fd, STDERR_FILENO);
        execvp(argv[0], argv);
        _exit(127);
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 255;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The first line that a git command prints; "" if it prints none. */
static bool ask_git(char *const argv[], char *line, size_t size) {
    FILE *out = tmpfile();
    int null = open("/dev/null", O_WRONLY), status = 255;

    line[0] = '\0';
    if (out != NULL && null >= 0) {
        status = execute(argv, fileno(out), null);
        rewind(out);
        if (fgets(line, (int)size, out) != NULL)
            line[strcspn(line, "\n")] = '\0';
    }
    if (out != NULL)
        fclose(out);
    if (null >= 0)
        close(null);
    return status == 0;
}

/* ---- Which commit ---------------------------------------------------------------------------- */

static bool resolve(const char *rev, char *commit, size_t size) {
    char spec[512];

    if (strcmp(rev, "worktree") == 0) {
        /* A commit of the changes that no branch points to; nothing where there are none. */
        if (!ask_git((char *[]){"git", "stash", "create", NULL}, commit, size))
            return false;
        if (commit[0] != '\0')
            return true;
        rev = "HEAD";
    }
    snprintf(spec, sizeof spec, "%s^{commit}", rev);
    return ask_git((char *[]){"git", "rev-parse", "--verify", "--quiet", "--end-of-options", spec,
                              NULL},
                   commit, size) &&
           strlen(commit) >= 40;
}

/* ---- Building -------------------------------------------------------------------------------- */

static uint64_t hash_asset(const char *name, uint64_t h) {
    for (const struct assay_asset *a = assay_assets; a->name != NULL; a++) {
        if (strcmp(a->name, name) != 0)
            continue;
        for (const char *const *line = a->lines; *line != NULL; line++)
            for (const char *c = *line; *c != '\0'; c++)
                h = (h ^ (unsigned char)*c) * 0x100000001b3u; /* FNV-1a */
    }
    return h;
}

static bool write_asset(const char *folder, const char *name) {
    char path[4400];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    f = fopen(path, "w");
    if (f == NULL)
        return false;
    assay_asset_write(f, name);
    return fclose(f) == 0;
}

static bool exists(const char *path) { return access(path, R_OK) == 0; }

/* With the folder locked: makes a work tree, builds in it, and removes it. */
static bool build(const char *commit, const char *folder, char *err, size_t err_size) {
    char tree[4300], log[4300], objects[4300], dir[4300], jobs[32], built[4300];
    int fd, status;

    snprintf(tree, sizeof tree, "%s/tree", folder);
    snprintf(log, sizeof log, "%s/build.log", folder);
    snprintf(objects, sizeof objects, "BUILD=%s/objects", folder);
    snprintf(dir, sizeof dir, "GATE_DIR=%s", folder);
    snprintf(built, sizeof built, "%s/gate.mk", folder);
    snprintf(jobs, sizeof jobs, "-j%ld", sysconf(_SC_NPROCESSORS_ONLN));
    if (!write_asset(folder, "gate.mk") || !write_asset(folder, "kernels.c") ||
        !write_asset(folder, "plugin.h"))
        return fail(err, err_size, folder, strerror(errno));
    fd = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd < 0)
        return fail(err, err_size, log, strerror(errno));
    fprintf(stderr, "gate: building the kernels of %.12s (once; %s)\n", commit, log);
    execute((char *[]){"git", "worktree", "remove", "--force", tree, NULL}, fd, fd);
    status = execute((char *[]){"git", "worktree", "add", "--detach", "--force", tree,
                                (char *)(uintptr_t)commit, NULL},
                     fd, fd);
    if (status == 0)
        status = execute((char *[]){"make", "-C", tree, jobs, "-f", built, dir, objects,
                                    "CFLAGS=-g -fPIC -fvisibility=hidden", "gate", NULL},
                         fd, fd);
    execute((char *[]){"git", "worktree", "remove", "--force", tree, NULL}, fd, fd);
    execute((char *[]){"rm", "-rf", objects + strlen("BUILD="), NULL}, fd, fd);
    close(fd);
    if (status == 0)
        return true;
    snprintf(err, err_size, "%.12s: its kernels can't be built (exit %d): see %s", commit, status,
             log);
    return false;
}

static bool make_folder(const char *path) { return mkdir(path, 0777) == 0 || errno == EEXIST; }

/* build/gate/COMMIT-KEY in the repository; the key changes with what else goes into the plugin. */
static bool find_folder(const char *commit, char *folder, size_t size, char *err, size_t err_size) {
    uint64_t key = 0xcbf29ce484222325u;
    char top[4000], path[4100];

    if (!ask_git((char *[]){"git", "rev-parse", "--show-toplevel", NULL}, top, sizeof top))
        return fail(err, err_size, "git", "this folder is in no git repository");
    key = hash_asset("plugin.h", hash_asset("kernels.c", hash_asset("gate.mk", key)));
    snprintf(path, sizeof path, "%s/build", top);
    if (!make_folder(path))
        return fail(err, err_size, path, strerror(errno));
    snprintf(path, sizeof path, "%s/" FOLDER, top);
    if (!make_folder(path))
        return fail(err, err_size, path, strerror(errno));
    if ((size_t)snprintf(folder, size, "%s/%.40s-%08x", path, commit,
                         (unsigned)(key ^ key >> 32)) >= size)
        return fail(err, err_size, path, "the path is too long");
    return make_folder(folder) || fail(err, err_size, folder, strerror(errno));
}

bool assay_gate_build(const char *rev, struct assay_gate_version *v, char *err, size_t err_size) {
    char commit[64], folder[4090], lock[4200];
    bool ok;
    int fd;

    if (!resolve(rev, commit, sizeof commit))
        return fail(err, err_size, rev, "names no commit here");
    if (!find_folder(commit, folder, sizeof folder, err, err_size))
        return false;
    snprintf(v->commit, sizeof v->commit, "%.40s", commit);
    snprintf(v->plugin, sizeof v->plugin, "%.4080s/kernels.so", folder);
    snprintf(lock, sizeof lock, "%s/lock", folder);
    /* Two gates that start at once build a commit once. */
    fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0 || flock(fd, LOCK_EX) != 0) {
        if (fd >= 0)
            close(fd);
        return fail(err, err_size, lock, strerror(errno));
    }
    ok = exists(v->plugin) || build(commit, folder, err, err_size);
    close(fd);
    return ok;
}

/* ---- Reading the plugin ---------------------------------------------------------------------- */

struct reading {
    struct assay_plugin_info info;
    char err[256];
};

struct read_job {
    const char *path;
    struct reading *out; /* shared with the child */
};

static json_t *read_work(void *user) {
    const struct read_job *job = user;
    return json_boolean(
        assay_plugin_read(job->path, &job->out->info, job->out->err, sizeof job->out->err));
}

bool assay_gate_open(struct assay_gate_version *v, char *err, size_t err_size) {
    struct reading *out =
        mmap(NULL, sizeof *out, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct read_job job = {v->plugin, out};
    const char *crash;
    json_t *result;

    if (out == MAP_FAILED)
        return fail(err, err_size, v->plugin, strerror(errno));
    result = assay_isolate_once(read_work, &job, READ_TIMEOUT_S);
    crash = json_string_value(json_object_get(result, "crash"));
    if (crash != NULL)
        fail(err, err_size, v->plugin, crash);
    else if (!json_is_true(result))
        fail(err, err_size, v->plugin, out->err);
    else if ((v->backend = assay_plugin_backend_new(v->plugin, &out->info)) == NULL)
        fail(err, err_size, v->plugin, "out of memory");
    json_decref(result);
    munmap(out, sizeof *out);
    return v->backend != NULL;
}
