#include <string.h>
#include <strings.h>

#include "gemm_quant.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

static const char *const names[ASSAY_ISA_COUNT] = {
    [ASSAY_ISA_AUTO] = "auto",
    [ASSAY_ISA_SCALAR] = "scalar",
    [ASSAY_ISA_AVX2] = "avx2",
    [ASSAY_ISA_AVX512] = "avx512",
    [ASSAY_ISA_NEON] = "neon",
    [ASSAY_ISA_I8MM] = "i8mm",
};

const char *assay_isa_name(enum assay_isa isa) {
    return (unsigned)isa < ASSAY_ISA_COUNT ? names[isa] : "unknown";
}

bool assay_isa_parse(const char *name, enum assay_isa *isa) {
    for (int i = 0; i < ASSAY_ISA_COUNT; i++)
        if (strcasecmp(name, names[i]) == 0) {
            *isa = (enum assay_isa)i;
            return true;
        }
    return false;
}

#if defined(__x86_64__)

/* Bits as in the CPUID tables of Intel's and AMD's manuals. */
enum feature_bits {
    LEAF1_ECX = bit_FMA | bit_OSXSAVE | bit_AVX | bit_F16C,
    LEAF7_EBX_AVX2 = bit_AVX2 | bit_BMI2,
    LEAF7_EBX_AVX512 = (int)(bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL),
    LEAF7_ECX_AVX512 = bit_AVX512VBMI | bit_AVX512VNNI,
    XCR0_AVX = 0x06,    /* the system saves xmm and ymm */
    XCR0_AVX512 = 0xe6, /* and mask registers, zmm0-15's upper halves, zmm16-31 */
};

/* Register states that the operating system saves; only valid where CPUID reports OSXSAVE. */
static unsigned enabled_state(void) {
    unsigned lo, hi;
    __asm__("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return lo;
}

static bool has(unsigned word, unsigned bits) { return (word & bits) == bits; }

static enum assay_isa detect(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !has(c, LEAF1_ECX))
        return ASSAY_ISA_SCALAR;
    unsigned state = enabled_state();
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !has(b, LEAF7_EBX_AVX2) ||
        !has(state, XCR0_AVX))
        return ASSAY_ISA_SCALAR;
    if (!has(b, (unsigned)LEAF7_EBX_AVX512) || !has(c, LEAF7_ECX_AVX512) || !has(state, XCR0_AVX512))
        return ASSAY_ISA_AVX2;
    return ASSAY_ISA_AVX512;
}

#elif defined(__aarch64__)

#if defined(__linux__)

/* Bits of the kernel's ABI, which older C libraries do not name. */
enum { CAP_ASIMDDP = 1 << 20, CAP2_I8MM = 1 << 13 };

static bool has_dotprod(void) { return getauxval(AT_HWCAP) & CAP_ASIMDDP; }
static bool has_i8mm(void) { return getauxval(AT_HWCAP2) & CAP2_I8MM; }

#elif defined(__APPLE__)

static bool has_feature(const char *name) {
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(name, &value, &size, NULL, 0) == 0 && value != 0;
}

static bool has_dotprod(void) { return has_feature("hw.optional.arm.FEAT_DotProd"); }
static bool has_i8mm(void) { return has_feature("hw.optional.arm.FEAT_I8MM"); }

#else

static bool has_dotprod(void) { return false; }
static bool has_i8mm(void) { return false; }

#endif

static enum assay_isa detect(void) {
    if (!has_dotprod())
        return ASSAY_ISA_SCALAR;
    return has_i8mm() ? ASSAY_ISA_I8MM : ASSAY_ISA_NEON;
}

#else

static enum assay_isa detect(void) { return ASSAY_ISA_SCALAR; }

#endif

#if defined(__x86_64__)
enum { FIRST_VECTOR_ISA = ASSAY_ISA_AVX2, LAST_VECTOR_ISA = ASSAY_ISA_AVX512 };
#elif defined(__aarch64__)
enum { FIRST_VECTOR_ISA = ASSAY_ISA_NEON, LAST_VECTOR_ISA = ASSAY_ISA_I8MM };
#else
enum { FIRST_VECTOR_ISA = ASSAY_ISA_COUNT, LAST_VECTOR_ISA = ASSAY_ISA_SCALAR };
#endif

bool assay_isa_of_this_build(enum assay_isa isa) {
    int i = (int)isa;
    return (i >= ASSAY_ISA_AUTO && i <= ASSAY_ISA_SCALAR) ||
           (i >= FIRST_VECTOR_ISA && i <= LAST_VECTOR_ISA);
}

bool assay_isa_runs_here(enum assay_isa isa) {
    /* Kept, because CPUID traps in virtual machines; threads that race store the same value. */
    static _Atomic int best = ASSAY_ISA_AUTO;
    if (best == ASSAY_ISA_AUTO)
        best = detect();
    /* Each instruction set includes those of its architecture before it. */
    return assay_isa_of_this_build(isa) && (int)isa <= best;
}
