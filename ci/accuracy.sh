#!/bin/sh
# Root mean square errors of cpu's modes beside the peers', and what the exact mode costs, as Markdown:
#
#   ci/accuracy.sh ASSAY >reports/accuracy.md
#
# GGUF: the files whose matrices are multiplied (all of datasets/tinylm). A minute of one core.
set -eu
assay=$1
: "${GGUF:=$(ls datasets/tinylm/*.gguf)}"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM
isa=$("$assay" types --json - | jq -r .machine.isa)

# judge NAME OPTIONS...: verify's record. That a peer is wrong somewhere is no error here.
judge() {
    name=$1
    shift
    code=0
    "$assay" verify --check none -j 1 --max-failures 0 --explain 0 --json "$dir/$name.json" "$@" \
        >/dev/null 2>"$dir/log" || code=$?
    [ $code -le 1 ] || { cat "$dir/log" >&2; exit 2; }
}

peers=
for b in ggml ik; do
    if "$assay" verify --backend $b --type q4_0 --check none --quick >/dev/null 2>"$dir/log" || [ $? = 1 ]; then
        peers=$peers,$b
    else
        sed "s/^/without $b: /" "$dir/log" >&2
    fi
done
peers=${peers#,}

for acts in normal heavy; do
    set -- --shape 8x64x4096,64x64x4096 --weights normal --acts $acts
    judge "blocks-$acts-cpu" --backend cpu --isa "$isa" "$@"
    [ -z "$peers" ] || judge "blocks-$acts-peers" --backend "$peers" "$@"
done
n=0
for file in $GGUF; do
    n=$((n + 1))
    set -- --gguf "$file" --tensors-only
    judge "file$n-cpu" --backend cpu --isa "$isa" "$@"
    [ -z "$peers" ] || judge "file$n-peers" --backend "$peers" "$@"
done

types=$("$assay" types --json - | jq -r '[.results[] | select(.backends | index("cpu")) | .type] | join(",")')
"$assay" bench --type "$types" --shape 4096x4096 --m 1 --threads 1 --weights normal --samples 9 --max-time 0.5 \
    --baseline cpu:exact --backend ggml,cpu --json "$dir/speed.json" >/dev/null 2>"$dir/log" ||
    { [ $? = 1 ] || { cat "$dir/log" >&2; exit 2; }; }

jq -rn --slurpfile speed "$dir/speed.json" -f "$(dirname "$0")/accuracy.jq" "$dir"/blocks-*.json "$dir"/file*.json
