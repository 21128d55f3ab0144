// Kernels without a mistake, of the kinds that a naive checker would find fault with. Buffers as in
// planted.metal; test_clean.c says what each computes.
#include <metal_stdlib>
using namespace metal;

constant uint SHIFT [[function_constant(0)]];
constant bool EXTRA [[function_constant(1)]];
constant float ramp[4] = {0, 1, 2, 3};

#define ARGUMENTS                                                                                  \
    device const float *x [[buffer(0)]], device float *y [[buffer(1)]],                            \
        threadgroup float *t [[threadgroup(0)]], uint g [[thread_position_in_grid]],               \
        uint i [[thread_index_in_threadgroup]], uint lane [[thread_index_in_simdgroup]],           \
        uint sg [[simdgroup_index_in_threadgroup]], uint tg [[threadgroup_position_in_grid]]

// y = the sum of the threadgroup's x: a tree in threadgroup memory.
kernel void tree(ARGUMENTS) {
    t[i] = x[g];
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint s = 32; s > 0; s /= 2) {
        if (i < s)
            t[i] += t[i + s];
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    y[g] = t[0];
}
// The same by simd_sum, and one value of each simdgroup.
kernel void simd_tree(ARGUMENTS) {
    threadgroup float part[2];
    float s = simd_sum(x[g]);
    if (lane == 0)
        part[sg] = s;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    y[g] = part[0] + part[1];
}
// The same by shuffles.
kernel void shuffles(ARGUMENTS) {
    float s = x[g];
    for (ushort k = 16; k > 0; k /= 2)
        s += simd_shuffle_xor(s, k);
    s += simd_broadcast(s, 5) * 0.0f;
    for (ushort k = 0; k < 2; k++)
        if (lane == 0 && sg == k)
            t[k] = s;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    y[g] = t[0] + t[1];
}
// The same by device memory, with a barrier that orders it.
kernel void by_device(ARGUMENTS) {
    y[g] = x[g];
    threadgroup_barrier(mem_flags::mem_device);
    float s = 0;
    for (uint k = 0; k < 64; k++)
        s += y[tg * 64 + k];
    threadgroup_barrier(mem_flags::mem_device | mem_flags::mem_threadgroup);
    y[g] = s;
}
// The same by atomics of threadgroup memory; the values are whole numbers.
kernel void by_atomics(ARGUMENTS) {
    threadgroup atomic_uint sum;
    if (i == 0)
        atomic_store_explicit(&sum, 0u, memory_order_relaxed);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    atomic_fetch_add_explicit(&sum, uint(x[g]), memory_order_relaxed);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    y[g] = float(atomic_load_explicit(&sum, memory_order_relaxed));
}
// The same within simdgroups, a simdgroup barrier between, and two tiles in one memory.
kernel void two_tiles(ARGUMENTS) {
    float s = 0;
    for (uint k = 0; k < 2; k++) {
        simdgroup_barrier(mem_flags::mem_threadgroup);
        t[i] = x[tg * 64 + k * 32 + lane];
        simdgroup_barrier(mem_flags::mem_threadgroup);
        for (uint j = 0; j < 32; j++)
            s += t[sg * 32 + j];
    }
    y[g] = s;
}
// The same by matrices: ones · x, rows of 8 summed by 8.
kernel void matrices(ARGUMENTS) {
    threadgroup half h[64];
    h[i] = half(x[g]);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (sg == 0) {
        simdgroup_half8x8 one = make_filled_simdgroup_matrix<half, 8, 8>(1.0h), m;
        simdgroup_float8x8 c = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
        simdgroup_load(m, h, 8, ulong2(0, 0), true);
        simdgroup_multiply_accumulate(c, one, m, c);
        simdgroup_store(c, t, 8);
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    float s = 0;
    for (uint k = 0; k < 8; k++)
        s += t[k];
    y[g] = s;
}
// The same, a vector at a time; some threads return before the store.
kernel void vectors(ARGUMENTS) {
    device const float4 *v = (device const float4 *)(x + tg * 64);
    float4 s = float4(0);
    half3 small = half3(1.0h, half2(0.0h));
    for (uint k = 0; k < 16; k++)
        s += v[k] * float(small.x);
    packed_float3 p = s.yzw;
    if (EXTRA)
        s.x += ramp[SHIFT] + as_type<float>(0u);
    float r = s.x + p.x + p[1] + dot(float2(p.z, 1), float2(1, 0));
    if (i != 0)
        return;
    for (uint k = 0; k < 64; k++)
        y[g + k] = r;
}
