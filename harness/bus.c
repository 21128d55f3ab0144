#include "bus.h"

#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "datasets/gguf.h"
#include "options.h"

/* Only what a signal handler may call. */
static void say(const char *text) { (void)!write(STDERR_FILENO, text, strlen(text)); }

static void say_number(uint64_t v) {
    char digits[24], *p = digits + sizeof digits - 1;

    *p = '\0';
    do
        *--p = (char)('0' + v % 10);
    while ((v /= 10) > 0);
    say(p);
}

static void on_bus(int signal_number, siginfo_t *info, void *context) {
    const char *path;
    uint64_t offset;

    (void)context;
    if (assay_gguf_where(info->si_addr, &path, &offset)) {
        say("assay: ");
        say(path);
        say(": offset ");
        say_number(offset);
        say(": can't be read: the file was truncated while it was open, or its disk fails\n");
        _exit(ASSAY_EXIT_USAGE);
    }
    signal(signal_number, SIG_DFL); /* the access happens again, and kills */
}

void assay_bus_catch(void) {
    const struct sigaction action = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &action, NULL);
}
