/* Linked into the AArch64 test binary only. Criterion runs each test by executing the test binary
 * again; under qemu-user the host kernel can't execute that file unless binfmt_misc is set up,
 * which needs root and is missing in containers. So exec goes through the emulator named by
 * ASSAY_EMULATOR, with ASSAY_EMULATOR_ROOT as its library root. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int execve(const char *path, char *const argv[], char *const envp[]) {
    static char self[4096];
    const char *emulator = getenv("ASSAY_EMULATOR");
    const char *root = getenv("ASSAY_EMULATOR_ROOT");
    if (!emulator || !root)
        return (int)syscall(SYS_execve, path, argv, envp);
    if (strcmp(path, "/proc/self/exe") == 0) {
        ssize_t n = readlink(path, self, sizeof self - 1);
        if (n < 0)
            return -1;
        self[n] = '\0';
        path = self;
    }

    size_t argc = 0;
    while (argv[argc])
        argc++;
    const char **args = calloc(argc + 7, sizeof *args);
    if (!args) {
        errno = ENOMEM;
        return -1;
    }
    size_t n = 0;
    args[n++] = emulator;
    args[n++] = "-L";
    args[n++] = root;
    args[n++] = "-0";
    args[n++] = argc ? argv[0] : path;
    args[n++] = path;
    for (size_t i = 1; i < argc; i++)
        args[n++] = argv[i];
    syscall(SYS_execve, emulator, args, envp);
    free(args);
    return -1;
}

/* glibc's execv calls an internal execve, which the definition above does not replace. */
int execv(const char *path, char *const argv[]) { return execve(path, argv, environ); }
