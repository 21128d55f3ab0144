#include "interrupt.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t caught;

static void note(int signal_number) { caught = signal_number; }

void assay_interrupt_catch(void) {
    static const int signals[] = {SIGINT, SIGTERM};

    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        /* No SA_RESTART: a wait for a child must end. */
        const struct sigaction action = {.sa_handler = note, .sa_flags = (int)SA_RESETHAND};
        struct sigaction before;

        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
    }
}

int assay_interrupted(void) { return caught; }

const char *assay_interrupt_reason(void) {
    return caught == 0        ? NULL
           : caught == SIGINT ? "interrupted by SIGINT"
                              : "interrupted by SIGTERM";
}

int assay_interrupt_exit(int code) { return caught != 0 ? 128 + caught : code; }
