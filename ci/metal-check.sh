#!/bin/sh
# The metal backend on the software device, through its real host code: ci/metal-check.sh ASSAY CHECKED
# CHECKED: folder of the kernels compiled with the device's checks (races, bounds, uninitialised
# memory, barriers). A wrong argument or a missing backend is an error, not a skip.
set -eu
assay=$1 checked=$2

run() { # WHAT ARGS…: the last line only, or all if it failed
    what=$1
    shift
    if out=$("$assay" verify --backend metal "$@" 2>&1); then
        printf '%s: %s\n' "$what" "$(printf '%s\n' "$out" | tail -n 1)"
    else
        printf '%s\n' "$out"
        echo "$what: assay verify --backend metal $*"
        exit 1
    fi
}

shapes=1x33x512,8x19x256,33x70x512,9x65x768
run 'all types, every check' --variant default --weights uniform --acts normal --shape $shapes \
    --check decode,bits,exact,special,nonfinite,slice,metamorphic,memory,hygiene
for variant in gemm transient; do
    run "variant $variant" --variant $variant --type q4_k,q6_k,q5_1,iq2_s,f16,mxfp4 --quick
done
run 'a model file' --variant default --gguf datasets/tinylm/tinylm-Q4_K_M.gguf --tensors-only
export ASSAY_METAL_DIR="$checked"
run 'all types, device checks' --variant default --weights uniform --acts normal --shape $shapes \
    --check memory
run 'device checks, transient' --variant transient --type q4_k,f16 --weights uniform --acts normal \
    --shape $shapes --check none
