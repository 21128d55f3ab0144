#!/bin/sh
# The demonstration behind `make demo`: ci/demo.sh ASSAY OUT_DIR
set -eu
assay=$1
out=$2
model=datasets/tinylm/tinylm-Q4_K_M.gguf
big=llama-3.2-1b
big_mib=1024 # what its file takes, rounded up
mkdir -p "$out"
rm -f "$out"/*.json
: "${ASSAY_CACHE:=$out/cache}" # of the synthetic model
export ASSAY_CACHE

start=$(date +%s)
step() { printf '\n== [%s/6, %s s] %s\n' "$1" "$(($(date +%s) - start))" "$2"; }

# A mismatch (exit 1) is a finding that the report must show; anything else that fails ends here.
failed=0
run() {
    printf '$ assay'
    for word; do
        case $word in *' '*) printf " '%s'" "$word" ;; *) printf ' %s' "$word" ;; esac
    done
    printf '\n'
    code=0
    "$assay" "$@" || code=$?
    if [ $code -eq 1 ]; then failed=1; elif [ $code -ne 0 ]; then exit $code; fi
}

step 1 "verify: every backend on a real model and on random blocks"
run verify --gguf $model --quick --json "$out/verify.json"

step 2 "bench: a Llama-3-8B matrix, weights from memory, against OpenBLAS fp32 and ggml"
cores=$(getconf _NPROCESSORS_ONLN)
threads=1
if [ "$cores" -gt 1 ]; then threads=1,$cores; fi
run bench --type q4_k,q6_k --m 1,64 --threads $threads --cold --max-time 4 --json "$out/bench.json"

step 3 "mem: the real model, one forward pass, a fresh process each"
run mem $model --json "$out/mem.json"

step 4 "mem: a synthetic model of Llama-3.2-1B's shapes and Q4_K_M type mix"
if [ "$(df -Pm "$out" | awk 'NR == 2 { print $4 }')" -ge $((2 * big_mib)) ]; then
    run mem --model $big --type Q4_K_M -j "$cores" --json "$out/mem-$big.json"
else
    echo "SKIP: less than $((2 * big_mib)) MiB of disk free under $out"
fi

step 5 "load-run: whole processes, timed by hyperfine"
if command -v hyperfine >/dev/null; then
    sh ci/bench-load.sh "$assay" $model "$out/load.json" >"$out/load.log" 2>&1 || { cat "$out/load.log"; exit 1; }
    sed -n '/Summary/,$p' "$out/load.log"
else
    echo "SKIP: no hyperfine"
fi

step 6 "report"
history=
if [ -s reports/history.jsonl ]; then
    rm -f "$out/history.db"
    run history import reports/history.jsonl --db "$out/history.db"
    history="--db $out/history.db"
fi
# Where commits can be looked at: as told, else where this repository was cloned from.
url=${ASSAY_COMMIT_URL:-$(git remote get-url origin 2>/dev/null |
    sed -n 's|^git@\([^:]*\):|https://\1/|; s|\.git$||; s|^https://.*|&/commit/|p')}
# shellcheck disable=SC2086 # two words, or none
run report --title "assay: a real GGUF model, verified and measured" -o "$out/report.html" \
    ${url:+--commit-url "$url"} $history "$out"/*.json

printf '\nDone in %s s. Open this file in a browser:\n  %s\n' \
    "$(($(date +%s) - start))" "$(cd "$out" && pwd)/report.html"
if [ $failed = 1 ]; then echo "A mismatch was found; the page says where." >&2; fi
exit $failed
