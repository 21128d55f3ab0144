# Makes CUDA of a .metal source of ours (ci/metal-source.sh), whose style this relies on: kernels with
# one parameter a line, helpers marked `inline` or members of structs, tables at program scope.
#   awk -v type=q4_k -f translate.awk FILE.metal
# Pointers lose their address spaces, program-scope tables and threadgroup arrays get CUDA's own words,
# and positions are no parameters.
function plain(line) {
    line = " " line
    gsub(/[ (]constant /, "&const ", line)
    gsub(/constant const /, "const ", line)
    gsub(/ (device|thread|threadgroup) /, " ", line)
    gsub(/\((device|thread|threadgroup) /, "(", line)
    return substr(line, 2)
}
BEGIN {
    position["threadgroup_position_in_grid"] = "uint2(blockIdx.x, blockIdx.y)"
    position["thread_index_in_threadgroup"] = "threadIdx.x"
    position["thread_index_in_simdgroup"] = "threadIdx.x % 32"
    position["simdgroup_index_in_threadgroup"] = "threadIdx.x / 32"
    print "#include \"impl/metal/cuda/msl.cuh\""
}
/^#include </ || /^using namespace metal/ { print ""; next }
/^constant / { sub(/^constant /, "static __device__ const ") }
/^inline / { sub(/^inline/, "static __device__ __forceinline__") }
/^    threadgroup [a-z]+ [a-z_]+\[/ { sub(/threadgroup/, "__shared__") }
{ $0 = plain($0) }
/^    static void / { sub(/static void/, "static __device__ __forceinline__ void") }
/^    uint of_[xy]\(/ { sub(/uint/, "__device__ __forceinline__ uint") }
/^kernel void / {
    sub(/^kernel void/, "static __global__ void __launch_bounds__(128)")
    signature = $0
    locals = ""
    first = 1
    inside = 1
    name = $0
    next
}
inside && /^{/ {
    print signature ")"
    print "{"
    printf "%s", locals
    inside = 0
    next
}
inside {
    line = $0
    match(line, /\[\[[a-z_0-9()]+\]\]/)
    attribute = substr(line, RSTART + 2, RLENGTH - 4)
    declaration = substr(line, 1, RSTART - 1)
    sub(/ +$/, "", declaration)
    if (attribute ~ /^buffer/) {
        if (declaration ~ /^ *const [a-z_]+ &/)
            sub(/&/, "", declaration) # small structs go by value
        signature = signature (first ? "" : ",") "\n" declaration
        first = 0
    } else {
        locals = locals "    const " declaration " = " position[attribute] ";\n"
    }
    next
}
{ print }
END {
    print type == "" ? "METAL_ON_CUDA_COMMON" : "METAL_ON_CUDA_KERNELS(" type ")"
}
