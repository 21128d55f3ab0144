#!/bin/sh
# Puts metal-on-cuda through everything in some minutes, on a machine with an NVIDIA GPU:
#   sh impl/metal/cuda/witness.sh [DIR]      results and logs in DIR (build/witness)
# KIT=folder: the programs built elsewhere (make witness-kit), perhaps with libraries that this machine
# lacks; nothing is built then. SECONDS_LEFT=480: steps that would begin later are left out, and named.
set -u
cd "$(dirname "$0")/../../.."
out=${1:-build/witness}
mkdir -p "$out"
began=$(date +%s)
limit=${SECONDS_LEFT:-480}
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
every=$KIT/metal-on-cuda-every
status=0

# run NAME LINES COMMAND…: the last LINES of what it prints; the rest is in a log. No step may take all
# the time that is left.
run() {
    name=$1 lines=$2
    shift 2
    start=$(date +%s)
    left=$((limit - start + began))
    if [ "$left" -lt 10 ]; then
        echo "== $name: LEFT OUT, no time"
        status=1
        return
    fi
    timeout "$left" "$@" >"$out/$name.log" 2>&1
    code=$?
    if [ $code -eq 0 ]; then verdict=ok; else verdict="FAILED ($code)" status=1; fi
    echo "== $name: $verdict, $(($(date +%s) - start)) s"
    [ $code -eq 0 ] || grep -m 5 -A 5 '^FAIL\|rror' "$out/$name.log"
    tail -n "$lines" "$out/$name.log"
}

nvidia-smi -L
run every 3 "$every"
run bandwidth 40 "$KIT/metal-on-cuda-bandwidth"
run verify 2 "$assay" verify --plugin "$plugin" -j 1 --json "$out/verify.json"
for path in gemv gemm transient; do
    METAL_ON_CUDA_PATH=$path run "verify-$path" 2 "$assay" verify --plugin "$plugin" --quick -j 1
done
for file in Q4_K_M IQ3_S; do
    run "verify-$file" 2 "$assay" verify --plugin "$plugin" \
        --gguf "datasets/tinylm/tinylm-$file.gguf" --tensors-only -j 1
done
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
if [ -n "$sanitizer" ]; then
    for tool in memcheck racecheck initcheck synccheck; do
        run "$tool" 3 "$sanitizer" --tool $tool --error-exitcode 9 "$every"
    done
else
    echo "== LEFT OUT: memcheck, racecheck, initcheck, synccheck: no compute-sanitizer here"
fi
echo "== $(($(date +%s) - began)) s in all"
exit $status
