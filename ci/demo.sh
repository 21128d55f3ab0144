#!/bin/sh
# The demonstration behind `make demo`: ci/demo.sh ASSAY OUT_DIR
set -eu
assay=$1
out=$2
model=datasets/tinylm/tinylm-Q4_K_M.gguf
mkdir -p "$out"
rm -f "$out"/*.json

start=$(date +%s)
step() { printf '\n== [%s/5, %s s] %s\n' "$1" "$(($(date +%s) - start))" "$2"; }

# A mismatch (exit 1) is a finding that the report must show; anything else that fails ends here.
failed=0
run() {
    printf '$ assay %s\n' "$*"
    code=0
    "$assay" "$@" || code=$?
    if [ $code -eq 1 ]; then failed=1; elif [ $code -ne 0 ]; then exit $code; fi
}

step 1 "verify: every backend on a real model and on random blocks"
run verify --gguf $model --quick --json "$out/verify.json"

step 2 "bench: matrices of a real model, against OpenBLAS fp32"
run bench --quick --json "$out/bench.json"

step 3 "mem: the real model, one forward pass, a fresh process each"
run mem $model --json "$out/mem.json"

step 4 "mem: Llama-3.2-1B shapes in Q4_K_M"
run mem --model llama-3.2-1b --type Q4_K_M --json "$out/mem-1b.json"

step 5 "report"
run report --title "assay: a real GGUF model, verified and measured" -o "$out/report.html" \
    "$out/verify.json" "$out/bench.json" "$out/mem.json" "$out/mem-1b.json"

printf '\nDone in %s s. Open this file in a browser:\n  %s\n' \
    "$(($(date +%s) - start))" "$(cd "$out" && pwd)/report.html"
exit $failed
