/* From an address in a kernel library to a line of the MSL source, by binutils' addr2line. */
#include <fcntl.h>
#include <link.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "library.h"

extern char **environ;

static int note_image(struct dl_phdr_info *info, size_t size, void *user) {
    struct assay_soft_library *lib = user;
    (void)size;
    uintptr_t lo = UINTPTR_MAX, hi = 0;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD)
            continue;
        uintptr_t from = info->dlpi_addr + p->p_vaddr;
        lo = from < lo ? from : lo;
        hi = from + p->p_memsz > hi ? from + p->p_memsz : hi;
    }
    if ((uintptr_t)lib->module < lo || (uintptr_t)lib->module >= hi)
        return 0;
    lib->image = info->dlpi_addr; /* what addr2line counts from */
    lib->image_end = hi;
    return 1;
}

void assay_soft_find_image(struct assay_soft_library *lib) { dl_iterate_phdr(note_image, lib); }

/* addr2line's lines "file:number", innermost first: the first that is not the standard library's.
 */
static void pick_line(FILE *f, const char *source, char *out, size_t n) {
    char line[1024];
    while (fgets(line, sizeof line, f) != NULL) {
        char *name = strrchr(line, '/');
        name = name ? name + 1 : line;
        name[strcspn(name, " \n")] = 0;
        char *colon = strchr(name, ':');
        if (colon == NULL || strncmp(name, "metal_s", 7) == 0 || *name == '?' ||
            strncmp(name, "descriptors:", 12) == 0)
            continue;
        snprintf(out, n, "%s%s", source, colon); /* the only other file there is */
        return;
    }
}

void assay_soft_source_line(const struct assay_soft_library *lib, uintptr_t pc, char *out,
                            size_t n) {
    char address[32];
    int fd[2];
    pid_t pid;
    /* pc is where the callback returns to: the call is before it. */
    snprintf(address, sizeof address, "0x%llx", (unsigned long long)(pc - 1 - lib->image));
    snprintf(out, n, "code offset %s", address);
    char *argv[] = {"addr2line", "-i", "-e", lib->path, address, NULL};
    posix_spawn_file_actions_t fa;
    if (pipe(fd) != 0)
        return;
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_adddup2(&fa, fd[1], 1);
    posix_spawn_file_actions_addclose(&fa, fd[0]);
    posix_spawn_file_actions_addopen(&fa, 2, "/dev/null", O_WRONLY, 0);
    bool started = posix_spawnp(&pid, argv[0], &fa, NULL, argv, environ) == 0;
    posix_spawn_file_actions_destroy(&fa);
    close(fd[1]);
    FILE *f = started ? fdopen(fd[0], "r") : NULL;
    if (f != NULL) {
        pick_line(f, lib->module->source, out, n);
        fclose(f);
    } else {
        close(fd[0]);
    }
    if (started)
        waitpid(pid, NULL, 0);
}
