/* What the fuzz targets share. A target is one file, target_NAME.c, with its invariant stated at the
 * top; libFuzzer, AFL++ (through its libFuzzer driver) and replay.c call the same entry point. A
 * broken invariant ends the process, which is how fuzzers see a finding. */
#ifndef ASSAY_HARNESS_FUZZ_FUZZ_H
#define ASSAY_HARNESS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The target. Always returns 0: every input may enter the corpus. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Prints where and why, and aborts. */
void fuzz_broken(const char *file, int line, const char *condition, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 4, 5)));

/* Holds in release builds too, unlike assert(). The message tells the values. */
#define FUZZ_REQUIRE(condition, ...)                                                               \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fuzz_broken(__FILE__, __LINE__, #condition, __VA_ARGS__);                              \
    } while (0)

/* A copy in a heap block of exactly `size` bytes (of one, for none), so that the address sanitizer
 * sees a read of one byte beyond. */
uint8_t *fuzz_exact_copy(const uint8_t *data, size_t size);

/* Input read as a sequence of fields; behind its end all bytes are 0. */
struct fuzz_bytes {
    const uint8_t *p;
    size_t left;
};
uint8_t fuzz_take_u8(struct fuzz_bytes *b);
uint32_t fuzz_take_u32(struct fuzz_bytes *b); /* little-endian */
/* Copies n bytes out, those that are not there as zeros. */
void fuzz_take(struct fuzz_bytes *b, void *out, size_t n);

/* A folder of this process in memory (else in TMPDIR or /tmp), removed at exit with what
 * fuzz_write_file put there. */
const char *fuzz_scratch(void);
void fuzz_write_file(const char *path, const uint8_t *data, size_t size);

/* True if text is one line without control bytes: what an error message is held to. */
bool fuzz_is_line(const char *text);

/* Lets the nth allocation from now on (malloc, calloc, realloc, strdup in assay's objects) fail,
 * once; 0: none does. Where the linker has no --wrap (macOS) nothing fails. */
void fuzz_fail_allocation(unsigned n);

#endif
