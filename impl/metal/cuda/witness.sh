#!/bin/sh
# Builds metal-on-cuda and puts it through everything, on a machine with an NVIDIA GPU:
#   sh impl/metal/cuda/witness.sh [DIR]      results and logs in DIR (build/witness)
# KIT=folder: assay, metal-on-cuda.so and metal-on-cuda-bandwidth built elsewhere, and perhaps libraries
# that this machine lacks; nothing is built then.
set -u
cd "$(dirname "$0")/../../.."
out=${1:-build/witness}
mkdir -p "$out"
if [ -n "${KIT:-}" ]; then
    export LD_LIBRARY_PATH="$KIT${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
else
    KIT=build/gcc
    make -j"$(getconf _NPROCESSORS_ONLN)" all metal-on-cuda >"$out/build.log" 2>&1 || {
        tail -n 30 "$out/build.log"
        exit 1
    }
fi
assay=$KIT/assay
plugin=$KIT/metal-on-cuda.so
status=0

run() { # NAME COMMAND…
    name=$1
    shift
    start=$(date +%s)
    if "$@" >"$out/$name.log" 2>&1; then verdict=ok; else verdict=FAILED status=1; fi
    echo "== $name: $verdict, $(($(date +%s) - start)) s"
    [ $verdict = ok ] || grep -m 5 -A 5 '^FAIL' "$out/$name.log"
    tail -n 4 "$out/$name.log"
}

nvidia-smi -L
run bandwidth "$KIT/metal-on-cuda-bandwidth"
cat "$out/bandwidth.log"
run verify "$assay" verify --plugin "$plugin" -j 1 --json "$out/verify.json"
for file in datasets/tinylm/*.gguf; do
    run "verify-$(basename "$file" .gguf)" "$assay" verify --plugin "$plugin" --gguf "$file" \
        --tensors-only -j 1
done
for path in gemv gemm transient; do
    METAL_ON_CUDA_PATH=$path run "verify-$path" "$assay" verify --plugin "$plugin" --quick -j 1
done
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
if [ -n "$sanitizer" ]; then
    for tool in memcheck racecheck initcheck synccheck; do
        # m = 1, 5, 40 and 600: every path; odd edges.
        run "$tool" "$sanitizer" --tool $tool --target-processes all --error-exitcode 9 \
            "$assay" verify --plugin "$plugin" -j 1 --timeout 300 --type q4_k,q6_k,q8_0,iq3_s,f16 \
            --shape 1x33x512,5x37x512,40x70x512,600x9x256 --weights uniform --acts normal
    done
else
    echo "no compute-sanitizer here"
fi
exit $status
