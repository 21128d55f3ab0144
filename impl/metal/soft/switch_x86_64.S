/* void assay_soft_switch(void **save, void *load): leaves the caller's stack pointer in *save and
 * goes on with the stack `load`. System V ABI: rbx, rbp, r12 to r15 are the callee's to keep. */
#if defined(__x86_64__)
    .text
    .globl assay_soft_switch
    .hidden assay_soft_switch
    .type assay_soft_switch, @function
assay_soft_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size assay_soft_switch, . - assay_soft_switch
#endif
    .section .note.GNU-stack, "", %progbits
