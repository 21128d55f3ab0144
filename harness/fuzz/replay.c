/* Runs a target over files, and over the files of folders, in the order of their names: how `make
 * check` replays the corpus, with any compiler. A finding names its file before it aborts. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

static char current[4096];

/* Signal-safe: the heap may be what broke. */
static void put(const char *text) {
    for (size_t left = strlen(text); left > 0;) {
        ssize_t n = write(STDERR_FILENO, text, left);
        if (n <= 0)
            return;
        text += n;
        left -= (size_t)n;
    }
}

static void name_input(int sig) {
    put("replay: died on ");
    put(current);
    put("\n");
    signal(sig, SIG_DFL);
    raise(sig);
}

static void run_file(const char *path, size_t size) {
    FILE *f = fopen(path, "rb");
    uint8_t *data = malloc(size + 1);
    FUZZ_REQUIRE(f != NULL && data != NULL && fread(data, 1, size, f) == size, "cannot read %s",
                 path);
    fclose(f);
    snprintf(current, sizeof current, "%s", path);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
}

/* Returns how many inputs were run. */
static size_t run_path(const char *path) {
    struct stat st;
    struct dirent **names;
    size_t ran = 0;

    FUZZ_REQUIRE(stat(path, &st) == 0, "cannot find %s", path);
    if (!S_ISDIR(st.st_mode)) {
        run_file(path, (size_t)st.st_size);
        return 1;
    }
    int n = scandir(path, &names, NULL, alphasort);
    FUZZ_REQUIRE(n >= 0, "cannot list %s", path);
    for (int i = 0; i < n; i++) {
        char inner[4096];
        snprintf(inner, sizeof inner, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.')
            ran += run_path(inner);
        free(names[i]);
    }
    free(names);
    return ran;
}

int main(int argc, char **argv) {
    size_t ran = 0;

    signal(SIGABRT, name_input);
    signal(SIGSEGV, name_input);
    signal(SIGBUS, name_input);
    signal(SIGFPE, name_input);
    for (int i = 1; i < argc; i++)
        ran += run_path(argv[i]);
    if (ran == 0) {
        fprintf(stderr, "replay: no input; usage: %s FILE-OR-FOLDER…\n", argv[0]);
        return 2;
    }
    printf("%zu inputs\n", ran);
    return 0;
}
