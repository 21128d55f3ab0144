/* void assay_soft_switch(void **save, void *load): leaves the caller's stack pointer in *save and
 * goes on with the stack `load`. AAPCS64: x19 to x29 and the low halves of v8 to v15 are the
 * callee's to keep; x30 is where to return. */
#if defined(__aarch64__)
    .text
    .globl assay_soft_switch
    .hidden assay_soft_switch
    .type assay_soft_switch, %function
assay_soft_switch:
    sub sp, sp, #160
    stp x19, x20, [sp]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
    .size assay_soft_switch, . - assay_soft_switch
#endif
    .section .note.GNU-stack, "", %progbits
