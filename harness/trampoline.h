/* Calls a function and looks at what the calling convention makes its business: callee-saved
 * registers, floating-point control state, the direction flag, its caller's stack.
 *
 * x86-64 (System V) and AArch64 (AAPCS64). */
#ifndef ASSAY_HARNESS_TRAMPOLINE_H
#define ASSAY_HARNESS_TRAMPOLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ASSAY_TRAMPOLINE_ARGS 8

/* False where there is no trampoline for this machine. */
bool assay_trampoline_available(void);

/* True if this machine tells whether the upper halves of vector registers are in use (XGETBV(1),
 * where a dirty register sets the bit and VZEROUPPER clears it), and this build's compiler cleans
 * them. */
bool assay_trampoline_sees_upper(void);

/* Calls fn(args[0] … args[7]) (integers and pointers) and returns its result. What is found amiss
 * afterwards is put right again and described in fault (one line; empty if nothing is). */
uint64_t assay_trampoline_call(void (*fn)(void), const uintptr_t args[ASSAY_TRAMPOLINE_ARGS],
                               char *fault, size_t fault_size);

#endif
