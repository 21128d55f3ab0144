/* What Apple's compiler would reject, and what the device lacks, does not compile. */
#include <criterion/criterion.h>
#include <string.h>

#include "soft_test.h"

#define HEAD "#include <metal_stdlib>\nusing namespace metal;\n"
#define KERNEL(body)                                                                               \
    HEAD                                                                                           \
        "kernel void k(device const float *x [[buffer(0)]], device float *y [[buffer(1)]],\n"      \
        "              threadgroup float *t [[threadgroup(0)]], constant uint &n [[buffer(2)]],\n" \
        "              uint i [[thread_position_in_grid]]) {\n" body "\n}\n"

static const struct {
    const char *what, *source, *says;
} rejected[] = {
    /* MSL 4: address spaces */
    {"device pointer to a threadgroup parameter",
     HEAD "static float f(threadgroup const float *p) { return p[0]; }\n"
          "kernel void k(device float *x [[buffer(0)]]) { x[0] = f(x); }\n",
     "k.metal:4"},
    {"threadgroup pointer assigned to a device pointer",
     KERNEL("device float *p = t; y[i] = p[0];"), "'__local float"},
    {"constant pointer assigned to a thread pointer",
     KERNEL("thread const uint *p = &n; y[i] = *p;"), "'__constant uint"},
    {"cast between address spaces", KERNEL("y[i] = *(device float *)t;"), "address space"},
    {"parameter without an address space", HEAD "static float f(const float *p) { return p[0]; }\n",
     "'p' without an address space"},
    {"reference without an address space", HEAD "static void f(float &p) { p = 0; }\n",
     "'p' without an address space"},
    {"local pointer without an address space", KERNEL("const float *p = x; y[i] = p[0];"),
     "'p' without an address space"},
    {"program-scope variable outside of constant", HEAD "static float table[2] = {1, 2};\n",
     "constant address space"},
    {"write to constant", KERNEL("n = 1;"), "k.metal:"},
    {"write through const", KERNEL("x[i] = 1;"), "k.metal:"},
    {"threadgroup variable in a helper", HEAD "void f() { threadgroup float a[4]; a[0] = 1; }\n",
     "declared in a kernel"},
    {"threadgroup variable with an initial value", KERNEL("threadgroup float a = 1; y[i] = a;"),
     "initial value"},
    /* MSL 5: functions and attributes */
    {"parameter without an attribute", HEAD "kernel void k(device float *x) { x[0] = 1; }\n",
     "without an attribute"},
    {"unknown attribute", HEAD "kernel void k(uint i [[thread_position_in_the_grid]]) {}\n",
     "not supported"},
    {"buffer by value", HEAD "kernel void k(uint i [[buffer(0)]]) {}\n", "no pointer or reference"},
    {"buffer in no address space", HEAD "kernel void k(thread float *x [[buffer(0)]]) {}\n",
     "device or constant"},
    {"the same index twice",
     HEAD "kernel void k(device float *x [[buffer(3)]], device float *y [[buffer(3)]]) {}\n",
     "same index"},
    {"buffer(31)", HEAD "kernel void k(device float *x [[buffer(31)]]) {}\n", "n < 31"},
    {"kernel that returns a value", HEAD "kernel int k() { return 0; }\n", "returns void"},
    {"position of type int", HEAD "kernel void k(int i [[thread_position_in_grid]]) {}\n",
     "ushort or uint"},
    {"constant computed from a function constant",
     HEAD "constant uint A [[function_constant(0)]];\nconstant uint B = A + 1;\n"
          "kernel void k(device uint *x [[buffer(0)]]) { x[0] = B; }\n",
     "k.metal:4"},
    /* MSL 2: types */
    {"double", KERNEL("double d = 1; y[i] = float(d);"), "double"},
    {"half vector times float vector",
     KERNEL("half4 h = half4(1); float4 v = h * float4(1); y[i] = v.x;"), "k.metal:6"},
    {"float vector converted implicitly", KERNEL("half4 h = float4(1); y[i] = float(h.x);"),
     "k.metal:6"},
    {"too few values for a vector", KERNEL("float4 v = float4(1, 2, 3); y[i] = v.x;"),
     "exactly as many"},
    {"as_type of another size", KERNEL("y[i] = as_type<float>(ushort(1));"), "different size"},
    {"swizzle that is not there", KERNEL("y[i] = float2(1, 2).z;"), "k.metal:6"},
    {"matrix of 4 by 4", KERNEL("simdgroup_matrix<float, 4, 4> m; simdgroup_load(m, x);"), "8x8"},
    {"float matrix stored as half",
     HEAD "kernel void k(device half *y [[buffer(0)]]) {\n"
          "    simdgroup_store(make_filled_simdgroup_matrix<float, 8, 8>(0.0f), y);\n}\n",
     "k.metal:4"},
    {"elements of a matrix", KERNEL("simdgroup_float8x8 m; y[i] = m.thread_elements()[0];"),
     "thread_elements"},
    /* MSL 6: what the library lacks or does not take */
    {"max of half and float", KERNEL("y[i] = max(half(1), 2.0f);"), "k.metal:6"},
    {"atomic on a plain integer",
     KERNEL("atomic_fetch_add_explicit((device uint *)y, 1u, memory_order_relaxed);"),
     "atomic_fetch_add_explicit"},
    {"order other than relaxed",
     KERNEL("atomic_store_explicit((device atomic_uint *)y, 1u, memory_order_seq_cst);"),
     "memory_order_seq_cst"},
    {"barrier without flags", KERNEL("threadgroup_barrier();"), "threadgroup_barrier"},
    {"function of newer versions", KERNEL("y[i] = simd_shuffle_and_fill_up(x[i], x[i], 1);"),
     "simd_shuffle_and_fill_up"},
    {"foreign header", "#include <math.h>\n" HEAD, "math.h"},
    {"syntax", KERNEL("y[i] = ;"), "k.metal:6"},
    {"bracket that never closes", HEAD "kernel void k() {\n", "expected '}'"},
};

Test(soft_rejected, each_source_for_its_reason) {
    static char err[65536];
    if (!soft_test_can_compile("rejected sources"))
        return;
    for (size_t i = 0; i < sizeof rejected / sizeof *rejected; i++) {
        struct assay_soft_library *lib = NULL;
        bool ok = assay_soft_library_create(rejected[i].source, "k.metal", ASSAY_SOFT_FAST, &lib,
                                            err, sizeof err);
        cr_expect(!ok, "compiles: %s", rejected[i].what);
        if (ok)
            assay_soft_library_free(lib);
        else
            cr_expect(strstr(err, rejected[i].says) != NULL, "%s: %s", rejected[i].what, err);
    }
}

/* The same frame with nothing wrong in it: the reasons above are the reasons. */
Test(soft_rejected, the_frame_itself_compiles) {
    static char err[65536];
    struct assay_soft_library *lib = NULL;
    if (!soft_test_can_compile("the frame"))
        return;
    bool ok = assay_soft_library_create(KERNEL("y[i] = x[i] * float(n);"), "k.metal",
                                        ASSAY_SOFT_FAST, &lib, err, sizeof err);
    cr_assert(ok, "%s", err);
    assay_soft_library_free(lib);
}
