/* The check "hygiene" and its trampoline against what careless kernels leave behind. */
#include <criterion/criterion.h>
#include <fenv.h>
#include <string.h>

#include "harness/trampoline.h"
#include "planted_backend.h"

extern const struct assay_check assay_check_hygiene_row;

static void assert_found(enum planted_fault fault, const char *words) {
    planted_assert_found(&assay_check_hygiene_row, fault, "q4_0", words);
}

/* ---- The trampoline ---- */

static uint64_t weigh(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f,
                      uint64_t g, uint64_t h) {
    return a + 10 * b + 100 * c + 1000 * d + 10000 * e + 100000 * f + 1000000 * g + 10000000 * h;
}

Test(trampoline, passes_eight_arguments_and_the_result) {
    const uintptr_t args[ASSAY_TRAMPOLINE_ARGS] = {1, 2, 3, 4, 5, 6, 7, 8};
    char fault[160];

    if (!assay_trampoline_available())
        cr_skip("no trampoline for this machine");
    cr_assert_eq(assay_trampoline_call((void (*)(void))weigh, args, fault, sizeof fault), 87654321);
    cr_assert_str_empty(fault);
}

static void round_up(void) { fesetround(FE_UPWARD); }

Test(trampoline, puts_the_rounding_mode_right_again) {
    const uintptr_t args[ASSAY_TRAMPOLINE_ARGS] = {0};
    char fault[160];

    if (!assay_trampoline_available())
        cr_skip("no trampoline for this machine");
    assay_trampoline_call(round_up, args, fault, sizeof fault);
    cr_assert_str_not_empty(fault);
    cr_assert_eq(fegetround(), FE_TONEAREST);
}

/* A backend whose product destroys a callee-saved register before it does anything else: a C
 * function would save what it knows to be used. */
#if defined __x86_64__ || defined __aarch64__

enum assay_status clobbering_gemm(struct assay_ctx *ctx, const struct assay_store *w,
                                  const float *x, size_t m, float *y, size_t ldy,
                                  struct assay_error *err) __asm__("assay_test_clobbering_gemm");
enum assay_status continued_gemm(struct assay_ctx *ctx, const struct assay_store *w, const float *x,
                                 size_t m, float *y, size_t ldy,
                                 struct assay_error *err) __asm__("assay_test_continued_gemm");

enum assay_status continued_gemm(struct assay_ctx *ctx, const struct assay_store *w, const float *x,
                                 size_t m, float *y, size_t ldy, struct assay_error *err) {
    return planted_gemm(ctx, w, x, m, y, ldy, err);
}

#ifdef __x86_64__
#define SAVED_REGISTER "rbx"
__asm__(".text\n"
        "assay_test_clobbering_gemm:\n"
        "   xor %ebx, %ebx\n"
        "   jmp assay_test_continued_gemm\n");
#else
#define SAVED_REGISTER "x19"
__asm__(".text\n"
        "assay_test_clobbering_gemm:\n"
        "   mov x19, #0\n"
        "   b assay_test_continued_gemm\n");
#endif

Test(check_hygiene, finds_a_clobbered_callee_saved_register) {
    struct assay_backend backend = planted_backend;
    json_t *j;

    backend.gemm = clobbering_gemm;
    j = planted_check(&assay_check_hygiene_row, &backend, ASSAY_ISA_AUTO, "q4_0");
    cr_assert_not_null(strstr(json_string_value(json_object_get(j, "problem")),
                              "callee-saved register " SAVED_REGISTER));
    json_decref(j);
}

#endif

/* ---- The check ---- */

Test(check_hygiene, passes_backends_without_fault) {
    planted_assert_no_alarm(&assay_check_hygiene_row);
}

Test(check_hygiene, finds_the_rounding_mode_left) {
    assert_found(PLANTED_ROUNDS_UP, assay_trampoline_available() ? "the product changes" : "");
}

#ifdef __x86_64__
Test(check_hygiene, finds_flush_to_zero_left_on) { assert_found(PLANTED_FTZ, "flush-to-zero"); }

Test(check_hygiene, finds_values_left_on_the_x87_stack) { assert_found(PLANTED_X87, "x87"); }

Test(check_hygiene, finds_the_direction_flag_left_set) {
    assert_found(PLANTED_DIRECTION, "direction flag");
}

Test(check_hygiene, finds_dirty_upper_halves) {
    if (!assay_trampoline_sees_upper())
        cr_skip("this machine does not tell");
    assert_found(PLANTED_UPPER, "upper halves");
}

Test(check_hygiene, finds_a_write_to_the_callers_stack) {
    assert_found(PLANTED_CALLERS_STACK, "caller's stack");
}

#ifdef __GLIBC__
Test(check_hygiene, finds_floating_point_traps_left_on) {
    assert_found(PLANTED_TRAPS, "exception mask");
}
#endif
#endif

Test(check_hygiene, finds_leaked_descriptors) { assert_found(PLANTED_LEAKS_FD, "descriptors"); }

#if defined __linux__ && !defined __SANITIZE_ADDRESS__
Test(check_hygiene, finds_a_leak_of_64_KiB_a_call) { assert_found(PLANTED_LEAKS_64K, "heap"); }

Test(check_hygiene, finds_a_leak_of_8_bytes_a_call) { assert_found(PLANTED_LEAKS_8, "heap"); }

Test(check_hygiene, finds_a_page_leaked_a_call) { assert_found(PLANTED_LEAKS_PAGE, "mapped"); }

Test(check_hygiene, finds_a_leak_of_the_context) {
    assert_found(PLANTED_LEAKS_CONTEXT, "lives of a context leak");
}
#endif

#ifdef __linux__
Test(check_hygiene, finds_leaked_threads) { assert_found(PLANTED_LEAKS_THREAD, "threads"); }
#endif

Test(check_hygiene, finds_a_changed_directory) { assert_found(PLANTED_CWD, "working directory"); }

Test(check_hygiene, finds_a_changed_file_mode_mask) { assert_found(PLANTED_UMASK, "file mode"); }

Test(check_hygiene, finds_a_changed_signal_mask) {
    assert_found(PLANTED_SIGNAL_MASK, "signal mask");
}

Test(check_hygiene, finds_a_changed_signal_handler) {
    assert_found(PLANTED_HANDLER, "signal handler");
}

Test(check_hygiene, finds_a_changed_environment) {
    assert_found(PLANTED_ENVIRONMENT, "environment variables");
}
