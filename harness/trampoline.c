#include "trampoline.h"

#include <stdio.h>
#include <string.h>

#if defined __x86_64__
#include <cpuid.h>
#endif

enum { CANARIES = 4 };

/* Callee-saved registers that the call must hand back. On AArch64 the last eight are the lower
 * halves of v8 … v15. */
#if defined __x86_64__
static const char *const saved_names[] = {"rbx", "rbp", "r12", "r13", "r14", "r15"};
#define N_SAVED 6
#elif defined __aarch64__
static const char *const saved_names[] = {"x19", "x20", "x21", "x22", "x23", "x24", "x25",
                                          "x26", "x27", "x28", "x29", "d8",  "d9",  "d10",
                                          "d11", "d12", "d13", "d14", "d15"};
#define N_SAVED 19
#endif

/* Read and written by the assembly, at these offsets. */
struct call_state {
    uint64_t want[20];         /* 0: what the saved registers hold before */
    uint64_t got[20];          /* 160: and after */
    uint64_t canary[CANARIES]; /* 320: the words above the stack arguments, after */
    uint64_t result;           /* 352 */
    uint64_t flags;            /* 360: rflags */
    uint32_t mxcsr;            /* 368 */
    uint32_t look_at_upper;    /* 372: in */
    uint64_t upper;            /* 376: XGETBV(1) */
    uint64_t control;          /* 384: FPCR */
    uint8_t x87[28];           /* 392: FNSTENV */
};

#define CANARY UINT64_C(0xa55a5aa5c33c3cc3)

#if defined __x86_64__ || defined __aarch64__

_Static_assert(offsetof(struct call_state, got) == 160, "offset in the assembly");
_Static_assert(offsetof(struct call_state, canary) == 320, "offset in the assembly");
_Static_assert(offsetof(struct call_state, result) == 352, "offset in the assembly");
_Static_assert(offsetof(struct call_state, flags) == 360, "offset in the assembly");
_Static_assert(offsetof(struct call_state, mxcsr) == 368, "offset in the assembly");
_Static_assert(offsetof(struct call_state, look_at_upper) == 372, "offset in the assembly");
_Static_assert(offsetof(struct call_state, upper) == 376, "offset in the assembly");
_Static_assert(offsetof(struct call_state, control) == 384, "offset in the assembly");
_Static_assert(offsetof(struct call_state, x87) == 392, "offset in the assembly");

/* The label is given, so that it is the same where C names get an underscore. */
void trampoline_enter(void (*fn)(void), const uintptr_t *args,
                      struct call_state *state) __asm__("assay_trampoline_enter");

#endif

/* clang-format off */
#if defined __x86_64__

/* Frame: two stack arguments, four canaries, the state's address. */
__asm__(
    ".text\n"
    ".p2align 4\n"
    ".globl assay_trampoline_enter\n"
    "assay_trampoline_enter:\n"
    "   push %rbp\n"
    "   push %rbx\n"
    "   push %r12\n"
    "   push %r13\n"
    "   push %r14\n"
    "   push %r15\n"
    "   push %rdx\n"
    "   sub  $48, %rsp\n"
    "   movabs $0xa55a5aa5c33c3cc3, %rax\n"
    "   mov  %rax, 16(%rsp)\n"
    "   mov  %rax, 24(%rsp)\n"
    "   mov  %rax, 32(%rsp)\n"
    "   mov  %rax, 40(%rsp)\n"
    "   mov  48(%rsi), %rax\n"
    "   mov  %rax, (%rsp)\n"
    "   mov  56(%rsi), %rax\n"
    "   mov  %rax, 8(%rsp)\n"
    "   mov  %rdi, %rax\n"
    "   mov  %rsi, %r10\n"
    "   mov  %rdx, %r11\n"
    "   mov  (%r11), %rbx\n"
    "   mov  8(%r11), %rbp\n"
    "   mov  16(%r11), %r12\n"
    "   mov  24(%r11), %r13\n"
    "   mov  32(%r11), %r14\n"
    "   mov  40(%r11), %r15\n"
    "   cmpl $0, 372(%r11)\n"
    "   je   1f\n"
    "   vzeroupper\n"
    "1: mov  (%r10), %rdi\n"
    "   mov  8(%r10), %rsi\n"
    "   mov  16(%r10), %rdx\n"
    "   mov  24(%r10), %rcx\n"
    "   mov  32(%r10), %r8\n"
    "   mov  40(%r10), %r9\n"
    "   call *%rax\n"
    "   mov  48(%rsp), %r11\n"
    "   mov  %rax, 352(%r11)\n"
    "   pushfq\n"
    "   pop  %rax\n"
    "   mov  %rax, 360(%r11)\n"
    "   cld\n"
    "   mov  %rbx, 160(%r11)\n"
    "   mov  %rbp, 168(%r11)\n"
    "   mov  %r12, 176(%r11)\n"
    "   mov  %r13, 184(%r11)\n"
    "   mov  %r14, 192(%r11)\n"
    "   mov  %r15, 200(%r11)\n"
    "   mov  16(%rsp), %rax\n"
    "   mov  %rax, 320(%r11)\n"
    "   mov  24(%rsp), %rax\n"
    "   mov  %rax, 328(%r11)\n"
    "   mov  32(%rsp), %rax\n"
    "   mov  %rax, 336(%r11)\n"
    "   mov  40(%rsp), %rax\n"
    "   mov  %rax, 344(%r11)\n"
    "   stmxcsr 368(%r11)\n"
    "   fnstenv 392(%r11)\n" /* masks all exceptions, so the environment is loaded again */
    "   fldenv  392(%r11)\n"
    "   cmpl $0, 372(%r11)\n"
    "   je   2f\n"
    "   mov  $1, %ecx\n"
    "   xgetbv\n"
    "   mov  %rax, 376(%r11)\n"
    "2: add  $56, %rsp\n"
    "   pop  %r15\n"
    "   pop  %r14\n"
    "   pop  %r13\n"
    "   pop  %r12\n"
    "   pop  %rbx\n"
    "   pop  %rbp\n"
    "   ret\n");

#elif defined __aarch64__

__asm__(
    ".text\n"
    ".p2align 4\n"
    ".globl assay_trampoline_enter\n"
    "assay_trampoline_enter:\n"
    "   stp  x29, x30, [sp, #-192]!\n"
    "   stp  x19, x20, [sp, #16]\n"
    "   stp  x21, x22, [sp, #32]\n"
    "   stp  x23, x24, [sp, #48]\n"
    "   stp  x25, x26, [sp, #64]\n"
    "   stp  x27, x28, [sp, #80]\n"
    "   stp  d8, d9, [sp, #96]\n"
    "   stp  d10, d11, [sp, #112]\n"
    "   stp  d12, d13, [sp, #128]\n"
    "   stp  d14, d15, [sp, #144]\n"
    "   str  x2, [sp, #160]\n"
    "   sub  sp, sp, #32\n"
    "   movz x9, #0x3cc3\n"
    "   movk x9, #0xc33c, lsl #16\n"
    "   movk x9, #0x5aa5, lsl #32\n"
    "   movk x9, #0xa55a, lsl #48\n"
    "   stp  x9, x9, [sp]\n"
    "   stp  x9, x9, [sp, #16]\n"
    "   mov  x9, x0\n"
    "   mov  x10, x1\n"
    "   mov  x11, x2\n"
    "   ldp  x19, x20, [x11]\n"
    "   ldp  x21, x22, [x11, #16]\n"
    "   ldp  x23, x24, [x11, #32]\n"
    "   ldp  x25, x26, [x11, #48]\n"
    "   ldp  x27, x28, [x11, #64]\n"
    "   ldr  x29, [x11, #80]\n"
    "   ldp  d8, d9, [x11, #88]\n"
    "   ldp  d10, d11, [x11, #104]\n"
    "   ldp  d12, d13, [x11, #120]\n"
    "   ldp  d14, d15, [x11, #136]\n"
    "   ldp  x0, x1, [x10]\n"
    "   ldp  x2, x3, [x10, #16]\n"
    "   ldp  x4, x5, [x10, #32]\n"
    "   ldp  x6, x7, [x10, #48]\n"
    "   blr  x9\n"
    "   ldr  x11, [sp, #192]\n"
    "   str  x0, [x11, #352]\n"
    "   stp  x19, x20, [x11, #160]\n"
    "   stp  x21, x22, [x11, #176]\n"
    "   stp  x23, x24, [x11, #192]\n"
    "   stp  x25, x26, [x11, #208]\n"
    "   stp  x27, x28, [x11, #224]\n"
    "   str  x29, [x11, #240]\n"
    "   stp  d8, d9, [x11, #248]\n"
    "   stp  d10, d11, [x11, #264]\n"
    "   stp  d12, d13, [x11, #280]\n"
    "   stp  d14, d15, [x11, #296]\n"
    "   ldp  x9, x10, [sp]\n"
    "   stp  x9, x10, [x11, #320]\n"
    "   ldp  x9, x10, [sp, #16]\n"
    "   stp  x9, x10, [x11, #336]\n"
    "   mrs  x9, fpcr\n"
    "   str  x9, [x11, #384]\n"
    "   add  sp, sp, #32\n"
    "   ldp  x19, x20, [sp, #16]\n"
    "   ldp  x21, x22, [sp, #32]\n"
    "   ldp  x23, x24, [sp, #48]\n"
    "   ldp  x25, x26, [sp, #64]\n"
    "   ldp  x27, x28, [sp, #80]\n"
    "   ldp  d8, d9, [sp, #96]\n"
    "   ldp  d10, d11, [sp, #112]\n"
    "   ldp  d12, d13, [sp, #128]\n"
    "   ldp  d14, d15, [sp, #144]\n"
    "   ldp  x29, x30, [sp], #192\n"
    "   ret\n");

#endif
/* clang-format on */

#if defined __x86_64__

#define MXCSR_CONTROL 0xffc0u /* DAZ, exception masks, rounding, FTZ; the flags are sticky */
#define X87_CONTROL 0x0f7fu   /* precision, rounding, masks: the bits that exist */
#define FLAG_DIRECTION (1u << 10)
#define YMM_UPPER 4u /* XCR0 and XINUSE: AVX state */

/* What a program starts with. The call is made in this state: what an earlier call left behind
 * would hide that this one does so too. */
enum { MXCSR_AT_START = 0x1f80, X87_AT_START = 0x037f };

/* The parts of MXCSR that differ, in words. */
static const char *mxcsr_difference(uint32_t difference) {
    return difference & 0x8000   ? "flush-to-zero"
           : difference & 0x6000 ? "the rounding mode"
           : difference & 0x0040 ? "denormals-are-zero"
                                 : "an exception mask";
}

static void check_control(const struct call_state *s, char *fault, size_t size) {
    uint32_t difference = (s->mxcsr ^ MXCSR_AT_START) & MXCSR_CONTROL;
    uint16_t control, tags;

    memcpy(&control, s->x87, sizeof control);
    memcpy(&tags, s->x87 + 8, sizeof tags);
    if (difference != 0)
        snprintf(fault, size, "changes %s in MXCSR, from 0x%04x to 0x%04x",
                 mxcsr_difference(difference), MXCSR_AT_START & MXCSR_CONTROL,
                 (unsigned)(s->mxcsr & MXCSR_CONTROL));
    else if (((control ^ X87_AT_START) & X87_CONTROL) != 0)
        snprintf(fault, size, "changes the x87 control word, from 0x%04x to 0x%04x", X87_AT_START,
                 (unsigned)control);
    else if (tags != 0xffff)
        snprintf(fault, size, "leaves values on the x87 stack (tag word 0x%04x)", (unsigned)tags);
    else if (s->flags & FLAG_DIRECTION)
        snprintf(fault, size, "leaves the direction flag set");
    else if (s->look_at_upper && (s->upper & YMM_UPPER))
        snprintf(fault, size, "leaves the upper halves of vector registers in use (no VZEROUPPER)");
}

typedef float vector __attribute__((vector_size(32)));

/* At -O1 and below gcc emits no VZEROUPPER; a build for sanitizers is one of those. */
__attribute__((noinline, target("avx"))) static void compiled_code(vector *v) { *v += *v; }

static uint32_t states_in_use(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(1));
    return low;
}

/* Bit 2 of CPUID(0xd,1).eax says that XGETBV(1) exists. Processors may report a state as in use for
 * good, so it is tried out; and the kernels of this build must have a chance. */
bool assay_trampoline_sees_upper(void) {
    unsigned a, b, c, d;
    bool dirty, clean, compiled_clean;
    vector v = {1};

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_AVX) ||
        !__get_cpuid_count(0xd, 1, &a, &b, &c, &d) || !(a & 4))
        return false;
    __asm__ volatile("vpcmpeqd %%xmm0, %%xmm0, %%xmm0\n\t"
                     "vinsertf128 $1, %%xmm0, %%ymm0, %%ymm0" ::
                         : "xmm0");
    dirty = states_in_use() & YMM_UPPER;
    __asm__ volatile("vzeroupper");
    clean = !(states_in_use() & YMM_UPPER);
    compiled_code(&v);
    compiled_clean = !(states_in_use() & YMM_UPPER);
    __asm__ volatile("vzeroupper");
    return dirty && clean && compiled_clean;
}

static void reset_control(void) {
    const uint32_t mxcsr = MXCSR_AT_START;
    const uint16_t x87 = X87_AT_START;
    __asm__ volatile("ldmxcsr %0\n\tfninit\n\tfldcw %1" : : "m"(mxcsr), "m"(x87));
}

#elif defined __aarch64__

bool assay_trampoline_sees_upper(void) { return false; }

#else

bool assay_trampoline_sees_upper(void) { return false; }

#endif

#if defined __x86_64__ || defined __aarch64__

bool assay_trampoline_available(void) { return true; }

static void check_registers(const struct call_state *s, char *fault, size_t size) {
    for (size_t i = 0; i < N_SAVED; i++)
        if (s->got[i] != s->want[i]) {
            snprintf(fault, size, "does not preserve the callee-saved register %s", saved_names[i]);
            return;
        }
    for (size_t i = 0; i < CANARIES; i++)
        if (s->canary[i] != CANARY) {
            snprintf(fault, size, "writes to its caller's stack, %zu bytes above the arguments",
                     8 * i);
            return;
        }
}

uint64_t assay_trampoline_call(void (*fn)(void), const uintptr_t args[ASSAY_TRAMPOLINE_ARGS],
                               char *fault, size_t fault_size) {
    struct call_state s;

    memset(&s, 0, sizeof s);
    for (size_t i = 0; i < N_SAVED; i++)
        s.want[i] = UINT64_C(0x5eed000000000000) + i * UINT64_C(0x0101010101010101);
    fault[0] = '\0';
#if defined __x86_64__
    s.look_at_upper = assay_trampoline_sees_upper();
    reset_control();
    trampoline_enter(fn, args, &s);
    check_control(&s, fault, fault_size);
    reset_control();
#else
    const uint64_t at_start = 0;
    __asm__ volatile("msr fpcr, %0" : : "r"(at_start));
    trampoline_enter(fn, args, &s);
    if (s.control != at_start)
        snprintf(fault, fault_size, "changes FPCR, from 0 to 0x%llx",
                 (unsigned long long)s.control);
    __asm__ volatile("msr fpcr, %0" : : "r"(at_start));
#endif
    if (fault[0] == '\0')
        check_registers(&s, fault, fault_size);
    return s.result;
}

#else

bool assay_trampoline_available(void) { return false; }

uint64_t assay_trampoline_call(void (*fn)(void), const uintptr_t args[ASSAY_TRAMPOLINE_ARGS],
                               char *fault, size_t fault_size) {
    (void)fn, (void)args, (void)fault_size;
    fault[0] = '\0';
    return 0;
}

#endif
