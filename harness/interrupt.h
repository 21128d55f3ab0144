/* Interrupts (SIGINT, SIGTERM): a long run stops at the next case, and keeps what it has. */
#ifndef ASSAY_HARNESS_INTERRUPT_H
#define ASSAY_HARNESS_INTERRUPT_H

#include <stdbool.h>

/* From here on the first signal of each kind is only noted; a second one kills, as it would have.
 * Signals that the program was started to ignore stay ignored. */
void assay_interrupt_catch(void);

/* The signal that came; 0: none. */
int assay_interrupted(void);

/* Why a run that was interrupted is partial; NULL if it was not. */
const char *assay_interrupt_reason(void);

/* The exit code of a command that would end with `code`: 128 + the signal if one came. */
int assay_interrupt_exit(int code);

#endif
