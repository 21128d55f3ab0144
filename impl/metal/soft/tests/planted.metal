// Kernels with one mistake each; the comment above a kernel says which. test_planted.c names what
// the device must say of each. x and y hold 256 floats each, t 64 floats; 4 threadgroups of 64.
#include <metal_stdlib>
using namespace metal;

struct args {
    uint n;
};
struct six {
    float v[6];
};
constant float table[8] = {1, 2, 3, 4, 5, 6, 7, 8};

#define ARGUMENTS                                                                                  \
    device const float *x [[buffer(0)]], device float *y [[buffer(1)]],                            \
        constant args &a [[buffer(2)]], threadgroup float *t [[threadgroup(0)]],                   \
        uint g [[thread_position_in_grid]], uint i [[thread_index_in_threadgroup]],                \
        uint lane [[thread_index_in_simdgroup]], uint sg [[simdgroup_index_in_threadgroup]],       \
        uint tg [[threadgroup_position_in_grid]]

// No barrier between a write and another thread's read.
kernel void no_barrier(ARGUMENTS) {
    t[i] = x[g];
    y[g] = t[63 - i];
}
// The barrier orders device memory only.
kernel void device_flag(ARGUMENTS) {
    t[i] = x[g];
    threadgroup_barrier(mem_flags::mem_device);
    y[g] = t[63 - i];
}
// The barrier orders threadgroup memory only; y is exchanged in device memory.
kernel void threadgroup_flag(ARGUMENTS) {
    y[g] = x[g];
    threadgroup_barrier(mem_flags::mem_threadgroup);
    y[g] = y[tg * 64 + 63 - i];
}
// Orders nothing.
kernel void none_flag(ARGUMENTS) {
    t[i] = x[g];
    threadgroup_barrier(mem_flags::mem_none);
    y[g] = t[63 - i];
}
// A simdgroup's barrier between two simdgroups.
kernel void simdgroup_only(ARGUMENTS) {
    t[i] = x[g];
    simdgroup_barrier(mem_flags::mem_threadgroup);
    y[g] = t[63 - i];
}
// No barrier before the second tile overwrites the first.
kernel void second_tile(ARGUMENTS) {
    float s = 0;
    for (uint k = 0; k < 2; k++) {
        t[i] = x[k * 64 + i];
        threadgroup_barrier(mem_flags::mem_threadgroup);
        s += t[63 - i];
    }
    y[g] = s;
}
// Half of the tile is never written.
kernel void half_filled(ARGUMENTS) {
    if (i < 32)
        t[i] = x[g];
    threadgroup_barrier(mem_flags::mem_threadgroup);
    y[g] = t[i];
}
// A variable of the kernel that nobody sets.
kernel void unset_variable(ARGUMENTS) {
    threadgroup float sum;
    y[g] = x[g] + sum;
}
// One element too far.
kernel void read_beyond(ARGUMENTS) { y[g] = x[g + 1]; }
// One element too early.
kernel void read_before(ARGUMENTS) { y[g] = x[int(g) - 1]; }
// The tail is not guarded.
kernel void write_beyond(ARGUMENTS) { y[g * 2] = x[g]; }
// A tile of 64 with a stride of 65.
kernel void threadgroup_beyond(ARGUMENTS) {
    t[i + i / 63] = x[g];
}
// A struct that sticks out.
kernel void struct_beyond(ARGUMENTS) {
    six s = *(device const six *)(x + g);
    y[g] = s.v[0] + s.v[5];
}
// All threadgroups count in one place.
kernel void shared_counter(ARGUMENTS) {
    if (i == 0)
        y[0] += 1.0f;
}
// Neighbouring threadgroups overlap by one.
kernel void overlap(ARGUMENTS) {
    y[g] = x[g];
    if (i == 0 && tg > 0)
        y[g - 1] = 0;
}
// Atomic here, plain there.
kernel void half_atomic(ARGUMENTS) {
    device atomic_uint *c = (device atomic_uint *)y;
    atomic_fetch_add_explicit(c, 1u, memory_order_relaxed);
    if (g == 200)
        y[0] = 0;
}
// A barrier that half of the threads reach.
kernel void some_barrier(ARGUMENTS) {
    t[i] = x[g];
    if (i < 32)
        threadgroup_barrier(mem_flags::mem_threadgroup);
    y[g] = t[i];
}
// Two barriers, one for each half.
kernel void two_barriers(ARGUMENTS) {
    if (i < 32)
        threadgroup_barrier(mem_flags::mem_threadgroup);
    else
        threadgroup_barrier(mem_flags::mem_threadgroup);
    y[g] = x[g];
}
// A thread is gone before the barrier.
kernel void early_return(ARGUMENTS) {
    if (g == 77)
        return;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    y[g] = x[g];
}
// A sum over half of the lanes.
kernel void some_lanes(ARGUMENTS) {
    float s = x[g];
    if (lane < 16)
        s = simd_sum(s);
    y[g] = s;
}
// Lanes at two different operations.
kernel void two_operations(ARGUMENTS) {
    y[g] = lane & 1 ? simd_sum(x[g]) : simd_max(x[g]);
}
// A lane that a small simdgroup lacks.
kernel void missing_lane(ARGUMENTS) { y[g] = simd_shuffle(x[g], 31); }
// Written through a pointer that lost its const.
kernel void write_const(ARGUMENTS) { ((device float *)x)[g] = y[g]; }
// Four floats at a multiple of four bytes.
kernel void misaligned(ARGUMENTS) {
    if (g < 60) {
        float4 v = *(device const float4 *)(x + g);
        y[g] = v.x + v.w;
    }
}
// A table read past its end.
kernel void table_beyond(ARGUMENTS) {
    constant float *p = table;
    y[g] = x[g] * p[i & 15];
}
// A local array read past its end.
kernel void local_beyond(ARGUMENTS) {
    float v[4] = {x[g], 1, 2, 3};
    y[g] = v[g % 5];
}
// A tile's column past its row.
kernel void column_beyond(ARGUMENTS) {
    threadgroup float tile[8][8];
    tile[i / 8][i % 8] = x[g];
    threadgroup_barrier(mem_flags::mem_threadgroup);
    y[g] = tile[i / 16][i % 9];
}
// An accumulator that was never set.
kernel void matrix_unset(ARGUMENTS) {
    simdgroup_float8x8 m, c;
    simdgroup_load(m, x);
    simdgroup_multiply_accumulate(c, m, m, c);
    if (tg == 0 && sg == 0)
        simdgroup_store(c, y);
}
// Lanes fill a tile, the simdgroup loads it, no barrier between.
kernel void matrix_no_barrier(ARGUMENTS) {
    if (sg == 0) {
        t[lane] = x[lane];
        t[lane + 32] = x[lane + 32];
        simdgroup_float8x8 m;
        simdgroup_load(m, t);
        if (tg == 0)
            simdgroup_store(m, y);
    }
}
// Both simdgroups store to one place.
kernel void matrix_twice(ARGUMENTS) {
    simdgroup_float8x8 m = make_filled_simdgroup_matrix<float, 8, 8>(1.0f);
    if (tg == 0)
        simdgroup_store(m, y);
}
// Rows of a matrix beyond the buffer.
kernel void matrix_beyond(ARGUMENTS) {
    simdgroup_float8x8 m;
    simdgroup_load(m, x, 32, ulong2(0, 1));
    if (tg == 0 && sg == 0)
        simdgroup_store(m, y);
}
// Lanes load from different addresses.
kernel void matrix_lanes(ARGUMENTS) {
    simdgroup_float8x8 m;
    simdgroup_load(m, x + lane);
    simdgroup_barrier(mem_flags::mem_none);
    if (tg == 0 && sg == 0)
        simdgroup_store(m, y);
}
// Divides by what is 0.
kernel void divides_by_zero(ARGUMENTS) { y[g] = x[g] + float(g / (a.n - 256)); }
// Shifts by the width.
kernel void shifts_too_far(ARGUMENTS) { y[g] = x[g] + float(1u << (i + 1)); }
// More threadgroup memory than there is.
kernel void too_much(ARGUMENTS) {
    threadgroup float big[8192];
    big[i] = x[g];
    y[g] = big[i];
}
// The control: nothing is wrong.
kernel void right(ARGUMENTS) {
    t[i] = x[g] * float(a.n);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    y[g] = t[63 - i];
}
