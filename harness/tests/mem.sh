#!/bin/sh
# Tests of `assay mem` by phases and of --limit: mem.sh PATH/TO/assay.
set -u
case $1 in /*) assay=$1 ;; *) assay=$PWD/$1 ;; esac
model=$PWD/datasets/tinylm/tinylm-Q4_K_M.gguf
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 2
failed=0
# holds NAME FILTER: jq finds FILTER true of the record.
holds() {
    jq -e "$2" r.json >/dev/null || { echo "FAIL $1: not true: $2"; failed=1; }
}

"$assay" mem "$model" --backend cpu,transient-f16 --json r.json >out 2>err || { cat err; exit 1; }
holds 'phases in order' \
    '.results | all(.runs[0].phases | map(.phase) == ["open","load","first pass","steady pass","free"])'
holds 'a timeline that ends with the run' '.results | all(.runs[0] | (.timeline | length) > 0)'
holds 'page tables are counted' '.results | all(.measured.page_table_bytes > 0)'
if nm "$assay" 2>/dev/null | grep -q '__[at]san_init'; then
    echo 'SKIP what a call adds: the allocator of the sanitizers keeps what is freed'
elif [ "$(uname -s)" = Linux ]; then
    # The largest matrix of the model, 3584 x 256 (output), in fp16; libgomp's and the allocator's
    # pages come on top. A backend without such copies stays below.
    largest=$("$assay" inspect "$model" --json - | jq '[.results[0].tensors[] | .dims | select(length == 2) | .[0] * .[1]] | max * 2')
    holds 'a call adds the largest matrix in fp16' \
        ".results[1].measured.transient_bytes | . >= $largest * 0.9 and . <= $largest + 1572864"
    holds 'and nothing where blocks are multiplied' ".results[0].measured.transient_bytes < $largest"
fi
"$assay" mem --model qwen3-0.6b --layers 1 --limit 64M >out 2>err
[ $? -eq 2 ] && grep -q 'limit' err || { echo 'FAIL a limit below the program itself'; failed=1; }
[ $failed = 0 ] && echo "mem: passed"
exit $failed
