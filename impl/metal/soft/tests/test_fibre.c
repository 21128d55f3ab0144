/* The switch between stacks keeps what the ABI says a callee keeps. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl/metal/soft/fibre.h"

enum { FIBRES = 40, ROUNDS = 100 };

static struct assay_soft_stacks stacks;
static void *main_sp, *sp[FIBRES];
static int current, done;
static double sums[FIBRES];

/* Enough live values that some are in callee-saved registers across the switch. */
static void body(void) {
    int id = current;
    volatile double seed = id + 1;
    double a = seed, b = seed * 2, c = seed * 3, d = seed * 4, e = seed * 5, f = seed * 6;
    long p = id, q = id + 1, r = id + 2, s = id + 3, t = id + 4;
    for (int k = 0; k < ROUNDS; k++) {
        a += 1, b += 1, c += 1, d += 1, e += 1, f += 1;
        p += 1, q += 1, r += 1, s += 1, t += 1;
        int from = current;
        current = (current + 1) % FIBRES;
        assay_soft_switch(&sp[from], sp[current]);
        current = id;
    }
    sums[id] = a + b + c + d + e + f + (double)(p + q + r + s + t);
    if (++done == FIBRES)
        assay_soft_switch(&sp[id], main_sp);
    current = (id + 1) % FIBRES;
    assay_soft_switch(&sp[id], sp[current]);
    abort();
}

Test(soft_fibre, switching_keeps_registers) {
    cr_assert(assay_soft_stacks_map(&stacks, FIBRES));
    for (int i = 0; i < FIBRES; i++)
        sp[i] = assay_soft_fibre_begin(&stacks, (size_t)i, body);
    current = 0;
    assay_soft_switch(&main_sp, sp[0]);
    cr_assert_eq(done, FIBRES);
    for (int i = 0; i < FIBRES; i++) {
        double want = 21.0 * (i + 1) + 6 * ROUNDS + 5.0 * i + 10 + 5 * ROUNDS;
        cr_assert(sums[i] == want, "fibre %d: %g, not %g", i, sums[i], want);
    }
    assay_soft_stacks_unmap(&stacks);
}

Test(soft_fibre, a_stack_ends_at_a_page_without_access) {
    int fd[2];
    cr_assert(pipe(fd) == 0);
    cr_assert(assay_soft_stacks_map(&stacks, 2));
    memset(assay_soft_stack(&stacks, 1), 1, ASSAY_SOFT_STACK); /* all of it may be used */
    /* The kernel looks: what it may not read it refuses to write to a pipe. */
    cr_assert(write(fd[1], assay_soft_stack(&stacks, 1), 1) == 1);
    cr_assert(write(fd[1], assay_soft_stack(&stacks, 1) - 1, 1) == -1 && errno == EFAULT);
    assay_soft_stacks_unmap(&stacks);
}
